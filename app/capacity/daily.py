"""Series of one value a day, and what is done with them before anything is judged. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import add
from typing import cast

from msgspec import Struct


class Daily(Struct, frozen=True, cache_hash=True):
    """A value for each day from `first_day` (of UTC, since 1970) on; None: not seen on that day."""

    first_day: int
    values: tuple[float | None, ...]

    @property
    def end_day(self) -> int:
        """The day after its last one."""
        return self.first_day + len(self.values)

    def at(self, day: int) -> float | None:
        """The value of a day."""
        place = day - self.first_day
        return self.values[place] if 0 <= place < len(self.values) else None

    def before(self, day: int) -> "Daily":
        """What was known when `day` began."""
        return Daily(self.first_day, self.values[: max(0, day - self.first_day)])

    def since(self, day: int) -> "Daily":
        """Its days from `day` on."""
        skip = max(0, day - self.first_day)
        return Daily(self.first_day + skip, self.values[skip:])

    def trimmed(self) -> "Daily":
        """The same without unseen days at its ends."""
        if self.values and self.values[0] is not None and self.values[-1] is not None:
            return self
        seen = [place for place, value in enumerate(self.values) if value is not None]
        if not seen:
            return Daily(self.first_day, ())
        return Daily(self.first_day + seen[0], self.values[seen[0] : seen[-1] + 1])


def daily_of(by_day: Mapping[int, float | None]) -> Daily:
    """The series of values by day."""
    if not by_day:
        return Daily(0, ())
    first, last = min(by_day), max(by_day)
    return Daily(first, tuple(by_day.get(day) for day in range(first, last + 1))).trimmed()


def bridged(values: Sequence[float | None]) -> list[float]:
    """The values with straight lines over the days that were not seen; both ends must be."""
    if None not in values:
        return cast(list[float], list(values))
    found: list[float] = []
    for place, value in enumerate(values):
        if value is None:
            continue
        missing = place - len(found)
        if missing:
            before = found[-1]
            step = (value - before) / (missing + 1)
            found.extend(before + step * nth for nth in range(1, missing + 1))
        found.append(value)
    return found


def summed(parts: Iterable[Daily]) -> Daily:
    """All of them together, on the days on which one at least was seen. One that was not seen for
    a while counts as in between; one that is there no more, or not yet, does not count.
    """
    kept = [one for one in (part.trimmed() for part in parts) if one.values]
    if not kept:
        return Daily(0, ())
    first = min(one.first_day for one in kept)
    totals = [0.0] * (max(one.end_day for one in kept) - first)
    seen: set[int] = set()
    for one in kept:
        begin = one.first_day - first
        there = slice(begin, begin + len(one.values))
        totals[there] = map(add, totals[there], bridged(one.values))
        if None in one.values:
            seen.update(n for n, value in enumerate(one.values, begin) if value is not None)
        else:
            seen.update(range(there.start, there.stop))
    told = (total if place in seen else None for place, total in enumerate(totals))
    return Daily(first, tuple(told)).trimmed()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of them are at most, in between where it falls in between."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    if low + 1 >= len(ordered):
        return ordered[low]
    rest = place - low
    return ordered[low] * (1 - rest) + ordered[low + 1] * rest


def upper_bound(p95: Sequence[float], highest: Sequence[float]) -> float:
    """What the values of a period are at most in 99 of 100 minutes, as far as its days tell.

    Of each day its `p95` (at most one minute in twenty was above) and its `highest` are known.
    Where neither any day's p95 nor, on four days of five, even the highest is above a value, at
    most 1/20 · 1/5 of all minutes are.
    """
    ordered = sorted(highest)
    kept = ordered[max(0, -(-len(ordered) * 4 // 5) - 1)]
    return max(max(p95), kept)


def last_before(days: Sequence[int], day: int) -> int | None:
    """The place of the last of some ordered days that is not after `day`."""
    place = bisect_right(days, day) - 1
    return place if place >= 0 else None
