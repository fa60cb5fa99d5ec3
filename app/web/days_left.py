"""In how many days pools are full, for the pages of pools and of the fleet, and when, for the API.

By the forecast that the capacity review makes as well. Days are read, and a forecast is made, once
a day; a page tells it of so many pools at most, so that none waits long for it. What cannot be
told is "–", and why is its title.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from app import clock
from app.capacity.daily import Daily
from app.capacity.evidence import NOTHING
from app.capacity.fitting import forecasts
from app.capacity.forecast import Reason, Refusal
from app.capacity.outlook import foretold, full_ms
from app.capacity.words import full_in, full_on
from app.clock import DAY_MS
from app.services import services
from app.store.capacity_days import PoolDays, pool_days
from app.store.engine import Store
from app.store.views import Fleet
from app.web import capacity_words as words
from app.web.format import UNKNOWN
from app.web.kinds import PoolSeen
from app.web.page import Drawing

_MOST = 100


class Left(NamedTuple):
    """When a pool is full: `text` in how many days, `on` which day that is ("" where it is not
    said), `why` nothing is said, and the class of what is urgent.
    """

    text: str
    on: str = ""
    css: str = ""
    why: str = ""


_NOT_TOLD = Left(UNKNOWN, why=f"told of the first {_MOST} of a page")


def days_left(drawing: Drawing, pools: Iterable[PoolSeen]) -> dict[tuple[str, str], Left]:
    """By host and UUID; of those after the first hundred nothing is said. Raises StoreError."""
    every = list(pools)
    some = every[:_MOST]
    at_ms = drawing.moment.at_ms
    if at_ms is None:
        at_ms = max(clock.now_ms(), drawing.fleet.as_of_ms or 0)
        series = _present(services().store, at_ms // DAY_MS)
    else:
        ids = [pool.entity_id for pool in some]
        series = pool_days(services().store, at_ms, ids)
    _forecast_together(some, series, at_ms)
    found = {(pool.host, pool.key): _left(pool, series, at_ms) for pool in some}
    return found | {(pool.host, pool.key): _NOT_TOLD for pool in every[_MOST:]}


class FullAt(NamedTuple):
    """When a pool is likely full (None: not within what is foretold), or why nothing is foretold;
    neither where its host does not answer.
    """

    full_ms: int | None = None
    refusal: Reason | None = None


def full_at(fleet: Fleet, pools: Sequence[PoolSeen]) -> dict[tuple[str, str], FullAt]:
    """By host and UUID, as of the fleet's moment or its newest scan: the same for as long as that
    is the newest. Raises StoreError.
    """
    at_ms = fleet.moment_ms
    if at_ms is None:
        at_ms = fleet.as_of_ms or 0
        series = _present(services().store, at_ms // DAY_MS)
    else:
        series = pool_days(services().store, at_ms, [pool.entity_id for pool in pools])
    _forecast_together(pools, series, at_ms)
    return {(pool.host, pool.key): _full_at(pool, series, at_ms) for pool in pools}


def _full_at(pool: PoolSeen, series: Mapping[int, Daily], at_ms: int) -> FullAt:
    sample = pool.sample
    if not pool.known:
        return FullAt()
    if sample is None or not sample.capacity_bytes:
        return FullAt(refusal="no-history")
    days = series.get(pool.entity_id, NOTHING)
    told, when = foretold(days, sample.allocation_bytes, sample.capacity_bytes, at_ms)
    if isinstance(told, Refusal) or when is None:
        return FullAt(refusal=told.reason if isinstance(told, Refusal) else None)
    return FullAt(full_ms(told, when.likely_days, at_ms))


def _forecast_together(pools: Iterable[PoolSeen], series: Mapping[int, Daily], at_ms: int) -> None:
    """Make the forecasts of pools at once; then each is known."""
    forecasts(
        [
            (series.get(pool.entity_id, NOTHING), pool.sample.capacity_bytes, at_ms // DAY_MS)
            for pool in pools
            if pool.known and pool.sample is not None and pool.sample.capacity_bytes
        ]
    )


def _left(pool: PoolSeen, series: Mapping[int, Daily], at_ms: int) -> Left:
    sample = pool.sample
    if not pool.known:
        return Left(UNKNOWN, why="the host does not answer")
    if sample is None or not sample.capacity_bytes:
        return Left(UNKNOWN, why="its size is not known")
    told, when = foretold(
        series.get(pool.entity_id, NOTHING), sample.allocation_bytes, sample.capacity_bytes, at_ms
    )
    if isinstance(told, Refusal) or when is None:
        return Left(UNKNOWN, why=full_in(told, None, at_ms))
    time_ms = full_ms(told, when.likely_days, at_ms)
    return Left(
        full_in(told, time_ms, at_ms),
        full_on(time_ms),
        words.urgent(time_ms, at_ms),
    )


_lock = threading.Lock()
_days: WeakKeyDictionary[Store, PoolDays] = WeakKeyDictionary()


def _present(store: Store, day: int) -> Mapping[int, Daily]:
    """The days of all pools, kept until there are more."""
    with _lock:
        return _days.setdefault(store, PoolDays(store)).before(day)
