"""What can be taken back: domains that do nothing or are off, volumes and pools that nobody uses,
old snapshots. (What is larger than needed: app/capacity/rightsizing.) Pure.

Every finding says what it would free, as far as that is known, and carries a digest of the facts
that it rests on: a note that dismisses it holds until they change. Of a host that does not answer
these are the last facts seen; the finding says so.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

from app.capacity.daily import Daily
from app.capacity.evidence import (
    DomainEvidence,
    DomainUse,
    Evidence,
    PoolEvidence,
    VolumeEvidence,
)
from app.capacity.storage import REMOTE
from app.clock import DAY_MS

FindingKind = Literal[
    "idle-domain", "domain-off", "larger-than-needed", "unused-volume", "unused-pool",
    "old-snapshot",
]  # fmt: skip
FINDING_KINDS: tuple[FindingKind, ...] = (
    "idle-domain", "domain-off", "larger-than-needed", "unused-volume", "unused-pool",
    "old-snapshot",
)  # fmt: skip


class Thresholds(Struct, frozen=True):
    """From what on something is a finding.

    Idle: on each of `idle_days` days that it was seen, a domain's CPU was at most `idle_cpu` (of
    its vCPUs) in nineteen minutes of twenty, and its disks and network moved on average no more.
    """

    idle_days: int = 30
    idle_cpu: float = 0.01
    idle_disk_bytes_per_s: int = 4096
    idle_net_bytes_per_s: int = 2048
    off_days: int = 30
    volume_days: int = 7
    pool_days: int = 30
    snapshot_days: int = 30
    # Larger than needed: what would be enough is at most so much of what it has, and frees so much.
    size_days: int = 14
    size_share: float = 0.5
    size_least_vcpus: int = 2
    size_least_memory_bytes: int = 2 << 30


class Finding(Struct, frozen=True):
    """One thing that could be taken back.

    `subject` names it on its host (a volume with its pool, a snapshot with its domain), `key` is
    its UUID or what else addresses have. `since_ms`: since when it has been so, at the latest.
    What it would free is None where nobody knows. `enough_…`: what would do, where it is larger
    than needed, and `peak_…` why. `facts_digest` is another when the facts are.
    """

    kind: FindingKind
    host: str
    key: str
    subject: str
    known: bool
    seen_ms: int
    since_ms: int | None
    frees_vcpus: int | None
    frees_memory_bytes: int | None
    frees_disk_bytes: int | None
    facts_digest: str
    vcpus: int | None = None
    memory_bytes: int | None = None
    peak_vcpus: float | None = None
    peak_memory_bytes: float | None = None
    enough_vcpus: int | None = None
    enough_memory_bytes: int | None = None


def reclaimable(evidence: Evidence, thresholds: Thresholds | None = None) -> list[Finding]:
    """All of it, what is larger than needed aside; by kind, and then by host and name."""
    bounds = thresholds or Thresholds()
    found = [
        *_idle(evidence, bounds),
        *_off(evidence, bounds),
        *_volumes(evidence, bounds),
        *_pools(evidence, bounds),
        *_snapshots(evidence, bounds),
    ]
    order = {kind: place for place, kind in enumerate(FINDING_KINDS)}
    return sorted(found, key=lambda one: (order[one.kind], one.host, one.subject, one.key))


def digest_of(*facts: object) -> str:
    """A digest of the facts that a finding rests on."""
    text = "\x1f".join(map(str, facts))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def disk_bytes(evidence: Evidence, domain: DomainEvidence) -> int | None:
    """What the volumes take that are a domain's alone; None where one of them does not tell."""
    total = 0
    for key in dict.fromkeys(domain.volumes):
        volume = evidence.volumes.get(key)
        if volume is None or volume.allocation_bytes is None:
            return None
        if volume.users <= 1 and not volume.overlays:
            total += volume.allocation_bytes
    return total


# --- domains -------------------------------------------------------------------------------


def _idle(evidence: Evidence, bounds: Thresholds) -> Iterator[Finding]:
    for domain in evidence.domains:
        days = is_idle(evidence, domain, bounds)
        if not days:
            continue
        disk = disk_bytes(evidence, domain)
        yield Finding(
            "idle-domain", domain.host, domain.uuid, domain.name, domain.known, domain.seen_ms,
            days[0] * DAY_MS, domain.vcpus, domain.memory_bytes, disk,
            # What it takes on disk moves by itself; that it is idle does not end by that.
            digest_of("idle-domain", domain.uuid, domain.vcpus, domain.memory_bytes),
            domain.vcpus, domain.memory_bytes,
        )  # fmt: skip


def is_idle(evidence: Evidence, domain: DomainEvidence, bounds: Thresholds) -> list[int]:
    """The days on which a running domain did nothing, up to now; none if it is not idle, or was
    not seen for long enough.
    """
    use = domain.use
    if not domain.active or use is None:
        return []
    first = evidence.day - bounds.idle_days
    days = [day for day in use.days if day >= first]
    # It was there all the time; hosts that did not answer for a day or two hide nothing.
    if len(days) < max(1, bounds.idle_days * 9 // 10):
        return []
    if domain.first_seen_ms is not None and domain.first_seen_ms > (first + 1) * DAY_MS:
        return []
    idle = all(_idled(use, place, bounds) for place, day in enumerate(use.days) if day >= first)
    return days if idle else []


def _idled(use: DomainUse, place: int, bounds: Thresholds) -> bool:
    """Whether it did nothing on a day; what was not measured is not known to be nothing."""
    cpu = use.cpu_p95[place]
    disk, net = use.disk_bytes_per_s[place], use.net_bytes_per_s[place]
    if cpu is None or (disk is None and net is None):
        return False
    return (
        cpu <= bounds.idle_cpu
        and (disk is None or disk <= bounds.idle_disk_bytes_per_s)
        and (net is None or net <= bounds.idle_net_bytes_per_s)
    )


def _off(evidence: Evidence, bounds: Thresholds) -> Iterator[Finding]:
    latest_ms = evidence.at_ms - bounds.off_days * DAY_MS
    for domain in evidence.domains:
        # One that was never seen running has been off since it was first seen.
        since_ms = domain.off_since_ms or domain.first_seen_ms
        if domain.state not in ("shutoff", "crashed") or since_ms is None or since_ms > latest_ms:
            continue
        if domain.use is not None and domain.use.days and domain.off_since_ms is None:
            continue
        yield Finding(
            "domain-off", domain.host, domain.uuid, domain.name, domain.known, domain.seen_ms,
            since_ms, None, None, disk_bytes(evidence, domain),
            digest_of("domain-off", domain.uuid, since_ms), domain.vcpus, domain.memory_bytes,
        )  # fmt: skip


# --- storage -------------------------------------------------------------------------------


def _volumes(evidence: Evidence, bounds: Thresholds) -> Iterator[Finding]:
    latest_ms = evidence.at_ms - bounds.volume_days * DAY_MS
    pools = {(pool.host, pool.uuid): pool for pool in evidence.pools}
    told: set[object] = set()
    used = _used_elsewhere(evidence, pools)
    for (host, uuid, name), volume in evidence.volumes.items():
        if volume.users or volume.overlays or _is_medium(volume):
            continue
        if volume.first_seen_ms is not None and volume.first_seen_ms > latest_ms:
            continue
        shared = _shared_key(pools.get((host, uuid)), volume)
        if shared is not None:
            # On storage of several hosts each of them tells it; it is one.
            if used.get(shared) or shared in told:
                continue
            told.add(shared)
        yield Finding(
            "unused-volume", host, f"{uuid}/{name}", f"{volume.pool}/{name}", volume.known,
            volume.seen_ms, volume.first_seen_ms, None, None, volume.allocation_bytes,
            digest_of("unused-volume", uuid, name, volume.capacity_bytes, volume.first_seen_ms),
        )  # fmt: skip


def _is_medium(volume: VolumeEvidence) -> bool:
    """Media lie there to be used when a domain is installed."""
    return volume.format == "iso" or volume.name.casefold().endswith(".iso")


def _shared_key(pool: PoolEvidence | None, volume: VolumeEvidence) -> object | None:
    if pool is None or pool.type not in REMOTE or pool.source is None:
        return None
    return pool.type, pool.source, volume.name


def _used_elsewhere(
    evidence: Evidence, pools: Mapping[tuple[str, str], PoolEvidence]
) -> dict[object, bool]:
    """By what is the same volume on all hosts, whether a domain of any of them uses it."""
    found: dict[object, bool] = {}
    for (host, uuid, _), volume in evidence.volumes.items():
        shared = _shared_key(pools.get((host, uuid)), volume)
        if shared is not None:
            found[shared] = found.get(shared, False) or bool(volume.users or volume.overlays)
    return found


def _pools(evidence: Evidence, bounds: Thresholds) -> Iterator[Finding]:
    """Pools of which no domain uses a volume, and in which nothing has moved."""
    in_use = {
        (volume.host, volume.pool_uuid)
        for volume in evidence.volumes.values()
        if volume.users or volume.overlays
    }
    media = {(v.host, v.pool_uuid) for v in evidence.volumes.values() if _is_medium(v)}
    for pool in evidence.pools:
        place = (pool.host, pool.uuid)
        if pool.state != "running" or place in in_use or place in media:
            continue
        if _has_moved(pool, evidence.day - bounds.pool_days, evidence.day):
            continue
        yield Finding(
            "unused-pool", pool.host, pool.uuid, pool.name, pool.known, pool.seen_ms,
            (evidence.day - bounds.pool_days) * DAY_MS, None, None, pool.allocation_bytes,
            digest_of("unused-pool", pool.uuid, pool.capacity_bytes),
        )  # fmt: skip


def _has_moved(pool: PoolEvidence, first: int, day: int) -> bool:
    """Whether anything was put into it or taken out; also where it was not seen for that long."""
    kept: Daily = pool.allocation.since(first).before(day)
    seen = [value for value in kept.values if value is not None]
    if pool.allocation.first_day > first or len(seen) < (day - first) * 9 // 10:
        return True
    return max(seen) - min(seen) > max(1 << 20, 0.001 * (pool.capacity_bytes or 0))


# --- snapshots -----------------------------------------------------------------------------


def _snapshots(evidence: Evidence, bounds: Thresholds) -> Iterator[Finding]:
    """Old ones. How large one is libvirt does not know: images keep that to themselves."""
    latest_ms = evidence.at_ms - bounds.snapshot_days * DAY_MS
    for domain in evidence.domains:
        for one in domain.snapshots or ():
            if one.created_at_ms is None or one.created_at_ms > latest_ms:
                continue
            yield Finding(
                "old-snapshot", domain.host, f"{domain.uuid}/{one.name}",
                f"{domain.name}/{one.name}", domain.known, domain.seen_ms, one.created_at_ms,
                None, None, None,
                digest_of("old-snapshot", domain.uuid, one.name, one.created_at_ms),
            )  # fmt: skip


class Freed(Struct, frozen=True):
    """What some findings would free together; `unknown_disks` of them do not tell their disks."""

    count: int
    vcpus: int
    memory_bytes: int
    disk_bytes: int
    unknown_disks: int


def freed(findings: Iterable[Finding]) -> Freed:
    """What all of them would free, as far as it is known."""
    every = list(findings)
    asking = ("idle-domain", "domain-off", "unused-volume", "unused-pool", "old-snapshot")
    return Freed(
        len(every),
        sum(one.frees_vcpus or 0 for one in every),
        sum(one.frees_memory_bytes or 0 for one in every),
        sum(one.frees_disk_bytes or 0 for one in every),
        sum(one.frees_disk_bytes is None and one.kind in asking for one in every),
    )
