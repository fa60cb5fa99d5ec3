"""Two moments compared: the page, its JSON and its CSV.

Without a second moment the page names the present by its time, so that the address says what is
compared and shows the same whenever it is opened.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, redirect, request

from app import clock
from app.clock import DAY_MS, rfc3339
from app.csv import to_csv
from app.errors import InvalidField
from app.inventory import KindName
from app.web.comparing import KINDS, WHATS, Comparison, Fate, What, compare
from app.web.fates import in_words, values
from app.web.moment import LIVE, Moment, moment, typed_moment
from app.web.operations import operation, time
from app.web.page import Drawing, View, draw, form_page, pages
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.shapes import history as shapes
from app.web.words import DOMAIN_LOOKS, POOL_LOOKS

blueprint = Blueprint("compare", __name__)

COMPARE = View("travel/compare.html", "", frozenset(("with", "kind", "what")))

_QUERY = (
    time("at", "The first moment.", required=True),
    time("with", "The second moment; the present if not given."),
)
_TITLES: Mapping[KindName, str] = {
    "host": "Hosts", "domain": "Virtual machines", "pool": "Storage pools", "volume": "Volumes",
    "network": "Networks", "interface": "Host interfaces",
}  # fmt: skip
_WORDS: Mapping[What, tuple[str, str]] = {
    "created": ("new", "ok-t"), "deleted": ("gone", "bad-t"), "moved": ("moved", ""),
    "changed": ("changed", ""), "unknown": ("unknown", "unk-t"), "watched": ("host added", ""),
    "unwatched": ("host removed", ""), "same": ("same", "muted"),
}  # fmt: skip
_ROWS_SHOWN = 500
_COLUMNS = (
    "kind", "host", "key", "name", "what", "to_host", "field", "part", "old", "new", "then_state",
    "now_state",
)  # fmt: skip


class Row(NamedTuple):
    """One object that differs; addresses are "" where there is no page of it."""

    name: str
    host: str
    then_at: str
    now_at: str
    css: str
    word: str
    then_state: str
    now_state: str
    details: tuple[tuple[str, str, str], ...]


class Section(NamedTuple):
    """The objects of one kind; `counts` are (class, number, word)."""

    kind: str
    title: str
    totals: tuple[int, int]
    counts: tuple[tuple[str, int, str], ...]
    rows: tuple[Row, ...]
    more: int


@blueprint.get("/compare")
@blueprint.get("/ui/compare")
@needs("viewer")
def page() -> Response:
    """What differs between `at` and `with`; typed times lead there."""
    if "then" in request.args:
        return _typed()
    if "at" not in request.args:
        return _form()
    at = moment(request.args, clock.now_ms())
    if not request.args.get("with"):
        pairs = [("at", at.text), ("with", rfc3339(clock.now_ms()))]
        return _go(f"/compare?{urlencode(pairs)}")
    return draw(COMPARE, build)


def build(drawing: Drawing) -> Mapping[str, object]:
    """The context of travel/compare.html."""
    other = moment({"at": drawing.arguments["with"]}, clock.now_ms())
    found = compare(drawing.fleet, seen_fleet(other.at_ms))
    zone, at = drawing.zone, drawing.moment
    sections = [_section(kind, found, at, other) for kind in KINDS]
    return {
        "title": "Compare",
        "then_text": zone.date_and_time(at.at_ms or 0),
        "now_text": zone.date_and_time(other.at_ms or 0),
        "then_typed": zone.local(at.at_ms or 0).strftime("%Y-%m-%d %H:%M:%S"),
        "now_typed": zone.local(other.at_ms or 0).strftime("%Y-%m-%d %H:%M:%S"),
        "zone_text": zone.name(at.at_ms or 0),
        "swap": f"/compare?{urlencode([('at', other.text), ('with', at.text)])}",
        "sections": [one for one in sections if one.rows],
        "same": [(one.title, one.totals[0]) for one in sections if not one.rows and one.totals[0]],
        "exported": f"/api/v1/compare?{urlencode([('at', at.text), ('with', other.text)])}",
    }


def _typed() -> Response:
    """From the form: to the comparison of the two times that were typed."""
    zone, now_ms = pages().zone, clock.now_ms()
    then, until = request.args.get("then", ""), request.args.get("until", "").strip()
    try:
        pairs = [("at", typed_moment(then[:60], zone, now_ms).text)]
        if until:
            pairs.append(("with", typed_moment(until[:60], zone, now_ms).text))
    except InvalidField as error:
        return _form(then, until, error.sentence, 422)
    return _go(f"/compare?{urlencode(pairs)}")


def _form(then: str = "", until: str = "", sentence: str = "", status: int = 200) -> Response:
    zone, now_ms = pages().zone, clock.now_ms()
    then = then or zone.local(now_ms - DAY_MS).strftime("%Y-%m-%d %H:%M")
    return form_page(
        "travel/compare_form.html", "", "Compare", status=status, then=then, until=until,
        sentence=sentence, zone_text=zone.name(now_ms),
    )  # fmt: skip


def _go(address: str) -> Response:
    return redirect(address, 303)  # type: ignore[return-value]  # werkzeug's own Response class


def _section(kind: KindName, found: Comparison, at: Moment, other: Moment) -> Section:
    fates = found.fates[kind]
    counts = tuple(
        (_WORDS[what][1], number, _WORDS[what][0])
        for what in WHATS
        if (number := found.count(kind, what))
    )
    rows = tuple(_row(fate, at, other) for fate in fates[:_ROWS_SHOWN])
    return Section(
        kind, _TITLES[kind], found.totals[kind], counts, rows, max(0, len(fates) - _ROWS_SHOWN)
    )


def _row(fate: Fate, at: Moment, other: Moment) -> Row:
    word, css = _WORDS[fate.what]
    now_state = "" if fate.now is None or not fate.now.known else _state(fate, fate.now)
    told = [(in_words(one), *values(one)) for one in fate.differences]
    # The states themselves stand above.
    details = [one for one in told if one != (now_state, "", "")]
    if fate.what == "moved" and fate.now is not None and fate.then is not None:
        details.insert(0, ("Moved", fate.then.host, fate.now.host))
    return Row(
        name_of(fate), fate.seen.host, _address(fate, fate.then, at),
        _address(fate, fate.now, other), css, word, _state(fate, fate.then), now_state,
        tuple(details),
    )  # fmt: skip


def name_of(fate: Fate) -> str:
    """What the object is called."""
    return str(getattr(fate.seen.fact, "name", fate.seen.host))


def _state(fate: Fate, seen: Any) -> str:
    state = getattr(seen.fact, "state", None) if seen is not None else None
    if state is None:
        return ""
    looks = {"domain": DOMAIN_LOOKS, "pool": POOL_LOOKS}.get(fate.kind, {})
    return looks[state].word if state in looks else str(state).capitalize()


def _address(fate: Fate, seen: Any, at: Moment) -> str:
    if seen is None:
        return ""
    host = f"/hosts/{seen.host}"
    path = {
        "host": host, "domain": f"{host}/domains/{seen.key}", "pool": f"{host}/pools/{seen.key}",
        "volume": f"{host}/pools/{getattr(seen.fact, 'pool_uuid', '')}",
    }.get(fate.kind, f"/networks?host={seen.host}")  # fmt: skip
    return f"{path}{at.also if '?' in path else at.query}"


# --- JSON and CSV --------------------------------------------------------------------------


@blueprint.get("/api/v1/compare")
@needs("viewer")
@operation("history", shapes.Compared, *_QUERY, csv=True)
def as_json() -> Response:
    """What differs between two moments: what came, went, moved and changed."""
    given = request.args
    form = given.get("format", "json")
    if form not in ("json", "csv"):
        raise InvalidField("format", "The format is json or csv.")
    if "at" not in given:
        raise InvalidField("at", "Give the first moment as “at”, and the second as “with”.")
    now_ms = clock.now_ms()
    at = moment(given, now_ms)
    other = moment({"at": given["with"]}, now_ms) if given.get("with") else LIVE
    then, now = seen_fleet(at.at_ms), seen_fleet(other.at_ms)
    found = compare(then, now)
    if form == "csv":
        text = to_csv(_lines(found), _COLUMNS)
        name = 'attachment; filename="npvirt-compare.csv"'
        return Response(text, mimetype="text/csv", headers={"Content-Disposition": name})
    body = {
        "at": at.text,
        "with": other.text or None,
        "as_of": [None if one is None else rfc3339(one) for one in (then.as_of_ms, now.as_of_ms)],
        "counts": {kind: _counts(kind, found) for kind in KINDS},
        "items": [_item(fate) for kind in KINDS for fate in found.fates[kind]],
    }
    return Response(msgspec.json.encode(body), mimetype="application/json")


def _counts(kind: KindName, found: Comparison) -> Mapping[str, int]:
    before, after = found.totals[kind]
    counts: dict[str, int] = {what: found.count(kind, what) for what in WHATS if what != "same"}
    return {"then": before, "now": after, **counts}


def _item(fate: Fate) -> dict[str, Any]:
    return {
        **_named(fate),
        "then": _side(fate.then),
        "now": _side(fate.now),
        "differences": [
            {"what": one.what, "field": one.field or None, "part": one.part, "old": one.old,
             "new": one.new}
            for one in fate.differences
        ],
    }  # fmt: skip


def _named(fate: Fate) -> dict[str, Any]:
    return {
        "kind": fate.kind,
        "host": fate.seen.host,
        "key": fate.seen.key,
        "name": name_of(fate),
        "what": fate.what,
    }


def _side(seen: Any) -> dict[str, Any] | None:
    if seen is None:
        return None
    state = getattr(seen.fact, "state", None)
    return {"host": seen.host, "state": state if seen.known else None}


def _lines(found: Comparison) -> Iterator[dict[str, Any]]:
    """One line per difference, and one for what came or went."""
    for kind in KINDS:
        for fate in found.fates[kind]:
            then, now = _side(fate.then), _side(fate.now)
            line = {
                **_named(fate),
                "to_host": now["host"] if now and fate.what == "moved" else None,
                "field": None, "part": None, "old": None, "new": None,
                "then_state": then["state"] if then else None,
                "now_state": now["state"] if now else None,
            }  # fmt: skip
            details: Sequence[dict[str, Any]] = [
                {"field": one.field or one.what, "part": one.part, "old": one.old, "new": one.new}
                for one in fate.differences
            ]
            for detail in details or [{}]:
                yield {**line, **detail}
