"""Makes and ends tokens of embeds for whoever is signed in: checks that the view can be drawn with
its filters, and writes both down in the audit.
"""

from collections.abc import Mapping, Sequence

from werkzeug.datastructures import MultiDict

from app import clock
from app.access import Principal
from app.errors import InvalidField, NotFound
from app.services import services
from app.store.embed_tokens import EmbedToken, create_embed_token, revoke_embed_token
from app.web.auditing import audit
from app.web.drawing import Drawing
from app.web.embed.builders import BUILDERS
from app.web.embed.views import SEVERAL, VIEWS, View
from app.web.moment import LIVE
from app.web.page import pages
from app.web.scope import seen_fleet

_MOST_VALUES = 100
_LONGEST = 400


def make_token(
    principal: Principal,
    view: str,
    filters: Mapping[str, Sequence[str]],
    origins: Sequence[str],
    expires_at_ms: int,
    note: str = "",
    *,
    frame: bool = True,
) -> tuple[str, EmbedToken]:
    """A new token of the one who asks: its text, which is kept nowhere, and what is kept. Raises
    InvalidField for what cannot be drawn or is out of their sight.
    """
    wanted = VIEWS.get(view)
    if wanted is None:
        raise InvalidField("view", f"The view is one of: {', '.join(VIEWS)}.")
    locked = _checked(wanted, filters)
    text, token = create_embed_token(
        services().store, principal, view, locked, origins, expires_at_ms, note, frame=frame
    )
    told = {"view": view, "filters": locked, "origins": token.origins, "frame": frame,
            "expires_at_ms": expires_at_ms, "note": note}  # fmt: skip
    audit("embed-token-add", "embed", str(token.id), parameters=told)
    return text, token


def revoke_token(principal: Principal, token_id: int) -> EmbedToken:
    """End a token; raises NotFound for one that is not theirs to end."""
    token = revoke_embed_token(services().store, token_id, principal)
    audit("embed-token-revoke", "embed", str(token.id), parameters={"view": token.view})
    return token


def _checked(view: View, filters: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The filters without what is empty; raises InvalidField naming the one that is bad."""
    locked = {
        name: tuple(dict.fromkeys(value for value in values if value))
        for name, values in filters.items()
    }
    locked = {name: values for name, values in locked.items() if values}
    for name, values in locked.items():
        if name not in view.lockable:
            raise InvalidField(name[:40], f"This view takes no parameter “{name[:40]}”.")
        if len(values) > (_MOST_VALUES if name in SEVERAL else 1):
            raise InvalidField(name, f"Too many values for “{name}”.")
        if any(len(value) > _LONGEST for value in values):
            raise InvalidField(name, f"A value of “{name}” is too long.")
    for name in view.required:
        if name not in locked:
            raise InvalidField(name, f"This view needs “{name}”.")
    arguments: MultiDict[str, str] = MultiDict(
        (name, value) for name, values in locked.items() for value in values
    )
    fleet = seen_fleet(None)
    try:
        BUILDERS[view.name](Drawing(fleet, LIVE, arguments, pages().zone, "viewer"))
    except NotFound as error:
        raise InvalidField("host" if "id" not in locked else "id", str(error)) from None
    return locked


def expiry_ms(days: int) -> int:
    """When a token of so many days ends."""
    return clock.now_ms() + days * clock.DAY_MS
