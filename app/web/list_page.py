"""What the pages of lists have in common: filters, columns to sort by, paging, keeping the order.

A table that refreshes itself must not move under the pointer: where it is sorted by what changes
at every scan, the part asks again with `sorted=`, the scan whose values made the order.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from flask import Response, request
from msgspec.structs import replace
from werkzeug.datastructures import MultiDict

from app.errors import InvalidField
from app.store.history import Fleet
from app.web.addresses import split_address
from app.web.api.answers import known_hosts
from app.web.charts import PARAMETERS
from app.web.kinds import MOVING_SORTS
from app.web.listing import Kind, Query, address, read_query
from app.web.page import Drawing
from app.web.scope import seen_fleet

_EPOCH_MS = re.compile(r"[0-9]{1,14}")


class Column(NamedTuple):
    """The head of a column: its name, class, the direction it is sorted in ("ascending",
    "descending" or ""), and where a press on it leads ("" where it cannot be sorted by).
    """

    label: str
    css: str
    sorted: str
    href: str
    unit: str = ""


class Choice(NamedTuple):
    """One of a select's options."""

    value: str
    label: str
    chosen: bool


class Pager(NamedTuple):
    """Where one is in a long list; `previous` and `next` are addresses or empty."""

    text: str
    previous: str
    next: str
    needed: bool


class Asked(NamedTuple):
    """A page's query, its address with other values, and the fleet that its order is of."""

    query: Query
    kind: Kind[Any]
    path: str
    at: str
    basis: Fleet | None
    # What the part's own refresh appends to keep the order.
    keep: str
    # The second moment that the list is narrowed by, or "".
    differs: str = ""

    def href(self, **changes: Any) -> str:
        """The address of this list with some of its query changed, from its first page."""
        query = replace(self.query, **{"page": 1, **changes})
        made = address(self.path, query, self.kind, self.at)
        more = urlencode({"differs": self.differs}) if self.differs else ""
        return f"{made}{'&' if '?' in made else '?'}{more}" if more else made

    def exported(self, **changes: Any) -> str:
        """The same for a file, which holds all of the moment."""
        return self._replace(differs="").href(**changes)


def parameters(kind: Kind[Any]) -> frozenset[str]:
    """What the page of such a list takes."""
    return kind.parameters | {"sorted", "differs"}


def asked(drawing: Drawing, kind: Kind[Any], path: str) -> Asked:
    """What the page of a list is asked for; raises InvalidField."""
    arguments = MultiDict(drawing.arguments)
    pinned = arguments.poplist("sorted")
    for name in PARAMETERS:
        # Of the charts on the same page.
        arguments.poplist(name)
    differs = arguments.poplist("differs")
    query = read_query(arguments, kind, known_hosts(drawing.fleet))
    moves = query.sort.removeprefix("-") in MOVING_SORTS
    basis, keep = None, ""
    if pinned:
        found = _basis(pinned, drawing.fleet)
        basis = found if moves else None
    elif moves and drawing.live and drawing.fleet.as_of_ms is not None:
        keep = f"&sorted={drawing.fleet.as_of_ms}"
    return Asked(query, kind, path, drawing.moment.text, basis, keep, "".join(differs[:1]))


def _basis(pinned: Sequence[str], seen: Fleet) -> Fleet | None:
    if len(pinned) > 1 or not _EPOCH_MS.fullmatch(pinned[0]):
        raise InvalidField("sorted", "“sorted” is the time of a scan in milliseconds.")
    at_ms = int(pinned[0])
    newest_ms = seen.as_of_ms
    if newest_ms is None or at_ms >= newest_ms:
        return None
    return seen_fleet(at_ms)


def columns(asked: Asked, wanted: Sequence[tuple[str, str, str, str]]) -> list[Column]:
    """The heads of a table: (label, class, name of its sort or "", unit) each. A press sorts,
    another one turns the order round; figures begin with the largest.
    """
    made = []
    now = asked.query.sort
    for label, css, name, unit in wanted:
        if not name:
            made.append(Column(label, css, "", "", unit))
            continue
        direction, by = turned(now, name, largest_first=_largest_first(name))
        made.append(Column(label, css, direction, asked.href(sort=by), unit))
    return made


def turned(now: str, name: str, *, largest_first: bool) -> tuple[str, str]:
    """How a list that is sorted by `now` is sorted by a column, and by what a press on it sorts."""
    first, other = (f"-{name}", name) if largest_first else (name, f"-{name}")
    direction = {name: "ascending", f"-{name}": "descending"}.get(now, "")
    return direction, other if now == first else first


def _largest_first(name: str) -> bool:
    return name not in ("name", "state", "host", "type", "format", "bridge", "forward")


def host_choices(seen: Fleet, chosen: str) -> list[Choice]:
    """All hosts, and each of them."""
    slugs = sorted({view.slug for view in seen.hosts} | ({chosen} if chosen else set()))
    every = Choice("", f"All {len(slugs)} hosts" if len(slugs) > 1 else "All hosts", not chosen)
    return [every, *(Choice(slug, slug, slug == chosen) for slug in slugs)]


def state_choices(states: Mapping[str, str], chosen: str) -> list[Choice]:
    """Any state, and each of them by its word."""
    first = Choice("", "Any state", not chosen)
    return [first, *(Choice(state, word, state == chosen) for state, word in states.items())]


def pager(asked: Asked, total: int) -> Pager:
    """Where this page is among all that were found."""
    return paged(asked.query, total, lambda page: asked.href(page=page))


def paged(query: Query, total: int, href: Callable[[int], str]) -> Pager:
    """Where a page is among `total`; `href` makes the address of another one."""
    first = (query.page - 1) * query.per_page + 1
    last = min(total, query.page * query.per_page)
    text = f"{first} – {last} of {total}" if first <= last else f"0 of {total}"
    pages = -(-total // query.per_page)
    before = min(query.page - 1, pages)
    return Pager(
        text,
        href(before) if before >= 1 else "",
        href(query.page + 1) if query.page < pages else "",
        needed=pages > 1 or query.page > 1,
    )


def placed(response: Response, asked_path: str) -> Response:
    """Have the browser show the page's own address where its filters asked for the part."""
    part = request.path.startswith("/ui/") and not request.path.startswith("/ui/since/")
    if part and request.headers.get("HX-Request") == "true" and "have" not in request.args:
        pairs = [
            (k, v) for k, v in request.args.items(multi=True) if v and k not in ("sorted", "since")
        ]
        shown = parse_qsl(split_address(request.headers.get("HX-Current-URL", "")).query)
        pairs += [(k, v) for k, v in shown if k == "span"][:1]
        response.headers["HX-Replace-Url"] = _join(asked_path, pairs)
    return response


def _join(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


def unknown_hosts(seen: Fleet, host: str = "") -> list[str]:
    """The hosts that do not answer, disabled ones among them."""
    return [
        view.slug
        for view in seen.hosts
        if not view.status.known
        and view.status.last_ok_at_ms is not None
        and (not host or view.slug == host)
    ]
