"""Series of many objects: the fleet as one, and what the VMs of a host take of it.

The fleet is asked for at the address of all series, with kind=fleet. Reads the store alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, request

from app.errors import InvalidField
from app.metrics import METRIC_BY_NAME, Metric
from app.services import services
from app.store.fleet import FLEET_METRICS, fleet_series
from app.store.glance import Buckets
from app.store.together import OTHERS, STACK_METRICS, stack
from app.web.api import blueprint
from app.web.api.declared import SPAN
from app.web.api.stretch import MOST_METRICS, Stretch, one, read_stretch, respond, seconds
from app.web.host_page import find_host
from app.web.host_rows import cpus_of_host, disabled_of
from app.web.operations import Query, operation, words
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.shapes import history as shapes

_STACK_QUERY = (
    Query("host", "The host.", required=True),
    words("metric", "What the VMs took of it.", STACK_METRICS, required=True),
    *SPAN,
)


def fleet_answer(stretch: Stretch) -> dict[str, Any]:
    """The sums over all hosts that the reader may see; raises InvalidField."""
    for name in ("host", "id", "domain", "device"):
        if name in request.args:
            raise InvalidField(name, f"The fleet is of all hosts; it takes no {name}.")
    names = request.args.getlist("metric")
    if not names or len(names) > MOST_METRICS or not set(names) <= set(FLEET_METRICS):
        raise InvalidField(
            "metric", f"A metric of the fleet is one of: {', '.join(FLEET_METRICS)}."
        )
    fleet = seen_fleet(stretch.at_ms)
    found = fleet_series(
        services().store,
        {view.record.id: cpus_of_host(view) for view in fleet.hosts},
        names,
        stretch.from_ms,
        stretch.to_ms,
        stretch.points,
        disabled=disabled_of(fleet),
    )
    told = [
        {**_line(FLEET_METRICS[name], found.lines[name]), "avg_counted": found.counted_lines[name]}
        for name in names
    ]
    return {
        **_answer(found.buckets, found.tier, found.gaps, stretch, told),
        "hosts_counted": found.counted,
        "hosts_known": found.known,
        "hosts_total": len(fleet.hosts),
        "partial": [
            [seconds(one.from_ms), seconds(one.to_ms), one.counted, one.known]
            for one in found.parts
        ],
    }


@blueprint.get("/api/v1/series/stack")
@needs("viewer")
@operation("history", shapes.Stack, *_STACK_QUERY, csv=True, refusals=(404,))
def get_stack() -> Response:
    """What the VMs of a host took of one resource over time, the greatest ones one by one."""
    stretch = read_stretch(request.args)
    slug, name = one("host"), one("metric")
    if name not in STACK_METRICS:
        raise InvalidField("metric", f"The metric is one of: {', '.join(STACK_METRICS)}.")
    fleet = seen_fleet(stretch.at_ms)
    record = find_host(fleet, slug).record
    mine = {seen.key: seen.fact for seen in fleet.domains if seen.host == slug}
    found = stack(
        services().store,
        record.id,
        name,
        stretch.from_ms,
        stretch.to_ms,
        stretch.points,
    )
    metric = METRIC_BY_NAME["domain", name]
    told = []
    for part in found.parts:
        known = mine.get(part.key)
        label = "others" if part.key == OTHERS else known.name if known else part.key
        told.append(
            {
                **_line(metric, part.values),
                "key": part.key or "others",
                "label": label,
                "unit": "cpus" if name == "cpu" else metric.unit,
            }
        )
    return respond(_answer(found.buckets, found.tier, found.gaps, stretch, told))


def _line(metric: Metric, values: Sequence[float | None]) -> dict[str, Any]:
    """A line of sums; the least and the greatest of a sum are not known."""
    return {
        "metric": metric.name,
        "label": metric.label,
        "unit": metric.unit,
        "avg": values,
        "min": None,
        "max": None,
    }


def _answer(
    buckets: Buckets,
    tier: str,
    gaps: Sequence[tuple[int, int]],
    stretch: Stretch,
    told: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    first = told[0]["avg"] if told else [None] * buckets.count
    starts = (buckets.from_ms + place * buckets.width_ms for place in range(buckets.count))
    return {
        "t": [seconds(at_ms) for at_ms in starts],
        "avg": first,
        "min": None,
        "max": None,
        "from": seconds(stretch.from_ms),
        "to": seconds(stretch.to_ms),
        "step_seconds": seconds(buckets.width_ms),
        "tier": tier,
        "gaps": [[seconds(begin), seconds(end)] for begin, end in gaps],
        "as_of": stretch.as_of,
        "series": told,
    }
