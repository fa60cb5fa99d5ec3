"""Sparklines' numbers: what all objects of a kind did in the 24 hours before a moment.

Reads only. Told in half hours that are over (hours, where the samples are gone), so that the
numbers stay as they are between two half hours and are read once for all pages.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal
from weakref import WeakKeyDictionary

from app import clock
from app.errors import StoreError
from app.metrics import METRIC_BY_NAME, Metric
from app.store import keyframes, tiers
from app.store.engine import Store
from app.store.glance import Buckets, glance
from app.store.hosts import every_host_id

Sparks = Mapping[int, tuple[float | None, ...]]
SparkKind = Literal["host", "domain", "pool"]

HALF_HOUR_MS = 1_800_000
_SPAN_MS = tiers.DAY_MS
_KEPT = 12
# A scan that began before the end of a half hour is stored by then.
_SETTLED_MS = 120_000
_METRICS: Mapping[str, Metric] = {
    "host": METRIC_BY_NAME["host", "cpu"],
    "domain": METRIC_BY_NAME["domain", "cpu"],
    "pool": METRIC_BY_NAME["pool", "allocation_bytes"],
}


def sparks(store: Store, kind: SparkKind, moment_ms: int | None) -> Sparks:
    """By object the numbers of its sparkline, oldest first, as long for all of them: how many
    CPUs were busy, or what a pool allocated in bytes. Objects of which nothing is known are not
    in it. The same object until there is something new.
    """
    at_ms = clock.now_ms() if moment_ms is None else moment_ms
    end_ms = (at_ms - _SETTLED_MS) // HALF_HOUR_MS * HALF_HOUR_MS
    return _cache_of(store).get(store, kind, end_ms)


def _read(store: Store, kind: SparkKind, end_ms: int) -> Sparks:
    with store.reading() as connection:
        hosts = every_host_id(connection)
        width_ms = HALF_HOUR_MS
        if end_ms - _SPAN_MS - width_ms < tiers.horizon_ms(connection, "recent"):
            width_ms = keyframes.HOUR_MS
        end_ms = end_ms // width_ms * width_ms
        buckets = Buckets(end_ms - _SPAN_MS, width_ms, _SPAN_MS // width_ms)
        try:
            found = glance(connection, _METRICS[kind], hosts, buckets)
        except StoreError:
            # A damaged keyframe is told of by those who look for damage; here it is unknown.
            return {}
    return {entity_id: tuple(map(_short, values)) for entity_id, values in found.items()}


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


class _Cache:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Sparks] = OrderedDict()

    def get(self, store: Store, kind: SparkKind, end_ms: int) -> Sparks:
        with self._lock:
            found = self._kept.get((kind, end_ms))
            if found is None:
                found = self._kept[(kind, end_ms)] = _read(store, kind, end_ms)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return found


_caches_lock = threading.Lock()
_caches: WeakKeyDictionary[Store, _Cache] = WeakKeyDictionary()


def _cache_of(store: Store) -> _Cache:
    with _caches_lock:
        return _caches.setdefault(store, _Cache())
