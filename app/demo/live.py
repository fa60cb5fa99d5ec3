"""The made-up fleet as it goes on: what each host would tell now.

Begins with what the store last saw, so that a demonstration that was stopped goes on where it
was, with a gap between. Thread-safe per host. Pure but for that, and for the chance that now and
then something happens.
"""

import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from app.clock import MINUTE_MS
from app.demo.catalog import Spec, specs
from app.demo.loads import LOADS, ONE, TAMED, part_given, week, week_start
from app.demo.machines import ACTIVE
from app.demo.plan import Plan
from app.demo.planted import FILLING, IDLE, OVERSIZED
from app.inventory import (
    Domain,
    DomainSample,
    Host,
    HostSample,
    Interface,
    Network,
    Pool,
    PoolSample,
    Scan,
    Snapshot,
    Volume,
)
from app.store.engine import Store
from app.store.history import fleet

_QUIET = "kvm-06"
_QUIET_OF, _QUIET_FOR = 180, 30
_HAPPENS = 1 / 14


class LiveHost:
    """One host; `plan` is what its past was made from."""

    def __init__(self, store: Store, slug: str, plan: Plan) -> None:
        self.lock = threading.RLock()
        self.slug = slug
        self._plan = plan
        self._specs = {spec.uuid: spec for spec in specs(plan)}
        self._luck = random.Random()  # noqa: S311 (makes things up; guards nothing)
        seen = fleet(store, None)

        def mine(one: Any) -> bool:
            return bool(one.host == slug)

        view = seen.host(slug)
        found = view.seen if view is not None else None
        self.host: Host | None = found.fact if found is not None else None
        self._host_sample = found.sample if found is not None else None
        self.domains: dict[str, Domain] = {}
        self._samples: dict[str, DomainSample] = {}
        for one in filter(mine, seen.domains):
            self.domains[one.key] = one.fact
            if one.sample is not None:
                self._samples[one.key] = one.sample
        self.pools: dict[str, Pool] = {}
        self._pool_samples: dict[str, PoolSample] = {}
        for pool in filter(mine, seen.pools):
            self.pools[pool.key] = pool.fact
            if pool.sample is not None:
                self._pool_samples[pool.key] = pool.sample
        self.volumes: dict[str, dict[str, Volume]] = {uuid: {} for uuid in self.pools}
        self._volume_samples = {}
        for volume in filter(mine, seen.volumes):
            fact = volume.fact
            self.volumes.setdefault(fact.pool_uuid, {})[fact.name] = fact
            if volume.sample is not None:
                self._volume_samples[(fact.pool_uuid, fact.name)] = volume.sample
        self.networks: dict[str, Network] = {n.key: n.fact for n in filter(mine, seen.networks)}
        self._interfaces: dict[str, Interface] = {
            one.key: one.fact for one in filter(mine, seen.interfaces)
        }
        # When it was last seen, or not answering.
        status = None if view is None else view.status
        self.last_ms = (status.last_try_at_ms if status else None) or plan.end_ms
        ids = [domain.id for domain in self.domains.values() if domain.id is not None]
        self._next_id = max(ids, default=0) + 1

    def scan(self, at_ms: int, next_at_ms: Callable[[bool], int | None]) -> Scan:
        """What a look at `at_ms` sees; `next_at_ms` says when the next one is planned."""
        with self.lock:
            seen = self._look(at_ms)
        return replace(seen, next_at_ms=next_at_ms(seen.ok))

    def _look(self, at_ms: int) -> Scan:
        if self.host is None:
            sentence = "This host is not part of the made-up fleet; npvirt connects to none."
            return Scan(at_ms, 0, ok=False, problem="demonstration", sentence=sentence)
        if self._is_quiet(at_ms):
            sentence = f"{self.slug} did not answer within 10 seconds over SSH."
            return Scan(at_ms, 10_000, ok=False, problem="timeout", sentence=sentence)
        if self._luck.random() < _HAPPENS:
            self._happen()
        elapsed_ms = max(1, at_ms - self.last_ms)
        self.last_ms = at_ms
        busy = self._advance(at_ms, elapsed_ms)
        return Scan(
            at_ms=at_ms, took_ms=self._luck.randint(70, 210), ok=True,
            rpc_count=18 + len(self.pools), host=self.host,
            host_sample=self._sample_of_host(elapsed_ms, busy), domains=dict(self.domains),
            domain_samples=dict(self._samples), pools=dict(self.pools),
            pool_samples=self._samples_of_pools(at_ms, elapsed_ms),
            volumes={
                uuid: dict(volumes)
                for uuid, volumes in self.volumes.items()
                if uuid in self.pools and self.pools[uuid].state == "running"
            },
            volume_samples=dict(self._volume_samples), volumes_measured=True,
            networks=dict(self.networks), interfaces=self._interfaces,
        )  # fmt: skip

    def _is_quiet(self, at_ms: int) -> bool:
        """One host does not answer for half an hour of every three; the past ends in one."""
        minutes = at_ms // MINUTE_MS - (self._plan.end - 5)
        return self.slug == _QUIET and minutes % _QUIET_OF < _QUIET_FOR

    # --- what happens ------------------------------------------------------------------------

    def _happen(self) -> None:
        """Something small, to a machine that builds or is played with."""
        some = [
            domain
            for domain in self.domains.values()
            if (spec := self._specs.get(domain.uuid)) is not None
            and spec.role.life in ("ci", "lab")
            and domain.state in ("running", "shutoff")
        ]
        if some:
            domain = self._luck.choice(some)
            if domain.state == "running":
                self.turn(domain.uuid, "shutoff", "shutdown")
            else:
                self.turn(domain.uuid, "running", "booted")

    def turn(self, uuid: str, state: str, reason: str) -> None:
        """Bring a domain into a state."""
        with self.lock:
            domain = self.domains[uuid]
            number = domain.id if state in ACTIVE else None
            if state in ACTIVE and number is None:
                number, self._next_id = self._next_id, self._next_id + 1
            graphics = tuple(
                replace(one, port=None if number is None else 5900 + number % 90)
                for one in domain.graphics
            )
            self.domains[uuid] = replace(
                domain, state=state, state_reason=reason, id=number, graphics=graphics,
                guest=domain.guest if state == "running" else None,
                agent=None
                if domain.agent is None
                else "connected" if state == "running" else "disconnected",
            )  # fmt: skip
            if number is None or number != domain.id:
                self._samples.pop(uuid, None)

    def restart(self, uuid: str) -> None:
        """Have a domain run anew."""
        with self.lock:
            self.turn(uuid, "shutoff", "shutdown")
            self.turn(uuid, "running", "booted")

    def change(self, uuid: str, **facts: Any) -> None:
        """Change facts of a domain."""
        with self.lock:
            self.domains[uuid] = replace(self.domains[uuid], **facts)

    def snapshots(self, uuid: str, snapshots: tuple[Snapshot, ...]) -> None:
        """Have a domain have these snapshots."""
        self.change(uuid, snapshots=snapshots, has_snapshot=bool(snapshots))

    def turn_pool(self, uuid: str, state: str) -> None:
        """Bring a pool into a state."""
        with self.lock:
            self.pools[uuid] = replace(self.pools[uuid], state=state)

    def turn_network(self, uuid: str, state: str) -> None:
        """Bring a network into a state."""
        with self.lock:
            self.networks[uuid] = replace(self.networks[uuid], state=state)

    # --- what is measured --------------------------------------------------------------------

    def _advance(self, at_ms: int, elapsed_ms: int) -> int:
        """Let every domain work for so long; the nanoseconds of CPU that they took."""
        busy, part = 0, self._part_given()
        for uuid, domain in self.domains.items():
            if domain.state not in ACTIVE:
                self._samples.pop(uuid, None)
                continue
            sample = self._samples.get(uuid) or _first_sample(domain)
            if domain.state == "running":
                sample, worked = self._worked(domain, sample, at_ms, elapsed_ms, part)
                busy += worked
            self._samples[uuid] = sample
        return busy

    def _part_given(self) -> float:
        """The share that running domains get of the CPU that they ask for."""
        assert self.host is not None
        running = (one for one in self.domains.values() if one.state == "running")
        asked = sum((one.vcpus or 1) * LOADS[self._load(one)].cpu for one in running)
        return part_given(asked, self.host.cpus_online or 1) / ONE

    def _worked(
        self, domain: Domain, before: DomainSample, at_ms: int, elapsed_ms: int, part: float
    ) -> tuple[DomainSample, int]:
        load = LOADS[self._load(domain)]
        bucket = at_ms // MINUTE_MS
        level = week(self._load(domain), 1)[week_start(bucket, 1)] / ONE
        luck = max(0.2, self._luck.gauss(0.86, load.rough * 0.5))
        vcpus, seconds = domain.vcpus or 1, elapsed_ms / 1000
        share = min(1.0, level * luck * load.cpu * TAMED * part)
        cpu = round(share * vcpus * seconds * 10**6) * 1000
        busy = vcpus * seconds * level
        read, write = round(busy * load.read * luck * 0.4), round(busy * load.write * luck)
        rx, tx = round(busy * load.rx * luck), round(busy * load.tx * luck)
        counted = {
            "cpu_time_ns": cpu, "disk_read_bytes": read, "disk_write_bytes": write,
            "disk_read_requests": read // 21_000, "disk_write_requests": write // 13_000,
            "net_rx_bytes": rx, "net_tx_bytes": tx, "net_rx_packets": rx // 730,
            "net_tx_packets": tx // 910,
        }  # fmt: skip
        values = {name: (getattr(before, name) or 0) + more for name, more in counted.items()}
        return replace(before, **values, **self._memory(domain, before, load.memory)), cpu

    def _memory(
        self, domain: Domain, before: DomainSample, share: float
    ) -> Mapping[str, int | None]:
        whole = domain.memory_bytes or 0
        moved = self._luck.gauss(0, 0.004)
        if before.memory_usable_bytes is None or before.memory_bytes != whole:
            used = whole * share
        else:
            used = whole - before.memory_usable_bytes
        used = min(
            whole * 0.97, max(whole * 0.05, used * (1 + moved) * 0.995 + whole * share * 0.005)
        )
        pages = int(used) // 4096 * 4096
        has_balloon = domain.agent is not None or before.memory_usable_bytes is not None
        return {
            "memory_bytes": whole,
            "memory_usable_bytes": whole - pages if has_balloon else None,
            "memory_unused_bytes": (whole - pages) * 3 // 8 if has_balloon else None,
            "memory_rss_bytes": min(whole, pages * 33 // 32),
        }

    def _load(self, domain: Domain) -> str:
        spec: Spec | None = self._specs.get(domain.uuid)
        if domain.name in IDLE:
            return "idle"
        if domain.name in OVERSIZED:
            return "oversized"
        return spec.role.load if spec is not None else "dev"

    def _sample_of_host(self, elapsed_ms: int, busy_ns: int) -> HostSample:
        host, before = self.host, self._host_sample or HostSample()
        assert host is not None
        cpus, whole = host.cpus_online or 1, host.memory_bytes or 0
        spent = elapsed_ms * 10**6
        system, waiting = busy_ns // 12 + cpus * spent // 500, cpus * spent // 1400
        user = min(busy_ns * 15 // 16, cpus * spent - system - waiting)
        idle = max(0, cpus * spent - user - system - waiting)
        running = [d for d in self.domains.values() if d.state in ACTIVE]
        rss = sum(self._samples[d.uuid].memory_rss_bytes or 0 for d in running)
        used = min(whole * 97 // 100, rss + min(whole // 40, 6 << 30))
        buffers = min(whole // 400, 1 << 30)
        cached = (whole - used) * 43 // 100
        self._host_sample = HostSample(
            cpu_user_ns=(before.cpu_user_ns or 0) + user,
            cpu_system_ns=(before.cpu_system_ns or 0) + system,
            cpu_iowait_ns=(before.cpu_iowait_ns or 0) + waiting,
            cpu_idle_ns=(before.cpu_idle_ns or 0) + idle,
            memory_total_bytes=whole,
            memory_free_bytes=max(0, whole - used - cached - buffers),
            memory_buffers_bytes=buffers,
            memory_cached_bytes=cached,
            running_domains=len(running),
            defined_domains=len(self.domains),
            assigned_vcpus=sum(d.vcpus or 0 for d in running),
            assigned_memory_bytes=sum(d.memory_bytes or 0 for d in running),
        )
        return self._host_sample

    def _samples_of_pools(self, at_ms: int, elapsed_ms: int) -> dict[str, PoolSample]:
        found = {}
        for uuid, pool in self.pools.items():
            before = self._pool_samples.get(uuid)
            if before is None or pool.state != "running":
                continue
            whole, taken = before.capacity_bytes or 0, before.allocation_bytes or 0
            if pool.name == FILLING.pool:
                taken += FILLING.bytes_per_day * elapsed_ms // (24 * 60 * MINUTE_MS)
            taken = min(whole, taken)
            now = replace(before, allocation_bytes=taken, available_bytes=whole - taken,
                          refreshed_at_ms=at_ms // 900_000 * 900_000)  # fmt: skip
            self._pool_samples[uuid] = found[uuid] = now
        return found


def _first_sample(domain: Domain) -> DomainSample:
    """The counters of a domain that was just started."""
    return DomainSample(
        cpu_time_ns=0, disk_read_bytes=0, disk_write_bytes=0, disk_read_requests=0,
        disk_write_requests=0, net_rx_bytes=0, net_tx_bytes=0, net_rx_packets=0, net_tx_packets=0,
        net_rx_drops=0, net_tx_drops=0, net_rx_errors=0, net_tx_errors=0,
    )  # fmt: skip


class Stage:
    """The hosts of a demonstration that runs; made when first looked at."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self._store = store
        self._plan = plan
        self._lock = threading.Lock()
        self._hosts: dict[str, LiveHost] = {}

    def host(self, slug: str) -> LiveHost:
        """The host of that name; one that was not made up tells nothing."""
        with self._lock:
            if slug not in self._hosts:
                self._hosts[slug] = LiveHost(self._store, slug, self._plan)
            return self._hosts[slug]
