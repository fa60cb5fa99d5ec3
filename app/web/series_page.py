"""What charts show, as a table: the same curves in fewer steps, for eyes, screen readers and
browsers without script. The page's address takes what `/api/v1/series` takes to name an object.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from flask import Blueprint, Response

from app import clock
from app.errors import InvalidField, NotFound
from app.inventory import KindName
from app.metrics import METRICS, Metric, Unit
from app.services import services
from app.store.devices import device_series
from app.store.fleet import FLEET_METRICS, FleetSeries, fleet_series
from app.store.series import Found, find_object, series
from app.store.values import Line
from app.web.chart_panel import Panel, Subject, panel
from app.web.charts import (
    DISK_CHARTS,
    DOMAIN_MORE,
    FLEET_CHARTS,
    HOST_CHARTS,
    HOST_MORE,
    NIC_CHARTS,
    PARAMETERS,
    POOL_CHARTS,
    Chart,
    domain_charts,
    read_stretch,
)
from app.web.devices import find_device
from app.web.figures import size
from app.web.finding import find_domain, find_pool
from app.web.format import UNKNOWN, megabytes
from app.web.host_page import find_host
from app.web.host_rows import cpus_of_host, disabled_of
from app.web.list_page import placed
from app.web.page import Drawing, View, draw
from app.web.permission import needs
from app.web.when import Zone, month_day

blueprint = Blueprint("series", __name__)

TABLE = View("charts/table.html", "", PARAMETERS | {"kind", "host", "id", "device"})
_POINTS = 100


class Cell(NamedTuple):
    """A value with what it was at least and at most, where that says more."""

    text: str
    reach: str = ""


class Row(NamedTuple):
    """A step, or a stretch in which nobody looked (`gap`)."""

    time: str
    cells: tuple[Cell, ...] = ()
    gap: bool = False


class Group(NamedTuple):
    """The columns of one chart."""

    title: str
    labels: tuple[str, ...]


class Named(NamedTuple):
    """The object of a table: its name, the page that it has, and its charts."""

    name: str
    address: str
    charts: tuple[Chart, ...]


@blueprint.get("/series")
@blueprint.get("/ui/series")
@needs("viewer")
def series_table() -> Response:
    """The table of one object's values over time, or its part."""
    return placed(draw(TABLE, build), "/series")


def build(drawing: Drawing) -> Mapping[str, object]:
    """The context of charts/table.html; raises InvalidField, NotFound, StoreError."""
    asked = drawing.arguments
    subject = Subject(
        asked.get("kind", ""), asked.get("host", ""), asked.get("id", ""), asked.get("device", "")
    )
    named = _named(drawing, subject)
    names = [line.metric for chart in named.charts for line in chart.lines]
    kind = "device" if subject.device else subject.kind
    known = FLEET_METRICS if kind == "fleet" else metrics_of(kind)
    metrics = [known[name] for name in names]
    charts = panel(drawing, "/series", subject, named.charts, carried=subject.pairs)
    reaches: _Reaches = {}
    if subject.kind == "fleet":
        found, reaches = _read_fleet(drawing, metrics)
    else:
        found = _read(drawing, subject, metrics)
    rows = _rows(found, metrics, drawing.zone, reaches)
    return {
        "title": f"Values of {named.name}",
        "named": named,
        "charts": charts,
        "groups": [
            Group(chart.title, tuple(line.label for line in chart.lines)) for chart in named.charts
        ],
        "firsts": [not place for chart in named.charts for place in range(len(chart.lines))],
        "rows": rows,
        "is_measured": any(row.cells for row in rows),
        "is_unseen": found.gaps == [(found.from_ms, found.to_ms)],
        "step": _span(found.width_ms // 1000),
        "csv": _csv(charts, subject, metrics, drawing),
    }


def _named(drawing: Drawing, subject: Subject) -> Named:
    fleet, slug = drawing.fleet, subject.host
    if subject.kind == "host":
        return Named(find_host(fleet, slug).slug, f"/hosts/{slug}", (*HOST_CHARTS, *HOST_MORE))
    if subject.kind == "domain":
        domain = find_domain(fleet, slug, subject.id)
        if subject.device:
            found = find_device(domain, subject.device)
            address = f"/hosts/{slug}/domains/{domain.key}/devices/{quote(found.key)}"
            name = f"{found.key.partition(':')[2]} of {domain.fact.name}"
            return Named(name, address, DISK_CHARTS if found.disk else NIC_CHARTS)
        charts = (*domain_charts(domain.fact.vcpus), *DOMAIN_MORE)
        return Named(domain.fact.name, f"/hosts/{slug}/domains/{domain.key}", charts)
    if subject.kind == "pool":
        pool = find_pool(fleet, slug, subject.id)
        return Named(pool.fact.name, f"/hosts/{slug}/pools/{pool.key}", POOL_CHARTS)
    if subject.kind == "fleet":
        return Named("the fleet", "/", FLEET_CHARTS)
    raise InvalidField("kind", "The kind is one of: host, domain, pool, fleet.")


# What stands small beside an unknown value, by metric and place.
_Reaches = Mapping[tuple[str, int], str]


def metrics_of(kind: str) -> Mapping[str, Metric]:
    """The declared metrics of a kind, by name."""
    return {metric.name: metric for metric in METRICS if metric.kind == kind}


_KINDS: Mapping[str, KindName] = {"host": "host", "domain": "domain", "pool": "pool"}


def _read(drawing: Drawing, subject: Subject, metrics: Sequence[Metric]) -> Found:
    now_ms = clock.now_ms()
    stretch = read_stretch(drawing.arguments, drawing.moment, drawing.zone, now_ms)
    from_ms, to_ms = stretch.window(now_ms)
    record = find_host(drawing.fleet, subject.host).record
    key = "host" if subject.kind == "host" else subject.id.lower()
    wanted = find_object(services().store, record.id, _KINDS[subject.kind], key)
    if wanted is None:
        raise NotFound(f"{subject.host} has not been measured yet.")
    if subject.device:
        name = f"{key}/{subject.device}"
        return device_series(services().store, wanted, name, metrics, from_ms, to_ms, _POINTS)
    return series(services().store, wanted, metrics, from_ms, to_ms, _POINTS)


def _read_fleet(drawing: Drawing, metrics: Sequence[Metric]) -> tuple[Found, _Reaches]:
    """The sums over the fleet, which have no bounds; where not all of its hosts tell theirs, the
    sum of those that do stands small beside the unknown one.
    """
    now_ms = clock.now_ms()
    stretch = read_stretch(drawing.arguments, drawing.moment, drawing.zone, now_ms)
    from_ms, to_ms = stretch.window(now_ms)
    fleet, names = drawing.fleet, [metric.name for metric in metrics]
    cpus = {view.record.id: cpus_of_host(view) for view in fleet.hosts}
    off = disabled_of(fleet)
    told = fleet_series(services().store, cpus, names, from_ms, to_ms, _POINTS, disabled=off)
    width_ms = told.buckets.width_ms
    starts = [told.buckets.from_ms + place * width_ms for place in range(told.buckets.count)]
    nothing: list[float | None] = [None] * len(starts)
    lines = {name: Line(told.lines[name], nothing, nothing) for name in names}
    found = Found(from_ms, to_ms, width_ms, told.tier, starts, lines, told.gaps)
    reaches = {
        (metric.name, place): f"{_FORMATS[metric.unit](value)} on {hosts}"
        for metric in metrics
        for place, value in enumerate(told.counted_lines[metric.name])
        if value is not None and (hosts := _hosts(told, place))
    }
    return found, reaches


def _hosts(told: FleetSeries, place: int) -> str:
    """Of how many hosts a sum is, where it is not of all."""
    counted, known = told.counted[place], told.known[place]
    return "" if counted >= known else f"{counted} of {known} hosts"


def _rows(found: Found, metrics: Sequence[Metric], zone: Zone, reaches: _Reaches) -> list[Row]:
    """The steps in the order of time; a stretch without scans is one row."""
    rows: list[Row] = []
    gaps = list(found.gaps)
    for place, start_ms in enumerate(found.starts_ms):
        # The first step may have begun before what is shown.
        at_ms = max(start_ms, found.from_ms)
        while gaps and gaps[0][0] <= at_ms:
            rows.append(Row(_stretch(*gaps.pop(0), zone), gap=True))
        if any(begin_ms <= at_ms < end_ms for begin_ms, end_ms in found.gaps):
            continue
        cells = tuple(_cell(found, metric, place, reaches) for metric in metrics)
        rows.append(Row(_time(start_ms, zone), cells))
    return rows + [Row(_stretch(begin_ms, end_ms, zone), gap=True) for begin_ms, end_ms in gaps]


def _cell(found: Found, metric: Metric, place: int, reaches: _Reaches) -> Cell:
    line = found.lines[metric.name]
    average, least, greatest = line.average[place], line.least[place], line.greatest[place]
    text = _FORMATS[metric.unit]
    if average is None:
        return Cell(UNKNOWN, reaches.get((metric.name, place), ""))
    if least is None or greatest is None or text(least) == text(greatest):
        return Cell(text(average))
    return Cell(text(average), f"{text(least)} – {text(greatest)}")


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


_FORMATS: Mapping[Unit, Callable[[float], str]] = {
    "ratio": lambda value: f"{100 * value:.1f} %",
    "bytes": lambda value: size(round(value)),
    "bytes/s": lambda value: f"{megabytes(value)} MB/s",
    "1/s": lambda value: f"{_number(value)} /s",
    "count": _number,
}


def _time(at_ms: int, zone: Zone) -> str:
    at = zone.local(at_ms)
    return f"{month_day(at)} {at.year}, {at:%H:%M}"


def _stretch(from_ms: int, to_ms: int, zone: Zone) -> str:
    begin, end = zone.local(from_ms), zone.local(to_ms)
    until = f"{end:%H:%M}" if begin.date() == end.date() else _time(to_ms, zone)
    return f"{_time(from_ms, zone)} – {until}"


def _span(seconds: int) -> str:
    for width, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= width and seconds % width == 0:
            return f"{seconds // width} {unit}"
    return f"{seconds} s"


def _csv(charts: Panel, subject: Subject, metrics: Sequence[Metric], drawing: Drawing) -> str:
    """Where the same is as CSV, in the steps of the charts."""
    now_ms = clock.now_ms()
    stretch = read_stretch(drawing.arguments, drawing.moment, drawing.zone, now_ms)
    from_ms, to_ms = stretch.window(drawing.fleet.as_of_ms or now_ms)
    pairs = [*subject.pairs, *(("metric", metric.name) for metric in metrics)]
    pairs += [("from", str(from_ms // 1000)), ("to", str(to_ms // 1000))]
    pairs += [("points", str(charts.points)), ("format", "csv")]
    return f"/api/v1/series?{urlencode(pairs)}{drawing.moment.also}"
