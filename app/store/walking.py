"""Telling the changes of before the list was kept: a walk over the revisions, in short slices.

What is still to be told stands in the table change_walk: a migration puts every host there that
was scanned before it. A slice is one transaction, so that a walk that is cut off goes on where it
stopped, and nothing is told twice. When a definition was last read is not known any more: what it
tells may lie a quarter of an hour further back than the same told by the scan itself.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app import clock
from app.inventory import KIND_BY_NAME, KINDS, KindName
from app.store import schema
from app.store.changing import (
    DEFINED,
    Look,
    Row,
    Turn,
    insert_changes,
    last_scan,
    listing,
    pool_was_read,
    read_before,
    told,
    told_of_host,
)
from app.store.engine import Store

# So few that what they found is read in a moment, however much it was.
_SCANS = 25
# Devices come and go with their domains.
_ORDER = tuple(kind for kind in KIND_BY_NAME if kind != "device")


def tell_older(store: Store, within_s: float = 0.05) -> bool:
    """Tell the changes of some more scans, for about `within_s`; False when nothing is left."""
    until_s = clock.monotonic_s() + within_s
    if not untold(store):
        return False
    with store.writing() as connection:
        while True:
            scans = _scans(connection)
            if not scans:
                connection.execute(sa.delete(schema.change_walk))
                return False
            _tell(connection, scans, until_s)
            if clock.monotonic_s() >= until_s:
                return True


def untold(store: Store) -> bool:
    """Whether there are changes left to tell."""
    with store.reading() as connection:
        return connection.execute(sa.select(schema.change_walk).limit(1)).first() is not None


def _scans(connection: sa.Connection) -> Sequence[Any]:
    """The next scans of all hosts, in the order in which they were made: halves of a move are to
    meet as they did then.
    """
    scan, walk = schema.scan, schema.change_walk
    first_ms = connection.scalar(sa.select(sa.func.min(walk.c.next_ms)))
    if first_ms is None:
        return ()
    mine = sa.and_(
        walk.c.host_id == scan.c.host_id, scan.c.at_ms.between(walk.c.next_ms, walk.c.until_ms)
    )
    query = sa.select(scan, schema.host.c.slug).join(walk, mine)
    query = query.join(schema.host, schema.host.c.id == scan.c.host_id)
    query = query.where(scan.c.at_ms >= first_ms).order_by(scan.c.at_ms, scan.c.host_id)
    return connection.execute(query.limit(_SCANS)).all()


def _tell(connection: sa.Connection, scans: Sequence[Any], until_s: float) -> None:
    """Tell scan by scan until the time is over, and write down how far it came."""
    from_ms, to_ms = scans[0].at_ms, scans[-1].at_ms
    hosts = {one.host_id: one.at_ms for one in reversed(scans)}
    turns = {host_id: _turns(connection, host_id, from_ms, to_ms) for host_id in hosts}
    memories = {host_id: _Memory(connection, host_id, first) for host_id, first in hosts.items()}
    done: dict[int, int] = {}
    for one in scans:
        memory = memories[one.host_id]
        rows = list(memory.of_host(one))
        turned = turns[one.host_id].get(one.at_ms)
        if turned:
            found = [memory.turn(row, one.slug) for row in turned]
            rows += told(found, one.host_id, one.at_ms, memory.after)
        insert_changes(connection, rows)
        memory.take(one)
        done[one.host_id] = one.at_ms + 1
        if clock.monotonic_s() >= until_s:
            break
    table = schema.change_walk
    connection.execute(
        sa.update(table)
        .where(table.c.host_id == sa.bindparam("host"))
        .values(next_ms=sa.bindparam("next")),
        [{"host": host_id, "next": next_ms} for host_id, next_ms in done.items()],
    )


class _Memory:
    """What the scans before told, as the recorder would remember it."""

    def __init__(self, connection: sa.Connection, host_id: int, at_ms: int) -> None:
        self._connection = connection
        self._host_id = host_id
        self._at_ms = at_ms
        anything = schema.scan.c.host_id == host_id
        self._last_ms = last_scan(connection, host_id, anything, at_ms)
        self._good_ms = last_scan(connection, host_id, schema.scan.c.ok == 1, at_ms)
        self._listed: dict[KindName, int | None] = {
            kind.name: last_scan(connection, host_id, listing(kind.name), at_ms)
            for kind in KINDS
            if kind.name != "definition"
        }
        # What was found out for other objects of the same scan.
        self._before: dict[str, bool] = {}

    def take(self, scan: Any) -> None:
        """Remember a scan that was told."""
        self._last_ms = scan.at_ms
        if scan.ok:
            self._good_ms = scan.at_ms
        for kind in self._listed:
            bits = scan.sampled if kind == "volume" else scan.listed
            if bits & schema.KIND_BIT[kind]:
                self._listed[kind] = scan.at_ms

    def of_host(self, scan: Any) -> Iterator[Row]:
        """That it stopped answering or does again, and that nobody looked; the first scan after a
        stop tells of it.
        """
        self._at_ms = scan.at_ms
        self._before.clear()
        look = Look(
            self._host_id, scan.slug, scan.at_ms, bool(scan.ok), scan.sentence, scan.interval_ms,
            self._last_ms, self._good_ms,
        )  # fmt: skip
        return told_of_host(self._connection, look, lambda: self._newest(scan.at_ms))

    def _newest(self, at_ms: int) -> int | None:
        """The time of the scan before that of `at_ms`, of whichever host."""
        at, host_id = schema.scan.c.at_ms, schema.scan.c.host_id
        before = sa.or_(at < at_ms, sa.and_(at == at_ms, host_id < self._host_id))
        query = sa.select(at).where(at <= at_ms, before).order_by(at.desc()).limit(1)
        return self._connection.scalar(query)

    def turn(self, row: Any, slug: str) -> Turn:
        """A turn as the recorder makes it, of what `_turns` found."""
        kind: KindName = row.kind
        fact = KIND_BY_NAME[kind].fact
        turn = Turn(
            kind, row.key, "", entity_id=row.entity_id, old_id=row.old_id, new_id=row.new_id
        )
        for field, body in (("old", row.old_body), ("new", row.new_body)):
            if body is not None:
                setattr(turn, field, msgspec.json.decode(body, type=fact))
        seen = turn.old if turn.new is None else turn.new
        turn.name = slug if kind == "host" else str(getattr(seen, "name", ""))
        if kind == "definition":
            turn.entity_id, turn.name = self._domain(row.key)
            turn.listed = False
        elif turn.old is None:
            turn.listed = self._was_listed(kind, row.key)
        return turn

    def _domain(self, key: str) -> tuple[int | None, str]:
        entity, revision = schema.entity, schema.revision
        row = self._connection.execute(
            sa.select(revision.c.entity_id, revision.c.body)
            .join(entity, entity.c.id == revision.c.entity_id)
            .where(entity.c.host_id == self._host_id, entity.c.kind == "domain")
            .where(entity.c.key == key, revision.c.valid_from_ms <= self._at_ms)
            .order_by(revision.c.valid_from_ms.desc())
            .limit(1)
        ).first()
        return (None, "") if row is None else (row.entity_id, msgspec.json.decode(row.body)["name"])

    def _was_listed(self, kind: KindName, key: str) -> bool:
        group = key.split("/", 1)[0] if kind == "volume" else kind
        if group not in self._before:
            self._before[group] = self._listed_before(kind, group)
        return self._before[group]

    def _listed_before(self, kind: KindName, pool: str) -> bool:
        if kind == "volume":
            return self._volumes_listed(pool)
        return self._listed[kind] is not None or self._seen_before(schema.entity.c.kind == kind)

    def _volumes_listed(self, pool: str) -> bool:
        entity, revision = schema.entity, schema.revision
        body = self._connection.scalar(
            sa.select(revision.c.body)
            .join(entity, entity.c.id == revision.c.entity_id)
            .where(entity.c.host_id == self._host_id, entity.c.kind == "pool")
            .where(entity.c.key == pool, revision.c.valid_from_ms < self._at_ms)
            .where(sa.or_(revision.c.valid_to_ms.is_(None), revision.c.valid_to_ms >= self._at_ms))
        )
        before = None if body is None else msgspec.json.decode(body, type=KIND_BY_NAME["pool"].fact)
        inside = entity.c.key.startswith(f"{pool}/", autoescape=True)
        return pool_was_read(before) or self._seen_before(entity.c.kind == "volume", inside)

    def _seen_before(self, *conditions: sa.ColumnElement[bool]) -> bool:
        entity = schema.entity
        query = sa.select(entity.c.id).where(
            entity.c.host_id == self._host_id, entity.c.first_seen_ms < self._at_ms, *conditions
        )
        return self._connection.scalar(query.limit(1)) is not None

    def after(self, turn: Turn, field: str) -> int | None:
        """When a field was last seen as it was before."""
        if turn.old is None and not turn.listed:
            return None
        kind: KindName = "domain" if turn.kind == "definition" else turn.kind
        listed_ms = self._listed[kind]
        if kind == "domain" and turn.old is not None and field in (*DEFINED, "definition"):
            return read_before(self._connection, turn, listed_ms)
        return listed_ms


class _Turned(Struct, frozen=True):
    """One thing that went from one revision to another at a scan."""

    kind: KindName
    key: str
    entity_id: int
    old_id: int | None
    old_body: str | None
    new_id: int | None
    new_body: str | None


def _turns(
    connection: sa.Connection, host_id: int, from_ms: int, to_ms: int
) -> dict[int, list[_Turned]]:
    """What turned between two scans of a host (both included), by scan, in the recorder's order:
    what is new or differs as it was written, then what is gone.
    """
    entity, revision = schema.entity, schema.revision
    query = (
        sa.select(revision, entity.c.key)
        .join(entity, entity.c.id == revision.c.entity_id)
        .where(entity.c.host_id == host_id, revision.c.kind.in_(_ORDER))
        .order_by(revision.c.id)
    )
    begun = connection.execute(query.where(revision.c.valid_from_ms.between(from_ms, to_ms))).all()
    over = connection.execute(query.where(revision.c.valid_to_ms.between(from_ms, to_ms))).all()
    ended = {(row.entity_id, row.valid_to_ms): row for row in over}
    found: dict[int, list[_Turned]] = {}
    for row in begun:
        old = ended.pop((row.entity_id, row.valid_from_ms), None)
        found.setdefault(row.valid_from_ms, []).append(_turned(row, old, row))
    for (_, at_ms), row in sorted(ended.items(), key=lambda item: _ORDER.index(item[1].kind)):
        if row.kind != "definition":
            found.setdefault(at_ms, []).append(_turned(row, row, None))
    return found


def _turned(row: Any, old: Any, new: Any) -> _Turned:
    return _Turned(
        row.kind, row.key, row.entity_id,
        None if old is None else old.id, None if old is None else old.body,
        None if new is None else new.id, None if new is None else new.body,
    )  # fmt: skip
