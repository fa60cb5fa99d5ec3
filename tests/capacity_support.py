"""Hosts, pools, domains and volumes by hand, for the judgements of the capacity review."""

from msgspec.structs import replace

from app.capacity.daily import Daily
from app.capacity.evidence import (
    DomainEvidence,
    DomainUse,
    Evidence,
    HostEvidence,
    PoolEvidence,
    VolumeEvidence,
)
from app.capacity.reclaim import reclaimable
from app.clock import DAY_MS
from tests.demo_support import APRIL

GIB = 1 << 30
AT_MS = APRIL.end_ms
TODAY = AT_MS // DAY_MS


def days_of(value: float, more: float = 0.0, count: int = 60) -> Daily:
    return Daily(TODAY - count, tuple(value + more * day for day in range(count)))


def a_host(name: str = "kvm-01", *, known: bool = True) -> HostEvidence:
    return HostEvidence(name, known, AT_MS, 16, 64 * GIB)


def a_pool(name: str = "images", host: str = "kvm-01", **values: object) -> PoolEvidence:
    pool = PoolEvidence(
        host, f"uuid-{name}", name, "running", True, AT_MS, "dir", None, None, 1000 * GIB,
        400 * GIB, 600 * GIB, 500 * GIB, days_of(400.0 * GIB),
    )  # fmt: skip
    return replace(pool, **values)


def a_domain(name: str = "app", host: str = "kvm-01", **values: object) -> DomainEvidence:
    domain = DomainEvidence(
        host, f"uuid-{name}", name, "running", True, True, AT_MS, 4, 8 * GIB,
        first_seen_ms=(TODAY - 200) * DAY_MS,
    )  # fmt: skip
    return replace(domain, **values)


def a_volume(name: str, pool: str = "images", host: str = "kvm-01", **values: object):  # type: ignore[no-untyped-def]
    volume = VolumeEvidence(
        host, f"uuid-{pool}", pool, name, True, AT_MS, f"/{pool}/{name}", "qcow2", 20 * GIB,
        5 * GIB, 0, 0, (TODAY - 100) * DAY_MS,
    )  # fmt: skip
    return (host, f"uuid-{pool}", name), replace(volume, **values)


def a_use(
    cpu: float, *, memory: float = 6.0 * GIB, moved: float = 1e6, days: int = 40
) -> DomainUse:
    every = list(range(TODAY - days, TODAY))
    return DomainUse(
        every, [cpu] * days, [cpu] * days, [memory] * days, [memory] * days, [moved] * days,
        [moved] * days,
    )  # fmt: skip


def found_in(evidence_: Evidence) -> list[tuple[str, str]]:
    return [(one.kind, one.subject) for one in reclaimable(evidence_)]


def evidence_of(**values: object) -> Evidence:
    return replace(Evidence(AT_MS, TODAY, (a_host(),), (a_pool(),)), **values)
