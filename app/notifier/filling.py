"""When pools will be full, by the forecast that the capacity review makes as well.

Days are slow, and a forecast costs some milliseconds: a round through all pools begins every ten
minutes, and each turn looks at a few of them.
"""

from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from app import clock
from app.capacity.daily import Daily
from app.capacity.evidence import NOTHING
from app.capacity.fitting import forecasts
from app.capacity.forecast import Refusal
from app.capacity.outlook import foretold
from app.clock import DAY_MS
from app.store.capacity_days import PoolDays
from app.store.engine import Store
from app.store.views import Fleet

_EVERY_S = 600.0
_AT_ONCE = 8


class Filling(Struct, frozen=True):
    """In how many days a pool is likely full, and within which with 80 %; None: not as far as is
    foretold. `bytes_per_day` is how it grows, as seen on `days_seen` days.
    """

    days_left: float | None
    early_days: float | None
    late_days: float | None
    bytes_per_day: float
    days_seen: int


def filling(
    series: Daily, allocation_bytes: int, capacity_bytes: int, at_ms: int
) -> Filling | None:
    """When a pool is full whose days are known, and which is now allocated so far. None where
    there is no forecast: too short a history, or too wild a one.
    """
    told, when = foretold(series, allocation_bytes, capacity_bytes, at_ms)
    if isinstance(told, Refusal) or when is None:
        return None
    # Days are counted from the end of the last one that was put together.
    passed = at_ms / DAY_MS - (told.last_day + 1)

    def left(days: float | None) -> float | None:
        return None if days is None else max(0.0, days - passed)

    return Filling(
        left(when.likely_days), left(when.early_days), left(when.late_days), told.per_day,
        told.days,
    )  # fmt: skip


class Fillings:
    """What is known of the pools of one store; one thread at a time may use it."""

    def __init__(self, store: Store) -> None:
        self._days = PoolDays(store)
        self._found: dict[int, Filling] = {}
        self._queue: deque[int] = deque()
        self._begun_s: float | None = None

    def of(self, seen: Fleet, now_ms: int) -> Mapping[int, Filling]:
        """By pool (entity), as of some minutes ago at most. Raises StoreError."""
        now_s = clock.monotonic_s()
        if not self._queue and (self._begun_s is None or now_s - self._begun_s >= _EVERY_S):
            self._begun_s = now_s
            self._queue.extend(pool.entity_id for pool in seen.pools)
            self._found = {one: self._found[one] for one in self._queue if one in self._found}
        if self._queue:
            self._look(seen, now_ms)
        return self._found

    def _look(self, seen: Fleet, now_ms: int) -> None:
        series = self._days.before(now_ms // DAY_MS)
        pools = {pool.entity_id: pool for pool in seen.pools}
        some = [self._queue.popleft() for _ in range(min(_AT_ONCE, len(self._queue)))]
        sized: list[tuple[int, Daily, int, int]] = []
        for entity_id in some:
            self._found.pop(entity_id, None)
            pool = pools.get(entity_id)
            sample = None if pool is None else pool.sample
            if sample is not None and sample.allocation_bytes is not None and sample.capacity_bytes:
                days = series.get(entity_id, NOTHING)
                sized.append((entity_id, days, sample.allocation_bytes, sample.capacity_bytes))
        # Made together; then each is known.
        forecasts([(days, capacity, now_ms // DAY_MS) for _, days, _, capacity in sized])
        for entity_id, days, allocation, capacity in sized:
            found = filling(days, allocation, capacity, now_ms)
            if found is not None:
                self._found[entity_id] = found
