"""Sparklines' numbers: what all objects of a kind did in the 24 hours before a moment.

Reads only. Told in half hours that are over (hours, where the samples are gone), so that the
numbers stay as they are between two half hours and are read once for all pages.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from app import clock
from app.clock import DAY_MS, HOUR_MS
from app.errors import StoreError
from app.metrics import METRIC_BY_NAME, Metric
from app.store import tiers
from app.store.engine import Store
from app.store.glance import Buckets, glance
from app.store.hosts import every_host_id

Sparks = Mapping[int, tuple[float | None, ...]]
SparkKind = Literal["host", "domain", "pool"]

HALF_HOUR_MS = 1_800_000
_SPAN_MS = DAY_MS
_KEPT = 12
# Those of all kinds for now and for a few moments of the past.
_BUCKETS_KEPT = 600
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


# What objects were in one bucket.
_Bucket = Mapping[int, float]


def _short(value: float) -> float:
    return round(value, 3)


class _Cache:
    """The buckets that were read, by kind, width and beginning, and what was made of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Sparks] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, int, int], _Bucket] = OrderedDict()

    def get(self, store: Store, kind: SparkKind, end_ms: int) -> Sparks:
        with self._lock:
            found = self._kept.get((kind, end_ms))
            if found is None:
                found = self._kept[(kind, end_ms)] = self._make(store, kind, end_ms)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return found

    def _make(self, store: Store, kind: SparkKind, end_ms: int) -> Sparks:
        try:
            with store.reading() as connection:
                some = self._read(connection, kind, end_ms)
        except StoreError:
            # A damaged keyframe is told of by those who look for damage; here it is unknown.
            return {}
        entities = set[int]().union(*some)
        return {
            entity_id: tuple([bucket.get(entity_id) for bucket in some]) for entity_id in entities
        }

    def _read(self, connection: sa.Connection, kind: SparkKind, end_ms: int) -> list[_Bucket]:
        """The buckets of a day up to a time; of those that were read before, none is read anew."""
        width_ms = HALF_HOUR_MS
        if end_ms - _SPAN_MS - width_ms < tiers.horizon_ms(connection, "recent"):
            width_ms = HOUR_MS
        end_ms = end_ms // width_ms * width_ms
        keys = [(kind, width_ms, start) for start in range(end_ms - _SPAN_MS, end_ms, width_ms)]
        missing = [start for *_, start in keys if (kind, width_ms, start) not in self._buckets]
        if missing:
            count = (missing[-1] - missing[0]) // width_ms + 1
            buckets = Buckets(missing[0], width_ms, count)
            values = glance(connection, _METRICS[kind], every_host_id(connection), buckets)
            for place in range(count):
                self._buckets[(kind, width_ms, missing[0] + place * width_ms)] = {
                    entity_id: _short(value)
                    for entity_id, column in values.items()
                    if (value := column[place]) is not None
                }
        found = []
        for key in keys:
            self._buckets.move_to_end(key)
            found.append(self._buckets[key])
        while len(self._buckets) > _BUCKETS_KEPT:
            self._buckets.popitem(last=False)
        return found


_caches_lock = threading.Lock()
_caches: WeakKeyDictionary[Store, _Cache] = WeakKeyDictionary()


def _cache_of(store: Store) -> _Cache:
    with _caches_lock:
        return _caches.setdefault(store, _Cache())
