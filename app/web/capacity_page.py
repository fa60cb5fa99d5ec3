"""The page of the capacity review, and its part."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from flask import Blueprint, Response

from app.capacity.outlook import Outlook
from app.capacity.overcommit import Overcommit
from app.capacity.periods import day_text
from app.capacity.reclaim import Finding
from app.errors import InvalidField
from app.store.dismissals import Dismissal
from app.web import capacity_words as words
from app.web.capacity_chart import drawn
from app.web.capacity_review import BYS, Told, asked, review
from app.web.figures import size
from app.web.page import Drawing, View, draw
from app.web.permission import needs

blueprint = Blueprint("capacity", __name__)

_GIB = 1 << 30
_MOST_GIB = 1 << 30
CAPACITY = View(
    "capacity/part.html",
    "capacity",
    frozenset(("from", "to", "by", "owner", "vcpus", "memory_gib", "disk_gib", "count", "of")),
)
_FINDINGS_SHOWN = 50
_SPANS = (("30 days", 30), ("Quarter", 91), ("Year", 365))


class OutlookRow(NamedTuple):
    """A storage, or a host's memory or CPUs; `address` draws its chart."""

    name: str
    address: str
    known: bool
    value: str
    limit: str
    percent: int | None
    kind: str
    per_day: str
    full: str
    full_on: str
    css: str
    past: str


class OvercommitRow(NamedTuple):
    """A host; the meters are in percent of what is too much."""

    one: Overcommit
    vcpus: str
    memory: str
    vcpus_percent: int | None
    memory_percent: int | None
    p95: str
    last: str


class FindingRow(NamedTuple):
    """Something that could be taken back."""

    one: Finding
    why: str
    frees: str
    note: str
    has: str
    peak: str
    enough: str


@blueprint.get("/capacity")
@blueprint.get("/ui/capacity")
@needs("viewer")
def capacity() -> Response:
    """The capacity review of a moment."""
    return draw(CAPACITY, build)


def build(drawing: Drawing) -> Mapping[str, object]:
    """The context of capacity/part.html; raises InvalidField, StoreError."""
    arguments = drawing.arguments
    told = review(asked(_in_bytes(arguments), drawing.moment))
    seen, at_ms = told.evidence, told.evidence.at_ms
    rows = [_outlook_row(drawing, told, one, place) for place, one in enumerate(told.outlook)]
    chosen = _chosen(told, arguments.get("of", "0"))
    rest = [one for one in told.findings if one[0].kind != "larger-than-needed"]
    large = [one for one in told.findings if one[0].kind == "larger-than-needed"]
    first = min(
        (one for one in told.outlook if one.pool_uuid and one.full_ms is not None),
        key=lambda one: one.full_ms or 0,
        default=None,
    )
    return {
        "title": "Capacity review",
        "has_hosts": bool(drawing.fleet.hosts),
        "hosts": len(seen.hosts),
        "unjudged": [host.name for host in seen.hosts if not host.known],
        "period": told.period,
        "from_text": day_text(told.period.from_day),
        "to_text": day_text(told.period.end_day - 1),
        "history_text": "" if seen.first_day is None else day_text(seen.first_day),
        "spans": [
            (label, _href(drawing, {"from": day_text(seen.day - days + 1), "to": ""}),
             told.period.days == days)
            for label, days in _SPANS
        ],
        "facts": _facts(told, first),
        "chart": None if chosen is None else drawn(chosen, told.period.from_day, seen.day),
        "chosen": chosen,
        "chosen_name": "" if chosen is None else _name(chosen),
        "chosen_now": "" if chosen is None else
        f"{words.amount(chosen, chosen.value)} of {words.amount(chosen, chosen.limit)}",
        "chosen_full": "" if chosen is None else words.when_full(chosen, at_ms),
        "chosen_per_day": "" if chosen is None else words.per_day(chosen),
        "storages": [row for row in rows if row.kind == "storage"],
        "of_hosts": [row for row in rows if row.kind != "storage"],
        "overcommits": [_overcommit_row(drawing, one) for one in told.overcommit],
        "findings": [_finding_row(*one, at_ms) for one in rest[:_FINDINGS_SHOWN]],
        "findings_more": max(0, len(rest) - _FINDINGS_SHOWN),
        "large": [_finding_row(*one, at_ms) for one in large[:_FINDINGS_SHOWN]],
        "large_more": max(0, len(large) - _FINDINGS_SHOWN),
        "freed": told.freed,
        "freed_disk": size(told.freed.disk_bytes),
        "freed_memory": size(told.freed.memory_bytes),
        "growth": [
            (row, words.more(row.memory_bytes), words.more(row.allocated_bytes))
            for row in told.growth
        ],
        "by": arguments.get("by", "fleet"),
        "bys": [(by, _href(drawing, {"by": by})) for by in BYS],
        "losses": told.losses,
        "placed": told.placement,
        "verdicts": [] if told.placement is None
        else [words.verdict(fit, at_ms) for fit in told.placement.fits],
        "asked": {name: arguments.get(name, "") for name in CAPACITY.parameters},
        "csv": {table: _csv(drawing, table) for table in
                ("outlook", "overcommit", "reclaim", "growth")},
    }  # fmt: skip


def _in_bytes(arguments: Mapping[str, str]) -> dict[str, str]:
    """The page's arguments as the API has them: people type GiB."""
    found = {name: arguments[name] for name in ("from", "to", "by", "owner", "vcpus", "count")
             if arguments.get(name)}  # fmt: skip
    for field in ("memory", "disk"):
        text = arguments.get(f"{field}_gib", "").strip()
        if not text:
            continue
        try:
            gib = float(text) if text.isascii() else -1.0
        except ValueError:
            gib = -1.0
        if not 0 <= gib <= _MOST_GIB:
            raise InvalidField(f"{field}_gib", "Give a number of GiB.")
        found[f"{field}_bytes"] = str(round(gib * _GIB))
    return found


def _chosen(told: Told, text: str) -> Outlook | None:
    """Which outlook is charted: by its place in the list."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise InvalidField("of", "Name what is charted by its number.")
    place = int(text)
    if place >= len(told.outlook):
        raise InvalidField("of", "There is no such forecast.")
    return told.outlook[place]


def _href(drawing: Drawing, changed: Mapping[str, str]) -> str:
    """The page with some arguments changed; an empty one is left out."""
    pairs = {**drawing.arguments.to_dict(), **changed}
    kept = [(name, value) for name, value in pairs.items() if value]
    if drawing.moment.past:
        kept.append(("at", drawing.moment.text))
    return f"/capacity?{urlencode(kept)}".removesuffix("?")


def _csv(drawing: Drawing, table: str) -> str:
    given = drawing.arguments
    pairs = [(name, given[name]) for name in ("from", "to", "by", "owner") if given.get(name)]
    if drawing.moment.past:
        pairs.append(("at", drawing.moment.text))
    return f"/api/v1/capacity?{urlencode([*pairs, ('format', 'csv'), ('table', table)])}"


def _facts(told: Told, first: Outlook | None) -> list[tuple[str, str, str, str]]:
    """Label, value, what stands small beside it, and a class."""
    seen = told.evidence
    running = [one for one in seen.domains if one.active]
    whole = told.outlook[0]
    soon = "none foreseen"
    css = ""
    if first is not None:
        pool = first.names[0].partition("/")[2]
        soon = f"{pool} {words.when_full(first, seen.at_ms)}, {words.day_full(first)}"
        css = words.urgency(first, seen.at_ms)
    return [
        ("VMs", str(len(seen.domains)), f"{len(running)} running", ""),
        ("vCPU assigned", str(sum(one.vcpus or 0 for one in running)), "to running VMs", ""),
        ("Memory assigned", size(sum(one.memory_bytes or 0 for one in running)),
         "to running VMs", ""),
        ("Storage allocated", words.amount(whole, whole.value),
         f"of {words.amount(whole, whole.limit)}", ""),
        ("First pool full", soon, "", css),
    ]  # fmt: skip


def _name(one: Outlook) -> str:
    if one.what == "storage":
        return " = ".join(one.names) if one.host else "All pools"
    return f"{one.host}, {'CPU' if one.what == 'cpu' else 'memory'}"


def _outlook_row(drawing: Drawing, told: Told, one: Outlook, place: int) -> OutlookRow:
    past = next(
        (p.quality for p in told.last_month if (p.host, p.pool_uuid) == (one.host, one.pool_uuid)),
        None,
    )
    share = None
    if one.value is not None and one.limit:
        share = round(100 * one.value / one.limit)
    return OutlookRow(
        _name(one), _href(drawing, {"of": str(place)}), one.known,
        words.amount(one, one.value), words.amount(one, one.limit), share, one.what,
        words.per_day(one), words.when_full(one, told.evidence.at_ms), words.day_full(one),
        words.urgency(one, told.evidence.at_ms),
        "–" if past is None else f"{100 * past.within_80:.0f} % within, ±{100 * past.error:.1f} %",
    )  # fmt: skip


def _overcommit_row(drawing: Drawing, one: Overcommit) -> OvercommitRow:
    def percent(value: float | None, most: float) -> int | None:
        return None if value is None or not one.known else min(100, round(100 * value / most))

    stamp = "" if one.seen_ms is None else drawing.zone.stamp(one.seen_ms)
    p95 = "–" if one.cpu_p95 is None else f"{100 * one.cpu_p95:.0f} %"
    return OvercommitRow(
        one, f"{_or_dash(one.running_vcpus)} / {_or_dash(one.cpus)}",
        f"{size(one.running_memory_bytes)} / {size(one.memory_bytes)}",
        percent(one.vcpus_per_cpu, 4.0), percent(one.memory_ratio, 1.2),
        p95, "" if one.known else f"as of {stamp}" if stamp else "never seen",
    )  # fmt: skip


def _or_dash(value: int | None) -> str:
    return "–" if value is None else str(value)


def _finding_row(one: Finding, aside: Dismissal | None, at_ms: int) -> FindingRow:
    has, peak, enough = [], [], []
    if one.enough_vcpus is not None:
        has.append(f"{one.vcpus} vCPU")
        peak.append(f"{one.peak_vcpus:.1f}")
        enough.append(f"{one.enough_vcpus} vCPU")
    if one.enough_memory_bytes is not None:
        has.append(size(one.memory_bytes))
        peak.append(size(round(one.peak_memory_bytes or 0)))
        enough.append(size(one.enough_memory_bytes))
    return FindingRow(
        one, words.why(one, at_ms), words.frees(one), "" if aside is None else aside.note,
        ", ".join(has), ", ".join(peak), ", ".join(enough),
    )  # fmt: skip
