"""The shapes of tokens of embeds."""

from collections.abc import Mapping, Sequence

from app.web.shapes.common import Counted, Shape, Time


class EmbedToken(Shape):
    """A token of an embed; its text is told once, when it is made."""

    id: int
    hint: str
    view: str
    filters: Mapping[str, Sequence[str]]
    origins: Sequence[str]
    frame: bool
    note: str
    created_by: str
    created_at: Time
    expires_at: Time
    revoked_at: Time | None
    used_at: Time | None


class EmbedTokens(Counted):
    """Tokens of embeds, newest first, revoked and expired ones too."""

    items: list[EmbedToken]


class EmbedTokenMade(Shape):
    """A new token, and its text."""

    item: EmbedToken
    token: str
