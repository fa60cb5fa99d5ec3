"""What the archive of scans tells of hosts: days of a moment, failures and good looks of stretches.

Reads only. How a day is packed, and which of its scans stay in the table, is app/store/archive.py.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import sqlalchemy as sa

from app.clock import DAY_MS
from app.store import schema
from app.store.archive import ArchivedDay, ScanRow, day_id


def days_at(
    connection: sa.Connection, host_ids: Iterable[int], at_ms: int
) -> dict[int, ArchivedDay]:
    """By host, the archive of the day of a moment; of those that have one."""
    ids = [day_id(host_id, at_ms // DAY_MS) for host_id in host_ids]
    rows = connection.execute(_days_query(), {"ids": ids})
    return {number >> 32: ArchivedDay(body) for number, body in rows}


@cache
def _days_query() -> sa.Select[Any]:
    """Put together once: that costs more than running it."""
    table = schema.scan_day
    return sa.select(table.c.id, table.c.body).where(
        table.c.id.in_(sa.bindparam("ids", expanding=True))
    )


def failures_between(
    connection: sa.Connection, host_id: int, stretches: Sequence[tuple[int, int]]
) -> list[int]:
    """How many archived looks at a host failed in each stretch: after its first time and up to
    its second. A day is opened where a stretch begins or ends in it, and once if the stretches
    stand in the order of time, in either direction.
    """
    if not stretches:
        return []
    table = schema.scan_day
    first_ms, last_ms = min(one for one, _ in stretches), max(one for _, one in stretches)
    query = (
        sa.select(table.c.id, table.c.from_ms, table.c.until_ms, table.c.failed)
        .where(table.c.id.between(*_ids(host_id, first_ms, last_ms)), table.c.failed > 0)
        .order_by(table.c.id)
    )
    days = connection.execute(query).all()
    ids = [day.id for day in days]
    # Two days, so that stretches from one to the next open neither twice.
    failures_of = lru_cache(2)(partial(_failures_of, connection))
    found = []
    for after_ms, to_ms in stretches:
        begin, end = _ids(host_id, after_ms, to_ms)
        count = 0
        for day in days[bisect_left(ids, begin) : bisect_right(ids, end)]:
            if after_ms < day.from_ms and day.until_ms <= to_ms:
                count += day.failed
            else:
                times_ms = failures_of(day.id)
                count += bisect_right(times_ms, to_ms) - bisect_right(times_ms, after_ms)
        found.append(count)
    return found


def _ids(host_id: int, from_ms: int, to_ms: int) -> tuple[int, int]:
    """The ids of the first and last day of a host's stretch."""
    return day_id(host_id, max(0, from_ms // DAY_MS)), day_id(host_id, max(0, to_ms // DAY_MS))


def _failures_of(connection: sa.Connection, number: int) -> list[int]:
    """When the looks failed that are archived in the day of that id."""
    table = schema.scan_day
    body = connection.execute(sa.select(table.c.body).where(table.c.id == number)).scalar_one()
    day = ArchivedDay(body)
    return [at_ms for at_ms, ok in zip(day.times_ms, day.column("ok"), strict=True) if not ok]


def rows_before(connection: sa.Connection, host_id: int, at_ms: int, limit: int) -> list[ScanRow]:
    """The last archived looks at a host up to a moment, newest first, of as many days as it takes
    for `limit` of them.
    """
    table = schema.scan_day
    ids = table.c.id.between(day_id(host_id, 0), day_id(host_id, at_ms // DAY_MS))
    query = sa.select(table.c.body).where(ids).order_by(table.c.id.desc())
    found: list[ScanRow] = []
    for body in connection.execute(query).scalars():
        day = ArchivedDay(body)
        positions = range(day.before(at_ms))[: -limit - 1 : -1]
        found += [day.row(position) for position in positions]
        if len(found) >= limit:
            break
    return found[:limit]


def good_scans(
    connection: sa.Connection, host_id: int, from_ms: int, to_ms: int
) -> list[tuple[int, int]]:
    """When a host was looked at and answered, from `from_ms` on and before `to_ms`, each with the
    time to the next scan as it was planned then: by the rows of scans and the archive.
    """
    scan, table = schema.scan, schema.scan_day
    rows = (
        sa.select(scan.c.at_ms, scan.c.interval_ms)
        .where(scan.c.host_id == host_id, scan.c.ok == 1)
        .where(scan.c.at_ms >= from_ms, scan.c.at_ms < to_ms)
    )
    # All at once: one by one they take three times as long.
    found = [(at_ms, interval_ms) for at_ms, interval_ms in connection.execute(rows).all()]
    days = (table.c.id.between(*_ids(host_id, from_ms, to_ms - 1)), table.c.good > 0)
    for body in connection.execute(sa.select(table.c.body).where(*days)).scalars():
        day = ArchivedDay(body)
        columns = (day.times_ms, day.column("ok"), day.column("interval_ms"))
        found += [
            (at_ms, interval_ms)
            for at_ms, ok, interval_ms in zip(*columns, strict=True)
            if ok and from_ms <= at_ms < to_ms
        ]
    return sorted(found)


def count_good_scans(connection: sa.Connection, host_id: int, from_ms: int, to_ms: int) -> int:
    """How many scans have to be read for `good_scans`: all of the archived days are."""
    scan, table = schema.scan, schema.scan_day
    rows = (
        sa.select(sa.func.count())
        .where(scan.c.host_id == host_id, scan.c.ok == 1)
        .where(scan.c.at_ms >= from_ms, scan.c.at_ms < to_ms)
    )
    days = sa.select(sa.func.sum(table.c.good + table.c.failed)).where(
        table.c.id.between(*_ids(host_id, from_ms, to_ms - 1)), table.c.good > 0
    )
    stored, archived = connection.scalar(rows), connection.scalar(days)
    return int(stored or 0) + int(archived or 0)


def looked_at(
    connection: sa.Connection,
    from_ms: int,
    to_ms: int,
    longest_ms: int,
    host_ids: Collection[int] | None,
) -> Iterator[tuple[int, int]]:
    """Stretches of archived looks at any of the hosts after a time and up to another: within each,
    no two looks are further apart than `longest_ms`.
    """
    table = schema.scan_day
    query = sa.select(table).where(table.c.until_ms > from_ms, table.c.from_ms <= to_ms)
    if host_ids is not None:
        query = query.where(table.c.id.op(">>")(32).in_(host_ids))
    for row in connection.execute(query):
        if row.widest_ms <= longest_ms:
            yield row.from_ms, row.until_ms
            continue
        times = ArchivedDay(row.body).times_ms
        yield from ((at_ms, at_ms) for at_ms in times if from_ms < at_ms <= to_ms)
