"""A storage pool's and a volume's XML: what npvirt keeps of it.

Pure.
"""

from msgspec import Struct

from app.virt.xml.document import Element, attribute, parse
from app.virt.xml.values import Figures, clean, word


class PoolXml(Struct, frozen=True):
    """What a pool's XML says; `source` is one text for people (host:directory, device, name)."""

    type: str | None = None
    target: str | None = None
    source: str | None = None


class VolumeXml(Struct, frozen=True):
    """What a volume's XML says; `beyond` names the figures that 63 bits cannot hold."""

    type: str | None = None
    format: str | None = None
    path: str | None = None
    capacity_bytes: int | None = None
    allocation_bytes: int | None = None
    backing_path: str | None = None
    beyond: tuple[str, ...] = ()


def parse_pool(text: str) -> PoolXml:
    """What the pool XML `text` says; raises XmlRefused."""
    root = parse(text)
    return PoolXml(
        type=word(root.get("type")),
        target=word(root.findtext("target/path")),
        source=_source(root.find("source")),
    )


def _source(source: Element | None) -> str | None:
    if source is None:
        return None
    devices = [device.get("path", "") for device in source.findall("device")]
    place = attribute(source.find("dir"), "path") or ", ".join(filter(None, devices))
    place = place or source.findtext("name") or attribute(source.find("adapter"), "name") or ""
    host = attribute(source.find("host"), "name")
    return word(f"{host}:{place}" if host else place)


def parse_pool_types(text: str) -> tuple[str, ...]:
    """The types of pools that a host's capabilities call supported; raises XmlRefused."""
    pools = parse(text).findall("pool")
    return tuple(clean(pool.get("type", "")) for pool in pools if pool.get("supported") == "yes")


def parse_volume(text: str) -> VolumeXml:
    """What the volume XML `text` says; raises XmlRefused."""
    root = parse(text)
    figures = Figures()
    return VolumeXml(
        type=word(root.get("type")),
        format=word(attribute(root.find("target/format"), "type")),
        path=word(root.findtext("target/path")),
        capacity_bytes=_size(root, "capacity", figures),
        allocation_bytes=_size(root, "allocation", figures),
        backing_path=word(root.findtext("backingStore/path")),
        beyond=tuple(figures.beyond),
    )


def _size(root: Element, name: str, figures: Figures) -> int | None:
    element = root.find(name)
    if element is None:
        return None
    return figures.size(name, element.text, element.get("unit", "bytes"))
