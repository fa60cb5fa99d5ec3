"""Where something is that is not here: an object that is gone, or not there yet, was seen at some
other time, and a domain may be on another host. For the page and the JSON that say “not found”.
"""

from typing import Any

from flask import request
from msgspec import Struct

from app import clock
from app.clock import rfc3339
from app.errors import InvalidField
from app.services import services
from app.store.became import Span, spans
from app.web.identity import maybe_principal
from app.web.moment import Moment, moment
from app.web.page import page_address, pages
from app.web.scope import seen_fleet

_KINDS = {"domains": "domain", "pools": "pool", "networks": "network"}


class Elsewhere(Struct, frozen=True):
    """A sentence, the address that it leads to, and when that is."""

    sentence: str
    address: str
    at: str


def elsewhere() -> list[Elsewhere]:
    """Where what this request asks for in vain is to be seen; empty where nobody ever saw it."""
    found = _object()
    who = maybe_principal()
    if found is None or who is None or request.method not in ("GET", "HEAD"):
        return []
    kind, slug, key = found
    try:
        at = moment(request.args, clock.now_ms())
    except InvalidField:
        return []
    seen = spans(services().store, slug, kind, key, who.host_ids)
    places = [_place(one, at) for one in seen]
    return [*_moved(kind, slug, key, at), *(place for place in places if place is not None)][:2]


def _object() -> tuple[str, str, str] | None:
    """Kind, host and key of what the address names."""
    arguments: dict[str, Any] = request.view_args or {}
    slug, uuid = arguments.get("slug"), arguments.get("uuid")
    if slug is None or "actions" in request.path:
        return None
    if uuid is None:
        is_host = request.path.rstrip("/").endswith(f"/hosts/{slug}")
        return ("host", slug, "host") if is_host else None
    folder = request.path.split("/")[-2]
    return (_KINDS[folder], slug, str(uuid).lower()) if folder in _KINDS else None


def _place(span: Span, at: Moment) -> Elsewhere | None:
    zone, page = pages().zone, page_address(request.path)
    now_ms = clock.now_ms() if at.at_ms is None else at.at_ms
    if now_ms < span.first_ms:
        then, word = span.first_ms, "first"
    elif span.last_ms is not None and span.last_ms < now_ms:
        then, word = span.last_ms, "last"
    else:
        return None
    there = Moment(then).of(page)
    return Elsewhere(f"It was {word} seen {zone.day_and_time(then)}.", there, rfc3339(then))


def _moved(kind: str, slug: str, key: str, at: Moment) -> list[Elsewhere]:
    if kind != "domain":
        return []
    fleet = seen_fleet(at.at_ms)
    others = [seen for seen in fleet.domains if seen.key == key and seen.host != slug]
    return [
        Elsewhere(
            f"A VM with this UUID is on {seen.host}.",
            f"/hosts/{seen.host}/domains/{seen.key}{at.query}",
            at.text,
        )
        for seen in others[:1]
    ]
