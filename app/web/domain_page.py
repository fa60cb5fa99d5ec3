"""What the page of one domain shows: figures, devices, guest, definition. Pure but for the XML,
which is read from the store. Of a host that does not answer it is what was last seen.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from app.inventory import Definition, Disk, Domain, Nic, Snapshot
from app.metrics import domain_memory_used_bytes
from app.services import services
from app.store.audit import Record, Wanted, records
from app.store.history import Fleet, definition
from app.store.usage import volume_of
from app.web.action_buttons import head, menu
from app.web.change_rows import object_panel
from app.web.chart_panel import Subject, panel
from app.web.charts import DOMAIN_MORE, domain_charts
from app.web.definitions import differences
from app.web.figures import percent, size, size_of, warning
from app.web.finding import find_domain
from app.web.flags import is_active
from app.web.format import (
    UNKNOWN,
    both_ways,
    endpoint,
    number,
    port,
    reason,
    share,
    switch,
    yes_no,
)
from app.web.host_page import find_host
from app.web.kinds import DomainSeen, Leases, VolumeSeen, addresses_of, leases
from app.web.page import Drawing
from app.web.rates import rates
from app.web.when import When, Zone
from app.web.words import DOMAIN_LOOKS


class Fact(NamedTuple):
    """One fact: label, value, and what stands small beside it."""

    label: str
    value: str
    small: str = ""
    mono: bool = False


class DiskRow(NamedTuple):
    """A disk; `percent` None where the volume, or what it holds, is not known."""

    target: str
    device: str
    source: str
    file: str
    pool: str
    pool_uuid: str
    percent: int | None
    css: str
    text: str
    bus: str
    format: str
    read_only: bool
    backing: tuple[str, ...]


class NicRow(NamedTuple):
    """A network interface; `network` is the name of the libvirt network that it is on, if any."""

    mac: str
    on: str
    network: bool
    model: str
    target: str
    addresses: tuple[str, ...]


class SnapshotRow(NamedTuple):
    """A snapshot in the tree: `depth` below its oldest ancestor. `path` leads to its actions."""

    name: str
    path: str
    depth: int
    current: bool
    state: str
    description: str
    created: When | None


class GuestNic(NamedTuple):
    """What the guest agent tells of one interface inside the guest."""

    name: str
    mac: str
    addresses: tuple[str, ...]


def build_domain(drawing: Drawing, slug: str, uuid: str) -> Mapping[str, object]:
    """The context of domains/one.html; raises NotFound."""
    fleet, zone = drawing.fleet, drawing.zone
    seen = find_domain(fleet, slug, uuid)
    host = find_host(fleet, slug)
    domain = seen.fact
    leased = leases(fleet)
    asked_ms = fleet.shutdowns.get((slug, seen.key)) if seen.known else None
    state = domain.state if seen.known else None
    base = f"/hosts/{slug}/domains/{seen.key}"
    found = definition(services().store, host.record.id, seen.key, drawing.moment.at_ms)
    xml = found.fact if found and drawing.may("operator") else Definition()
    return {
        "title": f"{domain.name} on {slug}",
        "slug": slug,
        "domain": domain,
        "known": seen.known,
        "look": DOMAIN_LOOKS["shutdown" if asked_ms is not None else domain.state],
        "reason": f"asked at {zone.when(asked_ms, fleet.as_of_ms).clock}"
        if asked_ms is not None
        else reason(domain.state, domain.state_reason),
        "buttons": head("domain", domain, state, base, drawing.may) if drawing.acts else [],
        "menu": menu("domain", domain, state, base, drawing.may) if drawing.acts else [],
        "since": zone.maybe(host.status.unknown_since_ms, fleet.as_of_ms),
        "sentence": host.status.sentence or "",
        "seen_at": zone.when(seen.at_ms, fleet.as_of_ms),
        "changed": zone.when(seen.valid_from_ms, fleet.as_of_ms),
        "charts": panel(
            drawing,
            base,
            Subject("domain", slug, seen.key, seen_ms=seen.at_ms),
            domain_charts(domain.vcpus),
            DOMAIN_MORE,
        ),
        "strip": strip(seen, fleet, leased),
        "disks": [disk_row(disk, fleet, slug) for disk in domain.disks],
        "nics": [nic_row(nic, seen, leased) for nic in domain.nics],
        "graphics": [(server.type.upper(), endpoint(server)) for server in domain.graphics],
        "active": is_active(domain),
        "facts": definition_facts(domain),
        "guest": guest_facts(domain),
        "snapshots": snapshot_rows(domain, base, zone, fleet.as_of_ms),
        "no_snapshots": domain.snapshots is None,
        "acting": drawing.acts,
        "what_changed": object_panel(drawing, seen),
        "past_actions": _past_actions(host.record.id, seen.key, drawing),
        "guest_nics": guest_nics(domain),
        "differences": differences(xml) if seen.known else [],
        "xml": xml,
        "may_read_xml": drawing.may("operator"),
        "no_xml": xml.live_xml is None and xml.inactive_xml is None,
    }


def strip(seen: DomainSeen, fleet: Fleet, leased: Leases) -> list[Fact]:
    """The figures under the head."""
    domain, found = seen.fact, rates(seen)
    used = domain_memory_used_bytes(seen.sample)
    is_used = used is not None or is_active(domain)
    memory = size_of(used, domain.memory_bytes) if is_used else size(domain.memory_bytes)
    most = domain.max_memory_bytes
    small = f"max {size(most)}" if most is not None and most != domain.memory_bytes else ""
    vcpus = f"max {domain.max_vcpus}" if domain.max_vcpus not in (None, domain.vcpus) else ""
    addresses = addresses_of(seen, leased)
    console, console_title = port(domain.graphics)
    facts = [
        Fact("vCPU", number(domain.vcpus), vcpus),
        Fact("CPU", share(found.cpu)),
        Fact("Memory", memory, small),
        Fact("Disk r / w", both_ways(found.disk_read, found.disk_write), "MB/s"),
        Fact("Net rx / tx", both_ways(found.net_rx, found.net_tx), "MB/s"),
        Fact("Disks", _disks_in_short(domain, fleet, seen.host)),
        Fact("Address", addresses[0] if addresses else UNKNOWN, _more(addresses)),
        Fact("Console", console_title.split(" ")[0] + " " + console if console else UNKNOWN),
        Fact("Start with host", switch(domain.autostart)),
        Fact("Guest agent", _agent(domain)),
    ]
    return [fact for fact in facts if fact.value != UNKNOWN or fact.label not in _MAY_BE_LEFT_OUT]


# Rates say nothing of a domain that does not run, and not every one has an address or a console.
_MAY_BE_LEFT_OUT = ("CPU", "Disk r / w", "Net rx / tx", "Address", "Console")


def _more(texts: Sequence[str]) -> str:
    return f"and {len(texts) - 1} more" if len(texts) > 1 else ""


def _agent(domain: Domain) -> str:
    if domain.agent is None:
        return "none"
    return "answers" if domain.agent == "connected" and domain.guest else domain.agent


def _disks_in_short(domain: Domain, fleet: Fleet, slug: str) -> str:
    disks = [disk for disk in domain.disks if disk.device == "disk"]
    volumes = [volume_of(fleet, slug, disk) for disk in disks]
    sizes = [volume.fact.capacity_bytes for volume in volumes if volume is not None]
    known = [one for one in sizes if one is not None]
    if not disks or len(known) < len(disks):
        return str(len(disks))
    return f"{len(disks)} · {size(sum(known))}"


def disk_row(disk: Disk, fleet: Fleet, slug: str) -> DiskRow:
    """A disk with the volume that it is, as far as a pool of its host knows it."""
    volume = volume_of(fleet, slug, disk)
    source = disk.source or ""
    allocated, capacity = _sizes(volume)
    filled = percent(allocated, capacity)
    name = disk.volume or (volume.fact.name if volume else "")
    return DiskRow(
        target=disk.target,
        device=disk.device,
        source=source,
        file=name or source.rpartition("/")[2] or source,
        pool=disk.pool or _pool_name(volume, fleet),
        pool_uuid=volume.fact.pool_uuid if volume else "",
        percent=None if filled is None else min(filled, 100),
        css=warning(filled),
        text="" if volume is None else size_of(allocated, capacity),
        bus=disk.bus or UNKNOWN,
        format=disk.format or (volume.fact.format if volume else None) or UNKNOWN,
        read_only=disk.read_only,
        backing=disk.backing,
    )


def _sizes(volume: VolumeSeen | None) -> tuple[int | None, int | None]:
    if volume is None:
        return None, None
    allocated = volume.sample.allocation_bytes if volume.sample else None
    return allocated, volume.fact.capacity_bytes


def _pool_name(volume: VolumeSeen | None, fleet: Fleet) -> str:
    if volume is None:
        return ""
    pool = fleet.pool(volume.host, volume.fact.pool_uuid)
    return pool.fact.name if pool else ""


def nic_row(nic: Nic, seen: DomainSeen, leased: Leases) -> NicRow:
    """A NIC with the addresses that the guest or the network's leases tell."""
    guest = seen.fact.guest
    told = [
        text.partition("/")[0]
        for inside in (guest.addresses if guest else ())
        if (inside.mac or "").lower() == nic.mac.lower()
        for text in inside.addresses
    ]
    told += leased.get((seen.host, nic.mac.lower()), ())
    return NicRow(
        mac=nic.mac,
        on=nic.source or nic.type,
        network=nic.type == "network" and nic.source is not None,
        model=nic.model or UNKNOWN,
        target=nic.target or "",
        addresses=tuple(dict.fromkeys(told)),
    )


def definition_facts(domain: Domain) -> list[Fact]:
    """What the definition says besides its devices."""
    machine = " · ".join(text for text in (domain.architecture, domain.machine) if text)
    facts = [
        Fact("UUID", domain.uuid, mono=True),
        Fact("Id", number(domain.id) if domain.id is not None else "none while inactive"),
        Fact("Title", domain.title or ""),
        Fact("Description", domain.description or ""),
        Fact("Type", " · ".join(text for text in (domain.type, domain.os_type) if text)),
        Fact("Machine", machine),
        Fact("Firmware", domain.firmware or ""),
        Fact("CPU mode", domain.cpu_mode or ""),
        Fact("Memory", size(domain.memory_bytes), f"max {size(domain.max_memory_bytes)}"),
        Fact("Kept", _kept(domain.persistent)),
        Fact("Start with host", switch(domain.autostart)),
        Fact("Managed save", yes_no(domain.managed_save)),
        Fact("Snapshots", yes_no(domain.has_snapshot)),
        Fact("Checkpoints", yes_no(domain.has_checkpoint)),
    ]
    return [fact for fact in facts if fact.value]


def _kept(persistent: bool | None) -> str:
    if persistent is None:
        return UNKNOWN
    return "persistent" if persistent else "transient: gone when it stops"


_MOST_DEPTH = 12


def snapshot_rows(domain: Domain, base: str, zone: Zone, now_ms: int | None) -> list[SnapshotRow]:
    """The snapshots as a tree, each after its parent."""
    children: dict[str | None, list[Snapshot]] = {}
    names = {one.name for one in domain.snapshots or ()}
    for one in domain.snapshots or ():
        parent = one.parent if one.parent in names and one.parent != one.name else None
        children.setdefault(parent, []).append(one)
    rows: list[SnapshotRow] = []
    waiting = [(one, 0) for one in reversed(children.pop(None, []))]
    while waiting:
        one, depth = waiting.pop()
        rows.append(
            SnapshotRow(
                one.name,
                f"{base}/snapshots/{quote(one.name, safe='')}",
                min(depth, _MOST_DEPTH),
                one.current,
                one.state or UNKNOWN,
                one.description or "",
                zone.maybe(one.created_at_ms, now_ms),
            )
        )
        waiting += [(child, depth + 1) for child in reversed(children.pop(one.name, []))]
    return rows


class PastAction(NamedTuple):
    """Something that was asked of the domain by npvirt; `outcome` "" while it goes on."""

    at: When
    who: str
    action: str
    outcome: str
    sentence: str


_ACTIONS_SHOWN = 5


def _past_actions(host_id: int, uuid: str, drawing: Drawing) -> list[PastAction]:
    until_ms = drawing.moment.at_ms
    wanted = Wanted(host_ids=frozenset((host_id,)), key=uuid, until_ms=until_ms)
    found, _ = records(services().store, wanted, limit=_ACTIONS_SHOWN)
    now_ms = drawing.fleet.as_of_ms
    return [
        PastAction(
            drawing.zone.when(one.at_ms, now_ms),
            one.who,
            one.action,
            (one.outcome or "") if _had_ended(one, until_ms) else "",
            (one.sentence or "") if _had_ended(one, until_ms) else "",
        )
        for one in found
    ]


def _had_ended(record: Record, until_ms: int | None) -> bool:
    """Whether its outcome was known at the moment that the page shows."""
    return until_ms is None or record.ended_at_ms is None or record.ended_at_ms <= until_ms


def guest_facts(domain: Domain) -> list[Fact]:
    """What the guest agent told."""
    if domain.guest is None:
        return []
    facts = (Fact("Host name", domain.guest.hostname or ""), Fact("System", domain.guest.os or ""))
    return [fact for fact in facts if fact.value]


def guest_nics(domain: Domain) -> list[GuestNic]:
    """The interfaces inside the guest."""
    nics = domain.guest.addresses if domain.guest else ()
    return [GuestNic(nic.name, nic.mac or "", nic.addresses) for nic in nics]
