"""The audit as a page, as JSON and as CSV: who asked for what, and what came of it.

Everybody sees the records of the hosts in their scope; what was done to npvirt itself (users,
tokens, sign-ins) is for admins of all hosts. libvirt's own words are for admins.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, request
from msgspec import Struct
from msgspec.structs import replace

from app import clock
from app.clock import rfc3339
from app.errors import InvalidField
from app.services import services
from app.store.audit import OUTCOMES, Record, Wanted, count_by_outcome, records
from app.store.views import Fleet
from app.web.api.answers import Made, answer_made
from app.web.identity import may, principal
from app.web.moment import Moment, moment
from app.web.operations import AT, Query, number, operation, time, words
from app.web.page import form_page, pages
from app.web.permission import needs
from app.web.shapes import npvirt as shapes
from app.web.when import When

blueprint = Blueprint("audit", __name__)

_PARAMETERS = frozenset(
    ("who", "action", "host", "key", "outcome", "q", "from", "to", "sort", "page", "per_page",
     "at", "format", "span")
)  # fmt: skip
_PER_PAGE, _MOST = 100, 1000
_CSV_MOST = 100_000
_SORTS = ("-at", "at")
_TEXT_MAX = 200
_COLUMNS = (
    "id", "at", "who", "role", "peer", "action", "kind", "host", "key", "name", "parameters",
    "outcome", "sentence", "took_ms", "ended_at",
)  # fmt: skip
_LOOKS = {
    "ok": ("run", "check", "ok"), "failed": ("crash", "x", "failed"),
    "unknown": ("unk", "unk", "unknown"), "refused": ("off", "ban", "refused"),
    "": ("stop", "build", "goes on"),
}  # fmt: skip


_QUERY = (
    Query("who", "Of this user, or token:NAME."),
    Query("action", "This action, as the audit names it."),
    Query("host", "On this host."),
    Query("key", "Of this object."),
    words("outcome", "That came to this; open: that go on.", (*OUTCOMES, "open")),
    Query("q", "A word that occurs."),
    time("from", "Asked for then or later."),
    time("to", "Asked for then or before."),
    words("sort", "The order; -at is the newest first.", _SORTS),
    number("page", "Which page.", 10_000_000, 1),
    number("per_page", "How many of them.", _MOST, _PER_PAGE),
    AT,
)


class Row(Struct, frozen=True):
    """One record as the table shows it."""

    id: int
    at: When
    who: str
    role: str
    peer: str
    action: str
    kind: str
    host: str
    name: str
    address: str
    parameters: str
    css: str
    icon: str
    word: str
    sentence: str
    detail: str
    took: str


class _Asked(Struct, frozen=True):
    wanted: Wanted
    page: int
    per_page: int
    at: Moment
    oldest_first: bool


@blueprint.get("/audit")
@needs("viewer")
def page() -> Response:
    """The newest records that fit, or all of them as CSV."""
    if request.args.get("format") == "csv":
        return answer_made(_PARAMETERS, _make, "audit", _COLUMNS, follows_fleet=False)
    asked = _asked()
    found, total = _found(asked)
    pairs = [(k, v) for k, v in request.args.items() if v and k not in ("page", "format", "span")]
    query = urlencode(pairs)
    last = asked.page * asked.per_page
    present = urlencode([(k, v) for k, v in request.args.items() if v and k not in ("at", "span")])
    return form_page(
        "audit/list.html",
        "",
        "Audit",
        at=asked.at,
        address=f"/audit?{present}".removesuffix("?"),
        rows=[_row(one, asked) for one in found],
        total=total,
        given={name: request.args.get(name, "") for name in _PARAMETERS},
        outcomes=(*OUTCOMES, "open"),
        narrowed=bool(set(dict(pairs)) - {"per_page", "at"}),
        csv=f"/audit?{query}{'&' if query else ''}format=csv",
        first=(asked.page - 1) * asked.per_page + 1,
        last=min(last, total),
        previous=f"/audit?{query}&page={asked.page - 1}" if asked.page > 1 else "",
        following=f"/audit?{query}&page={asked.page + 1}" if last < total else "",
    )


@blueprint.get("/api/v1/audit")
@needs("viewer")
@operation("npvirt", shapes.AuditPage, *_QUERY, csv=True)
def as_json() -> Response:
    """Who asked for what, and what came of it, newest first. What concerns npvirt itself is for
    admins of all hosts.
    """
    return answer_made(_PARAMETERS, _make, "audit", _COLUMNS, follows_fleet=False)


def _make(_seen: Fleet, *, everything: bool) -> Made:
    asked, now_ms = _asked(), clock.now_ms()
    if everything:
        asked = replace(asked, page=1, per_page=_CSV_MOST)
    found, total = _found(asked)
    items = [_item(one) for one in found]
    if request.args.get("format") == "csv":
        # As JSON, so that nothing of them is lost in the file.
        items = [
            {**one, "parameters": msgspec.json.encode(one["parameters"]).decode()} for one in items
        ]
    counts = count_by_outcome(services().store, asked.wanted)
    hosts = tuple(filter(None, (asked.wanted.host,)))
    as_of_ms = now_ms if asked.at.at_ms is None else asked.at.at_ms
    return Made(items, total, asked.page, counts, hosts, as_of_ms)


def _asked() -> _Asked:
    for name in request.args:
        if name not in _PARAMETERS:
            raise InvalidField(name[:40], f"This address takes no parameter “{name[:40]}”.")
    given = {name: request.args.get(name, "").strip()[:_TEXT_MAX] for name in _PARAMETERS}
    if given["outcome"] not in ("", "open", *OUTCOMES):
        raise InvalidField("outcome", f"The outcome is {', '.join(OUTCOMES)} or open.")
    if given["format"] not in ("", "json", "csv"):
        raise InvalidField("format", "The format is json or csv.")
    if given["sort"] not in ("", *_SORTS):
        raise InvalidField("sort", "Sort by at, or by -at for the newest first.")
    at = moment(request.args, clock.now_ms())
    until_ms = _time(given["to"], "to")
    if at.at_ms is not None:
        until_ms = at.at_ms if until_ms is None else min(until_ms, at.at_ms)
    wanted = Wanted(
        who=given["who"],
        action=given["action"],
        host=given["host"],
        host_ids=principal().host_ids,
        key=given["key"],
        outcome=given["outcome"],
        text=given["q"],
        from_ms=_time(given["from"], "from"),
        until_ms=until_ms,
        of_hosts=principal().host_ids is not None or not may("admin"),
        as_of_ms=at.at_ms,
    )
    return _Asked(
        wanted,
        _number(given["page"], "page", 1, 10_000_000, 1),
        _number(given["per_page"], "per_page", 1, _MOST, _PER_PAGE),
        at,
        given["sort"] == "at",
    )


def _time(text: str, field: str) -> int | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidField(field, "Give RFC 3339 with a zone, such as 2026-05-01T09:30Z.")
    return round(at.timestamp() * 1000)


def _number(text: str, field: str, least: int, most: int, otherwise: int) -> int:
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 9 and least <= int(text) <= most):
        raise InvalidField(field, f"{field} is a number from {least} to {most}.")
    return int(text)


def _found(asked: _Asked) -> tuple[list[Record], int]:
    offset = (asked.page - 1) * asked.per_page
    return records(
        services().store, asked.wanted, limit=asked.per_page, offset=offset,
        oldest_first=asked.oldest_first,
    )  # fmt: skip


def _item(record: Record) -> dict[str, Any]:
    item = {
        "id": record.id,
        "at": rfc3339(record.at_ms),
        "who": record.who,
        "role": record.role,
        "peer": record.peer or None,
        "action": record.action,
        "kind": record.kind,
        "host": record.host or None,
        "key": record.key or None,
        "name": record.name or None,
        "parameters": record.parameters,
        "outcome": record.outcome,
        "sentence": record.sentence,
        "took_ms": record.took_ms,
        "ended_at": rfc3339(record.ended_at_ms) if record.ended_at_ms else None,
        "request_id": record.request_id,
    }
    if may("admin"):
        item["detail"] = record.detail
    return item


def _row(record: Record, asked: _Asked) -> Row:
    css, icon, word = _LOOKS[record.outcome or ""]
    now_ms = clock.now_ms() if asked.at.at_ms is None else asked.at.at_ms
    return Row(
        id=record.id,
        at=pages().zone.when(record.at_ms, now_ms),
        who=record.who or "nobody",
        role=record.role,
        peer=record.peer,
        action=record.action,
        kind=record.kind,
        host=record.host,
        name=record.name or record.key,
        address=f"{address}{asked.at.query}" if (address := _address(record)) else "",
        parameters=_parameters(record.parameters),
        css=css,
        icon=icon,
        word=word,
        sentence=record.sentence or "",
        detail=(record.detail or "") if may("admin") else "",
        took="" if record.took_ms is None else f"{record.took_ms} ms",
    )


def _address(record: Record) -> str:
    if not record.host or not record.key:
        return f"/hosts/{record.host}" if record.host else ""
    if record.kind in ("domain", "snapshot"):
        return f"/hosts/{record.host}/domains/{record.key}"
    return f"/hosts/{record.host}/pools/{record.key}" if record.kind == "pool" else ""


def _parameters(given: Mapping[str, Any]) -> str:
    # What was not asked for is not worth a word, nor is libvirt's number of a domain that ran.
    shown = (
        (name, value)
        for name, value in given.items()
        if value not in (None, "", [], False) and name != "domain_id"
    )
    return ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in shown)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
