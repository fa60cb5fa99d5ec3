"""A domain's XML: what npvirt keeps of it, without what only a running one's statistics tell.

Pure. Pool and volume of a disk are filled only where the XML itself names them.
"""

from msgspec import Struct

from app.inventory import Disk, Graphics, Nic
from app.virt.xml.document import Element, attribute, parse
from app.virt.xml.values import Figures, clean, small, word

AGENT_CHANNEL = "org.qemu.guest_agent.0"
_MAX_DEVICES = 1024
_MAX_BACKING = 64


class DomainXml(Struct, frozen=True):
    """What one domain XML says; sizes in bytes. `agent` is "connected" or "disconnected" where a
    guest agent's channel is defined. `beyond` names the figures that 63 bits cannot hold.
    """

    title: str | None = None
    description: str | None = None
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
    agent: str | None = None
    nvram: bool | None = None
    beyond: tuple[str, ...] = ()


def parse_domain(text: str) -> DomainXml:
    """What the domain XML `text` (live or inactive) says; raises XmlRefused."""
    root = parse(text)
    figures = Figures()
    maximum = _memory(root, "memory", figures)
    vcpu = root.find("vcpu")
    max_vcpus = small(None if vcpu is None else vcpu.text)
    current = small(attribute(vcpu, "current"))
    system = root.find("os")
    kind = root.find("os/type")
    devices = root.find("devices")
    return DomainXml(
        title=word(root.findtext("title")),
        description=word(root.findtext("description")),
        memory_bytes=_memory(root, "currentMemory", figures) or maximum,
        max_memory_bytes=maximum,
        vcpus=max_vcpus if current is None else current,
        max_vcpus=max_vcpus,
        type=word(root.get("type")),
        os_type=word(None if kind is None else kind.text),
        architecture=word(attribute(kind, "arch")),
        machine=word(attribute(kind, "machine")),
        firmware=_firmware(system),
        cpu_mode=word(attribute(root.find("cpu"), "mode")),
        disks=() if devices is None else _disks(devices),
        nics=() if devices is None else _nics(devices),
        graphics=() if devices is None else _graphics(devices),
        agent=None if devices is None else _agent(devices),
        nvram=system is not None and system.find("nvram") is not None,
        beyond=tuple(figures.beyond),
    )


def _memory(root: Element, name: str, figures: Figures) -> int | None:
    element = root.find(name)
    if element is None:
        return None
    return figures.size(name, element.text, element.get("unit", "KiB"))


def _firmware(system: Element | None) -> str | None:
    if system is None:
        return None
    named = word(system.get("firmware"))
    if named is None and attribute(system.find("loader"), "type") == "pflash":
        return "efi"
    return named


def _disks(devices: Element) -> tuple[Disk, ...]:
    return tuple(_disk(element) for element in devices.findall("disk")[:_MAX_DEVICES])


def _disk(element: Element) -> Disk:
    target = element.find("target")
    source = element.find("source")
    by_volume = source is not None and element.get("type") == "volume"
    return Disk(
        target=clean(attribute(target, "dev") or ""),
        device=clean(element.get("device", "disk")),
        bus=word(attribute(target, "bus")),
        source_type=word(element.get("type")),
        source=None if source is None else _source(source),
        format=word(attribute(element.find("driver"), "type")),
        pool=word(attribute(source, "pool")) if by_volume else None,
        volume=word(attribute(source, "volume")) if by_volume else None,
        read_only=element.find("readonly") is not None,
        backing=_backing(element),
    )


def _source(source: Element) -> str | None:
    """A disk's source as one text for people: a path, a device, pool/volume or a URL."""
    for name in ("file", "dev", "dir"):
        if source.get(name):
            return word(source.get(name))
    if source.get("volume"):
        return word(f"{source.get('pool', '')}/{source.get('volume')}")
    if source.get("protocol"):
        return _network_source(source)
    return word(source.get("path"))


def _network_source(source: Element) -> str | None:
    host = source.find("host")
    name = attribute(host, "name") or attribute(host, "socket") or ""
    port = attribute(host, "port")
    bracketed = f"[{name}]" if ":" in name else name
    where = f"{bracketed}:{port}" if name and port else bracketed
    return word(f"{source.get('protocol')}://{where}/{source.get('name', '').lstrip('/')}")


def _backing(disk: Element) -> tuple[str, ...]:
    chain: list[str] = []
    layer = disk.find("backingStore")
    while layer is not None and len(chain) < _MAX_BACKING:
        source = layer.find("source")
        text = None if source is None else _source(source)
        if text is not None:
            chain.append(text)
        layer = layer.find("backingStore")
    return tuple(chain)


def _nics(devices: Element) -> tuple[Nic, ...]:
    return tuple(_nic(element) for element in devices.findall("interface")[:_MAX_DEVICES])


def _nic(element: Element) -> Nic:
    source = element.find("source")
    named = None
    if source is not None:
        # The order matters: a running one's <source network=…> carries its bridge as well.
        names = (source.get(name) for name in ("network", "bridge", "dev", "path", "switchid"))
        named = next((name for name in names if name), None)
    return Nic(
        mac=clean((attribute(element.find("mac"), "address") or "").lower()),
        type=clean(element.get("type", "")),
        source=word(named),
        model=word(attribute(element.find("model"), "type")),
        target=word(attribute(element.find("target"), "dev")),
    )


def _graphics(devices: Element) -> tuple[Graphics, ...]:
    return tuple(
        Graphics(
            type=clean(element.get("type", "")),
            port=small(element.get("port")),
            tls_port=small(element.get("tlsPort")),
            listen=_listen(element),
        )
        for element in devices.findall("graphics")[:_MAX_DEVICES]
    )


def _listen(graphics: Element) -> str | None:
    if graphics.get("listen"):
        return word(graphics.get("listen"))
    listen = graphics.find("listen")
    return word(attribute(listen, "address") or attribute(listen, "socket"))


def _agent(devices: Element) -> str | None:
    for channel in devices.findall("channel"):
        target = channel.find("target")
        if attribute(target, "name") == AGENT_CHANNEL:
            return "connected" if attribute(target, "state") == "connected" else "disconnected"
    return None
