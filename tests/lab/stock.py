"""What a lab host is filled with: pools, volumes, networks, a lease, guests of every state."""

import uuid
from pathlib import Path

from tests.lab.guest import disk_xml, talking_guest, talking_guest_xml, tiny_guest_xml
from tests.lab.host import LabHost

_NAT = """<network><name>default</name><forward mode='nat'/>
<bridge name='virbr0' stp='off' delay='0'/>
<domain name='lab.example'/><ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>
<range start='192.168.122.2' end='192.168.122.60'/></dhcp></ip></network>"""
_ISOLATED = "<network><name>isolated</name><bridge name='virbr9'/></network>"
_NAMESPACE = uuid.UUID("6e707669-7274-4c61-8b00-000000000000")


def uuid_of(host: LabHost, name: str) -> str:
    """The UUID that a guest of that name has on that host, the same at every start."""
    return str(uuid.uuid5(_NAMESPACE, f"{host.name}/{name}"))


def add_networks(host: LabHost) -> None:
    """A NAT network that runs and starts with the host, and an isolated one that does not run."""
    for xml in (_NAT, _ISOLATED):
        define(host, "net-define", xml)
    host.virsh("net-start", "default")
    host.virsh("net-autostart", "default")


def add_lease(host: LabHost) -> None:
    """A real DHCP lease, asked for by a cable end in the bridge instead of a guest."""
    host.run(
        "ip link add lease0 type veth peer name lease1 && ip link set lease0 master virbr0 up && "
        "ip link set lease1 up && "
        "timeout 40 busybox udhcpc -i lease1 -n -q -t 6 -T 5 -x hostname:printer -s /bin/true"
    )


def add_pools(host: LabHost) -> Path:
    """A pool of images with a backing chain and an orphan, a small one that is nearly full, and
    one that does not run; the directory of the first.
    """
    images, small = host.root / "lib/images", host.root / "lib/small"
    small.mkdir()
    (host.root / "lib/archive").mkdir()
    host.run(f"mount -t tmpfs -o size=64m tmpfs {small}")
    for name, path in (
        ("images", images),
        ("small", small),
        ("archive", images.parent / "archive"),
    ):
        host.virsh("pool-define-as", name, "dir", "--target", str(path))
    host.virsh("pool-start", "images")
    host.virsh("pool-autostart", "images")
    host.virsh("pool-start", "small")
    host.virsh("vol-create-as", "images", "base.qcow2", "2G", "--format", "qcow2")
    for name in ("web-01.qcow2", "db-01.qcow2", "template-deb12.qcow2"):
        host.virsh(
            "vol-create-as", "images", name, "2G", "--format", "qcow2",
            "--backing-vol", "base.qcow2", "--backing-vol-format", "qcow2",
        )  # fmt: skip
    host.virsh("vol-create-as", "images", "old-crm.raw", "64M", "--allocation", "64M")
    host.virsh("vol-create-as", "small", "scratch.raw", "59M", "--allocation", "59M")
    host.virsh("pool-refresh", "small")
    return images


def add_guests(
    host: LabHost, images: Path | None, *, names: tuple[str, ...], memory_mib: int = 16
) -> None:
    """Tiny guests, one per name; what becomes of each is in its name: see `_SETTLE`."""
    for number, name in enumerate(names, start=1):
        disk = images / f"{name}.qcow2" if images is not None else None
        disks = disk_xml(disk) if disk is not None and disk.exists() else ""
        xml = tiny_guest_xml(
            name, uuid_of(host, name), title=f"{name} of {host.name}", disks=disks,
            description="A tiny guest of the lab",
            mac=f"52:54:00:{host.slot.number:02x}:00:{number:02x}", memory_mib=memory_mib,
        )  # fmt: skip
        if name.startswith("rescue"):
            define(host, "create", xml)
        else:
            define(host, "define", xml)
            if not name.startswith("template"):
                host.virsh("start", name)
    _settle(host, names)


def _settle(host: LabHost, names: tuple[str, ...]) -> None:
    """Bring the guests into the states that their names stand for."""
    for name in names:
        if name.startswith(("web", "db")):
            host.virsh("autostart", name)
        elif name.startswith("build"):
            host.virsh("suspend", name)
        elif name.startswith("old"):
            host.virsh("destroy", name)
        elif name.startswith("saved"):
            host.virsh("managedsave", name)


def add_talking_guest(host: LabHost) -> str:
    """The guest with an agent, running; its UUID."""
    built = talking_guest()
    image = host.root / "lib/guest"
    image.mkdir()
    for name in ("vmlinuz", "initrd.gz"):
        (image / name).write_bytes((built / name).read_bytes())
    define(host, "define", talking_guest_xml("talking", uuid_of(host, "talking"), image))
    host.virsh("start", "talking")
    return uuid_of(host, "talking")


def define(host: LabHost, command: str, xml: str) -> None:
    """Hand `xml` to a virsh command that takes a file."""
    file = host.root / "definition.xml"
    file.write_text(xml)
    host.virsh(command, str(file))
