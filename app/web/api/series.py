"""Series of the API: what was measured over a stretch of time, as JSON or CSV.

Reads the query string and the store. Asks no host anything.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from flask import Response, request

from app import clock
from app.clock import rfc3339
from app.errors import InvalidField, NotFound
from app.inventory import KindName
from app.metrics import METRIC_BY_NAME, METRICS, Metric
from app.services import services
from app.store.raw import Object
from app.store.series import Found, find_object, series
from app.store.values import Line
from app.web.api import blueprint
from app.web.api.answers import check_parameters
from app.web.api.items import time_or_none
from app.web.csv import to_csv
from app.web.finding import find_domain, find_pool
from app.web.host_page import find_host
from app.web.moment import moment, parse_moment
from app.web.permission import needs
from app.web.scope import seen_fleet

DAY_MS = 86_400_000
POINTS, MOST_POINTS = 300, 2000
MOST_METRICS = 12
LONGEST_MS = 20 * 366 * DAY_MS
KINDS = ("host", "domain", "pool", "volume")
_PARAMETERS = (
    "host", "kind", "id", "domain", "device", "metric", "from", "to", "points", "at", "format",
)  # fmt: skip


class Stretch(NamedTuple):
    """From when to when, in how many points, and the moment that it is looked from (None: now)."""

    from_ms: int
    to_ms: int
    points: int
    at_ms: int | None


@blueprint.get("/api/v1/series")
@needs("viewer")
def get_series() -> Response:
    """One object's metrics over time."""
    check_parameters(_PARAMETERS)
    stretch = read_stretch(request.args)
    kind, key = _object_asked(request.args)
    metrics = read_metrics(request.args.getlist("metric"), kind)
    wanted = _find(one("host"), kind, key, stretch)
    found = series(
        services().store, wanted, metrics, stretch.from_ms, stretch.to_ms, stretch.points
    )
    if request.args.get("format", "json") == "csv":
        return _csv(found, metrics)
    return respond(answer(found, metrics, stretch))


def one(name: str) -> str:
    """A parameter that is given once; raises InvalidField where it is absent or given twice."""
    values = request.args.getlist(name)
    if len(values) != 1 or not values[0]:
        raise InvalidField(name, f"{name} is needed, once.")
    return values[0]


def read_stretch(arguments: Mapping[str, str]) -> Stretch:
    """What `from`, `to`, `points` and `at` ask for; raises InvalidField."""
    now_ms = clock.now_ms()
    at_ms = moment(arguments, now_ms).at_ms
    last_ms = now_ms if at_ms is None else at_ms
    to_ms = parse_moment("to", arguments["to"]) if "to" in arguments else last_ms
    from_ms = parse_moment("from", arguments["from"]) if "from" in arguments else to_ms - DAY_MS
    if from_ms >= to_ms:
        raise InvalidField("from", "The beginning must lie before the end.")
    if to_ms - from_ms > LONGEST_MS:
        raise InvalidField("from", "That is longer than npvirt keeps anything: at most 20 years.")
    if from_ms >= last_ms:
        raise InvalidField("from", "The beginning lies in the future; nothing was seen there yet.")
    text = arguments.get("points", str(POINTS))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MOST_POINTS):
        raise InvalidField("points", f"points is a whole number from 1 to {MOST_POINTS}.")
    if arguments.get("format", "json") not in ("json", "csv"):
        raise InvalidField("format", "The format is json or csv.")
    # Nothing is known of what lies ahead.
    return Stretch(from_ms, min(to_ms, last_ms), int(text), at_ms)


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
        raise InvalidField("kind", f"The kind is one of: {', '.join(KINDS)}.")
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
        "t": [_seconds(at_ms) for at_ms in found.starts_ms],
        **_columns(found.lines[metrics[0].name]),
        "from": _seconds(found.from_ms),
        "to": _seconds(found.to_ms),
        "step_seconds": _seconds(found.width_ms),
        "tier": found.tier,
        "gaps": [[_seconds(begin), _seconds(end)] for begin, end in found.gaps],
        "as_of": time_or_none(stretch.at_ms if stretch.at_ms is not None else found.to_ms),
        "series": told,
    }


def _columns(line: Line) -> dict[str, list[float | None]]:
    return {"avg": line.average, "min": line.least, "max": line.greatest}


def _seconds(at_ms: int) -> float | int:
    return at_ms // 1000 if at_ms % 1000 == 0 else at_ms / 1000


def respond(body: object) -> Response:
    """JSON with an ETag; 304 where the reader has it."""
    return _with_etag(Response(msgspec.json.encode(body), mimetype="application/json"))


def _with_etag(response: Response) -> Response:
    response.set_etag(hashlib.blake2b(response.get_data(), digest_size=8).hexdigest())
    return cast(Response, response.make_conditional(request))


def _csv(found: Found, metrics: Sequence[Metric]) -> Response:
    """A line for each point: its time, then mean, least and greatest of each metric."""
    columns = ["time", *(f"{m.name}_{f}" for m in metrics for f in ("avg", "min", "max"))]
    rows = []
    for place, at_ms in enumerate(found.starts_ms):
        row: dict[str, Any] = {"time": rfc3339(at_ms)}
        for metric in metrics:
            for figure, values in _columns(found.lines[metric.name]).items():
                row[f"{metric.name}_{figure}"] = values[place]
        rows.append(row)
    response = Response(to_csv(rows, columns), mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="npvirt-series.csv"'
    return _with_etag(response)
