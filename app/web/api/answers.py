"""How the API answers: JSON or CSV bytes kept as long as the fleet stays the same, with an ETag."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast
from urllib.parse import urlencode

import msgspec
from flask import Response, request
from msgspec.structs import replace

from app import clock
from app.clock import rfc3339
from app.csv import objects_to_csv, to_csv
from app.errors import InvalidField
from app.store.history import Fleet
from app.web.api.items import Item, time_or_none
from app.web.json_body import json_answer
from app.web.kept import Rendered
from app.web.listing import Kind, Query, read_query
from app.web.moment import moment
from app.web.page import pages
from app.web.scope import reader, seen_fleet

_FORMATS = ("json", "csv")
# A file holds all that match; a page of it is of no use to anybody who did not ask for one.
_ALL = 1_000_000_000


class Page(NamedTuple):
    """One page of a list, as items."""

    items: list[Item]
    total: int
    counts: Mapping[str, int]


Build = Callable[[Fleet, Query], Page]


def answer_object(build: Callable[[Fleet], Item]) -> Response:
    """One object with `as_of` and `scans`; raises NotFound, InvalidField."""
    check_parameters(("at",))
    seen = _fleet()

    def make() -> bytes:
        item = build(_as_then(seen))
        shown = (str(item["host"]),) if "uuid" in item else ()
        return msgspec.json.encode({**item, **scans_of(seen, shown)})

    return kept(seen, "application/json", make)


def answer_list(kind: Kind[Any], build: Build, name: str, columns: Sequence[str]) -> Response:
    """A list as JSON, or as CSV with `format=csv`: then all that match unless a page is asked."""
    form = check_parameters(kind.parameters | {"at", "format"}).get("format", "json")
    if form not in _FORMATS:
        raise InvalidField("format", "The format is json or csv.")
    seen = _fleet()
    # Forms send empty values; a script that does has lost its variable.
    strict = request.path.startswith("/api/")
    query = read_query(request.args, kind, known_hosts(seen), strict=strict)
    if form == "csv":
        return _as_csv(seen, query, build, name, columns)

    def make() -> bytes:
        page = build(_as_then(seen), query)
        answer = {
            "items": page.items,
            "total": page.total,
            "page": query.page,
            "counts": page.counts,
            **scans_of(seen, query.hosts),
        }
        return msgspec.json.encode(answer)

    return kept(seen, "application/json", make)


class Made(NamedTuple):
    """One page of a list that the store itself searched: its items, how many there are in all,
    its number, counts, and the hosts that it was narrowed to. Items and total None: nobody knows
    them. `as_of_ms`: what it tells is not known by scans, but was known then.
    """

    items: list[Item] | None
    total: int | None
    page: int
    counts: Mapping[str, int]
    hosts: Collection[str]
    as_of_ms: int | None = None


class Make(Protocol):
    """Makes a page of a list, or `everything` that fits."""

    def __call__(self, seen: Fleet, /, *, everything: bool) -> Made:
        """The page, as of the moment of `seen`; raises InvalidField."""


def answer_made(
    parameters: Collection[str],
    make: Make,
    name: str,
    columns: Sequence[str],
    *,
    follows_fleet: bool = True,
) -> Response:
    """A list that is no list of objects, as JSON, or as CSV with `format=csv`: then all of it
    unless a page is asked for. `follows_fleet`: it stays the same as long as the fleet does.
    """
    form = check_parameters({*parameters, "at", "format"}).get("format", "json")
    if form not in _FORMATS:
        raise InvalidField("format", "The format is json or csv.")
    seen = _fleet()
    if form == "csv":
        everything = not {"page", "per_page"} & set(request.args)

        def as_csv() -> bytes:
            return to_csv(make(seen, everything=everything).items or (), columns).encode()

        response = _made(seen, "text/csv", as_csv, follows_fleet)
        response.headers["Content-Disposition"] = f'attachment; filename="npvirt-{name}.csv"'
        return response

    if follows_fleet:
        return kept(seen, "application/json", lambda: msgspec.json.encode(_told(make, seen)[0]))
    answer, as_of_ms = _told(make, seen)
    return json_answer(answer) if as_of_ms is None else answer_known(answer, as_of_ms)


def _told(make: Make, seen: Fleet) -> tuple[Item, int | None]:
    """A page of a list as JSON, and when it was known if not by scans."""
    made = make(seen, everything=False)
    answer = {
        "items": made.items,
        "total": made.total,
        "page": made.page,
        "counts": made.counts,
        **scans_of(seen, made.hosts),
    }
    return answer, made.as_of_ms


def answer_known(answer: Item, as_of_ms: int) -> Response:
    """An answer about something else than scans told, as known at a time. As long as nothing else
    of it changes its ETag stays the same, whenever it is asked for.
    """
    known = {**answer, "as_of": None}
    digest = hashlib.blake2b(msgspec.json.encode(known), digest_size=8).hexdigest()
    response = json_answer({**answer, "as_of": rfc3339(as_of_ms)})
    response.set_etag(digest, weak=True)
    return response


def _made(seen: Fleet, mimetype: str, make: Callable[[], bytes], follows_fleet: bool) -> Response:
    return kept(seen, mimetype, make) if follows_fleet else Response(make(), mimetype=mimetype)


def _as_csv(seen: Fleet, query: Query, build: Build, name: str, columns: Sequence[str]) -> Response:
    if not {"page", "per_page"} & set(request.args):
        query = replace(query, per_page=_ALL)

    def make() -> bytes:
        return objects_to_csv(build(_as_then(seen), query).items, columns).encode()

    response = kept(seen, "text/csv", make)
    response.headers["Content-Disposition"] = f'attachment; filename="npvirt-{name}.csv"'
    return response


def check_parameters(allowed: Collection[str]) -> Mapping[str, str]:
    """The query parameters, refused where one is not `allowed`; raises InvalidField."""
    for name in request.args:
        if name not in allowed:
            raise InvalidField(name[:40], f"This address takes no parameter “{name[:40]}”.")
        if name in ("at", "format") and len(request.args.getlist(name)) > 1:
            raise InvalidField(name, f"{name} can be given once only.")
    return request.args


def known_hosts(seen: Fleet) -> set[str]:
    """The hosts that may be asked for: those of the moment, and those of the present."""
    slugs = {view.slug for view in seen.hosts}
    if seen.moment_ms is not None:
        slugs |= {view.slug for view in seen_fleet(None).hosts}
    return slugs


def _fleet() -> Fleet:
    at = moment(request.args, clock.now_ms())
    return seen_fleet(at.at_ms)


def _as_then(seen: Fleet) -> Fleet:
    """The fleet without what is only known of the present: whether a host is disabled."""
    if seen.moment_ms is None:
        return seen
    views = (replace(view, record=replace(view.record, enabled=True)) for view in seen.hosts)
    return replace(seen, hosts=tuple(views))


def scans_of(seen: Fleet, hosts: Collection[str]) -> Item:
    """`as_of`, and per host (all, if none is named) when it was last looked at, whether it
    answered, and what is missing.
    """
    scans = {
        view.slug: {
            "at": time_or_none(view.status.last_try_at_ms),
            "ok": view.status.ok,
            "missing": [missing.part for missing in view.status.missing],
        }
        for view in seen.hosts
        if not hosts or view.slug in hosts
    }
    return {"as_of": time_or_none(seen.as_of_ms), "scans": scans}


def kept(seen: Fleet, mimetype: str, make: Callable[[], bytes]) -> Response:
    """The answer to this request, made once as long as the fleet stays the same."""
    arguments = sorted(request.args.items(multi=True))
    key = ("api", mimetype, request.path, urlencode(arguments), reader())

    def rendered() -> Rendered:
        body = make()
        return Rendered(body, hashlib.blake2b(body, digest_size=8).hexdigest())

    found = pages().kept.get(key, seen, rendered)
    response = Response(found.body, mimetype=mimetype)
    response.set_etag(found.digest)
    return cast(Response, response.make_conditional(request))
