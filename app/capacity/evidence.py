"""What a capacity review judges: a fleet as it was known at a moment, and its days before that.

Values only; app/store/capacity makes them. `known` False: the host did not answer then, and these
are the last values seen of it. Days are of UTC, since 1970; what is not known is None.
"""

from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from app.capacity.daily import Daily

NOTHING = Daily(0, ())
# Host, the pool's UUID and the volume's name.
VolumeKey = tuple[str, str, str]


class HostEvidence(Struct, frozen=True, gc=False):
    """A host: `cpus` are its logical CPUs (threads). Of each day what is named; `cpu` as a share
    of its CPUs, `assigned_…` to running domains. `since_ms`: last seen, or from when unknown.
    """

    name: str
    known: bool
    seen_ms: int | None
    cpus: int | None
    memory_bytes: int | None
    cpu_p95: Daily = NOTHING
    cpu_max: Daily = NOTHING
    memory_used_p95_bytes: Daily = NOTHING
    memory_used_max_bytes: Daily = NOTHING
    assigned_vcpus: Daily = NOTHING
    assigned_memory_bytes: Daily = NOTHING


class PoolEvidence(Struct, frozen=True, gc=False):
    """A storage pool. `promised_bytes` is what the capacities of its volumes add up to; of each
    day what was allocated in the end; `capacity`: how large it was a month ago, on the day from
    which last month's forecast goes on.
    """

    host: str
    uuid: str
    name: str
    state: str
    known: bool
    seen_ms: int
    type: str | None = None
    target: str | None = None
    source: str | None = None
    capacity_bytes: int | None = None
    allocation_bytes: int | None = None
    available_bytes: int | None = None
    promised_bytes: int | None = None
    allocation: Daily = NOTHING
    capacity: Daily = NOTHING


class DomainUse(Struct, frozen=True, gc=False):
    """What a domain did on the days on which it was seen running, in parallel lists. `cpu_…` as
    shares of its vCPUs, disk and network as means of all bytes a second, read and written.
    """

    days: list[int] = field(default_factory=list)
    cpu_p95: list[float | None] = field(default_factory=list)
    cpu_max: list[float | None] = field(default_factory=list)
    memory_p95_bytes: list[float | None] = field(default_factory=list)
    memory_max_bytes: list[float | None] = field(default_factory=list)
    disk_bytes_per_s: list[float | None] = field(default_factory=list)
    net_bytes_per_s: list[float | None] = field(default_factory=list)


class VolumeEvidence(Struct, frozen=True, gc=False):
    """A volume: how many disks of domains of its host it is, and how many images there have it as
    their backing file.
    """

    host: str
    pool_uuid: str
    pool: str
    name: str
    known: bool
    seen_ms: int
    path: str | None
    format: str | None
    capacity_bytes: int | None
    allocation_bytes: int | None
    users: int
    overlays: int
    first_seen_ms: int | None = None


class SnapshotEvidence(Struct, frozen=True, gc=False):
    """A snapshot that libvirt keeps of a domain; what it takes is not known to libvirt."""

    name: str
    created_at_ms: int | None


class DomainEvidence(Struct, frozen=True, gc=False):
    """A domain. `off_since_ms`: when it was seen to stop; None where it was never seen running.
    `volumes` are those that its disks are, by the keys of Evidence; `sized_day`: from when on it
    has had as many vCPUs and as much memory as now, if it was resized.
    """

    host: str
    uuid: str
    name: str
    state: str
    active: bool
    known: bool
    seen_ms: int
    vcpus: int | None
    memory_bytes: int | None
    title: str | None = None
    description: str | None = None
    first_seen_ms: int | None = None
    off_since_ms: int | None = None
    sized_day: int | None = None
    volumes: tuple[VolumeKey, ...] = ()
    # None where they could not be read.
    snapshots: tuple[SnapshotEvidence, ...] | None = ()
    use: DomainUse | None = None


EventKind = Literal["domain", "volume"]


class Event(Struct, frozen=True, gc=False):
    """Something that made a fleet larger or smaller: "created", "deleted", "resized" or, for a
    domain that came from another host or went there, "moved-here" and "moved-away".

    The numbers are what it added (less than 0: took away); None where that is not known any more.
    """

    at_ms: int
    kind: EventKind
    what: str
    host: str
    name: str
    key: str
    pool: str | None = None
    title: str | None = None
    description: str | None = None
    vcpus: int | None = 0
    memory_bytes: int | None = 0
    capacity_bytes: int | None = 0


class Evidence(Struct, frozen=True):
    """All of it as of `at_ms`, which lies in `day`: the days before are over."""

    at_ms: int
    day: int
    hosts: tuple[HostEvidence, ...] = ()
    pools: tuple[PoolEvidence, ...] = ()
    domains: tuple[DomainEvidence, ...] = ()
    # By host, pool and name.
    volumes: Mapping[VolumeKey, VolumeEvidence] = {}
    events: tuple[Event, ...] = ()
    # The first day of which anything is known, and the day from which on use and events were read.
    first_day: int | None = None
    use_from_day: int = 0
    events_from_day: int = 0

    def within(self, hosts: Collection[str]) -> "Evidence":
        """The same of some hosts alone."""
        return replace(
            self,
            hosts=tuple(one for one in self.hosts if one.name in hosts),
            pools=tuple(one for one in self.pools if one.host in hosts),
            domains=tuple(one for one in self.domains if one.host in hosts),
            volumes={key: one for key, one in self.volumes.items() if key[0] in hosts},
            events=tuple(one for one in self.events if one.host in hosts),
        )
