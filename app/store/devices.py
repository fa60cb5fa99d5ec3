"""Series of one disk or NIC of a domain.

Reads only. Where a domain has one device of a sort, or only one of several did anything, nothing is
kept of it: the domain's figures are its figures, and this is where they are told as such, point by
point, so that a series goes on when a second device comes or goes. What nobody knows is None.
"""

from bisect import bisect_right
from collections.abc import Sequence

import sqlalchemy as sa

from app.inventory import Device, Domain, device_names
from app.metrics import METRIC_BY_NAME, Metric
from app.store import schema
from app.store.engine import Store
from app.store.raw import Object, facts_between
from app.store.sampled import Since
from app.store.series import Found, series_within
from app.store.values import Line


def device_series(
    store: Store,
    domain: Object,
    key: str,
    metrics: Sequence[Metric],
    from_ms: int,
    to_ms: int,
    points: int,
) -> Found:
    """What the device of a domain counted, `key` being the domain's UUID, a slash and its name.
    Points, buckets and gaps are those of the domain's series. Raises StoreError.
    """
    of_domain = [METRIC_BY_NAME["domain", metric.name] for metric in metrics]
    with store.reading() as connection:
        whole = series_within(connection, domain, of_domain, from_ms, to_ms, points)
        device = _find(connection, domain, key)
        own, shares = None, _Shares(key.split("/", 1)[1])
        shares.domain = facts_between(connection, domain, from_ms, to_ms)
        if device is not None:
            own = series_within(connection, device, metrics, from_ms, to_ms, points)
            shares.device = facts_between(connection, device, from_ms, to_ms)
    lasts = _lasts(whole, to_ms)
    told = [shares.at(last_ms) for last_ms in lasts]
    lines = {}
    for metric in metrics:
        mine = None if own is None else own.lines[metric.name]
        lines[metric.name] = _joined(whole, whole.lines[metric.name], own, mine, told)
    whole.lines = lines
    return whole


def is_known_device(store: Store, domain: Object, key: str) -> bool:
    """Whether a device was ever told on its own."""
    with store.reading() as connection:
        return _find(connection, domain, key) is not None


class _Shares:
    """Whose figures were a device's, over time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sort = name.split(":", 1)[0] + ":"
        self.domain: Sequence[Since] = ()
        self.device: Sequence[Since] = ()

    def at(self, at_ms: int) -> str | None:
        """One of inventory.Share; None where that is not known."""
        fact = _at(self.domain, at_ms)
        if not isinstance(fact, Domain):
            return None
        likes = [name for name in device_names(fact) if name.startswith(self._sort)]
        if self._name not in likes:
            return None
        if len(likes) == 1:
            return "whole"
        device = _at(self.device, at_ms)
        return device.share if isinstance(device, Device) and device.run == fact.id else None


def _at(facts: Sequence[Since], at_ms: int) -> object:
    place = bisect_right(facts, at_ms, key=lambda since: since.from_ms) - 1
    return facts[place].fact if place >= 0 else None


def _lasts(found: Found, to_ms: int) -> list[int]:
    """The last moment of each point: a sample's own, or the end of a bucket."""
    is_sampled = any(at_ms % found.width_ms for at_ms in found.starts_ms)
    width_ms = 1 if is_sampled else found.width_ms
    return [min(at_ms + width_ms, to_ms) - 1 for at_ms in found.starts_ms]


def _find(connection: sa.Connection, domain: Object, key: str) -> Object | None:
    table = schema.entity
    number = connection.scalar(
        sa.select(table.c.id).where(
            table.c.host_id == domain.host_id, table.c.kind == "device", table.c.key == key
        )
    )
    return None if number is None else Object(number, domain.host_id, "device")


def _joined(
    whole: Found, of_domain: Line, own: Found | None, mine: Line | None, told: Sequence[str | None]
) -> Line:
    """Its own values where there are some; else what its share says of the domain's."""
    places = {} if own is None else {at_ms: n for n, at_ms in enumerate(own.starts_ms)}

    def column(
        domain: Sequence[float | None], values: Sequence[float | None]
    ) -> list[float | None]:
        found: list[float | None] = []
        for at_ms, value, share in zip(whole.starts_ms, domain, told, strict=True):
            place = places.get(at_ms)
            one = None if place is None else values[place]
            if one is None and value is not None and share in ("whole", "nothing"):
                one = value if share == "whole" else 0.0
            found.append(one)
        return found

    nothing = Line([], [], [])
    mine = nothing if mine is None else mine
    return Line(
        column(of_domain.average, mine.average),
        column(of_domain.least, mine.least),
        column(of_domain.greatest, mine.greatest),
    )
