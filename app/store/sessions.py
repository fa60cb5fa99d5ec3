"""The sessions of signed-in users. The browser holds a random text; the store only its digest.

A session ends when it is told to, twelve hours after it was last used, or seven days after it
began. When it was used is written down every five minutes, not at every request.
"""

import hashlib
import logging
import secrets
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app import clock
from app.access import Principal
from app.clock import HOUR_MS
from app.errors import NotFound, StoreError
from app.store import schema
from app.store.engine import Store
from app.store.users import User, host_ids_of

log = logging.getLogger(__name__)

IDLE_MS = 12 * HOUR_MS
LONGEST_MS = 7 * 24 * HOUR_MS
_NOTE_EVERY_MS = 5 * 60_000
_AGENT_MAX = 200


class Session(Struct, frozen=True):
    """One session that goes on."""

    id: int
    user: str
    role: str
    created_at_ms: int
    seen_at_ms: int
    expires_at_ms: int
    peer: str
    agent: str


class Signed(Struct, frozen=True):
    """Who a session is of, and until when it holds without being looked up again."""

    principal: Principal
    seen_at_ms: int
    until_ms: int


def begin_session(store: Store, user: User, peer: str, agent: str) -> str:
    """Begin a session; the secret text for the cookie."""
    secret = secrets.token_urlsafe(32)
    now_ms = clock.now_ms()
    with store.writing(durable=True) as connection:
        connection.execute(
            sa.insert(schema.session).values(
                digest=digest_of(secret), user_id=user.id, created_at_ms=now_ms, seen_at_ms=now_ms,
                expires_at_ms=now_ms + LONGEST_MS, peer=peer, agent=agent[:_AGENT_MAX],
            )
        )  # fmt: skip
        table = schema.user
        connection.execute(
            sa.update(table).where(table.c.id == user.id).values(signed_in_at_ms=now_ms)
        )
    return secret


def signed_in(store: Store, secret: str) -> Signed | None:
    """Whose session it is, if it goes on and its user may still sign in."""
    query = _with_user().where(schema.session.c.digest == digest_of(secret))
    with store.reading() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _signed(row)


def still_signed_in(store: Store, session_ids: Collection[int]) -> dict[int, Principal]:
    """Whose sessions these are, of those that go on; a few hundred ids at most."""
    query = _with_user().where(schema.session.c.id.in_(session_ids))
    with store.reading() as connection:
        signed = {row.id: _signed(row) for row in connection.execute(query)}
    return {key: one.principal for key, one in signed.items() if one is not None}


def note_use(store: Store, signed: Signed) -> bool:
    """Write down that a session is used, every few minutes; whether it was written. A store that
    cannot be written keeps nobody from reading.
    """
    now_ms = clock.now_ms()
    if now_ms - signed.seen_at_ms < _NOTE_EVERY_MS or store.troubles.writing is not None:
        return False
    table = schema.session
    query = sa.update(table).where(table.c.id == signed.principal.session_id)
    try:
        with store.writing() as connection:
            connection.execute(query.values(seen_at_ms=now_ms))
    except StoreError as error:
        log.warning("That a session is used could not be noted: %s", error)
        return False
    return True


def list_sessions(store: Store, user_id: int | None = None) -> list[Session]:
    """The sessions that go on, of everybody or of one user, last used first."""
    table, user, now_ms = schema.session, schema.user, clock.now_ms()
    query = (
        sa.select(table, user.c.name, user.c.role)
        .join(user, user.c.id == table.c.user_id)
        .where(table.c.ended_at_ms.is_(None), user.c.disabled == 0)
        .where(table.c.expires_at_ms > now_ms, table.c.seen_at_ms > now_ms - IDLE_MS)
        .order_by(table.c.seen_at_ms.desc(), table.c.id.desc())
    )
    if user_id is not None:
        query = query.where(table.c.user_id == user_id)
    with store.reading() as connection:
        return [_session(row) for row in connection.execute(query)]


def end_session(store: Store, session_id: int, user_id: int | None = None) -> None:
    """End a session, of `user_id` if that is given; raises NotFound."""
    table = schema.session
    query = sa.update(table).where(table.c.id == session_id, table.c.ended_at_ms.is_(None))
    if user_id is not None:
        query = query.where(table.c.user_id == user_id)
    with store.writing(durable=True) as connection:
        if not connection.execute(query.values(ended_at_ms=clock.now_ms())).rowcount:
            raise NotFound("There is no such session (any more).")


def digest_of(secret: str) -> str:
    """What the store keeps of a random secret; it is long, so it needs no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _with_user() -> sa.Select[Any]:
    table, user = schema.session, schema.user
    return sa.select(table, user.c.name, user.c.role, user.c.host_ids, user.c.disabled).join(
        user, user.c.id == table.c.user_id
    )


def _signed(row: Any) -> Signed | None:
    if row.ended_at_ms is not None or row.disabled:
        return None
    until_ms = min(row.seen_at_ms + IDLE_MS, row.expires_at_ms)
    if clock.now_ms() >= until_ms:
        return None
    principal = Principal(
        "user", row.name, row.role, host_ids_of(row.host_ids), row.user_id, row.id
    )
    return Signed(principal, row.seen_at_ms, until_ms)


def _session(row: Any) -> Session:
    return Session(
        id=row.id, user=row.name, role=row.role, created_at_ms=row.created_at_ms,
        seen_at_ms=row.seen_at_ms,
        expires_at_ms=min(row.expires_at_ms, row.seen_at_ms + IDLE_MS),
        peer=row.peer, agent=row.agent,
    )  # fmt: skip
