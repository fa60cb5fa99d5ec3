"""The capacity review as JSON, and each of its tables as CSV."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from flask import Response, request
from msgspec.structs import asdict

from app import clock
from app.capacity.backtest import Quality
from app.capacity.forecast import FURTHEST_DAYS, Forecast
from app.capacity.growth import Compared
from app.capacity.losses import Loss
from app.capacity.outlook import Outlook
from app.capacity.periods import Period, day_text
from app.capacity.placement import Fit, Placement
from app.capacity.reclaim import Finding
from app.capacity.report import Dismissed
from app.clock import rfc3339
from app.csv import to_csv
from app.errors import InvalidField
from app.store.dismissals import Dismissal
from app.web.api import blueprint
from app.web.api.answers import kept, scans_of
from app.web.api.items import Item, time_or_none
from app.web.capacity_review import BYS, PARAMETERS, Comparison, Told, asked, review
from app.web.moment import moment
from app.web.operations import AT, Query, number, operation, words
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.shapes import capacity as shapes

_BANDS = 30
_DAY = {"type": "string", "format": "date"}
TABLES = ("outlook", "overcommit", "reclaim", "growth", "comparison", "losses", "placement")


def _whole(name: str, says: str, least: int, most: int) -> Query:
    return Query(name, says, {"type": "integer", "minimum": least, "maximum": most})


_QUERY = (
    AT,
    Query("from", "The first day that is told of (UTC); 90 days before the moment if not given.",
          _DAY),
    Query("to", "The last day that is told of, itself included; that of the moment if not given.",
          _DAY),
    Query("compare_from", "The first day of another period to compare growth with; one end alone: "
          "it has as many days.", _DAY),
    Query("compare_to", "The last day of that period, itself included.", _DAY),
    words("by", "What growth is grouped by.", BYS),
    Query("owner", "Where a domain's title or description names its owner: text with {owner} in "
          "it once.", {"type": "string", "maxLength": 100, "examples": ["team {owner}"]}),
    _whole("vcpus", "Where does a domain with so many vCPUs fit?", 1, 4096),
    _whole("memory_bytes", "And with so much memory.", 1, 1 << 60),
    _whole("disk_bytes", "And with so large a disk; 0: none.", 0, 1 << 60),
    _whole("count", "How many like it.", 1, 1000),
    number("days", "So many days of each forecast are told.", FURTHEST_DAYS, _BANDS, 0),
    words("table", "Which table, as comma-separated values.", TABLES),
)  # fmt: skip


@blueprint.get("/api/v1/capacity")
@needs("viewer")
@operation("fleet", shapes.Review, *_QUERY, csv=True)
def capacity() -> Response:
    """The capacity review: forecasts, overcommit, what can be taken back, growth, and where a new
    domain fits.
    """
    arguments = request.args
    at = moment(arguments, clock.now_ms())
    wanted = asked({name: arguments[name] for name in PARAMETERS & set(arguments)}, at)
    table = arguments.get("table", "outlook")
    if table not in TABLES:
        raise InvalidField("table", f"The table is one of: {', '.join(TABLES)}.")
    form, days = arguments.get("format", "json"), _bands()
    if form not in ("json", "csv"):
        raise InvalidField("format", "The format is json or csv.")
    seen = seen_fleet(at.at_ms)
    if form == "csv":
        made = kept(seen, "text/csv", lambda: _csv(review(wanted), table))
        made.headers["Content-Disposition"] = f'attachment; filename="npvirt-capacity-{table}.csv"'
        return made

    def body() -> bytes:
        told = review(wanted)
        return msgspec.json.encode({**_body(told, days), **scans_of(seen, ())})

    return kept(seen, "application/json", body)


def _bands() -> int:
    text = request.args.get("days", str(_BANDS))
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and int(text) <= FURTHEST_DAYS):
        raise InvalidField("days", f"Give a number of days up to {FURTHEST_DAYS}.")
    return int(text)


def _body(told: Told, days: int) -> Item:
    past = told.qualities
    first, of = told.evidence.first_day, told.period
    return {
        "at": rfc3339(told.evidence.at_ms),
        "history_from": None if first is None else day_text(first),
        "period": period_item(of),
        "outlook": [
            _outlook(one, past.get((one.host, one.pool_uuid)), days) for one in told.outlook
        ],
        "overcommit": _overcommits(told),
        "reclaim": [finding_item(*one) for one in told.findings],
        "freed": asdict(told.freed),
        "growth": [asdict(one) for one in told.growth],
        "comparison": None if told.comparison is None else _comparison(told.comparison),
        "losses": [asdict(one) for one in told.losses],
        "placement": None if told.placement is None else _placement(told.placement),
    }  # fmt: skip


def compared_item(one: Compared) -> Item:
    """A group in two periods."""
    first = None if one.first is None else asdict(one.first)
    return {"group": one.group, "first": first, "second": asdict(one.second)}


def period_item(of: Period) -> Item:
    """The days of a period, the last one included."""
    return {
        "from": day_text(of.from_day), "to": day_text(of.end_day - 1), "cut": list(of.cut),
    }  # fmt: skip


def _comparison(told: Comparison) -> Item:
    return {
        "period": period_item(told.period),
        "groups": [compared_item(one) for one in told.groups],
    }


def _outlook(one: Outlook, past: Quality | None, days: int) -> Item:
    told = one.told
    return {
        "what": one.what,
        "host": one.host or None,
        "pool": one.pool_uuid or None,
        "names": list(one.names),
        "known": one.known,
        "value": one.value,
        "limit": one.limit,
        "full_at": time_or_none(one.full_ms),
        "full_early_at": time_or_none(one.full_early_ms),
        "full_late_at": time_or_none(one.full_late_ms),
        "forecast": _forecast(told, days) if isinstance(told, Forecast) else None,
        "refusal": None if isinstance(told, Forecast) else told.reason,
        "last_month": None if past is None else asdict(past),
    }


def _forecast(told: Forecast, days: int) -> Item:
    return {
        "days_seen": told.days,
        "per_day": told.per_day,
        "weekly": told.week is not None,
        "steps": [{"day": day_text(step.day), "size": step.size} for step in told.steps],
        "bands": [{**asdict(band), "day": day_text(band.day)} for band in told.bands(days)],
    }


def _overcommits(told: Told) -> list[Item]:
    found = []
    for one in told.overcommit:
        item = asdict(one)
        for name in ("vcpus_per_cpu_by_day", "memory_ratio_by_day"):
            del item[name]
        item["seen_at"] = time_or_none(item.pop("seen_ms"))
        found.append(item)
    return found


def finding_item(one: Finding, dismissal: Dismissal | Dismissed | None) -> Item:
    """A finding with how it was dismissed."""
    item = asdict(one)
    item["seen_at"] = rfc3339(item.pop("seen_ms"))
    item["since"] = time_or_none(item.pop("since_ms"))
    item["dismissed"] = None
    if dismissal is not None:
        item["dismissed"] = {
            "at": rfc3339(dismissal.at_ms),
            "who": dismissal.who,
            "note": dismissal.note,
        }
    return item


def _placement(told: Placement) -> Item:
    return {
        "wish": asdict(told.wish),
        "fits": [_fit(one) for one in told.fits],
        "placed": told.placed,
    }


def _fit(one: Fit) -> Item:
    item = asdict(one)
    for name in ("full_before", "full_after"):
        item[f"{name}_at"] = time_or_none(item.pop(f"{name}_ms"))
    return item


# --- CSV -----------------------------------------------------------------------------------


def _csv(told: Told, table: str) -> bytes:
    items = _ITEMS[table](told)
    # What the columns of an empty table are is told by its shape.
    return to_csv(items, _COLUMNS[table]).encode()


def _outlook_lines(told: Told) -> Sequence[Item]:
    lines = []
    for one in _body(told, 0)["outlook"]:
        forecast = one.pop("forecast") or {"days_seen": None, "per_day": None, "weekly": None}
        past = one.pop("last_month") or {"within_80": None, "error": None}
        lines.append(
            {**one, **forecast, "last_month_within_80": past["within_80"],
             "last_month_error": past["error"]}
        )  # fmt: skip
    return lines


def _finding_lines(told: Told) -> Sequence[Item]:
    items = (finding_item(*one) for one in told.findings)
    return [{**one, "note": (one["dismissed"] or {}).get("note")} for one in items]


def _comparison_lines(told: Told) -> Sequence[Item]:
    """A group a line, of each figure that of both periods."""
    if told.comparison is None:
        return []
    return [
        {"group": one.group}
        | {
            f"{which}_{name}": value
            for name in _COMPARED
            for which, value in (
                ("first", None if one.first is None else getattr(one.first, name)),
                ("second", getattr(one.second, name)),
            )
        }
        for one in told.comparison.groups
    ]  # fmt: skip


_ITEMS: Mapping[str, Callable[[Told], Sequence[Item]]] = {
    "outlook": _outlook_lines,
    "overcommit": _overcommits,
    "reclaim": _finding_lines,
    "growth": lambda told: [asdict(one) for one in told.growth],
    "comparison": _comparison_lines,
    "losses": lambda told: [asdict(one) for one in told.losses],
    "placement": lambda told: _placement(told.placement)["fits"] if told.placement else [],
}


def _named(shape: Any, *without: str) -> tuple[str, ...]:
    names = getattr(shape, "__struct_fields__", None) or shape.__annotations__
    return tuple(name for name in names if name not in without)


_COMPARED = _named(shapes.Growth, "period", "group")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "outlook": (
        *_named(shapes.Outlook, "forecast", "last_month"), "days_seen", "per_day", "weekly",
        "last_month_within_80", "last_month_error",
    ),
    "overcommit": _named(shapes.Overcommit),
    "reclaim": (*_named(shapes.Finding, "dismissed", "facts_digest"), "note"),
    "growth": _named(shapes.Growth),
    "comparison": (
        "group", *(f"{which}_{name}" for name in _COMPARED for which in ("first", "second")),
    ),
    "losses": _named(Loss),
    "placement": _named(shapes.Fit),
}  # fmt: skip
