"""Fits a forecast to a series of days. Pure.

Several simple ways to go on (levels smoothed more or less, trends over more or less of the past,
with the steps or without) are tried on the series' own past, from many days on; the best of them
together make the forecast, and how far they were off makes its bands. So the bands need no theory
of the noise: what came much later than expected before may do so again.
"""

import threading
from collections.abc import Sequence
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.capacity.daily import Daily, bridged, percentile
from app.capacity.forecast import FURTHEST_DAYS, Forecast, Refusal, Step
from app.capacity.shape import Floats, running, steps_of, weeks_of

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
_KEPT = 4096
# So many are fitted at once, for their arrays to stay small.
_AT_ONCE = 128


# A series, its limit (more than 0), and the day when it is foretold.
Asked = tuple[Daily, float, int]

_lock = threading.Lock()
_known: dict[Asked, Forecast | Refusal] = {}


def forecast(series: Daily, limit: float, day: int) -> Forecast | Refusal:
    """How a series goes on, as known when `day` began; its days from then on are not looked at.
    `limit` (more than 0) is what it cannot exceed.
    """
    return forecasts([(series, limit, day)])[0]


def forecasts(asked: Sequence[Asked]) -> list[Forecast | Refusal]:
    """The same of many series, made together, which costs a quarter of making each alone."""
    with _lock:
        found = {one: _known[one] for one in asked if one in _known}
    made = _made([one for one in dict.fromkeys(asked) if one not in found])
    with _lock:
        _known.update(made)
        while len(_known) > _KEPT:
            del _known[next(iter(_known))]
    found.update(made)
    return [found[one] for one in asked]


def _made(asked: Sequence[Asked]) -> dict[Asked, Forecast | Refusal]:
    found: dict[Asked, Forecast | Refusal] = {}
    # What can be fitted, by the days that it tells of.
    alike: dict[tuple[int, int], list[tuple[Asked, Daily]]] = {}
    for one in asked:
        series, limit, day = one
        kept = series.before(day).since(day - _MOST_DAYS).trimmed()
        told = _refusal(kept, day) or _unmoved(kept, limit)
        if told is None:
            alike.setdefault((kept.first_day, len(kept.values)), []).append((one, kept))
        else:
            found[one] = told
    for some in alike.values():
        for start in range(0, len(some), _AT_ONCE):
            part = some[start : start + _AT_ONCE]
            made = _Fitting([kept for _, kept in part], [one[1] for one, _ in part]).fitted()
            found.update(zip((one for one, _ in part), made, strict=True))
    return found


def _seen(series: Daily) -> int:
    return len(series.values) - series.values.count(None)


def _refusal(series: Daily, day: int) -> Refusal | None:
    """Why a series tells too little to go on from it on a day."""
    seen = _seen(series)
    if seen == 0:
        return Refusal("no-history", 0)
    if series.end_day < day - _LATELY_DAYS:
        return Refusal("not-seen-lately", seen)
    return Refusal("too-short", seen) if seen < LEAST_DAYS else None


def _unmoved(series: Daily, limit: float) -> Forecast | None:
    """The forecast of what never moved: that it does not."""
    level = series.values[-1] or 0.0
    if any(value is not None and value != level for value in series.values):
        return None
    ahead = min(FURTHEST_DAYS, _AHEAD * len(series.values))
    return Forecast(
        series.end_day - 1, _seen(series), level, 0.0, None, 0.0, 0.0, 0.0, limit, ahead
    )  # fmt: skip


class _Best(NamedTuple):
    """Of each series (row) the ways that were off least, the best first: which level, trend, and
    whether with steps; and what they were off together, by horizon from each origin.
    """

    levels: Whole
    trends: Whole
    with_steps: Whole
    errors: list[Floats]


class _Fitting:
    """Series of the same days being fitted, each a row."""

    def __init__(self, kept: Sequence[Daily], limits: Sequence[float]) -> None:
        self._kept, self._limits = kept, limits
        first = kept[0].first_day
        plain = np.array([bridged(one.values) for one in kept], dtype=np.float64)
        self._count = plain.shape[1]
        seen = np.ones(plain.shape, dtype=np.bool_)
        for row, one in enumerate(kept):
            if None in one.values:
                seen[row] = [value is not None for value in one.values]
        self._weeks = weeks_of(first, plain, seen)
        effects = np.array([week or (0.0,) * _WEEK for week in self._weeks])
        plain -= effects[:, (first + np.arange(self._count)) % _WEEK]
        self._plain = plain
        self._steps = steps_of(plain)
        stepped = np.zeros(plain.shape)
        for row, steps in enumerate(self._steps):
            stepped[row, list(steps)] = list(steps.values())
        self._stepped = running(stepped)
        smooth = plain - self._stepped
        self._levels = _followed(smooth)
        # Sums from the beginning, for the trend of any stretch at once.
        told = np.pad(smooth, ((0, 0), (1, 0)))
        self._sums = running(told)
        self._products = running(told * np.arange(-1, self._count))

    def fitted(self) -> list[Forecast | Refusal]:
        """The forecasts, by row."""
        horizons = [ahead for ahead in _HORIZONS if ahead <= self._count * 0.4]
        first, last = max(_WEEK, self._count // 4), self._count - 1 - horizons[0]
        stride = max(1, (self._count - _WEEK - first) // _ORIGINS)
        best = self._best(np.arange(last, first - 1, -stride), horizons)
        squares = [running(some * some)[:, -1] / some.shape[1] for some in best.errors]
        mean_squares = np.stack(squares, axis=1).tolist()
        told = [some.shape[1] for some in best.errors]
        laws = [
            _law(horizons, told, each, limit)
            for each, limit in zip(mean_squares, self._limits, strict=True)
        ]
        usual = np.array(
            [[scale * ahead**power for ahead in horizons] for scale, power in laws]
        )  # fmt: skip
        off = [abs(some) / usual[:, n, None] for n, some in enumerate(best.errors)]
        ordered = np.sort(np.concatenate(off, axis=1), axis=1).tolist()
        levels, rates = (some.tolist() for some in self._lines(best))
        found: list[Forecast | Refusal] = []
        for row, kept in enumerate(self._kept):
            scale, power = laws[row]
            wider = scale * (_WIDER + _WIDER_WHEN_FEW / sqrt(max(1.0, self._count / 28)))
            one = Forecast(
                kept.end_day - 1, _seen(kept), levels[row], rates[row], self._weeks[row],
                percentile(ordered[row], 0.5) * wider * _HALF_WIDER,
                percentile(ordered[row], 0.8) * wider,
                power, self._limits[row], min(FURTHEST_DAYS, _AHEAD * self._count),
                tuple(Step(kept.first_day + n, size) for n, size in self._steps[row].items()),
            )  # fmt: skip
            wild = one.half(_MONTH) > _WILD * one.limit
            found.append(Refusal("too-wild", one.days) if wild else one)
        return found

    def _best(self, at: Whole, horizons: Sequence[int]) -> _Best:
        """The ways that were off least, every one tried from each origin."""
        levels, stepped = self._levels[:, :, at], self._stepped[:, at]
        trends = self._trends(at)
        stepping = np.array([bool(steps) for steps in self._steps])
        rates = np.zeros((len(self._kept), 2 if stepping.any() else 1, len(at)))
        rates[:, 1:] = self._rates(at)[:, None]
        shape = (len(_FOLLOWS), len(_TRENDS), rates.shape[1])
        off = np.zeros((len(self._kept), *shape))
        errors = []
        for ahead in horizons:
            # Of an origin near the end only the nearer horizons have come; they fall.
            skip = int((at + ahead >= self._count).sum())
            come = self._plain[:, at[skip:] + ahead]
            rest = come[:, None] - levels[:, :, skip:] - stepped[:, None, skip:]
            lines = (_SHARES * (_BEHIND + ahead))[:, :, None] * trends[:, None, :, skip:]
            grown = ahead * rates[:, None, None, :, skip:]
            some = (rest[:, :, None] - lines)[:, :, :, None] - grown
            # Added up one after the other, whatever their number.
            off += running(abs(some))[..., -1] / sqrt(ahead)
            errors.append(some.reshape(len(off), -1, some.shape[-1]))
        off[~stepping, :, :, 1:] = np.inf
        best = np.argsort(off.reshape(len(off), -1), axis=1, kind="stable")[:, :_TOGETHER]
        together = [np.take_along_axis(some, best[:, :, None], axis=1) for some in errors]
        level, trend, with_steps = (np.asarray(n) for n in np.unravel_index(best, shape))
        return _Best(level, trend, with_steps, [some.sum(axis=1) / _TOGETHER for some in together])

    def _lines(self, best: _Best) -> tuple[Floats, Floats]:
        """Level and growth per day of each row from its last day on, the mean of the best ways."""
        last = np.array([self._count - 1])
        rows = np.arange(len(self._kept))[:, None]
        trends = _SHARES * self._trends(last)[:, :, 0]
        trend = trends[rows, best.trends]
        behind = _BEHIND[:, 0][best.levels]
        levels = self._levels[rows, best.levels, last] + self._stepped[:, last] + trend * behind
        rates = trend + best.with_steps * self._rates(last)
        return levels.sum(axis=1) / _TOGETHER, rates.sum(axis=1) / _TOGETHER

    def _trends(self, days: Whole) -> Floats:
        """What the least squares say of the days up to some, without the steps, per day; by row,
        span and day.
        """
        at = days[None]
        first = np.maximum(0, at + 1 - _SPANS[:, None])
        count = at + 1 - first
        total = self._sums[:, at + 1] - self._sums[:, first]
        product_ = self._products[:, at + 1] - self._products[:, first]
        risen = (product_ - (first + at) / 2 * total) * 12
        return np.where(count < 5, 0.0, risen / np.maximum(1.0, count * (count * count - 1.0)))

    def _rates(self, at: Whole) -> Floats:
        """What the steps up to some days make a day."""
        first = np.maximum(0, at - _STEPS_OVER)
        return (self._stepped[:, at] - self._stepped[:, first]) / np.maximum(1, at - first)


def _followed(smooth: Floats) -> Floats:
    """Of each row the levels that move by a share of their distance to each value."""
    shares = np.array(_FOLLOWS)
    level = np.repeat(smooth[:, :1], len(_FOLLOWS), axis=1)
    # By day first: what is written at a time lies together.
    found = np.empty((smooth.shape[1], *level.shape))
    for place, values in enumerate(smooth.T[:, :, None]):
        level = level + shares * (values - level)
        found[place] = level
    # What follows wholly is the value itself, whatever the sum says in its last digit.
    found[:, :, _FOLLOWS.index(1.0)] = smooth.T
    return found.transpose(1, 2, 0)


def _law(
    horizons: Sequence[int], counts: Sequence[int], mean_squares: Sequence[float], limit: float
) -> tuple[float, float]:
    """Scale and power of how the errors grow with the days ahead: scale · days ** power.
    `mean_squares` are those of so many (`counts`) errors by horizon.
    """
    told = [
        (log(ahead), log(max(sqrt(mean), 1e-9 * limit)))
        for ahead, count, mean in zip(horizons, counts, mean_squares, strict=True)
        if count >= 4
    ]
    if len(told) < 2:
        return (exp(told[0][1] - 0.7 * told[0][0]) if told else 0.01 * limit), 0.7
    mean_x = sum(x for x, _ in told) / len(told)
    mean_y = sum(y for _, y in told) / len(told)
    across = sum((x - mean_x) * (y - mean_y) for x, y in told)
    power = min(1.0, max(0.0, across / sum((x - mean_x) ** 2 for x, _ in told)))
    return exp(mean_y - power * mean_x), power
