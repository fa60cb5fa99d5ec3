"""The looks at the hosts that matter at a moment: read from the rows of scans.

A look at a host begins, takes its time, and is stored. Asked in between about a moment after its
beginning, npvirt does not know of it yet; so that it answers the same about that moment ever
after, a look counts from when it was over. Asked for the very time of a look, that look counts.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app.store import schema

MISSED_TICKS = 3
# How long it may take until a look that is over is stored, however many others wait to be.
_STORED_WITHIN_MS = 500


class HostLook(Struct, frozen=True):
    """The looks at one host that matter at a moment: rows of the last and of the last good one,
    times of others. What was found later than `until_ms` was not known yet.
    """

    last: Any
    ok: Any
    failures: int
    before_ms: int | None
    volumes_ms: int | None
    until_ms: int


def looks_at(
    connection: sa.Connection, host_ids: Collection[int], at_ms: int, *, live: bool
) -> dict[int, HostLook]:
    """By host, for those that were looked at before `at_ms`. `live`: that is the present."""
    asked = {"at_ms": at_ms, "host_ids": list(host_ids)}
    rows = connection.execute(_looks_query(live=live), asked).all()
    times = {(row.id, at) for row in rows for at in (row.last_ms, row.ok_ms) if at is not None}
    scans = _scans(connection, times)
    return {
        row.id: HostLook(
            scans[(row.id, row.last_ms)],
            scans.get((row.id, row.ok_ms)),
            row.failures,
            _near(row.before_ms, scans.get((row.id, row.ok_ms))),
            row.volumes_ms,
            at_ms if live or row.unstored_ms is None else row.unstored_ms - 1,
        )
        for row in rows
        if row.last_ms is not None
    }


def known_until_ms(connection: sa.Connection, host_id: int, at_ms: int) -> int:
    """Up to when what is kept of a host was known at a past moment: the moment itself, or just
    before the look that was going on.
    """
    rows = connection.execute(_looks_query(live=False), {"at_ms": at_ms, "host_ids": [host_id]})
    row = rows.one_or_none()
    return at_ms if row is None or row.unstored_ms is None else row.unstored_ms - 1


def _scans(connection: sa.Connection, wanted: Iterable[tuple[int, int]]) -> Mapping[Any, Any]:
    table = schema.scan
    query = sa.select(table).where(
        table.c.host_id.in_({host_id for host_id, _ in wanted}),
        table.c.at_ms.in_({at_ms for _, at_ms in wanted}),
    )
    return {(row.host_id, row.at_ms): row for row in connection.execute(query)}


def _near(before_ms: int | None, ok: Any) -> int | None:
    """The good look before the last one, unless looks are missing between the two: what a counter
    did over a gap is not what it does now.
    """
    if before_ms is None or ok is None:
        return None
    return before_ms if ok.at_ms - before_ms <= MISSED_TICKS * ok.interval_ms else None


def over_at(at_ms: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """The condition that a scan that began before `at_ms` was over then, or began right then."""
    scan = schema.scan
    over = scan.c.at_ms + scan.c.took_ms + _STORED_WITHIN_MS <= at_ms
    return sa.or_(over, scan.c.at_ms == at_ms)


# Put together once: that costs more than running it.


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
    last, ok = newest(), newest(good)
    failures = (
        sa.select(sa.func.count())
        .where(mine, scan.c.at_ms > sa.func.coalesce(ok, -1))
        .correlate(host)
        .scalar_subquery()
    )
    unstored = (
        sa.select(sa.func.min(scan.c.at_ms))
        .where(begun, scan.c.at_ms > sa.func.coalesce(last, -1))
        .correlate(host)
        .scalar_subquery()
    )
    return sa.select(
        host.c.id,
        last.label("last_ms"),
        ok.label("ok_ms"),
        newest(good, offset=1).label("before_ms"),
        newest(good, measured).label("volumes_ms"),
        failures.label("failures"),
        (sa.null() if live else unstored).label("unstored_ms"),
    ).where(host.c.id.in_(sa.bindparam("host_ids", expanding=True)))
