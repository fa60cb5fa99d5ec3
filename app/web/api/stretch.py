"""What addresses of series are asked for (from, to, points, at) and how they answer."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec
from flask import Response, request

from app import clock
from app.clock import DAY_MS, rfc3339
from app.csv import to_csv
from app.errors import InvalidField
from app.moments import parse_moment
from app.web.moment import moment

POINTS, MOST_POINTS = 300, 2000
# As many as stand on the page of a domain.
MOST_METRICS = 24
LONGEST_MS = 20 * 366 * DAY_MS


class Stretch(NamedTuple):
    """From when to when, in how many points, and the moment that it is looked from (None: now)."""

    from_ms: int
    to_ms: int
    points: int
    at_ms: int | None

    @property
    def as_of(self) -> str:
        """What all of it was known at."""
        return rfc3339(self.to_ms if self.at_ms is None else self.at_ms)


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


def respond(body: Mapping[str, Any]) -> Response:
    """Columns as JSON, or as CSV where that is asked for, with an ETag; 304 where the reader has
    it.
    """
    if request.args.get("format", "json") == "csv":
        response = Response(_csv(body), mimetype="text/csv")
        response.headers["Content-Disposition"] = 'attachment; filename="npvirt-series.csv"'
    else:
        response = Response(msgspec.json.encode(body), mimetype="application/json")
    response.set_etag(hashlib.blake2b(response.get_data(), digest_size=8).hexdigest())
    return cast(Response, response.make_conditional(request))


def _csv(body: Mapping[str, Any]) -> str:
    """A line for each point: its time, then mean, least and greatest of each series."""
    columns = {"time": [rfc3339(round(at * 1000)) for at in body["t"]]}
    for told in body["series"]:
        for figure in ("avg", "min", "max", "avg_counted"):
            if told.get(figure) is not None:
                columns[f"{told.get('key', told['metric'])}_{figure}"] = told[figure]
    for name in ("hosts_counted", "hosts_known"):
        if name in body:
            columns[name] = body[name]
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return to_csv(rows, list(columns))


def seconds(at_ms: int) -> float | int:
    """Epoch seconds, whole where they are."""
    return at_ms // 1000 if at_ms % 1000 == 0 else at_ms / 1000
