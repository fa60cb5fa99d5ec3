"""Roll-ups: samples put together into buckets of time, and buckets into wider ones. Pure.

A bucket keeps sums and weights, not means, so that what is put together again loses nothing: the
sum over a day's hours is the sum over its samples. Of a gauge it keeps the sum of the values, how
many there were, the least and the greatest; of a counter what was counted, over how many
milliseconds, and the lowest and highest rate between two samples. An interval belongs to the
bucket in which it ends. What was not seen has the weight 0.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, groupby, pairwise, repeat
from operator import floordiv, lt, mul, sub

from msgspec import Struct

from app.metrics import SeriesType
from app.store import bounds

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
            if self.type == "gauge":
                return self.total, self.total
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


def told(rolled: Rolled) -> Rolled:
    """The same with the lowest and highest of each bucket put in words once for all."""
    columns = {
        name: Column(column.type, column.weight, column.total, *column.bounds())
        for name, column in rolled.columns.items()
    }
    return Rolled(rolled.starts, columns)


def bounded(rolled: Rolled) -> Rolled:
    """The same with the lowest and highest of each bucket rounded outward, as chunks keep them."""
    columns = {}
    for name, column in rolled.columns.items():
        if column.low is not None and column.high is not None:
            bits = bounds.BITS[column.type]
            low, high = bounds.rounded(column.low, column.high, bits)
            column = Column(column.type, column.weight, column.total, low, high)
        columns[name] = column
    return Rolled(rolled.starts, columns)


def said(column: Column) -> list[int]:
    """What all values of each bucket were, if they were all the same."""
    if column.type != "gauge":
        return implied(column.type, column.weight, column.total)
    return [t // w if w else 0 for t, w in zip(column.total, column.weight, strict=True)]


def implied(type_: SeriesType, weight: Sequence[int], total: Sequence[int]) -> list[int]:
    """What a bucket of one sample says of its lowest and highest."""
    if type_ == "gauge":
        return list(total)
    per_ms = 1000 * RATE_PER_S[type_]
    if 0 not in weight:
        return list(map(floordiv, map(mul, total, repeat(per_ms)), weight))
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


def roll(samples: Samples, width_ms: int, shared: "Shared | None" = None) -> Rolled:
    """The samples in buckets of `width_ms`. Series whose weights are the same share a list."""
    shared = shared or Shared()
    numbers, elapsed, ones = shared.grid(samples, width_ms)
    columns = {}
    for name, (type_, values) in samples.series.items():
        if type_ == "gauge":
            columns[name] = _gauged(values[samples.skip :], ones)
        else:
            columns[name] = _counted(type_, values, elapsed)
    fine = Rolled(numbers, columns)
    groups = shared.groups(numbers, 1)
    return _grouped(fine, groups) if len(groups.starts) < len(numbers) else fine


def merge(parts: Sequence[Rolled], factor: int, shared: "Shared | None" = None) -> Rolled:
    """The buckets of `parts`, which follow each other, in buckets `factor` times as wide."""
    whole = parts[0] if len(parts) == 1 else _joined(parts)
    if factor == 1 and all(map(lt, whole.starts, whole.starts[1:])):
        return whole
    return _grouped(whole, (shared or Shared()).groups(whole.starts, factor))


class Shared:
    """What objects that were looked at together have in common: made once for all of them. Lists
    are known by their identity, so they must stay as they are.
    """

    def __init__(self) -> None:
        self._grids: dict[tuple[int, int, int, int], tuple[Samples, list[int], list[int]]] = {}
        self._groups: dict[tuple[int, int], tuple[list[int], _Groups]] = {}
        self._ones: dict[int, list[int]] = {}

    def grid(self, samples: Samples, width_ms: int) -> tuple[list[int], list[int], list[int]]:
        """In which bucket each sample is, what its interval is, and what it counts of a gauge."""
        key = (id(samples.times_ms), id(samples.elapsed_ms), samples.skip, width_ms)
        known = self._grids.get(key)
        if known is None:
            skip = samples.skip
            numbers = [time // width_ms for time in samples.times_ms[skip:]]
            # The samples are kept with it, so that no other lists may take their ids.
            known = self._grids[key] = (samples, numbers, list(samples.elapsed_ms[skip:]))
        _, numbers, elapsed = known
        ones = self._ones.setdefault(len(numbers), [1] * len(numbers))
        return numbers, elapsed, ones

    def groups(self, starts: list[int], factor: int) -> "_Groups":
        """Which of the buckets `starts` belong together in buckets `factor` times as wide."""
        key = (id(starts), factor)
        known = self._groups.get(key)
        if known is None:
            groups = _Groups([start // factor for start in starts])
            known = self._groups[key] = (starts, groups)
        return known[1]


def _gauged(values: Sequence[int | None], ones: list[int]) -> Column:
    if None in values:
        return Column(
            "gauge", [int(v is not None) for v in values], [0 if v is None else v for v in values]
        )
    return Column("gauge", ones, list(values))  # type: ignore[arg-type]  # no None


def _counted(type_: SeriesType, values: Sequence[int | None], elapsed: list[int]) -> Column:
    """`elapsed` is of the last of the values: those before are there for the first interval."""
    if None in values:
        pairs = pairwise(values)
        deltas = [-1 if a is None or b is None else b - a for a, b in pairs]
    else:
        deltas = list(map(sub, values[1:], values))
    total = deltas if len(deltas) == len(elapsed) else [0, *deltas]
    if elapsed and not elapsed[0]:
        # The first of all, or the first after a gap, has nothing to be compared with.
        total[0] = 0
    if total and (min(total) < 0 or 0 in elapsed[1:]):
        tells = [bool(ms) and delta >= 0 for ms, delta in zip(elapsed, total, strict=True)]
        weight = [ms if told else 0 for ms, told in zip(elapsed, tells, strict=True)]
        return Column(
            type_, weight, [t if told else 0 for t, told in zip(total, tells, strict=True)]
        )
    return Column(type_, elapsed, total)


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
            joined.high += high  # type: ignore[operator]  # likewise
        columns[name] = joined
    return Rolled(starts, columns)


class _Groups:
    """Which neighbours of a list belong together, and what becomes of each group."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.starts: list[int] = []
        sizes = []
        for number, group in groupby(numbers):
            self.starts.append(number)
            sizes.append(sum(1 for _ in group))
        # Groups of one size, as those of a day without gaps are, need no slices.
        self._size = sizes[0] if len(set(sizes)) == 1 else 0
        edges = list(accumulate(sizes, initial=0))
        self._slices = [slice(a, b) for a, b in pairwise(edges)]
        self._weights: dict[int, tuple[list[int], list[int], bool]] = {}

    def weights(self, weight: list[int]) -> tuple[list[int], bool]:
        """The groups' sums, made once for all series that share the list; and whether there was
        something to be seen everywhere.
        """
        known = self._weights.get(id(weight))
        if known is None:
            # The list is kept with its sums, so that no other may take its id.
            known = (weight, list(map(sum, self.cut(weight))), 0 not in weight)
            self._weights[id(weight)] = known
        return known[1], known[2]

    def cut(self, values: Sequence[int]) -> list[Sequence[int]]:
        """The values of each group."""
        if self._size:
            return list(zip(*[iter(values)] * self._size, strict=True))
        return [values[s] for s in self._slices]


def _grouped(rolled: Rolled, groups: _Groups) -> Rolled:
    """Neighbouring buckets put together."""
    return Rolled(
        groups.starts, {name: _group(column, groups) for name, column in rolled.columns.items()}
    )


def _group(column: Column, groups: _Groups) -> Column:
    low, high = column.bounds()
    weight, seen = groups.weights(column.weight)
    totals = groups.cut(column.total)
    total = list(map(sum, totals))
    if seen and low is high and low and low[0] == low[-1] and low.count(low[0]) == len(low):
        same = [low[0]] * len(weight)
        return Column(column.type, weight, total, same, same)
    lows = totals if low is column.total else groups.cut(low)
    highs = lows if high is low else groups.cut(high)
    if seen:
        return Column(column.type, weight, total, list(map(min, lows)), list(map(max, highs)))
    weights = groups.cut(column.weight)
    return Column(
        column.type,
        weight,
        total,
        list(map(_least_seen, lows, weights)),
        list(map(_most_seen, highs, weights)),
    )


def _least_seen(values: Sequence[int], weights: Sequence[int]) -> int:
    return _of_seen(min, values, weights)


def _most_seen(values: Sequence[int], weights: Sequence[int]) -> int:
    return _of_seen(max, values, weights)


def _of_seen(
    choose: Callable[[Iterable[int]], int], values: Sequence[int], weights: Sequence[int]
) -> int:
    seen = [value for value, weight in zip(values, weights, strict=True) if weight]
    return choose(seen) if seen else 0
