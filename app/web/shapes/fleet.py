"""The shapes of hosts and of what is on them, of lists of them, and of the overview.

Objects have `…Values`, which are null while their host does not answer and then stand under
`last`, with the time at which they were seen.
"""

from typing import Annotated, Any, TypedDict

from msgspec import Meta

from app.inventory import (
    DOMAIN_STATES,
    NETWORK_STATES,
    POOL_STATES,
    DhcpRange,
    Disk,
    Graphics,
    Guest,
    Missing,
    Nic,
    NumaCell,
    SysinfoSection,
)
from app.web.shapes.common import Page, Scans, Shape, Share, Time

DomainState = Annotated[str, Meta(extra_json_schema={"enum": list(DOMAIN_STATES)})]
PoolState = Annotated[str, Meta(extra_json_schema={"enum": list(POOL_STATES)})]
NetworkState = Annotated[str, Meta(extra_json_schema={"enum": list(NETWORK_STATES)})]
Condition = Annotated[
    str, Meta(extra_json_schema={"enum": ["ok", "partial", "unknown", "waiting", "disabled"]})
]


# --- domains -------------------------------------------------------------------------------------


class Snapshot(Shape):
    """A snapshot that libvirt keeps of a VM."""

    name: str
    parent: str | None
    created_at: Time | None
    state: str | None
    description: str | None
    current: bool
    memory: bool | None


class _DomainNames(Shape):
    host: str
    uuid: str
    name: str
    url: str


class _DomainValues(Shape):
    id: int | None
    state: DomainState | None
    state_reason: str | None
    active: bool | None
    title: str | None
    description: str | None
    memory_bytes: int | None
    max_memory_bytes: int | None
    memory_used_bytes: int | None
    vcpus: int | None
    max_vcpus: int | None
    cpu_seconds: float | None
    cpu: Share | None
    disk_read_bytes_per_second: float | None
    disk_write_bytes_per_second: float | None
    net_rx_bytes_per_second: float | None
    net_tx_bytes_per_second: float | None
    persistent: bool | None
    autostart: bool | None
    managed_save: bool | None
    has_snapshot: bool | None
    has_checkpoint: bool | None
    snapshots: list[Snapshot] | None
    nvram: bool | None
    shutdown_asked_at: Time | None
    type: str | None
    os_type: str | None
    architecture: str | None
    machine: str | None
    firmware: str | None
    cpu_mode: str | None
    graphics: list[Graphics] | None
    disks: list[Disk] | None
    nics: list[Nic] | None
    addresses: list[str] | None
    agent: str | None
    guest: Guest | None
    changed_at: Time | None
    damaged: str | None


class DomainLast(_DomainValues):
    """What was last seen of a VM whose host does not answer."""

    at: Time


class Domain(_DomainNames, _DomainValues):
    """A VM."""

    unknown_since: Time | None
    last: DomainLast | None


class DomainPage(Page):
    """VMs; `counts` by state and flag, each of what the other filters leave."""

    items: list[Domain]


class _Xml(Shape):
    live_xml: str | None
    inactive_xml: str | None


class DomainAloneLast(DomainLast, _Xml):
    """What was last seen of a VM, with its XML."""


class DomainAlone(_DomainNames, _DomainValues, _Xml, Scans):
    """A VM with its XML, which is for operators: null for viewers."""

    unknown_since: Time | None
    last: DomainAloneLast | None


class SnapshotList(Scans):
    """The snapshots of a VM; null where they could not be read, or its host does not answer."""

    items: list[Snapshot] | None
    total: int | None
    page: int
    counts: dict[str, int]


# What is said of a disk or of a NIC; the word is Python's own.
_Definition = TypedDict("_Definition", {"is": dict[str, Any] | None})


class Device(Scans, _Definition):
    """A disk or a NIC of a VM as it is defined, under `is`; null where its host does not answer."""

    host: str
    uuid: str
    name: str
    unknown_since: Time | None
    device: str
    kind: Annotated[str, Meta(extra_json_schema={"enum": ["disk", "nic"]})]


# --- storage -------------------------------------------------------------------------------------


class _PoolNames(Shape):
    host: str
    uuid: str
    name: str
    url: str


class _PoolValues(Shape):
    state: PoolState | None
    autostart: bool | None
    persistent: bool | None
    type: str | None
    target: str | None
    source: str | None
    capacity_bytes: int | None
    allocation_bytes: int | None
    available_bytes: int | None
    volumes_capacity_bytes: int | None
    volume_count: int | None
    refreshed_at: Time | None
    damaged: str | None


class PoolLast(_PoolValues):
    """What was last seen of a pool whose host does not answer."""

    at: Time


class Pool(_PoolNames, _PoolValues):
    """A storage pool; its sizes are null while it is not active."""

    unknown_since: Time | None
    last: PoolLast | None


class ForetoldPool(Pool):
    """A storage pool, and when it is likely full: null where that is not within what is foretold,
    and where nothing is; then `refusal` says why, unless its host does not answer.
    """

    full_at: Time | None
    refusal: Annotated[
        str | None,
        Meta(
            extra_json_schema={
                "enum": ["no-history", "too-short", "not-seen-lately", "too-wild", None]
            }
        ),
    ]


class PoolPage(Page):
    """Storage pools; `counts` by state."""

    items: list[ForetoldPool]


class VolumeUser(Shape):
    """A VM that uses a volume, and as which disk."""

    uuid: str
    name: str
    target: str


class _VolumeValues(Shape):
    path: str | None
    type: str | None
    format: str | None
    capacity_bytes: int | None
    allocation_bytes: int | None
    backing_path: str | None
    used_by: list[VolumeUser] | None
    # How many volumes have this one as their backing file.
    backing_file_of: int | None
    damaged: str | None


class VolumeLast(_VolumeValues):
    """What was last seen of a volume whose host does not answer."""

    at: Time


class Volume(_VolumeValues):
    """A storage volume; `id` is npvirt's own."""

    id: int
    host: str
    pool_uuid: str
    pool: str | None
    name: str
    url: str
    unknown_since: Time | None
    last: VolumeLast | None


class VolumePage(Page):
    """Storage volumes."""

    items: list[Volume]


class VolumeAlone(Volume, Scans):
    """A storage volume on its own."""


class PoolAlone(ForetoldPool, Scans):
    """A storage pool with its volumes."""

    volumes: list[Volume]


# --- networks ------------------------------------------------------------------------------------


class Lease(Shape):
    """A DHCP lease of a network."""

    mac: str | None
    address: str | None
    hostname: str | None
    expires_at: Time | None


class _NetworkValues(Shape):
    state: NetworkState | None
    autostart: bool | None
    persistent: bool | None
    bridge: str | None
    forward: str | None
    domain_name: str | None
    addresses: list[str] | None
    dhcp: list[DhcpRange] | None
    # null where the driver cannot tell
    leases: list[Lease] | None
    damaged: str | None


class NetworkLast(_NetworkValues):
    """What was last seen of a network whose host does not answer."""

    at: Time


class Network(_NetworkValues):
    """A libvirt network."""

    host: str
    uuid: str
    name: str
    url: str
    unknown_since: Time | None
    last: NetworkLast | None


class NetworkPage(Page):
    """libvirt's networks; `counts` by state."""

    items: list[Network]


class NetworkAlone(Network, Scans):
    """A libvirt network on its own."""


class _InterfaceValues(Shape):
    state: NetworkState | None
    mac: str | None
    type: str | None
    mtu: int | None
    addresses: list[str] | None
    ports: list[str] | None
    damaged: str | None


class InterfaceLast(_InterfaceValues):
    """What was last seen of an interface whose host does not answer."""

    at: Time


class Interface(_InterfaceValues):
    """One of a host's own network interfaces."""

    host: str
    name: str
    url: str
    unknown_since: Time | None
    last: InterfaceLast | None


class InterfacePage(Page):
    """The hosts' own network interfaces."""

    items: list[Interface]


# --- hosts ---------------------------------------------------------------------------------------


class _HostValues(Shape):
    state: str | None
    uri: str | None
    uuid: str | None
    hostname: str | None
    hypervisor: str | None
    hypervisor_version: str | None
    libvirt_version: str | None
    memory_bytes: int | None
    cpus: int | None
    cpus_online: int | None
    architecture: str | None
    processor: str | None
    frequency_mhz: int | None
    numa_nodes: int | None
    sockets_per_node: int | None
    cores_per_socket: int | None
    threads_per_core: int | None
    max_vcpus: int | None
    encrypted: bool | None
    cpu: Share | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    memory_free_bytes: int | None
    memory_buffers_bytes: int | None
    memory_cached_bytes: int | None
    assigned_vcpus: int | None
    assigned_memory_bytes: int | None
    running_domains: int | None
    domains: int | None


class HostLast(_HostValues):
    """What was last seen of a host that does not answer."""

    at: Time


class _HostNames(Shape):
    host: str
    name: str
    enabled: bool | None
    condition: Condition
    transport: str | None
    read_only: bool | None
    url: str
    scanned_at: Time | None
    tried_at: Time | None
    next_scan_at: Time | None
    took_ms: int | None
    failures: int | None
    problem: str | None
    sentence: str | None
    missing: list[Missing]


class Host(_HostNames, _HostValues):
    """A host. How it is reached is known of the present alone: null in the past."""

    unknown_since: Time | None
    last: HostLast | None


class HostPage(Page):
    """Hosts; `counts` by `condition`."""

    items: list[Host]


class _HostDetails(Shape):
    cpu_map: list[bool] | None
    numa: list[NumaCell] | None
    sysinfo: list[SysinfoSection] | None
    pool_types: list[str] | None
    # Why parts of the facts are absent, by part.
    not_available: dict[str, str] | None


class HostAloneLast(HostLast, _HostDetails):
    """What was last seen of a host, with its hardware."""


class HostAlone(_HostNames, _HostValues, _HostDetails, Scans):
    """A host with its CPU map, NUMA cells and SMBIOS tables."""

    unknown_since: Time | None
    last: HostAloneLast | None


# --- overview ------------------------------------------------------------------------------------


class Matter(Shape):
    """Something that somebody should look at."""

    kind: str
    grade: str
    subject: str
    text: str
    url: str
    since: Time | None


class HostMatter(Matter):
    """Something that somebody should look at, and on which host."""

    host: str


class MatterPage(Page):
    """What needs attention, the worst first; `counts` by kind."""

    items: list[HostMatter]


class HostTotals(Shape):
    """How many hosts there are, and how they stand."""

    total: int
    answering: int
    partial: int
    unknown: int
    waiting: int
    disabled: int


class DomainTotals(Shape):
    """How many VMs there are, by state and flag."""

    total: int
    counts: dict[str, int]


class PoolTotals(Shape):
    """The sizes of all pools that are measured."""

    total: int
    measured: int
    capacity_bytes: int | None
    allocation_bytes: int | None
    available_bytes: int | None
    volumes_capacity_bytes: int | None


class Overview(Scans):
    """The totals of the fleet; what does not answer is in no total."""

    # Whether all of it is made up.
    demo: bool
    hosts: HostTotals
    domains: DomainTotals
    cpu: Share | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    pools: PoolTotals
    attention: list[Matter]
    attention_total: int
