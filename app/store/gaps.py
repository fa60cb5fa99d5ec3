"""Gaps: the stretches in which nobody looked at a host, or it did not answer.

Reads only. A stretch of a few days is told by the host's scans, each of which knows the interval
that was planned then; a longer one by the buckets in which the host was seen, in the finest tier
that still has the whole of it in a number of buckets that is read in no time. So a gap is told the
same before and after its day is compacted, to the width of such a bucket.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.clock import DAY_MS, MINUTE_MS
from app.store import schema, tiers
from app.store.archived import count_good_scans, good_scans
from app.store.looks import MISSED_TICKS
from app.store.tiers import HOURS, Tier

# Over a longer stretch gaps are told by the buckets of the host, not by its scans.
SCANS_MS = 3 * DAY_MS
_MOST_BUCKETS = 12_000

# When a scan began that the host answered, and the time to the next one as planned then.
Look = tuple[int, int]


class _Seen(NamedTuple):
    """The host was seen from when to when; what is seen next may begin `longest_ms` later."""

    begin_ms: int
    end_ms: int
    longest_ms: int


def interval_of(connection: sa.Connection, host_id: int, at_ms: int) -> int:
    """The time between two scans of a host, as planned at a time."""
    asked = {"host_id": host_id, "at_ms": at_ms}
    return int(connection.scalar(_interval_query(), asked) or MINUTE_MS)


@cache
def _interval_query() -> sa.Select[Any]:
    """Put together once: that costs more than running it."""
    table = schema.scan
    return (
        sa.select(table.c.interval_ms)
        .where(table.c.host_id == sa.bindparam("host_id"), table.c.at_ms <= sa.bindparam("at_ms"))
        .order_by(table.c.at_ms.desc())
        .limit(1)
    )


def chunked_to_ms(connection: sa.Connection, host_id: int) -> int:
    """Up to when what a host's scans measured stands in chunks; 0 where nothing does."""
    table = schema.compacted
    query = sa.select(table.c.before_day).where(table.c.host_id == host_id)
    return int(connection.scalar(query) or 0) * DAY_MS


def looks_between(
    connection: sa.Connection, host_id: int, from_ms: int, to_ms: int
) -> list[Look] | None:
    """The good scans of a host from so long before a stretch on that its first one counts, and
    before the end; None where the stretch is too long to be told by them.
    """
    if to_ms - from_ms > SCANS_MS:
        return None
    reach_ms = MISSED_TICKS * interval_of(connection, host_id, from_ms)
    return good_scans(connection, host_id, from_ms - reach_ms, to_ms)


def gaps_of(
    connection: sa.Connection,
    host_id: int,
    from_ms: int,
    to_ms: int,
    looks: Sequence[Look] | None = None,
) -> list[tuple[int, int]]:
    """The stretches between two times in which nobody looked at a host, or it did not answer.
    `looks`: what `looks_between` told of them, where that is known. Raises StoreError for a
    damaged chunk.
    """
    if looks is None:
        looks = looks_between(connection, host_id, from_ms, to_ms)
    if looks is None:
        seen = _seen_by_buckets(connection, host_id, from_ms, to_ms)
    else:
        seen = _seen_by_looks(looks)
    found = []
    last: _Seen | None = None
    for now in (*seen, _Seen(to_ms, to_ms, 0)):
        since_ms = from_ms if last is None else last.end_ms
        # The time between two scans may have been made longer or shorter between them.
        longest_ms = 0 if last is None else max(last.longest_ms, now.longest_ms)
        if now.begin_ms - since_ms > longest_ms and now.begin_ms > from_ms:
            found.append((max(since_ms, from_ms), now.begin_ms))
        if last is None or now.end_ms >= last.end_ms:
            last = now
    return found


def read_for_gaps(connection: sa.Connection, host_id: int, from_ms: int, to_ms: int) -> int:
    """How much `gaps_of` has to read of a host, in scans and buckets: at most, but for a host of
    which figures are kept of other times alone.
    """
    chunked_ms = chunked_to_ms(connection, host_id)
    if to_ms - from_ms <= SCANS_MS or not chunked_ms:
        return count_good_scans(connection, host_id, from_ms, to_ms)
    tier = _tier(connection, interval_of(connection, host_id, to_ms), from_ms, to_ms)
    kept_ms = max(from_ms, tiers.horizon_ms(connection, tier.name))
    buckets = max(0, min(chunked_ms, to_ms) - kept_ms) // tier.width_ms
    days = max(0, kept_ms - from_ms) // DAY_MS
    scans = count_good_scans(connection, host_id, max(from_ms, chunked_ms), to_ms)
    return buckets + days + scans


def _seen_by_looks(looks: Sequence[Look]) -> list[_Seen]:
    return [_Seen(at_ms, at_ms, MISSED_TICKS * interval_ms) for at_ms, interval_ms in looks]


def _seen_by_buckets(
    connection: sa.Connection, host_id: int, from_ms: int, to_ms: int
) -> list[_Seen]:
    """When a host was seen: out of its days, of which nothing finer is kept, its own chunks, and
    its scans after them.
    """
    table = schema.entity
    mine = (table.c.host_id == host_id, table.c.kind == "host")
    entity_id = connection.scalar(sa.select(table.c.id).where(*mine))
    seen: list[_Seen] = []
    scans_ms = from_ms
    if entity_id is not None:
        intervals = _Intervals(connection, host_id)
        tier = _tier(connection, intervals.at(to_ms), from_ms, to_ms)
        kept_ms = max(from_ms, tiers.horizon_ms(connection, tier.name))
        seen += _seen_by_days(connection, entity_id, intervals, from_ms, kept_ms)
        # A bucket that was not over at the end is told by its scans.
        until_ms = min(chunked_to_ms(connection, host_id), to_ms // tier.width_ms * tier.width_ms)
        nothing = frozenset[str]()
        starts: list[int] = []
        # The bucket of the beginning may be empty while all is well.
        reach_ms = max(0, kept_ms - intervals.longest_ms(kept_ms))
        for part in tiers.read(connection, entity_id, tier, reach_ms, until_ms, nothing):
            starts += part.starts
        for first, end in _runs(starts):
            begin_ms, end_ms = first * tier.width_ms, end * tier.width_ms
            if begin_ms < until_ms:
                longest_ms = intervals.longest_ms(end_ms)
                if end_ms < until_ms:
                    # Of the buckets beside a hole one is empty in part, on the whole.
                    longest_ms = max(1, longest_ms - tier.width_ms)
                seen.append(_Seen(begin_ms, min(end_ms, until_ms), longest_ms))
        # A host that tells no figures of its own has no buckets.
        scans_ms = max(from_ms, until_ms) if seen else from_ms
    return [*seen, *_seen_by_looks(good_scans(connection, host_id, scans_ms, to_ms))]


def _tier(connection: sa.Connection, interval_ms: int, from_ms: int, to_ms: int) -> Tier:
    """The finest tier that has the whole stretch, in buckets not too many and each with a scan."""
    for tier in tiers.TIERS:
        is_whole = tiers.horizon_ms(connection, tier.name) <= from_ms
        is_short = to_ms - from_ms <= _MOST_BUCKETS * tier.width_ms
        if is_whole and is_short and tier.width_ms >= interval_ms:
            return tier
    return HOURS


def _seen_by_days(
    connection: sa.Connection, entity_id: int, intervals: "_Intervals", from_ms: int, to_ms: int
) -> list[_Seen]:
    """The days before `to_ms`, a full day, that have a row of the host."""
    if from_ms >= to_ms:
        return []
    table = schema.dailies["host"]
    query = (
        sa.select(table.c.day)
        .where(table.c.entity == entity_id)
        .where(table.c.day >= tiers.day_text(from_ms // DAY_MS))
        .where(table.c.day < tiers.day_text(to_ms // DAY_MS))
        .order_by(table.c.day)
    )
    days = [tiers.day_number(text) for text in connection.execute(query).scalars()]
    return [
        _Seen(first * DAY_MS, end * DAY_MS, intervals.longest_ms(end * DAY_MS))
        for first, end in _runs(days)
    ]


class _Intervals:
    """The time between two scans of a host, looked up once for each day."""

    def __init__(self, connection: sa.Connection, host_id: int) -> None:
        self._connection = connection
        self._host_id = host_id
        self._known: dict[int, int] = {}

    def at(self, at_ms: int) -> int:
        """The planned time between two scans at the end of the day of a moment."""
        day = at_ms // DAY_MS
        if day not in self._known:
            end_ms = (day + 1) * DAY_MS - 1
            self._known[day] = interval_of(self._connection, self._host_id, end_ms)
        return self._known[day]

    def longest_ms(self, at_ms: int) -> int:
        """How far apart two scans of that day can be without a gap between them."""
        return MISSED_TICKS * max(self.at(at_ms - DAY_MS), self.at(at_ms))


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Rising numbers as stretches without a hole: the first and one past the last of each."""
    if not numbers:
        return []
    holes = [(now, before + 1) for before, now in pairwise(numbers) if now - before > 1]
    firsts = [numbers[0], *(now for now, _ in holes)]
    ends = [*(end for _, end in holes), numbers[-1] + 1]
    return list(zip(firsts, ends, strict=True))
