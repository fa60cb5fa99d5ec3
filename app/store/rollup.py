"""Roll-ups: samples put together into buckets of time, and buckets into wider ones. Pure.

A bucket keeps sums and weights, not means, so that what is put together again loses nothing: the
sum over a day's hours is the sum over its samples. Of a gauge it keeps the sum of the values, how
many there were, the least and the greatest; of a counter what was counted, over how many
milliseconds, and the lowest and highest rate between two samples. An interval belongs to the
bucket in which it ends. What was not seen has the weight 0.

Objects that were looked at together are put together at once, and come to what each would come
to alone.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.metrics import SeriesType
from app.store.buckets import Column, Rolled, along
from app.store.numbers import Numbers, extremes, numbers, roomy, size_of


class Readings(Struct):
    """What was measured of a series; `known` None: all of it."""

    values: Numbers
    known: NDArray[np.bool_] | None = None

    def wide(self) -> "Readings":
        """That of one object as one of several."""
        return Readings(self.values[:, None], None if self.known is None else self.known[:, None])


class Samples(Struct):
    """The samples of one object, or of several, in the order of time: values per series, None
    where unknown.

    `elapsed_ms` tells, per sample, the time since the one before it if what the counters counted
    in between is known; else 0. The first `skip` are there for the interval after them alone.
    """

    times_ms: Sequence[int]
    elapsed_ms: Sequence[int]
    series: Mapping[str, tuple[SeriesType, Sequence[int | None] | Readings]]
    skip: int = 0


def readings(values: Sequence[int | None] | Readings) -> Readings:
    """Values, None where unknown, as arrays."""
    if isinstance(values, Readings):
        return values
    if None not in values:
        return Readings(numbers(values))  # type: ignore[arg-type]  # no None
    known = np.array([value is not None for value in values])
    return Readings(numbers([0 if value is None else value for value in values]), known)


def usable_intervals(
    times_ms: Sequence[int],
    longest_ms: Sequence[int],
    breaks_ms: Iterable[int],
    clocks: Sequence[int | None] | Readings,
) -> list[int]:
    """`elapsed_ms` of Samples: 0 where the interval before a sample tells nothing.

    That is before the first, after a gap (longer than `longest_ms` of that sample), across a
    break (the domain was started anew), and where the counter `clocks`, which never falls while
    the same thing runs, fell: all the counters began anew then.
    """
    if not len(times_ms):
        return []
    times, clock = numbers(times_ms), readings(clocks)
    elapsed = np.diff(times, prepend=times[:1])
    fell = clock.values[1:] < clock.values[:-1]
    if clock.known is not None:
        fell &= clock.known[1:] & clock.known[:-1]
    elapsed[elapsed > numbers(longest_ms)] = 0
    elapsed[1:][fell] = 0
    # A break at the time of a sample belongs to the interval that the sample ends.
    ends = np.searchsorted(times, numbers(list(breaks_ms)))
    elapsed[ends[ends < len(times)]] = 0
    return elapsed.tolist()  # type: ignore[no-any-return]  # of whole numbers


def roll(samples: Samples, width_ms: int) -> Rolled:
    """The samples in buckets of `width_ms`. Series whose weights are the same share an array."""
    skip = samples.skip
    in_buckets = numbers(samples.times_ms[skip:]) // width_ms
    elapsed = numbers(samples.elapsed_ms[skip:])
    ones = np.ones(len(in_buckets), np.int64)
    columns = {}
    for name, (type_, values) in samples.series.items():
        found = readings(values)
        if type_ == "gauge":
            columns[name] = _gauged(found, skip, ones)
        else:
            columns[name] = _counted(type_, found, elapsed)
    return _grouped(Rolled(in_buckets.tolist(), columns), in_buckets)


def merge(parts: Sequence[Rolled], factor: int) -> Rolled:
    """The buckets of `parts`, which follow each other, in buckets `factor` times as wide."""
    whole = parts[0] if len(parts) == 1 else _joined(parts)
    return _grouped(whole, numbers(whole.starts) // factor)


def _gauged(found: Readings, skip: int, ones: Numbers) -> Column:
    values = found.values[skip:]
    if found.known is None or found.known[skip:].all():
        return Column("gauge", ones, values)
    known = found.known[skip:]
    return Column("gauge", known.astype(np.int64), np.where(known, values, 0))


def _counted(type_: SeriesType, found: Readings, elapsed: Numbers) -> Column:
    """`elapsed` is of the last of the values: those before are there for the first interval."""
    values = found.values
    low, high = extremes(values)
    deltas = np.diff(roomy(values, high - low), axis=0)
    tells = deltas >= 0
    if found.known is not None:
        tells &= found.known[1:] & found.known[:-1]
    if len(deltas) < len(elapsed):
        # The first of all has nothing to be compared with.
        before = np.zeros((1, *values.shape[1:]), np.int64)
        deltas, tells = np.concatenate([before, deltas]), np.concatenate([before == 0, tells])
    is_usable = elapsed != 0
    if not is_usable.all():
        is_usable = along(is_usable, deltas)
        deltas = np.where(is_usable, deltas, 0)
        tells |= ~is_usable
    if tells.all():
        return Column(type_, elapsed, deltas)
    return Column(type_, np.where(tells, along(elapsed, deltas), 0), np.where(tells, deltas, 0))


def _joined(parts: Sequence[Rolled]) -> Rolled:
    """The parts one after the other; a series that one does not have was not seen in it."""
    starts = [start for part in parts for start in part.starts]
    types = {name: column.type for part in parts for name, column in part.columns.items()}
    columns = {}
    for name, type_ in types.items():
        found: list[tuple[Numbers, ...]] = []
        for part in parts:
            column = part.columns.get(name)
            if column is None:
                found.append((np.zeros(len(part.starts), np.int64),) * 4)
            else:
                found.append((column.weight, column.total, *column.bounds()))
        columns[name] = Column(type_, *map(np.concatenate, zip(*found, strict=True)))
    return Rolled(starts, columns)


class _Groups:
    """Which neighbours along the first axis belong together."""

    def __init__(self, in_groups: Numbers) -> None:
        edges = np.flatnonzero(np.diff(in_groups)) + 1
        self.firsts = np.concatenate([[0], edges])
        sizes = np.diff(np.append(self.firsts, len(in_groups)))
        self.largest = int(sizes.max())
        # Groups of one size, as those of a day without gaps are, are an axis of their own.
        self._even = len(in_groups) == self.largest * len(self.firsts)

    def put_together(self, by: np.ufunc, values: Numbers) -> Numbers:
        """One of each group: its sum, least or greatest."""
        if self._even:
            shape = (len(self.firsts), self.largest, *values.shape[1:])
            return np.asarray(by.reduce(values.reshape(shape), axis=1))
        return np.asarray(by.reduceat(values, self.firsts, axis=0))

    def sums(self, values: Numbers) -> Numbers:
        """The sums, which may be longer than what they are of."""
        return self.put_together(np.add, roomy(values, size_of(values) * self.largest))


def _grouped(rolled: Rolled, in_groups: Numbers) -> Rolled:
    """Neighbouring buckets put together, those of the same of the rising numbers `in_groups`."""
    if not rolled.starts:
        return rolled
    groups = _Groups(in_groups)
    if groups.largest == 1:
        return Rolled(in_groups.tolist(), rolled.columns)
    # Series that share their weights share the sums.
    weights: dict[int, tuple[Numbers, bool]] = {}
    columns = {}
    for name, column in rolled.columns.items():
        known = weights.get(id(column.weight))
        if known is None:
            known = groups.sums(column.weight), extremes(column.weight)[0] > 0
            weights[id(column.weight)] = known
        columns[name] = _group(column, groups, *known)
    return Rolled(in_groups[groups.firsts].tolist(), columns)


def _group(column: Column, groups: _Groups, weight: Numbers, seen: bool) -> Column:
    low, high = column.bounds()
    if not seen:
        # What was not seen is neither the least nor the greatest.
        is_seen = column.weights() != 0
        low = np.where(is_seen, low, extremes(low)[1])
        high = np.where(is_seen, high, extremes(high)[0])
    total = groups.sums(column.total)
    least = groups.put_together(np.minimum, low)
    greatest = groups.put_together(np.maximum, high)
    if not seen:
        something = along(weight, total) != 0
        least, greatest = np.where(something, least, 0), np.where(something, greatest, 0)
    return Column(column.type, weight, total, least, greatest)
