"""How fast something fills up, out of its days: the Theil–Sen estimate. Pure.

The median of the slopes between all pairs of days: a day on which something was copied or deleted
moves it little. A plain straight line, without seasons; nothing is told of a short history.
"""

from collections.abc import Sequence
from itertools import combinations
from statistics import median

from msgspec import Struct

# So many days must be known, and lie so far apart, before anything is told of their growth.
DAYS_LEAST = 7
DAYS_LOOKED_BACK = 30


class Growth(Struct, frozen=True):
    """Bytes that are added each day, over how many days that was seen, and how many days are left
    until the capacity is reached (None: it does not grow).
    """

    bytes_per_day: float
    days: int
    days_left: float | None


def growth(
    used: Sequence[tuple[int, float]], allocation_bytes: int, capacity_bytes: int
) -> Growth | None:
    """The growth of something whose use on some days (numbers of days, bytes) is known, and which
    is now filled with `allocation_bytes`. None where the history is too short to tell.

    P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, JASA 63 (1968).
    """
    days = dict(used)
    if len(days) < DAYS_LEAST or max(days) - min(days) < DAYS_LEAST:
        return None
    slopes = [
        (later_bytes - bytes_) / (later - day)
        for (day, bytes_), (later, later_bytes) in combinations(sorted(days.items()), 2)
    ]
    per_day = median(slopes)
    if per_day <= 0:
        return Growth(per_day, len(days), None)
    left = max(0.0, capacity_bytes - allocation_bytes) / per_day
    return Growth(per_day, len(days), left)
