"""One scan of one host, put together from its parts.

Owns the order of the parts, what runs side by side, and what a scan says when parts fail. The
slow statistics of the running domains are waited for in helper threads while the rest is read.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from app import clock
from app.inventory import (
    Domain,
    DomainSample,
    Host,
    HostSample,
    Interface,
    Network,
    PartialLook,
    Scan,
    What,
)
from app.virt.read.agent import AgentWatch
from app.virt.read.devices import DeviceReader
from app.virt.read.domains import DomainReader
from app.virt.read.host import HostReader
from app.virt.read.interfaces import InterfaceReader
from app.virt.read.listing import Flags, Listed, ListReader
from app.virt.read.look import Look
from app.virt.read.networks import NetworkReader
from app.virt.read.partial import PartialReader
from app.virt.read.refresh import PoolRefresher
from app.virt.read.rotation import Rotation
from app.virt.read.stats import Measured, StatsReader
from app.virt.read.storage import Storage, StorageReader

if TYPE_CHECKING:
    from app.virt.session import Session

# How many slow parts a scan takes in turn: with the fourteen calls on the wire that a scan of one
# pool and one network always makes, sixteen; and up to eight where domains have snapshots.
_SLOW_PER_SCAN = 2


class _Parts(NamedTuple):
    """What was read beside the statistics."""

    storage: Storage
    networks: Mapping[str, Network] | None
    interfaces: Mapping[str, Interface] | None
    host: Host
    host_sample: HostSample


class _Totals(NamedTuple):
    """What the domains of a host add up to; None where that of one is not known."""

    running: int
    defined: int | None
    vcpus: int | None
    memory_bytes: int | None


class Reader:
    """Scans one host again and again and remembers what need not be read again.

    `open_writable` opens a session for what needs one (guest agents, pool refresh), each in a
    thread of its own; None: the host is read-only, and neither is done. Not safe for two scans at
    once.
    """

    def __init__(
        self,
        *,
        open_writable: "Callable[[], Session] | None",
        monotonic_s: Callable[[], float] = clock.monotonic_s,
    ) -> None:
        self._monotonic_s = monotonic_s
        self._rotation = Rotation(_SLOW_PER_SCAN)
        self._host = HostReader()
        self._list = ListReader()
        self._stats = StatsReader()
        self._domains = DomainReader()
        self._devices = DeviceReader()
        self._storage = StorageReader()
        self._networks = NetworkReader()
        self._interfaces = InterfaceReader()
        # The domains that were added up last: as long as nothing changes, the very same.
        self._totalled: Mapping[str, Domain] | None = None
        self._totals = _Totals(0, 0, 0, 0)
        self._agent: AgentWatch | None = None
        self._refresher: PoolRefresher | None = None
        if open_writable is not None:
            self._agent = AgentWatch(open_writable, monotonic_s)
            self._refresher = PoolRefresher(open_writable, monotonic_s)
        self._partial = PartialReader(self._domains, self._storage, self._networks, self._agent)

    def forget(self) -> None:
        """Read everything anew at the next scan, as after a reconnect. Facts that turn out equal
        stay the same objects; guest agents' answers are kept and asked for again.
        """
        self._rotation.clear()
        for part in (
            self._list, self._stats, self._domains, self._storage, self._networks,
            self._interfaces,
        ):  # fmt: skip
            part.forget()
        for watch in (self._agent, self._refresher):
            if watch is not None:
                watch.forget()

    def close(self) -> None:
        """End the threads and sessions beside the scans; none of them can hold this up."""
        for watch in (self._agent, self._refresher):
            if watch is not None:
                watch.close()

    def scan(
        self,
        session: "Session",
        *,
        at_ms: int,
        uri: str,
        everything: bool = False,
        again: Collection[tuple[str, str]] = (),
        vouched: Collection[str] = (),
    ) -> Scan:
        """One look at the host, labelled `at_ms`; `uri` is the address to show for it,
        `everything` reads all anew and `again` some objects: (domain, pool or network; UUID), or
        which interfaces there are: ("interface", "").
        Of the kinds `vouched` (domain, pool, network) libvirt would have told if any that is not
        in `again` had come, gone or changed its state since the last scan began.

        A part that fails is None and named in `missing`. Raises VirtError when the host as a
        whole is lost.
        """
        started_s, calls_before = clock.monotonic_s(), session.rpc_count
        now_s = self._monotonic_s()
        self._rotation.begin(now_s, everything=everything)
        look = Look(
            session,
            self._rotation,
            at_ms=at_ms,
            now_s=now_s,
            everything=everything,
            again=again,
            vouched=vouched,
        )
        self._partial.scan_begins()
        scan = self._read(look, uri)
        self._partial.scan_ends()
        calls = session.rpc_count
        return structs.replace(
            scan,
            missing=look.missing(),
            took_ms=clock.took_ms(started_s),
            rpc_count=None if calls is None or calls_before is None else calls - calls_before,
        )

    def look_at(
        self, session: "Session", told: Mapping[tuple[str, str], frozenset[What]]
    ) -> PartialLook:
        """Look at the objects that libvirt told of, and at nothing else; for its time and length
        the caller knows better. May run beside a scan. Raises VirtError when the host is lost.
        """
        look = Look(session, Rotation(0), at_ms=0, now_s=self._monotonic_s(), everything=True)
        return self._partial.read(look, told)

    def _read(self, look: Look, uri: str) -> Scan:
        listed = look.attempt("domains", lambda: self._list.domains(look), None)

        def beside() -> tuple[_Parts, Flags | None]:
            parts = self._parts(look, uri)
            return parts, self._list.flags(look, listed) if listed is not None else None

        if listed is None or all(entry.id is None for entry in listed):
            # Nothing is measured then, so there is nothing to wait for.
            measured = None if listed is None else Measured({}, {})
            parts, flags = beside()
        else:
            with ThreadPoolExecutor(1, "npvirt-stats") as helper:
                waiting = helper.submit(self._measure, look, listed)
                parts, flags = beside()
                measured = waiting.result()
        read = None
        if listed is not None and flags is not None:
            shapes = {} if measured is None else measured.shapes
            answers = {} if self._agent is None else self._agent.answers()
            places = self._storage.places
            read = self._domains.read(look, listed, flags, shapes, answers, places)
        self._wake(look, parts.storage)
        domains = None if read is None else read.domains
        devices = self._devices.read(measured, domains)
        return Scan(
            at_ms=look.at_ms,
            took_ms=0,
            ok=True,
            host=parts.host,
            host_sample=self._with_domains(look, parts.host_sample, domains),
            domains=domains,
            domain_samples=_samples(measured, domains),
            definitions={} if read is None else read.definitions,
            pools=parts.storage.pools,
            pool_samples=parts.storage.pool_samples,
            volumes=parts.storage.volumes,
            volume_samples=parts.storage.volume_samples,
            volumes_measured=parts.storage.volumes_measured,
            networks=parts.networks,
            interfaces=parts.interfaces,
            devices=None if devices is None else devices.facts,
            device_samples=None if devices is None else devices.samples,
        )

    def _with_domains(
        self, look: Look, sample: HostSample, domains: Mapping[str, Domain] | None
    ) -> HostSample:
        """The host's sample with what its domains add up to."""
        if domains is None:
            return sample
        if domains is not self._totalled:
            self._totalled, self._totals = domains, _totals(domains)
        return structs.replace(
            sample,
            running_domains=self._totals.running,
            defined_domains=self._totals.defined,
            assigned_vcpus=look.bounded("domains", self._totals.vcpus),
            assigned_memory_bytes=look.bounded("domains", self._totals.memory_bytes),
        )

    def _measure(self, look: Look, listed: list[Listed]) -> Measured | None:
        active = {entry.uuid: entry.handle for entry in listed if entry.id is not None}
        return self._stats.measure(look, active)

    def _parts(self, look: Look, uri: str) -> _Parts:
        host = self._host.facts(look, uri, self._refusals())
        refreshed = {} if self._refresher is None else self._refresher.refreshed_at_ms()
        storage = self._storage.read(look, refreshed)
        networks = self._networks.read(look)
        interfaces = self._interfaces.read(look, self._networks.bridges())
        return _Parts(storage, networks, interfaces, host, self._host.sample(look))

    def _refusals(self) -> dict[str, str]:
        """What this host does not let npvirt do, by part, for the host's facts."""
        watches = {"guest agents": self._agent, "pool refresh": self._refresher}
        return {
            part: watch.refusal
            for part, watch in watches.items()
            if watch is not None and watch.refusal is not None
        }

    def _wake(self, look: Look, storage: Storage) -> None:
        """Tell the threads beside the scans what there is to ask now; waits for nothing."""
        if self._agent is not None:
            if look.everything:
                self._agent.hurry()
            self._agent.want(self._domains.agent_targets())
        if self._refresher is not None and storage.pools is not None:
            for uuid, sentence in self._refresher.failures().items():
                if (pool := storage.pools.get(uuid)) is not None:
                    look.note(f"pool {pool.name}", f"It could not be refreshed: {sentence}")
            self._refresher.want(
                frozenset(uuid for uuid, pool in storage.pools.items() if pool.state == "running")
            )


def _samples(
    measured: Measured | None, domains: Mapping[str, Domain] | None
) -> Mapping[str, DomainSample] | None:
    """The samples of the domains that are still there; None when they were not measured."""
    if measured is None or domains is None:
        return None
    return {uuid: sample for uuid, sample in measured.samples.items() if uuid in domains}


def _totals(domains: Mapping[str, Domain]) -> _Totals:
    active = [domain for domain in domains.values() if domain.id is not None]
    vcpus = [domain.vcpus for domain in active if domain.vcpus is not None]
    memory = [domain.memory_bytes for domain in active if domain.memory_bytes is not None]
    whole = len(vcpus) == len(memory) == len(active)
    return _Totals(
        running=sum(domain.state == "running" for domain in active),
        defined=_how_many([domain.persistent for domain in domains.values()]),
        vcpus=sum(vcpus) if whole else None,
        memory_bytes=sum(memory) if whole else None,
    )


def _how_many(answers: list[bool | None]) -> int | None:
    """How many are true; None where some are not known."""
    return None if None in answers else answers.count(True)
