"""The archive of scans: of days long past the rows of scans, packed together, nothing lost.

There are millions of scans in a year, nearly all of which found nothing new. Of each day of a host
a few rows stay in the table (what the days after it ask for, what found something, where it began
or ceased to answer); the others stand in one blob. Whoever asks what was looked at, long ago, asks
here as well.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache, lru_cache, partial
from itertools import pairwise
from operator import add
from typing import Annotated, Any

import sqlalchemy as sa
from msgspec import Meta, Struct

from app.clock import DAY_MS
from app.errors import StoreError
from app.store import schema
from app.store.codec import MOST_SERIES, damaged, deflated, inflated
from app.store.vectors import Vector, pack, unpack

_VERSION = 1
# More than one a second: what claims more in a day is damaged.
_MOST_SCANS = 1 << 17
# No number of a scan is that small.
_NONE = -(1 << 50)
_TEXTS = ("problem", "sentence", "detail", "missing")
_NUMBERS = (
    "at_ms", "took_ms", "ok", "rpc_count", "clock_stepped", "interval_ms", "next_at_ms", "listed",
    "sampled", "changes",
)  # fmt: skip
# Told by how much later than the scan's end they are.
_SINCE = ("next_at_ms",)


class ScanRow(Struct, frozen=True):
    """A row of the table of scans, without its id and host."""

    at_ms: int
    took_ms: int
    ok: int
    rpc_count: int | None
    clock_stepped: int
    interval_ms: int
    next_at_ms: int | None
    listed: int
    sampled: int
    changes: int
    problem: str | None
    sentence: str | None
    detail: str | None
    missing: str | None


class _Texts(Struct, array_like=True, frozen=True):
    """Texts, each once, and which of them each row has: 0 for none."""

    texts: Annotated[tuple[str, ...], Meta(max_length=_MOST_SCANS)]
    which: Vector


class _Day(Struct, array_like=True, frozen=True):
    version: int
    numbers: Annotated[dict[str, Vector], Meta(max_length=MOST_SERIES)]
    texts: Annotated[dict[str, _Texts], Meta(max_length=MOST_SERIES)]


class ArchivedDay:
    """The archived scans of a day of a host, in the order of time; read as far as is asked."""

    def __init__(self, blob: bytes) -> None:
        """Raises StoreError for a damaged blob."""
        self._day = inflated(blob, _Day)
        if self._day.version != _VERSION:
            raise StoreError(f"Archived scans have version {self._day.version}, of another npvirt.")
        self._columns: dict[str, Sequence[int | None]] = {}
        self.times_ms = self.column("at_ms")

    def column(self, name: str) -> Any:
        """The values of a column of numbers. Raises StoreError for a damaged one."""
        if name not in self._columns:
            values: list[int | None] = [
                None if value == _NONE else value for value in self._numbers(name)
            ]
            if name in _SINCE:
                ends = map(add, self.times_ms, self.column("took_ms"))
                values = [
                    None if value is None else value + end_ms
                    for value, end_ms in zip(values, ends, strict=True)
                ]
            self._columns[name] = values
        return self._columns[name]

    def _numbers(self, name: str) -> list[int]:
        try:
            return self._so_many(self._day.numbers[name])
        except (ValueError, KeyError) as error:
            raise damaged("Archived scans of the store are", error) from None

    def _so_many(self, vector: Vector) -> list[int]:
        """The numbers of a vector that has one of each scan."""
        count = self._day.numbers["at_ms"].count
        if count > _MOST_SCANS:
            raise ValueError("they are too many for a day")
        if vector.count != count:
            raise ValueError("their columns differ in length")
        values: list[int] = unpack(vector).tolist()
        return values

    def row(self, position: int) -> ScanRow:
        """One of the scans. Raises StoreError for a damaged one."""
        numbers = {name: self.column(name)[position] for name in _NUMBERS}
        texts: dict[str, Any] = {}
        for name in _TEXTS:
            texts[name] = self._text(name, position)
        return ScanRow(**numbers, **texts)

    def has(self, name: str) -> Sequence[bool]:
        """Which of the scans have a text in that column. Raises StoreError for a damaged one."""
        found = self._day.texts.get(name)
        if found is None:
            return [False] * len(self.times_ms)
        try:
            return [which > 0 for which in self._so_many(found.which)]
        except ValueError as error:
            raise damaged("Archived scans of the store are", error) from None

    def _text(self, name: str, position: int) -> str | None:
        found = self._day.texts.get(name)
        if found is None:
            return None
        try:
            which = self._so_many(found.which)[position]
            return found.texts[which - 1] if which else None
        except (ValueError, IndexError) as error:
            raise damaged("Archived scans of the store are", error) from None

    def before(self, at_ms: int) -> int:
        """How many of the scans began at `at_ms` or before."""
        return bisect_right(self.times_ms, at_ms)


def encode(rows: Sequence[Any]) -> bytes:
    """The blob of rows of the table, which are in the order of time."""
    numbers = {}
    for name in _NUMBERS:
        values = [getattr(row, name) for row in rows]
        if name in _SINCE:
            values = [
                None if value is None else value - row.at_ms - row.took_ms
                for value, row in zip(values, rows, strict=True)
            ]
        numbers[name] = pack([_NONE if value is None else value for value in values])
    texts = {}
    for name in _TEXTS:
        found = [getattr(row, name) for row in rows]
        distinct = {text: place for place, text in enumerate(dict.fromkeys(filter(None, found)), 1)}
        if distinct:
            which = [distinct[text] if text else 0 for text in found]
            texts[name] = _Texts(tuple(distinct), pack(which))
    return deflated(_Day(_VERSION, numbers, texts), len(rows), strings=True)


def day_id(host_id: int, day: int) -> int:
    """The id of a host's day (since 1970)."""
    return (host_id << 32) | day


def stays(rows: Sequence[Any]) -> set[int]:
    """The times of those of a day's scans that stay in the table: what the days after it ask for,
    what found something, and where the host began or ceased to answer.
    """
    kept = {row.at_ms for row in rows if row.changes}
    kept |= {row.at_ms for before, row in pairwise(rows) if before.ok != row.ok}
    kept |= {row.at_ms for row in (*rows[:1], *rows[-1:])}
    good = [row for row in rows if row.ok]
    kept |= {row.at_ms for row in good[-2:]}
    for bit in schema.KIND_BIT.values():
        for column in ("listed", "sampled"):
            having = (row.at_ms for row in reversed(rows) if getattr(row, column) & bit)
            last = next(having, None)
            if last is not None:
                kept.add(last)
    return kept


def archive(connection: sa.Connection, host_id: int, day: int) -> None:
    """Pack a host's day of scans; in a write transaction. A day that is packed stays as it is."""
    scan, table = schema.scan, schema.scan_day
    mine = (
        scan.c.host_id == host_id,
        scan.c.at_ms >= day * DAY_MS,
        scan.c.at_ms < (day + 1) * DAY_MS,
    )
    rows = connection.execute(sa.select(scan).where(*mine).order_by(scan.c.at_ms)).all()
    kept = stays(rows)
    packed = [row for row in rows if row.at_ms not in kept]
    if not packed:
        return
    connection.execute(
        sa.insert(table).values(
            id=day_id(host_id, day),
            from_ms=rows[0].at_ms,
            until_ms=rows[-1].at_ms,
            widest_ms=max(b.at_ms - a.at_ms for a, b in pairwise(rows)),
            good=sum(row.ok for row in packed),
            failed=sum(not row.ok for row in packed),
            body=encode(packed),
        )
    )
    connection.execute(sa.delete(scan).where(*mine, scan.c.at_ms.not_in(kept)))


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
