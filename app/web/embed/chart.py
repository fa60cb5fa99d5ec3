"""A chart that the server draws: which object and curves are asked for, and what was measured.

The curves are those of the panel's own charts. Reads the store; app/web/embed/plot.py places them.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from app import clock
from app.errors import InvalidField, NotFound
from app.inventory import KindName
from app.language import N_, gettext
from app.metrics import METRIC_BY_NAME
from app.services import services
from app.store.devices import device_series
from app.store.fleet import fleet_series
from app.store.series import find_object, series
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
    Stretch,
    domain_charts,
    read_stretch,
    spoken_chart,
    title,
    user_charts,
)
from app.web.devices import find_device
from app.web.drawing import Drawing
from app.web.embed import plot
from app.web.embed.parameters import only
from app.web.embed.plot import Curve, Values
from app.web.embed.users import read_users
from app.web.finding import find_domain, find_pool
from app.web.format import UNKNOWN
from app.web.host_page import find_host
from app.web.host_rows import cpus_of_host, disabled_of

_KINDS: dict[str, KindName] = {"host": "host", "domain": "domain", "pool": "pool"}
_OF = {
    "fleet": N_("The chart of all hosts is one of: %(words)s."),
    "host": N_("The chart of a host is one of: %(words)s."),
    "users": N_("The chart of the VMs of a host is one of: %(words)s."),
    "domain": N_("The chart of a VM is one of: %(words)s."),
    "pool": N_("The chart of a pool is one of: %(words)s."),
}  # fmt: skip


class Subject(NamedTuple):
    """What is charted: its name, the panel's page of it, and the charts that it has."""

    kind: str
    name: str
    page: str
    charts: tuple[Chart, ...]


def build_chart(drawing: Drawing) -> dict[str, object]:
    """The context of embed/chart.html; raises InvalidField, NotFound, StoreError."""
    subject = subject_of(drawing)
    chart = spoken_chart(_chart(drawing, subject))
    now_ms = clock.now_ms()
    asked = {name: text for name in PARAMETERS if (text := only(drawing.arguments, name))}
    stretch = read_stretch(asked, drawing.moment, drawing.zone, now_ms)
    from_ms, to_ms = _window(drawing, stretch, now_ms)
    points = min(stretch.points, 300)
    if subject.kind == "users":
        host = find_host(drawing.fleet, only(drawing.arguments, "host"))
        chart, found = read_users(drawing.fleet, host.record, chart, from_ms, to_ms, points)
    else:
        found = _read(drawing, subject, chart, from_ms, to_ms, points)
    sums = found.lines if chart.form == "lines" else plot.stacked(chart, found)
    top, ticks = plot.scale(chart.unit, plot.greatest_of(sums))
    curves = [
        plot.curve(line, found, sums, top, chart, place) for place, line in enumerate(chart.lines)
    ]
    shown = [curve for curve in curves if curve.line]
    big = plot.headline(chart, found)
    page = subject.page
    if stretch.range is None:
        page = f"{page}?{urlencode(stretch.pairs)}"
        over = heard = title(stretch, drawing.moment, drawing.zone)
    else:
        over = gettext(stretch.range.last)
        heard = gettext("the %(time)s", time=over)
    return {
        "page": page,
        "subject": subject,
        "chart": chart,
        "curves": shown,
        "big": big,
        "beside": "",
        "y_ticks": ticks,
        "x_ticks": plot.time_ticks(found, drawing.zone),
        "gaps_say": gettext(found.gaps_say),
        "gaps": [plot.hatched(gap, found) for gap in found.gaps],
        "drawn": gettext(
            "%(time)s · one point every %(step)s", time=over, step=plot.width_text(found.width_ms)
        ),
        "spoken": _spoken(chart, subject, big, shown, bool(found.gaps), heard),
    }


def _window(drawing: Drawing, stretch: Stretch, now_ms: int) -> tuple[int, int]:
    """From when to when: to the last look, so that a chart that goes on stays the same until there
    is another one.
    """
    if stretch.range is None:
        return stretch.window(now_ms)
    last_ms = drawing.fleet.as_of_ms if drawing.moment.at_ms is None else drawing.moment.at_ms
    to_ms = min(now_ms, (last_ms or now_ms) + 1)
    return to_ms - stretch.seconds * 1000, to_ms


def subject_of(drawing: Drawing) -> Subject:
    """What a chart or a gauge is of. Raises InvalidField, NotFound."""
    kind, slug = only(drawing.arguments, "kind"), only(drawing.arguments, "host")
    key = only(drawing.arguments, "id").lower()
    fleet = drawing.fleet
    if kind == "fleet":
        return Subject(kind, gettext("All hosts"), "/", FLEET_CHARTS)
    if kind == "host":
        find_host(fleet, slug)
        return Subject(kind, slug, f"/hosts/{slug}", (*HOST_CHARTS, *HOST_MORE))
    if kind == "users":
        find_host(fleet, slug)
        return Subject(kind, gettext("VMs of %(host)s", host=slug), f"/hosts/{slug}", user_charts())
    if kind == "domain":
        domain = find_domain(fleet, slug, key)
        page = f"/hosts/{slug}/domains/{domain.key}"
        if device := only(drawing.arguments, "device"):
            found = find_device(domain, device)
            name = gettext(
                "%(device)s of %(vm)s", device=found.key.partition(":")[2], vm=domain.fact.name
            )
            page = f"{page}/devices/{quote(found.key)}"
            return Subject(kind, name, page, DISK_CHARTS if found.disk else NIC_CHARTS)
        charts = (*domain_charts(domain.fact.vcpus), *DOMAIN_MORE)
        return Subject(kind, domain.fact.name, page, charts)
    if kind == "pool":
        pool = find_pool(fleet, slug, key)
        return Subject(kind, pool.fact.name, f"/hosts/{slug}/pools/{pool.key}", POOL_CHARTS)
    raise InvalidField(
        "kind",
        gettext("The kind is one of: %(words)s.", words="host, users, domain, pool, fleet"),
    )


def _chart(drawing: Drawing, subject: Subject) -> Chart:
    """The chart that `chart` names, or that has all curves of `metric`; of those alone."""
    name, metrics = only(drawing.arguments, "chart"), drawing.arguments.getlist("metric")
    named = [chart for chart in subject.charts if chart.name == name or not name]
    if not named:
        words = ", ".join(chart.name for chart in subject.charts)
        raise InvalidField("chart", gettext(_OF[subject.kind], words=words))
    if not metrics:
        return named[0]
    for chart in named:
        lines = tuple(line for line in chart.lines if line.metric in metrics)
        if len(lines) == len(set(metrics)):
            return chart._replace(lines=lines)
    words = ", ".join(line.metric for chart in named for line in chart.lines)
    raise InvalidField("metric", gettext("Metrics of one chart, out of: %(words)s.", words=words))


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
        # Of some hosts alone a sum is none of the fleet: the line is broken there.
        partly = [(part.from_ms, part.to_ms) for part in told.parts]
        gaps = sorted([*told.gaps, *partly])
        say = N_("not all hosts") if partly else N_("no scans")
        return Values(from_ms, to_ms, buckets.width_ms, starts, dict(told.lines), gaps, say)
    slug = only(drawing.arguments, "host")
    kind = _KINDS[subject.kind]
    key = "host" if kind == "host" else only(drawing.arguments, "id").lower()
    wanted = find_object(store, find_host(fleet, slug).record.id, kind, key)
    if wanted is None:
        raise NotFound(gettext("%(name)s has not been measured yet.", name=subject.name))
    if device := only(drawing.arguments, "device"):
        counted = [METRIC_BY_NAME["device", name] for name in names]
        found = device_series(store, wanted, f"{key}/{device}", counted, from_ms, to_ms, points)
    else:
        metrics = [METRIC_BY_NAME[kind, name] for name in names]
        found = series(store, wanted, metrics, from_ms, to_ms, points)
    lines: dict[str, Sequence[float | None]] = {name: found.lines[name].average for name in names}
    return Values(from_ms, to_ms, found.width_ms, found.starts_ms, lines, found.gaps)


def _spoken(
    chart: Chart, subject: Subject, big: str, shown: Sequence[Curve], gaps: bool, over: str
) -> str:
    """What a screen reader says of the picture; `over` is the time that it shows."""
    told = gettext(
        "%(chart)s of %(name)s over %(time)s", chart=chart.title, name=subject.name, time=over
    )
    if not shown:
        return gettext("%(chart)s: nothing was measured", chart=told)
    now = gettext("now %(value)s", value=big) if big != UNKNOWN else gettext("not known now")
    if gaps:
        return gettext("%(chart)s, %(now)s, with gaps in which nobody looked", chart=told, now=now)
    return gettext("%(chart)s, %(now)s", chart=told, now=now)
