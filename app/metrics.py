"""The declared table of what is measured: what is kept of it over time, and what is shown of it.

Owns two lists. A *series* is a column of numbers that the store keeps of a kind: a field of its
sample, or what follows from several (what a host's CPUs were busy, what a guest uses). A *metric*
is what a chart, the API or an export shows of a series, with its unit. Pure; knows no store.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import fields
from numpy.typing import NDArray

from app.inventory import KIND_BY_NAME, DomainSample, HostSample, KindName

# A gauge may be anything at any time. A counter only grows, until what counts begins anew; so does
# one of single events, of which there may be less than one a second.
SeriesType = Literal["gauge", "counter", "events"]
Unit = Literal["ratio", "bytes", "bytes/s", "1/s", "count"]
# What a metric's value is divided by: the CPUs that the host or the domain had at that time.
Per = Literal["", "cpu"]


class Series(Struct, frozen=True):
    """A series that is kept of a kind. One that is no field of the sample is what `of` makes of
    the fields `inputs`. `of_all` makes it of many samples at once, of arrays of what is known of
    all of them and None for what is of none, or gives None where it cannot.
    """

    name: str
    type: SeriesType
    inputs: tuple[str, ...] = ()
    of: Callable[..., int | None] | None = None
    of_all: Callable[..., NDArray[Any] | None] | None = None


class Metric(Struct, frozen=True):
    """What is shown of a series. Of a counter it is the rate per second, times `scale`."""

    kind: KindName
    name: str
    label: str
    unit: Unit
    series: str
    scale: float = 1.0
    per: Per = ""


def domain_memory_used_bytes(sample: DomainSample | None) -> int | None:
    """What the guest uses of its memory, as its balloon tells; else what QEMU holds of the
    host's, at most what the guest has. None where neither is known.
    """
    if sample is None:
        return None
    return _domain_memory_used(
        sample.memory_bytes,
        sample.memory_usable_bytes,
        sample.memory_unused_bytes,
        sample.memory_rss_bytes,
    )


def _domain_memory_used(
    whole: int | None, usable: int | None, unused: int | None, rss: int | None
) -> int | None:
    free = unused if usable is None else usable
    if whole is not None and free is not None:
        return whole - free if whole > free else 0
    if rss is None or whole is None:
        return rss
    return min(rss, whole)


def _domain_memories_used(
    whole: NDArray[Any] | None,
    usable: NDArray[Any] | None,
    unused: NDArray[Any] | None,
    rss: NDArray[Any] | None,
) -> NDArray[Any] | None:
    """The same of many samples, where each tells the same of itself, as nearly all do."""
    free = unused if usable is None else usable
    if whole is None or free is None:
        return None
    used = whole - free
    return used if (used >= 0).all() else None


def host_memory_used_bytes(sample: HostSample | None) -> int | None:
    """Memory that is neither free nor only a cache."""
    if sample is None:
        return None
    return _host_memory_used(
        sample.memory_total_bytes,
        sample.memory_free_bytes,
        sample.memory_buffers_bytes,
        sample.memory_cached_bytes,
    )


def _host_memory_used(
    whole: int | None, free: int | None, buffers: int | None, cached: int | None
) -> int | None:
    if whole is None or free is None:
        return None
    return max(0, whole - free - (buffers or 0) - (cached or 0))


def _host_cpu_busy(user: int | None, system: int | None) -> int | None:
    """What the CPUs worked. (Waiting for disks is idleness.)"""
    return None if user is None or system is None else user + system


_COUNTERS = frozenset(
    ("cpu_user_ns", "cpu_system_ns", "cpu_iowait_ns", "cpu_idle_ns", "cpu_time_ns",
     "disk_read_bytes", "disk_write_bytes", "net_rx_bytes", "net_tx_bytes")
)  # fmt: skip
_EVENTS = frozenset(
    ("disk_read_requests", "disk_write_requests", "net_rx_packets", "net_tx_packets",
     "net_rx_drops", "net_tx_drops", "net_rx_errors", "net_tx_errors")
)  # fmt: skip
# When something was done, not how much there is.
_NOT_MEASURED = frozenset(("refreshed_at_ms",))
_DERIVED: Mapping[str, tuple[Series, ...]] = {
    "host": (
        Series("cpu_busy_ns", "counter", ("cpu_user_ns", "cpu_system_ns"), _host_cpu_busy),
        Series(
            "memory_used_bytes",
            "gauge",
            (
                "memory_total_bytes",
                "memory_free_bytes",
                "memory_buffers_bytes",
                "memory_cached_bytes",
            ),
            _host_memory_used,
        ),
    ),
    "domain": (
        Series(
            "memory_used_bytes",
            "gauge",
            ("memory_bytes", "memory_usable_bytes", "memory_unused_bytes", "memory_rss_bytes"),
            _domain_memory_used,
            _domain_memories_used,
        ),
    ),
}


@cache
def series_of(kind: KindName) -> tuple[Series, ...]:
    """The series that are kept of a kind, in a fixed order; none where nothing is measured."""
    sample = KIND_BY_NAME[kind].sample
    if sample is None:
        return ()
    measured = tuple(
        Series(field.name, _type(field.name))
        for field in fields(sample)
        if field.name not in _NOT_MEASURED
    )
    return measured + _DERIVED.get(kind, ())


def _type(name: str) -> SeriesType:
    if name in _COUNTERS:
        return "counter"
    return "events" if name in _EVENTS else "gauge"


def _plain(kind: KindName, unit: Unit, *named: tuple[str, str]) -> tuple[Metric, ...]:
    return tuple(Metric(kind, name, label, unit, name) for name, label in named)


def _traffic(kind: KindName) -> tuple[Metric, ...]:
    """What disks and NICs do, of a domain or of one of them."""
    return (
        *_plain(
            kind, "bytes/s", ("disk_read_bytes", "Disk read"), ("disk_write_bytes", "Disk written"),
            ("net_rx_bytes", "Network received"), ("net_tx_bytes", "Network sent"),
        ),
        *_plain(
            kind, "1/s", ("disk_read_requests", "Disk reads"),
            ("disk_write_requests", "Disk writes"),
            ("net_rx_packets", "Packets received"), ("net_tx_packets", "Packets sent"),
            ("net_rx_drops", "Received packets dropped"), ("net_tx_drops", "Sent packets dropped"),
            ("net_rx_errors", "Errors in receiving"), ("net_tx_errors", "Errors in sending"),
        ),
    )  # fmt: skip


_NS = 1e-9

METRICS: tuple[Metric, ...] = (
    Metric("host", "cpu", "CPU", "ratio", "cpu_busy_ns", _NS, "cpu"),
    Metric("host", "cpu_user", "CPU, user", "ratio", "cpu_user_ns", _NS, "cpu"),
    Metric("host", "cpu_system", "CPU, system", "ratio", "cpu_system_ns", _NS, "cpu"),
    Metric("host", "cpu_iowait", "CPU, waiting for disks", "ratio", "cpu_iowait_ns", _NS, "cpu"),
    Metric("host", "cpu_idle", "CPU, idle", "ratio", "cpu_idle_ns", _NS, "cpu"),
    *_plain(
        "host", "bytes", ("memory_used_bytes", "Memory used"), ("memory_total_bytes", "Memory"),
        ("memory_free_bytes", "Memory free"), ("memory_buffers_bytes", "Memory in buffers"),
        ("memory_cached_bytes", "Memory in the cache"),
        ("assigned_memory_bytes", "Memory assigned to running VMs"),
    ),
    *_plain(
        "host", "count", ("running_domains", "VMs running"), ("defined_domains", "VMs defined"),
        ("assigned_vcpus", "vCPUs assigned to running VMs"),
    ),
    Metric("domain", "cpu", "CPU", "ratio", "cpu_time_ns", _NS, "cpu"),
    *_plain(
        "domain", "bytes", ("memory_used_bytes", "Memory used"), ("memory_bytes", "Memory"),
        ("memory_usable_bytes", "Memory that the guest could use"),
        ("memory_unused_bytes", "Memory that the guest leaves unused"),
        ("memory_rss_bytes", "Memory of the host that QEMU holds"),
    ),
    *_traffic("domain"),
    *_plain(
        "pool", "bytes", ("capacity_bytes", "Capacity"), ("allocation_bytes", "Allocated"),
        ("available_bytes", "Available"),
        ("volumes_capacity_bytes", "Promised to volumes"),
    ),
    *_plain("pool", "count", ("volume_count", "Volumes")),
    *_plain("volume", "bytes", ("allocation_bytes", "Allocated")),
    *_traffic("device"),
)  # fmt: skip

METRIC_BY_NAME: Mapping[tuple[str, str], Metric] = {
    (metric.kind, metric.name): metric for metric in METRICS
}
