"""The sparklines of a fleet's hosts, domains and pools, as rows of tables show them.

Reads their numbers from the store, which keeps them. A path is kept for as long as its numbers
stay the very same object, which they do for half an hour.
"""

from typing import Any

from app.inventory import Domain, Host, PoolSample
from app.services import services
from app.store.history import Fleet, HostView
from app.store.sparks import SparkKind, sparks
from app.web.kinds import DomainSeen, PoolSeen
from app.web.sparks import NO_SPARK, Spark, Values, spark

_KEPT = 16_384
_kept: dict[tuple[str, int], tuple[Any, Any, float | None, Spark]] = {}


class Sparks:
    """Draws the sparklines of the 24 hours before the moment of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._at_ms = fleet.moment_ms
        self._hosts = self._read("host")
        self._host_ids = {view.slug: view.seen.entity_id for view in fleet.hosts if view.seen}
        self._domains: Any = None
        self._pools: Any = None

    def host(self, view: HostView) -> Spark:
        """How busy a host's CPUs were."""
        if view.seen is None:
            return NO_SPARK
        number, facts = view.seen.entity_id, view.seen.fact
        values = self._hosts.get(number)
        return _drawn("host", number, values, values, _cpus(facts))

    def domain(self, seen: DomainSeen) -> Spark:
        """How busy a domain's vCPUs were."""
        if self._domains is None:
            self._domains = self._read("domain")
        fact: Domain = seen.fact
        values = self._domains.get(seen.entity_id)
        return _drawn("domain", seen.entity_id, values, self._of_host(seen.host), fact.vcpus)

    def pool(self, seen: PoolSeen) -> Spark:
        """How full a pool was."""
        if self._pools is None:
            self._pools = self._read("pool")
        sample = seen.sample or PoolSample()
        values = self._pools.get(seen.entity_id)
        return _drawn(
            "pool", seen.entity_id, values, self._of_host(seen.host), sample.capacity_bytes
        )

    def _read(self, kind: SparkKind) -> Any:
        return sparks(services().store, kind, self._at_ms)

    def _of_host(self, slug: str) -> Values | None:
        number = self._host_ids.get(slug)
        return None if number is None else self._hosts.get(number)


def _cpus(facts: Host) -> int | None:
    return facts.cpus_online or facts.cpus


def _drawn(
    kind: str, number: int, values: Values | None, seen: Values | None, whole: float | None
) -> Spark:
    """The sparkline of `values`, of which `whole` is all."""
    if values is None or not whole:
        return NO_SPARK
    kept = _kept.get((kind, number))
    if kept is not None and kept[0] is values and kept[1] is seen and kept[2] == whole:
        return kept[3]
    if len(_kept) >= _KEPT:
        _kept.clear()
    made = spark([None if value is None else value / whole for value in values], seen)
    _kept[kind, number] = (values, seen, whole, made)
    return made
