"""One made-up domain as it changes: its facts, its definition, and when it ran. Pure."""

from collections.abc import Iterator
from xml.sax.saxutils import escape

from msgspec import Struct
from msgspec.structs import replace

from app.clock import MINUTE_MS
from app.demo.catalog import GIB, Spec
from app.demo.plan import mac_of, number
from app.inventory import (
    Definition,
    Disk,
    Domain,
    Graphics,
    Guest,
    GuestAddress,
    Nic,
    Snapshot,
)

ACTIVE = frozenset(("running", "blocked", "paused", "shutdown", "pmsuspended"))


class Run(Struct):
    """A stretch in which a domain was active with the same memory and vCPUs, in minutes from
    `begin` on and before `end` (None: it goes on). `started`: the minute its counters began.
    """

    begin: int
    end: int | None
    started: int
    vcpus: int
    memory_bytes: int
    paused: bool = False


class MadeDisk(Struct):
    """A disk and the volume behind it."""

    target: str
    pool: str
    volume: str
    directory: str
    capacity_bytes: int
    made: int
    format: str = "qcow2"


class Machine:
    """A domain on one host. Whoever changes it calls `fact` afterwards."""

    def __init__(self, spec: Spec, seed: int, bridge: str) -> None:
        role = spec.role
        self.spec = spec
        self.seed = seed
        self.bridge = bridge
        self.state, self.reason = "shutoff", "unknown"
        self.id: int | None = None
        self.vcpus = role.vcpus
        self.memory_bytes = role.memory_gib * GIB
        self.max_memory_bytes = self.memory_bytes
        self.max_vcpus = role.vcpus
        self.autostart = role.life == "always" and role.load not in ("lab", "dev")
        self.disks: list[MadeDisk] = []
        self.nics = 1
        self.snapshots: tuple[Snapshot, ...] = ()
        self.managed_save = False
        self.machine = "pc-q35-7.2"
        self.cpu_mode = "host-passthrough" if number(seed, "cpu", spec.name) % 3 else "host-model"
        self.port: int | None = None
        self.media: str | None = None
        self.title = role.title or None

    @property
    def active(self) -> bool:
        """Whether libvirt has an id for it."""
        return self.state in ACTIVE

    @property
    def has_balloon(self) -> bool:
        """Whether its guest tells what it uses."""
        return self.spec.role.load not in ("edge",)

    def copy(self) -> "Machine":
        """The same domain, for another host."""
        twin = Machine(self.spec, self.seed, self.bridge)
        twin.__dict__ |= self.__dict__
        twin.disks = [replace(disk) for disk in self.disks]
        return twin

    def fact(self) -> Domain:
        """Its facts as libvirt would tell them."""
        role, spec = self.spec.role, self.spec
        return Domain(
            uuid=spec.uuid, name=spec.name, state=self.state, state_reason=self.reason, id=self.id,
            title=self.title, persistent=True, autostart=self.autostart,
            managed_save=self.managed_save, has_snapshot=bool(self.snapshots),
            has_checkpoint=False, snapshots=self.snapshots, nvram=role.os.startswith("Windows"),
            memory_bytes=self.memory_bytes, max_memory_bytes=self.max_memory_bytes,
            vcpus=self.vcpus, max_vcpus=self.max_vcpus, type="kvm", os_type="hvm",
            architecture="x86_64", machine=self.machine,
            firmware="efi" if role.os.startswith("Windows") else "bios", cpu_mode=self.cpu_mode,
            disks=tuple(self._disks()), nics=tuple(self._nics()),
            graphics=(Graphics(role.graphics, self.port, None, "127.0.0.1"),),
            agent=("connected" if self.state == "running" else "disconnected")
            if self.has_agent else None,
            guest=self._guest(),
        )  # fmt: skip

    @property
    def has_agent(self) -> bool:
        """Whether a guest agent is defined."""
        return number(self.seed, "agent", self.spec.name) % 6 > 0

    def definition(self) -> Definition:
        """Its XML, running and as it is kept."""
        kept = self._xml(None)
        return Definition(None if self.id is None else self._xml(self.id), kept)

    def _disks(self) -> Iterator[Disk]:
        for disk in self.disks:
            yield Disk(
                disk.target, bus="virtio", source_type="file",
                source=f"{disk.directory}/{disk.volume}", format=disk.format, pool=disk.pool,
                volume=disk.volume,
            )  # fmt: skip
        yield Disk("sda", device="cdrom", bus="sata", read_only=True,
                   source=self.media, source_type="file" if self.media else None)  # fmt: skip

    def _nics(self) -> Iterator[Nic]:
        for place in range(self.nics):
            target = None if self.id is None else f"vnet{self.id * 2 + place}"
            kind = "network" if self.bridge == "lab" else "bridge"
            yield Nic(self.mac(place), kind, self.bridge, "virtio", target)

    def mac(self, place: int = 0) -> str:
        """The MAC address of one of its interfaces."""
        return mac_of(self.seed, self.spec.name, place)

    def address(self) -> str:
        """The address that its guest has."""
        value = number(self.seed, "address", self.spec.name)
        return f"10.20.{value % 12 + 4}.{value // 12 % 240 + 10}"

    def _guest(self) -> Guest | None:
        if not (self.has_agent and self.state == "running"):
            return None
        found = GuestAddress("eth0", self.mac(), (f"{self.address()}/20",))
        return Guest(f"{self.spec.name}.demo.example", self.spec.role.os, (found,))

    def _xml(self, running_id: int | None) -> str:
        which = "" if running_id is None else f" id='{running_id}'"
        port = "autoport='yes'" if running_id is None else f"port='{self.port}' autoport='yes'"
        lines = [
            f"<domain type='kvm'{which}>",
            f"  <name>{escape(self.spec.name)}</name>",
            f"  <uuid>{self.spec.uuid}</uuid>",
        ]
        if self.title:
            lines.append(f"  <title>{escape(self.title)}</title>")
        lines += [
            f"  <memory unit='KiB'>{self.max_memory_bytes >> 10}</memory>",
            f"  <currentMemory unit='KiB'>{self.memory_bytes >> 10}</currentMemory>",
            f"  <vcpu placement='static' current='{self.vcpus}'>{self.max_vcpus}</vcpu>",
            "  <os>",
            f"    <type arch='x86_64' machine='{self.machine}'>hvm</type>",
            "    <boot dev='hd'/>",
            "  </os>",
            f"  <cpu mode='{self.cpu_mode}'/>",
            "  <devices>",
        ]
        for disk in self.disks:
            lines += [
                "    <disk type='file' device='disk'>",
                f"      <driver name='qemu' type='{disk.format}' discard='unmap'/>",
                f"      <source file='{disk.directory}/{disk.volume}'/>",
                f"      <target dev='{disk.target}' bus='virtio'/>",
                "    </disk>",
            ]
        lines.append("    <disk type='file' device='cdrom'>")
        if self.media:
            lines.append(f"      <source file='{self.media}'/>")
        lines += ["      <target dev='sda' bus='sata'/>", "      <readonly/>", "    </disk>"]
        for place in range(self.nics):
            kind = "network" if self.bridge == "lab" else "bridge"
            lines += [
                f"    <interface type='{kind}'>",
                f"      <mac address='{self.mac(place)}'/>",
                f"      <source {kind}='{self.bridge}'/>",
                "      <model type='virtio'/>",
                "    </interface>",
            ]
        lines += [
            f"    <graphics type='{self.spec.role.graphics}' {port} listen='127.0.0.1'/>",
            "    <memballoon model='virtio'/>",
            "  </devices>",
            "</domain>",
        ]
        return "\n".join(lines) + "\n"


def snapshot(name: str, minute: int, state: str, before: Snapshot | None) -> Snapshot:
    """A snapshot taken in a minute."""
    return Snapshot(
        name, None if before is None else before.name, minute * MINUTE_MS, state, None, True,
        state == "running",
    )  # fmt: skip
