"""A host's capabilities, domain capabilities and SMBIOS XML: what npvirt keeps of it.

Pure.
"""

from msgspec import Struct

from app.inventory import NumaCell, SysinfoSection
from app.virt.xml.document import Element, attribute, parse
from app.virt.xml.values import Figures, clean, small, word

_MAX_ENTRIES = 4096


class CapabilitiesXml(Struct, frozen=True):
    """What the capabilities say; `domain_types` are those that guests may have, "kvm" first."""

    uuid: str | None = None
    architecture: str | None = None
    processor: str | None = None
    domain_types: tuple[str, ...] = ()
    numa: tuple[NumaCell, ...] = ()


def parse_capabilities(text: str) -> CapabilitiesXml:
    """What the capabilities `text` say; raises XmlRefused."""
    root = parse(text)
    types = {entry.get("type", "") for entry in root.findall("guest/arch/domain")} - {""}
    model, vendor = word(root.findtext("host/cpu/model")), word(root.findtext("host/cpu/vendor"))
    return CapabilitiesXml(
        uuid=word(root.findtext("host/uuid")),
        architecture=word(root.findtext("host/cpu/arch")),
        processor=f"{vendor} {model}" if vendor and model else model,
        domain_types=tuple(sorted(map(clean, types), key=lambda name: (name != "kvm", name))),
        numa=_numa(root.findall("host/topology/cells/cell")[:_MAX_ENTRIES]),
    )


def _numa(cells: list[Element]) -> tuple[NumaCell, ...]:
    return tuple(_cell(index, cell) for index, cell in enumerate(cells))


def _cell(index: int, cell: Element) -> NumaCell:
    memory = cell.find("memory")
    size = None
    if memory is not None:
        size = Figures().size("memory", memory.text, memory.get("unit", "KiB"))
    number = small(cell.get("id"))
    cpus = (small(cpu.get("id")) for cpu in cell.findall("cpus/cpu")[:_MAX_ENTRIES])
    return NumaCell(
        id=index if number is None else number,
        memory_bytes=size,
        cpus=tuple(sorted(cpu for cpu in cpus if cpu is not None)),
        distances=_distances(cell.findall("distances/sibling")[:_MAX_ENTRIES]),
    )


def _distances(siblings: list[Element]) -> tuple[int, ...]:
    pairs = [(small(entry.get("id")), small(entry.get("value"))) for entry in siblings]
    known = sorted((cell, value) for cell, value in pairs if cell is not None and value is not None)
    return tuple(value for _, value in known)


def parse_max_vcpus(text: str) -> int | None:
    """The most vCPUs that the domain capabilities `text` allow; raises XmlRefused."""
    return small(attribute(parse(text).find("vcpu"), "max"))


def parse_sysinfo(text: str) -> tuple[SysinfoSection, ...]:
    """The SMBIOS tables of `text` in order; raises XmlRefused. Entries without a name (OEM
    strings) are numbered from 1.
    """
    sections = []
    for section in parse(text).findall("*")[:_MAX_ENTRIES]:
        entries = section.findall("entry")[:_MAX_ENTRIES]
        sections.append(
            SysinfoSection(
                kind=clean(str(section.tag)),
                entries=tuple(
                    (clean(entry.get("name") or str(number)), clean((entry.text or "").strip()))
                    for number, entry in enumerate(entries, 1)
                ),
            )
        )
    return tuple(sections)


def processor_name(sections: tuple[SysinfoSection, ...]) -> str | None:
    """The first processor's name as SMBIOS gives it: its version, else family and maker."""
    for section in sections:
        if section.kind == "processor":
            entries = dict(section.entries)
            named = entries.get("version", "")
            if named and named.lower() not in ("not specified", "unknown", "none"):
                return named
            return (
                " ".join(filter(None, (entries.get("manufacturer"), entries.get("family")))) or None
            )
    return None
