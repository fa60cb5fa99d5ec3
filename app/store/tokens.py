"""Tokens of the API: a name, a role, maybe some hosts, maybe an expiry. Only digests are kept.

A token is shown once, when it is made. A revoked one stays listed until its name is used again.
"""

import base64
import logging
import re
import secrets
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app import clock
from app.access import NAME_MAX, Principal, Role, check_role
from app.errors import Conflict, InvalidField, NotFound, StoreError
from app.store import schema
from app.store.engine import Store
from app.store.sessions import digest_of
from app.store.users import host_ids_of, host_ids_text

log = logging.getLogger(__name__)

PREFIX = "npt_"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_NOTE_EVERY_MS = 5 * 60_000


class Token(Struct, frozen=True):
    """One token. `expires_at_ms` None: never. `used_at_ms` is right to five minutes."""

    id: int
    name: str
    role: Role
    host_ids: frozenset[int] | None
    created_by: str
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    used_at_ms: int | None

    def works(self, now_ms: int) -> bool:
        """Whether it is neither revoked nor expired."""
        expired = self.expires_at_ms is not None and now_ms >= self.expires_at_ms
        return self.revoked_at_ms is None and not expired


def check_token_name(text: str, field: str = "name") -> str:
    """`text` if it may name a token; raises InvalidField."""
    if not _NAME.fullmatch(text) or len(text) > NAME_MAX:
        raise InvalidField(
            field,
            f"A token's name is up to {NAME_MAX} lower-case letters, digits, dots and hyphens.",
        )
    return text


def add_token(
    store: Store,
    name: str,
    role: str,
    *,
    created_by: str,
    expires_at_ms: int | None = None,
    hosts: Collection[str] = (),
) -> str:
    """Make a token and return its text, which is kept nowhere. Raises InvalidField, Conflict."""
    check_token_name(name)
    text = PREFIX + base64.b32encode(secrets.token_bytes(25)).decode().lower()
    table, now_ms = schema.token, clock.now_ms()
    if expires_at_ms is not None and expires_at_ms <= now_ms:
        raise InvalidField("expires", "This time is over already.")
    values = {
        "name": name, "digest": digest_of(text), "role": check_role(role),
        "created_by": created_by, "created_at_ms": now_ms, "expires_at_ms": expires_at_ms,
    }  # fmt: skip
    with store.writing(durable=True) as connection:
        row = connection.execute(sa.select(table).where(table.c.name == name)).one_or_none()
        if row is not None and _token(row).works(now_ms):
            raise Conflict(f"There is a token {name} already; revoke it first.")
        values["host_ids"] = host_ids_text(connection, hosts)
        connection.execute(sa.delete(table).where(table.c.name == name))
        connection.execute(sa.insert(table).values(values))
    return text


def list_tokens(store: Store) -> list[Token]:
    """All tokens by name, revoked and expired ones too."""
    with store.reading() as connection:
        query = sa.select(schema.token).order_by(schema.token.c.name)
        return [_token(row) for row in connection.execute(query)]


def revoke_token(store: Store, name: str) -> None:
    """Have a token work no more; raises NotFound."""
    table = schema.token
    query = sa.update(table).where(table.c.name == name, table.c.revoked_at_ms.is_(None))
    with store.writing(durable=True) as connection:
        if not connection.execute(query.values(revoked_at_ms=clock.now_ms())).rowcount:
            raise NotFound(f"There is no token {name[:NAME_MAX]} that works.")


def token_of(store: Store, text: str) -> Token | None:
    """The token of that text, if it works; notes its use every few minutes."""
    if not text.startswith(PREFIX):
        return None
    table, now_ms = schema.token, clock.now_ms()
    with store.reading() as connection:
        row = connection.execute(
            sa.select(table).where(table.c.digest == digest_of(text))
        ).one_or_none()
    if row is None or not (token := _token(row)).works(now_ms):
        return None
    if token.used_at_ms is None or now_ms - token.used_at_ms >= _NOTE_EVERY_MS:
        _note_use(store, token.id, now_ms)
    return token


def _note_use(store: Store, token_id: int, now_ms: int) -> None:
    """A store that cannot be written keeps nobody from reading."""
    if store.troubles.writing is not None:
        return
    table = schema.token
    try:
        with store.writing() as connection:
            connection.execute(
                sa.update(table).where(table.c.id == token_id).values(used_at_ms=now_ms)
            )
    except StoreError as error:
        log.warning("That a token is used could not be noted: %s", error)


def still_working(store: Store, digests: Collection[str]) -> dict[str, Principal]:
    """Who asks with the tokens of these digests, of those that work; a few hundred at most."""
    now_ms = clock.now_ms()
    query = sa.select(schema.token).where(schema.token.c.digest.in_(digests))
    with store.reading() as connection:
        found = {row.digest: _token(row) for row in connection.execute(query)}
    return {key: bearer(token) for key, token in found.items() if token.works(now_ms)}


def bearer(token: Token) -> Principal:
    """Who asks with a token."""
    return Principal("token", token.name, token.role, token.host_ids)


def _token(row: Any) -> Token:
    return Token(
        id=row.id, name=row.name, role=row.role, host_ids=host_ids_of(row.host_ids),
        created_by=row.created_by, created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms, revoked_at_ms=row.revoked_at_ms,
        used_at_ms=row.used_at_ms,
    )  # fmt: skip
