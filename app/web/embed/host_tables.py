"""The tables about hosts that can be embedded: what needs attention, how scans go, and of one host
its NUMA nodes, its memory devices and the leases of a network.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from app.language import N_, gettext
from app.services import services
from app.store.scan_figures import ScanFigures, scan_figures
from app.store.views import HostView
from app.web.attention import Item, attention
from app.web.drawing import Drawing
from app.web.embed.parameters import only
from app.web.embed.tables import Cell, Column, Found, Table, check_hosts
from app.web.finding import find_network
from app.web.format import UNKNOWN, duration, number
from app.web.hardware import MemoryDevice, hardware
from app.web.host_page import NumaRow, find_host, numa_rows
from app.web.host_rows import condition, facts_of
from app.web.networks import LeaseRow, network_row
from app.web.when import When

R = TypeVar("R")

_CONDITIONS = {
    "ok": N_("answers"), "partial": N_("read in part"), "disabled": N_("disabled"),
    "waiting": N_("not scanned yet"), "unknown": N_("does not answer"),
}  # fmt: skip


def _attention(drawing: Drawing) -> Found[Item]:
    check_hosts(drawing)
    return Found(attention(drawing.fleet, drawing.zone, most=None).items, "/")


ATTENTION: Table[Item] = Table(
    N_("Needs attention"),
    _attention,
    (
        Column(
            N_("What"),
            lambda row: Cell(row.subject, row.verb, css="" if row.grade == "unk" else row.grade),
        ),
        Column(N_("More"), lambda row: row.text, "wrap"),
        Column(N_("Since"), lambda row: Cell(at=row.since), "p2"),
    ),
    N_("Nothing needs attention."),
)


class ScanRow(NamedTuple):
    """How a host is scanned; `figures` of the last 24 hours, None at a past moment."""

    view: HostView
    last_ok: When | None
    figures: ScanFigures | None


def _scans(drawing: Drawing) -> Found[ScanRow]:
    check_hosts(drawing)
    fleet, zone = drawing.fleet, drawing.zone
    figures = scan_figures(services().store) if drawing.live else {}
    return Found(
        [
            ScanRow(
                view, zone.maybe(view.status.last_ok_at_ms, fleet.as_of_ms),
                figures.get(view.record.id),
            )
            for view in sorted(fleet.hosts, key=lambda view: view.slug)
        ],
        # That page speaks of the present alone.
        "/health" if drawing.live else "/hosts",
    )  # fmt: skip


def _took(row: ScanRow) -> str:
    took_ms = row.view.status.took_ms
    return duration(None if took_ms is None else took_ms / 1000)


def _missing(row: ScanRow) -> str:
    return ", ".join(one.part for one in row.view.status.missing) or gettext("none")


def _failed(row: ScanRow) -> Cell:
    if row.figures is None or not row.figures.scans:
        return Cell()
    if not row.figures.failed:
        return Cell(gettext("none"))
    return Cell(
        gettext("%(part)s of %(whole)s", part=row.figures.failed, whole=row.figures.scans),
        css="warn",
    )


def _gaps(row: ScanRow) -> str:
    return str(row.figures.gaps) if row.figures is not None and row.figures.scans else UNKNOWN


SCANS = Table(
    N_("Scans of the hosts"),
    _scans,
    (
        Column(N_("Host"), lambda row: row.view.slug),
        Column(N_("Now"), lambda row: gettext(_CONDITIONS[condition(row.view)])),
        Column(N_("Last success"), lambda row: Cell(at=row.last_ok)),
        Column(N_("Took"), _took, "num p2"),
        Column(N_("Calls"), lambda row: number(row.view.status.rpc_count), "num p4"),
        Column(N_("Missing parts"), _missing, "wrap p3"),
        Column(N_("Failed, 24 h"), _failed, "num p2"),
        Column(N_("Gaps, 24 h"), _gaps, "num p3"),
    ),
    N_("No host is there."),
    known=lambda row: row.view.status.known,
)


def _of_host(
    rows: Callable[[HostView], Sequence[R]],
) -> Callable[[Drawing], Found[R]]:
    """Finds the rows of the one host that is asked for. That raises InvalidField and NotFound."""

    def find(drawing: Drawing) -> Found[R]:
        host = find_host(drawing.fleet, only(drawing.arguments, "host"))
        return Found(rows(host), f"/hosts/{host.slug}", host.slug, host.status.known)

    return find


def _numa(host: HostView) -> Sequence[NumaRow]:
    facts = facts_of(host)
    return numa_rows(facts) if facts else ()


def _memory_devices(host: HostView) -> Sequence[MemoryDevice]:
    facts = facts_of(host)
    return hardware(facts.sysinfo).devices if facts and facts.sysinfo else ()


NUMA = Table(
    N_("NUMA nodes"),
    _of_host(_numa),
    (
        Column(N_("Node"), lambda row: str(row.id)),
        Column(N_("CPUs"), lambda row: str(row.cpus), "num"),
        Column(N_("Memory"), lambda row: row.memory, "num"),
        Column(N_("Distance"), lambda row: row.distances or UNKNOWN, "num p2"),
    ),
    N_("This host told of no NUMA node."),
)
# Without serial numbers: these are for who looks after the machine.
MEMORY_DEVICES = Table(
    N_("Memory devices"),
    _of_host(_memory_devices),
    (
        Column(N_("Slot"), lambda row: row.slot),
        Column(N_("Size"), lambda row: row.size if row.filled else gettext("empty")),
        Column(N_("Type"), lambda row: row.type, "p2"),
        Column(N_("Speed"), lambda row: row.speed, "num p2"),
        Column(N_("Made by"), lambda row: row.manufacturer, "p3"),
        Column(N_("Part"), lambda row: row.part, "p4"),
    ),
    N_("This host’s firmware told of none."),
    known=lambda row: row.filled,
)


def _leases(drawing: Drawing) -> Found[LeaseRow]:
    slug = only(drawing.arguments, "host")
    seen = find_network(drawing.fleet, slug, only(drawing.arguments, "network"))
    rows = network_row(seen, {}, drawing.zone).leases
    return Found(
        rows or (), f"/networks?host={slug}", seen.fact.name, seen.known,
        gettext("This host’s driver does not tell of leases.") if rows is None else "",
    )  # fmt: skip


LEASES = Table(
    N_("Leases"),
    _leases,
    (
        Column(N_("Address"), lambda row: row.address, "nowrap"),
        Column(N_("MAC address"), lambda row: row.mac, "p2"),
        Column(N_("Name"), lambda row: row.hostname or UNKNOWN),
        Column(N_("Until"), lambda row: Cell(at=row.expires)),
    ),
    N_("This network has no lease."),
)
