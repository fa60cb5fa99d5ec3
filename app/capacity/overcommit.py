"""How much more of each host was promised to domains than it has. Pure.

Definitions: vCPUs of its running domains, and of all that are defined, per logical CPU (thread);
memory of the same per byte of the host's; capacities of the volumes in its pools per byte of the
pools. Beside that, what was used in fact: p95 is the highest of the days' p95 (what was not
exceeded in nineteen minutes of twenty on any day), the peak the highest of all.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from app.capacity.daily import Daily
from app.capacity.evidence import DomainEvidence, Evidence, HostEvidence, PoolEvidence
from app.capacity.storage import storages

# "not-judged": the host could not be seen, or does not tell what it has.
Verdict = Literal["fine", "overcommitted", "not-judged"]


class Bounds(Struct, frozen=True):
    """From what on a host counts as overcommitted, by what is promised to running domains."""

    vcpus_per_cpu: float = 3.0
    memory_ratio: float = 1.0


class Promises(Struct, frozen=True):
    """What a host promised to its domains beside what it has, and what was used in the period.

    Ratios are null where either side is not known; `defined_…` counts the domains that are off as
    well.
    """

    host: str
    known: bool
    verdict: Verdict
    reasons: tuple[Literal["vcpus", "memory"], ...]
    cpus: int | None
    memory_bytes: int | None
    running_vcpus: int | None
    defined_vcpus: int | None
    running_memory_bytes: int | None
    defined_memory_bytes: int | None
    vcpus_per_cpu: float | None
    defined_vcpus_per_cpu: float | None
    memory_ratio: float | None
    defined_memory_ratio: float | None
    storage_capacity_bytes: int | None
    storage_promised_bytes: int | None
    storage_ratio: float | None
    cpu_p95: float | None
    cpu_peak: float | None
    memory_used_p95_bytes: float | None
    memory_used_peak_bytes: float | None


class Overcommit(Promises, frozen=True):
    """The same with when the host was last seen, and each day's highest of what was promised to
    running domains.
    """

    seen_ms: int | None
    vcpus_per_cpu_by_day: Daily
    memory_ratio_by_day: Daily


def overcommit(
    evidence: Evidence, from_day: int = 0, bounds: Bounds | None = None
) -> list[Overcommit]:
    """Every host, its use since `from_day`."""
    domains: dict[str, list[DomainEvidence]] = {}
    for domain in evidence.domains:
        domains.setdefault(domain.host, []).append(domain)
    pools: dict[str, list[PoolEvidence]] = {}
    for pool in evidence.pools:
        pools.setdefault(pool.host, []).append(pool)
    return [
        _of_host(
            host, domains.get(host.name, []), pools.get(host.name, []), from_day,
            bounds or Bounds(),
        )
        for host in evidence.hosts
    ]  # fmt: skip


def _of_host(
    host: HostEvidence, mine: Sequence[DomainEvidence], all_pools: Sequence[PoolEvidence],
    from_day: int, bounds: Bounds,
) -> Overcommit:  # fmt: skip
    seen = host.seen_ms is not None
    running = [domain for domain in mine if domain.active]
    vcpus = [_total([d.vcpus for d in some], seen=seen) for some in (running, mine)]
    memory = [_total([d.memory_bytes for d in some], seen=seen) for some in (running, mine)]
    sized = [one for one in storages(all_pools) if one.pool.capacity_bytes is not None]
    capacity = sum(one.pool.capacity_bytes or 0 for one in sized) if sized else None
    promised = None
    if sized and all(one.promised_bytes is not None for one in sized):
        promised = sum(one.promised_bytes or 0 for one in sized)
    vcpu_ratio, memory_ratio = _ratio(vcpus[0], host.cpus), _ratio(memory[0], host.memory_bytes)
    reasons: list[Literal["vcpus", "memory"]] = []
    if vcpu_ratio is not None and vcpu_ratio > bounds.vcpus_per_cpu:
        reasons.append("vcpus")
    if memory_ratio is not None and memory_ratio > bounds.memory_ratio:
        reasons.append("memory")
    verdict: Verdict = "overcommitted" if reasons else "fine"
    if not host.known or (not reasons and None in (vcpu_ratio, memory_ratio)):
        verdict = "not-judged"
    return Overcommit(
        host.name, host.known, verdict, tuple(reasons), host.cpus, host.memory_bytes,
        vcpus[0], vcpus[1], memory[0], memory[1], vcpu_ratio, _ratio(vcpus[1], host.cpus),
        memory_ratio, _ratio(memory[1], host.memory_bytes), capacity, promised,
        _ratio(promised, capacity), _highest(host.cpu_p95, from_day),
        _highest(host.cpu_max, from_day), _highest(host.memory_used_p95_bytes, from_day),
        _highest(host.memory_used_max_bytes, from_day), host.seen_ms,
        _by_day(host.assigned_vcpus, host.cpus, from_day),
        _by_day(host.assigned_memory_bytes, host.memory_bytes, from_day),
    )  # fmt: skip


def _total(values: Sequence[int | None], *, seen: bool) -> int | None:
    """The sum, None where a part of it is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if seen and len(known) == len(values) else None


def _ratio(promised: int | None, real: int | None) -> float | None:
    return None if promised is None or not real else promised / real


def _highest(series: Daily, from_day: int) -> float | None:
    seen = [value for value in series.since(from_day).values if value is not None]
    return max(seen, default=None)


def _by_day(promised: Daily, real: int | None, from_day: int) -> Daily:
    kept = promised.since(from_day)
    if not real:
        return Daily(kept.first_day, ())
    values = [None if value is None else value / real for value in kept.values]
    return Daily(kept.first_day, tuple(values))
