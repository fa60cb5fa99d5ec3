"""The tables of one VM that can be embedded: its disks, network interfaces and snapshots, as its
page in the panel has them. Of a host that does not answer they are what was last seen.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

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
    return Cell(row.target, ", ".join([*told, *(["read-only"] if row.read_only else [])]))


def _allocated(row: DiskRow) -> Cell:
    meter = None if row.percent is None else Meter(row.percent, row.css or "meter-mem")
    return Cell(row.text or UNKNOWN, meter=meter)


def _snapshot(row: SnapshotRow) -> Cell:
    lead = f"{_INDENT * (row.depth - 1)}└" if row.depth else ""
    return Cell(row.name, "current" if row.current else "", lead=lead)


DISKS = Table(
    "Disks",
    _of_domain(_disks),
    (
        Column("Disk", _disk),
        Column("Source", lambda row: row.file or "empty", "wrap"),
        Column("Pool", lambda row: row.pool or "none", "p2"),
        Column("Allocated / size", _allocated),
        Column("Format", lambda row: row.format, "p3"),
        Column("Bus", lambda row: row.bus, "p4"),
    ),
    "This VM has no disk.",
)
NICS = Table(
    "Network interfaces",
    _of_domain(_nics),
    (
        Column("MAC address", lambda row: row.mac, "nowrap"),
        Column("On", lambda row: f"network {row.on}" if row.network else row.on),
        Column("Addresses", lambda row: ", ".join(row.addresses) or UNKNOWN, "wrap"),
        Column("Device", lambda row: row.target or UNKNOWN, "p3"),
        Column("Model", lambda row: row.model, "p2"),
    ),
    "This VM has no network interface.",
)
GUEST_NICS: Table[GuestNic] = Table(
    "Interfaces inside the guest",
    _of_domain(lambda drawing, seen: guest_nics(seen.fact)),
    (
        Column("Interface", lambda row: row.name),
        Column("MAC address", lambda row: row.mac or UNKNOWN, "p2"),
        Column("Addresses", lambda row: ", ".join(row.addresses) or UNKNOWN, "wrap"),
    ),
    "No guest agent tells of any.",
)
SNAPSHOTS = Table(
    "Snapshots",
    _of_domain(
        _snapshots,
        lambda seen: "" if seen.fact.snapshots is not None else "They could not be read.",
    ),
    (
        Column("Snapshot", _snapshot),
        Column("Taken", lambda row: Cell(at=row.created)),
        Column("VM was", lambda row: row.state, "p2"),
    ),
    "This VM has no snapshot.",
)
