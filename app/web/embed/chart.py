"""A chart that the server draws: values of one object over time to the coordinates of a small SVG.

The curves are those of the panel's own charts. Where nothing was seen the line is broken and the
stretch hatched; nothing is drawn between two points that are not neighbours. Reads the store.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from app import clock
from app.errors import InvalidField, NotFound
from app.inventory import KindName
from app.metrics import METRIC_BY_NAME, Unit
from app.services import services
from app.store.fleet import fleet_series
from app.store.series import find_object, series
from app.web.charts import (
    DOMAIN_MORE,
    FLEET_CHARTS,
    HOST_CHARTS,
    HOST_MORE,
    POOL_CHARTS,
    RANGES,
    Chart,
    Line,
    domain_charts,
    read_stretch,
)
from app.web.drawing import Drawing
from app.web.figures import size
from app.web.finding import find_domain, find_pool
from app.web.format import UNKNOWN, megabytes
from app.web.host_page import find_host
from app.web.host_rows import cpus_of_host, disabled_of
from app.web.when import Zone, month_day

# Of the viewBox in which the curves are.
WIDTH, HEIGHT = 1000, 100
_KINDS: dict[str, KindName] = {"host": "host", "domain": "domain", "pool": "pool"}
_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
# Steps of the axis of time, about five to a chart.
_STEPS_MS = (
    *(n * _MINUTE_MS for n in (10, 15, 30)), *(n * _HOUR_MS for n in (1, 2, 3, 6, 12)),
    *(n * _DAY_MS for n in (1, 2, 5, 7, 14, 30, 60, 90, 365)),
)  # fmt: skip
_TICKS = 5


class Curve(NamedTuple):
    """One curve: its label, class, look, latest value, and the paths of its line and area."""

    label: str
    css: str
    look: str
    now: str
    line: str
    area: str


class Tick(NamedTuple):
    """A text at a place of an axis, in percent of its length; `end` where it stands at its end."""

    at: str
    text: str
    anchor: str = "middle"


class Gap(NamedTuple):
    """A stretch in which nobody looked, in percent of the width."""

    x: str
    width: str


class Values(NamedTuple):
    """What was measured: the beginnings of steps, per metric a value or None in each, gaps."""

    from_ms: int
    to_ms: int
    width_ms: int
    starts_ms: Sequence[int]
    lines: dict[str, Sequence[float | None]]
    gaps: Sequence[tuple[int, int]]


class Subject(NamedTuple):
    """What is charted: its name, the panel's page of it, and the charts that it has."""

    kind: str
    name: str
    page: str
    charts: tuple[Chart, ...]


def build_chart(drawing: Drawing) -> dict[str, object]:
    """The context of embed/chart.html; raises InvalidField, NotFound, StoreError."""
    subject = subject_of(drawing)
    chart = _chart(drawing, subject)
    now_ms = clock.now_ms()
    stretch = read_stretch(
        {"range": drawing.arguments["range"]} if "range" in drawing.arguments else {},
        drawing.moment, drawing.zone, now_ms,
    )  # fmt: skip
    # To the last look, so that the chart stays the same until there is another one.
    last_ms = drawing.fleet.as_of_ms if drawing.moment.at_ms is None else drawing.moment.at_ms
    to_ms = min(now_ms, (last_ms or now_ms) + 1)
    from_ms = to_ms - stretch.seconds * 1000
    found = _read(drawing, subject, chart, from_ms, to_ms, min(stretch.points, 300))
    sums = _stacked(chart, found) if chart.form == "stack" else found.lines
    top, ticks = _scale(chart.unit, _greatest(sums))
    curves = [
        _curve(line, found, sums, top, chart, place) for place, line in enumerate(chart.lines)
    ]
    shown = [curve for curve in curves if curve.line]
    big = _big(chart, found)
    label = RANGES[drawing.arguments.get("range", "24h")].label
    return {
        "page": subject.page,
        "subject": subject,
        "chart": chart,
        "curves": shown,
        "big": big,
        "y_ticks": ticks,
        "x_ticks": _times(found, drawing.zone),
        "gaps": [_gap(gap, found) for gap in found.gaps],
        "range_label": f"last {label}",
        "step": _step(found.width_ms),
        "spoken": _spoken(chart, subject, big, shown, bool(found.gaps), label),
    }


def subject_of(drawing: Drawing) -> Subject:
    """What a chart or a gauge is of. Raises InvalidField, NotFound."""
    kind, slug = one(drawing, "kind"), one(drawing, "host")
    key = one(drawing, "id").lower()
    fleet = drawing.fleet
    if kind == "fleet":
        return Subject(kind, "All hosts", "/", FLEET_CHARTS)
    if kind == "host":
        find_host(fleet, slug)
        return Subject(kind, slug, f"/hosts/{slug}", (*HOST_CHARTS, *HOST_MORE))
    if kind == "domain":
        domain = find_domain(fleet, slug, key)
        page = f"/hosts/{slug}/domains/{domain.key}"
        charts = (*domain_charts(domain.fact.vcpus), *DOMAIN_MORE)
        return Subject(kind, domain.fact.name, page, charts)
    if kind == "pool":
        pool = find_pool(fleet, slug, key)
        return Subject(kind, pool.fact.name, f"/hosts/{slug}/pools/{pool.key}", POOL_CHARTS)
    raise InvalidField("kind", "The kind is one of: host, domain, pool, fleet.")


def one(drawing: Drawing, name: str) -> str:
    """The one value of a parameter, or "". Raises InvalidField for several."""
    values = drawing.arguments.getlist(name)
    if len(values) > 1:
        raise InvalidField(name, f"{name} can be given once only.")
    return values[0] if values else ""


def _chart(drawing: Drawing, subject: Subject) -> Chart:
    """The chart that `chart` names, or that has all curves of `metric`; of those alone."""
    name, metrics = one(drawing, "chart"), drawing.arguments.getlist("metric")
    named = [chart for chart in subject.charts if chart.name == name or not name]
    if not named:
        words = ", ".join(chart.name for chart in subject.charts)
        raise InvalidField("chart", f"The chart of a {subject.kind} is one of: {words}.")
    if not metrics:
        return named[0]
    for chart in named:
        lines = tuple(line for line in chart.lines if line.metric in metrics)
        if len(lines) == len(set(metrics)):
            return chart._replace(lines=lines)
    words = ", ".join(line.metric for chart in named for line in chart.lines)
    raise InvalidField("metric", f"Metrics of one chart, out of: {words}.")


def _read(
    drawing: Drawing, subject: Subject, chart: Chart, from_ms: int, to_ms: int, points: int
) -> Values:
    store, fleet = services().store, drawing.fleet
    names = [line.metric for line in chart.lines]
    if subject.kind == "fleet":
        cpus = {view.record.id: cpus_of_host(view) for view in fleet.hosts}
        told = fleet_series(store, cpus, names, from_ms, to_ms, points, disabled=disabled_of(fleet))
        buckets = told.buckets
        starts = [buckets.from_ms + place * buckets.width_ms for place in range(buckets.count)]
        return Values(from_ms, to_ms, buckets.width_ms, starts, dict(told.lines), told.gaps)
    slug = one(drawing, "host")
    kind = _KINDS[subject.kind]
    key = "host" if kind == "host" else one(drawing, "id").lower()
    wanted = find_object(store, find_host(fleet, slug).record.id, kind, key)
    if wanted is None:
        raise NotFound(f"{subject.name} has not been measured yet.")
    metrics = [METRIC_BY_NAME[kind, name] for name in names]
    found = series(store, wanted, metrics, from_ms, to_ms, points)
    lines: dict[str, Sequence[float | None]] = {name: found.lines[name].average for name in names}
    return Values(from_ms, to_ms, found.width_ms, found.starts_ms, lines, found.gaps)


# --- values to places ------------------------------------------------------------------------


def _stacked(chart: Chart, found: Values) -> dict[str, Sequence[float | None]]:
    """Each curve on top of those before it; unknown where any of them is."""
    sums: dict[str, Sequence[float | None]] = {}
    below: Sequence[float | None] = [0.0] * len(found.starts_ms)
    for line in chart.lines:
        below = [
            None if low is None or value is None else low + value
            for low, value in zip(below, found.lines[line.metric], strict=True)
        ]
        sums[line.metric] = below
    return sums


def _greatest(lines: dict[str, Sequence[float | None]]) -> float:
    return max((value for line in lines.values() for value in line if value is not None), default=0)


def _scale(unit: Unit, greatest: float) -> tuple[float, list[Tick]]:
    """Where the axis ends, and what stands at its beginning, middle and end."""
    if unit == "ratio":
        top = next(
            (step for step in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if greatest <= step),
            math.ceil(greatest),
        )
    else:
        base = 1024 if unit == "bytes" else 1000
        power = base ** math.floor(math.log(greatest, base)) if greatest >= 1 else 1
        steps = (1, 2, 4, 8, 10, 20, 40, 80, 100, 200, 400, 800, 1000, base)
        top = next(step * power for step in steps if greatest <= step * power)
        if unit == "count":
            top = max(2.0, math.ceil(top / 2) * 2)
    return float(top), [
        Tick("100", "0"),
        Tick("50", said(unit, top / 2)),
        Tick("0", said(unit, top)),
    ]


def said(unit: Unit, value: float) -> str:
    """A value with its unit, in as few figures as are needed."""
    if unit == "ratio":
        text = f"{100 * value:.1f}" if 0 < value < 0.1 else f"{100 * value:.0f}"
        return f"{text.removesuffix('.0')} %"
    if unit == "bytes":
        return size(round(value))
    if unit == "bytes/s":
        return f"{megabytes(value)} MB/s"
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _x(at_ms: float, found: Values) -> float:
    share = (at_ms - found.from_ms) / (found.to_ms - found.from_ms)
    return WIDTH * min(1.0, max(0.0, share))


def _curve(
    line: Line,
    found: Values,
    sums: dict[str, Sequence[float | None]],
    top: float,
    chart: Chart,
    place: int,
) -> Curve:
    values = sums[line.metric]
    last = _last(found.lines[line.metric])
    fills = chart.form == "stack" or (place == 0 and not line.look)
    lines, areas = [], []
    for run in _runs(found, values):
        points = [
            f"{_x(at_ms, found):.0f} {HEIGHT * (1 - value / top):.1f}" for at_ms, value in run
        ]
        lines.append(f"M{'L'.join(points)}" if len(points) > 1 else f"M{points[0]}h1")
        left, right = f"{_x(run[0][0], found):.0f}", f"{_x(run[-1][0], found):.0f}"
        areas.append(f"M{left} {HEIGHT}L{'L'.join(points)}L{right} {HEIGHT}Z")
    return Curve(
        line.label, line.css, line.look,
        UNKNOWN if last is None else said(chart.unit, last),
        "".join(lines), "".join(areas) if fills else "",
    )  # fmt: skip


def _runs(found: Values, values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches without a hole: when, and what."""
    runs: list[list[tuple[int, float]]] = []
    is_broken = True
    for start_ms, value in zip(found.starts_ms, values, strict=True):
        if value is not None:
            if is_broken:
                runs.append([])
            runs[-1].append((start_ms, value))
        is_broken = value is None
    return runs


def _last(values: Sequence[float | None]) -> float | None:
    """The latest value, of the last two steps: an older one is not what is now."""
    return next((value for value in reversed(values[-2:]) if value is not None), None)


def _big(chart: Chart, found: Values) -> str:
    """What stands big beside the title."""
    lasts = [_last(found.lines[line.metric]) for line in chart.lines]
    wanted = lasts if chart.big == "sum" else lasts[:1]
    known = [value for value in wanted if value is not None]
    return said(chart.unit, sum(known)) if known and len(known) == len(wanted) else UNKNOWN


def _gap(gap: tuple[int, int], found: Values) -> Gap:
    left, right = (_x(at_ms, found) * 100 / WIDTH for at_ms in gap)
    return Gap(f"{left:.2f}", f"{max(0.3, right - left):.2f}")


# --- the axis of time ------------------------------------------------------------------------


def _times(found: Values, zone: Zone) -> list[Tick]:
    """Round times of the zone along the axis, and where it ends."""
    span_ms = found.to_ms - found.from_ms
    step_ms = next((step for step in _STEPS_MS if span_ms / step <= _TICKS), _STEPS_MS[-1])
    ticks = []
    offset = zone.local(found.from_ms).utcoffset()
    shift_ms = 0 if offset is None else round(offset.total_seconds() * 1000)
    at_ms = -(-(found.from_ms + shift_ms) // step_ms) * step_ms - shift_ms
    while at_ms < found.to_ms:
        share = _x(at_ms, found) * 100 / WIDTH
        # Neither beyond the edge nor into the text at the end.
        if 3 <= share <= 90:
            ticks.append(Tick(f"{share:.1f}", _tick_text(at_ms, step_ms, zone)))
        at_ms += step_ms
    return [*ticks, Tick("100", _end_text(found, zone), "end")]


def _tick_text(at_ms: int, step_ms: int, zone: Zone) -> str:
    local = zone.local(at_ms)
    if step_ms >= _DAY_MS or (local.hour, local.minute) == (0, 0):
        return month_day(local)
    return f"{local:%H:%M}"


def _end_text(found: Values, zone: Zone) -> str:
    local = zone.local(found.to_ms)
    return f"{local:%H:%M}"


def _step(width_ms: int) -> str:
    """How far apart points are."""
    seconds = round(width_ms / 1000)
    for width, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= width:
            return f"{seconds / width:g} {unit}" if seconds % width == 0 else f"{seconds} s"
    return f"{seconds} s"


def _spoken(
    chart: Chart, subject: Subject, big: str, shown: Sequence[Curve], gaps: bool, label: str
) -> str:
    """What a screen reader says of the picture."""
    told = f"{chart.title} of {subject.name} over the last {label}"
    if not shown:
        return f"{told}: nothing was measured"
    now = f", now {big}" if big != UNKNOWN else ", not known now"
    return f"{told}{now}{', with gaps in which nobody looked' if gaps else ''}"
