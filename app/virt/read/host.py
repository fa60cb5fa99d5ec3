"""A host's own facts and counters.

Owns which calls tell them and what their absence means: a driver or machine that lacks one leaves
that part "not available" with the reason, never an error and never 0.
"""

from collections.abc import Callable, Mapping
from typing import Any

from app.errors import VirtError
from app.inventory import Host, HostSample
from app.virt.read.look import Look
from app.virt.read.node_stats import NodeStats, cpu_stats, memory_stats
from app.virt.read.words import version
from app.virt.xml.document import XmlRefused
from app.virt.xml.host import (
    parse_capabilities,
    parse_max_vcpus,
    parse_sysinfo,
    processor_name,
)
from app.virt.xml.storage import parse_pool_types
from app.virt.xml.values import bounded, clean

# What changes only with new software, which restarts libvirt and so ends the connection, or
# with new hardware, is read once a day; what may change under a running libvirt, more often.
_DAY_S = 24 * 3600.0
_HOUR_S = 3600.0
_QUARTER_S = 15 * 60.0
_MIB = 1 << 20

Fields = Mapping[str, Any]
_NO_SMBIOS = "This host has no SMBIOS tables, or libvirt cannot read them there."


class HostReader:
    """Reads one host's facts in turn and remembers them between scans."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._absent: dict[str, str] = {}
        self._last: Host | None = None
        self._cpu = NodeStats(cpu_stats)
        self._memory = NodeStats(memory_stats)

    def facts(self, look: Look, uri: str, absent: Mapping[str, str]) -> Host:
        """The host's facts as known now; `absent` adds reasons for what other readers lack."""
        connection = look.connection
        self._read(
            look, "hostname", _HOUR_S, lambda: {"hostname": look.call(connection.getHostname)}
        )
        self._read(
            look, "hypervisor", _DAY_S, lambda: {"hypervisor": look.call(connection.getType)}
        )
        self._read(look, "hypervisor version", _HOUR_S, lambda: _hypervisor_version(look))
        self._read(look, "libvirt version", _DAY_S, lambda: _libvirt_version(look))
        self._read(look, "encryption", _DAY_S, lambda: _encrypted(look))
        self._read(look, "capabilities", _HOUR_S, lambda: _capabilities(look))
        self._read(look, "node information", _HOUR_S, lambda: _node(look))
        self._read(look, "CPU map", _QUARTER_S, lambda: _cpu_map(look))
        self._read(look, "sysinfo", _DAY_S, lambda: _sysinfo(look))
        self._read(look, "maximum vCPUs", _DAY_S, lambda: self._max_vcpus(look))
        self._read(look, "pool types", _DAY_S, lambda: _pool_types(look))
        host = self._build(uri, absent)
        if host != self._last:
            self._last = host
        return self._last or host

    def sample(self, look: Look) -> HostSample:
        """The host's CPU and memory counters; what the driver lacks is None."""
        cpu = look.attempt("host CPU", lambda: self._cpu.read(look), {})
        memory = look.attempt("host memory", lambda: self._memory_bytes(look), {})
        return HostSample(
            cpu_user_ns=look.bounded("host CPU", cpu.get("user")),
            cpu_system_ns=look.bounded("host CPU", cpu.get("kernel")),
            cpu_iowait_ns=look.bounded("host CPU", cpu.get("iowait")),
            cpu_idle_ns=look.bounded("host CPU", cpu.get("idle")),
            memory_total_bytes=look.bounded("host memory", memory.get("total")),
            memory_free_bytes=look.bounded("host memory", memory.get("free")),
            memory_buffers_bytes=look.bounded("host memory", memory.get("buffers")),
            memory_cached_bytes=look.bounded("host memory", memory.get("cached")),
        )

    def _read(self, look: Look, part: str, period_s: float, read: Callable[[], Fields]) -> None:
        if not look.rotation.due(("host", part), period_s):
            return
        try:
            self._fields.update(read())
            self._absent.pop(part, None)
        except XmlRefused as refused:
            self._absent[part] = str(refused)
        except VirtError as error:
            self._lacks(look, part, error)

    def _lacks(self, look: Look, part: str, error: VirtError) -> None:
        if look.is_lost(error):
            raise error
        if part == "sysinfo" and error.failure in ("unsupported", "failed"):
            # A machine without SMBIOS is no fault of the scan; libvirt says so in either way.
            self._absent[part] = _NO_SMBIOS if error.failure == "unsupported" else error.sentence
        elif error.failure == "unsupported":
            self._absent[part] = "This host's driver cannot tell."
        else:
            look.rotation.failed(("host", part))
            look.note(f"host {part}", error.sentence)

    def _max_vcpus(self, look: Look) -> Fields:
        connection = look.connection
        types = self._fields.get("domain_types") or ()
        try:
            text = look.call(connection.getDomainCapabilities, None, None, None, None, 0)
            return {"max_vcpus": parse_max_vcpus(text)}
        except VirtError as error:
            # Read-only connections and some drivers may not ask for domain capabilities.
            if look.is_lost(error):
                raise
        kind = types[0] if types else None
        return {"max_vcpus": _positive(look.call(connection.getMaxVcpus, kind))}

    def _memory_bytes(self, look: Look) -> dict[str, int | None]:
        """Memory figures; of a driver without statistics the total is known at least.

        Not `getFreeMemory`: the drivers that would need it (libvirt's test driver) answer in
        another unit than documented.
        """
        try:
            found = self._memory.read(look)
        except VirtError as error:
            if error.failure != "unsupported":
                raise
            return {"total": self._fields.get("memory_bytes")}
        return {name: value * 1024 for name, value in found.items()}

    def _build(self, uri: str, absent: Mapping[str, str]) -> Host:
        fields = {name: value for name, value in self._fields.items() if name in _HOST_FIELDS}
        sections = fields.get("sysinfo")
        processor = processor_name(sections) if sections else None
        fields["processor"] = (
            processor or self._fields.get("cpu_model") or self._fields.get("node_model")
        )
        if fields.get("architecture") is None:
            fields["architecture"] = self._fields.get("node_model")
        reasons = {**self._absent, **absent}
        return Host(uri=uri, not_available=tuple(sorted(reasons.items())), **fields)


_HOST_FIELDS = frozenset(Host.__struct_fields__)


def _positive(value: int | None) -> int | None:
    """The value, or None for 0, which is what libvirt says where it does not know."""
    return bounded(value) if value and value > 0 else None


def _hypervisor_version(look: Look) -> Fields:
    return {"hypervisor_version": version(look.call(look.connection.getVersion))}


def _libvirt_version(look: Look) -> Fields:
    return {"libvirt_version": version(look.call(look.connection.getLibVersion))}


def _encrypted(look: Look) -> Fields:
    return {"encrypted": bool(look.call(look.connection.isEncrypted))}


def _capabilities(look: Look) -> Fields:
    found = parse_capabilities(look.call(look.connection.getCapabilities))
    return {
        "uuid": found.uuid,
        "architecture": found.architecture,
        "cpu_model": found.processor,
        "domain_types": found.domain_types,
        "numa": found.numa,
    }


def _node(look: Look) -> Fields:
    model, mib, cpus, mhz, nodes, sockets, cores, threads = look.call(look.connection.getInfo)[:8]
    return {
        "node_model": clean(model) or None,
        "memory_bytes": _positive(mib * _MIB),
        "cpus": _positive(cpus),
        "frequency_mhz": _positive(mhz),
        "numa_nodes": _positive(nodes),
        "sockets_per_node": _positive(sockets),
        "cores_per_socket": _positive(cores),
        "threads_per_core": _positive(threads),
    }


def _cpu_map(look: Look) -> Fields:
    _total, online, count = look.call(look.connection.getCPUMap)
    return {"cpu_map": tuple(bool(entry) for entry in online), "cpus_online": _positive(count)}


def _pool_types(look: Look) -> Fields:
    text = look.call(look.connection.getStoragePoolCapabilities, 0)
    return {"pool_types": parse_pool_types(text)}


def _sysinfo(look: Look) -> Fields:
    return {"sysinfo": parse_sysinfo(look.call(look.connection.getSysinfo)) or None}
