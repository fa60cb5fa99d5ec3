"""Tokens of embeds: one view each, with filters locked, for pages of some origins, until a time.

A token is shown once; only its digest is kept. It never lets see more than whoever made it may see
now, and ends for good when they are disabled or lose the role that makes tokens. What a view is
and which filters it has is the web's business; here they are words.
"""

import base64
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app import clock
from app.access import EMBED_MAKER, Principal, ranks
from app.clock import DAY_MS
from app.errors import InvalidField, NotFound, StoreError
from app.origins import check_origin
from app.store import schema
from app.store.engine import Store
from app.store.sessions import digest_of
from app.store.users import host_ids_of

log = logging.getLogger(__name__)

PREFIX = "npe_"
LONGEST_MS = 366 * DAY_MS
NOTE_MAX = 200
_MOST_ORIGINS = 20
_MOST_TOKENS = 1_000
_HINT = 4
_KEEP_ENDED_MS = 90 * DAY_MS

Filters = Mapping[str, Sequence[str]]
Standing = Literal["live", "revoked", "expired"]


class EmbedToken(Struct, frozen=True):
    """One token. `filters` are the locked parameters of its view; `used_at_ms` is right to about
    a minute.
    """

    id: int
    hint: str
    view: str
    filters: dict[str, tuple[str, ...]]
    origins: tuple[str, ...]
    frame: bool
    note: str
    maker_kind: Literal["user", "token", "command"]
    maker: str
    created_at_ms: int
    expires_at_ms: int
    revoked_at_ms: int | None
    used_at_ms: int | None

    @property
    def created_by(self) -> str:
        """Who made it, as the audit calls them."""
        return self.maker if self.maker_kind == "user" else f"{self.maker_kind}:{self.maker}"


class Held(Struct, frozen=True):
    """A token as it stands now, and the hosts that its maker may see (None: all)."""

    token: EmbedToken
    standing: Standing
    host_ids: frozenset[int] | None = None


def create_embed_token(
    store: Store,
    principal: Principal,
    view: str,
    filters: Filters,
    origins: Sequence[str],
    expires_at_ms: int,
    note: str = "",
    *,
    frame: bool = True,
) -> tuple[str, EmbedToken]:
    """Make a token for `principal`; its text, which is kept nowhere, and what is kept. `origins`
    may be empty: then no page of another site shows it. Raises InvalidField.
    """
    now_ms = clock.now_ms()
    if not now_ms < expires_at_ms <= now_ms + LONGEST_MS:
        days = LONGEST_MS // DAY_MS
        raise InvalidField("expires_at", f"A token of an embed ends within {days} days.")
    if len(note) > NOTE_MAX:
        raise InvalidField("note", f"A note is at most {NOTE_MAX} characters long.")
    text = PREFIX + base64.b32encode(secrets.token_bytes(20)).decode().lower()
    values = {
        "digest": digest_of(text),
        "hint": text[-_HINT:],
        "view": view,
        "filters": msgspec.json.encode({name: list(words) for name, words in filters.items()})
        .decode(),
        "origins": msgspec.json.encode(_checked(origins)).decode(),
        "frame": int(frame),
        "note": note,
        "maker_kind": principal.kind,
        "maker": principal.name,
        "created_at_ms": now_ms,
        "expires_at_ms": expires_at_ms,
    }  # fmt: skip
    table = schema.embed_token
    with store.writing(durable=True) as connection:
        over_ms = now_ms - _KEEP_ENDED_MS
        connection.execute(
            sa.delete(table).where(
                sa.or_(table.c.expires_at_ms < over_ms, table.c.revoked_at_ms < over_ms)
            )
        )
        if (connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0) >= _MOST_TOKENS:
            raise InvalidField("view", f"There are {_MOST_TOKENS} tokens of embeds already.")
        number = connection.execute(sa.insert(table).values(values)).inserted_primary_key
        row = connection.execute(
            sa.select(table).where(table.c.id == (number[0] if number else None))
        ).one()
    return text, _token(row)


def _checked(origins: Sequence[str]) -> list[str]:
    found = list(dict.fromkeys(check_origin(one) for one in origins))
    if len(found) > _MOST_ORIGINS:
        raise InvalidField("origins", f"A token is for at most {_MOST_ORIGINS} origins.")
    return found


def list_embed_tokens(store: Store, principal: Principal) -> list[EmbedToken]:
    """The tokens that `principal` may revoke, newest first, those that ended too: all for who has
    all hosts, else their own.
    """
    table = schema.embed_token
    query = sa.select(table).where(_theirs(principal)).order_by(table.c.id.desc())
    with store.reading() as connection:
        return [_token(row) for row in connection.execute(query)]


def revoke_embed_token(store: Store, token_id: int, principal: Principal) -> EmbedToken:
    """Have a token work no more, and return it; raises NotFound."""
    table = schema.embed_token
    mine = sa.and_(table.c.id == token_id, _theirs(principal))
    with store.writing(durable=True) as connection:
        row = connection.execute(
            sa.select(table).where(mine, table.c.revoked_at_ms.is_(None))
        ).one_or_none()
        if row is None:
            raise NotFound("There is no such token of an embed that works.")
        query = sa.update(table).where(table.c.id == token_id)
        connection.execute(query.values(revoked_at_ms=clock.now_ms()))
    return _token(row)


def held(store: Store, text: str) -> Held | None:
    """The token of that text as it stands now; None for one that was never made, or long ago."""
    if not text.startswith(PREFIX):
        return None
    table, now_ms = schema.embed_token, clock.now_ms()
    with store.reading() as connection:
        row = connection.execute(
            sa.select(table).where(table.c.digest == digest_of(text))
        ).one_or_none()
        if row is None:
            return None
        token = _token(row)
        if token.revoked_at_ms is not None:
            return Held(token, "revoked")
        if now_ms >= token.expires_at_ms:
            return Held(token, "expired")
        scope = _scope_of_maker(connection, token, now_ms)
    return Held(token, "revoked") if scope is None else Held(token, "live", scope.host_ids)


def known_origins(store: Store) -> frozenset[str]:
    """The origins that tokens name, of those that ended too: their pages are told why."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(schema.embed_token.c.origins).distinct()).scalars()
        return frozenset(origin for text in rows for origin in _origins(text))


def note_uses(store: Store, used_at_ms: Mapping[int, int]) -> None:
    """Write down when tokens (by id) were last used. A store that cannot be written keeps nobody
    from reading.
    """
    if store.troubles.writing is not None:
        return
    table = schema.embed_token
    query = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("token_id"))
        .values(used_at_ms=sa.bindparam("at_ms"))
    )
    rows = [{"token_id": number, "at_ms": at_ms} for number, at_ms in used_at_ms.items()]
    try:
        with store.writing() as connection:
            connection.execute(query, rows)
    except StoreError as error:
        log.warning("That tokens of embeds are used could not be noted: %s", error)


def _theirs(principal: Principal) -> sa.ColumnElement[bool]:
    table = schema.embed_token
    if principal.host_ids is None:
        return sa.true()
    return sa.and_(table.c.maker_kind == principal.kind, table.c.maker == principal.name)


class _Scope(Struct, frozen=True):
    host_ids: frozenset[int] | None


def _scope_of_maker(connection: sa.Connection, token: EmbedToken, now_ms: int) -> _Scope | None:
    """What whoever made the token may see now; None where they may make tokens no more."""
    if token.maker_kind == "command":
        return _Scope(None)
    table = schema.user if token.maker_kind == "user" else schema.token
    row = connection.execute(sa.select(table).where(table.c.name == token.maker)).one_or_none()
    if row is None or not ranks(row.role, EMBED_MAKER):
        return None
    if token.maker_kind == "user":
        return None if row.disabled else _Scope(host_ids_of(row.host_ids))
    # A name of a token is free again once it is revoked: a later one is somebody else.
    same = row.created_at_ms <= token.created_at_ms
    expired = row.expires_at_ms is not None and now_ms >= row.expires_at_ms
    works = same and row.revoked_at_ms is None and not expired
    return _Scope(host_ids_of(row.host_ids)) if works else None


def _origins(text: str) -> Collection[str]:
    return msgspec.json.decode(text, type=tuple[str, ...])


def _token(row: Any) -> EmbedToken:
    return EmbedToken(
        id=row.id, hint=row.hint, view=row.view,
        filters=msgspec.json.decode(row.filters, type=dict[str, tuple[str, ...]]),
        origins=tuple(_origins(row.origins)), frame=bool(row.frame), note=row.note,
        maker_kind=row.maker_kind, maker=row.maker, created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms, revoked_at_ms=row.revoked_at_ms,
        used_at_ms=row.used_at_ms,
    )  # fmt: skip
