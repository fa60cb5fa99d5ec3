"""What the store holds, what each tier costs, and what other lengths would: page and JSON.

Sizes are estimates from samples (app/store/holdings). They are of the store as a whole, and tell
how many objects and changes there are on all hosts together: they are for readers of all hosts.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from flask import Blueprint, Response, request

from app.clock import rfc3339
from app.errors import InvalidField
from app.inventory import KindName
from app.services import services
from app.settings import Settings, duration_s
from app.store.holdings import MEASURED, TIERS, Cost, Fleet, Holdings, estimate, holdings
from app.store.retention import Lengths, lengths_of
from app.web.api.answers import check_parameters
from app.web.backup_words import backup_words
from app.web.figures import Part, shares, size
from app.web.operations import Query, operation
from app.web.page import form_page, pages
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.shapes import npvirt as shapes
from app.web.trouble import banners_html
from app.web.when import When

blueprint = Blueprint("store", __name__)

# field, tier that it is the length of, what it is called
_LENGTHS = (
    ("recent", "recent", "Every scan as it was"),
    ("1m", "1m", "By the minute"),
    ("10m", "10m", "By ten minutes"),
    ("1h", "1h", "By the hour"),
    ("daily", "1d", "By the day"),
)
_COUNTS: tuple[tuple[str, KindName, str], ...] = (
    ("hosts", "host", "Hosts"),
    ("domains", "domain", "VMs"),
    ("pools", "pool", "Pools"),
    ("volumes", "volume", "Volumes"),
)
_PARAMETERS = frozenset((*(f"keep_{name}" for name, _, _ in _LENGTHS), *(c[0] for c in _COUNTS)))
_SETTINGS = {"recent": "NPVIRT_KEEP_RECENT", "1m": "NPVIRT_KEEP_1M", "10m": "NPVIRT_KEEP_10M",
             "1h": "NPVIRT_KEEP_1H", "1d": "NPVIRT_KEEP_DAILY"}  # fmt: skip
_WORDS: Mapping[str, tuple[str, str]] = {
    "recent": ("Every scan", "what was measured, as it was"),
    "1m": ("Minutes", "mean, least and greatest"),
    "10m": ("Ten minutes", "mean, least and greatest"),
    "1h": ("Hours", "mean, least and greatest"),
    "keyframes": ("The fleet, hour by hour", "for looks at lists long ago; as long as hours"),
    "1d": ("Days", "least, mean, greatest, 95 % and last, as plain rows"),
}
_CSS = {"recent": "rx", "1m": "cpu", "10m": "mem", "1h": "a", "keyframes": "b", "1d": "tx"}
_KINDS = {"host": "hosts", "domain": "domains", "pool": "pools", "volume": "volumes"}
_MOST_OBJECTS = 1_000_000
_QUERY = (
    *(Query(f"keep_{name}", f"How long to keep “{label}”, such as 48h, 14d or 2y; as set if not "
            "given.") for name, _, label in _LENGTHS),
    *(Query(name, f"How many there would be: {label}; as many as there are if not given.",
            {"type": "integer", "minimum": 0, "maximum": _MOST_OBJECTS})
      for name, _, label in _COUNTS),
)  # fmt: skip


class _Asked(NamedTuple):
    lengths: Lengths
    fleet: Fleet
    given: Mapping[str, str]


class Tier(NamedTuple):
    """A tier as a row of the page."""

    name: str
    css: str
    label: str
    says: str
    kept: str
    setting: str
    since: When | None
    size: str
    percent: float
    per_day: str
    then: str
    then_more: str


@blueprint.get("/store")
@needs("viewer", everywhere=True)
def page() -> Response:
    """The page, with the form's answer if it was asked."""
    check_parameters(_PARAMETERS)
    wrong: InvalidField | None = None
    try:
        asked = _asked(request.args)
    except InvalidField as error:
        wrong, asked = error, _asked({})
        asked = asked._replace(given={**asked.given, **request.args.to_dict()})
    chosen = services().settings
    found = holdings(services().store, chosen.scan_seconds)
    as_set = estimate(found, asked.fleet, lengths_of(chosen))
    as_asked = estimate(found, asked.fleet, asked.lengths)
    rows = list(_tiers(found, chosen, as_set, as_asked))
    begun = found.first_ms
    return form_page(
        "store.html",
        "",
        "The store",
        status=422 if wrong else 200,
        wrong=wrong,
        tiers=rows,
        parts=_parts(found),
        file=size(found.file_bytes),
        free=size(found.free_bytes) if found.free_bytes else "",
        rest=_bytes(found.rest_bytes),
        counts=found.counts,
        first=pages().zone.when(begun, None) if begun is not None else None,
        costs=list(_costs(found)),
        measured=bool(found.costs),
        lengths=[(f"keep_{name}", label) for name, _, label in _LENGTHS],
        objects=[(name, label) for name, _, label in _COUNTS],
        given=asked.given,
        changed=bool(request.args),
        then=size(round(sum(as_asked.values()))),
        now=size(round(sum(as_set.values()))),
        backup=backup_words(),
    )


@blueprint.get("/ui/trouble")
@needs("viewer")
def trouble() -> Response:
    """The banner of every page; nothing where all is well."""
    return Response(banners_html(services().store, pages().zone), mimetype="text/html")


@blueprint.get("/api/v1/store")
@needs("viewer", everywhere=True)
@operation("npvirt", shapes.StoreHoldings, *_QUERY)
def as_json() -> Response:
    """What the store holds, what each tier costs, and what other lengths would."""
    asked = _asked(request.args)
    chosen = services().settings
    found = holdings(services().store, chosen.scan_seconds)
    as_asked = estimate(found, asked.fleet, asked.lengths)
    body = {
        "file_bytes": found.file_bytes,
        "free_bytes": found.free_bytes,
        "first_at": rfc3339(found.first_ms) if found.first_ms is not None else None,
        "counts": found.counts,
        "tiers": [_tier_item(found, chosen, name, as_asked) for name in TIERS],
        "rest_bytes": found.rest_bytes,
        "metrics": [
            {"kind": cost.kind, "series": cost.series, "metrics": cost.metrics,
             "bytes_per_object_and_day": cost.bytes_per_day}
            for cost in found.costs
        ],
        "estimate": {
            "objects": {_KINDS[kind]: count for kind, count in asked.fleet.counts.items()},
            "bytes": round(sum(as_asked.values())),
        },
    }  # fmt: skip
    return Response(msgspec.json.encode(body), mimetype="application/json")


def _tier_item(
    found: Holdings, chosen: Settings, name: str, as_asked: Mapping[str, float]
) -> dict[str, Any]:
    since = found.from_ms.get(name)
    return {
        "tier": name,
        "keep_seconds": _kept_s(lengths_of(chosen), name),
        "from": rfc3339(since) if since is not None else None,
        "bytes": found.tier_bytes(name),
        "kinds": {
            part.kind: {
                "bytes": part.size_bytes,
                "bytes_per_object_and_day": round(part.object_day_bytes, 1),
                "measured": part.measured,
            }
            for part in found.parts
            if part.tier == name
        },
        "estimate_bytes": round(as_asked[name]),
    }


def _asked(arguments: Mapping[str, str]) -> _Asked:
    """The lengths and the fleet that are asked for; those that are, where they are not."""
    chosen = services().settings
    given = dict(_as_set(chosen))
    seconds = {}
    for name, _, label in _LENGTHS:
        field = f"keep_{name}"
        text = arguments.get(field, "").strip() or given[field]
        given[field] = text
        try:
            seconds[name] = duration_s(text)
        except ValueError as error:
            raise InvalidField(field, f"“{label}” {error}.") from None
    for (finer, _, first), (coarser, _, second) in pairwise(_LENGTHS):
        if seconds[coarser] <= seconds[finer]:
            raise InvalidField(
                f"keep_{coarser}", f"“{second}” must be kept longer than “{first}” is."
            )
    counts: dict[KindName, int] = {}
    for name, kind, label in _COUNTS:
        text = arguments.get(name, "").strip() or given[name]
        given[name] = text
        is_number = text.isascii() and text.isdigit() and len(text) < 12
        if not (is_number and int(text) <= _MOST_OBJECTS):
            raise InvalidField(name, f"“{label}” must be a number from 0 to {_MOST_OBJECTS}.")
        counts[kind] = int(text)
    lengths = Lengths(*(1000 * seconds[name] for name, _, _ in _LENGTHS))
    return _Asked(lengths, Fleet(counts, chosen.scan_seconds), given)


def _as_set(chosen: Settings) -> Iterator[tuple[str, str]]:
    """The form as it is before anybody changes it: what is set, and the fleet as it is."""
    lengths = lengths_of(chosen)
    for name, tier, _ in _LENGTHS:
        yield f"keep_{name}", _length(_kept_s(lengths, tier))
    fleet = seen_fleet(None)
    yield "hosts", str(len(fleet.hosts))
    yield "domains", str(len(fleet.domains))
    yield "pools", str(len(fleet.pools))
    yield "volumes", str(len(fleet.volumes))


def _kept_s(lengths: Lengths, tier: str) -> int:
    kept_ms = {
        "recent": lengths.recent_ms, "1m": lengths.minutes_ms, "10m": lengths.tens_ms,
        "1h": lengths.hours_ms, "keyframes": lengths.hours_ms, "1d": lengths.daily_ms,
    }  # fmt: skip
    return kept_ms[tier] // 1000


def _length(seconds: int) -> str:
    """As a setting would say it: "48h", "14d", "2y"."""
    hours = seconds // 3600
    if hours % 24 or hours <= 48:
        return f"{hours}h"
    return f"{hours // 8760}y" if hours % 8760 == 0 else f"{hours // 24}d"


def _tiers(
    found: Holdings, chosen: Settings, as_set: Mapping[str, float], as_asked: Mapping[str, float]
) -> Iterator[Tier]:
    lengths = lengths_of(chosen)
    for name in TIERS:
        label, says = _WORDS[name]
        since = found.from_ms.get(name)
        held = found.tier_bytes(name)
        more = as_asked[name] - as_set[name]
        yield Tier(
            name,
            _CSS[name],
            label,
            says,
            _length(_kept_s(lengths, name)),
            _SETTINGS.get(name, "NPVIRT_KEEP_1H"),
            pages().zone.when(since, None) if since is not None else None,
            size(held),
            round(100 * held / max(1, found.file_bytes), 1),
            size(round(_per_day(as_set[name], _kept_s(lengths, name)))),
            size(round(as_asked[name])),
            "" if abs(more) < 1 else f"{'+' if more > 0 else '−'} {size(round(abs(more)))}",
        )


def _per_day(whole: float, kept_s: int) -> float:
    return whole * 86_400 / kept_s


def _parts(found: Holdings) -> list[Part]:
    """The file as one bar of shares."""
    parts = [(_CSS[name], float(found.tier_bytes(name))) for name in TIERS]
    return shares(
        [*parts, ("rest", float(found.rest_bytes or 0)), ("free", float(found.free_bytes))]
    )


def _costs(found: Holdings) -> Iterator[tuple[str, str, str, str, str, str]]:
    """By series: whose it is, what shows it, bytes a day in each tier, and in a year of hours."""
    for cost in sorted(found.costs, key=_cost_order):
        each = cost.bytes_per_day
        texts = [_bytes(each.get(name)) for name in ("1m", "10m", "1h")]
        label = ", ".join(cost.metrics) or cost.series
        yield cost.kind, label, cost.series, texts[0], texts[1], texts[2]


def _cost_order(cost: Cost) -> tuple[int, float]:
    return MEASURED.index(cost.kind), -sum(cost.bytes_per_day.values())


def _bytes(value: float | None) -> str:
    return "–" if value is None else size(round(value))
