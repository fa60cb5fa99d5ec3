"""Where a running domain and its saved definition differ in what a restart would change.

Pure. The XML came from a host and is hostile: no DTD, no entities, no network, bounded size.
"""

from typing import NamedTuple

from lxml import etree

from app.inventory import Definition
from app.web.figures import size

_UNITS = {
    "b": 1, "bytes": 1, "kb": 10**3, "k": 2**10, "kib": 2**10, "mb": 10**6, "m": 2**20,
    "mib": 2**20, "gb": 10**9, "g": 2**30, "gib": 2**30, "tb": 10**12, "t": 2**40, "tib": 2**40,
}  # fmt: skip
_MAX_CHARACTERS = 1 << 20


class Difference(NamedTuple):
    """One thing that a restart would change, in words."""

    what: str
    now: str
    saved: str


class _Shape(NamedTuple):
    memory: int | None
    most_memory: int | None
    vcpus: int | None
    most_vcpus: int | None


def differences(definition: Definition) -> list[Difference]:
    """What differs in memory and vCPUs; nothing where one of the two is not there."""
    if definition.live_xml is None or definition.inactive_xml is None:
        return []
    now, saved = _shape(definition.live_xml), _shape(definition.inactive_xml)
    if now is None or saved is None:
        return []
    pairs = (
        ("Memory", size(now.memory), size(saved.memory), now.memory, saved.memory),
        ("Most memory", size(now.most_memory), size(saved.most_memory), now.most_memory,
         saved.most_memory),
        ("vCPUs", str(now.vcpus), str(saved.vcpus), now.vcpus, saved.vcpus),
        ("Most vCPUs", str(now.most_vcpus), str(saved.most_vcpus), now.most_vcpus,
         saved.most_vcpus),
    )  # fmt: skip
    return [
        Difference(what, live, kept)
        for what, live, kept, value, other in pairs
        if value is not None and other is not None and value != other
    ]


def _shape(text: str) -> _Shape | None:
    root = _parse(text)
    if root is None:
        return None
    most = _memory(root.find("memory"))
    current = _memory(root.find("currentMemory"))
    vcpu = root.find("vcpu")
    most_vcpus = _whole(None if vcpu is None else vcpu.text)
    given = _whole(None if vcpu is None else vcpu.get("current"))
    return _Shape(
        most if current is None else current, most, most_vcpus if given is None else given,
        most_vcpus,
    )  # fmt: skip


def _parse(text: str) -> etree._Element | None:
    if len(text) > _MAX_CHARACTERS or "<!DOCTYPE" in text:
        return None
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        return etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError):
        return None


def _memory(element: etree._Element | None) -> int | None:
    if element is None:
        return None
    count = _whole(element.text)
    unit = _UNITS.get(str(element.get("unit", "KiB")).lower())
    return None if count is None or unit is None else count * unit


def _whole(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return (
        int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 19 else None
    )
