"""Fits a forecast to a series of days. Pure.

Several simple ways to go on (levels smoothed more or less, trends over more or less of the past,
with the steps or without) are tried on the series' own past, from many days on; the best of them
together make the forecast, and how far they were off makes its bands. So the bands need no theory
of the noise: what came much later than expected before may do so again.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, product
from math import exp, log, sqrt
from operator import sub
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.capacity.daily import Daily, bridged, percentile
from app.capacity.forecast import FURTHEST_DAYS, Forecast, Refusal, Step
from app.capacity.shape import steps_of, week_of

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

# So many days are the least to go on from, and so many times them is how far one may look ahead.
LEAST_DAYS = 14
_AHEAD = 4
# Older days say little about the ones to come.
_MOST_DAYS = 400
# A series that ended longer ago is another thing's.
_LATELY_DAYS = 7
# A band wider than this share of the limit, a month ahead, says nothing.
_WILD = 0.5
_MONTH = 30
_WEEK = 7

# By what share of its distance a level follows each day; 1 is the last value.
_FOLLOWS = (1.0, 0.35, 0.12)
# Over how many days a trend is fitted, and how much of it is believed.
_TRENDS = ((0, 0.0), (21, 1.0), (63, 1.0), (63, 0.5), (365, 1.0), (365, 0.5))
_SPANS, _SHARES = np.array([span for span, _ in _TRENDS]), np.array([part for _, part in _TRENDS])
# By how many days each level is behind a trend.
_BEHIND = np.array([[(1 - follows) / follows] for follows in _FOLLOWS])
# Over how many days steps are spread, where they are a part of the growth.
_STEPS_OVER = 180
_TOGETHER = 3
_HORIZONS = (3, 7, 14, 28, 56)
_ORIGINS = 16
# What is known of the errors is too good, since the best was chosen by them; more so the fewer
# there are. Fitted on made-up series (tests/capacity_series), which others then confirmed.
_WIDER, _WIDER_WHEN_FEW = 0.47, 1.37
_HALF_WIDER = 0.8


# As many as a large fleet has, with those of last month: a day's are the same all day.
@lru_cache(maxsize=2048)
def forecast(series: Daily, limit: float, day: int) -> Forecast | Refusal:
    """How a series goes on, as known when `day` began; its days from then on are not looked at.
    `limit` (more than 0) is what it cannot exceed.
    """
    kept = series.before(day).since(day - _MOST_DAYS).trimmed()
    seen = len(kept.values) - kept.values.count(None)
    if seen == 0:
        return Refusal("no-history", 0)
    if kept.end_day < day - _LATELY_DAYS:
        return Refusal("not-seen-lately", seen)
    if seen < LEAST_DAYS:
        return Refusal("too-short", seen)
    found = _unmoved(kept, limit, seen) or _Fitting(kept, limit).fitted(seen)
    return Refusal("too-wild", seen) if found.half(_MONTH) > _WILD * limit else found


def _unmoved(series: Daily, limit: float, seen: int) -> Forecast | None:
    """The forecast of what never moved: that it does not."""
    level = series.values[-1] or 0.0
    if any(value is not None and value != level for value in series.values):
        return None
    ahead = min(FURTHEST_DAYS, _AHEAD * len(series.values))
    return Forecast(series.end_day - 1, seen, level, 0.0, None, 0.0, 0.0, 0.0, limit, ahead)


class _Way(NamedTuple):
    """One way to go on: the level that follows so much, a trend, with steps or without."""

    follows: float
    trend: tuple[int, float]
    with_steps: bool


class _Tried(NamedTuple):
    """A way, and its errors by horizon, from one origin after the other."""

    way: _Way
    errors: list[Floats]


class _Fitting:
    """One series being fitted."""

    def __init__(self, series: Daily, limit: float) -> None:
        self._series = series
        self._limit = limit
        plain = bridged(series.values)
        self._count = len(plain)
        self._week = week_of(series, plain)
        if self._week is not None:
            week, first = self._week, series.first_day
            plain = [value - week[(first + n) % _WEEK] for n, value in enumerate(plain)]
        self._plain = plain
        self._steps = steps_of(plain)
        self._stepped = _running(self._steps, self._count)
        smooth = plain
        if self._steps:
            smooth = list(map(sub, plain, self._stepped))
        self._levels = {share: _followed(smooth, share) for share in _FOLLOWS}
        # Sums from the beginning, for the trend of any stretch at once.
        told = np.array([0.0, *smooth])
        self._sums = np.cumsum(told)
        self._products = np.cumsum(told * np.arange(-1, self._count))

    def fitted(self, seen: int) -> Forecast:
        """The forecast."""
        horizons = [ahead for ahead in _HORIZONS if ahead <= self._count * 0.4]
        first, last = max(_WEEK, self._count // 4), self._count - 1 - horizons[0]
        stride = max(1, (self._count - _WEEK - first) // _ORIGINS)
        best = self._best(range(last, first - 1, -stride), horizons)
        now = self._count - 1
        lines = [self._line(one.way, now) for one in best]
        of_ways = zip(*(one.errors for one in best), strict=True)
        errors: list[list[float]] = [(sum(some) / len(best)).tolist() for some in of_ways]
        scale, power = _law(horizons, errors, self._limit)
        off = [
            abs(error) / (scale * ahead**power)
            for ahead, some in zip(horizons, errors, strict=True)
            for error in some
        ]
        wider = scale * (_WIDER + _WIDER_WHEN_FEW / sqrt(max(1.0, self._count / 28)))
        return Forecast(
            self._series.end_day - 1,
            seen,
            sum(level for level, _ in lines) / len(lines),
            sum(per_day for _, per_day in lines) / len(lines),
            self._week,
            percentile(off, 0.5) * wider * _HALF_WIDER,
            percentile(off, 0.8) * wider,
            power,
            self._limit,
            min(FURTHEST_DAYS, _AHEAD * self._count),
            tuple(Step(self._series.first_day + n, size) for n, size in self._steps.items()),
        )

    def _best(self, origins: Sequence[int], horizons: Sequence[int]) -> list[_Tried]:
        """The ways that were off least, the best first, every one tried from each origin."""
        at, plain = np.array(origins), np.array(self._plain)
        levels = np.array([[self._levels[follows][n] for n in origins] for follows in _FOLLOWS])
        stepped = np.array([self._stepped[n] for n in origins])
        trends = self._trends(at, _SPANS[:, None])
        rates = np.zeros((2 if self._steps else 1, len(origins)))
        if self._steps:
            rates[1] = [self._rate(origin) for origin in origins]
        off = np.zeros((len(_FOLLOWS), len(_TRENDS), len(rates)))
        errors = []
        for ahead in horizons:
            # Of an origin near the end only the nearer horizons have come; they fall.
            skip = sum(origin + ahead >= self._count for origin in origins)
            rest = plain[at[skip:] + ahead] - levels[:, skip:] - stepped[skip:]
            lines = (_SHARES * (_BEHIND + ahead))[:, :, None] * trends[:, skip:]
            some = (rest[:, None] - lines)[:, :, None] - ahead * rates[:, skip:]
            # Added up one after the other, whatever their number.
            off += np.cumsum(abs(some), axis=-1)[..., -1] / sqrt(ahead)
            errors.append(some)
        ways = list(product(*map(range, off.shape)))
        told = off.ravel().tolist()
        best = [ways[n] for n in sorted(range(len(ways)), key=told.__getitem__)[:_TOGETHER]]
        return [
            _Tried(_Way(_FOLLOWS[f], _TRENDS[t], bool(r)), [some[f, t, r] for some in errors])
            for f, t, r in best
        ]

    def _line(self, way: _Way, at: int) -> tuple[float, float]:
        """Level and growth per day from a day on."""
        span, share = way.trend
        trend = share * float(self._trends(np.array(at), np.array(span)))
        behind = (1 - way.follows) / way.follows
        level = self._levels[way.follows][at] + self._stepped[at] + trend * behind
        return level, trend + (self._rate(at) if way.with_steps else 0.0)

    def _trends(self, at: Whole, span: Whole) -> Floats:
        """What the least squares say of the days up to some, without the steps, per day."""
        first = np.maximum(0, at + 1 - span)
        count = at + 1 - first
        total = self._sums[at + 1] - self._sums[first]
        product_ = self._products[at + 1] - self._products[first]
        risen = (product_ - (first + at) / 2 * total) * 12
        return np.where(count < 5, 0.0, risen / np.maximum(1.0, count * (count * count - 1.0)))

    def _rate(self, at: int) -> float:
        """What the steps up to a day make a day."""
        first = max(0, at - _STEPS_OVER)
        return (self._stepped[at] - self._stepped[first]) / max(1, at - first)


def _running(steps: dict[int, float], count: int) -> list[float]:
    """What all steps up to each day make."""
    if not steps:
        return [0.0] * count
    return list(accumulate(steps.get(place, 0.0) for place in range(count)))


def _followed(values: Sequence[float], share: float) -> list[float]:
    """A level that moves by a share of its distance to each value."""
    if share == 1.0:
        return list(values)
    level = values[0]
    found = []
    for value in values:
        level += share * (value - level)
        found.append(level)
    return found


def _law(
    horizons: Sequence[int], errors: Sequence[Sequence[float]], limit: float
) -> tuple[float, float]:
    """Scale and power of how the errors grow with the days ahead: scale · days ** power."""
    told = [
        (log(ahead), log(max(sqrt(sum(e * e for e in some) / len(some)), 1e-9 * limit)))
        for ahead, some in zip(horizons, errors, strict=True)
        if len(some) >= 4
    ]
    if len(told) < 2:
        return (exp(told[0][1] - 0.7 * told[0][0]) if told else 0.01 * limit), 0.7
    mean_x = sum(x for x, _ in told) / len(told)
    mean_y = sum(y for _, y in told) / len(told)
    across = sum((x - mean_x) * (y - mean_y) for x, y in told)
    power = min(1.0, max(0.0, across / sum((x - mean_x) ** 2 for x, _ in told)))
    return exp(mean_y - power * mean_x), power
