"""Which rows of days a past moment goes by: those that there were then, as they were then.

A day counts from an hour after its end on; where it was put together later (npvirt was away), from
then on, which is kept. What rows said before a day was put together again, because of scans that
were stored late, is kept as well. So the same is told of a moment whenever it is asked.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct, field

from app.clock import DAY_MS, HOUR_MS, MINUTE_MS
from app.inventory import KindName
from app.store import schema
from app.store.tiers import day_text

# So long after its end a day is put together: that begins a quarter of an hour after it, and takes
# minutes at the very most.
DONE_AFTER_MS = HOUR_MS
# What is being written now is there by then.
_WRITTEN_MS = MINUTE_MS


class KnownDays(Struct, frozen=True):
    """The days before `end`, and what of their rows was not there, or otherwise, at `at_ms`.

    `late` are days of hosts that had not been put together; of the hosts in `undone` none is from
    a day on. `replaced` is by day and object what rows said; None: there was no row.
    """

    end: int
    at_ms: int | None = None
    late: frozenset[tuple[int, str]] = frozenset()
    undone: Mapping[int, str] = field(default_factory=dict)
    replaced: Mapping[tuple[str, int], Mapping[str, float | None] | None] = field(
        default_factory=dict
    )
    hosts: Mapping[int, int] = field(default_factory=dict)

    @property
    def is_all(self) -> bool:
        """Whether all rows of its days count as they are."""
        return not (self.late or self.undone or self.replaced)

    def rows(
        self, rows: Iterable[Sequence[Any]], columns: Sequence[Sequence[str]] = ()
    ) -> Iterable[Sequence[Any]]:
        """Rows of day, object and values as they were known; each value is the sum of `columns`."""
        return rows if self.is_all else self._known(rows, columns)

    def _known(
        self, rows: Iterable[Sequence[Any]], columns: Sequence[Sequence[str]]
    ) -> Iterator[Sequence[Any]]:
        for row in rows:
            day, entity_id = row[:2]
            host_id = self.hosts.get(entity_id)
            if host_id is not None and (
                (host_id, day) in self.late or day >= self.undone.get(host_id, "~")
            ):
                continue
            if (day, entity_id) not in self.replaced:
                yield row
                continue
            told = self.replaced[day, entity_id]
            if told is not None:
                yield day, entity_id, *(_sum([told[name] for name in names]) for names in columns)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def known_days(connection: sa.Connection, at_ms: int) -> KnownDays:
    """The days that a moment goes by."""
    end = (at_ms - DONE_AFTER_MS) // DAY_MS
    table = schema.late_day
    query = sa.select(table.c.host_id, table.c.day).where(
        table.c.counts_from_ms > at_ms, table.c.day < end
    )
    late = frozenset((row.host_id, day_text(row.day)) for row in connection.execute(query))
    undone = _undone(connection, end)
    hosts: dict[int, int] = {}
    if late or undone:
        entity = schema.entity
        of = {host_id for host_id, _ in late} | undone.keys()
        wanted = sa.select(entity.c.id, entity.c.host_id).where(entity.c.host_id.in_(of))
        hosts = {row.id: row.host_id for row in connection.execute(wanted)}
    return KnownDays(end, at_ms, late, undone, _replaced(connection, at_ms, end), hosts)


def _undone(connection: sa.Connection, end: int) -> dict[int, str]:
    """By host the first day that is not put together, where there is one before `end`: rows of it
    may be written just now.
    """
    done, scan, host = schema.compacted, schema.scan, schema.host
    due = sa.exists().where(
        scan.c.host_id == host.c.id,
        scan.c.at_ms > sa.func.coalesce(done.c.last_scan_ms, -1),
        scan.c.at_ms < end * DAY_MS,
    )
    query = (
        sa.select(host.c.id, sa.func.coalesce(done.c.before_day, 0).label("day"))
        .join(done, done.c.host_id == host.c.id, isouter=True)
        .where(due)
    )
    return {row.id: day_text(row.day) for row in connection.execute(query)}


def _replaced(
    connection: sa.Connection, at_ms: int, end: int
) -> dict[tuple[str, int], Mapping[str, float | None] | None]:
    table = schema.replaced_day
    query = (
        sa.select(table)
        .where(table.c.until_ms > at_ms, table.c.day < end)
        .order_by(table.c.until_ms.desc())
    )
    # Of several the earliest is the one that was there.
    return {(day_text(row.day), row.entity): _told(row.body) for row in connection.execute(query)}


def _told(body: str | None) -> Mapping[str, float | None] | None:
    return None if body is None else msgspec.json.decode(body, type=dict[str, float | None])


def mark_late(connection: sa.Connection, host_id: int, day: int, now_ms: int) -> None:
    """Keep from when on a host's day counts that is put together for the first time, now."""
    counts_from_ms = now_ms + _WRITTEN_MS
    if counts_from_ms > (day + 1) * DAY_MS + DONE_AFTER_MS:
        values = {"host_id": host_id, "day": day, "counts_from_ms": counts_from_ms}
        connection.execute(sa.insert(schema.late_day).values(values))


def keep_replaced(
    connection: sa.Connection, kind: KindName, day: int, rows: Mapping[int, Mapping[str, Any]],
    now_ms: int,
) -> None:  # fmt: skip
    """Keep what a day's rows say that are about to be replaced, by object, where they differ."""
    until_ms = now_ms + _WRITTEN_MS
    if until_ms <= (day + 1) * DAY_MS + DONE_AFTER_MS:
        # No moment has gone by them yet.
        return
    table = schema.dailies[kind]
    query = sa.select(table).where(table.c.day == day_text(day), table.c.entity.in_(rows))
    before = {row["entity"]: row for row in connection.execute(query).mappings()}
    names = [column.name for column in table.c][2:]
    kept = []
    for entity_id, row in rows.items():
        old = before.get(entity_id)
        told = None if old is None else {name: old[name] for name in names}
        if told != {name: row.get(name) for name in names}:
            body = None if told is None else msgspec.json.encode(told).decode()
            kept.append({"entity": entity_id, "day": day, "until_ms": until_ms, "body": body})
    if kept:
        connection.execute(sa.insert(schema.replaced_day), kept)


def forget_days(connection: sa.Connection, before_day: int) -> None:
    """Delete what is kept of days before one."""
    for table in (schema.late_day, schema.replaced_day):
        connection.execute(sa.delete(table).where(table.c.day < before_day))
