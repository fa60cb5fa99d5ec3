"""The evidence of a capacity review: what was known of a fleet at a moment, and of its past.

Reads only. Rows of the days never change once they are there, so that what was read of them serves
until there are more; the rest follows from the fleet, which app/store/history keeps.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TypeVar
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from app import clock
from app.capacity.daily import Daily
from app.capacity.evidence import (
    DomainEvidence,
    Evidence,
    HostEvidence,
    PoolEvidence,
    SnapshotEvidence,
    VolumeEvidence,
    VolumeKey,
)
from app.clock import DAY_MS
from app.inventory import Pool, PoolSample
from app.store.capacity_days import Days, compacted, read_days
from app.store.capacity_events import first_seen, last_stops, read_events
from app.store.engine import Store
from app.store.history import fleet
from app.store.known_days import KnownDays, known_days
from app.store.usage import DomainSeen, Usage
from app.store.views import Fleet, HostView, Seen

__all__ = ["USE_DAYS", "evidence"]

# Over how many days it is judged how busy domains are: five whole weeks.
USE_DAYS = 35
# Nothing before these years is looked at, however far a period goes back.
MOST_DAYS = 800
_KEPT = 4
Kept = TypeVar("Kept")


def evidence(
    store: Store, moment_ms: int | None, *, days: int = 400, use_days: int = USE_DAYS,
    every_day: bool = False,
) -> Evidence:  # fmt: skip
    """What a review as of `moment_ms` (None: now) goes by, over so many days before it; of what
    domains did over `use_days`. Of a past moment only what was known then: its days as far as they
    had been put together or, with `every_day`, all that are by now. Raises StoreError.
    """
    return _cache_of(store).evidence(
        store, moment_ms, min(max(1, days), MOST_DAYS), min(max(1, use_days), MOST_DAYS),
        every_day=every_day,
    )  # fmt: skip


class _Cache:
    """What was read for one store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._days: OrderedDict[object, Days] = OrderedDict()
        self._found: OrderedDict[object, tuple[Fleet, Evidence]] = OrderedDict()

    def evidence(
        self, store: Store, moment_ms: int | None, days: int, use_days: int, *, every_day: bool
    ) -> Evidence:
        seen = fleet(store, moment_ms)
        asked = (moment_ms, days, use_days, every_day)
        with self._lock:
            before = self._found.get(asked)
            # The same fleet is given out until something changes.
            if before is not None and before[0] is seen:
                return before[1]
            at_ms = moment_ms
            if at_ms is None:
                at_ms = max(clock.now_ms(), seen.as_of_ms or 0)
            day = at_ms // DAY_MS
            with store.reading() as connection:
                known = KnownDays(day)
                if moment_ms is not None and not every_day:
                    known = known_days(connection, moment_ms)
                told = self._days_before(connection, day, days, use_days, known)
                making = _Making(connection, seen, told, at_ms)
                found = making.evidence(day - days, day - use_days)
            _keep(self._found, asked, (seen, found))
            return found

    def _days_before(
        self, connection: sa.Connection, day: int, days: int, use_days: int, known: KnownDays
    ) -> Days:
        # More days may have been put together since.
        when_ms = None if known.is_all else known.at_ms
        asked = (day, days, use_days, known.end, when_ms, compacted(connection))
        told = self._days.get(asked)
        if told is None:
            told = read_days(connection, day, days, use_days, known)
            _keep(self._days, asked, told)
        return told


def _keep(kept: "OrderedDict[object, Kept]", asked: object, found: Kept) -> None:
    kept[asked] = found
    while len(kept) > _KEPT:
        kept.popitem(last=False)


_caches_lock = threading.Lock()
_caches: WeakKeyDictionary[Store, _Cache] = WeakKeyDictionary()


def _cache_of(store: Store) -> _Cache:
    with _caches_lock:
        return _caches.setdefault(store, _Cache())


class _Making:
    """Evidence being made of a fleet and its days, within one read transaction."""

    def __init__(self, connection: sa.Connection, seen: Fleet, days: Days, at_ms: int) -> None:
        self._connection = connection
        self._fleet = seen
        self._days = days
        self._at_ms = at_ms
        self._usage = Usage(seen)
        self._pools = {(pool.host, pool.fact.name): pool.key for pool in seen.pools}
        self._by_path: dict[tuple[str, str], VolumeKey] = {}

    def evidence(self, from_day: int, use_from_day: int) -> Evidence:
        """All of it; what happened, from a day on."""
        seen, day = self._fleet, self._at_ms // DAY_MS
        first_seen_ms = first_seen(self._connection)
        hosts = {view.record.id: view.slug for view in seen.hosts}
        events = read_events(self._connection, hosts, from_day * DAY_MS, self._at_ms)
        sized = {
            (event.host, event.key): event.at_ms // DAY_MS + 1
            for event in events
            if event.kind == "domain" and event.what == "resized"
        }
        volumes = dict(self._volumes(first_seen_ms))
        inactive = [domain.entity_id for domain in seen.domains if domain.fact.id is None]
        stopped_ms = last_stops(self._connection, inactive, self._at_ms)
        return Evidence(
            self._at_ms,
            day,
            tuple(map(self._host, seen.hosts)),
            tuple(map(self._pool, seen.pools)),
            tuple(
                self._domain(
                    domain,
                    first_seen_ms.get(domain.entity_id),
                    stopped_ms.get(domain.entity_id),
                    sized.get((domain.host, domain.key)),
                )
                for domain in seen.domains
            ),
            volumes,
            tuple(events),
            self._days.first_day,
            use_from_day,
            from_day,
        )

    def _host(self, view: HostView) -> HostEvidence:
        fact = view.seen.fact if view.seen else None
        number = view.seen.entity_id if view.seen else 0

        def told(name: str) -> Daily:
            return self._days.series("host", number, name)

        return HostEvidence(
            view.slug,
            view.status.known,
            view.status.last_ok_at_ms,
            fact.cpus if fact else None,
            fact.memory_bytes if fact else None,
            told("cpu_p95"), told("cpu_max"),
            told("memory_used_bytes_p95"), told("memory_used_bytes_max"),
            told("assigned_vcpus_max"), told("assigned_memory_bytes_max"),
        )  # fmt: skip

    def _pool(self, seen: Seen[Pool, PoolSample]) -> PoolEvidence:
        fact, sample = seen.fact, seen.sample or PoolSample()

        def told(name: str) -> Daily:
            return self._days.series("pool", seen.entity_id, name)

        return PoolEvidence(
            seen.host, seen.key, fact.name, fact.state, seen.known, seen.at_ms, fact.type,
            fact.target, fact.source, sample.capacity_bytes, sample.allocation_bytes,
            sample.available_bytes, sample.volumes_capacity_bytes,
            told("allocation_bytes_last"), told("capacity_bytes_last"),
        )  # fmt: skip

    def _volumes(
        self, first_seen_ms: Mapping[int, int]
    ) -> Iterator[tuple[VolumeKey, VolumeEvidence]]:
        for seen in self._fleet.volumes:
            fact = seen.fact
            key = (seen.host, fact.pool_uuid, fact.name)
            if fact.path:
                self._by_path[seen.host, fact.path] = key
            yield key, VolumeEvidence(
                seen.host, fact.pool_uuid, self._usage.pool_name(seen), fact.name, seen.known,
                seen.at_ms, fact.path, fact.format, fact.capacity_bytes,
                seen.sample.allocation_bytes if seen.sample else None,
                len(self._usage.users(seen)), self._usage.overlays(seen),
                first_seen_ms.get(seen.entity_id),
            )  # fmt: skip

    def _domain(
        self, seen: DomainSeen, first_seen_ms: int | None, stopped_ms: int | None,
        sized_day: int | None,
    ) -> DomainEvidence:  # fmt: skip
        fact = seen.fact
        snapshots = None
        if fact.snapshots is not None:
            snapshots = tuple(SnapshotEvidence(s.name, s.created_at_ms) for s in fact.snapshots)
        return DomainEvidence(
            seen.host, seen.key, fact.name, fact.state, fact.id is not None, seen.known,
            seen.at_ms, fact.vcpus, fact.memory_bytes, fact.title, fact.description,
            first_seen_ms, stopped_ms, sized_day, tuple(self._disks(seen)), snapshots,
            self._days.uses.get(seen.entity_id),
        )  # fmt: skip

    def _disks(self, seen: DomainSeen) -> Iterator[VolumeKey]:
        """The volumes that a domain's disks are; what is only read from is not its own."""
        for disk in seen.fact.disks:
            pool = self._pools.get((seen.host, disk.pool)) if disk.pool else None
            if disk.device in ("cdrom", "floppy"):
                continue
            if pool is not None and disk.volume:
                yield seen.host, pool, disk.volume
            elif disk.source and (seen.host, disk.source) in self._by_path:
                yield self._by_path[seen.host, disk.source]
