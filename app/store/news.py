"""What was committed since a mark, by host and kind: how a process learns what another one stored.

Reads the ends of the tables that only grow, and the registry of hosts, which is small. Knows
nothing of who wants to know.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app.store import schema
from app.store.engine import Store

_GROWING = (schema.scan, schema.revision, schema.change, schema.audit)


class Mark(Struct, frozen=True):
    """How far the store was looked at: the last row of each table that grows, and the registry."""

    last: Mapping[str, int]
    registry: Mapping[int, tuple[Any, ...]]


class Committed(Struct, frozen=True):
    """What was committed, as pairs of a host's slug and a kind: those of things ("device",
    "definition" among them), and "samples", "scan", "audit". `things` are those that a scan
    stored, `others` what a person changed: the registry (kind "host") and the audit.
    """

    things: frozenset[tuple[str, str]]
    others: frozenset[tuple[str, str]]


def mark_of(store: Store) -> Mark:
    """The mark of now; raises StoreError."""
    with store.reading() as connection:
        return _mark(connection)


def committed_since(store: Store, mark: Mark) -> tuple[Mark, Committed]:
    """What was committed since `mark`, and the mark of now; raises StoreError."""
    with store.reading() as connection:
        now = _mark(connection)
        names = {host_id: str(row[0]) for host_id, row in {**mark.registry, **now.registry}.items()}
        things = [
            *_scans(connection, mark.last["scan"]),
            *_revisions(connection, mark.last["revision"]),
            *_changes(connection, mark.last["change"]),
        ]
        others = _audited(connection, mark.last["audit"])
        others += [(host_id, "host") for host_id in _differing(mark.registry, now.registry)]
    return now, Committed(_named(things, names), _named(others, names))


def _mark(connection: sa.Connection) -> Mark:
    last = {
        table.name: connection.scalar(sa.select(sa.func.max(table.c.id))) or 0 for table in _GROWING
    }
    table = schema.host
    rows = connection.execute(sa.select(table.c.id, table.c.slug, table))
    return Mark(last, {row[0]: tuple(row[1:]) for row in rows})


def _scans(connection: sa.Connection, after: int) -> list[tuple[int, str]]:
    table = schema.scan
    query = sa.select(table.c.host_id, sa.func.max(table.c.sampled)).where(table.c.id > after)
    found = []
    for host_id, sampled in connection.execute(query.group_by(table.c.host_id)):
        found.append((host_id, "scan"))
        if sampled:
            found.append((host_id, "samples"))
    return found


def _revisions(connection: sa.Connection, after: int) -> list[tuple[int, str]]:
    entity, revision = schema.entity, schema.revision
    query = (
        sa.select(entity.c.host_id, revision.c.kind)
        .join(entity, entity.c.id == revision.c.entity_id)
        .where(revision.c.id > after)
        .distinct()
    )
    return [(host_id, kind) for host_id, kind in connection.execute(query)]


def _changes(connection: sa.Connection, after: int) -> list[tuple[int, str]]:
    """What went leaves no revision, but a row that tells of it."""
    table = schema.change
    query = sa.select(table.c.host_id, table.c.kind).where(
        table.c.id > after, table.c.host_id.is_not(None)
    )
    return [(host_id, kind) for host_id, kind in connection.execute(query.distinct())]


def _audited(connection: sa.Connection, after: int) -> list[tuple[int, str]]:
    table = schema.audit
    query = sa.select(table.c.host_id).where(table.c.id > after, table.c.host_id.is_not(None))
    return [(host_id, "audit") for host_id in connection.scalars(query.distinct())]


def _differing(
    before: Mapping[int, tuple[Any, ...]], now: Mapping[int, tuple[Any, ...]]
) -> list[int]:
    return [host_id for host_id in {**before, **now} if before.get(host_id) != now.get(host_id)]


def _named(pairs: list[tuple[int, str]], names: Mapping[int, str]) -> frozenset[tuple[str, str]]:
    return frozenset((names[host_id], kind) for host_id, kind in pairs if host_id in names)
