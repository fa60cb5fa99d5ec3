"""What the read side returns: the fleet at a moment, and how each host stood.

Values only; app/store/history.py gives them out, app/store/building.py makes them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Generic

from msgspec import Struct
from typing_extensions import TypeVar

from app.inventory import (
    Domain,
    DomainSample,
    Fact,
    Host,
    HostSample,
    Interface,
    Missing,
    Network,
    Pool,
    PoolSample,
    Volume,
    VolumeSample,
)
from app.store.hosts import HostRecord

F = TypeVar("F", bound=Fact, default=Any)
S = TypeVar("S", default=Any)


class HostStatus(Struct, frozen=True):
    """How a host stands at a moment.

    `known`: its last look succeeded and is recent. `unknown_since_ms`: when it was last seen, or
    added. `failures`: looks that failed since. `unlisted`: kinds that the last look could not
    list. Times are of scans; None where there was none.
    """

    known: bool
    unknown_since_ms: int | None = None
    last_ok_at_ms: int | None = None
    last_try_at_ms: int | None = None
    took_ms: int | None = None
    ok: bool | None = None
    problem: str | None = None
    sentence: str | None = None
    detail: str | None = None
    failures: int = 0
    next_at_ms: int | None = None
    missing: tuple[Missing, ...] = ()
    rpc_count: int | None = None
    # When it stops being known unless somebody looks again.
    known_until_ms: int | None = None
    unlisted: frozenset[str] = frozenset()


class Seen(Struct, Generic[F, S], frozen=True, gc=False):
    """One object as of a moment.

    `at_ms` is the scan that last saw it, `valid_from_ms` the one that first saw it like this.
    `sample` and `previous` are the measurements of the last good scan and of the one before it,
    `elapsed_ms` apart; None where it was not measured. `known` False: these are its last values.

    Of a time of which the samples are no longer kept, `sample` holds the means of its hour, with
    no counters, and `rates` what each counter counted a second (None: not such a time).
    """

    host: str
    key: str
    entity_id: int
    fact: F
    at_ms: int
    valid_from_ms: int
    known: bool
    sample: S | None = None
    previous: S | None = None
    elapsed_ms: int | None = None
    rates: Mapping[str, int] | None = None


class HostView(Struct, frozen=True):
    """One host of the registry at a moment: how it stands, and what was last seen of it."""

    slug: str
    record: HostRecord
    status: HostStatus
    seen: Seen[Host, HostSample] | None


class Fleet(Struct, frozen=True):
    """All that is known at a moment. `as_of_ms` is the newest scan, None before the first."""

    moment_ms: int | None
    as_of_ms: int | None
    hosts: tuple[HostView, ...] = ()
    domains: tuple[Seen[Domain, DomainSample], ...] = ()
    pools: tuple[Seen[Pool, PoolSample], ...] = ()
    volumes: tuple[Seen[Volume, VolumeSample], ...] = ()
    networks: tuple[Seen[Network, None], ...] = ()
    interfaces: tuple[Seen[Interface, None], ...] = ()
    # When domains that still run were asked to shut down, by host and UUID.
    shutdowns: Mapping[tuple[str, str], int] = {}

    def host(self, slug: str) -> HostView | None:
        """The host of that name."""
        return next((view for view in self.hosts if view.slug == slug), None)

    def domain(self, host: str, uuid: str) -> Seen[Domain, DomainSample] | None:
        """The domain of that host."""
        return _find(self.domains, host, uuid)

    def pool(self, host: str, uuid: str) -> Seen[Pool, PoolSample] | None:
        """The storage pool of that host."""
        return _find(self.pools, host, uuid)

    def network(self, host: str, uuid: str) -> Seen[Network, None] | None:
        """The network of that host."""
        return _find(self.networks, host, uuid)


class Try(Struct, frozen=True):
    """One look at a host, for the list of tries."""

    at_ms: int
    took_ms: int
    ok: bool
    problem: str | None
    sentence: str | None
    missing: tuple[Missing, ...]
    changes: int
    rpc_count: int | None
    clock_stepped: bool


class Density(Struct, frozen=True):
    """One stretch of time: revisions begun, looks that failed, and whether nobody looked."""

    changes: int
    failed: int
    gap: bool


def _find(objects: Iterable[Seen[F, S]], host: str, key: str) -> Seen[F, S] | None:
    return next((seen for seen in objects if seen.key == key and seen.host == host), None)
