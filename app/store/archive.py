"""The archive of scans: of days long past the rows of scans, packed together, nothing lost.

There are millions of scans in a year, nearly all of which found nothing new. Of each day of a host
a few rows stay in the table (what the days after it ask for, what found something, where it began
or ceased to answer); the others stand in one blob. Whoever asks what was looked at, long ago, asks
these as well (app/store/archived.py).
"""

from bisect import bisect_right
from collections.abc import Sequence
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
