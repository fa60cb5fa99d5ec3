"""The numbered marks on charts: what happened in the time that they show, explained below them.

Reads the list of changes, of the hosts that the reader may see alone.
"""

from typing import NamedTuple

from app.clock import DAY_MS
from app.services import services
from app.store.changes import Change, Wanted, changes
from app.web.change_words import phrase, who
from app.web.identity import principal
from app.web.page import Drawing
from app.web.when import Zone, month_day

MOST = 9
# What is told of the fleet and of a host: trouble and software, not each of a hundred VMs' turns.
_TROUBLE = (
    "unreachable", "back", "crashed", "degraded", "inaccessible", "libvirt-upgraded",
    "libvirt-downgraded", "hypervisor-upgraded", "hypervisor-downgraded", "added", "deleted",
)  # fmt: skip
_BAD = frozenset(("crashed", "unreachable", "inaccessible", "degraded"))


class Mark(NamedTuple):
    """One event: its number, when, its grade ("" or "bad"), and what it says."""

    number: int
    at_s: int
    css: str
    time: str
    text: str
    who: str


def marks(
    drawing: Drawing, kind: str, host: str, key: str, from_ms: int, to_ms: int
) -> tuple[tuple[Mark, ...], int]:
    """The newest events between two times, in the order of time, and how many there are besides.

    `kind` is host, domain, pool or fleet.
    """
    wanted = Wanted(
        host_ids=principal().host_ids,
        hosts=(host,) if host else (),
        kinds=(kind,) if kind == "host" else (),
        whats=() if kind in ("domain", "pool", "host") else _TROUBLE,
        key=key,
        from_ms=from_ms,
        until_ms=to_ms,
        as_of_ms=drawing.moment.at_ms,
    )
    found, total = changes(services().store, wanted, limit=MOST)
    told = tuple(
        _mark(number, change, drawing.zone, kind, day_matters=to_ms - from_ms > DAY_MS)
        for number, change in enumerate(reversed(found), 1)
    )
    return told, total - len(found)


def _mark(number: int, change: Change, zone: Zone, kind: str, *, day_matters: bool) -> Mark:
    at = zone.local(change.at_ms)
    said = phrase(change)
    named = kind == "fleet" or kind != change.kind
    return Mark(
        number,
        change.at_ms // 1000,
        "bad" if change.what in _BAD else "",
        f"{month_day(at)} {at:%H:%M}" if day_matters else f"{at:%H:%M}",
        f"{change.name or change.key} {said.text}" if named else said.text,
        who(change),
    )
