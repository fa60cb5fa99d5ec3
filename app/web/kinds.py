"""The lists that pages, JSON and CSV share: what each is searched by and sorted by.

Pure. A list is asked with a Query; `domain_list` and `plain_list` answer it from a fleet.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from app.inventory import (
    DOMAIN_STATES,
    FLAG_GROUPS,
    NETWORK_STATES,
    POOL_STATES,
    Domain,
    DomainSample,
    Interface,
    Network,
    Pool,
    PoolSample,
    Volume,
    VolumeSample,
)
from app.store.history import Fleet, Seen
from app.web.flags import flags_of
from app.web.listing import Answer, Kind, Query, by_host, by_name, select
from app.web.rates import domain_rates, total

DomainSeen = Seen[Domain, DomainSample]
PoolSeen = Seen[Pool, PoolSample]
VolumeSeen = Seen[Volume, VolumeSample]
NetworkSeen = Seen[Network, None]
InterfaceSeen = Seen[Interface, None]

# (host, MAC) -> addresses that the host's networks leased to it
Leases = Mapping[tuple[str, str], Sequence[str]]

# What these sort by moves at every scan, so a page keeps the order in which it was asked.
MOVING_SORTS = frozenset(
    ("state", "cpu", "disk", "net", "used", "allocation_bytes", "available_bytes")
)


def leases(fleet: Fleet) -> Leases:
    """The addresses that libvirt's networks gave out, by host and MAC."""
    found: dict[tuple[str, str], list[str]] = {}
    for seen in fleet.networks:
        for lease in seen.fact.leases or ():
            if lease.mac and lease.address:
                found.setdefault((seen.host, lease.mac.lower()), []).append(lease.address)
    return found


def addresses_of(seen: DomainSeen, leased: Leases) -> list[str]:
    """A domain's IP addresses: what its guest agent tells, and what was leased to its NICs."""
    guest = seen.fact.guest
    told = [text for nic in guest.addresses for text in nic.addresses] if guest else []
    found = [text.partition("/")[0] for text in told]
    for nic in seen.fact.nics:
        found += leased.get((seen.host, nic.mac.lower()), ())
    return list(dict.fromkeys(found))


def _domain_texts(seen: DomainSeen, leased: Leases) -> Iterable[str | None]:
    domain = seen.fact
    yield domain.name
    yield domain.title
    yield domain.uuid
    for nic in domain.nics:
        yield nic.mac
        # Some write a MAC address with hyphens.
        yield nic.mac.replace(":", "-")
    yield from addresses_of(seen, leased)
    if domain.guest is not None:
        yield domain.guest.hostname


def _disk(seen: DomainSeen) -> float | None:
    found = domain_rates(seen)
    return total(found.disk_read, found.disk_write)


def _net(seen: DomainSeen) -> float | None:
    found = domain_rates(seen)
    return total(found.net_rx, found.net_tx)


def _state(words: Sequence[str]) -> Callable[[Seen[Any, Any]], int]:
    """States sort in the order in which libvirt counts them."""
    place = {word: number for number, word in enumerate(words)}
    return lambda seen: place.get(seen.fact.state, len(place))


def _sampled(name: str) -> Callable[[Seen[Any, Any]], Any]:
    """What an object's sample says under `name`."""
    return lambda seen: getattr(seen.sample, name, None)


DOMAINS: Kind[DomainSeen] = Kind(
    texts=lambda seen: _domain_texts(seen, {}),
    sorts={
        "name": by_name,
        "state": _state(DOMAIN_STATES),
        "host": by_host,
        "vcpus": lambda seen: seen.fact.vcpus,
        "memory": lambda seen: seen.fact.memory_bytes,
        "cpu": lambda seen: domain_rates(seen).cpu,
        "disk": _disk,
        "net": _net,
    },
    states=DOMAIN_STATES,
    flag_groups=FLAG_GROUPS,
    flags=flags_of,
)


def used_share(seen: PoolSeen) -> float | None:
    """How full a pool is, 0..1; None where that was not measured."""
    sample = seen.sample
    if sample is None or sample.allocation_bytes is None or not sample.capacity_bytes:
        return None
    return sample.allocation_bytes / sample.capacity_bytes


POOLS: Kind[PoolSeen] = Kind(
    texts=lambda seen: (
        seen.fact.name, seen.key, seen.fact.type, seen.fact.target, seen.fact.source,
    ),
    sorts={
        "name": by_name,
        "state": _state(POOL_STATES),
        "host": by_host,
        "type": lambda seen: seen.fact.type,
        "used": used_share,
        "capacity_bytes": _sampled("capacity_bytes"),
        "allocation_bytes": _sampled("allocation_bytes"),
        "available_bytes": _sampled("available_bytes"),
    },
    states=POOL_STATES,
)  # fmt: skip
VOLUMES: Kind[VolumeSeen] = Kind(
    texts=lambda seen: (seen.fact.name, seen.fact.path),
    sorts={
        "name": by_name,
        "host": by_host,
        "format": lambda seen: seen.fact.format,
        "capacity_bytes": lambda seen: seen.fact.capacity_bytes,
        "allocation_bytes": _sampled("allocation_bytes"),
    },
)
NETWORKS: Kind[NetworkSeen] = Kind(
    texts=lambda seen: _network_texts(seen.fact),
    sorts={
        "name": by_name,
        "state": _state(NETWORK_STATES),
        "host": by_host,
        "bridge": lambda seen: seen.fact.bridge,
        "forward": lambda seen: seen.fact.forward,
    },
    states=NETWORK_STATES,
)
INTERFACES: Kind[InterfaceSeen] = Kind(
    texts=lambda seen: (seen.fact.name, seen.fact.mac, *(seen.fact.addresses or ())),
    sorts={
        "name": by_name,
        "state": _state(NETWORK_STATES),
        "host": by_host,
        "type": lambda seen: seen.fact.type,
    },
    states=NETWORK_STATES,
)


def _network_texts(network: Network) -> Iterable[str | None]:
    yield from (network.name, network.uuid, network.bridge, *network.addresses)
    for lease in network.leases or ():
        yield from (lease.mac, lease.address, lease.hostname)


def volumes_of(fleet: Fleet) -> list[VolumeSeen]:
    """The volumes of the fleet. Those of a pool that is not active cannot be looked at: they are
    as unknown as those of a host that does not answer.
    """
    resting = {
        (seen.host, seen.key): seen.valid_from_ms
        for seen in fleet.pools
        if seen.fact.state in ("inactive", "building")
    }
    if not resting:
        return list(fleet.volumes)
    return [_rested(seen, resting.get((seen.host, seen.fact.pool_uuid))) for seen in fleet.volumes]


def _rested(seen: VolumeSeen, since_ms: int | None) -> VolumeSeen:
    if since_ms is None or not seen.known:
        return seen
    return replace(seen, known=False, at_ms=since_ms)


def domain_list(fleet: Fleet, query: Query, basis: Fleet | None = None) -> Answer:
    """The domains that `query` asks for, in the order of `basis` where one is given."""
    kind = DOMAINS
    if query.text:
        leased = leases(fleet)
        kind = replace(kind, texts=lambda seen: _domain_texts(seen, leased))
    order = None if basis is None else {(seen.host, seen.key): seen for seen in basis.domains}
    return select(fleet.domains, query, kind, order)


def plain_list(
    objects: Sequence[Any], kind: Kind[Any], query: Query, basis: Sequence[Any] | None = None
) -> Answer:
    """The objects that `query` asks for, in the order of `basis` where one is given."""
    order = None if basis is None else {(seen.host, seen.key): seen for seen in basis}
    return select(objects, query, kind, order)
