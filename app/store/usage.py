"""Which domain uses which volume, and which volume is the backing file of others.

Pure, over one fleet. A disk names its volume by pool and name, or by a path at which a volume of
the same host lies. What is known of a host that does not answer is what was last seen.
"""

from collections.abc import Iterable
from typing import NamedTuple

from app.inventory import Disk, Domain, DomainSample, Volume, VolumeSample
from app.store.views import Fleet, Seen

DomainSeen = Seen[Domain, DomainSample]
VolumeSeen = Seen[Volume, VolumeSample]


class User(NamedTuple):
    """A domain's disk that is a volume."""

    uuid: str
    name: str
    target: str


class Usage:
    """The users and overlays of every volume of some hosts."""

    def __init__(self, fleet: Fleet, hosts: Iterable[str] | None = None) -> None:
        wanted = None if hosts is None else frozenset(hosts)
        self._by_path: dict[tuple[str, str], list[User]] = {}
        self._by_name: dict[tuple[str, str, str], list[User]] = {}
        self._overlays: dict[tuple[str, str], set[str]] = {}
        self._pool_names = {(seen.host, seen.key): seen.fact.name for seen in fleet.pools}
        for domain in fleet.domains:
            if wanted is None or domain.host in wanted:
                self._note(domain)
        for volume in fleet.volumes:
            fact = volume.fact
            if fact.backing_path and fact.path and (wanted is None or volume.host in wanted):
                self._overlays.setdefault((volume.host, fact.backing_path), set()).add(fact.path)

    def _note(self, seen: DomainSeen) -> None:
        for disk in seen.fact.disks:
            user = User(seen.key, seen.fact.name, disk.target)
            if disk.source:
                self._by_path.setdefault((seen.host, disk.source), []).append(user)
            if disk.pool and disk.volume:
                self._by_name.setdefault((seen.host, disk.pool, disk.volume), []).append(user)
            above = disk.source or f"{seen.key} {disk.target}"
            for backing in disk.backing:
                self._overlays.setdefault((seen.host, backing), set()).add(above)

    def pool_name(self, volume: VolumeSeen) -> str:
        """The name of the pool that a volume is in; empty where that is not known."""
        return self._pool_names.get((volume.host, volume.fact.pool_uuid), "")

    def users(self, volume: VolumeSeen) -> list[User]:
        """The domains that have the volume as a disk."""
        fact = volume.fact
        found = list(self._by_path.get((volume.host, fact.path), ())) if fact.path else []
        found += self._by_name.get((volume.host, self.pool_name(volume), fact.name), ())
        return sorted(set(found), key=lambda user: (user.name.casefold(), user.uuid, user.target))

    def overlays(self, volume: VolumeSeen) -> int:
        """How many images have the volume as a backing file, directly or further down."""
        path = volume.fact.path
        return len(self._overlays.get((volume.host, path), ())) if path else 0


def volume_of(fleet: Fleet, host: str, disk: Disk) -> VolumeSeen | None:
    """The volume that a disk of a domain of `host` is."""
    pools = {
        seen.key
        for seen in fleet.pools
        if seen.host == host and disk.pool is not None and seen.fact.name == disk.pool
    }
    for seen in fleet.volumes:
        if seen.host != host:
            continue
        fact = seen.fact
        if fact.pool_uuid in pools and fact.name == disk.volume:
            return seen
        if disk.source is not None and fact.path == disk.source:
            return seen
    return None
