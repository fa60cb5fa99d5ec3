"""What series of days are made of besides their trend: a week that repeats, and steps. Pure.

A step is a change between two days that is far out of the usual and stays: a disk that was added,
a domain that was deleted. It says nothing about the days to come, so that trends leave it out.
Many series of the same days are looked at together, each a row; what is told of one is the same
whatever the others are.
"""

from collections.abc import Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_WEEK = 7
# Four weeks show whether a week repeats.
_LEAST_DAYS = 28
_LEAST_OF_WEEKDAY = 3
# What is left beside the week must be so much less than with it.
_LEFT = 0.75
# A change so many times the usual one is none of the usual ones (for the normal distribution,
# 1.4826 times the median deviation is the standard deviation).
_UNUSUAL = 6 * 1.4826
# No smaller share of the series' greatest value is a step.
_LEAST_STEP = 0.004
_AROUND = 5
_STAYS = 0.6


def weeks_of(first_day: int, values: Floats, seen: Flags) -> list[tuple[float, ...] | None]:
    """Of each row by weekday (day % 7) what it differs from the mean of its week, in the median;
    None where no week repeats. Days that were not seen have values all the same.
    """
    rows, count = values.shape
    if count < _LEAST_DAYS:
        return [None] * rows
    # Of each day what it differs from the seven around it, whose sum is gone on with.
    changes = values[:, _WEEK:] - values[:, :-_WEEK]
    totals = running(np.concatenate([running(values[:, :_WEEK])[:, -1:], changes], axis=1))
    apart = np.where(seen[:, 3:-3], values[:, 3:-3] - totals / _WEEK, np.nan)
    before = (first_day + 3) % _WEEK
    after = -(before + apart.shape[1]) % _WEEK
    whole_weeks = np.pad(apart, ((0, 0), (before, after)), constant_values=np.nan)
    by_weekday = whole_weeks.reshape(rows, -1, _WEEK).swapaxes(1, 2)
    enough = (~np.isnan(by_weekday)).sum(axis=2).min(axis=1) >= _LEAST_OF_WEEKDAY
    effects = medians(by_weekday)
    effects = effects - running(effects)[:, -1:] / _WEEK
    whole = medians(np.abs(by_weekday).reshape(rows, -1))
    left = medians(np.abs(by_weekday - effects[:, :, None]).reshape(rows, -1))
    repeats = enough & (left < _LEFT * whole)
    return [
        tuple(effect) if does else None
        for effect, does in zip(effects.tolist(), repeats.tolist(), strict=True)
    ]


def running(values: Floats) -> Floats:
    """The sums of each row's values up to each, added one after the other."""
    return np.cumsum(values, axis=-1)


def medians(values: Floats) -> Floats:
    """Along the last axis, without what is not a number."""
    ordered = np.sort(values, axis=-1)
    count = values.shape[-1] - np.isnan(values).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(0, count - 1) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[-1] - 1), axis=-1)
    return np.asarray((low + high) / 2)[..., 0]


def steps_of(values: Floats) -> list[dict[int, float]]:
    """Of each row by place the steps that came with it: how much more it was than the usual
    change.
    """
    changes = np.diff(values, axis=1)
    usual = medians(changes)
    off = abs(changes - usual[:, None])
    limits = np.maximum(_UNUSUAL * medians(off), _LEAST_STEP * abs(values).max(axis=1))
    unusual = off > limits[:, None]
    found: list[dict[int, float]] = [{} for _ in range(len(values))]
    for row in np.flatnonzero(unusual.any(axis=1)).tolist():
        places = (np.flatnonzero(unusual[row]) + 1).tolist()
        found[row] = _steps(values[row].tolist(), changes[row].tolist(), places, limits[row])
    return found


def _steps(
    values: Sequence[float], changes: Sequence[float], places: Sequence[int], limit: float
) -> dict[int, float]:
    """Those of some places with unusual changes that are steps."""
    found = {}
    for place in places:
        change = changes[place - 1]
        # Where the days around it change as much it is no step: a new trend began.
        around = changes[max(0, place - 1 - _AROUND) : place + _AROUND]
        more = change - median(around)
        if abs(more) > limit and _stays(values, place, more):
            found[place] = more
    return found


def _stays(values: Sequence[float], place: int, more: float) -> bool:
    """Whether it is no spike; of the newest day nobody knows yet."""
    after = values[place : place + _AROUND]
    if len(after) < 2:
        return True
    moved = median(after) - median(values[max(0, place - _AROUND) : place])
    return moved * more > 0 and abs(moved) > _STAYS * abs(more)
