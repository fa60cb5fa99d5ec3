"""What became of what a past page shows: the partial that speaks of the present, so that the page
itself need not.

A list's partial fills one cell per row; an object's is one line. Both say how much differs. What
is counted and compared is what the reader may see.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from app import clock
from app.clock import rfc3339
from app.inventory import KindName
from app.services import services
from app.store.became import Told, became, deleted_by
from app.store.history import Fleet, Seen
from app.web.comparing import Comparison, Fate, compare, fates_of, objects
from app.web.fates import Since, since, summed_up
from app.web.identity import principal
from app.web.page import Drawing
from app.web.page import Since as Becoming
from app.web.scope import seen_fleet

NOUNS: Mapping[str, str] = {
    "host": "host", "domain": "VM", "pool": "pool", "network": "network",
}  # fmt: skip
# Looking up who did it costs a query each.
_ASKED_WHO = 40


class Cell(NamedTuple):
    """What one row's cell is filled with; `id` is that of the cell."""

    id: str
    name: str
    since: Since


class _Is:
    """A fleet as a key: equal to itself alone."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Is) and other.fleet is self.fleet

    def __hash__(self) -> int:
        return id(self.fleet)


def list_since(
    kind: KindName,
    listed: Callable[[Drawing], Sequence[Seen[Any, Any]]],
    path: str | None = None,
) -> Becoming:
    """The partial of a page that lists objects of `kind`: `listed` says which. `path` is where
    they can be narrowed, if not here.
    """

    def build(drawing: Drawing) -> Mapping[str, object]:
        now = seen_fleet(None)
        some = listed(drawing)
        cells = [
            Cell(f"since-{_row(kind, seen)}", _name(kind, seen), text)
            for seen, text in zip(some, _told(kind, some, drawing, now), strict=True)
        ]
        context = {"cells": cells, "line": None, **_summary(kind, drawing, now)}
        return context if path is None else {**context, "here": f"{path}?"}

    return build


def object_since(kind: KindName, find: Callable[[Drawing], Seen[Any, Any] | None]) -> Becoming:
    """The partial of the page of one object."""

    def build(drawing: Drawing) -> Mapping[str, object]:
        now = seen_fleet(None)
        seen = find(drawing)
        if seen is None:
            return {"cells": (), "line": None, "pieces": (), "only": "", "compare": ""}
        (text,) = _told(kind, (seen,), drawing, now)
        (fate,) = fates_of(kind, (seen,), now)
        return {
            "cells": (), "line": text, "pieces": (), "only": "", "compare": "",
            "now_at": _address(kind, fate),
        }  # fmt: skip

    return build


def _told(
    kind: KindName, some: Sequence[Seen[Any, Any]], drawing: Drawing, now: Fleet
) -> list[Since]:
    store, at_ms, now_ms = services().store, drawing.moment.at_ms or 0, clock.now_ms()
    told = became(store, at_ms, [seen.entity_id for seen in some])
    unknown = {view.slug: view.status.unknown_since_ms for view in now.hosts}
    fates = fates_of(kind, some, now)
    gone = [fate.seen.entity_id for fate in fates if fate.what == "deleted"][:_ASKED_WHO]
    scope = principal().host_ids
    who = {entity_id: deleted_by(store, entity_id, at_ms, scope) for entity_id in gone}
    return [
        since(
            fate, told.get(fate.seen.entity_id, _NOTHING), drawing.zone, now_ms,
            unknown_since_ms=unknown.get(fate.now.host) if fate.now else None,
            deleted_by=who.get(fate.seen.entity_id),
        )
        for fate in fates
    ]  # fmt: skip


_NOTHING: Mapping[str, Told] = {}


def _summary(kind: KindName, drawing: Drawing, now: Fleet) -> Mapping[str, object]:
    then = seen_fleet(drawing.moment.at_ms)
    found = _compared(then, now)
    new = found.count(kind, "created", "watched")
    differs = sum(fate.differs for fate in found.fates[kind]) - new
    unknown = sum(not fate.differs for fate in found.fates[kind])
    with_ = rfc3339(clock.now_ms())
    only = kind != "host" and drawing.differs is None and differs
    return {
        "pieces": summed_up(differs, unknown, new, len(objects(then, kind)), NOUNS[kind]),
        "only": with_ if only else "",
        "compare": f"/compare?at={drawing.moment.text}&with={with_}",
    }


@lru_cache(maxsize=4)
def _kept(then: _Is, now: _Is) -> Comparison:
    return compare(then.fleet, now.fleet)


def _compared(then: Fleet, now: Fleet) -> Comparison:
    """Several partials of a moment compare the same two fleets."""
    return _kept(_Is(then), _Is(now))


def _row(kind: KindName, seen: Seen[Any, Any]) -> str:
    return seen.host if kind == "host" else f"{seen.host}-{seen.key}"


def _name(kind: KindName, seen: Seen[Any, Any]) -> str:
    return seen.host if kind == "host" else str(seen.fact.name)


def _address(kind: KindName, fate: Fate) -> str:
    """Where the object is to be seen now; "" where it is not."""
    if fate.now is None:
        return ""
    host = f"/hosts/{fate.now.host}"
    return host if kind == "host" else f"{host}/{kind}s/{fate.now.key}"
