"""The list of changes as a page with its part, as JSON and as CSV, and one change with its XML.

Everybody sees the changes of the hosts in their scope, and who did it, as in the audit. What the
XML was is for operators, as everywhere.
"""

from collections.abc import Mapping

from flask import Blueprint, Response, request
from msgspec.structs import replace

from app import clock
from app.errors import InvalidField, NotFound
from app.inventory import Definition
from app.services import services
from app.store.changes import Change, changes, count_by_what, definitions, get_change
from app.store.views import Fleet
from app.web.api.answers import Made, answer_made, check_parameters, known_hosts
from app.web.api.declared import PAGING
from app.web.change_query import NOTHING, PARAMETERS, Asked, read_asked
from app.web.change_rows import COLUMNS, Rows, item
from app.web.change_words import GROUPS, KINDS, WHATS
from app.web.identity import principal
from app.web.list_page import Choice, Pager, host_choices, placed
from app.web.moment import moment
from app.web.operations import AT, HOST, Query, operation, words
from app.web.page import Drawing, View, draw, pages
from app.web.permission import needs
from app.web.shapes import history as shapes
from app.web.text_difference import Side, compare

blueprint = Blueprint("changes", __name__)

LIST = View("changes/list.html", "history", PARAMETERS)
ONE = View("changes/one.html", "history")
_CSV_MOST = 100_000
_TIME = "RFC 3339 with a zone, epoch seconds, or date and time of the server's zone."
_QUERY = (
    HOST,
    Query("q", "At most eight words that all must occur."),
    words("kind", "Of this kind.", tuple(KINDS), many=True),
    words("what", "A change, or a group of them.", (*GROUPS, *WHATS), many=True),
    Query("key", "Of one object; of a pool: with its volumes."),
    Query("from", f"Told then or later. {_TIME}"),
    Query("to", f"Told then or before. {_TIME}"),
    *PAGING,
    AT,
)


@blueprint.get("/changes")
@blueprint.get("/ui/changes")
@needs("viewer")
def page() -> Response:
    """The changes, their part, or all of them as CSV."""
    if "format" in request.args:
        return answer_made(PARAMETERS, _make, "changes", COLUMNS)
    return placed(draw(LIST, build), "/changes")


@blueprint.get("/api/v1/changes")
@needs("viewer")
@operation("history", shapes.ChangePage, *_QUERY, csv=True)
def as_json() -> Response:
    """What happened to hosts and to what is on them, newest first."""
    return answer_made(PARAMETERS, _make, "changes", COLUMNS)


@blueprint.get("/changes/<int:change_id>/definition")
@needs("operator")
def definition(change_id: int) -> Response:
    """A definition as it was `when` ("before" or "after" a change), `of` what is "saved" or what
    is "live": XML as a file of text.
    """
    given = check_parameters(("of", "when", "at"))
    of, when = given.get("of"), given.get("when")
    if of not in ("saved", "live"):
        raise InvalidField("of", "A definition is of what is saved or of what is live.")
    if when not in ("before", "after"):
        raise InvalidField("when", "A definition is that before or after the change.")
    at = moment(given, clock.now_ms())
    found = definitions(services().store, _found(change_id, at.at_ms))
    one = found[0 if when == "before" else 1] or Definition()
    text = one.inactive_xml if of == "saved" else one.live_xml
    if text is None:
        raise NotFound("This definition is not kept.")
    name = f'attachment; filename="change-{change_id}-{of}-{when}.xml.txt"'
    return Response(text, mimetype="text/plain", headers={"Content-Disposition": name})


@blueprint.get("/changes/<int:change_id>")
@blueprint.get("/ui/changes/<int:change_id>")
@needs("operator")
def one(change_id: int) -> Response:
    """One change, with the difference of the definition that came with it."""
    return draw(ONE, lambda drawing: build_one(drawing, change_id))


def _make(seen: Fleet, *, everything: bool) -> Made:
    """The items of a list; `everything`: all that fit, as a file has them."""
    strict = request.path.startswith("/api/")
    asked = read_asked(request.args, known_hosts(seen), pages().zone, clock.now_ms(), strict=strict)
    wanted = asked.wanted(principal().host_ids, seen.moment_ms)
    if seen.as_of_ms is None:
        return Made([], 0, asked.query.page, {}, asked.query.hosts)
    limit = _CSV_MOST if everything else asked.query.per_page
    offset = 0 if everything else (asked.query.page - 1) * asked.query.per_page
    store = services().store
    found, total = changes(store, wanted, limit=limit, offset=offset)
    counts = {} if everything else count_by_what(store, wanted)
    return Made([item(one) for one in found], total, asked.query.page, counts, asked.query.hosts)


def build(drawing: Drawing) -> Mapping[str, object]:
    """The context of changes/list.html."""
    seen, zone, at = drawing.fleet, drawing.zone, drawing.moment
    asked = read_asked(drawing.arguments, known_hosts(seen), zone, clock.now_ms())
    wanted = asked.wanted(principal().host_ids, at.at_ms)
    store, query = services().store, asked.query
    offset = (query.page - 1) * query.per_page
    found, total = changes(store, wanted, limit=query.per_page, offset=offset)
    return {
        "title": "History",
        "asked": asked,
        "days": Rows(seen, zone, at).days(found),
        "total": total,
        "hosts": host_choices(seen, query.host),
        "kinds": _kinds(asked),
        "groups": _groups(asked, drawing, count_by_what(store, wanted)),
        "of": found[0].name if asked.key and found else asked.key,
        "all_objects": asked.href("/changes", at, key=""),
        "clear": NOTHING.href("/changes", at),
        "csv": f"{_joined(asked.href('/api/v1/changes', at))}format=csv",
        "pager": _pager(asked, drawing, total),
        "has_hosts": bool(seen.hosts),
        "zone_name": zone.name(at.at_ms or clock.now_ms()),
    }


def _joined(address: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}"


def _kinds(asked: Asked) -> list[Choice]:
    chosen = asked.kinds[0] if asked.kinds else ""
    every = Choice("", "All kinds", not chosen)
    return [every, *(Choice(kind, label, kind == chosen) for kind, label in KINDS.items())]


def _groups(
    asked: Asked, drawing: Drawing, counts: Mapping[str, int]
) -> list[tuple[str, str, int, str, bool]]:
    """Per group of changes: its word, label, count, address and whether it is chosen."""
    return [
        (
            group,
            label,
            sum(counts.get(what, 0) for what in whats),
            asked.href("/changes", drawing.moment, whats=asked.toggled(group)),
            group in asked.whats,
        )
        for group, (label, whats) in GROUPS.items()
    ]


def _pager(asked: Asked, drawing: Drawing, total: int) -> Pager:
    query, at = asked.query, drawing.moment
    first = (query.page - 1) * query.per_page + 1
    last = min(total, query.page * query.per_page)
    pages_in_all = -(-total // query.per_page)
    before = min(query.page - 1, pages_in_all)
    return Pager(
        f"{first} – {last} of {total}" if first <= last else f"0 of {total}",
        asked.href("/changes", at, page=before) if before >= 1 else "",
        asked.href("/changes", at, page=query.page + 1) if query.page < pages_in_all else "",
        needed=pages_in_all > 1 or query.page > 1,
    )


def build_one(drawing: Drawing, change_id: int) -> Mapping[str, object]:
    """The context of changes/one.html; raises NotFound."""
    found = _found(change_id, drawing.moment.at_ms)
    old, new = definitions(services().store, found)
    row = Rows(drawing.fleet, drawing.zone, drawing.moment).row(found, dated=True)
    return {
        "title": f"{row.name} {row.verb}"[:80],
        "row": row,
        "stamp": drawing.zone.stamp(found.at_ms),
        "day": drawing.zone.day_and_time(found.at_ms),
        "iso": row.iso,
        "sides": _sides(old, new),
        "xml_address": f"/changes/{change_id}/definition",
        "has_xml": found.xml_id is not None,
        "kept": old is not None and new is not None,
        "list_address": _list_of(found, drawing),
    }


def _found(change_id: int, at_ms: int | None) -> Change:
    found = get_change(services().store, change_id, principal().host_ids, at_ms)
    if found is None:
        raise NotFound("There is no such change at this moment.")
    return found


def _sides(old: Definition | None, new: Definition | None) -> list[Side]:
    """The saved and the live definition where they differ; one where both differ in the same."""
    if old is None or new is None:
        return []
    both: tuple[tuple[str, str | None, str | None], ...] = (
        ("Saved definition", old.inactive_xml, new.inactive_xml),
        ("Live definition", old.live_xml, new.live_xml),
    )
    sides = [
        compare(label, was, now)
        for label, was, now in both
        if was is not None and now is not None and was != now
    ]
    if len(sides) == 2 and sides[0].changed and sides[0].changed == sides[1].changed:
        return [sides[0]._replace(label="Saved and live definition")]
    return sides


def _list_of(change: Change, drawing: Drawing) -> str:
    return replace(NOTHING, key=change.key).href("/changes", drawing.moment)
