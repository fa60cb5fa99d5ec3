"""What made a fleet larger or smaller, out of the list of changes, and since when domains are off.

Reads only. Revisions are never deleted, so that the size of what is gone is still known.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.capacity.evidence import Event
from app.inventory import Domain, Fact, KindName, Volume
from app.store import schema
from app.store.facts import facts_by_id
from app.store.moves import MOVED, MOVED_AWAY

_AT_ONCE = 500
_OFF = ("stopped", "crashed")
# What is told of domains and volumes: the words of the list of changes, and those of Event.
_WHAT: Mapping[str, str] = {
    "created": "created", "deleted": "deleted", "resized": "resized", "memory": "resized",
    "vcpus": "resized", MOVED: "moved-here", MOVED_AWAY: "moved-away",
}  # fmt: skip


def read_events(
    connection: sa.Connection, hosts: Mapping[int, str], from_ms: int, at_ms: int
) -> list[Event]:
    """What happened on the hosts (by id) from a time on, as known at `at_ms`, the oldest first."""
    table = schema.change
    query = (
        sa.select(table)
        .where(table.c.what.in_(list(_WHAT)), table.c.at_ms.between(from_ms, at_ms))
        .where(table.c.kind.in_(("domain", "volume")), table.c.host_id.in_(list(hosts)))
        .where(sa.or_(table.c.replaced_ms.is_(None), table.c.replaced_ms > at_ms))
        .order_by(table.c.at_ms, table.c.id)
    )
    rows = connection.execute(query).all()
    wanted: dict[int, KindName] = {}
    for row in rows:
        number = _revision_of(row)
        if number is not None:
            wanted[number] = row.kind
    facts = facts_by_id(connection, wanted)
    pools = _pool_names(connection, hosts)
    return list(_events(rows, facts, hosts, pools))


def _revision_of(row: Any) -> int | None:
    """The one that tells how large it is, or was."""
    number: int | None = (
        row.old_revision_id if row.what in ("deleted", MOVED_AWAY) else row.new_revision_id
    )
    return number


def _events(
    rows: Sequence[Any],
    facts: Mapping[int, Fact],
    hosts: Mapping[int, str],
    pools: Mapping[tuple[int, str], str],
) -> Iterator[Event]:
    for row in rows:
        fact = facts.get(_revision_of(row) or 0)
        what, host = _WHAT[row.what], hosts[row.host_id]
        sign = -1 if what in ("deleted", "moved-away") else 1
        if row.kind == "volume":
            uuid, _, name = row.key.partition("/")
            size = fact.capacity_bytes if isinstance(fact, Volume) else None
            if what == "resized":
                size = _grown(row)
            yield Event(
                row.at_ms, "volume", what, host, name, row.key, pools.get((row.host_id, uuid)),
                capacity_bytes=None if size is None else sign * size,
            )  # fmt: skip
            continue
        domain = fact if isinstance(fact, Domain) else None
        vcpus: int | None = 0
        memory: int | None = 0
        if row.what == "memory":
            memory = _grown(row)
        elif row.what == "vcpus":
            vcpus = _grown(row)
        else:
            vcpus = _signed(domain.vcpus if domain else None, sign)
            memory = _signed(domain.memory_bytes if domain else None, sign)
        yield Event(
            row.at_ms, "domain", what, host, row.name, row.key,
            title=domain.title if domain else None,
            description=domain.description if domain else None,
            vcpus=vcpus, memory_bytes=memory,
        )  # fmt: skip


def _signed(value: int | None, sign: int) -> int | None:
    return None if value is None else sign * value


def _grown(row: Any) -> int | None:
    """By what a number that the row tells became larger."""
    if row.old is None or row.new is None or not (row.old + row.new).isdecimal():
        return None
    return int(row.new) - int(row.old)


def _pool_names(connection: sa.Connection, hosts: Mapping[int, str]) -> dict[tuple[int, str], str]:
    """By host and UUID what pools are called, or were last."""
    entity, revision = schema.entity, schema.revision
    query = (
        sa.select(entity.c.host_id, entity.c.key, revision.c.id)
        .join(revision, revision.c.entity_id == entity.c.id)
        .where(entity.c.kind == "pool", entity.c.host_id.in_(list(hosts)))
        .order_by(revision.c.valid_from_ms)
    )
    last = {(row.host_id, row.key): row.id for row in connection.execute(query)}
    facts = facts_by_id(connection, dict.fromkeys(last.values(), "pool"))
    return {
        key: fact.name
        for key, number in last.items()
        if (fact := facts.get(number)) is not None and hasattr(fact, "name")
    }


def last_stops(connection: sa.Connection, entity_ids: Sequence[int], at_ms: int) -> dict[int, int]:
    """By domain when it was last seen to stop, before a time."""
    table = schema.change
    found: dict[int, int] = {}
    for start in range(0, len(entity_ids), _AT_ONCE):
        query = (
            sa.select(table.c.entity_id, sa.func.max(table.c.at_ms))
            .where(table.c.entity_id.in_(entity_ids[start : start + _AT_ONCE]))
            .where(table.c.what.in_(_OFF), table.c.at_ms <= at_ms)
            .group_by(table.c.entity_id)
        )
        found.update({row[0]: row[1] for row in connection.execute(query)})
    return found


def first_seen(connection: sa.Connection) -> dict[int, int]:
    """By domain and volume when it was first seen."""
    table = schema.entity
    query = sa.select(table.c.id, table.c.first_seen_ms).where(
        table.c.kind.in_(("domain", "volume"))
    )
    cursor = connection.execute(query).cursor
    assert cursor is not None
    return dict(cursor.fetchall())
