"""The page of the capacity review, and its part."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from flask import Blueprint, Response

from app.capacity.growth import By
from app.capacity.outlook import Outlook
from app.capacity.periods import day_text
from app.capacity.reclaim import Finding
from app.capacity.words import amount, grows, more, outlook_name, when_and_on, when_full
from app.errors import InvalidField
from app.language import N_, gettext, language
from app.store.dismissals import Dismissal
from app.web import capacity_comparison
from app.web import capacity_words as words
from app.web.capacity_chart import drawn
from app.web.capacity_review import BYS, Told, asked, review
from app.web.capacity_rows import FindingRow, finding_row, outlook_row, overcommit_row
from app.web.figures import size
from app.web.identity import principal
from app.web.languages import choices, in_language
from app.web.page import Drawing, View, draw
from app.web.permission import needs

blueprint = Blueprint("capacity", __name__)

_GIB = 1 << 30
_MOST_GIB = 1 << 30
CAPACITY = View(
    "capacity/part.html",
    "capacity",
    frozenset(
        (
            "from", "to", "compare_from", "compare_to", "by", "owner", "vcpus", "memory_gib",
            "disk_gib", "count", "of", "lang",
        )
    ),
)  # fmt: skip
_FINDINGS_SHOWN = 50
_GROWTH = ("from", "to", "compare_from", "compare_to", "by", "owner")
_SPANS = ((N_("30 days"), 30), (N_("Quarter"), 91), (N_("Year"), 365))
# By what growth is grouped: as a column's label, and as what is chosen.
_BYS: Mapping[By, tuple[str, str]] = {
    "fleet": (N_("Fleet"), N_("fleet")), "host": (N_("Host"), N_("host")),
    "pool": (N_("Pool"), N_("pool")), "owner": (N_("Owner"), N_("owner")),
}  # fmt: skip


@blueprint.get("/capacity")
@blueprint.get("/ui/capacity")
@needs("viewer")
def capacity() -> Response:
    """The capacity review of a moment."""
    return draw(CAPACITY, build)


def build(drawing: Drawing) -> Mapping[str, object]:
    """The context of capacity/part.html; raises InvalidField, StoreError."""
    arguments = drawing.arguments
    wanted = asked(_in_bytes(arguments), drawing.moment)
    told = review(wanted)
    return {
        **_head(drawing, told),
        **_outlooks(drawing, told),
        **_findings(drawing, told),
        **_growth(drawing, told, wanted.by),
        **capacity_comparison.parts(
            told, wanted.by, lambda changed: _href(drawing, changed)
        ),
        "overcommits": [overcommit_row(one, drawing.zone) for one in told.overcommit],
        "losses": told.losses,
        "placed": told.placement,
        "verdicts": [] if told.placement is None
        else [words.verdict(fit, told.evidence.at_ms) for fit in told.placement.fits],
        "all_hosts": principal().host_ids is None,
        "asked": {name: arguments.get(name, "") for name in CAPACITY.parameters},
        "languages": choices(language(), lambda chosen: _href(drawing, {"lang": chosen})),
        "reports": drawing.moment.of(in_language("/capacity/reports", language())),
        "csv": {table: _csv(drawing, table) for table in
                ("outlook", "overcommit", "reclaim", "growth", "comparison")},
        "embedded": _embedded(drawing, told),
    }  # fmt: skip


def _head(drawing: Drawing, told: Told) -> dict[str, object]:
    """Of what the review tells, and the few figures before all tables."""
    seen = told.evidence
    return {
        "title": gettext("Capacity review"),
        "has_hosts": bool(drawing.fleet.hosts),
        "hosts": len(seen.hosts),
        "unjudged": [host.name for host in seen.hosts if not host.known],
        "known_at": f"{drawing.zone.date_and_time(seen.at_ms)} {drawing.zone.name(seen.at_ms)}",
        "period": told.period,
        "from_text": day_text(told.period.from_day),
        "to_text": day_text(told.period.end_day - 1),
        "history_text": "" if seen.first_day is None else day_text(seen.first_day),
        "spans": [
            (gettext(label), _href(drawing, {"from": day_text(seen.day - days + 1), "to": ""}),
             told.period.days == days)
            for label, days in _SPANS
        ],
        "facts": _facts(told),
    }  # fmt: skip


def _outlooks(drawing: Drawing, told: Told) -> dict[str, object]:
    """What is full when, and the chart of one of them."""
    chosen, at_ms = _chosen(told, drawing.arguments.get("of", "0")), told.evidence.at_ms
    past = told.qualities
    rows = [
        outlook_row(
            one, past.get((one.host, one.pool_uuid)), at_ms, _href(drawing, {"of": str(place)})
        )
        for place, one in enumerate(told.outlook)
    ]
    return {
        "chart": drawn(chosen, told.period.from_day, told.evidence.day),
        "chosen_name": outlook_name(chosen),
        "chosen_now":
        gettext("%(value)s of %(limit)s", value=amount(chosen, chosen.value),
                limit=amount(chosen, chosen.limit)),
        "chosen_full": when_full(chosen, at_ms),
        "chosen_per_day": grows(chosen.what, chosen.per_day),
        "storages": [row for row in rows if row.kind == "storage"],
        "of_hosts": [row for row in rows if row.kind != "storage"],
    }  # fmt: skip


def _findings(drawing: Drawing, told: Told) -> dict[str, object]:
    """What could be taken back, and what that would free; what was dismissed comes last."""
    ordered = sorted(told.findings, key=lambda one: one[1] is not None)
    large = [one for one in ordered if one[0].kind == "larger-than-needed"]
    rest = [one for one in ordered if one[0].kind != "larger-than-needed"]

    def rows(some: Sequence[tuple[Finding, Dismissal | None]]) -> list[FindingRow]:
        at_ms = told.evidence.at_ms
        return [finding_row(*one, at_ms, drawing.zone) for one in some[:_FINDINGS_SHOWN]]

    return {
        "acts": drawing.acts,
        "findings": rows(rest),
        "findings_more": max(0, len(rest) - _FINDINGS_SHOWN),
        "large": rows(large),
        "large_more": max(0, len(large) - _FINDINGS_SHOWN),
        "freed_disk": size(told.freed.disk_bytes),
        "freed_memory": size(told.freed.memory_bytes),
    }


def _growth(drawing: Drawing, told: Told, by: By) -> dict[str, object]:
    """What grew, and by what else it may be grouped."""
    return {
        "growth": [(row, more(row.memory_bytes), more(row.allocated_bytes)) for row in told.growth],
        "by": by,
        "by_label": gettext(_BYS[by][0]),
        "bys": [(one, gettext(_BYS[one][1]), _href(drawing, {"by": one})) for one in BYS],
    }


def _in_bytes(arguments: Mapping[str, str]) -> dict[str, str]:
    """The page's arguments as the API has them: people type GiB."""
    found = {name: arguments[name] for name in (*_GROWTH, "vcpus", "count") if arguments.get(name)}
    for field in ("memory", "disk"):
        text = arguments.get(f"{field}_gib", "").strip()
        if not text:
            continue
        try:
            gib = float(text) if text.isascii() else -1.0
        except ValueError:
            gib = -1.0
        if not 0 <= gib <= _MOST_GIB:
            raise InvalidField(f"{field}_gib", gettext("Give a number of GiB."))
        found[f"{field}_bytes"] = str(round(gib * _GIB))
    return found


def _chosen(told: Told, text: str) -> Outlook:
    """Which outlook is charted: by its place in the list."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise InvalidField("of", gettext("Name what is charted by its number."))
    place = int(text)
    if place >= len(told.outlook):
        raise InvalidField("of", gettext("There is no such forecast."))
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
    pairs = [(name, given[name]) for name in _GROWTH if given.get(name)]
    if drawing.moment.past:
        pairs.append(("at", drawing.moment.text))
    return f"/api/v1/capacity?{urlencode([*pairs, ('format', 'csv'), ('table', table)])}"


def _embedded(drawing: Drawing, told: Told) -> dict[str, str]:
    """By view, the query that an embed of what the page shows is asked with."""
    given, chosen = drawing.arguments, _chosen(told, drawing.arguments.get("of", "0"))
    at = [("at", drawing.moment.text)] if drawing.moment.past else []
    days, grouped = (
        [(name, given[name]) for name in names if given.get(name)]
        for names in (("from", "to"), ("by", "owner"))
    )
    of = [("what", chosen.what), ("host", chosen.host), ("id", chosen.pool_uuid)]
    queries = {
        "forecast": [*(pair for pair in of if pair[1]), *days],
        "outlook": [("what", "storage")],
        "outlook_of_hosts": [("what", "memory"), ("what", "cpu")],
        "overcommit": days,
        "growth": [*grouped, *days],
        "rest": [],
    }
    return {view: urlencode([*pairs, *at]) for view, pairs in queries.items()}


def _facts(told: Told) -> list[tuple[str, str, str, str]]:
    """Label, value, what stands small beside it, and a class."""
    seen = told.evidence
    running = [one for one in seen.domains if one.active]
    whole = told.outlook[0]
    first = min(
        (one for one in told.outlook if one.pool_uuid and one.full_ms is not None),
        key=lambda one: one.full_ms or 0,
        default=None,
    )
    soon = gettext("none foreseen")
    css = ""
    if first is not None:
        pool = first.names[0].partition("/")[2]
        soon = gettext("%(pool)s %(when)s", pool=pool, when=when_and_on(first, seen.at_ms))
        css = words.urgency(first, seen.at_ms)
    return [
        (gettext("VMs"), str(len(seen.domains)),
         gettext("%(count)s running", count=len(running)), ""),
        (gettext("vCPU assigned"), str(sum(one.vcpus or 0 for one in running)),
         gettext("to running VMs"), ""),
        (gettext("Memory assigned"), size(sum(one.memory_bytes or 0 for one in running)),
         gettext("to running VMs"), ""),
        (gettext("Storage allocated"), amount(whole, whole.value),
         gettext("of %(limit)s", limit=amount(whole, whole.limit)), ""),
        (gettext("First pool full"), soon, "", css),
    ]  # fmt: skip
