"""The fleet as families of metrics. Pure, over one fleet of the present.

Of a host that does not answer nothing is told but that it does not; what is unknown of any other
object is left out.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from app.inventory import KindName
from app.store.views import Fleet, Seen
from app.web.fleet_metrics import DOMAIN, HOST, NETWORK, POOL, UP, FleetMetric, Labels
from app.web.openmetrics import Family, labels_text, with_labels

_GROUPS = (HOST, DOMAIN, POOL, NETWORK)


def fleet_families(fleet: Fleet) -> Iterator[Family]:
    """All that the table declares, in its order."""
    hosts = sorted(fleet.hosts, key=lambda view: view.slug)
    asked = [(labels_text({"host": view.slug}), UP.value(view)) for view in hosts]
    yield Family(UP.name, UP.type, UP.help, asked)
    objects: dict[KindName, Iterable[Seen[Any, Any]]] = {
        "host": [view.seen for view in hosts if view.seen is not None],
        "domain": fleet.domains,
        "pool": fleet.pools,
        "network": fleet.networks,
    }
    for metrics in _GROUPS:
        kind = metrics[0].kind
        known = [seen for seen in objects[kind] if seen.known]
        # Written once for all metrics of an object: that is most of the work.
        texts = [labels_text(_names(kind, seen)) for seen in known]
        for metric in metrics:
            yield _family(metric, known, texts)


def _family(metric: FleetMetric, known: list[Seen[Any, Any]], texts: list[str]) -> Family:
    value, more = metric.value, metric.more
    if more is not None:
        # Most objects are in the same few states.
        written = cache(lambda pairs: labels_text(dict(pairs)))
        texts = [
            with_labels(text, written(tuple(more(seen).items())))
            for text, seen in zip(texts, known, strict=True)
        ]
    samples = [(text, value(seen)) for text, seen in zip(texts, known, strict=True)]
    return Family(metric.name, metric.type, metric.help, samples)


def _names(kind: KindName, seen: Seen[Any, Any]) -> Labels:
    """The labels that name an object."""
    if kind == "host":
        return {"host": seen.host}
    return {"host": seen.host, kind: seen.fact.name, "uuid": seen.key}
