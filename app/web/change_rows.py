"""Changes as pages, CSV and JSON show them: rows, days, and the panels on pages of objects."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from app.clock import rfc3339
from app.services import services
from app.store.changes import Change, Wanted, changes, latest
from app.store.views import Fleet, Seen
from app.web.change_words import NOUNS, look, phrase, when, who
from app.web.identity import principal
from app.web.moment import Moment
from app.web.page import Drawing
from app.web.when import Zone, month_day

COLUMNS = (
    "id", "at", "after", "host", "kind", "key", "name", "what", "part", "old", "new", "text", "by",
    "who", "audit_id", "url", "xml_url",
)  # fmt: skip
_PANEL = 8


class Row(NamedTuple):
    """One change in the list. `verb` begins with a small letter where a name stands before it."""

    id: int
    iso: str
    time: str
    between: str
    icon: str
    css: str
    name: str
    noun: str
    host: str
    address: str
    host_address: str
    verb: str
    more: str
    who: str
    audit: str
    xml: bool


class Day(NamedTuple):
    """The changes of one day, newest first."""

    text: str
    rows: list[Row]


class Panel(NamedTuple):
    """The last changes of something; `more` leads to all of them."""

    title: str
    rows: list[Row]
    more: str
    address: str
    # Whether the rows are all of one object, whose name then need not be said.
    own: bool


def interval_ms() -> int:
    """How long two scans are apart."""
    return round(services().settings.scan_seconds * 1000)


class Rows:
    """Makes rows of changes for one page."""

    def __init__(self, fleet: Fleet, zone: Zone, moment: Moment) -> None:
        self._zone = zone
        self._moment = moment
        self._interval_ms = interval_ms()
        self._hosts = {view.slug for view in fleet.hosts}
        self._there = {
            *((seen.host, seen.key) for seen in fleet.domains),
            *((seen.host, seen.key) for seen in fleet.pools),
        }

    def row(self, change: Change, *, dated: bool = False) -> Row:
        """One change; `dated`: with its day, where no heading says it."""
        said, (icon, css) = phrase(change), look(change)
        time, between = when(change, self._zone, self._interval_ms)
        if dated:
            time = f"{month_day(self._zone.local(change.at_ms))} {time}"
        host = change.host or ""
        return Row(
            id=change.id,
            iso=rfc3339(change.at_ms),
            time=time,
            between=between,
            icon=icon,
            css=css,
            name=change.name or change.key,
            noun=NOUNS.get(change.kind, change.kind),
            host="" if change.kind == "host" else host,
            address=self._linked(change),
            host_address=f"/hosts/{host}{self._moment.query}" if host in self._hosts else "",
            verb=said.verb,
            more=said.more,
            who=who(change),
            audit=f"/audit?host={host}#record-{change.audit_id}" if change.audit_id else "",
            xml=change.xml_id is not None,
        )

    def _linked(self, change: Change) -> str:
        """The page of the object, if there is one at the moment that is looked from."""
        address = address_of(change)
        if not address or change.host not in self._hosts:
            return ""
        if change.kind in ("domain", "pool") and (change.host, change.key) not in self._there:
            return ""
        return f"{address}{self._moment.also if '?' in address else self._moment.query}"

    def days(self, found: Iterable[Change]) -> list[Day]:
        """Changes under the days on which they were told."""
        days = groupby(found, key=lambda one: self._zone.local(one.at_ms).date())
        return [
            Day(self._zone.day(rest[0].at_ms), [self.row(one) for one in rest])
            for _, group in days
            if (rest := list(group))
        ]


def address_of(change: Change) -> str:
    """Where the page of the object is, or of the list that it is in; "" for npvirt itself."""
    if change.host is None:
        return ""
    base = f"/hosts/{change.host}"
    pages: Mapping[str, str] = {
        "host": base,
        "domain": f"{base}/domains/{quote(change.key, safe='')}",
        "pool": f"{base}/pools/{quote(change.key, safe='')}",
        "volume": f"{base}/pools/{quote(change.key.split('/', 1)[0], safe='')}",
        "network": f"/networks?host={change.host}",
        "interface": f"/networks?host={change.host}",
    }
    return pages.get(change.kind, "")


def item(change: Change) -> dict[str, Any]:
    """One change as JSON and CSV have it."""
    return {
        "id": change.id,
        "at": rfc3339(change.at_ms),
        "after": None if change.after_ms is None else rfc3339(change.after_ms),
        "host": change.host,
        "kind": change.kind,
        "key": change.key,
        "name": change.name,
        "what": change.what,
        "part": change.part,
        "old": change.old,
        "new": change.new,
        "text": phrase(change).text,
        "by": change.by,
        "who": change.who,
        "audit_id": change.audit_id,
        "url": address_of(change) or None,
        "xml_url": None if change.xml_id is None else f"/changes/{change.id}",
    }


def object_panel(drawing: Drawing, seen: Seen) -> Panel:
    """The last changes of one object."""
    wanted = _wanted(drawing, entity_id=seen.entity_id)
    found, total = changes(services().store, wanted, limit=_PANEL)
    return _panel(drawing, found, "What changed", f"All {total}", (seen.host, seen.key))


def pool_panel(drawing: Drawing, seen: Seen) -> Panel:
    """The last changes of a pool and its volumes."""
    wanted = _wanted(drawing, hosts=(seen.host,), key=seen.key)
    found, total = changes(services().store, wanted, limit=_PANEL)
    panel = _panel(drawing, found, "What changed", f"All {total}", (seen.host, seen.key))
    return panel._replace(own=False)


def host_panel(drawing: Drawing, slug: str) -> Panel:
    """The last changes of a host and what is on it."""
    found = latest(services().store, _wanted(drawing, hosts=(slug,)), _PANEL)
    return _panel(drawing, found, "What changed", "All changes", (slug,))


def fleet_panel(drawing: Drawing) -> Panel:
    """The last changes of all."""
    found = latest(services().store, _wanted(drawing), _PANEL)
    return _panel(drawing, found, "Recent changes", "All changes", ())


def _wanted(drawing: Drawing, **narrowed: Any) -> Wanted:
    return Wanted(host_ids=principal().host_ids, as_of_ms=drawing.moment.at_ms, **narrowed)


def _panel(
    drawing: Drawing, found: Sequence[Change], title: str, more: str, of: tuple[str, ...]
) -> Panel:
    """`of`: the host, and the key of the object, that the changes are all of."""
    zone, at = drawing.zone, drawing.moment
    pairs = [*zip(("host", "key"), of, strict=False), *([("at", at.text)] if at.past else [])]
    rows = Rows(drawing.fleet, zone, at)
    page_ms = drawing.fleet.as_of_ms
    today = None if page_ms is None else zone.local(page_ms).date()
    return Panel(
        title,
        [rows.row(one, dated=zone.local(one.at_ms).date() != today) for one in found],
        more,
        f"/changes?{urlencode(pairs)}".removesuffix("?"),
        own=len(of) == 2,
    )
