"""A panel whose views stand on other people's pages: tokens of embeds for tests, and what pages of
another site ask with them.

One panel for all tests of a file: a test that changes something changes its own token alone.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.access import Principal
from app.clock import DAY_MS, now_ms
from app.store.embed_tokens import EmbedToken, create_embed_token
from app.store.engine import Store
from app.web.embed.views import VIEWS
from tests.fleet_support import domain_uuid, network_uuid, pool_uuid
from tests.signing import a_user
from tests.web_support import Web, make_web

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

_DOMAIN = {"host": ["kvm-01"], "id": [domain_uuid(0, 0)]}
# What a token of each view must lock.
LOCKED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "overview": {},
    "hosts": {},
    "domains": {},
    "pools": {},
    "volumes": {},
    "networks": {},
    "interfaces": {},
    "changes": {},
    "chart": {"kind": ["domain"], **_DOMAIN},
    "gauge": {"kind": ["pool"], "host": ["kvm-01"], "id": [pool_uuid(0, 0)]},
    "disks": _DOMAIN,
    "nics": _DOMAIN,
    "guest-nics": _DOMAIN,
    "snapshots": _DOMAIN,
    "attention": {},
    "scans": {},
    "numa": {"host": ["kvm-01"]},
    "memory-devices": {"host": ["kvm-01"]},
    "leases": {"host": ["kvm-01"], "network": [network_uuid(0)]},
    "forecast": {},
    "outlook": {},
    "overcommit": {},
    "reclaim": {},
    "rightsizing": {},
    "growth": {},
    "losses": {},
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


def sentence(answer: TestResponse) -> str:
    """What an answer says in place of a view."""
    found = re.search(r'class="npv-said">.*?<span>(.*?)</span>', answer.text)
    assert found is not None, answer.text
    return found[1]


def row_names(text: str) -> list[str]:
    """What the rows of a table are headed with."""
    return re.findall(r'<th scope="row"[^>]*>(?:<span[^>]*>)?<bdi>(.*?)</bdi>', text)


@pytest.fixture(scope="module")
def web_of_module(filled_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web over the larger fleet, for all tests of a file."""
    data = shutil.copytree(filled_data, tmp_path_factory.mktemp("embeds") / "var")
    made = make_web(data, NPVIRT_TIMEZONE="UTC")
    yield made
    made.store.close()


@pytest.fixture
def web(web_of_module: Web) -> Web:
    """The same, with nobody signed in."""
    web_of_module.sign_out()
    return web_of_module


@pytest.fixture(scope="module")
def tokens(web_of_module: Web) -> dict[str, str]:
    """A token for each view."""
    return {view: a_token(web_of_module.store, view)[0] for view in VIEWS}
