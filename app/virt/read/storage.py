"""The storage pools of a host, and when their volumes are looked at.

Volumes are looked at when first seen, all of them together every few minutes, and those of a pool
that libvirt has just refreshed. Volumes of a pool that is not active cannot be listed: they are
neither there nor gone, and what is known of them still tells which domain uses which.
"""

from collections.abc import Mapping
from typing import NamedTuple

import libvirt

from app.errors import VirtError
from app.inventory import Pool, PoolSample, Volume, VolumeSample
from app.virt.read.look import Look
from app.virt.read.volumes import PoolVolumes
from app.virt.read.words import own_name, pool_state
from app.virt.xml.document import XmlRefused
from app.virt.xml.storage import PoolXml, parse_pool

DEFINITION_PERIOD_S = 15 * 60.0
PERSISTENT_PERIOD_S = 3600.0
MEASURE_PERIOD_S = 5 * 60.0
LISTABLE = ("running", "degraded", "inaccessible")

# Path of a volume -> names of its pool and itself.
Places = Mapping[str, tuple[str, str]]


class Storage(NamedTuple):
    """What one scan saw of a host's storage; as in app/inventory.py's Scan."""

    pools: Mapping[str, Pool] | None
    pool_samples: Mapping[str, PoolSample] | None
    volumes: Mapping[str, Mapping[str, Volume]]
    volume_samples: Mapping[tuple[str, str], VolumeSample]
    volumes_measured: bool


class _KnownPool:
    __slots__ = ("fact", "refreshed_at_ms", "volumes", "xml")

    def __init__(self) -> None:
        self.fact: Pool | None = None
        self.xml: PoolXml | None = None
        self.volumes = PoolVolumes()
        self.refreshed_at_ms: int | None = None


class StorageReader:
    """Reads the storage of one host and remembers it between scans."""

    def __init__(self) -> None:
        self._known: dict[str, _KnownPool] = {}
        self._autostart: frozenset[str] | None = None
        self._persistent: frozenset[str] | None = None
        self._places: Places = {}
        self._measured_s: float | None = None
        self._handles: list[libvirt.virStoragePool] | None = None
        self._listed_s = 0.0

    @property
    def places(self) -> Places:
        """Which volume lies at a path; the same object as long as nothing changed."""
        return self._places

    def last(self, uuid: str) -> tuple[Pool | None, Mapping[str, Volume]]:
        """The pool as it was last read, and its volumes by name."""
        known = self._known.get(uuid)
        return (None, {}) if known is None else (known.fact, known.volumes.facts)

    def forget(self) -> None:
        """Have every volume looked at anew, on another connection."""
        self._measured_s = None
        self._handles = None

    def read(self, look: Look, refreshed_at_ms: Mapping[str, int]) -> Storage:
        """All pools and volumes; raises VirtError when the host is lost."""
        connection = look.connection
        handles = self._handles
        if handles is None or look.lists("pool", self._listed_s):
            ask = connection.listAllStoragePools
            handles = self._handles = look.attempt("pools", lambda: look.call(ask, 0), None)
            self._listed_s = look.now_s
        if handles is None:
            return Storage(None, None, {}, {}, volumes_measured=False)
        if handles:
            self._read_flags(look, new=any(one.UUIDString() not in self._known for one in handles))
        measure = (
            look.everything
            or self._measured_s is None
            or look.now_s - self._measured_s >= MEASURE_PERIOD_S
        )
        storage = self._read_pools(look, handles, refreshed_at_ms, measure=measure)
        if measure:
            self._measured_s = look.now_s
        self._place()
        return storage

    def _read_flags(self, look: Look, *, new: bool) -> None:
        flag = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART
        self._autostart = _listed(look, "pool autostart", flag, self._autostart)
        # A list from before a pool was there says nothing of it.
        again = bool(look.again("pool")) or new
        if look.rotation.due("pool persistent", PERSISTENT_PERIOD_S, now=again):
            flag = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_PERSISTENT
            self._persistent = _listed(look, "pool persistent", flag, self._persistent)

    def _read_pools(
        self,
        look: Look,
        handles: list[libvirt.virStoragePool],
        refreshed_at_ms: Mapping[str, int],
        *,
        measure: bool,
    ) -> Storage:
        pools: dict[str, Pool] = {}
        samples: dict[str, PoolSample] = {}
        volumes: dict[str, Mapping[str, Volume]] = {}
        volume_samples: dict[tuple[str, str], VolumeSample] = {}
        whole = measure
        for handle in handles:
            uuid = handle.UUIDString()
            known = self._known.setdefault(uuid, _KnownPool())
            sizes = self._read_pool(look, handle, uuid, known)
            if known.fact is None:
                continue
            pools[uuid] = known.fact
            if sizes is None or known.fact.state not in LISTABLE:
                whole = whole and sizes is not None
                continue
            fresh = refreshed_at_ms.get(uuid)
            again = measure or fresh != known.refreshed_at_ms or look.again("pool", uuid)
            known.refreshed_at_ms = fresh
            found = known.volumes.read(look, handle, uuid, again=again)
            if found is not None:
                volumes[uuid] = known.volumes.facts
                volume_samples.update(found)
            whole = whole and found is not None and len(found) == len(known.volumes.facts)
            listed = None if found is None else known.volumes.facts
            samples[uuid] = _sample(look, sizes, listed, fresh)
        self._known = {uuid: known for uuid, known in self._known.items() if uuid in pools}
        return Storage(pools, samples, volumes, volume_samples, volumes_measured=whole)

    def _read_pool(
        self, look: Look, handle: libvirt.virStoragePool, uuid: str, known: _KnownPool
    ) -> list[int] | None:
        """Bring `known.fact` up to date; gives `info()`, or None where it failed. A pool that
        has just gone has no fact afterwards.
        """
        name, flaw = own_name(handle.name)
        sizes: list[int] | None = None
        try:
            sizes = look.call(handle.info)
            flaw = self._define(look, handle, uuid, known, sizes[0]) or flaw
        except VirtError as error:
            if error.failure == "gone":
                known.fact = None
                return None
            look.note_error(f"pool {name}", error)
            look.rotation.failed(("pool XML", uuid))
            flaw = flaw or (error.sentence if known.xml is None else None)
        fact = pool_of(
            uuid,
            name,
            pool_state(sizes[0]) if sizes else _last_state(known.fact),
            xml=known.xml or PoolXml(),
            autostart=None if self._autostart is None else uuid in self._autostart,
            persistent=None if self._persistent is None else uuid in self._persistent,
            damaged=flaw,
        )
        if fact != known.fact:
            known.fact = fact
        return sizes

    def _define(
        self,
        look: Look,
        handle: libvirt.virStoragePool,
        uuid: str,
        known: _KnownPool,
        state: int,
    ) -> str | None:
        """Read the pool's XML when it is due or its state changed; gives what is wrong with it."""
        changed = known.fact is not None and known.fact.state != pool_state(state)
        again = look.again("pool", uuid)
        due = look.rotation.due(("pool XML", uuid), DEFINITION_PERIOD_S, now=again)
        if not (due or changed or known.xml is None):
            return known.fact.damaged if known.fact is not None else None
        try:
            known.xml = parse_pool(look.call(handle.XMLDesc, 0))
        except XmlRefused as refused:
            return str(refused)
        return None

    def _place(self) -> None:
        """Say anew which volume lies where; pools in the order of their names, first wins."""
        places: dict[str, tuple[str, str]] = {}
        pools = [
            (known.fact.name, uuid, known.volumes)
            for uuid, known in self._known.items()
            if known.fact is not None
        ]
        for name, _, volumes in sorted(pools, key=lambda pool: pool[:2]):
            for volume in volumes.facts.values():
                if volume.path is not None:
                    places.setdefault(volume.path, (name, volume.name))
        if places != self._places:
            self._places = places


def pool_of(
    uuid: str,
    name: str,
    state: str,
    *,
    xml: PoolXml,
    autostart: bool | None,
    persistent: bool | None,
    damaged: str | None = None,
) -> Pool:
    """The pool as a fact, of what its definition and its lists say."""
    return Pool(
        uuid=uuid,
        name=name,
        state=state,
        autostart=autostart,
        persistent=persistent,
        type=xml.type,
        target=xml.target,
        source=xml.source,
        damaged=damaged,
    )


def _listed(look: Look, part: str, flag: int, last: frozenset[str] | None) -> frozenset[str] | None:
    """The UUIDs of the pools with `flag`; where that fails, what was known last."""
    try:
        handles = look.call(look.connection.listAllStoragePools, flag)
    except VirtError as error:
        look.note_error(part, error)
        if error.failure != "unsupported":
            look.rotation.failed(part)
        return last
    return frozenset(handle.UUIDString() for handle in handles)


def _last_state(fact: Pool | None) -> str:
    """The state to show of a pool that cannot be asked now."""
    return "inaccessible" if fact is None else fact.state


def _sample(
    look: Look,
    sizes: list[int],
    volumes: Mapping[str, Volume] | None,
    refreshed_at_ms: int | None,
) -> PoolSample:
    capacities = [volume.capacity_bytes for volume in (volumes or {}).values()]
    known = [size for size in capacities if size is not None]
    whole = volumes is not None and len(known) == len(capacities)
    return PoolSample(
        capacity_bytes=look.bounded("pools", sizes[1]),
        allocation_bytes=look.bounded("pools", sizes[2]),
        available_bytes=look.bounded("pools", sizes[3]),
        volumes_capacity_bytes=look.bounded("pools", sum(known)) if whole else None,
        volume_count=None if volumes is None else len(volumes),
        refreshed_at_ms=refreshed_at_ms,
    )
