"""The tables of one VM that can be embedded: its disks, network interfaces and snapshots, as its
page in the panel has them. Of a host that does not answer they are what was last seen.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from app.language import ENGLISH, N_, gettext, language
from app.web.domain_page import (
    DiskRow,
    GuestNic,
    NicRow,
    SnapshotRow,
    disk_row,
    guest_nics,
    nic_row,
    snapshot_rows,
)
from app.web.drawing import Drawing
from app.web.embed.parameters import only
from app.web.embed.tables import Cell, Column, Found, Meter, Table
from app.web.finding import find_domain
from app.web.format import UNKNOWN
from app.web.kinds import DomainSeen, leases
from app.web.words import DOMAIN_LOOKS, look_of

R = TypeVar("R")

_INDENT = "\N{NO-BREAK SPACE}" * 3


def _of_domain(
    rows: Callable[[Drawing, DomainSeen], Sequence[R]],
    nothing: Callable[[DomainSeen], str] = lambda seen: "",
) -> Callable[[Drawing], Found[R]]:
    """Finds the rows of the one VM that is asked for. That raises InvalidField and NotFound."""

    def find(drawing: Drawing) -> Found[R]:
        slug = only(drawing.arguments, "host")
        seen = find_domain(drawing.fleet, slug, only(drawing.arguments, "id"))
        return Found(
            rows(drawing, seen), f"/hosts/{slug}/domains/{seen.key}", seen.fact.name,
            seen.known, nothing(seen),
        )  # fmt: skip

    return find


def _disks(drawing: Drawing, seen: DomainSeen) -> Sequence[DiskRow]:
    return [disk_row(disk, drawing.fleet, seen.host) for disk in seen.fact.disks]


def _nics(drawing: Drawing, seen: DomainSeen) -> Sequence[NicRow]:
    leased = leases(drawing.fleet)
    return [nic_row(nic, seen, leased) for nic in seen.fact.nics]


def _snapshots(drawing: Drawing, seen: DomainSeen) -> Sequence[SnapshotRow]:
    return snapshot_rows(seen.fact, "", drawing.zone, drawing.fleet.as_of_ms)


def _disk(row: DiskRow) -> Cell:
    told = [row.device] if row.device != "disk" else []
    if row.read_only:
        told.append(gettext("read-only"))
    return Cell(row.target, gettext(", ").join(told))


def _allocated(row: DiskRow) -> Cell:
    meter = None if row.percent is None else Meter(row.percent, row.css or "meter-mem")
    return Cell(row.text or UNKNOWN, meter=meter)


def _on(row: NicRow) -> str:
    return gettext("network %(name)s", name=row.on) if row.network else row.on


def _state(row: SnapshotRow) -> str:
    """What libvirt calls the state, which an English page shows as it is."""
    if language() == ENGLISH or row.state not in DOMAIN_LOOKS:
        return row.state
    return look_of(DOMAIN_LOOKS, row.state).word


def _snapshot(row: SnapshotRow) -> Cell:
    lead = f"{_INDENT * (row.depth - 1)}└" if row.depth else ""
    return Cell(row.name, gettext("current") if row.current else "", lead=lead)


DISKS = Table(
    N_("Disks"),
    _of_domain(_disks),
    (
        Column(N_("Disk"), _disk),
        Column(N_("Source"), lambda row: row.file or gettext("empty"), "wrap"),
        Column(N_("Pool"), lambda row: row.pool or gettext("none"), "p2"),
        Column(N_("Allocated / size"), _allocated),
        Column(N_("Format"), lambda row: row.format, "p3"),
        Column(N_("Bus"), lambda row: row.bus, "p4"),
    ),
    N_("This VM has no disk."),
)
NICS = Table(
    N_("Network interfaces"),
    _of_domain(_nics),
    (
        Column(N_("MAC address"), lambda row: row.mac, "nowrap"),
        Column(N_("On"), _on),
        Column(N_("Addresses"), lambda row: ", ".join(row.addresses) or UNKNOWN, "wrap"),
        Column(N_("Device"), lambda row: row.target or UNKNOWN, "p3"),
        Column(N_("Model"), lambda row: row.model, "p2"),
    ),
    N_("This VM has no network interface."),
)
GUEST_NICS: Table[GuestNic] = Table(
    N_("Interfaces inside the guest"),
    _of_domain(lambda drawing, seen: guest_nics(seen.fact)),
    (
        Column(N_("Interface"), lambda row: row.name),
        Column(N_("MAC address"), lambda row: row.mac or UNKNOWN, "p2"),
        Column(N_("Addresses"), lambda row: ", ".join(row.addresses) or UNKNOWN, "wrap"),
    ),
    N_("No guest agent tells of any."),
)
SNAPSHOTS = Table(
    N_("Snapshots"),
    _of_domain(
        _snapshots,
        lambda seen: "" if seen.fact.snapshots is not None else gettext("They could not be read."),
    ),
    (
        Column(N_("Snapshot"), _snapshot),
        Column(N_("Taken"), lambda row: Cell(at=row.created)),
        Column(N_("VM was"), _state, "p2"),
    ),
    N_("This VM has no snapshot."),
)
