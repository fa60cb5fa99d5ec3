"""A host's SMBIOS tables as people read them. Pure: from sysinfo sections to words and rows.

Firmware is often wrong and sometimes hostile: nothing here is trusted, only shown.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.inventory import SysinfoSection
from app.web.figures import size

_TITLES = {
    "bios": "BIOS",
    "system": "System",
    "baseBoard": "Base board",
    "chassis": "Chassis",
    "processor": "Processors",
    "oemStrings": "OEM strings",
}
# What says most of a section, in one line.
_SUMMARY = {
    "bios": ("vendor", "version", "date"),
    "system": ("manufacturer", "product", "version"),
    "baseBoard": ("manufacturer", "product", "version"),
    "chassis": ("manufacturer", "version"),
}
_WORDS = {"uuid": "UUID", "sku": "SKU", "id": "ID"}
_SAYS_NOTHING = frozenset(
    ("", "not specified", "unknown", "none", "no dimm", "not provided", "to be filled by o.e.m.")
)
_SIZE = re.compile(r"(\d{1,9}) ?(kB|MB|GB|TB|KiB|MiB|GiB|TiB)", re.IGNORECASE)
_SHIFT = {"k": 10, "m": 20, "g": 30, "t": 40}


@dataclass(frozen=True)
class Section:
    """One group of SMBIOS entries: a list of tables, each of names and values in order."""

    key: str
    title: str
    summary: str
    tables: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True)
class MemoryDevice:
    """One slot; an empty one has `filled` False. Texts are "–" where firmware says nothing."""

    slot: str
    filled: bool
    size: str
    type: str
    speed: str
    manufacturer: str
    part: str
    serial: str


@dataclass(frozen=True)
class Hardware:
    """All of it, in SMBIOS's order; `memory_bytes` is the sum of the filled slots."""

    sections: tuple[Section, ...]
    devices: tuple[MemoryDevice, ...]
    memory_bytes: int | None
    memory_summary: str


def hardware(tables: Sequence[SysinfoSection]) -> Hardware:
    """The SMBIOS tables grouped by kind, memory devices apart."""
    grouped: dict[str, list[SysinfoSection]] = {}
    for table in tables:
        grouped.setdefault(table.kind, []).append(table)
    devices = [dict(table.entries) for table in grouped.pop("memory_device", [])]
    rows = tuple(_device(position, device) for position, device in enumerate(devices, 1))
    sizes = [_bytes(device.get("size", "")) for device in devices]
    known = [found for found in sizes if found]
    total = sum(known) if known else None
    filled = sum(row.filled for row in rows)
    summary = f"{filled} of {len(rows)} slots filled"
    if total is not None:
        summary += f" · {size(total)} seen by firmware"
    return Hardware(
        tuple(_section(kind, found) for kind, found in grouped.items()), rows, total, summary
    )


def memory_mismatch(firmware_bytes: int | None, libvirt_bytes: int | None) -> str:
    """What to say where firmware and libvirt disagree about memory by more than the few percent
    that firmware keeps for itself; nothing where they agree or one is unknown.
    """
    if firmware_bytes is None or libvirt_bytes is None:
        return ""
    if 0.9 * firmware_bytes <= libvirt_bytes <= 1.02 * firmware_bytes:
        return ""
    return f"Firmware lists {size(firmware_bytes)}, libvirt reports {size(libvirt_bytes)}."


def _section(kind: str, tables: Sequence[SysinfoSection]) -> Section:
    first = dict(tables[0].entries)
    if kind == "processor":
        populated = sum(_is_populated(dict(table.entries)) for table in tables)
        summary = f"{populated} of {len(tables)} populated"
    else:
        said = [first.get(name, "") for name in _SUMMARY.get(kind, ())]
        summary = " · ".join(text for text in said if _says(text))
    entries = tuple(
        tuple((_label(name), value or "–") for name, value in table.entries) for table in tables
    )
    return Section(kind.lower(), _TITLES.get(kind, _label(kind)), summary, entries)


def _is_populated(entries: Mapping[str, str]) -> bool:
    status = entries.get("status", "")
    return "unpopulated" not in status.lower()


def _device(position: int, entries: Mapping[str, str]) -> MemoryDevice:
    filled = _bytes(entries.get("size", "")) is not None

    def text(name: str) -> str:
        value = entries.get(name, "")
        return value if filled and _says(value) else "–"

    slot = entries.get("locator", "") or entries.get("bank_locator", "")
    return MemoryDevice(
        slot=slot if _says(slot) else f"Slot {position}",
        filled=filled,
        size=size(_bytes(entries.get("size", ""))) if filled else "empty",
        type=text("type"),
        speed=text("speed"),
        manufacturer=text("manufacturer"),
        part=text("part_number"),
        serial=text("serial_number"),
    )


def _bytes(text: str) -> int | None:
    """Firmware writes GB and means GiB."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        return None
    return int(found[1]) << _SHIFT[found[2][0].lower()]


def _says(text: str) -> bool:
    return text.strip().lower() not in _SAYS_NOTHING


def _label(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("-", "_").split("_")
    said = [_WORDS.get(word.lower(), word.lower()) for word in words if word]
    text = " ".join(said)
    return text[:1].upper() + text[1:]
