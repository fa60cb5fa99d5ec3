"""Tokens of embeds as JSON, for those who may make them.

Their text is in the answer that made them and nowhere else. What a token lets see is checked in
app/web/embed; people make and list them in app/web/share.py.
"""

import msgspec
from flask import Blueprint, Response

from app import clock
from app.access import EMBED_MAKER
from app.clock import rfc3339
from app.moments import parse_moment
from app.services import services
from app.store.embed_tokens import EmbedToken, list_embed_tokens
from app.web.api.declared import row_query
from app.web.api.items import time_or_none
from app.web.api.rows import TOKEN_STATES, Row, RowFact, answer_rows, columns_of, token_state
from app.web.embed.making import make_token, revoke_token
from app.web.identity import principal
from app.web.json_body import json_answer, read_json
from app.web.listing import Kind, by_name
from app.web.operations import operation
from app.web.permission import needs
from app.web.shapes import embeds as shapes

blueprint = Blueprint("embed_tokens", __name__)

EMBED_TOKENS: Kind[Row] = Kind(
    texts=lambda row: (row.of.view, row.of.note, row.of.created_by, *row.of.origins),
    sorts={"view": by_name, "created": lambda row: row.of.id,
           "expires": lambda row: row.of.expires_at_ms, "used": lambda row: row.of.used_at_ms},
    states=TOKEN_STATES, default_sort="-created",
)  # fmt: skip


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
@operation("embeds", shapes.EmbedTokens, *row_query(EMBED_TOKENS), csv=True)
def listed() -> Response:
    """The tokens of embeds that the one who asks may end, newest first."""
    columns = columns_of(shapes.EmbedToken)
    return answer_rows(embed_token_rows(), EMBED_TOKENS, token_item, "embed-tokens", columns)


def embed_token_rows() -> list[Row]:
    """All tokens that the one who asks may end."""
    now_ms = clock.now_ms()
    return [
        Row(token, str(token.id), RowFact(token.view, _state(token, now_ms)))
        for token in list_embed_tokens(services().store, principal())
    ]


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


def _state(token: EmbedToken, now_ms: int) -> str:
    revoked = token.revoked_at_ms is not None
    return token_state(revoked=revoked, expired=now_ms >= token.expires_at_ms)


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
