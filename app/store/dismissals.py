"""Findings of the capacity review that somebody dismissed, with a note. Reads and writes them.

A dismissal holds until the facts that the finding rests on are others, or somebody undoes it.
Nothing is deleted: a review of a past moment tells what was dismissed then.
"""

import sqlalchemy as sa
from msgspec import Struct

from app.capacity.reclaim import FINDING_KINDS
from app.errors import InvalidField, NotFound
from app.language import gettext
from app.store import schema
from app.store.engine import Store

NOTE_MAX = 500
_KEY_MAX = 4096


class Dismissal(Struct, frozen=True):
    """A dismissed finding: what of which object of a host, the digest of its facts, and why."""

    host: str
    kind: str
    key: str
    facts_digest: str
    note: str
    who: str
    at_ms: int


def dismiss(store: Store, host_id: int, wanted: Dismissal) -> None:
    """Dismiss a finding, in place of what was said of it before. Raises InvalidField."""
    if wanted.kind not in FINDING_KINDS:
        raise InvalidField("kind", f"Give one of {', '.join(FINDING_KINDS)}.")
    if not wanted.key or len(wanted.key) > _KEY_MAX:
        raise InvalidField("key", "Say which object the finding is of.")
    if not wanted.facts_digest or len(wanted.facts_digest) > 64:
        raise InvalidField("facts_digest", "Give the digest that the finding has.")
    note = wanted.note.strip()
    if not note:
        raise InvalidField("note", gettext("Say why, in a few words, for those who ask later."))
    if len(note) > NOTE_MAX:
        raise InvalidField(
            "note", gettext("A note has at most %(count)s characters.", count=NOTE_MAX)
        )
    table = schema.dismissal
    with store.writing() as connection:
        _end(connection, host_id, wanted.kind, wanted.key, wanted.at_ms)
        connection.execute(
            sa.insert(table).values(
                host_id=host_id, kind=wanted.kind, key=wanted.key,
                facts_digest=wanted.facts_digest, note=note, who=wanted.who, at_ms=wanted.at_ms,
            )
        )  # fmt: skip


def undo_dismissal(store: Store, host_id: int, kind: str, key: str, at_ms: int) -> None:
    """Have a finding told again. Raises NotFound where it is not dismissed."""
    with store.writing() as connection:
        if not _end(connection, host_id, kind, key, at_ms):
            raise NotFound("That finding is not dismissed.")


def _end(connection: sa.Connection, host_id: int, kind: str, key: str, at_ms: int) -> int:
    table = schema.dismissal
    query = sa.update(table).where(
        table.c.host_id == host_id,
        table.c.kind == kind,
        table.c.key == key,
        table.c.ended_at_ms.is_(None),
    )
    return connection.execute(query.values(ended_at_ms=at_ms)).rowcount


def dismissals(store: Store, moment_ms: int | None) -> dict[tuple[str, str, str, str], Dismissal]:
    """What is dismissed at a moment (None: now), by host, kind, key and digest of the facts."""
    table, host = schema.dismissal, schema.host
    query = sa.select(table, host.c.slug).join(host, host.c.id == table.c.host_id)
    if moment_ms is None:
        query = query.where(table.c.ended_at_ms.is_(None))
    else:
        query = query.where(
            table.c.at_ms <= moment_ms,
            sa.or_(table.c.ended_at_ms.is_(None), table.c.ended_at_ms > moment_ms),
        )
    with store.reading() as connection:
        rows = connection.execute(query.order_by(table.c.id)).all()
    return {
        (row.slug, row.kind, row.key, row.facts_digest): Dismissal(
            row.slug, row.kind, row.key, row.facts_digest, row.note, row.who, row.at_ms
        )
        for row in rows
    }
