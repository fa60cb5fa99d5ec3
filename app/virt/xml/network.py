"""The XML of libvirt's networks and of a host's interfaces: what npvirt keeps of it.

Pure.
"""

from ipaddress import ip_network

from msgspec import Struct

from app.inventory import DhcpRange
from app.virt.xml.document import Element, attribute, parse
from app.virt.xml.values import clean, small, word

_MAX_ENTRIES = 1024


class NetworkXml(Struct, frozen=True):
    """What a network's XML says; addresses carry their prefix length."""

    bridge: str | None = None
    forward: str | None = None
    domain_name: str | None = None
    addresses: tuple[str, ...] = ()
    dhcp: tuple[DhcpRange, ...] = ()


class InterfaceXml(Struct, frozen=True):
    """What an interface's XML says; `ports` are the interfaces inside a bridge or bond.
    `addresses` is None where it has no protocol at all: libvirt's udev backend never says any.
    """

    type: str | None = None
    mtu: int | None = None
    addresses: tuple[str, ...] | None = None
    ports: tuple[str, ...] = ()


def parse_network(text: str) -> NetworkXml:
    """What the network XML `text` says; raises XmlRefused."""
    root = parse(text)
    forward = root.find("forward")
    return NetworkXml(
        bridge=word(attribute(root.find("bridge"), "name")),
        forward=None if forward is None else word(forward.get("mode", "nat")),
        domain_name=word(attribute(root.find("domain"), "name")),
        addresses=_addresses(root.findall("ip")),
        dhcp=tuple(
            DhcpRange(start=clean(entry.get("start", "")), end=clean(entry.get("end", "")))
            for entry in root.findall("ip/dhcp/range")[:_MAX_ENTRIES]
        ),
    )


def parse_interface(text: str) -> InterfaceXml:
    """What the interface XML `text` says; raises XmlRefused."""
    root = parse(text)
    protocols = root.findall("protocol")
    inside = [*root.findall("bridge/interface"), *root.findall("bond/interface")]
    return InterfaceXml(
        type=word(root.get("type")),
        mtu=small(attribute(root.find("mtu"), "size")),
        addresses=_addresses(root.findall("protocol/ip")) if protocols else None,
        ports=tuple(clean(entry.get("name", "")) for entry in inside[:_MAX_ENTRIES]),
    )


def _addresses(elements: list[Element]) -> tuple[str, ...]:
    return tuple(
        _with_prefix(element) for element in elements[:_MAX_ENTRIES] if element.get("address")
    )


def _with_prefix(element: Element) -> str:
    address = clean(element.get("address", ""))
    prefix = small(element.get("prefix"))
    if prefix is None and element.get("netmask"):
        prefix = _prefix_of(element.get("netmask", ""))
    return address if prefix is None else f"{address}/{prefix}"


def _prefix_of(netmask: str) -> int | None:
    try:
        return ip_network(f"0.0.0.0/{netmask}").prefixlen
    except ValueError:
        return None
