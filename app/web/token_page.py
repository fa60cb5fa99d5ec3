"""The tokens of the API in the browser, for admins of all hosts. Every change is in the audit."""

from flask import Blueprint, Response, flash, redirect, request

from app import clock
from app.access import ROLES
from app.clock import DAY_MS
from app.errors import Conflict, InvalidField
from app.services import services
from app.store.hosts import list_hosts
from app.store.tokens import add_token, revoke_token
from app.web.accounts import host_names
from app.web.api.accounts import TOKENS, token_rows
from app.web.auditing import audit
from app.web.identity import principal
from app.web.page import form_page, pages
from app.web.permission import needs
from app.web.row_page import Head, list_rows

blueprint = Blueprint("token_page", __name__)

_TOKEN_HEADS = (
    Head("Name", sort="name"), Head("Role"), Head("Hosts", "p2"), Head("Ends", sort="expires"),
    Head("Last used", "p2", "used", largest_first=True),
    Head("Made", "p3", "created", largest_first=True),
)  # fmt: skip
_EXPIRIES = (("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "never"))


@blueprint.get("/tokens")
@needs("admin", everywhere=True)
def tokens() -> Response:
    """All tokens of the API, and the form to make one."""
    return _tokens({}, {})


@blueprint.post("/tokens")
@needs("admin", everywhere=True)
def made() -> Response:
    """Make a token and show it, once."""
    given = request.form
    name, role = given.get("name", "").strip().lower(), given.get("role", "")
    days, hosts = given.get("days", ""), given.getlist("host")
    try:
        if days not in {value for value, _ in _EXPIRIES}:
            raise InvalidField("days", "Choose when the token ends.")
        expires = clock.now_ms() + int(days) * DAY_MS if days else None
        text = add_token(
            services().store, name, role, created_by=principal().who, expires_at_ms=expires,
            hosts=hosts,
        )  # fmt: skip
    except InvalidField as error:
        return _tokens({error.field: error.sentence}, given.to_dict(), 422)
    except Conflict as error:
        return _tokens({"name": str(error)}, given.to_dict(), 422)
    audit("token-add", "token", name, parameters={"role": role, "hosts": hosts, "days": days})
    return _tokens({}, {}, text=text, name=name)


@blueprint.post("/tokens/<name>/revoke")
@needs("admin", everywhere=True)
def revoked(name: str) -> Response:
    """Have a token work no more."""
    revoke_token(services().store, name)
    audit("token-revoke", "token", name)
    flash(f"The token {name} works no more.")
    return redirect("/tokens", 303)  # type: ignore[return-value]  # werkzeug's own Response class


def _tokens(
    errors: dict[str, str], given: dict[str, str], status: int = 200, text: str = "", name: str = ""
) -> Response:
    store, zone, now_ms = services().store, pages().zone, clock.now_ms()
    found, listed = list_rows("/tokens", token_rows(), TOKENS)
    rows = [
        {
            "token": one,
            "works": one.works(now_ms),
            "hosts": host_names(one.host_ids),
            "created": zone.when(one.created_at_ms, now_ms),
            "expires": zone.maybe(one.expires_at_ms, now_ms),
            "used": zone.maybe(one.used_at_ms, now_ms),
        }
        for one in found
    ]
    return form_page(
        "account/tokens.html", "", "API tokens", status=status, rows=rows, roles=ROLES,
        slugs=[record.slug for record in list_hosts(store)], expiries=_EXPIRIES, errors=errors,
        given=given, shown=text, name=name, listed=listed, columns=listed.columns(_TOKEN_HEADS),
    )  # fmt: skip
