"""From what is kept of a series to what is shown of a metric: means, bounds and daily figures.

Pure. What was not seen is None.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.metrics import Metric
from app.store.buckets import RATE_PER_S, Column, Rolled, said
from app.store.numbers import Numbers, divided, roomy, size_of

_P = 0.95


class Line(Struct):
    """A metric over buckets: its mean, least and greatest in each, None where nothing was seen."""

    average: list[float | None]
    least: list[float | None]
    greatest: list[float | None]


class Daily(NamedTuple):
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
    seen = column.weight != 0
    average = divided(column.total, np.where(seen, column.weight, 1)) * per_mean
    # Bounds of rates are kept rounded, and those of a steady one are all but its mean.
    found = Line(
        _shown(average, seen),
        _shown(np.minimum(low * per_bound, average), seen),
        _shown(np.maximum(high * per_bound, average), seen),
    )
    return _divided(found, rolled.starts, width_ms, cpus) if metric.per == "cpu" else found


def _shown(values: Numbers, seen: NDArray[np.bool_]) -> list[float | None]:
    if not seen.all():
        values = values.astype(object)
        values[~seen] = None
    return values.tolist()  # type: ignore[no-any-return]  # of floats and None


def daily(
    metric: Metric, finest: Rolled, coarsest: Rolled, width_ms: int, cpus: Sequence[Divisors]
) -> list[Daily | None]:
    """The day of each of the objects of which `finest` and `coarsest` are the buckets, the former
    `width_ms` wide; None of which nothing was seen. `cpus` is of each object.
    """
    column, coarse = finest.columns.get(metric.series), coarsest.columns.get(metric.series)
    if column is None or coarse is None:
        return [None] * len(cpus)
    if column.weight.all() and coarse.weight.all() and (metric.per != "cpu" or _are_known(cpus)):
        return list(_daily(metric, column, coarse, cpus))
    return [
        _daily_seen(metric, finest.of(n), coarsest.of(n), width_ms, one)
        for n, one in enumerate(cpus)
    ]


def _are_known(cpus: Sequence[Divisors]) -> bool:
    """Whether of each object it is known by what it is divided, the same all day."""
    return all(len(set(one.counts)) == 1 and one.counts[0] for one in cpus)


def _daily(
    metric: Metric, column: Column, coarse: Column, cpus: Sequence[Divisors]
) -> Iterator[Daily]:
    """Of each object, by the finest and the coarsest buckets; in all of them something was seen."""
    low, high = coarse.bounds()
    size = len(coarse.total)
    place = min(len(column.total) - 1, int(_P * len(column.total)))
    means = column.bounds()[0] if column.low is column.high else said(column)
    if means.dtype == object:
        p95 = np.sort(means, axis=0)[place]
    else:
        p95 = np.partition(means, place, axis=0)[place]
    total, weight = coarse.total, coarse.weights()
    totals = roomy(total, size_of(total) * size).sum(axis=0)
    weights = roomy(weight, size_of(weight) * size).sum(axis=0)
    per_mean, per_bound = (np.full(len(cpus), by) for by in _units(metric, column))
    if metric.per == "cpu":
        counts = np.array([one.counts[0] for one in cpus])
        per_mean, per_bound = per_mean / counts, per_bound / counts
    average = divided(totals, weights) * per_mean
    last = divided(column.total[-1], column.weights()[-1]) * per_mean
    if metric.unit in ("bytes", "bytes/s"):
        # Whole numbers take half the room. (And there is no 0 below 0.)
        average, last = np.rint(average) + 0.0, np.rint(last) + 0.0
    least, greatest = low.min(axis=0) * per_bound, high.max(axis=0) * per_bound
    figures = (
        np.minimum(least, np.minimum(average, last)), average,
        np.maximum(greatest, np.maximum(average, last)), p95 * per_bound, last,
    )  # fmt: skip
    return starmap(Daily, zip(*(one.tolist() for one in figures), strict=True))


def _daily_seen(
    metric: Metric, finest: Rolled, coarsest: Rolled, width_ms: int, cpus: Divisors
) -> Daily | None:
    """Of one object, by those of its buckets in which something was seen."""
    column, coarse = finest.columns[metric.series], coarsest.columns[metric.series]
    fine_seen, seen = column.weight != 0, coarse.weight != 0
    if not (fine_seen.any() and seen.any()):
        return None
    if metric.per != "cpu" or _are_known([cpus]):
        return next(_daily(metric, column.part(fine_seen).wide(), coarse.part(seen).wide(), [cpus]))
    if len(set(cpus.counts)) == 1:
        return None
    return _daily_of_line(line(metric, finest, width_ms, cpus), column.weight.tolist())


def _daily_of_line(told: Line, weights: Sequence[int]) -> Daily | None:
    weighted = [
        (value, weight)
        for value, weight in zip(told.average, weights, strict=True)
        if value is not None
    ]
    if not weighted:
        return None
    whole = sum(weight for _, weight in weighted)
    ordered = sorted(value for value, _ in weighted)
    least = min(value for value in told.least if value is not None)
    greatest = max(value for value in told.greatest if value is not None)
    average = sum(value * weight for value, weight in weighted) / whole
    return Daily(
        least,
        # The sum may be rounded beyond them.
        min(max(average, least), greatest),
        greatest,
        ordered[min(len(ordered) - 1, int(_P * len(ordered)))],
        weighted[-1][0],
    )


def _units(metric: Metric, column: Column) -> tuple[float, float]:
    """By what total ÷ weight, and by what a bound, is multiplied."""
    if column.type == "gauge":
        return metric.scale, metric.scale
    return 1000 * metric.scale, metric.scale / RATE_PER_S[column.type]


def _divided(told: Line, starts: Sequence[int], width_ms: int, cpus: Divisors) -> Line:
    if len(cpus.counts) == 1:
        counts = cpus.counts * len(starts)
    else:
        counts = [cpus.at(start * width_ms) for start in starts]

    def shared(values: Sequence[float | None]) -> list[float | None]:
        return [
            None if value is None or not count else value / count
            for value, count in zip(values, counts, strict=True)
        ]

    return Line(shared(told.average), shared(told.least), shared(told.greatest))
