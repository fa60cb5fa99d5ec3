"""The query parameters that lists and series have in common, as the API declares them.

Made from what the lists and the metrics themselves declare, so that the two cannot differ.
"""

from typing import Any

from app.metrics import METRICS
from app.store.fleet import FLEET_METRICS
from app.web.api.stretch import MOST_POINTS, POINTS
from app.web.listing import MOST_PAGES, MOST_PER_PAGE, MOST_SEARCH, PER_PAGE, Kind
from app.web.operations import AT, HOST, Query, number, time, words

PAGING = (
    number("page", "Which page.", MOST_PAGES, 1),
    number("per_page", "How many of them.", MOST_PER_PAGE, PER_PAGE),
)
SEARCH = Query("q", "Words that all must occur.", {"type": "string", "maxLength": MOST_SEARCH})
SPAN = (
    time("from", "The beginning; the last 24 hours if not given."),
    time("to", "The end; now, or `at`, if not given."),
    number("points", "At most so many points.", MOST_POINTS, POINTS),
    AT,
)


def list_query(kind: Kind[Any]) -> tuple[Query, ...]:
    """What a list of objects of that kind takes."""
    return (HOST, *row_query(kind), AT)


def row_query(kind: Kind[Any]) -> tuple[Query, ...]:
    """What a list of that kind takes that is of the present and about no host."""
    found = [SEARCH]
    if kind.states:
        found.append(words("state", "In one of these states.", kind.states, many=True))
    if kind.flag_groups:
        says = "With these flags of libvirt: or within a group, and between groups."
        found.append(words("flag", says, kind.all_flags, many=True))
    return (*found, sorting(kind), *PAGING)


def sorting(kind: Kind[Any]) -> Query:
    """What a list of that kind can be sorted by."""
    allowed = (*kind.sorts, *(f"-{name}" for name in kind.sorts))
    return words("sort", "The order; “-” in front: the largest first.", allowed)


def metrics(*kinds: str) -> tuple[str, ...]:
    """The names of the metrics of these kinds."""
    return tuple(dict.fromkeys(one.name for one in METRICS if one.kind in kinds))


SERIES_METRICS = tuple(
    dict.fromkeys((*metrics("host", "domain", "pool", "volume", "device"), *FLEET_METRICS))
)
