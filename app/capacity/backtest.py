"""How good forecasts were: what was foretold some time ago beside what came since. Pure.

Each is made with nothing but what was known on its day. Beside it stand what anybody would say
without one: that all stays as it was last, and that the straight line of least squares goes on.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct

from app.capacity.daily import Daily, bridged
from app.capacity.evidence import Evidence
from app.capacity.fitting import forecast, forecasts
from app.capacity.forecast import Band, Forecast, Refusal
from app.capacity.storage import storages

_MONTH = 30
# The straight line is drawn over as many days as forecasts go by.
_MOST_DAYS = 400


class Came(Struct, frozen=True):
    """A day that was foretold, and what came; in the unit of the series. `limit`: its capacity."""

    band: Band
    actual: float
    limit: float
    last_value: float
    line: float

    @property
    def within_50(self) -> bool:
        """Whether it came within the 50 % band."""
        return self.band.low_50 <= self.actual <= self.band.high_50

    @property
    def within_80(self) -> bool:
        """Whether it came within the 80 % band."""
        return self.band.low_80 <= self.actual <= self.band.high_80


class Quality(Struct, frozen=True):
    """How good forecasts were: the shares of the days that came within the bands, and the mean
    errors as shares of the limits, of the forecasts and of the two that need none.
    """

    days: int
    within_50: float
    within_80: float
    error: float
    error_last_value: float
    error_line: float


class LastMonth(Struct, frozen=True):
    """What a month ago was foretold of one storage, day by day, and how good that was; why there
    was no forecast, else.
    """

    host: str
    pool_uuid: str
    names: tuple[str, ...]
    came: tuple[Came, ...]
    quality: Quality | None
    refusal: Refusal | None


def came(
    series: Daily, limit: float, from_day: int, ahead: Iterable[int] = range(1, _MONTH + 1)
) -> list[Came] | Refusal:
    """What was foretold when `from_day` began, so many days ahead, beside what came."""
    told = forecast(series, limit, from_day)
    if isinstance(told, Refusal):
        return told
    return list(_came(series, told, from_day, ahead))


def _came(series: Daily, told: Forecast, from_day: int, ahead: Iterable[int]) -> Iterator[Came]:
    known = series.before(from_day).since(from_day - _MOST_DAYS).trimmed()
    values = bridged(known.values)
    slope, start = _least_squares(values)
    for days in ahead:
        day = from_day - 1 + days
        actual = series.at(day)
        further = day - told.last_day
        if actual is None or not 1 <= further <= told.furthest_days:
            continue
        line = start + slope * (day - known.first_day)
        yield Came(
            told.band(further), actual, told.limit, values[-1],
            min(told.limit, max(0.0, line)),
        )  # fmt: skip


def _least_squares(values: Sequence[float]) -> tuple[float, float]:
    """Slope and start of the straight line through values of one day after the other."""
    middle = (len(values) - 1) / 2
    told, places = np.array(values), np.arange(len(values)) - middle
    mean = float(told.mean())
    slope = float((places * (told - mean)).sum() / (places * places).sum())
    return slope, mean - slope * middle


def quality(days: Sequence[Came]) -> Quality | None:
    """How good they were in all; None where nothing came yet."""
    if not days:
        return None
    count = len(days)

    def error(values: Iterable[float]) -> float:
        pairs = zip(values, days, strict=True)
        return sum(abs(value - one.actual) / one.limit for value, one in pairs) / count

    return Quality(
        count,
        sum(one.within_50 for one in days) / count,
        sum(one.within_80 for one in days) / count,
        error(one.band.likely for one in days),
        error(one.last_value for one in days),
        error(one.line for one in days),
    )


def last_month(evidence: Evidence, days: int = _MONTH) -> list[LastMonth]:
    """How good the forecasts of so many days ago were, of every storage."""
    every = []
    for one in storages(evidence.pools):
        # It may have been smaller or larger then.
        limit = one.pool.capacity.at(evidence.day - days - 1) or one.pool.capacity_bytes
        every.append((one, one.pool.allocation.before(evidence.day), limit))
    # Made together; then each is known.
    forecasts([(known, limit, evidence.day - days) for _, known, limit in every if limit])
    return [
        LastMonth(
            one.pool.host, one.pool.uuid, tuple(f"{each.host}/{each.name}" for each in one.pools),
            *_since(known, limit, evidence.day, days),
        )
        for one, known, limit in every
    ]  # fmt: skip


# As many as a large fleet has: what came is the same all day.
@lru_cache(maxsize=1024)
def _since(
    series: Daily, limit: float | None, day: int, days: int
) -> tuple[tuple[Came, ...], Quality | None, Refusal | None]:
    """What was foretold so many days before `day`, how good it was, or why there was nothing."""
    if not limit:
        return (), None, Refusal("no-history", 0)
    told = came(series, limit, day - days, range(1, days + 1))
    if isinstance(told, Refusal):
        return (), None, told
    return tuple(told), quality(told), None
