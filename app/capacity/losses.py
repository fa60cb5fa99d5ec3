"""What breaks first when a host is lost (N+1): whether the others could run its domains. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from app.capacity.evidence import DomainEvidence, Evidence, HostEvidence
from app.capacity.overcommit import Bounds
from app.capacity.placement import Spare, spare_of
from app.capacity.storage import REMOTE, storages


class Loss(Struct, frozen=True):
    """What it would mean to lose a host: the running domains that found no place on the others
    within the bounds, and what was missing for them (`breaks`, by most of them). `local` are those
    with a disk on storage that no other host has: they could not be started elsewhere at all.
    """

    host: str
    known: bool
    domains: int
    vcpus: int
    memory_bytes: int
    without_place: tuple[str, ...]
    breaks: Literal["", "vcpus", "memory"]
    local: tuple[str, ...]


def losses(evidence: Evidence, bounds: Bounds | None = None) -> list[Loss]:
    """Every host lost in turn; the worst first. Hosts that do not answer take nobody over."""
    limits = bounds or Bounds()
    spare = {host.name: spare_of(evidence, host, limits) for host in evidence.hosts if host.known}
    remote = {
        (pool.host, pool.uuid)
        for one in storages(evidence.pools)
        for pool in one.pools
        if pool.type in REMOTE
    }
    found = [_loss(evidence, host, spare, remote) for host in evidence.hosts]
    return sorted(found, key=lambda one: (-len(one.without_place), -one.memory_bytes, one.host))


def _loss(
    evidence: Evidence, host: HostEvidence, spare: Mapping[str, Spare],
    remote: set[tuple[str, str]],
) -> Loss:  # fmt: skip
    mine = [d for d in evidence.domains if d.host == host.name and d.active]
    room = {
        name: [s.vcpus, s.memory_bytes]
        for name, s in spare.items()
        if name != host.name and s.vcpus is not None and s.memory_bytes is not None
    }
    homeless, missing = [], {"vcpus": 0, "memory": 0}
    for domain in sorted(mine, key=lambda d: -(d.memory_bytes or 0)):
        vcpus, memory = domain.vcpus or 0, domain.memory_bytes or 0
        takers = [r for r in room.values() if (r[0] or 0) >= vcpus and (r[1] or 0) >= memory]
        if not takers:
            homeless.append(domain.name)
            enough = any((r[1] or 0) >= memory for r in room.values())
            missing["vcpus" if enough else "memory"] += 1
            continue
        taker = max(takers, key=lambda r: r[1] or 0)
        taker[0], taker[1] = (taker[0] or 0) - vcpus, (taker[1] or 0) - memory
    breaks: Literal["", "vcpus", "memory"] = ""
    if homeless:
        breaks = "memory" if missing["memory"] >= missing["vcpus"] else "vcpus"
    return Loss(
        host.name, host.known, len(mine), sum(d.vcpus or 0 for d in mine),
        sum(d.memory_bytes or 0 for d in mine), tuple(homeless), breaks,
        tuple(_local(mine, remote)),
    )  # fmt: skip


def _local(domains: Sequence[DomainEvidence], remote: set[tuple[str, str]]) -> Iterator[str]:
    for domain in domains:
        if any((host, uuid) not in remote for host, uuid, _ in domain.volumes):
            yield domain.name
