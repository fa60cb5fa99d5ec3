"""What a series of days is made of besides its trend: a week that repeats, and steps. Pure.

A step is a change between two days that is far out of the usual and stays: a disk that was added,
a domain that was deleted. It says nothing about the days to come, so that trends leave it out.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import sub
from statistics import median

from app.capacity.daily import Daily

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


def week_of(series: Daily, bridged: Sequence[float]) -> tuple[float, ...] | None:
    """By weekday (day % 7) what it differs from the mean of its week, in the median; None where no
    week repeats.
    """
    count = len(bridged)
    if count < _LEAST_DAYS:
        return None
    changes = map(sub, bridged[_WEEK:], bridged)
    totals = accumulate(changes, initial=sum(bridged[:_WEEK]))
    apart: list[list[float]] = [[] for _ in range(_WEEK)]
    weekday = (series.first_day + 3) % _WEEK
    for seen, value, total in zip(series.values[3:-3], bridged[3:-3], totals, strict=True):
        if seen is not None:
            apart[weekday].append(value - total / _WEEK)
        weekday = weekday + 1 if weekday < _WEEK - 1 else 0
    if min(map(len, apart)) < _LEAST_OF_WEEKDAY:
        return None
    effects = [median(ones) for ones in apart]
    mean = sum(effects) / _WEEK
    effects = [effect - mean for effect in effects]
    whole = median([abs(one) for ones in apart for one in ones])
    left = median(
        [abs(one - effect) for ones, effect in zip(apart, effects, strict=True) for one in ones]
    )
    return tuple(effects) if left < _LEFT * whole else None


def steps_of(values: Sequence[float]) -> dict[int, float]:
    """By place the steps that came with it: how much more it was than the usual change."""
    changes = [after - before for before, after in pairwise(values)]
    if not changes:
        return {}
    usual = median(changes)
    limit = _UNUSUAL * median([abs(change - usual) for change in changes])
    limit = max(limit, _LEAST_STEP * max(map(abs, values)))
    found = {}
    unusual = [n for n, change in enumerate(changes, 1) if abs(change - usual) > limit]
    for place in unusual:
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
