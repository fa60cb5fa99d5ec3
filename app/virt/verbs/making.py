"""New objects: their XML, made of checked values with a tree and never of strings, and the call.

libvirt checks what fits together; names and sizes are checked by whoever calls.
"""

from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

import libvirt
from lxml import etree

from app.errors import InvalidField
from app.virt.verbs.objects import Target, connection_of, find_domain, find_pool

if TYPE_CHECKING:
    from app.virt.session import Session

Parameters = Mapping[str, Any]


def create(
    session: "Session", target: Target, parameters: Parameters, *, before_call: Callable[[], None]
) -> str:
    """Make a pool, volume, network or snapshot and return its key: the UUID of a pool or network,
    the name of the others. `target.kind` is what is made; its `uuid` names the pool of a new
    volume and the domain of a new snapshot. Raises InvalidField, VirtError.
    """
    change = _MAKERS[target.kind](session, target, parameters)
    before_call()
    made = session.call(change)
    match target.kind:
        case "snapshot":
            return str(made.getName())
        case "volume":
            return str(made.name())
        case _:
            return str(made.UUIDString())


def _make_pool(session: "Session", _target: Target, given: Parameters) -> Callable[[], Any]:
    return partial(connection_of(session).storagePoolDefineXML, pool_xml(given), 0)


def _make_volume(session: "Session", target: Target, given: Parameters) -> Callable[[], Any]:
    return partial(find_pool(session, target.uuid).createXML, volume_xml(given), 0)


def _make_network(session: "Session", _target: Target, given: Parameters) -> Callable[[], Any]:
    return partial(connection_of(session).networkDefineXML, network_xml(given))


def _make_snapshot(session: "Session", target: Target, given: Parameters) -> Callable[[], Any]:
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY if given.get("disk_only") else 0
    domain = find_domain(session, target.uuid)
    return partial(domain.snapshotCreateXML, snapshot_xml(given), flags)


_MAKERS = {
    "pool": _make_pool,
    "volume": _make_volume,
    "network": _make_network,
    "snapshot": _make_snapshot,
}


def pool_xml(given: Parameters) -> str:
    """A pool's definition; raises InvalidField where a type misses what it needs."""
    root = etree.Element("pool", type=given["type"])
    _text(root, "name", given["name"])
    source = etree.SubElement(root, "source")
    for field, element, attribute in (
        ("source_host", "host", "name"),
        ("source_path", "dir", "path"),
        ("source_device", "device", "path"),
        ("source_adapter", "adapter", "name"),
        ("source_format", "format", "type"),
    ):
        if given.get(field):
            etree.SubElement(source, element, {attribute: given[field]})
    _text(source, "name", given.get("source_name"))
    target = given.get("target") or _TARGETS.get(given["type"])
    if target:
        _text(etree.SubElement(root, "target"), "path", target)
    elif given["type"] in ("dir", "fs", "netfs"):
        raise InvalidField("target", "Give the path on the host where the pool is to be.")
    if not len(source):
        root.remove(source)
    return _written(root)


# Where libvirt finds the volumes of pools that have no directory of their own.
_TARGETS = {
    "disk": "/dev", "iscsi": "/dev/disk/by-path", "scsi": "/dev/disk/by-path",
    "mpath": "/dev/mapper",
}  # fmt: skip


def volume_xml(given: Parameters) -> str:
    """A new volume's definition."""
    root = etree.Element("volume")
    _text(root, "name", given["name"])
    _text(root, "capacity", str(given["capacity_bytes"]), unit="bytes")
    if given.get("allocation_bytes") is not None:
        _text(root, "allocation", str(given["allocation_bytes"]), unit="bytes")
    if given.get("format"):
        target = etree.SubElement(root, "target")
        etree.SubElement(target, "format", type=given["format"])
    return _written(root)


def clone_xml(source: str, name: str) -> str:
    """The definition of a copy: the source's size and format under another name."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    original = etree.fromstring(source.encode(), parser)
    root = etree.Element("volume")
    _text(root, "name", name)
    _text(root, "capacity", original.findtext("capacity") or "0", unit="bytes")
    kind = original.find("target/format")
    if kind is not None and kind.get("type"):
        target = etree.SubElement(root, "target")
        etree.SubElement(target, "format", type=str(kind.get("type")))
    return _written(root)


def network_xml(given: Parameters) -> str:
    """A network's definition; raises InvalidField for addresses that do not fit together."""
    root = etree.Element("network")
    _text(root, "name", given["name"])
    mode = given.get("forward") or "none"
    if mode != "none":
        etree.SubElement(root, "forward", mode=mode)
    if mode == "bridge" and not given.get("bridge"):
        raise InvalidField("bridge", "Name the host's bridge that the network is to use.")
    if given.get("bridge"):
        etree.SubElement(root, "bridge", name=given["bridge"])
    if given.get("domain_name"):
        etree.SubElement(root, "domain", name=given["domain_name"])
    if mode != "bridge" and given.get("address"):
        _add_address(root, given)
    return _written(root)


def _add_address(root: etree._Element, given: Parameters) -> None:
    try:
        interface = ip_interface(given["address"])
    except ValueError:
        raise InvalidField("address", "Give an address such as 192.168.150.1/24.") from None
    family = "ipv4" if interface.version == 4 else "ipv6"
    address = etree.SubElement(
        root, "ip", family=family, address=str(interface.ip),
        prefix=str(interface.network.prefixlen),
    )  # fmt: skip
    start, end = given.get("dhcp_start"), given.get("dhcp_end")
    if bool(start) != bool(end):
        raise InvalidField("dhcp_end", "Give the first and the last address of the range.")
    if start and end:
        dhcp = etree.SubElement(address, "dhcp")
        etree.SubElement(dhcp, "range", start=start, end=end)


def snapshot_xml(given: Parameters) -> str:
    """A new snapshot's definition; without a name libvirt names it after the time."""
    root = etree.Element("domainsnapshot")
    _text(root, "name", given.get("name"))
    _text(root, "description", given.get("description"))
    return _written(root)


def _text(parent: etree._Element, name: str, text: str | None, **attributes: str) -> None:
    if text:
        etree.SubElement(parent, name, attributes).text = text


def _written(root: etree._Element) -> str:
    return etree.tostring(root, encoding="unicode")
