"""What a forecast says: a trend, a week where one repeats, bands, and when it is full. Pure.

app/capacity/fitting makes them.
"""

from functools import lru_cache
from math import ceil
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Reason = Literal["no-history", "too-short", "not-seen-lately", "too-wild"]

# Nobody looks further ahead than two years.
FURTHEST_DAYS = 730
_WEEK = 7
# Nothing is told more exactly than to this share of the limit.
_EXACT = 0.0002


class Refusal(Struct, frozen=True):
    """Why nothing is foretold; `days` is how many days were seen."""

    reason: Reason
    days: int


class Step(Struct, frozen=True):
    """A change that is no part of the trend, on a day; in the unit of the series."""

    day: int
    size: float


class Band(Struct, frozen=True):
    """What is likely on a day, and within what it stays with 50 % and 80 %."""

    day: int
    likely: float
    low_50: float
    high_50: float
    low_80: float
    high_80: float


class Forecast(Struct, frozen=True, cache_hash=True):
    """How a series goes on after `last_day`, in its own unit.

    So many days later it is likely `level` + `per_day` · days, and what its weekday is off
    (`week`, by day % 7). With 80 % it stays within `spread_80` · days ** `power` of that. `limit`
    is what it cannot exceed, `furthest_days` how far ahead it is told. `days`: how many were seen.
    """

    last_day: int
    days: int
    level: float
    per_day: float
    week: tuple[float, ...] | None
    spread_50: float
    spread_80: float
    power: float
    limit: float
    furthest_days: int
    steps: tuple[Step, ...] = ()

    def likely(self, ahead: float) -> float:
        """What is likely so many days after the last one seen; between two days in between."""
        value = self.level + self.per_day * ahead
        if self.week is not None:
            whole = int(ahead)
            here, after = (self.week[(self.last_day + whole + n) % _WEEK] for n in (0, 1))
            value += here + (after - here) * (ahead - whole)
        return value

    def half(self, ahead: float, *, share: Literal[50, 80] = 80) -> float:
        """How far off it may be then, either way."""
        spread = self.spread_80 if share == 80 else self.spread_50
        return self._half(spread, ahead**self.power)

    def _half(self, spread: float, grown: float) -> float:
        return max(spread * grown, _EXACT * self.limit)

    def band(self, ahead: int) -> Band:
        """Both bands of a day, within nothing and the limit."""
        limit, likely, grown = self.limit, self.likely(ahead), ahead**self.power
        most, least = self._half(self.spread_80, grown), self._half(self.spread_50, grown)
        return Band(
            self.last_day + ahead,
            min(limit, max(0.0, likely)),
            min(limit, max(0.0, likely - least)),
            min(limit, max(0.0, likely + least)),
            min(limit, max(0.0, likely - most)),
            min(limit, max(0.0, likely + most)),
        )

    def bands(self, count: int) -> list[Band]:
        """The days to come, as far as they are told."""
        return [self.band(ahead) for ahead in range(1, min(count, self.furthest_days) + 1)]


class Full(Struct, frozen=True):
    """In how many days after `last_day`'s end a limit is likely reached, and within which days
    with 80 %; None: not within what is told. 0: it is reached.
    """

    likely_days: float | None
    early_days: float | None
    late_days: float | None


# As many as a large fleet has: most go on as foretold all day.
@lru_cache(maxsize=1024)
def full(told: Forecast) -> Full:
    """When a forecast reaches its limit."""
    if told.level >= told.limit:
        return Full(0.0, 0.0, 0.0)
    likely = early = late = None
    highest = told.level + max(0.0, told.per_day * told.furthest_days) + max(told.week or (0.0,))
    if highest < told.limit:
        return Full(None, None, None)
    for ahead in range(1, told.furthest_days + 1):
        value, half = told.likely(ahead), told.half(ahead)
        if early is None and value + half >= told.limit:
            early = _crossing(told, ahead, half)
        if likely is None and value >= told.limit:
            likely = _crossing(told, ahead, 0.0)
        if value - half >= told.limit:
            late = _crossing(told, ahead, -half)
            break
    return Full(likely, early if likely is not None else None, late)


def _crossing(told: Forecast, ahead: int, more: float) -> float:
    """When within the day before `ahead` the limit was reached."""
    before, after = told.likely(ahead - 1) + more, told.likely(ahead) + more
    if after <= before:
        return float(ahead)
    return ahead - 1 + min(1.0, max(0.0, (told.limit - before) / (after - before)))


def moved(told: Forecast, value: float, ahead: float) -> Forecast:
    """The forecast as it is once `value` was seen `ahead` days after its last one (less than two):
    where that is outside of what was likely, a step has come, and all goes on from there.
    """
    more = value - told.likely(ahead)
    if abs(more) <= told.half(1.0):
        return told
    came = Step(told.last_day + ceil(ahead), more)
    return replace(told, level=told.level + more, steps=(*told.steps, came))
