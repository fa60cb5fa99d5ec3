"""The panel of charts on a page: what its template says.

The curves are the browser's to fetch; what happened meanwhile is read from the list of changes.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from app import clock
from app.web.chart_marks import Mark, marks
from app.web.charts import RANGES, USES, Chart, Stretch, offsets, read_stretch, read_use, title
from app.web.page import Drawing


class Subject(NamedTuple):
    """What is charted: as `/api/v1/series` calls it. `seen_ms` is when it was last measured."""

    kind: str
    host: str = ""
    id: str = ""
    device: str = ""
    seen_ms: int | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query parameters that name it."""
        wanted = (
            ("kind", self.kind), ("host", self.host), ("id", self.id), ("device", self.device),
        )  # fmt: skip
        return [(name, value) for name, value in wanted if value]


class RangeLink(NamedTuple):
    """One of the ranges to choose: its name, what a screen reader says, its address."""

    name: str
    label: str
    href: str
    chosen: bool


class Panel(NamedTuple):
    """The context of charts/panel.html. `begin` and `end` are epoch seconds, empty where the
    charts go on to now; `typed_from` and `typed_to` what the form of the free range begins with;
    `embedded` the query that embeds of these charts ask with.
    """

    title: str
    subject: str
    embedded: str
    charts: tuple[Chart, ...]
    more: tuple[Chart, ...]
    ranges: tuple[RangeLink, ...]
    free: bool
    address: str
    carried: tuple[tuple[str, str], ...]
    at: str
    seconds: int
    points: int
    begin: str
    end: str
    seen: str
    offsets: str
    typed_from: str
    typed_to: str
    zone: str
    table: str
    marks: tuple[Mark, ...]
    more_marks: int


class Users(NamedTuple):
    """The context of who uses a host: `links` are (resource, label, address), `charts` (metric,
    title, unit), `embedded` the query that embeds of these ask with.
    """

    host: str
    subject: str
    embedded: str
    use: str
    points: int
    links: tuple[tuple[str, str, str], ...]
    charts: tuple[tuple[str, str, str], ...]


def users(drawing: Drawing, slug: str) -> Users:
    """What the domains of a host use of it; raises InvalidField for an unknown resource."""
    use = read_use(drawing.arguments)
    stretch = read_stretch(drawing.arguments, drawing.moment, drawing.zone, clock.now_ms())
    past = [("at", drawing.moment.text)] if drawing.moment.past else []
    links = tuple(
        (name, label, _href(f"/hosts/{slug}", [*stretch.pairs, ("use", name), *past]))
        for name, (label, _) in USES.items()
    )
    subject = Subject("users", slug)
    return Users(
        slug, urlencode([("host", slug)]), _embedded(subject, stretch), use,
        min(stretch.points, 240), links, USES[use][1],
    )  # fmt: skip


def panel(
    drawing: Drawing,
    address: str,
    subject: Subject,
    charts: Sequence[Chart],
    more: Sequence[Chart] = (),
    carried: Sequence[tuple[str, str]] = (),
) -> Panel:
    """The charts of `subject` for the page at `address`, whose other parameters are `carried`.

    Raises InvalidField for a bad range.
    """
    now_ms = clock.now_ms()
    zone, at = drawing.zone, drawing.moment
    stretch = read_stretch(drawing.arguments, at, zone, now_ms)
    from_ms, to_ms = stretch.window(now_ms)
    past = [("at", at.text)] if at.past else []
    found, more_marks = marks(drawing, subject.kind, subject.host, subject.id, from_ms, to_ms)
    here = [*subject.pairs, *stretch.pairs, *past]
    return Panel(
        title=title(stretch, at, zone),
        subject=urlencode(subject.pairs),
        embedded=_embedded(subject, stretch),
        charts=tuple(charts),
        more=tuple(more),
        ranges=tuple(
            RangeLink(
                one.name,
                f"{one.label} until then" if at.past else f"Last {one.label}",
                _href(address, [*carried, *_range_pairs(one.name), *past]),
                stretch.range is one,
            )
            for one in RANGES.values()
        ),
        free=stretch.range is None,
        address=address,
        carried=(*carried, *past),
        at=at.text,
        seconds=stretch.seconds,
        points=stretch.points,
        begin=_seconds(stretch.from_ms),
        end=_seconds(stretch.to_ms),
        seen=str(subject.seen_ms or ""),
        offsets=offsets(stretch, now_ms, zone),
        typed_from=f"{zone.local(from_ms):%Y-%m-%d %H:%M}" if stretch.range is None else "",
        typed_to=f"{zone.local(to_ms):%Y-%m-%d %H:%M}" if stretch.range is None else "",
        zone=zone.name(now_ms),
        table=f"/series?{urlencode(here)}",
        marks=found,
        more_marks=more_marks,
    )


def _embedded(subject: Subject, stretch: Stretch) -> str:
    return urlencode([*subject.pairs, *stretch.pairs])


def _range_pairs(name: str) -> list[tuple[str, str]]:
    return [("range", name)]


def _href(address: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{address}?{urlencode(pairs)}" if pairs else address


def _seconds(at_ms: int | None) -> str:
    return "" if at_ms is None else str(at_ms // 1000)
