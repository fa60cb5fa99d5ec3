"""The declared table of the fleet's metrics: names, what they tell, where they come from. Pure.

Named as the exporters for libvirt name theirs, so that what is made for them can be used. Whether
one is a counter follows from what app/metrics declares of the series; it is told as libvirt counts,
and so begins anew when a domain is started.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from msgspec import Struct

from app.inventory import DOMAIN_STATES, KindName
from app.metrics import domain_memory_used_bytes, host_memory_used_bytes, series_of
from app.store.views import HostView, Seen
from app.web.device_parts import DeviceSort
from app.web.openmetrics import Type

Labels = Mapping[str, str | None]


class FleetMetric(Struct, frozen=True):
    """One number of every object of a kind, out of its `Seen` (UP alone: its HostView), or out of
    its sample where it is `measured`, divided by `per`. `source` says what it is in libvirt's
    words; `more` are labels beyond those that name the object. What each disk or NIC counts has the
    `sort` of these.
    """

    kind: KindName
    name: str
    type: Type
    help: str
    source: str
    value: Callable[[Any], float | None]
    more: Callable[[Any], Labels] | None = None
    measured: bool = False
    per: float | None = None
    sort: DeviceSort | None = None


# What counts a series, by the first word of its name.
_SORTS: Mapping[str, DeviceSort] = {"disk": "disk", "net": "nic"}


def _measured(
    kind: KindName, name: str, series: str, help_: str, source: str, per: float | None = None
) -> FleetMetric:
    """What is measured at every scan: a column of the kind's sample, divided by `per`."""
    declared = next(one for one in series_of(kind) if one.name == series)
    type_: Type = "gauge" if declared.type == "gauge" else "counter"
    sort = _SORTS.get(series.partition("_")[0]) if kind == "domain" else None
    return FleetMetric(
        kind, name, type_, help_, source, attrgetter(series), measured=True, per=per, sort=sort
    )


def _fact(kind: KindName, name: str, field: str, help_: str, source: str) -> FleetMetric:
    """What is told of the object itself: a field of its fact."""
    return FleetMetric(kind, name, "gauge", help_, source, lambda seen: getattr(seen.fact, field))


def _is_there(_seen: object) -> int:
    return 1


def _state(seen: Seen[Any, Any]) -> Labels:
    return {"state": seen.fact.state}


def _state_and_reason(seen: Seen[Any, Any]) -> Labels:
    return {"state": seen.fact.state, "reason": seen.fact.state_reason}


def _domain_is(seen: Seen[Any, Any]) -> Labels:
    fact = seen.fact
    return {"os_type": fact.os_type, "architecture": fact.architecture, "machine": fact.machine}


def _host_is(seen: Seen[Any, Any]) -> Labels:
    fact = seen.fact
    return {
        "hypervisor": fact.hypervisor,
        "hypervisor_version": fact.hypervisor_version,
        "libvirt_version": fact.libvirt_version,
    }


def _up(view: HostView) -> bool | None:
    status = view.status
    return status.known if view.record.enabled and status.last_try_at_ms is not None else None


_STATE_NUMBERS = {word: number for number, word in enumerate(DOMAIN_STATES)}
# Nanoseconds of a second.
_S = 1e9

UP = FleetMetric(
    "host", "libvirt_up", "gauge",
    "Whether the host answers; not told of one that is disabled or was never asked.",
    "the last scan", _up,
)  # fmt: skip

HOST = (
    FleetMetric(
        "host", "libvirt_versions", "info", "The host's hypervisor and libvirt.",
        "virConnectGetType, …GetVersion, …GetLibVersion", _is_there, _host_is,
    ),
    _fact("host", "libvirt_host_cpus", "cpus", "Logical CPUs.", "virNodeGetInfo"),
    _fact(
        "host", "libvirt_host_cpus_online", "cpus_online", "Logical CPUs that are online.",
        "virNodeGetCPUMap",
    ),
    _measured(
        "host", "libvirt_host_cpu_user_seconds", "cpu_user_ns",
        "CPU time of programs, guests among them.", "virNodeGetCPUStats user", _S,
    ),
    _measured(
        "host", "libvirt_host_cpu_system_seconds", "cpu_system_ns", "CPU time of the kernel.",
        "virNodeGetCPUStats kernel", _S,
    ),
    _measured(
        "host", "libvirt_host_cpu_iowait_seconds", "cpu_iowait_ns",
        "CPU time spent waiting for disks.", "virNodeGetCPUStats iowait", _S,
    ),
    _measured(
        "host", "libvirt_host_cpu_idle_seconds", "cpu_idle_ns", "CPU time without work.",
        "virNodeGetCPUStats idle", _S,
    ),
    _measured(
        "host", "libvirt_host_memory_total_bytes", "memory_total_bytes", "Memory.",
        "virNodeGetMemoryStats total",
    ),
    _measured(
        "host", "libvirt_host_memory_free_bytes", "memory_free_bytes", "Memory that is free.",
        "virNodeGetMemoryStats free",
    ),
    _measured(
        "host", "libvirt_host_memory_buffers_bytes", "memory_buffers_bytes", "Memory in buffers.",
        "virNodeGetMemoryStats buffers",
    ),
    _measured(
        "host", "libvirt_host_memory_cached_bytes", "memory_cached_bytes", "Memory in the cache.",
        "virNodeGetMemoryStats cached",
    ),
    FleetMetric(
        "host", "libvirt_host_memory_used_bytes", "gauge",
        "Memory that is neither free nor only a cache.", "total - free - buffers - cached",
        host_memory_used_bytes, measured=True,
    ),
    _measured(
        "host", "libvirt_host_domains_running", "running_domains", "Domains that run.", "counted",
    ),
    _measured(
        "host", "libvirt_host_domains_defined", "defined_domains",
        "Domains that have a definition, running or not.", "counted",
    ),
    _measured(
        "host", "libvirt_host_assigned_virtual_cpus", "assigned_vcpus",
        "Virtual CPUs of the domains that run.", "summed",
    ),
    _measured(
        "host", "libvirt_host_assigned_memory_bytes", "assigned_memory_bytes",
        "Memory of the domains that run.", "summed",
    ),
)  # fmt: skip

DOMAIN = (
    FleetMetric(
        "domain", "libvirt_domain_info_meta", "gauge", "What the domain is; always 1.", "its XML",
        _is_there, _domain_is,
    ),
    FleetMetric(
        "domain", "libvirt_domain_info_state", "gauge",
        "The state that the domain is in, and why; always 1.", "virDomainGetState", _is_there,
        _state_and_reason,
    ),
    FleetMetric(
        "domain", "libvirt_domain_info_vstate", "gauge",
        f"The state as libvirt's number: "
        f"{', '.join(f'{number} {word}' for word, number in _STATE_NUMBERS.items())}.",
        "virDomainGetState", lambda seen: _STATE_NUMBERS.get(seen.fact.state),
    ),
    _fact(
        "domain", "libvirt_domain_info_virtual_cpus", "vcpus", "Virtual CPUs.",
        "virDomainGetInfo nrVirtCpu",
    ),
    _fact(
        "domain", "libvirt_domain_info_maximum_memory_bytes", "max_memory_bytes",
        "The most memory that it may have.", "virDomainGetInfo maxMem",
    ),
    _fact(
        "domain", "libvirt_domain_info_memory_usage_bytes", "memory_bytes",
        "Memory that it is given.", "virDomainGetInfo memory",
    ),
    _measured(
        "domain", "libvirt_domain_info_cpu_time_seconds", "cpu_time_ns", "CPU time used.",
        "cpu.time", _S,
    ),
    _measured(
        "domain", "libvirt_domain_memory_stats_actual_balloon_bytes", "memory_bytes",
        "Memory that its balloon leaves it.", "balloon.current",
    ),
    _measured(
        "domain", "libvirt_domain_memory_stats_usable_bytes", "memory_usable_bytes",
        "Memory that the guest could use without swapping.", "balloon.usable",
    ),
    _measured(
        "domain", "libvirt_domain_memory_stats_unused_bytes", "memory_unused_bytes",
        "Memory that the guest leaves unused.", "balloon.unused",
    ),
    _measured(
        "domain", "libvirt_domain_memory_stats_rss_bytes", "memory_rss_bytes",
        "Memory of the host that QEMU holds.", "balloon.rss",
    ),
    FleetMetric(
        "domain", "libvirt_domain_memory_stats_used_bytes", "gauge",
        "Memory that the guest uses, as its balloon tells, else as QEMU holds.",
        "balloon.current - balloon.usable, else balloon.unused; else balloon.rss",
        domain_memory_used_bytes, measured=True,
    ),
    *(
        _measured(
            "domain", f"libvirt_domain_block_stats_{name}", f"disk_{series}", help_,
            f"block.<n>.{source}",
        )
        for name, series, help_, source in (
            ("read_bytes", "read_bytes", "Bytes read from a disk.", "rd.bytes"),
            ("read_requests", "read_requests", "Reads from a disk.", "rd.reqs"),
            ("write_bytes", "write_bytes", "Bytes written to a disk.", "wr.bytes"),
            ("write_requests", "write_requests", "Writes to a disk.", "wr.reqs"),
        )
    ),
    *(
        _measured(
            "domain", f"libvirt_domain_interface_stats_{way}_{what}", f"net_{short}_{series}",
            f"{words} {way_words} by a NIC.", f"net.<n>.{short}.{source}",
        )
        for way, short, way_words in (
            ("receive", "rx", "received"), ("transmit", "tx", "sent"),
        )
        for what, series, words, source in (
            ("bytes", "bytes", "Bytes", "bytes"),
            ("packets", "packets", "Packets", "pkts"),
            ("errors", "errors", "Errors in packets", "errs"),
            ("drops", "drops", "Packets dropped that were to be", "drop"),
        )
    ),
)  # fmt: skip

POOL = (
    FleetMetric(
        "pool", "libvirt_pool_info_state", "gauge", "The state that the pool is in; always 1.",
        "virStoragePoolGetInfo state", _is_there, _state,
    ),
    _measured(
        "pool", "libvirt_pool_info_capacity_bytes", "capacity_bytes", "Size.",
        "virStoragePoolGetInfo capacity",
    ),
    _measured(
        "pool", "libvirt_pool_info_allocation_bytes", "allocation_bytes", "What is taken of it.",
        "virStoragePoolGetInfo allocation",
    ),
    _measured(
        "pool", "libvirt_pool_info_available_bytes", "available_bytes", "What is left of it.",
        "virStoragePoolGetInfo available",
    ),
    _measured(
        "pool", "libvirt_pool_info_volumes_capacity_bytes", "volumes_capacity_bytes",
        "What its volumes may grow to together.", "virStorageVolGetInfo capacity, summed",
    ),
    _measured(
        "pool", "libvirt_pool_info_volumes", "volume_count", "Volumes in it.", "counted",
    ),
)  # fmt: skip

NETWORK = (
    FleetMetric(
        "network", "libvirt_network_info_state", "gauge",
        "Whether the network is active or inactive; always 1.", "virNetworkIsActive", _is_there,
        _state,
    ),
)  # fmt: skip

FLEET_METRICS: tuple[FleetMetric, ...] = (UP, *HOST, *DOMAIN, *POOL, *NETWORK)
