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
_SHORT_OF = {"": UNKNOWN, "vcpus": "vCPUs", "memory": "memory"}


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
    "When it is full",
    _outlooks,
    (
        Column("What", lambda row: row.name),
        Column("Use", _use),
        Column("Now", lambda row: row.value, "num p3"),
        Column("Of", lambda row: row.limit, "num p3"),
        Column("Growth", lambda row: row.per_day, "num p4"),
        Column(
            "Full", lambda row: Cell(row.full, row.full_on, css=row.css.removesuffix("-t")), "wrap"
        ),
    ),
    "Nothing was measured yet.",
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
    "Overcommit per host",
    _overcommits,
    (
        Column("Host", lambda row: row.one.host),
        Column("vCPU / threads", lambda row: row.vcpus, "num p3"),
        Column(
            "CPU overcommit",
            lambda row: _times(
                row.one.vcpus_per_cpu, 1, Meter(row.vcpus_percent), _warned(row, "vcpus")
            ),
        ),
        Column("Memory", lambda row: row.memory, "num p4"),
        Column(
            "Memory overcommit",
            lambda row: _times(
                row.one.memory_ratio, 2, Meter(row.memory_percent, "meter-mem"),
                _warned(row, "memory"),
            ),
        ),
        Column("Storage promised", lambda row: _times(row.one.storage_ratio, 2), "num p3"),
        Column("CPU p95", lambda row: row.last or row.p95, "num p2"),
    ),
    "No host is there.",
    known=lambda row: row.one.known,
)  # fmt: skip

LOSSES: Table[Loss] = Table(
    "If a host is lost",
    lambda drawing: Found(reviewed(drawing).losses, _PAGE),
    (
        Column("Host", lambda row: row.host),
        Column("VMs", lambda row: str(row.domains), "num"),
        Column(
            "Without a place",
            lambda row: Cell(str(len(row.without_place)), css="warn" if row.without_place else ""),
            "num",
        ),
        Column("Short of", lambda row: _SHORT_OF[row.breaks], "p2"),
        Column("On its own disks", lambda row: str(len(row.local)), "num p2"),
    ),
    "No host is there.",
    known=lambda row: row.known,
)


# --- what could be taken back -----------------------------------------------------------------


def _findings(drawing: Drawing) -> Found[FindingRow]:
    wanted = _chosen(drawing, "kind", _KINDS)
    told = reviewed(drawing)
    found = [one for one in told.findings if one.kind in wanted]
    sums = freed(found)
    said = f"all of it frees {size(sums.disk_bytes)} disk, {size(sums.memory_bytes)} memory"
    return Found(_rows(drawing, told, found), _PAGE, more=said if found else "")


def _large(drawing: Drawing) -> Found[FindingRow]:
    told = reviewed(drawing)
    found = [one for one in told.findings if one.kind == _LARGE]
    return Found(_rows(drawing, told, found), _PAGE)


def _rows(drawing: Drawing, told: Reviewed, found: Sequence[Finding]) -> Sequence[FindingRow]:
    return [finding_row(one, None, told.at_ms, drawing.zone) for one in found]


RECLAIM = Table(
    "Idle or unused",
    _findings,
    (
        Column("What", lambda row: Cell(row.one.subject, row.one.host, under=row.why)),
        Column("Could free", lambda row: row.frees, "num"),
    ),
    "Nothing that could be taken back was found.",
    known=lambda row: row.one.known,
)
RIGHTSIZING = Table(
    "Larger than needed",
    _large,
    (
        Column("VM", lambda row: Cell(row.one.subject, row.one.host)),
        Column("Has", lambda row: row.has, "num"),
        Column("Peak", lambda row: row.peak, "num p2"),
        Column("Enough", lambda row: row.enough, "num"),
    ),
    "No VM has twice what it needs, or it was not seen for long enough.",
    known=lambda row: row.one.known,
)


# --- growth -----------------------------------------------------------------------------------


def _month(row: Growth) -> Cell:
    return Cell(row.period, ", ".join(filter(None, (row.group, "in part" if row.partial else ""))))


GROWTH: Table[Growth] = Table(
    "Growth per month",
    lambda drawing: Found(reviewed(drawing).growth, _PAGE),
    (
        Column("Month", _month),
        Column("Created", lambda row: str(row.created), "num"),
        Column("Deleted", lambda row: str(row.deleted), "num"),
        Column("Memory", lambda row: more(row.memory_bytes), "num p2"),
        Column("Allocated", lambda row: more(row.allocated_bytes), "num"),
    ),
    "Nothing is known of these days.",
)


def _chosen(drawing: Drawing, name: str, words: Sequence[str]) -> Collection[str]:
    """Those of `words` that are asked for; all, if none is. Raises InvalidField."""
    given = drawing.arguments.getlist(name)
    if not set(given) <= set(words):
        raise InvalidField(name, f"{name} is one of: {', '.join(words)}.")
    return given or words
