"""What a domain did between its last two scans: pure, from samples.

A rate is None when a counter is unknown or went down (the domain was started anew), or when
there is nothing to compare with. Never negative, never a guess.
"""

from collections.abc import Mapping
from typing import NamedTuple

from app.inventory import Domain, DomainSample
from app.store.history import Seen


class DomainRates(NamedTuple):
    """`cpu` is a fraction of the domain's vCPUs (it may pass 1: QEMU's own work counts too); the
    others are bytes per second.
    """

    cpu: float | None = None
    disk_read: float | None = None
    disk_write: float | None = None
    net_rx: float | None = None
    net_tx: float | None = None


_NONE = DomainRates()
_BYTES = ("disk_read_bytes", "disk_write_bytes", "net_rx_bytes", "net_tx_bytes")


def domain_rates(seen: Seen[Domain, DomainSample]) -> DomainRates:
    """What the domain did between its last two samples. Of a host that does not answer these are
    the last ones seen: whether they still hold is `seen.known`.
    """
    if seen.rates is not None:
        return _of_hour(seen.rates, seen.fact.vcpus)
    now, before, elapsed_ms = seen.sample, seen.previous, seen.elapsed_ms
    if now is None or before is None or elapsed_ms is None or elapsed_ms <= 0:
        return _NONE
    if _fell(now.cpu_time_ns, before.cpu_time_ns):
        # CPU time falls only when another QEMU runs: all its counters began anew, even one that
        # has passed its old value already.
        return _NONE
    seconds = elapsed_ms / 1000
    busy_ns = _rate(now.cpu_time_ns, before.cpu_time_ns, seconds)
    vcpus = seen.fact.vcpus
    return DomainRates(
        busy_ns / 1e9 / vcpus if busy_ns is not None and vcpus else None,
        _rate(now.disk_read_bytes, before.disk_read_bytes, seconds),
        _rate(now.disk_write_bytes, before.disk_write_bytes, seconds),
        _rate(now.net_rx_bytes, before.net_rx_bytes, seconds),
        _rate(now.net_tx_bytes, before.net_tx_bytes, seconds),
    )


def _of_hour(rates: Mapping[str, int], vcpus: int | None) -> DomainRates:
    """The means of an hour, of which no samples are kept."""
    busy_ns = rates.get("cpu_time_ns")
    return DomainRates(
        busy_ns / 1e9 / vcpus if busy_ns is not None and vcpus else None,
        *(rates.get(name) for name in _BYTES),
    )


# The short name, for modules where nothing else has rates.
rates = domain_rates


def total(one: float | None, other: float | None) -> float | None:
    """The sum of what is known of two rates; None where neither is."""
    if one is None or other is None:
        return one if other is None else other
    return one + other


def _fell(now: int | None, before: int | None) -> bool:
    return now is not None and before is not None and now < before


def _rate(now: int | None, before: int | None, seconds: float) -> float | None:
    if now is None or before is None or now < before:
        return None
    return (now - before) / seconds
