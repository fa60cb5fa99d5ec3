"""How the scans of each host went over a stretch of time: how many, how long, what failed, gaps.

Reads the rows of scans, which are kept for longer than a day. What was found is kept for some
seconds, longer the more it cost, so that whoever asks again and again costs next to nothing.
"""

import threading
from collections.abc import Mapping
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from msgspec import Struct

from app import clock
from app.clock import DAY_MS
from app.store import schema
from app.store.engine import Store
from app.store.looks import MISSED_TICKS

STRETCH_MS = DAY_MS
_FRESH_S = 5.0
# At most a twentieth of the time is spent on it.
_PATIENCE = 20


class ScanFigures(Struct, frozen=True):
    """A host's scans of the last day. `partial`: good ones that lack a part; `errors`: how many
    failed, by kind; `gaps`: how often nobody looked for longer than three planned intervals, in
    all for `gap_ms` (a step of the wall clock is none); `calls_mean` of those that were counted.
    """

    scans: int = 0
    failed: int = 0
    partial: int = 0
    errors: Mapping[str, int] = {}
    took_mean_ms: float | None = None
    took_most_ms: int | None = None
    calls_mean: float | None = None
    gaps: int = 0
    gap_ms: int = 0
    missed: int = 0
    stepped: int = 0


class _Kept(Struct, frozen=True):
    until_s: float
    figures: Mapping[int, ScanFigures]


_lock = threading.Lock()
_kept: WeakKeyDictionary[Store, _Kept] = WeakKeyDictionary()


def scan_figures(store: Store) -> Mapping[int, ScanFigures]:
    """By host id, how its scans of the last day went, as of some seconds ago at most."""
    with _lock:
        known = _kept.get(store)
        started_s = clock.monotonic_s()
        if known is not None and started_s < known.until_s:
            return known.figures
        found = _read(store, clock.now_ms() - STRETCH_MS)
        ended_s = clock.monotonic_s()
        fresh_s = max(_FRESH_S, _PATIENCE * (ended_s - started_s))
        _kept[store] = _Kept(ended_s + fresh_s, found)
        return found


def _read(store: Store, from_ms: int) -> dict[int, ScanFigures]:
    table = schema.scan
    before_ms = sa.func.lag(table.c.at_ms).over(
        partition_by=table.c.host_id, order_by=table.c.at_ms
    )
    scans = (
        sa.select(
            table.c.host_id, table.c.ok, table.c.problem, table.c.missing, table.c.took_ms,
            table.c.rpc_count, table.c.clock_stepped, table.c.interval_ms,
            (table.c.at_ms - before_ms).label("after_ms"),
        )
        .where(table.c.at_ms >= from_ms)
        .subquery()
    )  # fmt: skip
    one = scans.c
    is_gap = sa.and_(one.clock_stepped == 0, one.after_ms > MISSED_TICKS * one.interval_ms)
    missed = sa.case(
        (sa.and_(one.clock_stepped == 0, one.after_ms > one.interval_ms),
         (one.after_ms + one.interval_ms / 2) / one.interval_ms - 1),
        else_=0,
    )  # fmt: skip
    query = sa.select(
        one.host_id,
        one.ok,
        sa.func.coalesce(one.problem, "").label("problem"),
        sa.func.count().label("scans"),
        sa.func.count(one.missing).label("partial"),
        sa.func.sum(one.took_ms).label("took_ms"),
        sa.func.max(one.took_ms).label("most_ms"),
        sa.func.sum(one.rpc_count).label("calls"),
        sa.func.count(one.rpc_count).label("counted"),
        sa.func.sum(sa.case((is_gap, 1), else_=0)).label("gaps"),
        sa.func.sum(sa.case((is_gap, one.after_ms), else_=0)).label("gap_ms"),
        sa.func.sum(sa.cast(missed, sa.Integer)).label("missed"),
        sa.func.sum(one.clock_stepped).label("stepped"),
    ).group_by(one.host_id, one.ok, "problem")
    groups: dict[int, list[sa.Row[tuple[object, ...]]]] = {}
    with store.reading() as connection:
        for row in connection.execute(query):
            groups.setdefault(row.host_id, []).append(row)
    return {host_id: _together(rows) for host_id, rows in groups.items()}


def _together(rows: list[sa.Row[tuple[object, ...]]]) -> ScanFigures:
    """The figures of one host, out of those of its good scans and of each kind of failure."""
    good = [row for row in rows if row.ok]
    bad = sorted((row for row in rows if not row.ok), key=lambda row: (-row.scans, row.problem))
    scans, counted = sum(row.scans for row in rows), sum(row.counted for row in rows)
    good_scans = sum(row.scans for row in good)
    return ScanFigures(
        scans=scans,
        failed=scans - good_scans,
        partial=sum(row.partial for row in good),
        errors={row.problem or "unknown": row.scans for row in bad},
        took_mean_ms=sum(row.took_ms for row in good) / good_scans if good_scans else None,
        took_most_ms=max((row.most_ms for row in good), default=None),
        calls_mean=sum(row.calls or 0 for row in rows) / counted if counted else None,
        gaps=sum(row.gaps for row in rows),
        gap_ms=sum(row.gap_ms for row in rows),
        missed=sum(row.missed for row in rows),
        stepped=sum(row.stepped for row in rows),
    )
