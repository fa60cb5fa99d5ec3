"""The looks at the hosts that matter at a moment: read from the rows of scans.

A look at a host begins, takes its time, and is stored. Asked in between about a moment after its
beginning, npvirt does not know of it yet; so that it answers the same about that moment ever
after, a look counts from when it was over. Asked for the very time of a look, that look counts.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app.store import schema
from app.store.archive import ArchivedDay
from app.store.archived import days_at, failures_between

# Two looks further apart than so many of the planned intervals have a gap between them.
MISSED_TICKS = 3
# How long it may take until a look that is over is stored, however many others wait to be.
STORED_WITHIN_MS = 500
# No look takes longer.
LONGEST_MS = 10 * 60_000
# The last good look, and the one before it.
_GOOD = 2


class HostLook(Struct, frozen=True):
    """The looks at one host that matter at a moment: rows of the last and of the last good one,
    times of others. What was measured later than `until_ms` was not known yet; `unstored` are the
    times of all looks that were not, those at some objects included.
    """

    last: Any
    ok: Any
    failures: int
    before_ms: int | None
    volumes_ms: int | None
    until_ms: int
    at_ms: int
    unstored: frozenset[int] = frozenset()

    def holds(self, from_ms: int, to_ms: int | None) -> bool:
        """Whether what was found by the look of `from_ms` and no more by that of `to_ms` is what
        was known. (While a scan goes on, libvirt may tell of something that is known first: not
        all that is unknown is the newest.)
        """
        if from_ms > self.at_ms or from_ms in self.unstored:
            return False
        return to_ms is None or to_ms > self.at_ms or to_ms in self.unstored


def looks_at(
    connection: sa.Connection, host_ids: Collection[int], at_ms: int, *, live: bool
) -> dict[int, HostLook]:
    """By host, for those that were looked at before `at_ms`. `live`: that is the present."""
    asked = {"at_ms": at_ms, "host_ids": list(host_ids)}
    rows = connection.execute(_looks_query(live=live), asked).all()
    times = {(row.id, at) for row in rows for at in (row.last_ms, row.ok_ms) if at is not None}
    scans = _scans(connection, times)
    # Today's scans are not archived.
    archived = {} if live else days_at(connection, host_ids, at_ms)
    partial = {} if live else _partial_unstored(connection, host_ids, at_ms)
    found = {}
    for row in rows:
        times_of = _times(row)
        day = archived.get(row.id)
        if day is not None:
            times_of = _with_archived(times_of, day, at_ms)
        if times_of.last_ms is None:
            continue
        last = scans.get((row.id, times_of.last_ms)) or _archived(day, times_of.last_ms)
        ok = None
        if times_of.ok_ms is not None:
            ok = scans.get((row.id, times_of.ok_ms)) or _archived(day, times_of.ok_ms)
        unstored = partial.get(row.id, set())
        if times_of.unstored_ms is not None:
            unstored |= _begun_since(connection, row.id, day, times_of.unstored_ms, at_ms)
        found[row.id] = HostLook(
            last,
            ok,
            0 if last.ok else _failures(connection, row.id, ok, last),
            _near(times_of.before_ms, ok),
            times_of.volumes_ms,
            at_ms if live or not unstored else min(unstored) - 1,
            at_ms,
            frozenset() if live else frozenset(unstored),
        )
    return found


def _partial_unstored(
    connection: sa.Connection, host_ids: Collection[int], at_ms: int
) -> dict[int, set[int]]:
    """By host, the times of the looks at some objects that were not stored for sure at a moment."""
    found: dict[int, set[int]] = {}
    asked = {"at_ms": at_ms, "host_ids": list(host_ids)}
    for host_id, began_ms in connection.execute(_partial_query(), asked):
        found.setdefault(host_id, set()).add(began_ms)
    return found


def _begun_since(
    connection: sa.Connection, host_id: int, day: ArchivedDay | None, from_ms: int, at_ms: int
) -> set[int]:
    """The times of a host's scans from one on that was not over at a moment: as they come one
    after the other, neither were the others.
    """
    table = schema.scan
    query = sa.select(table.c.at_ms).where(
        table.c.host_id == host_id, table.c.at_ms.between(from_ms, at_ms)
    )
    times = set(connection.execute(query).scalars())
    if day is not None:
        times |= {ms for ms in day.times_ms[: day.before(at_ms)] if ms >= from_ms}
    return times


class _Times(Struct, frozen=True):
    """When the looks were that matter, as in HostLook; `unstored_ms`: when the first began that
    was not over.
    """

    last_ms: int | None
    ok_ms: int | None
    before_ms: int | None
    volumes_ms: int | None
    unstored_ms: int | None


def _times(row: Any) -> _Times:
    return _Times(row.last_ms, row.ok_ms, row.before_ms, row.volumes_ms, row.unstored_ms)


def _with_archived(rows: _Times, day: ArchivedDay, at_ms: int) -> _Times:
    """The same of the rows and of the archived scans of the day of the moment."""
    begun = day.before(at_ms)
    over = begun
    while over and not _is_over(day, over - 1, at_ms):
        over -= 1
    good: list[int] = []
    volumes_ms = None
    bit = schema.KIND_BIT["volume"]
    for position in reversed(range(over)):
        if day.column("ok")[position]:
            time_ms = day.times_ms[position]
            good.append(time_ms)
            if volumes_ms is None and day.column("sampled")[position] & bit:
                volumes_ms = time_ms
        if len(good) >= _GOOD and volumes_ms is not None:
            break
    good = sorted({*good, *filter(None, (rows.ok_ms, rows.before_ms))}, reverse=True)
    unstored = [day.times_ms[over]] if over < begun else []
    return _Times(
        _latest(rows.last_ms, day.times_ms[over - 1] if over else None),
        good[0] if good else None,
        good[1] if len(good) > 1 else None,
        _latest(rows.volumes_ms, volumes_ms),
        min((*unstored, *filter(None, (rows.unstored_ms,))), default=None),
    )


def _is_over(day: ArchivedDay, position: int, at_ms: int) -> bool:
    began_ms: int = day.times_ms[position]
    ended_ms: int = began_ms + day.column("took_ms")[position]
    return ended_ms + STORED_WITHIN_MS <= at_ms or began_ms == at_ms


def _latest(one: int | None, other: int | None) -> int | None:
    return max(filter(None, (one, other)), default=None)


def _archived(day: ArchivedDay | None, at_ms: int) -> Any:
    assert day is not None
    return day.row(day.before(at_ms) - 1)


def _failures(connection: sa.Connection, host_id: int, ok: Any, last: Any) -> int:
    """How many looks failed in a row, up to the last."""
    after_ms = -1 if ok is None else ok.at_ms
    table = schema.scan
    rows: int = (
        connection.scalar(
            sa.select(sa.func.count()).where(
                table.c.host_id == host_id, table.c.at_ms > after_ms, table.c.at_ms <= last.at_ms
            )
        )
        or 0
    )
    (archived,) = failures_between(connection, host_id, [(after_ms, last.at_ms)])
    return rows + archived


def look_at(connection: sa.Connection, host_id: int, at_ms: int) -> HostLook | None:
    """The looks at one host that matter at a past moment; None before the first."""
    return looks_at(connection, [host_id], at_ms, live=False).get(host_id)


def last_listing(connection: sa.Connection, host_id: int, kind: str, until_ms: int) -> int | None:
    """The last look up to a time that could list all of a kind."""
    bit = schema.KIND_BIT[kind]
    asked = {"host_id": host_id, "until_ms": until_ms, "bit": bit}
    found: int | None = connection.scalar(_listing_query(), asked)
    for day in days_at(connection, [host_id], until_ms).values():
        listed = day.column("listed")
        last = next((n for n in reversed(range(day.before(until_ms))) if listed[n] & bit), None)
        if last is not None:
            return _latest(found, day.times_ms[last])
    return found


def _scans(connection: sa.Connection, wanted: Collection[tuple[int, int]]) -> Mapping[Any, Any]:
    asked = {
        "host_ids": list({host_id for host_id, _ in wanted}),
        "times": list({at_ms for _, at_ms in wanted}),
    }
    return {(row.host_id, row.at_ms): row for row in connection.execute(_scans_query(), asked)}


def _near(before_ms: int | None, ok: Any) -> int | None:
    """The good look before the last one, unless looks are missing between the two: what a counter
    did over a gap is not what it does now. Nor is it known how long it counted when the wall clock
    stepped in between.
    """
    if before_ms is None or ok is None or ok.clock_stepped:
        return None
    return before_ms if ok.at_ms - before_ms <= MISSED_TICKS * ok.interval_ms else None


def over_at(at_ms: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """The condition that a scan that began before `at_ms` was over then, or began right then."""
    scan = schema.scan
    over = scan.c.at_ms + scan.c.took_ms + STORED_WITHIN_MS <= at_ms
    return sa.or_(over, scan.c.at_ms == at_ms)


# Put together once: that costs more than running it.


@cache
def _partial_query() -> sa.Select[Any]:
    """The looks at some objects of the hosts `host_ids` not stored for sure at `at_ms`."""
    table = schema.partial_look
    at_ms: sa.BindParameter[int] = sa.bindparam("at_ms")
    return sa.select(table.c.host_id, table.c.at_ms).where(
        table.c.host_id.in_(sa.bindparam("host_ids", expanding=True)),
        # At the very time by which a look is called it counts.
        table.c.at_ms.between(at_ms - LONGEST_MS, at_ms - 1),
        table.c.at_ms + table.c.took_ms + STORED_WITHIN_MS > at_ms,
    )


@cache
def _scans_query() -> sa.Select[Any]:
    """The scans of the hosts `host_ids` at the `times`."""
    table = schema.scan
    return sa.select(table).where(
        table.c.host_id.in_(sa.bindparam("host_ids", expanding=True)),
        table.c.at_ms.in_(sa.bindparam("times", expanding=True)),
    )


@cache
def _listing_query() -> sa.Select[Any]:
    """The last look up to `until_ms` that could list all of the kind whose `bit` is given."""
    table = schema.scan
    bit: sa.BindParameter[int] = sa.bindparam("bit")
    return (
        sa.select(table.c.at_ms)
        .where(
            table.c.host_id == sa.bindparam("host_id"),
            table.c.at_ms <= sa.bindparam("until_ms"),
            table.c.listed.op("&")(bit) != 0,
        )
        .order_by(table.c.at_ms.desc())
        .limit(1)
    )


@cache
def _looks_query(*, live: bool) -> sa.Select[Any]:
    """By host, the times of the looks that matter at `at_ms`, for the hosts `host_ids`."""
    host, scan = schema.host, schema.scan
    at_ms: sa.BindParameter[int] = sa.bindparam("at_ms")
    begun = sa.and_(scan.c.host_id == host.c.id, scan.c.at_ms <= at_ms)
    mine = begun if live else sa.and_(begun, over_at(at_ms))

    def newest(*conditions: sa.ColumnElement[bool], offset: int = 0) -> sa.ScalarSelect[Any]:
        return (
            sa.select(scan.c.at_ms)
            .where(mine, *conditions)
            .order_by(scan.c.at_ms.desc())
            .limit(1)
            .offset(offset)
            .correlate(host)
            .scalar_subquery()
        )

    good = scan.c.ok == 1
    measured = scan.c.sampled.op("&")(schema.KIND_BIT["volume"]) != 0
    last = newest()
    unstored = (
        sa.select(sa.func.min(scan.c.at_ms))
        .where(begun, scan.c.at_ms > sa.func.coalesce(last, -1))
        .correlate(host)
        .scalar_subquery()
    )
    return sa.select(
        host.c.id,
        last.label("last_ms"),
        newest(good).label("ok_ms"),
        newest(good, offset=1).label("before_ms"),
        newest(good, measured).label("volumes_ms"),
        (sa.null() if live else unstored).label("unstored_ms"),
    ).where(host.c.id.in_(sa.bindparam("host_ids", expanding=True)))
