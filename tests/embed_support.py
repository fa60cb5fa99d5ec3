"""Tokens of embeds for tests, and what pages of another site ask with them."""

from collections.abc import Mapping, Sequence
from typing import Any

from werkzeug.test import TestResponse

from app.access import Principal
from app.clock import DAY_MS, now_ms
from app.store.embed_tokens import EmbedToken, create_embed_token
from app.store.engine import Store
from tests.fleet_support import domain_uuid, pool_uuid
from tests.signing import a_user
from tests.web_support import Web

PAGE = "https://intranet.example"
OTHER = "https://other.example"

# What the dialog's lines have htmx do while npvirt is away.
AWAY_HTMX_2 = (
    "hx-on::after-request=\"this.toggleAttribute('data-npv-away', !event.detail.successful)\""
)
AWAY_HTMX_4 = (
    'hx-status:5xx="swap:none" hx-on::finally:request="this.toggleAttribute('
    "'data-npv-away', !(event.detail.ctx.response?.status < 500))\""
)

# What a token of each view must lock.
LOCKED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "overview": {},
    "hosts": {},
    "domains": {},
    "pools": {},
    "volumes": {},
    "networks": {},
    "changes": {},
    "chart": {"kind": ["domain"], "host": ["kvm-01"], "id": [domain_uuid(0, 0)]},
    "gauge": {"kind": ["pool"], "host": ["kvm-01"], "id": [pool_uuid(0, 0)]},
}


def a_maker(store: Store, name: str = "ada", hosts: Sequence[str] = ()) -> Principal:
    """The admin of that name, who makes tokens."""
    user = a_user(store, name, "admin", hosts)
    return Principal("user", user.name, user.role, user.host_ids, user.id)


def a_token(
    store: Store,
    view: str,
    filters: Mapping[str, Sequence[str]] | None = None,
    *,
    maker: Principal | None = None,
    origins: Sequence[str] = (PAGE,),
    **more: Any,
) -> tuple[str, EmbedToken]:
    """A token for pages of PAGE, of an admin of all hosts."""
    wanted = LOCKED[view] if filters is None else filters
    return create_embed_token(
        store, maker or a_maker(store), view, wanted, origins, now_ms() + DAY_MS, "a test", **more
    )


def ask(
    web: Web, view: str, token: str, origin: str | None = PAGE, **parameters: str
) -> TestResponse:
    """What a page of `origin` gets."""
    headers = {} if origin is None else {"Origin": origin}
    asked = {"t": token, **parameters}
    # `as` is a word of Python's.
    query = {name.removesuffix("_"): value for name, value in asked.items()}
    return web.client.get(f"/embed/v1/{view}", query_string=query, headers=headers)
