"""The made-up fleet as it changes: what each host would tell in a scan, and what can happen.

Pure. A verb changes the machines of a host and notes that it looks different now; `look` gives
the scan. When domains were active is written down, for what is measured of them.
"""

from functools import cache
from itertools import accumulate

from msgspec import Struct
from msgspec.structs import replace

from app.clock import MINUTE_MS
from app.demo.catalog import GIB, Site, Spec, sites, specs
from app.demo.hardware import LIBVIRT, host_facts, interfaces
from app.demo.loads import LOADS, part_given
from app.demo.machines import Machine, MadeDisk, Run, snapshot
from app.demo.plan import Plan, chance, number, uuid_of
from app.demo.planted import planted
from app.demo.storage import MadePool, MadeVolume
from app.inventory import Definition, DhcpRange, Domain, Host, Lease, Network, Pool, Scan

_PROMISED = 1.16
_FIRST_PORT = 5900


class Silence(Struct):
    """When a host was not seen, in minutes; `problem` None: npvirt itself was stopped."""

    begin: int
    end: int | None
    problem: str | None
    sentence: str | None


class HostWorld:
    """One made-up host."""

    def __init__(self, site: Site, plan: Plan) -> None:
        self.site = site
        self.plan = plan
        self.machines: dict[str, Machine] = {}
        self.pools = [MadePool(site, *pool, plan) for pool in site.pools]
        # Every domain that it ever had, and how many it had from when on.
        self.known: dict[str, Machine] = {}
        self.defined: list[tuple[int, int]] = []
        self.runs: dict[str, list[Run]] = {}
        self.silences: list[Silence] = []
        self.libvirt = LIBVIRT[number(plan.seed, "libvirt", site.slug) % 2]
        self.memory_gib = site.memory_gib
        self._next_id = 1
        self._domains: dict[str, Domain] = {}
        self._fresh: dict[str, Definition] = {}
        self._interfaces = interfaces(site, plan.seed)
        self._facts: Host | None = None
        self._pool_facts: dict[str, Pool] | None = None
        self._networks: dict[str, Network] | None = None
        self._volumes_changed = True

    @property
    def slug(self) -> str:
        """Its name."""
        return self.site.slug

    def part_given(self) -> int:
        """Which part (of loads.ONE) of the CPU that its domains ask for they get: as much as was
        left when most of them ran.
        """
        turns = []
        for uuid, runs in self.runs.items():
            load = LOADS[self.known[uuid].spec.role.load]
            for run in runs:
                turns.append((run.begin, run.vcpus * load.cpu))
                if run.end is not None:
                    turns.append((run.end, -run.vcpus * load.cpu))
        # At the same minute what ends comes before what begins.
        asked = accumulate((more for _, more in sorted(turns)), initial=0.0)
        return part_given(max(asked), self.site.threads)

    def pool(self, name: str) -> MadePool:
        """The pool of that name, else its first."""
        return next((pool for pool in self.pools if pool.name == name), self.pools[0])

    def define(self, spec: Spec, minute: int) -> Machine:
        """A new domain with its volumes."""
        machine = Machine(spec, self.plan.seed, self.site.bridge)
        for place, size in enumerate(spec.role.disks_gib):
            self.add_disk(machine, size, minute, second=place > 0)
        self.adopt(machine, minute)
        return machine

    def adopt(self, machine: Machine, minute: int) -> None:
        """Have a domain from a minute on."""
        uuid = machine.spec.uuid
        self.machines[uuid] = self.known[uuid] = machine
        self.defined.append((minute, len(self.machines)))
        self._volumes_changed = True

    def add_disk(self, machine: Machine, size_gib: int, minute: int, *, second: bool) -> None:
        """Give a domain another disk."""
        place = len(machine.disks)
        name = machine.spec.name if not place else f"{machine.spec.name}-{place}"
        fast = second and machine.spec.role.load == "db" and len(self.pools) > 1
        pool = self.pools[1] if fast and self.pools[1].kind == "logical" else self.pools[0]
        kind = "raw" if pool.kind in ("logical", "zfs") else "qcow2"
        volume = name if kind == "raw" else f"{name}.qcow2"
        disk = MadeDisk(
            f"vd{chr(97 + place)}", pool.name, volume, pool.directory, size_gib * GIB, minute, kind
        )
        pool.add(disk, self.plan)
        machine.disks.append(disk)
        self._volumes_changed = True

    def forget(self, machine: Machine, minute: int, *, with_volumes: bool) -> None:
        """Take a domain away, with its volumes or without."""
        del self.machines[machine.spec.uuid]
        self._domains.pop(machine.spec.uuid, None)
        self._fresh.pop(machine.spec.uuid, None)
        self._end_run(machine.spec.uuid, minute)
        self.defined.append((minute, len(self.machines)))
        if with_volumes:
            for disk in machine.disks:
                self.pool(disk.pool).drop(disk.volume, minute)
            self._volumes_changed = True

    def begin(self, machine: Machine) -> None:
        """Give a domain what it has while it runs."""
        machine.id = self._next_id
        self._next_id += 1
        machine.state, machine.reason = "running", "booted"
        machine.port = _FIRST_PORT + machine.id % 90
        machine.managed_save = False

    def changed(self, machine: Machine, minute: int) -> None:
        """Note that a domain looks different now."""
        uuid = machine.spec.uuid
        if not machine.active:
            machine.id = machine.port = None
        self._domains = self._domains | {uuid: machine.fact()}
        self._fresh[uuid] = machine.definition()
        runs = self.runs.setdefault(uuid, [])
        last = runs[-1] if runs and runs[-1].end is None else None
        paused = machine.state == "paused"
        if machine.active and last is not None:
            same = (last.vcpus, last.memory_bytes, last.paused)
            if same == (machine.vcpus, machine.memory_bytes, paused):
                return
        self._end_run(uuid, minute)
        if machine.active:
            started = minute if last is None else last.started
            runs.append(Run(minute, None, started, machine.vcpus, machine.memory_bytes, paused))

    def restarted(self, machine: Machine, minute: int) -> None:
        """Note that a domain runs anew."""
        self._end_run(machine.spec.uuid, minute)
        self.begin(machine)
        self.changed(machine, minute)

    def _end_run(self, uuid: str, minute: int) -> None:
        runs = self.runs.get(uuid)
        if runs and runs[-1].end is None:
            runs[-1].end = minute
            if runs[-1].begin == minute:
                runs.pop()

    def new_facts(self) -> None:
        """Note that the host itself or its pools look different now."""
        self._facts = self._pool_facts = None

    def look(self, minute: int, at_ms: int) -> Scan:
        """The scan of a minute, without what is measured."""
        if self._facts is None:
            self._facts = host_facts(self.site, self.plan.seed, self.libvirt, self.memory_gib)
        if self._pool_facts is None:
            self._pool_facts = {pool.uuid: pool.fact() for pool in self.pools}
            self._volumes_changed = True
        if self._networks is None:
            self._networks = self.networks()
        volumes = {}
        if self._volumes_changed:
            volumes = {
                pool.uuid: pool.facts_of_volumes(minute)
                for pool in self.pools
                if pool.state == "running"
            }
        definitions, self._fresh, self._volumes_changed = self._fresh, {}, False
        return Scan(
            at_ms=at_ms,
            took_ms=took_ms(self.slug, minute),
            ok=True,
            rpc_count=18 + len(self.pools),
            next_at_ms=at_ms + MINUTE_MS,
            host=self._facts,
            domains=self._domains,
            definitions=definitions,
            pools=self._pool_facts,
            volumes=volumes,
            networks=self._networks,
            interfaces=self._interfaces,
        )

    def networks(self) -> dict[str, Network]:
        """Its networks: libvirt's own, and in the lab one with leases."""
        seed, slug = self.plan.seed, self.slug
        third = number(seed, "net", slug) % 100 + 100
        found = [
            Network(
                uuid_of(seed, "network", slug, "default"), "default",
                "active" if self.site.bridge == "lab" else "inactive",
                autostart=self.site.bridge == "lab", persistent=True, bridge="virbr0",
                forward="nat", addresses=("192.168.122.1/24",),
                dhcp=(DhcpRange("192.168.122.2", "192.168.122.254"),), leases=(),
            )
        ]  # fmt: skip
        if self.site.bridge == "lab":
            leases = tuple(
                Lease(machine.mac(), f"10.30.{third}.{place + 20}", machine.spec.name,
                      (self.plan.end + 40 + place) * MINUTE_MS)
                for place, machine in enumerate(list(self.machines.values())[:9])
            )  # fmt: skip
            found.append(
                Network(
                    uuid_of(seed, "network", slug, "lab"), "lab", "active", autostart=True,
                    persistent=True, bridge="virbr1", forward="nat", domain_name="lab.demo.example",
                    addresses=(f"10.30.{third}.1/24",),
                    dhcp=(DhcpRange(f"10.30.{third}.10", f"10.30.{third}.250"),), leases=leases,
                )
            )  # fmt: skip
        return {network.uuid: network for network in found}


def took_ms(slug: str, minute: int) -> int:
    """How long the scan of that minute took."""
    return _usual_ms(slug) + minute * 7919 % 61


@cache
def _usual_ms(slug: str) -> int:
    return 90 + number(0, slug) % 160


class World:
    """The whole made-up fleet, and the verbs that change it; each gives the hosts that look
    different afterwards (none: it was not possible).
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.hosts = {site.slug: HostWorld(site, plan) for site in sites(plan)}
        self.specs = {spec.name: spec for spec in specs(plan)}
        self._where: dict[str, str] = {}
        for slug, host in self.hosts.items():
            self._fit_pools(slug, host)
        for orphan in planted(plan).orphans:
            if orphan.host in self.hosts:
                pool = self.hosts[orphan.host].pool(orphan.pool)
                kind = "raw" if orphan.name.endswith(".raw") else "qcow2"
                taken = orphan.capacity_bytes * 7 // 10
                made = plan.begin - 1
                pool.volumes.append(
                    MadeVolume(orphan.name, orphan.capacity_bytes, made, taken, 0, kind)
                )

    def _fit_pools(self, slug: str, host: HostWorld) -> None:
        """Make the first pool of a host as large as its volumes will need in the end."""
        needed = sum(sum(s.role.disks_gib) for s in self.specs.values() if s.host == slug)
        needed += 900 if slug in ("kvm-01", "kvm-02") else 0
        host.pools[0].capacity_bytes = max(400, round(needed / _PROMISED / 100) * 100) * GIB

    def machine(self, name: str) -> tuple[HostWorld, Machine] | None:
        """A domain and the host that it is on, if there is one of that name."""
        slug = self._where.get(name)
        if slug is None:
            return None
        host = self.hosts[slug]
        return next(((host, m) for m in host.machines.values() if m.spec.name == name), None)

    def create(self, minute: int, name: str, spec: Spec | None = None) -> set[str]:
        """Define a domain."""
        wanted = spec or self.specs[name]
        host = self.hosts[wanted.host]
        if wanted.uuid in host.machines:
            return set()
        machine = host.define(wanted, minute)
        self._where[wanted.name] = host.slug
        host.changed(machine, minute)
        return {host.slug}

    def delete(self, minute: int, name: str) -> set[str]:
        """Undefine a domain and delete its volumes."""
        found = self.machine(name)
        if found is None:
            return set()
        host, machine = found
        host.forget(machine, minute, with_volumes=True)
        del self._where[name]
        return {host.slug}

    def start(self, minute: int, name: str) -> set[str]:
        """Start a domain that is off."""
        found = self.machine(name)
        if found is None or found[1].active:
            return set()
        host, machine = found
        host.begin(machine)
        host.changed(machine, minute)
        return {host.slug}

    def stop(self, minute: int, name: str, reason: str = "shutdown") -> set[str]:
        """Have a domain be off."""
        return self._turn(minute, name, ("running", "paused"), "shutoff", reason)

    def crash(self, minute: int, name: str) -> set[str]:
        """Have a domain's guest panic."""
        return self._turn(minute, name, ("running",), "crashed", "panicked")

    def pause(self, minute: int, name: str, reason: str = "user") -> set[str]:
        """Have a domain stand still."""
        return self._turn(minute, name, ("running",), "paused", reason)

    def resume(self, minute: int, name: str) -> set[str]:
        """Have a domain go on."""
        return self._turn(minute, name, ("paused",), "running", "unpaused")

    def save(self, minute: int, name: str) -> set[str]:
        """Write a domain's memory to disk and stop it."""
        found = self.machine(name)
        if found is None or found[1].state != "running":
            return set()
        found[1].managed_save = True
        return self._turn(minute, name, ("running",), "shutoff", "saved")

    def restart(self, minute: int, name: str) -> set[str]:
        """Shut a domain down and start it."""
        found = self.machine(name)
        if found is None or not found[1].active:
            return set()
        host, machine = found
        host.restarted(machine, minute)
        return {host.slug}

    def _turn(
        self, minute: int, name: str, states: tuple[str, ...], state: str, reason: str
    ) -> set[str]:
        found = self.machine(name)
        if found is None or found[1].state not in states:
            return set()
        host, machine = found
        machine.state, machine.reason = state, reason
        host.changed(machine, minute)
        return {host.slug}

    def move(self, minute: int, name: str, to: str) -> set[str]:
        """Migrate a running domain, its volumes too."""
        found = self.machine(name)
        if found is None or found[1].state != "running" or to not in self.hosts:
            return set()
        host, machine = found
        if host.slug == to or any(disk.pool != host.pools[0].name for disk in machine.disks):
            return set()
        target = self.hosts[to]
        twin = machine.copy()
        twin.bridge = target.site.bridge
        pool = target.pools[0]
        for disk in twin.disks:
            disk.pool, disk.directory, disk.made = pool.name, pool.directory, minute
            pool.add(disk, self.plan)
        host.forget(machine, minute, with_volumes=True)
        target.adopt(twin, minute)
        target.begin(twin)
        twin.reason = "migrated"
        target.changed(twin, minute)
        self._where[name] = to
        return {host.slug, to}

    def memory(self, minute: int, name: str, gib: int) -> set[str]:
        """Give a domain another amount of memory."""
        found = self.machine(name)
        if found is None:
            return set()
        host, machine = found
        machine.memory_bytes = gib * GIB
        machine.max_memory_bytes = max(machine.max_memory_bytes, machine.memory_bytes)
        host.changed(machine, minute)
        return {host.slug}

    def vcpus(self, minute: int, name: str, count: int) -> set[str]:
        """Give a domain another number of vCPUs."""
        found = self.machine(name)
        if found is None:
            return set()
        host, machine = found
        machine.vcpus, machine.max_vcpus = count, max(count, machine.max_vcpus)
        host.changed(machine, minute)
        return {host.slug}

    def disk(self, minute: int, name: str, gib: int) -> set[str]:
        """Give a domain another disk."""
        found = self.machine(name)
        if found is None:
            return set()
        host, machine = found
        host.add_disk(machine, gib, minute, second=False)
        host.changed(machine, minute)
        return {host.slug}

    def media(self, minute: int, name: str, path: str | None) -> set[str]:
        """Put a medium into a domain's drive, or take it out."""
        return self._set(minute, name, media=path)

    def autostart(self, minute: int, name: str, enabled: bool) -> set[str]:
        """Have a domain start with its host, or not."""
        return self._set(minute, name, autostart=enabled)

    def retitle(self, minute: int, name: str, title: str) -> set[str]:
        """Give a domain another title."""
        return self._set(minute, name, title=title)

    def snap(self, minute: int, name: str, label: str) -> set[str]:
        """Take a snapshot."""
        found = self.machine(name)
        if found is None:
            return set()
        before = found[1].snapshots[-1] if found[1].snapshots else None
        kept = tuple(replace(one, current=False) for one in found[1].snapshots)
        taken = snapshot(label, minute, found[1].state, before)
        return self._set(minute, name, snapshots=(*kept, taken))

    def unsnap(self, minute: int, name: str) -> set[str]:
        """Delete the snapshots of a domain."""
        found = self.machine(name)
        if found is None or not found[1].snapshots:
            return set()
        return self._set(minute, name, snapshots=())

    def _set(self, minute: int, name: str, **values: object) -> set[str]:
        found = self.machine(name)
        if found is None:
            return set()
        host, machine = found
        for field, value in values.items():
            setattr(machine, field, value)
        host.changed(machine, minute)
        return {host.slug}

    def upgrade(self, minute: int, slug: str, version: str) -> set[str]:
        """Install another libvirt on a host."""
        host = self.hosts[slug]
        host.libvirt = version
        host.new_facts()
        return {slug}

    def stop_pool(self, minute: int, slug: str, name: str) -> set[str]:
        """Disconnect a pool."""
        host = self.hosts[slug]
        pool = host.pool(name)
        pool.state = "inactive"
        pool.stops.append((minute, None))
        host.new_facts()
        return {slug}

    def start_pool(self, minute: int, slug: str, name: str) -> set[str]:
        """Connect a pool."""
        host = self.hosts[slug]
        pool = host.pool(name)
        if pool.state == "running":
            return set()
        pool.state = "running"
        pool.stops[-1] = (pool.stops[-1][0], minute)
        host.new_facts()
        return {slug}

    def luck(self, *words: object) -> float:
        """A number in 0..1 that depends on the words alone."""
        return chance(self.plan.seed, *words).random()
