"""What npvirt knows of a host, as immutable values, and the declared kinds and metrics.

Imports nothing of ours. `app/virt` makes these values, `app/store` keeps them, `app/web` shows
them. A *fact* (Host, Domain, Pool, ...) changes rarely and becomes a revision; a *sample* holds
what is measured at every scan. Unknown is None, never 0.

msgspec structs instead of dataclasses: they compare, encode and decode in C, which is what keeps
a tick of a thousand unchanged domains and the page of three hundred cheap. They hold nothing that
could refer back to them, so the garbage collector is spared them (gc=False).
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

# --- words ---------------------------------------------------------------------------------

DOMAIN_STATES = (
    "nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended",
)  # fmt: skip
POOL_STATES = ("inactive", "building", "running", "degraded", "inaccessible")
NETWORK_STATES = ("active", "inactive")

# libvirt's fourteen list flags and its two for checkpoints, by group: OR within, AND between.
FLAG_GROUPS: Mapping[str, tuple[str, ...]] = {
    "activity": ("active", "inactive"),
    "state": ("running", "paused", "shutoff", "other"),
    "kept": ("persistent", "transient"),
    "managed-save": ("managed-save", "no-managed-save"),
    "autostart": ("autostart", "no-autostart"),
    "snapshot": ("snapshot", "no-snapshot"),
    "checkpoint": ("checkpoint", "no-checkpoint"),
}

# --- host ----------------------------------------------------------------------------------


class NumaCell(Struct, frozen=True, gc=False):
    """One NUMA cell: its CPUs by number and its distances to every cell, in cell order."""

    id: int
    memory_bytes: int | None
    cpus: tuple[int, ...]
    distances: tuple[int, ...] = ()


class SysinfoSection(Struct, frozen=True, gc=False):
    """One SMBIOS table as libvirt names it (bios, system, baseBoard, chassis, processor,
    memory_device, oemStrings) with its entries in order.
    """

    kind: str
    entries: tuple[tuple[str, str], ...]


class Host(Struct, frozen=True, gc=False):
    """A host's facts. `uri` is for display. Versions are decoded ("9.0.0")."""

    uri: str
    uuid: str | None = None
    hostname: str | None = None
    hypervisor: str | None = None
    hypervisor_version: str | None = None
    libvirt_version: str | None = None
    memory_bytes: int | None = None
    cpus: int | None = None
    cpus_online: int | None = None
    cpu_map: tuple[bool, ...] | None = None
    architecture: str | None = None
    processor: str | None = None
    frequency_mhz: int | None = None
    numa_nodes: int | None = None
    sockets_per_node: int | None = None
    cores_per_socket: int | None = None
    threads_per_core: int | None = None
    max_vcpus: int | None = None
    numa: tuple[NumaCell, ...] = ()
    encrypted: bool | None = None
    # The types of storage pools that its libvirt knows.
    pool_types: tuple[str, ...] | None = None
    sysinfo: tuple[SysinfoSection, ...] | None = None
    # Why parts of the facts are absent, by part ("sysinfo": "this host has no SMBIOS").
    not_available: tuple[tuple[str, str], ...] = ()


class HostSample(Struct, frozen=True, gc=False):
    """Counters in nanoseconds since the host's boot, memory in bytes, at one scan."""

    cpu_user_ns: int | None = None
    cpu_system_ns: int | None = None
    cpu_iowait_ns: int | None = None
    cpu_idle_ns: int | None = None
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    memory_buffers_bytes: int | None = None
    memory_cached_bytes: int | None = None
    running_domains: int | None = None
    defined_domains: int | None = None
    assigned_vcpus: int | None = None
    assigned_memory_bytes: int | None = None


# --- domain --------------------------------------------------------------------------------


class Disk(Struct, frozen=True, gc=False):
    """A disk of a domain. `source` is a path, device or URL-like text for show; `pool` and
    `volume` are names, known where a pool of the same host holds the source.
    """

    target: str
    device: str = "disk"
    bus: str | None = None
    source_type: str | None = None
    source: str | None = None
    format: str | None = None
    pool: str | None = None
    volume: str | None = None
    read_only: bool = False
    backing: tuple[str, ...] = ()


class Nic(Struct, frozen=True, gc=False):
    """A network interface of a domain; `source` is the network, bridge or device it is on."""

    mac: str
    type: str
    source: str | None = None
    model: str | None = None
    target: str | None = None


class Graphics(Struct, frozen=True, gc=False):
    """A graphics server; `port` is None while the domain is not running."""

    type: str
    port: int | None = None
    tls_port: int | None = None
    listen: str | None = None


class GuestAddress(Struct, frozen=True, gc=False):
    """What the guest agent says of one interface; addresses are text with prefix length."""

    name: str
    mac: str | None
    addresses: tuple[str, ...]


class Guest(Struct, frozen=True, gc=False):
    """What the guest agent told, last time that it answered."""

    hostname: str | None = None
    os: str | None = None
    addresses: tuple[GuestAddress, ...] = ()


class Snapshot(Struct, frozen=True, gc=False):
    """A snapshot that libvirt keeps of a domain; `state` is the domain's at that time, `memory`
    whether its memory is part of it. (What npvirt's schedule takes is a scan.)
    """

    name: str
    parent: str | None = None
    created_at_ms: int | None = None
    state: str | None = None
    description: str | None = None
    current: bool = False
    memory: bool | None = None


class Domain(Struct, frozen=True, gc=False):
    """A domain's facts. `id` is None while inactive. `memory_bytes` is the memory that the
    definition gives it now, `max_memory_bytes` the most it may have.
    """

    uuid: str
    name: str
    state: str
    state_reason: str | None = None
    id: int | None = None
    title: str | None = None
    description: str | None = None
    persistent: bool | None = None
    autostart: bool | None = None
    managed_save: bool | None = None
    has_snapshot: bool | None = None
    has_checkpoint: bool | None = None
    # None where they could not be read.
    snapshots: tuple[Snapshot, ...] | None = ()
    # Whether it has firmware variables of its own, which undefine may delete.
    nvram: bool | None = None
    memory_bytes: int | None = None
    max_memory_bytes: int | None = None
    vcpus: int | None = None
    max_vcpus: int | None = None
    type: str | None = None
    os_type: str | None = None
    architecture: str | None = None
    machine: str | None = None
    firmware: str | None = None
    cpu_mode: str | None = None
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    graphics: tuple[Graphics, ...] = ()
    # "connected", "disconnected", or None where no agent channel is defined
    agent: str | None = None
    guest: Guest | None = None
    # Why this one is not read whole (bad UTF-8 in its name, XML over the cap, ...).
    damaged: str | None = None


class DomainSample(Struct, frozen=True, gc=False):
    """Counters since the domain's start and gauges, at one scan; only for active domains."""

    cpu_time_ns: int | None = None
    memory_bytes: int | None = None
    memory_usable_bytes: int | None = None
    memory_unused_bytes: int | None = None
    memory_rss_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    disk_read_requests: int | None = None
    disk_write_requests: int | None = None
    net_rx_bytes: int | None = None
    net_tx_bytes: int | None = None
    net_rx_packets: int | None = None
    net_tx_packets: int | None = None
    net_rx_drops: int | None = None
    net_tx_drops: int | None = None
    net_rx_errors: int | None = None
    net_tx_errors: int | None = None


# Whose statistics tell what a device did: its own; those of its whole domain, because no other
# device of its sort has done anything since the domain was started; or nobody's: it did nothing.
Share = Literal["own", "whole", "nothing"]


class Device(Struct, frozen=True, gc=False):
    """A disk or a NIC of a running domain that has several; `name` is "disk:vda" or "nic:" and a
    MAC address, `run` the domain's id, which is another one each time that it is started.
    """

    domain_uuid: str
    name: str
    share: Share
    run: int | None = None


class DeviceSample(Struct, frozen=True, gc=False):
    """What one disk or NIC counted, spelled as of the whole domain."""

    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    disk_read_requests: int | None = None
    disk_write_requests: int | None = None
    net_rx_bytes: int | None = None
    net_tx_bytes: int | None = None
    net_rx_packets: int | None = None
    net_tx_packets: int | None = None
    net_rx_drops: int | None = None
    net_tx_drops: int | None = None
    net_rx_errors: int | None = None
    net_tx_errors: int | None = None


def device_names(domain: Domain) -> tuple[str, ...]:
    """The names of a domain's disks and NICs, as addresses have them."""
    disks = (f"disk:{disk.target}" for disk in domain.disks)
    return (*disks, *(f"nic:{nic.mac}" for nic in domain.nics))


class Definition(Struct, frozen=True, gc=False):
    """A domain's XML as libvirt gives it without secrets; `live_xml` is None while inactive,
    `inactive_xml` None for a transient domain.
    """

    live_xml: str | None = None
    inactive_xml: str | None = None


# --- storage -------------------------------------------------------------------------------


class Pool(Struct, frozen=True, gc=False):
    """A storage pool's facts."""

    uuid: str
    name: str
    state: str
    autostart: bool | None = None
    persistent: bool | None = None
    type: str | None = None
    target: str | None = None
    source: str | None = None
    damaged: str | None = None


class PoolSample(Struct, frozen=True, gc=False):
    """Sizes of an active pool; `refreshed_at_ms` is when libvirt last looked at the disk on
    npvirt's request (None: not since npvirt started).
    """

    capacity_bytes: int | None = None
    allocation_bytes: int | None = None
    available_bytes: int | None = None
    volumes_capacity_bytes: int | None = None
    volume_count: int | None = None
    refreshed_at_ms: int | None = None


class Volume(Struct, frozen=True, gc=False):
    """A volume's facts; its key in the store is (pool UUID, name)."""

    pool_uuid: str
    name: str
    path: str | None = None
    type: str | None = None
    format: str | None = None
    capacity_bytes: int | None = None
    backing_path: str | None = None
    damaged: str | None = None


class VolumeSample(Struct, frozen=True, gc=False):
    """What a volume holds on disk."""

    allocation_bytes: int | None = None


# --- networks ------------------------------------------------------------------------------


class DhcpRange(Struct, frozen=True, gc=False):
    """First and last address that the network's DHCP server gives out."""

    start: str
    end: str


class Lease(Struct, frozen=True, gc=False):
    """A DHCP lease of a network; `expires_at_ms` is wall-clock time of the host."""

    mac: str | None
    address: str | None
    hostname: str | None = None
    expires_at_ms: int | None = None


class Network(Struct, frozen=True, gc=False):
    """A libvirt network's facts; `forward` is libvirt's mode ("nat", "route", ...), None when
    isolated. `leases` is None where the driver cannot tell.
    """

    uuid: str
    name: str
    state: str
    autostart: bool | None = None
    persistent: bool | None = None
    bridge: str | None = None
    forward: str | None = None
    domain_name: str | None = None
    addresses: tuple[str, ...] = ()
    dhcp: tuple[DhcpRange, ...] = ()
    leases: tuple[Lease, ...] | None = None
    damaged: str | None = None


class Interface(Struct, frozen=True, gc=False):
    """A network interface of the host itself, without the bridges of libvirt's networks.
    `addresses` is None where the host does not tell them (libvirt's udev backend does not).
    """

    name: str
    state: str
    mac: str | None = None
    type: str | None = None
    mtu: int | None = None
    addresses: tuple[str, ...] | None = None
    ports: tuple[str, ...] = ()
    damaged: str | None = None


# --- kinds and metrics ---------------------------------------------------------------------

KindName = Literal[
    "host", "domain", "definition", "pool", "volume", "network", "interface", "device"
]
Fact = Host | Domain | Definition | Pool | Volume | Network | Interface | Device
Sample = HostSample | DomainSample | PoolSample | VolumeSample | DeviceSample


class Kind(Struct, frozen=True, gc=False):
    """One kind of thing that npvirt keeps: its word, its facts and, if measured, its samples."""

    name: KindName
    plural: str
    fact: type[Fact]
    sample: type[Sample] | None = None


KINDS: tuple[Kind, ...] = (
    Kind("host", "hosts", Host, HostSample),
    Kind("domain", "domains", Domain, DomainSample),
    Kind("definition", "definitions", Definition),
    Kind("pool", "pools", Pool, PoolSample),
    Kind("volume", "volumes", Volume, VolumeSample),
    Kind("network", "networks", Network),
    Kind("interface", "interfaces", Interface),
    Kind("device", "devices", Device, DeviceSample),
)
KIND_BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}


# --- a scan --------------------------------------------------------------------------------


class Missing(Struct, frozen=True, gc=False):
    """A part of a scan that could not be read, and why, in a sentence."""

    part: str
    reason: str


class Scan(Struct, frozen=True, gc=False):
    """One look at one host.

    `ok` False: the host did not answer; `problem` and `sentence` say why, and no other part is
    set. A list that is None was not read, so nothing of that kind is closed; a list that is
    there is complete, and what is absent from it is gone. `volumes` is complete for each pool
    that is a key in it. `definitions` holds only those read anew. `volume_samples` may be
    partial; `volumes_measured` says that every listed volume was measured in this scan.
    `domain_samples` is complete for the active domains, or None. `devices` are those of domains
    with several of a sort, by domain and name; `device_samples` has those that count on their own.
    """

    at_ms: int
    took_ms: int
    ok: bool
    problem: str | None = None
    sentence: str | None = None
    detail: str | None = None
    missing: tuple[Missing, ...] = ()
    rpc_count: int | None = None
    clock_stepped: bool = False
    # When the next look is planned, as a wall-clock label; None when nothing is planned.
    next_at_ms: int | None = None
    host: Host | None = None
    host_sample: HostSample | None = None
    domains: Mapping[str, Domain] | None = None
    domain_samples: Mapping[str, DomainSample] | None = None
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    pools: Mapping[str, Pool] | None = None
    pool_samples: Mapping[str, PoolSample] | None = None
    volumes: Mapping[str, Mapping[str, Volume]] = field(default_factory=dict)
    volume_samples: Mapping[tuple[str, str], VolumeSample] = field(default_factory=dict)
    volumes_measured: bool = False
    networks: Mapping[str, Network] | None = None
    interfaces: Mapping[str, Interface] | None = None
    devices: Mapping[str, Device] | None = None
    device_samples: Mapping[str, DeviceSample] | None = None


# --- what libvirt tells by itself ----------------------------------------------------------

# What of an object changed, as far as its event says; "asked": no event does, somebody asks.
What = Literal[
    "state", "definition", "devices", "memory", "metadata", "agent", "contents", "value", "asked"
]
ToldKind = Literal["domain", "pool", "network", "secret", "node-device"]


class Told(Struct, frozen=True, gc=False):
    """One of libvirt's events: that `what` changed of an object. `key` is a UUID, a node device's
    its name; `at_ms` when it arrived, by the wall clock, and `at_s` by the monotonic one.
    """

    kind: ToldKind
    key: str
    what: What
    at_ms: int
    at_s: float


class PartialLook(Struct, frozen=True, gc=False):
    """A look at some objects of a host between its scans, because of what libvirt told.

    Each map has the objects that were asked for and answered; None: libvirt says that it is gone.
    `definitions` are those of the domains, `volumes` complete for each pool that is a key in it.
    `told` says of each object what the events told. Nothing is measured.
    """

    at_ms: int
    took_ms: int
    told: Mapping[tuple[str, str], frozenset[What]]
    domains: Mapping[str, Domain | None] = field(default_factory=dict)
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    pools: Mapping[str, Pool | None] = field(default_factory=dict)
    volumes: Mapping[str, Mapping[str, Volume]] = field(default_factory=dict)
    networks: Mapping[str, Network | None] = field(default_factory=dict)
    # What could not be read now, so that a scan must.
    unread: frozenset[tuple[str, str]] = frozenset()
