"""What the made-up hosts tell of themselves: processors, memory, firmware, versions. Pure."""

from app.demo.catalog import GIB, Site
from app.demo.plan import number, uuid_of
from app.inventory import Host, Interface, NumaCell, SysinfoSection

LIBVIRT = ("9.0.0", "9.10.0", "10.0.0", "10.4.0")
QEMU = {"9.0.0": "7.2.9", "9.10.0": "8.1.3", "10.0.0": "8.2.2", "10.4.0": "9.0.1"}
_POOL_TYPES = ("dir", "disk", "fs", "iscsi", "logical", "netfs", "rbd", "zfs")
_MODULE_GIB = 32


def host_facts(site: Site, seed: int, libvirt: str, memory_gib: int) -> Host:
    """The host as its libvirt of that version tells it."""
    nodes = site.sockets
    per_node = site.threads // nodes
    encrypted = site.connection.transport in ("ssh", "tls")
    return Host(
        uri=_uri(site), uuid=uuid_of(seed, "host", site.slug), hostname=f"{site.slug}.demo.example",
        hypervisor="QEMU", hypervisor_version=QEMU[libvirt], libvirt_version=libvirt,
        memory_bytes=memory_gib * GIB - 600 * (1 << 20), cpus=site.threads,
        cpus_online=site.threads, cpu_map=(True,) * site.threads, architecture="x86_64",
        processor=site.processor, frequency_mhz=2000 if "2.00" in site.processor else 2850,
        numa_nodes=nodes, sockets_per_node=1, cores_per_socket=site.cores, threads_per_core=2,
        max_vcpus=4096,
        numa=tuple(
            NumaCell(
                node, memory_gib * GIB // nodes,
                tuple(range(node * per_node, (node + 1) * per_node)),
                tuple(10 if other == node else 21 for other in range(nodes)),
            )
            for node in range(nodes)
        ),
        encrypted=encrypted, pool_types=_POOL_TYPES, sysinfo=_sysinfo(site, seed, memory_gib),
    )  # fmt: skip


def _uri(site: Site) -> str:
    connection = site.connection
    if connection.transport == "unix":
        return f"qemu:///system?socket={connection.socket}"
    user = f"{connection.user}@" if connection.user else ""
    return f"qemu+{connection.transport}://{user}{connection.host}/system"


def _sysinfo(site: Site, seed: int, memory_gib: int) -> tuple[SysinfoSection, ...]:
    serial = f"DEMO{number(seed, 'serial', site.slug) % 10**8:08d}"
    maker = "Made-up Machines"
    model = "MM-220 G4" if site.sockets == 2 else "MM-110 S"
    sections = [
        SysinfoSection("bios", (("vendor", maker), ("version", "2.14.1"), ("date", "03/18/2025"))),
        SysinfoSection("system", (("manufacturer", maker), ("product", model), ("serial", serial))),
        SysinfoSection("baseBoard", (("manufacturer", maker), ("product", f"{model} board"))),
        SysinfoSection("chassis", (("manufacturer", maker), ("serial", serial))),
    ]
    sections += [
        SysinfoSection(
            "processor",
            (("socket_destination", f"CPU{socket + 1}"), ("version", site.processor),
             ("status", "Populated, Enabled"), ("max_speed", "4000 MHz")),
        )
        for socket in range(site.sockets)
    ]  # fmt: skip
    modules = max(1, memory_gib // _MODULE_GIB)
    for slot in range(max(modules, 8 * site.sockets)):
        size = f"{min(_MODULE_GIB, memory_gib)} GB" if slot < modules else "No Module Installed"
        entries = [("locator", f"DIMM_{chr(65 + slot % 16)}{slot // 16 + 1}"), ("size", size)]
        if slot < modules:
            entries += [("type", "DDR4"), ("speed", "3200 MT/s"), ("manufacturer", maker)]
        sections.append(SysinfoSection("memory_device", tuple(entries)))
    return tuple(sections)


def interfaces(site: Site, seed: int) -> dict[str, Interface]:
    """A bridge with its port, and a port that is spare."""
    value = number(seed, "interface", site.slug)
    mac = f"3c:ec:ef:{value & 255:02x}:{value >> 8 & 255:02x}:"
    bridge = "br20" if site.bridge != "lab" else "br30"
    found = (
        Interface(bridge, "active", f"{mac}10", "bridge", 1500,
                  (f"10.20.0.{value % 200 + 11}/20",), ("eno1",)),
        Interface("eno1", "active", f"{mac}10", "ethernet", 1500, ()),
        Interface("eno2", "inactive", f"{mac}11", "ethernet", 1500, ()),
    )  # fmt: skip
    return {interface.name: interface for interface in found}
