"""Tokens of embeds as JSON, for those who may make them.

Their text is in the answer that made them and nowhere else. What a token lets see is checked in
app/web/embed; people make and list them in app/web/share.py.
"""

import msgspec
from flask import Blueprint, Response

from app.access import EMBED_MAKER
from app.clock import rfc3339
from app.moments import parse_moment
from app.services import services
from app.store.embed_tokens import EmbedToken, list_embed_tokens
from app.web.api.items import time_or_none
from app.web.embed.making import make_token, revoke_token
from app.web.identity import principal
from app.web.json_body import json_answer, read_json
from app.web.operations import operation
from app.web.permission import needs
from app.web.shapes import embeds as shapes

blueprint = Blueprint("embed_tokens", __name__)


class EmbedWanted(msgspec.Struct, forbid_unknown_fields=True):
    """A token as JSON asks for one; `expires_at` is RFC 3339 or epoch seconds."""

    view: str
    expires_at: str | int
    filters: dict[str, list[str]] = {}
    origins: list[str] = []
    note: str = ""
    frame: bool = True


@blueprint.get("/api/v1/embed-tokens")
@needs(EMBED_MAKER)
@operation("embeds", shapes.EmbedTokens)
def listed() -> Response:
    """The tokens of embeds that the one who asks may end, newest first."""
    tokens = list_embed_tokens(services().store, principal())
    items = [token_item(token) for token in tokens]
    return json_answer({"items": items, "total": len(items)})


@blueprint.post("/api/v1/embed-tokens")
@needs(EMBED_MAKER)
@operation("embeds", shapes.EmbedTokenMade, body=EmbedWanted, status=201)
def created() -> Response:
    """Make a token of an embed. Its text is in this answer alone."""
    wanted = read_json(EmbedWanted)
    expires_ms = parse_moment("expires_at", str(wanted.expires_at))
    text, token = make_token(
        principal(), wanted.view, wanted.filters, wanted.origins, expires_ms, wanted.note,
        frame=wanted.frame,
    )  # fmt: skip
    return json_answer({"item": token_item(token), "token": text}, 201)


@blueprint.delete("/api/v1/embed-tokens/<int:token_id>")
@needs(EMBED_MAKER)
@operation("embeds", None, status=204)
def deleted(token_id: int) -> Response:
    """Have a token of an embed work no more."""
    revoke_token(principal(), token_id)
    return Response(status=204)


def token_item(token: EmbedToken) -> shapes.EmbedToken:
    """A token as JSON says it; never its text."""
    return {
        "id": token.id,
        "hint": token.hint,
        "view": token.view,
        "filters": token.filters,
        "origins": token.origins,
        "frame": token.frame,
        "note": token.note,
        "created_by": token.created_by,
        "created_at": rfc3339(token.created_at_ms),
        "expires_at": rfc3339(token.expires_at_ms),
        "revoked_at": time_or_none(token.revoked_at_ms),
        "used_at": time_or_none(token.used_at_ms),
    }
