"""The fleet as families of metrics. Pure, over one fleet of the present.

Of a host that does not answer nothing is told but that it does not; what is unknown of any other
object is left out. Labels are written once for all metrics of an object, and values taken column by
column: of a thousand domains there are thirty thousand.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

from msgspec import Struct, field

from app.inventory import KindName
from app.store.device_counts import DeviceCounts
from app.store.views import Fleet, Seen
from app.web.device_parts import SORTS, DeviceSort, parts_of
from app.web.fleet_metrics import DOMAIN, HOST, NETWORK, POOL, UP, FleetMetric, Labels
from app.web.openmetrics import Family, Lines, labels_text, with_labels

_GROUPS = (HOST, DOMAIN, POOL, NETWORK)
# Of so many objects the labels that name them are remembered from scrape to scrape.
_NAMED = 8192


class _Column(Struct):
    """What values are taken from, each with its labels; those at `idle` counted nothing."""

    texts: list[str] = field(default_factory=list)
    objects: list[Any] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    _lines: Lines | None = None

    def add(self, text: str, one: object, *, idle: bool = False) -> None:
        """Add one object."""
        if idle:
            self.idle.append(len(self.objects))
        self.texts.append(text)
        self.objects.append(one)

    def family(self, metric: FleetMetric) -> Family:
        """The metric of each."""
        values: list[float | None] = list(map(metric.value, self.objects))
        for place in self.idle:
            if values[place] is not None:
                values[place] = 0
        if (per := metric.per) is not None:
            values = [None if value is None else value / per for value in values]
        # The metrics of a column have the same labels; nothing is added when they are told.
        self._lines = self._lines or Lines(self.texts)
        return Family(metric.name, metric.type, metric.help, self._lines, values)


def fleet_families(fleet: Fleet, counts: DeviceCounts) -> Iterator[Family]:
    """All that the table declares, in its order. `counts` are those of the fleet's devices."""
    hosts = sorted(fleet.hosts, key=lambda view: view.slug)
    yield _Column([labels_text({"host": view.slug}) for view in hosts], list(hosts)).family(UP)
    objects: dict[KindName, Iterable[Seen[Any, Any]]] = {
        "host": [view.seen for view in hosts if view.seen is not None],
        "domain": fleet.domains,
        "pool": fleet.pools,
        "network": fleet.networks,
    }
    for metrics in _GROUPS:
        kind = metrics[0].kind
        seen, measured = _Column(), _Column()
        for one in objects[kind]:
            if one.known:
                text = _names(kind, one.host, "" if kind == "host" else one.fact.name, one.key)
                seen.add(text, one)
                if one.sample is not None:
                    measured.add(text, one.sample)
        columns = _of_devices(seen, counts) if kind == "domain" else {}
        for metric in metrics:
            if metric.more is not None:
                yield _with_more(seen, metric.more).family(metric)
            elif metric.sort is not None:
                yield columns[metric.sort].family(metric)
            else:
                yield (measured if metric.measured else seen).family(metric)


def _with_more(seen: _Column, more: Callable[[Any], Labels]) -> _Column:
    """The same objects with more labels."""
    # Most objects are in the same few states.
    written = cache(lambda pairs: labels_text(dict(pairs)))
    texts = [
        with_labels(text, written(tuple(more(one).items())))
        for text, one in zip(seen.texts, seen.objects, strict=True)
    ]
    return _Column(texts, seen.objects)


def _of_devices(domains: _Column, counts: DeviceCounts) -> dict[DeviceSort, _Column]:
    """The disks and the NICs of the domains that were measured."""
    found: dict[DeviceSort, _Column] = {sort: _Column() for sort in SORTS}
    written = cache(lambda device: labels_text({"device": device}))
    for text, seen in zip(domains.texts, domains.objects, strict=True):
        if seen.sample is None:
            continue
        mine = counts.get((seen.host, seen.key), {})
        for sort, column in found.items():
            for part in parts_of(seen, sort, mine):
                column.add(with_labels(text, written(part.device)), part.sample, idle=part.idle)
    return found


@lru_cache(_NAMED)
def _names(kind: KindName, host: str, name: str, uuid: str) -> str:
    """The labels that name an object."""
    return labels_text(
        {"host": host} if kind == "host" else {"host": host, kind: name, "uuid": uuid}
    )
