"""From what is kept of a series to what is shown of a metric: means, bounds and daily figures.

Pure. What was not seen is None.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import starmap

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
    seen = column.weight != 0
    found = Line(
        _shown(divided(column.total, np.where(seen, column.weight, 1)) * per_mean, seen),
        _shown(low * per_bound, seen),
        _shown(high * per_bound, seen),
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
    if column.weight.all() and coarse.weight.all():
        figures: list[_Figures | None] = [*_figures(column, coarse)]
    else:
        figures = [_figures_seen(column.of(n), coarse.of(n)) for n in range(len(cpus))]
    return [
        one if one is None else _daily(metric, one, finest, n, width_ms, cpus[n])
        for n, one in enumerate(figures)
    ]


class _Figures(Struct, gc=False):
    """What a series was over a day, in whole numbers as it is kept."""

    least: int
    greatest: int
    p95: int
    total: int
    weight: int
    last_total: int
    last_weight: int


def _figures(column: Column, coarse: Column) -> Iterator[_Figures]:
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
    columns = (
        low.min(axis=0), high.max(axis=0), p95,
        roomy(total, size_of(total) * size).sum(axis=0),
        roomy(weight, size_of(weight) * size).sum(axis=0),
        column.total[-1], column.weights()[-1],
    )  # fmt: skip
    return starmap(_Figures, zip(*(one.tolist() for one in columns), strict=True))


def _figures_seen(column: Column, coarse: Column) -> _Figures | None:
    """Of one object, by those of its buckets in which something was seen."""
    fine_seen, seen = column.weight != 0, coarse.weight != 0
    if not (fine_seen.any() and seen.any()):
        return None
    return next(_figures(column.part(fine_seen).wide(), coarse.part(seen).wide()))


def _daily(
    metric: Metric, told: _Figures, finest: Rolled, place: int, width_ms: int, cpus: Divisors
) -> Daily | None:
    column = finest.columns[metric.series]
    per_mean, per_bound = _units(metric, column)
    if metric.per == "cpu":
        if len(set(cpus.counts)) != 1:
            mine = Rolled(finest.starts, {metric.series: column.of(place)})
            weights = mine.columns[metric.series].weight.tolist()
            return _daily_of_line(line(metric, mine, width_ms, cpus), weights)
        if not cpus.counts[0]:
            return None
        per_mean, per_bound = per_mean / cpus.counts[0], per_bound / cpus.counts[0]
    mean = told.total / told.weight * per_mean
    newest = told.last_total / told.last_weight * per_mean
    if metric.unit in ("bytes", "bytes/s"):
        # Whole numbers take half the room.
        mean, newest = float(round(mean)), float(round(newest))
    return Daily(
        told.least * per_bound, mean, told.greatest * per_bound, told.p95 * per_bound, newest
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
    ordered = sorted(value for value, _ in weighted)
    return Daily(
        min(value for value in told.least if value is not None),
        sum(value * weight for value, weight in weighted) / whole,
        max(value for value in told.greatest if value is not None),
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
