"""The pages of lists of what npvirt itself keeps (accounts, rules, what was told): their filters,
heads, paging and file, for the macros of templates/rows.html.

They are of the present, and drawn for one request; the file is the same list of the API. Asked with
the same queries as it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import request
from msgspec.structs import replace

from app.web.api.answers import check_parameters
from app.web.api.rows import Row, find_rows
from app.web.list_page import Column, Pager, paged, turned
from app.web.listing import PER_PAGE, Kind, Query, address, read_query


class Head(NamedTuple):
    """The head of a column, and by what it is sorted, the largest first or not; "" where it is
    not.
    """

    label: str
    css: str = ""
    sort: str = ""
    largest_first: bool = False


class Listed(NamedTuple):
    """A list as its page shows it, at `path`: `total` fit. `counts` are by state, `also` what else
    narrows it. The same list of the API is at `/api/v1` and its path.
    """

    path: str
    query: Query
    kind: Kind[Any]
    total: int
    counts: Mapping[str, int] = {}
    also: tuple[tuple[str, str], ...] = ()

    @property
    def narrowed(self) -> bool:
        """Whether anything is left out."""
        return self.query.narrows or bool(self.also)

    @property
    def file(self) -> str:
        """The address of all that fit as CSV."""
        href = f"/api/v1{self._href(page=1, per_page=PER_PAGE)}"
        return f"{href}{'&' if '?' in href else '?'}format=csv"

    @property
    def clear(self) -> str:
        """The address of the whole list."""
        return address(self.path, Query(sort=self.query.sort), self.kind)

    @property
    def pager(self) -> Pager:
        """Where this page is in the list."""
        return paged(self.query, self.total, lambda page: self._href(page=page))

    def columns(self, heads: Sequence[Head]) -> list[Column]:
        """The heads of the table; a press on one sorts, another one turns the order round."""
        made, now = [], self.query.sort
        for label, css, sort, largest_first in heads:
            if not sort:
                made.append(Column(label, css, "", ""))
                continue
            direction, wanted = turned(now, sort, largest_first=largest_first)
            made.append(Column(label, css, direction, self._href(page=1, sort=wanted)))
        return made

    def _href(self, **changes: Any) -> str:
        made = address(self.path, replace(self.query, **changes), self.kind)
        more = urlencode(self.also)
        return f"{made}{'&' if '?' in made else '?'}{more}" if more else made


def list_rows(path: str, rows: Iterable[Row], kind: Kind[Row]) -> tuple[list[Any], Listed]:
    """What of some rows this request's query string asks for, and the list as the page shows it;
    raises InvalidField.
    """
    check_parameters(kind.parameters)
    query = read_query(request.args, kind, ())
    found = find_rows(rows, query, kind)
    return found.page, Listed(path, query, kind, len(found.order), found.counts)
