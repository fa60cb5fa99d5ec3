"""Roll-ups: samples put together into buckets of time, and buckets into wider ones. Pure.

A bucket keeps sums and weights, not means, so that what is put together again loses nothing: the
sum over a day's hours is the sum over its samples. Of a gauge it keeps the sum of the values, how
many there were, the least and the greatest; of a counter what was counted, over how many
milliseconds, and the lowest and highest rate between two samples. An interval belongs to the
bucket in which it ends. What was not seen has the weight 0.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from operator import sub

from msgspec import Struct

from app.metrics import SeriesType

# A rate is a whole number per second, of single events per thousand seconds.
RATE_PER_S: Mapping[SeriesType, int] = {"counter": 1, "events": 1000}


class Column(Struct):
    """One series over the buckets of a Rolled, parallel lists. `low` and `high` None: in every
    bucket they are what total and weight say, because each holds one sample or none.
    """

    type: SeriesType
    weight: list[int]
    total: list[int]
    low: list[int] | None = None
    high: list[int] | None = None

    def bounds(self) -> tuple[list[int], list[int]]:
        """The lowest and the highest of each bucket (0 where nothing was seen)."""
        if self.low is None or self.high is None:
            told = implied(self.type, self.weight, self.total)
            return told, told
        return self.low, self.high


class Rolled(Struct):
    """The buckets of one object: their rising numbers (start // width), and its series."""

    starts: list[int]
    columns: dict[str, Column]


class Samples(Struct):
    """The samples of one object in the order of time: values per series, None where unknown.

    `elapsed_ms` tells, per sample, the time since the one before it if what the counters counted
    in between is known; else 0. The first `skip` are there for the interval after them alone.
    """

    times_ms: Sequence[int]
    elapsed_ms: Sequence[int]
    series: Mapping[str, tuple[SeriesType, Sequence[int | None]]]
    skip: int = 0


def implied(type_: SeriesType, weight: Sequence[int], total: Sequence[int]) -> list[int]:
    """What a bucket of one sample says of its lowest and highest."""
    if type_ == "gauge":
        return list(total)
    per_ms = 1000 * RATE_PER_S[type_]
    return [t * per_ms // w if w else 0 for t, w in zip(total, weight, strict=True)]


def usable_intervals(
    times_ms: Sequence[int],
    longest_ms: Sequence[int],
    breaks_ms: Iterable[int],
    clocks: Sequence[int | None],
) -> list[int]:
    """`elapsed_ms` of Samples: 0 where the interval before a sample tells nothing.

    That is before the first, after a gap (longer than `longest_ms` of that sample), across a
    break (the domain was started anew), and where the counter `clocks`, which never falls while
    the same thing runs, fell: all the counters began anew then.
    """
    if not times_ms:
        return []
    breaks = sorted(breaks_ms)
    position = 0
    found = [0]
    for (before, now), longest, (old, new) in zip(
        pairwise(times_ms), longest_ms[1:], pairwise(clocks), strict=True
    ):
        broken = now - before > longest or (old is not None and new is not None and new < old)
        while position < len(breaks) and breaks[position] <= now:
            broken = broken or breaks[position] > before
            position += 1
        found.append(0 if broken else now - before)
    return found


def roll(samples: Samples, width_ms: int) -> Rolled:
    """The samples in buckets of `width_ms`."""
    skip = samples.skip
    numbers = [time // width_ms for time in samples.times_ms[skip:]]
    columns = {}
    for name, (type_, values) in samples.series.items():
        if type_ == "gauge":
            columns[name] = _gauged(values[skip:])
        else:
            column = columns[name] = _counted(type_, values, samples.elapsed_ms)
            del column.weight[:skip], column.total[:skip]
    fine = Rolled(numbers, columns)
    return _grouped(fine, numbers) if len(set(numbers)) < len(numbers) else fine


def merge(parts: Sequence[Rolled], factor: int) -> Rolled:
    """The buckets of `parts`, which follow each other, in buckets `factor` times as wide."""
    whole = parts[0] if len(parts) == 1 else _joined(parts)
    return _grouped(whole, [start // factor for start in whole.starts])


def _gauged(values: Sequence[int | None]) -> Column:
    if None in values:
        return Column(
            "gauge", [int(v is not None) for v in values], [0 if v is None else v for v in values]
        )
    return Column("gauge", [1] * len(values), list(values))  # type: ignore[arg-type]  # no None


def _counted(type_: SeriesType, values: Sequence[int | None], elapsed_ms: Sequence[int]) -> Column:
    weight, total = list(elapsed_ms), [0] * len(values)
    if None in values:
        pairs = pairwise(values)
        deltas = [-1 if a is None or b is None else b - a for a, b in pairs]
    else:
        deltas = list(map(sub, values[1:], values))
    total[1:] = deltas
    if (deltas and min(deltas) < 0) or 0 in elapsed_ms:
        for position, (ms, delta) in enumerate(zip(elapsed_ms, total, strict=True)):
            if not ms or delta < 0:
                weight[position] = total[position] = 0
    return Column(type_, weight, total)


def _joined(parts: Sequence[Rolled]) -> Rolled:
    """The parts one after the other; a series that one does not have was not seen in it."""
    starts = [start for part in parts for start in part.starts]
    types = {name: column.type for part in parts for name, column in part.columns.items()}
    columns = {}
    for name, type_ in types.items():
        joined = Column(type_, [], [], [], [])
        for part in parts:
            column = part.columns.get(name)
            nothing = [0] * len(part.starts)
            low, high = (nothing, nothing) if column is None else column.bounds()
            joined.weight += nothing if column is None else column.weight
            joined.total += nothing if column is None else column.total
            joined.low += low  # type: ignore[operator]  # made as lists above
            joined.high += high  # type: ignore[operator]
        columns[name] = joined
    return Rolled(starts, columns)


def _grouped(rolled: Rolled, numbers: Sequence[int]) -> Rolled:
    """Neighbouring buckets of the same number put together."""
    starts = [number for number, _ in groupby(numbers)]
    edges = [0]
    for _, group in groupby(numbers):
        edges.append(edges[-1] + sum(1 for _ in group))
    slices = [slice(a, b) for a, b in pairwise(edges)]
    return Rolled(starts, {name: _group(column, slices) for name, column in rolled.columns.items()})


def _group(column: Column, slices: Sequence[slice]) -> Column:
    low, high = column.bounds()
    weight, total = column.weight, column.total
    if all(weight):
        return Column(
            column.type,
            [sum(weight[s]) for s in slices],
            [sum(total[s]) for s in slices],
            [min(low[s]) for s in slices],
            [max(high[s]) for s in slices],
        )
    return Column(
        column.type,
        [sum(weight[s]) for s in slices],
        [sum(total[s]) for s in slices],
        [_of_seen(min, low[s], weight[s]) for s in slices],
        [_of_seen(max, high[s], weight[s]) for s in slices],
    )


def _of_seen(
    choose: Callable[[Iterable[int]], int], values: Sequence[int], weights: Sequence[int]
) -> int:
    seen = [value for value, weight in zip(values, weights, strict=True) if weight]
    return choose(seen) if seen else 0
