"""From what is kept of a series to what is shown of a metric: means, bounds and daily figures.

Pure. What was not seen is None.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from app.metrics import Metric
from app.store.rollup import RATE_PER_S, Column, Rolled, implied

_P = 0.95
_GUESSED = 16
N = TypeVar("N", int, float)


class Line(Struct):
    """A metric over buckets: its mean, least and greatest in each, None where nothing was seen."""

    average: list[float | None]
    least: list[float | None]
    greatest: list[float | None]


class Daily(Struct, frozen=True):
    """What a metric was over a day; `p95`: nineteen in twenty of its minutes were at most that."""

    least: float
    average: float
    greatest: float
    p95: float
    last: float


class Divisors(Struct):
    """By what a metric is divided, from a time on: how many CPUs there were."""

    from_ms: list[int]
    counts: list[int | None]

    def at(self, time_ms: int) -> int | None:
        """The number at a time; of the first one known before that."""
        position = bisect_right(self.from_ms, time_ms) - 1
        return self.counts[max(0, position)] if self.counts else None


def line(metric: Metric, rolled: Rolled, width_ms: int, cpus: Divisors) -> Line:
    """The metric over the buckets of `rolled`, which are `width_ms` wide."""
    column = rolled.columns.get(metric.series)
    if column is None:
        nothing: list[float | None] = [None] * len(rolled.starts)
        return Line(nothing, list(nothing), list(nothing))
    per_mean, per_bound = _units(metric, column)
    low, high = column.bounds()
    average = [
        None if not w else t / w * per_mean
        for t, w in zip(column.total, column.weight, strict=True)
    ]
    least = [None if not w else v * per_bound for v, w in zip(low, column.weight, strict=True)]
    greatest = [None if not w else v * per_bound for v, w in zip(high, column.weight, strict=True)]
    found = Line(average, least, greatest)
    return _divided(found, rolled.starts, width_ms, cpus) if metric.per == "cpu" else found


def daily(
    metric: Metric, finest: Rolled, coarsest: Rolled, width_ms: int, cpus: Divisors
) -> Daily | None:
    """The day of which `finest` and `coarsest` are the buckets, the former `width_ms` wide; None
    when nothing of it was seen.
    """
    column, coarse = finest.columns.get(metric.series), coarsest.columns.get(metric.series)
    if column is None or coarse is None or not any(coarse.weight):
        return None
    if metric.per == "cpu" and len(set(cpus.counts)) != 1:
        return _daily_of_line(line(metric, finest, width_ms, cpus), column.weight)
    per_mean, per_bound = _units(metric, column)
    if metric.per == "cpu":
        if not cpus.counts[0]:
            return None
        per_mean, per_bound = per_mean / cpus.counts[0], per_bound / cpus.counts[0]
    low, high = coarse.bounds()
    weight, total = column.weight, column.total
    last = next(position for position in reversed(range(len(weight))) if weight[position])
    mean = sum(coarse.total) / sum(coarse.weight) * per_mean
    newest = total[last] / weight[last] * per_mean
    if metric.unit in ("bytes", "bytes/s"):
        # Whole numbers take half the room.
        mean, newest = float(round(mean)), float(round(newest))
    return Daily(
        min(v for v, w in zip(low, coarse.weight, strict=True) if w) * per_bound,
        mean,
        max(v for v, w in zip(high, coarse.weight, strict=True) if w) * per_bound,
        _percentile_of(_means(column)) * per_bound,
        newest,
    )


def _daily_of_line(told: Line, weights: Sequence[int]) -> Daily | None:
    weighted = [
        (value, weight)
        for value, weight in zip(told.average, weights, strict=True)
        if value is not None
    ]
    if not weighted:
        return None
    whole = sum(weight for _, weight in weighted)
    return Daily(
        min(value for value in told.least if value is not None),
        sum(value * weight for value, weight in weighted) / whole,
        max(value for value in told.greatest if value is not None),
        _percentile(sorted(value for value, _ in weighted)),
        weighted[-1][0],
    )


def _means(column: Column) -> list[int]:
    """The means of the buckets in which something was seen, in the unit of their bounds."""
    if column.low is None or column.low is column.high:
        means, _ = column.bounds()
    elif column.type == "gauge":
        means = [t // w if w else 0 for t, w in zip(column.total, column.weight, strict=True)]
    else:
        means = implied(column.type, column.weight, column.total)
    if 0 in column.weight:
        return [mean for mean, weight in zip(means, column.weight, strict=True) if weight]
    return means


def _percentile_of(values: Sequence[int]) -> int:
    """The same of values in any order. Of many only those near it and above are put in order: what
    these are is guessed by a few.
    """
    rank = len(values) - min(len(values) - 1, int(_P * len(values)))
    few = sorted(values[::_GUESSED])
    guess = few[-min(len(few), 2 * rank // _GUESSED + 2)]
    near = [value for value in values if value >= guess]
    return sorted(near if len(near) >= rank else values)[-rank]


def _percentile(ordered: Sequence[N]) -> N:
    return ordered[min(len(ordered) - 1, int(_P * len(ordered)))]


def _units(metric: Metric, column: Column) -> tuple[float, float]:
    """By what total ÷ weight, and by what a bound, is multiplied."""
    if column.type == "gauge":
        return metric.scale, metric.scale
    return 1000 * metric.scale, metric.scale / RATE_PER_S[column.type]


def _divided(told: Line, starts: Sequence[int], width_ms: int, cpus: Divisors) -> Line:
    counts = [cpus.at(start * width_ms) for start in starts]

    def shared(values: Sequence[float | None]) -> list[float | None]:
        return [
            None if value is None or not count else value / count
            for value, count in zip(values, counts, strict=True)
        ]

    return Line(shared(told.average), shared(told.least), shared(told.greatest))
