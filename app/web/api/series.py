"""Series of the API: what was measured over a stretch of time, as JSON or CSV.

Reads the query string and the store. Asks no host anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from flask import Response, request

from app.errors import InvalidField, NotFound
from app.inventory import KindName, device_names
from app.metrics import METRIC_BY_NAME, METRICS, Metric
from app.services import services
from app.store.devices import device_series, is_known_device
from app.store.raw import Object
from app.store.series import Found, find_object, series
from app.store.values import Line
from app.web.api import blueprint
from app.web.api.declared import SERIES_METRICS, SPAN
from app.web.api.stretch import (
    MOST_METRICS,
    Stretch,
    one,
    read_stretch,
    respond,
    seconds,
)
from app.web.api.together import fleet_answer
from app.web.finding import find_domain, find_pool
from app.web.host_page import find_host
from app.web.operations import Query, operation, words
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.shapes import history as shapes

KINDS = ("host", "domain", "pool", "volume")
_QUERY = (
    Query("host", "The host; of the fleet none."),
    words("kind", "What kind of object; the fleet: all hosts together.", (*KINDS, "fleet")),
    Query("id", "Its UUID; of a volume, npvirt's id; of a host none."),
    Query("domain", "Short for `kind=domain` and its `id`."),
    Query("device", "One of the VM's disks or NICs: disk:vda or nic:52:54:00:…"),
    words("metric", "What was measured; the first one's columns stand at the top.",
          SERIES_METRICS, required=True, many=True),
    *SPAN,
)  # fmt: skip


@blueprint.get("/api/v1/series")
@needs("viewer")
@operation("history", (shapes.ObjectSeries, shapes.FleetSeries), *_QUERY, csv=True, refusals=(404,))
def get_series() -> Response:
    """What was measured of one object over time, or of the whole fleet."""
    stretch = read_stretch(request.args)
    if request.args.get("kind") == "fleet":
        return respond(fleet_answer(stretch))
    kind, key = _object_asked(request.args)
    if "device" in request.args:
        return _device(kind, key, stretch)
    metrics = read_metrics(request.args.getlist("metric"), kind)
    wanted = _find(one("host"), kind, key, stretch)
    found = series(
        services().store, wanted, metrics, stretch.from_ms, stretch.to_ms, stretch.points
    )
    return respond(answer(found, metrics, stretch))


def _device(kind: KindName, uuid: str, stretch: Stretch) -> Response:
    """A disk or a NIC of a domain."""
    if kind != "domain":
        raise InvalidField("device", "Only VMs have devices: disk:… and nic:….")
    name = one("device")
    metrics = _of_device(read_metrics(request.args.getlist("metric"), "device"), name)
    slug = one("host")
    wanted = _find(slug, "domain", uuid, stretch)
    store, key = services().store, f"{uuid}/{name}"
    moments = dict.fromkeys((stretch.at_ms, stretch.to_ms, stretch.from_ms))
    there = (seen_fleet(at_ms).domain(slug, uuid) for at_ms in moments)
    if not any(
        seen is not None and name in device_names(seen.fact) for seen in there
    ) and not is_known_device(store, wanted, key):
        raise NotFound(f"This VM has no device {name[:60]}.")
    found = device_series(
        store, wanted, key, metrics, stretch.from_ms, stretch.to_ms, stretch.points
    )
    return respond(answer(found, metrics, stretch))


def _of_device(metrics: list[Metric], name: str) -> list[Metric]:
    prefix = {"disk": "disk_", "nic": "net_"}.get(name.split(":", 1)[0])
    if prefix is None:
        raise InvalidField("device", "A device is disk: and its target, or nic: and its address.")
    if not all(metric.name.startswith(prefix) for metric in metrics):
        raise InvalidField("metric", f"What is measured of that device begins with {prefix}.")
    return metrics


def read_metrics(names: Sequence[str], kind: KindName) -> list[Metric]:
    """The metrics of a kind by their names; raises InvalidField."""
    known = [metric.name for metric in METRICS if metric.kind == kind]
    if not names:
        raise InvalidField("metric", f"A metric of a {kind} is needed: {', '.join(known)}.")
    if len(names) > MOST_METRICS or len(set(names)) < len(names):
        raise InvalidField("metric", f"At most {MOST_METRICS} different metrics at once.")
    if not set(names) <= set(known):
        raise InvalidField("metric", f"A metric of a {kind} is one of: {', '.join(known)}.")
    return [METRIC_BY_NAME[kind, name] for name in names]


def _object_asked(arguments: Mapping[str, str]) -> tuple[KindName, str]:
    """Kind and key; raises InvalidField."""
    if "domain" in arguments:
        if "kind" in arguments or "id" in arguments:
            raise InvalidField("domain", "domain stands for kind and id; give it without them.")
        return "domain", one("domain").lower()
    kind = one("kind")
    if kind not in KINDS:
        raise InvalidField("kind", f"The kind is one of: {', '.join(KINDS)}, fleet.")
    if kind == "host":
        if "id" in arguments:
            raise InvalidField("id", "A host is named by host alone.")
        return "host", "host"
    return cast(KindName, kind), one("id").lower()


def _find(slug: str, kind: KindName, key: str, stretch: Stretch) -> Object:
    """The object as the reader may see it, at the moment or the end of the stretch, or still
    there; raises NotFound.
    """
    store = services().store
    moments = dict.fromkeys((stretch.at_ms, stretch.to_ms, stretch.from_ms))
    refusal = NotFound("Nothing was asked for.")
    for at_ms in moments:
        fleet = seen_fleet(at_ms)
        try:
            record = find_host(fleet, slug).record
            if kind == "domain":
                find_domain(fleet, slug, key)
            elif kind == "pool":
                find_pool(fleet, slug, key)
            elif kind == "volume":
                key = _volume_key(fleet.volumes, slug, key)
        except NotFound as error:
            refusal = error
            continue
        found = find_object(store, record.id, kind, key)
        if found is not None:
            return found
        refusal = NotFound(f"{slug} has not been measured yet.")
    raise refusal


def _volume_key(volumes: Sequence[Any], slug: str, number: str) -> str:
    for seen in volumes:
        if seen.host == slug and str(seen.entity_id) == number:
            return str(seen.key)
    raise NotFound(f"{slug} has no volume with the id {number[:20]} at this moment.")


def answer(found: Found, metrics: Sequence[Metric], stretch: Stretch) -> dict[str, Any]:
    """The series as the API tells it: columns by metric, and the first one's at the top."""
    told = [
        {
            "metric": metric.name,
            "label": metric.label,
            "unit": metric.unit,
            **_columns(found.lines[metric.name]),
        }
        for metric in metrics
    ]
    return {
        "t": [seconds(at_ms) for at_ms in found.starts_ms],
        **_columns(found.lines[metrics[0].name]),
        "from": seconds(found.from_ms),
        "to": seconds(found.to_ms),
        "step_seconds": seconds(found.width_ms),
        "tier": found.tier,
        "gaps": [[seconds(begin), seconds(end)] for begin, end in found.gaps],
        "as_of": stretch.as_of,
        "series": told,
    }


def _columns(line: Line) -> dict[str, list[float | None]]:
    return {"avg": line.average, "min": line.least, "max": line.greatest}
