"""The scans of hosts as a list: one page of those of a stretch of time, how many there are by
outcome.

Reads only. Of days long past most scans stand in the archive, packed day by day: a page of such a
stretch has to open all of its days, so there is a bound to how many scans they may hold.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from msgspec import Struct

from app.errors import InvalidField
from app.inventory import Missing
from app.store import schema
from app.store.archive import ArchivedDay
from app.store.building import decoded_missing
from app.store.engine import Store
from app.store.looks import STORED_WITHIN_MS, over_at

ScanOutcome = Literal["ok", "partial", "failed"]
OUTCOMES: tuple[ScanOutcome, ...] = ("ok", "partial", "failed")
Sort = Literal["at", "took"]
# So many are put in order at once where days have to be opened.
MOST_SCANS = 300_000


class ScansWanted(Struct, frozen=True):
    """Scans of some hosts that began in a stretch, both ends included; no `outcomes`: of any.
    `as_of_ms`: only those that were over then; None: now.
    """

    host_ids: tuple[int, ...]
    from_ms: int
    to_ms: int
    outcomes: tuple[ScanOutcome, ...] = ()
    as_of_ms: int | None = None


class ListedScan(Struct, frozen=True):
    """One scan: `partial` is a good one that lacks a part. `calls` None: they were not counted."""

    host_id: int
    at_ms: int
    took_ms: int
    outcome: ScanOutcome
    problem: str | None
    sentence: str | None
    missing: tuple[Missing, ...]
    calls: int | None
    changes: int
    clock_stepped: bool
    interval_ms: int


class ScansFound(NamedTuple):
    """One page, how many fit, and how many there are of each outcome, whichever was asked for."""

    items: list[ListedScan]
    total: int
    counts: dict[str, int]


class _Place(NamedTuple):
    """Where a scan stands: in an archived day, or in the table (`position` is its id)."""

    order: int
    at_ms: int
    host_id: int
    day: ArchivedDay | None
    position: int


def list_scans(
    store: Store,
    wanted: ScansWanted,
    *,
    limit: int,
    offset: int = 0,
    sort: Sort = "at",
    descending: bool = True,
) -> ScansFound:
    """A page of the scans that are wanted. Raises InvalidField where too many stand in the
    archive, StoreError for a damaged day.
    """
    with store.reading() as connection:
        counts = Counter[str]()
        for ok, missing, count in connection.execute(_counting(wanted)):
            counts[_outcome(ok=ok, partial=missing)] += count
        in_days = _in_days(connection, wanted)
        if not in_days:
            query = _ordered(_rows(wanted), sort, descending=descending)
            found = connection.execute(query.limit(limit).offset(offset)).all()
            items = [_told(row, row.host_id) for row in found]
            return ScansFound(items, _fitting(counts, wanted), _all(counts))
        _check_size(counts.total() + in_days)
        places = list(_archived(_days(connection, wanted), wanted, counts, sort))
        places += _stored(connection, wanted, sort)
        places.sort(key=lambda place: (place.order, place.at_ms, place.host_id), reverse=descending)
        shown = _read(connection, places[offset : offset + limit])
        return ScansFound(shown, _fitting(counts, wanted), _all(counts))


# --- the table -----------------------------------------------------------------------------------


def _conditions(wanted: ScansWanted) -> Iterator[sa.ColumnElement[bool]]:
    table = schema.scan
    yield table.c.host_id.in_(wanted.host_ids)
    yield table.c.at_ms.between(wanted.from_ms, wanted.to_ms)
    if wanted.as_of_ms is not None:
        yield over_at(sa.literal(wanted.as_of_ms))


def _counting(wanted: ScansWanted) -> sa.Select[Any]:
    table = schema.scan
    is_partial = table.c.missing.is_not(None)
    return (
        sa.select(table.c.ok, is_partial, sa.func.count())
        .where(*_conditions(wanted))
        .group_by(table.c.ok, is_partial)
    )


def _rows(wanted: ScansWanted) -> sa.Select[Any]:
    table = schema.scan
    query = sa.select(table).where(*_conditions(wanted))
    if not wanted.outcomes:
        return query
    good, whole = table.c.ok == 1, table.c.missing.is_(None)
    fits = {"ok": sa.and_(good, whole), "partial": sa.and_(good, sa.not_(whole)),
            "failed": table.c.ok == 0}  # fmt: skip
    return query.where(sa.or_(*(fits[one] for one in wanted.outcomes)))


def _ordered(query: sa.Select[Any], sort: Sort, *, descending: bool) -> sa.Select[Any]:
    table = schema.scan
    names = ("at_ms", "host_id") if sort == "at" else ("took_ms", "at_ms", "host_id")
    columns = [table.c[name] for name in names]
    return query.order_by(*(one.desc() if descending else one for one in columns))


def _stored(connection: sa.Connection, wanted: ScansWanted, sort: Sort) -> Iterator[_Place]:
    table = schema.scan
    query = _rows(wanted).with_only_columns(
        table.c.id, table.c.host_id, table.c.at_ms, table.c.took_ms
    )
    for number, host_id, at_ms, took_ms in connection.execute(query):
        yield _Place(at_ms if sort == "at" else took_ms, at_ms, host_id, None, number)


# --- the archive ---------------------------------------------------------------------------------


def _touched(wanted: ScansWanted) -> tuple[sa.ColumnElement[bool], ...]:
    """The condition that an archived day is of a wanted host, and that the stretch touches it."""
    table = schema.scan_day
    return (
        table.c.until_ms >= wanted.from_ms,
        table.c.from_ms <= wanted.to_ms,
        table.c.id.op(">>")(32).in_(wanted.host_ids),
    )


def _in_days(connection: sa.Connection, wanted: ScansWanted) -> int:
    """How many scans the archived days hold that the stretch touches."""
    table = schema.scan_day
    query = sa.select(sa.func.sum(table.c.good + table.c.failed)).where(*_touched(wanted))
    return int(connection.scalar(query) or 0)


def _check_size(total: int) -> None:
    if total > MOST_SCANS:
        raise InvalidField(
            "from",
            f"The days asked for hold some {total} scans, most of them archived; at most "
            f"{MOST_SCANS} of such days are listed at once. Name a host, or a shorter stretch.",
        )


def _days(connection: sa.Connection, wanted: ScansWanted) -> Iterator[tuple[int, ArchivedDay]]:
    """Host and archived scans of the days that the stretch touches, one day at a time."""
    table = schema.scan_day
    query = sa.select(table.c.id, table.c.body).where(*_touched(wanted))
    for number, body in connection.execute(query):
        yield number >> 32, ArchivedDay(body)


def _archived(
    days: Iterable[tuple[int, ArchivedDay]],
    wanted: ScansWanted,
    counts: Counter[str],
    sort: Sort,
) -> Iterator[_Place]:
    """Where the archived scans are that are wanted; all of the stretch are counted."""
    for host_id, day in days:
        columns = (day.times_ms, day.column("took_ms"), day.column("ok"), day.has("missing"))
        for position, (at_ms, took_ms, ok, partial) in enumerate(zip(*columns, strict=True)):
            if not wanted.from_ms <= at_ms <= wanted.to_ms:
                continue
            if not _is_over(at_ms, took_ms, wanted.as_of_ms):
                continue
            outcome = _outcome(ok=ok, partial=partial)
            counts[outcome] += 1
            if not wanted.outcomes or outcome in wanted.outcomes:
                order = at_ms if sort == "at" else took_ms
                yield _Place(order, at_ms, host_id, day, position)


def _is_over(at_ms: int, took_ms: int, as_of_ms: int | None) -> bool:
    """The same as `over_at`, of an archived scan."""
    return as_of_ms is None or at_ms == as_of_ms or at_ms + took_ms + STORED_WITHIN_MS <= as_of_ms


def _read(connection: sa.Connection, places: Sequence[_Place]) -> list[ListedScan]:
    table = schema.scan
    numbers = [place.position for place in places if place.day is None]
    query = sa.select(table).where(table.c.id.in_(numbers))
    rows = {row.id: row for row in connection.execute(query)} if numbers else {}
    return [
        _told(rows[place.position], place.host_id)
        if place.day is None
        else _told(place.day.row(place.position), place.host_id)
        for place in places
    ]


# --- both ----------------------------------------------------------------------------------------


def _outcome(*, ok: object, partial: object) -> ScanOutcome:
    if not ok:
        return "failed"
    return "partial" if partial else "ok"


def _told(row: Any, host_id: int) -> ListedScan:
    return ListedScan(
        host_id, row.at_ms, row.took_ms, _outcome(ok=row.ok, partial=row.missing), row.problem,
        row.sentence, decoded_missing(row.missing), row.rpc_count, row.changes,
        bool(row.clock_stepped), row.interval_ms,
    )  # fmt: skip


def _fitting(counts: Counter[str], wanted: ScansWanted) -> int:
    return sum(counts[one] for one in wanted.outcomes or OUTCOMES)


def _all(counts: Counter[str]) -> dict[str, int]:
    return {one: counts[one] for one in OUTCOMES}
