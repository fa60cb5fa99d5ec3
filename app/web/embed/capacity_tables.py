"""The tables of the capacity review that can be embedded, as its page in the panel has them.

What somebody dismissed is left out, and so is who did: that is between those who are signed in.
"""

from collections.abc import Collection, Sequence

from app.capacity.growth import Growth
from app.capacity.losses import Loss
from app.capacity.outlook import WHATS
from app.capacity.reclaim import FINDING_KINDS, Finding, freed
from app.capacity.words import more
from app.errors import InvalidField
from app.language import N_, gettext
from app.web.capacity_rows import (
    FindingRow,
    OutlookRow,
    OvercommitRow,
    finding_row,
    outlook_row,
    overcommit_row,
)
from app.web.drawing import Drawing
from app.web.embed.reviewed import Reviewed, reviewed
from app.web.embed.tables import Cell, Column, Found, Meter, Table
from app.web.figures import size, warning
from app.web.format import UNKNOWN
from app.web.locales import figure

_PAGE = "/capacity"
_LARGE = "larger-than-needed"
_KINDS = tuple(kind for kind in FINDING_KINDS if kind != _LARGE)
_SHORT_OF = {"": UNKNOWN, "vcpus": N_("vCPUs"), "memory": N_("memory")}


# --- when it is full --------------------------------------------------------------------------


def _outlooks(drawing: Drawing) -> Found[OutlookRow]:
    wanted = _chosen(drawing, "what", WHATS)
    told = reviewed(drawing)
    return Found(
        [outlook_row(one, None, told.at_ms, "") for one in told.outlook if one.what in wanted],
        _PAGE,
    )


def _use(row: OutlookRow) -> Cell:
    bar = min(row.percent, 100) if row.known and row.percent is not None else None
    css = warning(bar) or ("" if row.kind == "cpu" else "meter-mem")
    return Cell(UNKNOWN if row.percent is None else f"{row.percent} %", meter=Meter(bar, css))


OUTLOOK = Table(
    N_("When it is full"),
    _outlooks,
    (
        Column(N_("What"), lambda row: row.name),
        Column(N_("Use"), _use),
        Column(N_("Now"), lambda row: row.value, "num p3"),
        Column(N_("Of"), lambda row: row.limit, "num p3"),
        Column(N_("Growth"), lambda row: row.per_day, "num p4"),
        Column(
            N_("Full"),
            lambda row: Cell(row.full, row.full_on, css=row.css.removesuffix("-t")),
            "wrap",
        ),
    ),
    N_("Nothing was measured yet."),
    known=lambda row: row.known,
)


# --- what hosts promised, and what is lost with one -------------------------------------------


def _overcommits(drawing: Drawing) -> Found[OvercommitRow]:
    return Found([overcommit_row(one, drawing.zone) for one in reviewed(drawing).overcommit], _PAGE)


def _times(ratio: float | None, figures: int, meter: Meter | None = None, css: str = "") -> Cell:
    text = UNKNOWN if ratio is None else figure(f"{ratio:.{figures}f}×")
    return Cell(text, meter=meter, css=css)


def _warned(row: OvercommitRow, reason: str) -> str:
    return "warn" if reason in row.one.reasons else ""


OVERCOMMIT = Table(
    N_("Overcommit per host"),
    _overcommits,
    (
        Column(N_("Host"), lambda row: row.one.host),
        Column(N_("vCPU / threads"), lambda row: row.vcpus, "num p3"),
        Column(
            N_("CPU overcommit"),
            lambda row: _times(
                row.one.vcpus_per_cpu, 1, Meter(row.vcpus_percent), _warned(row, "vcpus")
            ),
        ),
        Column(N_("Memory"), lambda row: row.memory, "num p4"),
        Column(
            N_("Memory overcommit"),
            lambda row: _times(
                row.one.memory_ratio, 2, Meter(row.memory_percent, "meter-mem"),
                _warned(row, "memory"),
            ),
        ),
        Column(N_("Storage promised"), lambda row: _times(row.one.storage_ratio, 2), "num p3"),
        Column(N_("CPU p95"), lambda row: row.last or row.p95, "num p2"),
    ),
    N_("No host is there."),
    known=lambda row: row.one.known,
)  # fmt: skip

LOSSES: Table[Loss] = Table(
    N_("If a host is lost"),
    lambda drawing: Found(reviewed(drawing).losses, _PAGE),
    (
        Column(N_("Host"), lambda row: row.host),
        Column(N_("VMs"), lambda row: str(row.domains), "num"),
        Column(
            N_("Without a place"),
            lambda row: Cell(str(len(row.without_place)), css="warn" if row.without_place else ""),
            "num",
        ),
        Column(N_("Short of"), lambda row: gettext(_SHORT_OF[row.breaks]), "p2"),
        Column(N_("On its own disks"), lambda row: str(len(row.local)), "num p2"),
    ),
    N_("No host is there."),
    known=lambda row: row.known,
)


# --- what could be taken back -----------------------------------------------------------------


def _findings(drawing: Drawing) -> Found[FindingRow]:
    wanted = _chosen(drawing, "kind", _KINDS)
    told = reviewed(drawing)
    found = [one for one in told.findings if one.kind in wanted]
    sums = freed(found)
    said = gettext(
        "all of it frees %(disk)s disk, %(memory)s memory",
        disk=size(sums.disk_bytes), memory=size(sums.memory_bytes),
    )  # fmt: skip
    return Found(_rows(drawing, told, found), _PAGE, more=said if found else "")


def _large(drawing: Drawing) -> Found[FindingRow]:
    told = reviewed(drawing)
    found = [one for one in told.findings if one.kind == _LARGE]
    return Found(_rows(drawing, told, found), _PAGE)


def _rows(drawing: Drawing, told: Reviewed, found: Sequence[Finding]) -> Sequence[FindingRow]:
    return [finding_row(one, None, told.at_ms, drawing.zone) for one in found]


RECLAIM = Table(
    N_("Idle or unused"),
    _findings,
    (
        Column(N_("What"), lambda row: Cell(row.one.subject, row.one.host, under=row.why)),
        Column(N_("Could free"), lambda row: row.frees, "num"),
    ),
    N_("Nothing that could be taken back was found."),
    known=lambda row: row.one.known,
)
RIGHTSIZING = Table(
    N_("Larger than needed"),
    _large,
    (
        Column(N_("VM"), lambda row: Cell(row.one.subject, row.one.host)),
        Column(N_("Has"), lambda row: row.has, "num"),
        Column(N_("Peak"), lambda row: row.peak, "num p2"),
        Column(N_("Enough"), lambda row: row.enough, "num"),
    ),
    N_("No VM has twice what it needs, or it was not seen for long enough."),
    known=lambda row: row.one.known,
)


# --- growth -----------------------------------------------------------------------------------


def _month(row: Growth) -> Cell:
    part = gettext("in part") if row.partial else ""
    return Cell(row.period, gettext(", ").join(filter(None, (row.group, part))))


GROWTH: Table[Growth] = Table(
    N_("Growth per month"),
    lambda drawing: Found(reviewed(drawing).growth, _PAGE),
    (
        Column(N_("Month"), _month),
        Column(N_("Created"), lambda row: str(row.created), "num"),
        Column(N_("Deleted"), lambda row: str(row.deleted), "num"),
        Column(N_("Memory"), lambda row: more(row.memory_bytes), "num p2"),
        Column(N_("Allocated"), lambda row: more(row.allocated_bytes), "num"),
    ),
    N_("Nothing is known of these days."),
)


def _chosen(drawing: Drawing, name: str, words: Sequence[str]) -> Collection[str]:
    """Those of `words` that are asked for; all, if none is. Raises InvalidField."""
    given = drawing.arguments.getlist(name)
    if not set(given) <= set(words):
        raise InvalidField(
            name, gettext("%(name)s is one of: %(words)s.", name=name, words=", ".join(words))
        )
    return given or words
