"""Domains that have more vCPUs or memory than they need, and what would be enough. Pure.

The peak is an upper bound of the p99 of the period (what was not exceeded in 99 minutes of 100),
as far as rows of days tell it: app/capacity/daily.upper_bound. Enough leaves room above the peak:
of the vCPUs three tenths are kept free, of the memory a quarter; memory in steps that people use.
"""

from collections.abc import Iterator
from math import ceil

from app.capacity.daily import upper_bound
from app.capacity.evidence import DomainEvidence, DomainUse, Evidence
from app.capacity.reclaim import Finding, Thresholds, digest_of, is_idle
from app.clock import DAY_MS

_VCPUS_BUSY = 0.7
_MEMORY_BUSY = 0.75
_GIB = 1 << 30


def larger_than_needed(evidence: Evidence, thresholds: Thresholds | None = None) -> list[Finding]:
    """Those that could be made smaller; what does nothing at all is told as idle, not here."""
    found = _found(evidence, thresholds or Thresholds())
    return sorted(found, key=lambda one: (one.host, one.subject, one.key))


def _found(evidence: Evidence, bounds: Thresholds) -> Iterator[Finding]:
    for domain in evidence.domains:
        if domain.use is None or not domain.active or is_idle(evidence, domain, bounds):
            continue
        # Before it was resized it was another size that it used so much of.
        first = domain.sized_day or 0
        places = [place for place, day in enumerate(domain.use.days) if day >= first]
        if len(places) < bounds.size_days:
            continue
        finding = _of_domain(domain, domain.use, places, bounds)
        if finding is not None:
            yield finding


def _of_domain(
    domain: DomainEvidence, use: DomainUse, places: list[int], bounds: Thresholds
) -> Finding | None:
    cpu = _peak(use.cpu_p95, use.cpu_max, places)
    peak_memory = _peak(use.memory_p95_bytes, use.memory_max_bytes, places)
    peak_vcpus = None if cpu is None or domain.vcpus is None else cpu * domain.vcpus
    vcpus = None if peak_vcpus is None else max(1, ceil(peak_vcpus / _VCPUS_BUSY))
    memory = None if peak_memory is None else rounded_up(peak_memory / _MEMORY_BUSY)
    less_vcpus = _less(domain.vcpus, vcpus, bounds.size_share, bounds.size_least_vcpus)
    less_memory = _less(
        domain.memory_bytes, memory, bounds.size_share, bounds.size_least_memory_bytes
    )
    if not less_vcpus and not less_memory:
        return None
    return Finding(
        "larger-than-needed", domain.host, domain.uuid, domain.name, domain.known, domain.seen_ms,
        use.days[places[0]] * DAY_MS, less_vcpus or None, less_memory or None, None,
        # The peak moves a little every day; what would be enough does not.
        digest_of("larger-than-needed", domain.uuid, domain.vcpus, domain.memory_bytes,
                  vcpus if less_vcpus else None, memory if less_memory else None),
        domain.vcpus, domain.memory_bytes, peak_vcpus, peak_memory,
        vcpus if less_vcpus else None, memory if less_memory else None,
    )  # fmt: skip


def _peak(p95: list[float | None], highest: list[float | None], places: list[int]) -> float | None:
    """The bound of the p99; None where half of the days do not tell."""
    both = [
        (low, high)
        for place in places
        if (low := p95[place]) is not None and (high := highest[place]) is not None
    ]
    if len(both) * 2 < len(places) or not both:
        return None
    return upper_bound([low for low, _ in both], [high for _, high in both])


def _less(has: int | None, enough: int | None, share: float, least: int) -> int:
    """How much less would be enough; 0 where that is not worth it, or not known."""
    if has is None or enough is None or enough > share * has or has - enough < least:
        return 0
    return has - enough


def rounded_up(memory_bytes: float) -> int:
    """The next size of memory that people give: a half, 1, 2, 3, 4, 6, 8, 12, 16, 24, … GiB."""
    size = _GIB // 2
    while size < memory_bytes:
        if size >= 2 * _GIB and memory_bytes <= size * 3 // 2:
            return size * 3 // 2
        size *= 2
    return size
