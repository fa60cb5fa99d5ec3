"""Lists of what npvirt itself keeps (accounts, tokens, jobs): narrowed, sorted, paged, as CSV.

They go through the same queries as lists of objects of the fleet, but are of the present alone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from flask import Response, request

from app import clock
from app.csv import to_csv
from app.errors import InvalidField
from app.store.views import Fleet
from app.web.api.answers import answer_known, known_hosts, scans_of
from app.web.json_body import json_answer
from app.web.listing import Kind, Query, arrange, read_query, search

TOKEN_STATES = ("working", "expired", "revoked")


class RowFact(NamedTuple):
    """What a row is called, and its state where its list has states."""

    name: str
    state: str = ""


class Row(NamedTuple):
    """`of` in the shape that lists know."""

    of: Any
    key: str
    fact: RowFact
    host: str = ""
    known: bool = True


def csv_file(items: Iterable[Mapping[str, Any]], columns: Sequence[str], name: str) -> Response:
    """Items as a file."""
    response = Response(to_csv(items, columns), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="npvirt-{name}.csv"'
    return response


def columns_of(shape: type) -> tuple[str, ...]:
    """The columns of a file of such items: all of their fields, in order."""
    return tuple(shape.__annotations__)


def token_state(*, revoked: bool, expired: bool) -> str:
    """One of TOKEN_STATES."""
    return "revoked" if revoked else "expired" if expired else "working"


class FoundRows(NamedTuple):
    """The rows that fit, in the order asked for; those of the page; and how many there are by
    state, whichever of these is asked for.
    """

    order: list[Any]
    page: list[Any]
    counts: Mapping[str, int]


def find_rows(rows: Iterable[Row], query: Query, kind: Kind[Row]) -> FoundRows:
    """What a query asks for of some rows, each as what it is `of`."""
    found = search(list(rows), query, kind)
    counts = Counter(row.fact.state for row in found)
    fitting = [row for row in found if not query.states or row.fact.state in query.states]
    order = [row.of for row in arrange(fitting, query, kind)]
    first = (query.page - 1) * query.per_page
    page = order[first : first + query.per_page]
    return FoundRows(order, page, {state: counts[state] for state in kind.states})


def answer_rows(
    rows: Iterable[Row],
    kind: Kind[Row],
    item: Callable[[Any], Mapping[str, Any]],
    name: str,
    columns: Sequence[str],
    fleet: Fleet | None = None,
) -> Response:
    """The page of `rows` that the query asks for, as JSON, or with `format=csv` as a file of all
    that fit unless a page is asked for. With a `fleet` they are about hosts, and the last scans
    of these are told; they themselves are known as of now. Raises InvalidField.
    """
    form = request.args.get("format", "json")
    if form not in ("json", "csv"):
        raise InvalidField("format", "The format is json or csv.")
    hosts = () if fleet is None else known_hosts(fleet)
    query = read_query(request.args, kind, hosts, strict=True)
    found = find_rows(rows, query, kind)
    if form == "csv":
        shown = found.page if {"page", "per_page"} & set(request.args) else found.order
        return csv_file(map(item, shown), columns, name)
    answer = {
        "items": [item(one) for one in found.page],
        "total": len(found.order),
        "page": query.page,
        "counts": found.counts,
    }
    if fleet is None:
        return json_answer(answer)
    return answer_known({**answer, **scans_of(fleet, query.hosts)}, clock.now_ms())
