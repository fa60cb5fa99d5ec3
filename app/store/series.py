"""Series: what was measured of one object over a stretch of time, in as many points as asked for.

Reads only. What is recent and short is told sample by sample; what is longer in buckets of equal
width, aligned to 1970 UTC, out of the coarsest tier that has them, and out of the samples for days
that no tier has yet. An interval of a counter belongs to the bucket in which it ends. What was not
seen is None; a bucket that was not over at the end of the stretch is told by its samples alone, so
that nothing tells more than was known then.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa
from msgspec import Struct, field

from app.clock import DAY_MS, HOUR_MS, MINUTE_MS
from app.inventory import KindName
from app.metrics import Metric
from app.store import schema, tiers
from app.store.archived import good_scans
from app.store.buckets import Rolled, bounded
from app.store.engine import Store
from app.store.gaps import chunked_to_ms, gaps_of, interval_of, looks_between
from app.store.raw import Object, facts_between, samples_between
from app.store.rollup import merge, roll
from app.store.sampled import longest_between
from app.store.tiers import HOURS, Tier
from app.store.values import Line, line

_SECONDS = (1, 2, 5, 10, 15, 30)
_MINUTES = (1, 2, 5, 10, 20, 30)
_HOURS = (1, 2, 3, 6, 12)
_DAYS = (1, 2, 7, 14, 28, 56, 112, 364)
# Widths of buckets that people find their way in; from ten minutes on each is a multiple of a tier.
WIDTHS_MS = (
    *(1000 * n for n in _SECONDS),
    *(MINUTE_MS * n for n in _MINUTES),
    *(HOUR_MS * n for n in _HOURS),
    *(DAY_MS * n for n in _DAYS),
)
RAW, DAILY = "raw", "1d"
# Over a longer stretch everything is told by days: what would be left of hours is too fine to see.
_DAYS_MS = 200 * DAY_MS
_DAYS_AT_ONCE = 800
_FIGURES = ("avg", "min", "max")


class Found(Struct):
    """Points in the order of time, `starts_ms` of each; `width_ms` apart, or of samples about so.
    `lines` by metric, parallel to them. `gaps`: from and to, when the host was not seen.
    """

    from_ms: int
    to_ms: int
    width_ms: int
    tier: str
    starts_ms: list[int] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)


def find_object(store: Store, host_id: int, kind: KindName, key: str) -> Object | None:
    """The object of a host with that key, whether it is still there or not."""
    table = schema.entity
    query = sa.select(table.c.id).where(
        table.c.host_id == host_id, table.c.kind == kind, table.c.key == key
    )
    with store.reading() as connection:
        number = connection.scalar(query)
    return None if number is None else Object(number, host_id, kind)


def series(
    store: Store,
    wanted: Object,
    metrics: Sequence[Metric],
    from_ms: int,
    to_ms: int,
    points: int,
) -> Found:
    """What was measured of an object from `from_ms` on and before `to_ms`, in at most `points`
    points (and one more at the edge). Raises StoreError for a damaged chunk.
    """
    with store.reading() as connection:
        return series_within(connection, wanted, metrics, from_ms, to_ms, points)


def series_within(
    connection: sa.Connection,
    wanted: Object,
    metrics: Sequence[Metric],
    from_ms: int,
    to_ms: int,
    points: int,
) -> Found:
    """The same within a read transaction."""
    return _Reading(connection, wanted, metrics, from_ms, to_ms).read(points)


def nice_width_ms(least_ms: float) -> int:
    """The smallest width of WIDTHS_MS that is at least `least_ms`."""
    position = bisect_left(WIDTHS_MS, least_ms)
    return WIDTHS_MS[min(position, len(WIDTHS_MS) - 1)]


class _Reading:
    """One series being read within one read transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        wanted: Object,
        metrics: Sequence[Metric],
        from_ms: int,
        to_ms: int,
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._metrics = metrics
        self._names = frozenset(metric.series for metric in metrics)
        self._from_ms = from_ms
        self._to_ms = to_ms
        self._looks = looks_between(connection, wanted.host_id, from_ms, to_ms)
        # The time between two scans may have become another within the stretch.
        planned = {interval_ms for _, interval_ms in self._looks or ()}
        planned.add(interval_of(connection, wanted.host_id, to_ms))
        self._interval_ms, self._shortest_ms = max(planned), min(planned)
        self._chunked_to_ms = chunked_to_ms(connection, wanted.host_id)

    def read(self, points: int) -> Found:
        """In so many points."""
        span_ms = self._to_ms - self._from_ms
        if self._wanted.kind == "volume":
            # It is measured every few minutes only.
            return self._in_buckets(nice_width_ms(max(span_ms / points, HOURS.width_ms)))
        has_samples = self._from_ms >= tiers.horizon_ms(self._connection, "recent")
        if has_samples and span_ms <= points * self._shortest_ms:
            return self._samples()
        # Scans do not come to the second, so that a bucket of one interval is empty at times.
        width_ms = nice_width_ms(max(span_ms / points, 2 * self._interval_ms))
        if span_ms > _DAYS_MS:
            return self._days(nice_width_ms(max(width_ms, DAY_MS)))
        if not has_samples:
            width_ms = nice_width_ms(max(width_ms, MINUTE_MS))
        return self._in_buckets(width_ms)

    # --- sample by sample -----------------------------------------------------------------

    def _samples(self) -> Found:
        facts = facts_between(self._connection, self._wanted, self._from_ms, self._to_ms)
        rolled = self._rolled_samples(self._from_ms, 1)
        planned = dict(
            good_scans(self._connection, self._wanted.host_id, self._from_ms, self._to_ms)
            if self._looks is None
            else self._looks
        )
        intervals = [planned.get(at_ms, self._interval_ms) for at_ms in rolled.starts]
        starts, places = _with_breaks(rolled.starts, intervals)
        cpus = tiers.divisors(facts)
        lines = {
            metric.name: _spread(line(metric, rolled, 1, cpus), places) for metric in self._metrics
        }
        return self._found(self._interval_ms, RAW, starts, lines)

    def _rolled_samples(self, from_ms: int, width_ms: int) -> Rolled:
        if from_ms >= self._to_ms:
            return Rolled([], {})
        facts = facts_between(self._connection, self._wanted, from_ms, self._to_ms)
        samples = samples_between(
            self._connection, self._wanted, from_ms, self._to_ms, facts, self._names
        )
        return roll(samples, width_ms)

    # --- buckets --------------------------------------------------------------------------

    def _in_buckets(self, width_ms: int) -> Found:
        """In buckets of a width; of what is kept no longer so finely, in wider ones."""
        width_ms, tier = self._choose(width_ms)
        if tier is None and self._from_ms < self._chunked_to_ms:
            return self._days(max(width_ms, DAY_MS))
        rolled = self._whole(tier, width_ms)
        first = self._from_ms // width_ms
        dense = range(first, max(first, -(-self._to_ms // width_ms)))
        places = _places(rolled.starts, dense)
        facts = facts_between(self._connection, self._wanted, self._from_ms, self._to_ms)
        cpus = tiers.divisors(facts)
        lines = {
            metric.name: _spread(line(metric, rolled, width_ms, cpus), places)
            for metric in self._metrics
        }
        name = RAW if tier is None else tier.name
        return self._found(width_ms, name, [number * width_ms for number in dense], lines)

    def _choose(self, width_ms: int) -> tuple[int, Tier | None]:
        """The width and the tier to take the buckets from; None: the samples, or the days."""
        if self._from_ms >= self._chunked_to_ms:
            return width_ms, None
        table = schema.entity
        query = sa.select(table.c.first_seen_ms).where(table.c.id == self._wanted.entity_id)
        # Before it was first seen there is nothing that a tier could lack.
        first_ms = max(self._from_ms, int(self._connection.scalar(query) or 0))
        whole = [
            tier
            for tier in tiers.tiers_of(self._wanted.kind)
            if first_ms >= tiers.horizon_ms(self._connection, tier.name)
        ]
        for tier in reversed(whole):
            if width_ms % tier.width_ms == 0:
                return width_ms, tier
        for tier in whole:
            if tier.width_ms > width_ms:
                return nice_width_ms(tier.width_ms), tier
        return width_ms, None

    def _whole(self, tier: Tier | None, width_ms: int) -> Rolled:
        """All that is known, in buckets of `width_ms`, the first and the last of them whole. What
        samples tell is rounded as chunks are: so it is told the same later.
        """
        begin_ms = self._from_ms // width_ms * width_ms
        if tier is None:
            return bounded(self._rolled_samples(begin_ms, width_ms))
        until_ms = min(self._chunked_to_ms, self._to_ms // tier.width_ms * tier.width_ms)
        entity_id = self._wanted.entity_id
        found = tiers.read(self._connection, entity_id, tier, begin_ms, until_ms, self._names)
        first, end = begin_ms // tier.width_ms, until_ms // tier.width_ms
        parts = [_within(part, first, end) for part in found]
        parts.append(bounded(self._rolled_samples(max(until_ms, begin_ms), tier.width_ms)))
        kept = [part for part in parts if part.starts]
        if not kept:
            return Rolled([], {})
        merged = merge(kept, width_ms // tier.width_ms)
        return merged if width_ms == tier.width_ms else bounded(merged)

    # --- days -----------------------------------------------------------------------------

    def _days(self, width_ms: int) -> Found:
        """Out of the rows of the days: what is older than every tier, or long. The days after them
        come out of the samples.
        """
        per_bucket: dict[int, list[Sequence[float | None]]] = {}
        days = width_ms // DAY_MS
        for day, *figures in (*self._rows_of_days(), *self._later_days()):
            per_bucket.setdefault(day // days, []).append(figures)
        first = self._from_ms // width_ms
        dense = range(first, max(first, -(-self._to_ms // width_ms)))
        nothing = [None] * (len(_FIGURES) * len(self._metrics))
        rows = [_one_row(per_bucket.get(number, ()), nothing) for number in dense]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in nothing]
        lines = {
            metric.name: Line(*columns[len(_FIGURES) * place :][: len(_FIGURES)])
            for place, metric in enumerate(self._metrics)
        }
        return self._found(width_ms, DAILY, [number * width_ms for number in dense], lines)

    def _rows_of_days(self) -> Iterator[Sequence[Any]]:
        """Day by day its number and the figures of the metrics."""
        table = schema.dailies[self._wanted.kind]
        columns = [table.c[f"{one.name}_{figure}"] for one in self._metrics for figure in _FIGURES]
        # Named one by one: the rows of a day stand together, those of an object do not.
        numbers = {
            tiers.day_text(day): day
            for day in range(self._from_ms // DAY_MS, self._to_ms // DAY_MS)
        }
        texts = list(numbers)
        for start in range(0, len(texts), _DAYS_AT_ONCE):
            query = sa.select(table.c.day, *columns).where(
                table.c.day.in_(texts[start : start + _DAYS_AT_ONCE]),
                table.c.entity == self._wanted.entity_id,
            )
            for text, *figures in self._connection.execute(query).all():
                yield numbers[text], *figures

    def _later_days(self) -> Iterator[Sequence[Any]]:
        """The same of the days that are not put together yet, out of the samples."""
        recent_ms = max(self._chunked_to_ms, self._from_ms // DAY_MS * DAY_MS)
        rolled = self._rolled_samples(recent_ms, DAY_MS)
        facts = facts_between(self._connection, self._wanted, recent_ms, self._to_ms)
        cpus = tiers.divisors(facts)
        told = [line(metric, rolled, DAY_MS, cpus) for metric in self._metrics]
        for place, number in enumerate(rolled.starts):
            figures = [(one.average[place], one.least[place], one.greatest[place]) for one in told]
            yield number, *chain.from_iterable(figures)

    # --- gaps -----------------------------------------------------------------------------

    def _found(
        self, width_ms: int, tier: str, starts_ms: list[int], lines: dict[str, Line]
    ) -> Found:
        gaps = gaps_of(
            self._connection, self._wanted.host_id, self._from_ms, self._to_ms, self._looks
        )
        return Found(self._from_ms, self._to_ms, width_ms, tier, starts_ms, lines, gaps)


def _with_breaks(
    times_ms: Sequence[int], intervals_ms: Sequence[int]
) -> tuple[list[int], list[int | None]]:
    """The times with one more where nothing was seen for a while, by the planned interval of
    each; the position of each, None for what was put in.
    """
    starts: list[int] = []
    places: list[int | None] = []
    for position, (at_ms, longest_ms) in enumerate(
        zip(times_ms, longest_between(intervals_ms), strict=True)
    ):
        if position and at_ms - times_ms[position - 1] > longest_ms:
            starts.append(times_ms[position - 1] + intervals_ms[position - 1])
            places.append(None)
        starts.append(at_ms)
        places.append(position)
    return starts, places


def _places(starts: Sequence[int], dense: Iterable[int]) -> list[int | None]:
    """For each bucket number its position in `starts`, None where it is not."""
    position_of = {number: position for position, number in enumerate(starts)}
    return [position_of.get(number) for number in dense]


def _spread(told: Line, places: Sequence[int | None]) -> Line:
    if len(places) == len(told.average) and None not in places:
        return told

    def spread(values: Sequence[float | None]) -> list[float | None]:
        return [None if place is None else values[place] for place in places]

    return Line(spread(told.average), spread(told.least), spread(told.greatest))


def _within(rolled: Rolled, first: int, end: int) -> Rolled:
    """The buckets from number `first` on, before `end`."""
    low = bisect_left(rolled.starts, first)
    high = bisect_left(rolled.starts, end)
    if low == 0 and high == len(rolled.starts):
        return rolled
    return rolled.part(slice(low, high))


def _one_row(
    rows: Sequence[Sequence[float | None]], nothing: Sequence[None]
) -> Sequence[float | None]:
    """The figures (mean, least and greatest of each metric) of some days; each day weighs the
    same.
    """
    if len(rows) < 2:
        return rows[0] if rows else nothing
    found: list[float | None] = []
    for place, column in enumerate(zip(*rows, strict=True)):
        seen = [value for value in column if value is not None]
        if not seen:
            found.append(None)
        elif place % len(_FIGURES) == 0:
            found.append(sum(seen) / len(seen))
        else:
            found.append(min(seen) if place % len(_FIGURES) == 1 else max(seen))
    return found
