"""The gaps of hosts as a list: one page of the stretches in which nobody looked at a host, or it
did not answer.

Reads only. All gaps have to be found before one page of them can be shown, so there is a bound to
how much may be read for that; what failed meanwhile is counted for those that are shown alone.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from app.errors import InvalidField
from app.store import schema
from app.store.archived import failures_between
from app.store.engine import Store
from app.store.gaps import gaps_of, read_for_gaps
from app.store.looks import looks_at
from app.store.scan_list import ScansWanted

GapSort = Literal["from", "duration"]
# Scans and buckets that are read for one list. That many take some seconds.
MOST_READ = 1_000_000


class Gap(NamedTuple):
    """A stretch in which nobody looked at a host, or it did not answer; `failed`: how many scans
    of it failed in that time. `goes_on`: it reaches the end of what was asked for.
    """

    host_id: int
    from_ms: int
    to_ms: int
    failed: int
    goes_on: bool


class GapsFound(NamedTuple):
    """One page, how many fit, and how many there are by host, of those that have any."""

    items: list[Gap]
    total: int
    counts: Mapping[int, int]


class _Stretch(NamedTuple):
    """What is asked of a host, or a gap of it."""

    host_id: int
    from_ms: int
    to_ms: int
    goes_on: bool = False


def list_gaps(
    store: Store,
    wanted: ScansWanted,
    *,
    limit: int,
    offset: int = 0,
    sort: GapSort = "from",
    descending: bool = True,
) -> GapsFound:
    """A page of the gaps of a stretch (of whatever outcome); none before a host was first looked
    at. Raises InvalidField where too much had to be read, StoreError for a damaged chunk or day.
    """
    with store.reading() as connection:
        asked = list(_asked(connection, wanted))
        _check_size(connection, asked)
        found = [
            _Stretch(one.host_id, begin_ms, end_ms, end_ms >= one.to_ms)
            for one in asked
            for begin_ms, end_ms in gaps_of(connection, one.host_id, one.from_ms, one.to_ms)
        ]
        found.sort(key=_by_begin if sort == "from" else _by_duration, reverse=descending)
        shown = found[offset : offset + limit]
        counts = Counter(one.host_id for one in found)
        return GapsFound(_with_failures(connection, shown), len(found), counts)


def _by_begin(gap: _Stretch) -> tuple[int, ...]:
    return gap.from_ms, gap.host_id


def _by_duration(gap: _Stretch) -> tuple[int, ...]:
    return gap.to_ms - gap.from_ms, gap.from_ms, gap.host_id


def _asked(connection: sa.Connection, wanted: ScansWanted) -> Iterator[_Stretch]:
    """What is asked of each host: of the time in which it is known how it was looked at."""
    looks = {}
    if wanted.as_of_ms is not None:
        looks = looks_at(connection, wanted.host_ids, wanted.as_of_ms, live=False)
    for host_id in wanted.host_ids:
        look = looks.get(host_id)
        to_ms = wanted.to_ms if look is None else min(wanted.to_ms, look.until_ms)
        first_ms = _first_ms(connection, host_id)
        if first_ms is not None and max(wanted.from_ms, first_ms) < to_ms:
            yield _Stretch(host_id, max(wanted.from_ms, first_ms), to_ms)


def _check_size(connection: sa.Connection, asked: Sequence[_Stretch]) -> None:
    total = sum(read_for_gaps(connection, one.host_id, one.from_ms, one.to_ms) for one in asked)
    if total > MOST_READ:
        raise InvalidField(
            "from",
            f"To find the gaps some {total} scans and buckets had to be read; at most {MOST_READ} "
            "are for one list. Name a host, or a shorter stretch.",
        )


def _with_failures(connection: sa.Connection, gaps: Sequence[_Stretch]) -> list[Gap]:
    """The gaps in their order, each with how many scans failed after its beginning."""
    by_host: dict[int, list[_Stretch]] = {}
    # In the order of time, in which the archive counts them fastest.
    for gap in sorted(gaps):
        by_host.setdefault(gap.host_id, []).append(gap)
    failed: dict[_Stretch, int] = {}
    for host_id, mine in by_host.items():
        stretches = [(gap.from_ms, gap.to_ms) for gap in mine]
        stored = _stored_failures(connection, host_id, stretches)
        archived = failures_between(connection, host_id, stretches)
        failed |= {gap: a + b for gap, a, b in zip(mine, stored, archived, strict=True)}
    return [Gap(gap.host_id, gap.from_ms, gap.to_ms, failed[gap], gap.goes_on) for gap in gaps]


def _stored_failures(
    connection: sa.Connection, host_id: int, stretches: Sequence[tuple[int, int]]
) -> list[int]:
    """How many scans failed after the beginning of each stretch and up to its end, by the rows."""
    query = _failures_query()
    return [
        connection.scalar(query, {"host_id": host_id, "after_ms": after_ms, "to_ms": to_ms}) or 0
        for after_ms, to_ms in stretches
    ]


def _first_ms(connection: sa.Connection, host_id: int) -> int | None:
    """When a host was first looked at, as far as is known; None: it never was."""
    found = connection.execute(_first_query(), {"host_id": host_id}).one()
    return min((one for one in found if one is not None), default=None)


# Put together once: that costs more than running it.


@cache
def _failures_query() -> sa.Select[Any]:
    table = schema.scan
    return sa.select(sa.func.count()).where(
        table.c.host_id == sa.bindparam("host_id"),
        table.c.ok == 0,
        table.c.at_ms > sa.bindparam("after_ms"),
        table.c.at_ms <= sa.bindparam("to_ms"),
    )


@cache
def _first_query() -> sa.Select[Any]:
    scan, entity = schema.scan, schema.entity
    host_id: sa.BindParameter[int] = sa.bindparam("host_id")
    scans = sa.select(sa.func.min(scan.c.at_ms)).where(scan.c.host_id == host_id)
    seen = sa.select(sa.func.min(entity.c.first_seen_ms)).where(
        entity.c.host_id == host_id, entity.c.kind == "host"
    )
    return sa.select(scans.scalar_subquery(), seen.scalar_subquery())
