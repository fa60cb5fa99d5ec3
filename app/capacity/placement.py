"""Where a new domain fits, or several like it. Pure.

Judged by what is promised, since that is what its owners may use at once: memory and vCPUs of the
running domains against the bounds of app/capacity/overcommit, disks by what is available and, as
forecast, by when the pool is full once the new disk has filled up. What could not be seen is not
judged: neither full nor free.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from app.capacity.evidence import Evidence, HostEvidence
from app.capacity.forecast import Forecast, full
from app.capacity.outlook import Outlook
from app.capacity.overcommit import Bounds
from app.capacity.storage import Storage, storages
from app.clock import DAY_MS
from app.errors import InvalidField
from app.language import gettext

# "fits-now": the pool would be full within SOON_DAYS.
Verdict = Literal["fits", "fits-now", "does-not-fit", "not-judged"]
Reason = Literal[
    "host-unknown", "cpus-unknown", "memory-unknown", "pool-unknown", "pool-not-running",
    "no-pool", "vcpus", "memory", "disk", "full-soon",
]  # fmt: skip
SOON_DAYS = 90
MOST = 1000
_MOST_VCPUS, _MOST_BYTES = 4096, 1 << 60


class Wish(Struct, frozen=True):
    """What one new domain is to have; without a disk (0) no pool is looked for."""

    vcpus: int
    memory_bytes: int
    disk_bytes: int = 0
    count: int = 1


class Fit(Struct, frozen=True):
    """One host with one of its pools (empty: none). `reasons` are for the verdict; `room` is how
    many such domains it takes in all, and `limited_by` what runs out first. The rest is what there
    would be after one of them: None where that is not known.
    """

    host: str
    pool: str
    pool_uuid: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    room: int
    limited_by: Literal["vcpus", "memory", "disk", ""]
    vcpus_per_cpu: float | None = None
    memory_ratio: float | None = None
    memory_left_bytes: int | None = None
    disk_left_bytes: int | None = None
    pool_share_before: float | None = None
    pool_share_after: float | None = None
    full_before_ms: int | None = None
    full_after_ms: int | None = None
    # How many of the wished count would go here.
    placed: int = 0


class Placement(Struct, frozen=True):
    """Every host and pool, the best first, and how many of the wished count found a place."""

    wish: Wish
    fits: tuple[Fit, ...]
    placed: int


class Spare(Struct):
    """What a host still takes; None: not known."""

    vcpus: float | None
    memory_bytes: float | None
    running_vcpus: int
    running_memory_bytes: int


def wish(vcpus: int, memory_bytes: int, disk_bytes: int = 0, count: int = 1) -> Wish:
    """A wish that makes sense; raises InvalidField."""
    for field, value, least, most in (
        ("vcpus", vcpus, 1, _MOST_VCPUS),
        ("memory_bytes", memory_bytes, 1, _MOST_BYTES),
        ("disk_bytes", disk_bytes, 0, _MOST_BYTES),
        ("count", count, 1, MOST),
    ):
        if not least <= value <= most:
            sentence = gettext("Give a number from %(least)s to %(most)s.", least=least, most=most)
            raise InvalidField(field, sentence)
    return Wish(vcpus, memory_bytes, disk_bytes, count)


def place(
    evidence: Evidence, asked: Wish, outlook: Sequence[Outlook], bounds: Bounds | None = None
) -> Placement:
    """Every host and pool judged; `outlook` as app/capacity/outlook tells it."""
    limits = bounds or Bounds()
    spare = {host.name: spare_of(evidence, host, limits) for host in evidence.hosts}
    told = {(one.host, one.pool_uuid): one for one in outlook if one.pool_uuid}
    found: list[Fit] = []
    storage_of: dict[tuple[str, str], Storage] = {}
    grouped = storages(evidence.pools)
    for host in evidence.hosts:
        mine = [(one, p) for one in grouped for p in one.pools if p.host == host.name]
        if not asked.disk_bytes or not mine:
            found.append(_without_pool(host, asked, spare[host.name], bool(asked.disk_bytes)))
            continue
        for storage, pool in mine:
            storage_of[host.name, pool.uuid] = storage
            first = storage.pool
            outlook_of = told.get((first.host, first.uuid))
            fit = _with_pool(evidence, host, asked, spare[host.name], outlook_of)
            found.append(
                replace(fit, pool=pool.name, pool_uuid=pool.uuid)
                if pool.state == "running"
                else Fit(host.name, pool.name, pool.uuid, "not-judged" if not pool.known
                         else "does-not-fit", ("pool-not-running",), 0, "")
            )  # fmt: skip
    order: Mapping[Verdict, int] = {
        "fits": 0, "fits-now": 1, "does-not-fit": 2, "not-judged": 3
    }  # fmt: skip
    found.sort(key=lambda fit: (order[fit.verdict], -fit.room, fit.host, fit.pool))
    return _spread(asked, found, spare, storage_of)


def spare_of(evidence: Evidence, host: HostEvidence, bounds: Bounds) -> Spare:
    """What a host still takes within the bounds, beside the domains that run on it."""
    running = [d for d in evidence.domains if d.host == host.name and d.active]
    vcpus = sum(domain.vcpus or 0 for domain in running)
    memory = sum(domain.memory_bytes or 0 for domain in running)
    known = all(d.vcpus is not None and d.memory_bytes is not None for d in running)
    return Spare(
        host.cpus * bounds.vcpus_per_cpu - vcpus if known and host.cpus else None,
        host.memory_bytes * bounds.memory_ratio - memory if known and host.memory_bytes else None,
        vcpus, memory,
    )  # fmt: skip


def _without_pool(host: HostEvidence, asked: Wish, spare: Spare, wants_disk: bool) -> Fit:
    reasons, room, limit = _host_reasons(host, asked, spare)
    if wants_disk:
        reasons, room = [*reasons, "no-pool"], 0
    return _fit(host, asked, spare, reasons, room, limit)


def _with_pool(
    evidence: Evidence, host: HostEvidence, asked: Wish, spare: Spare, outlook: Outlook | None
) -> Fit:
    reasons, room, limit = _host_reasons(host, asked, spare)
    if outlook is None or not outlook.known or outlook.value is None or not outlook.limit:
        return _fit(host, asked, spare, [*reasons, "pool-unknown"], 0, "")
    left = outlook.limit - outlook.value
    by_disk = max(0, int(left // asked.disk_bytes))
    if by_disk < 1:
        reasons.append("disk")
    if by_disk < room:
        room, limit = by_disk, "disk"
    after_ms = full_after_ms(evidence, outlook, asked.disk_bytes)
    if (
        after_ms is not None
        and after_ms < evidence.at_ms + SOON_DAYS * DAY_MS
        and "disk" not in reasons
    ):
        reasons.append("full-soon")
    fit = _fit(host, asked, spare, reasons, room, limit)
    return replace(
        fit,
        disk_left_bytes=int(left - asked.disk_bytes),
        pool_share_before=outlook.value / outlook.limit,
        pool_share_after=(outlook.value + asked.disk_bytes) / outlook.limit,
        full_before_ms=outlook.full_ms,
        full_after_ms=after_ms,
    )


def full_after_ms(evidence: Evidence, outlook: Outlook, more: float) -> int | None:
    """When a pool is likely full once so much more of it is taken; None: not within what is told,
    or nothing is told.
    """
    told = outlook.told
    if not isinstance(told, Forecast):
        return None
    level = told.level + more
    when = full(replace(told, level=level)).likely_days
    if when is None:
        return None
    return max(evidence.at_ms, int((told.last_day + 1 + when) * DAY_MS))


def _host_reasons(
    host: HostEvidence, asked: Wish, spare: Spare
) -> tuple[list[Reason], int, Literal["vcpus", "memory", "disk", ""]]:
    """Why not on this host, how many such domains it takes, and what of it runs out first."""
    reasons: list[Reason] = []
    if not host.known:
        return ["host-unknown"], 0, ""
    if spare.vcpus is None:
        reasons.append("cpus-unknown")
    if spare.memory_bytes is None:
        reasons.append("memory-unknown")
    if spare.vcpus is None or spare.memory_bytes is None:
        return reasons, 0, ""
    by_vcpus = max(0, int(spare.vcpus // asked.vcpus))
    by_memory = max(0, int(spare.memory_bytes // asked.memory_bytes))
    if not by_vcpus:
        reasons.append("vcpus")
    if not by_memory:
        reasons.append("memory")
    return reasons, min(by_vcpus, by_memory), "vcpus" if by_vcpus < by_memory else "memory"


_NOT_JUDGED = frozenset(("host-unknown", "cpus-unknown", "memory-unknown", "pool-unknown"))


def _fit(
    host: HostEvidence, asked: Wish, spare: Spare, reasons: Sequence[Reason], room: int,
    limit: Literal["vcpus", "memory", "disk", ""],
) -> Fit:  # fmt: skip
    verdict: Verdict = "fits"
    if any(reason in _NOT_JUDGED for reason in reasons):
        verdict, room, limit = "not-judged", 0, ""
    elif any(reason != "full-soon" for reason in reasons):
        verdict, room = "does-not-fit", 0
    elif reasons:
        verdict = "fits-now"
    vcpus = spare.running_vcpus + asked.vcpus
    memory = spare.running_memory_bytes + asked.memory_bytes
    seen = verdict != "not-judged"
    return Fit(
        host.name, "", "", verdict, tuple(reasons), room, limit,
        vcpus / host.cpus if seen and host.cpus else None,
        memory / host.memory_bytes if seen and host.memory_bytes else None,
        host.memory_bytes - memory if seen and host.memory_bytes else None,
    )  # fmt: skip


def _spread(
    asked: Wish, fits: Sequence[Fit], spare: Mapping[str, Spare],
    storage_of: Mapping[tuple[str, str], Storage],
) -> Placement:  # fmt: skip
    """The wished count over all places, each where most room is left; storages and hosts that
    several places share are used up together.
    """
    left = {
        host: min((s.vcpus or 0) // asked.vcpus, (s.memory_bytes or 0) // asked.memory_bytes)
        for host, s in spare.items()
    }
    disks: dict[int, int] = {}
    counts = [0] * len(fits)
    usable = [place for place, fit in enumerate(fits) if fit.verdict in ("fits", "fits-now")]
    keys = {n: id(storage_of.get((fits[n].host, fits[n].pool_uuid))) for n in usable}
    for number in usable:
        if fits[number].disk_left_bytes is not None:
            room = 1 + (fits[number].disk_left_bytes or 0) // max(1, asked.disk_bytes)
            disks[keys[number]] = room
    for _ in range(asked.count):
        best = max(
            usable,
            key=lambda n: (
                fits[n].verdict == "fits" and _room(left, disks, fits[n], keys[n]) > 0,
                _room(left, disks, fits[n], keys[n]),
                -n,
            ),
            default=None,
        )
        if best is None or _room(left, disks, fits[best], keys[best]) < 1:
            break
        counts[best] += 1
        left[fits[best].host] -= 1
        if keys[best] in disks:
            disks[keys[best]] -= 1
    placed = tuple(replace(fit, placed=count) for fit, count in zip(fits, counts, strict=True))
    return Placement(asked, placed, sum(counts))


def _room(left: Mapping[str, float], disks: Mapping[int, int], fit: Fit, key: int) -> float:
    return min(left[fit.host], disks.get(key, left[fit.host]))
