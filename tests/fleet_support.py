"""A larger fleet, filled by hand with npvirt's own values: what the lists are tried on.

Three hosts: kvm-01 and kvm-02 answer, kvm-06 stopped answering after its scans. Every state,
flag, pool state and hostile name occurs. libvirt has no part in it.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec.structs import fields, replace

from app.clock import now_ms
from app.connection import Connection
from app.inventory import (
    Definition,
    DhcpRange,
    Disk,
    Domain,
    DomainSample,
    Graphics,
    Guest,
    GuestAddress,
    HostSample,
    Interface,
    Lease,
    Network,
    Nic,
    Pool,
    PoolSample,
    Scan,
    Snapshot,
    Volume,
    VolumeSample,
)
from app.store.engine import Store
from app.store.hosts import HostRecord, add_host, get_host, list_hosts
from app.store.record import Recorder
from tests.web_support import (
    GIB,
    HOSTILE,
    INTERVAL_MS,
    Web,
    host_facts,
    host_sample,
    make_web,
    scan_twice,
)

# So long that hosts stay known however long the tests run.
KNOWN_MS = 3_600_000
HOSTS = ("kvm-01", "kvm-02", "kvm-06")
STATES = (
    ("running", "booted"), ("running", "booted"), ("running", "booted"), ("running", "migrated"),
    ("shutoff", "destroyed"), ("shutoff", "saved"), ("paused", "io-error"), ("crashed", "panicked"),
    ("shutdown", "user"), ("blocked", None), ("pmsuspended", None), ("nostate", None),
)  # fmt: skip
_NAMES = (
    "app-01", "app-02", "backup-srv", "build-06", "build-07", "cache-1", "ci-runner-03",
    "db-primary", "dev-box-11", "erp-test", "files-1", "staging-db", "k8s-w1", "ldap-1", "mail-1",
    HOSTILE,
)  # fmt: skip
POOL_STATES = ("running", "running", "degraded", "building", "inactive", "inaccessible")
_IMAGES = "/var/lib/libvirt/images"
# 1 May 2026, 12:00 UTC.
_NOON_MS = 1_777_636_800_000


def domain_uuid(host: int, place: int) -> str:
    """The UUID of the domain at that place of that host, both counted from 0."""
    return f"{host:08d}-0000-4000-8000-{place:012d}"


def pool_uuid(host: int, place: int) -> str:
    """The UUID of the pool at that place."""
    return f"{host:08d}-0000-4000-9000-{place:012d}"


def network_uuid(host: int) -> str:
    """The UUID of the host's one network."""
    return f"{host:08d}-0000-4000-a000-000000000000"


def make_domain(host: int, place: int) -> Domain:
    """One domain; which state and flags it has follows from its place."""
    state, reason = STATES[place % len(STATES)]
    active = state not in ("shutoff", "nostate")
    name = _NAMES[place % len(_NAMES)]
    name = name if place < len(_NAMES) else f"{name}-{place // len(_NAMES)}"
    mac = f"52:54:00:00:{host:02x}:{place % 256:02x}"
    backing = (f"{_IMAGES}/base.qcow2",) if place % 3 == 0 else ()
    return Domain(
        uuid=domain_uuid(host, place),
        name=name,
        state=state,
        state_reason=reason,
        id=place + 1 if active else None,
        title="Ledger of the shop" if place == 1 else None,
        description=HOSTILE if place == 2 else None,
        persistent=place % 8 != 3,
        autostart=place % 2 == 0,
        managed_save=state == "shutoff" and reason == "saved",
        has_snapshot=place % 5 == 0,
        has_checkpoint=place % 7 == 0 if host == 0 else None,
        memory_bytes=(2 + place % 4 * 4) * GIB,
        max_memory_bytes=16 * GIB,
        vcpus=1 + place % 8,
        max_vcpus=8,
        type="kvm",
        os_type="hvm",
        architecture="x86_64",
        machine="pc-q35-7.2",
        firmware="efi",
        cpu_mode="host-passthrough",
        disks=(
            Disk("vda", bus="virtio", source_type="file", source=f"{_IMAGES}/vm-{place}.qcow2",
                 format="qcow2", pool="images", volume=f"vm-{place}.qcow2", backing=backing),
            Disk("sda", device="cdrom", bus="sata", read_only=True),
        ),
        nics=(Nic(mac, "network", "default", "virtio", f"vnet{place}"),),
        graphics=(Graphics("vnc", 5900 + place if active else None, None, "127.0.0.1"),),
        agent="connected" if place % 3 == 0 else None,
        guest=_guest(mac) if place % 3 == 0 and active else None,
        snapshots=_snapshots() if place % 5 == 0 else (),
    )  # fmt: skip


def _snapshots() -> tuple[Snapshot, ...]:
    """One on another, the later with a hostile name."""
    return (
        Snapshot("clean", created_at_ms=_NOON_MS, state="shutoff"),
        Snapshot(HOSTILE, "clean", state="running", description=HOSTILE, current=True),
    )


def _guest(mac: str) -> Guest:
    last = int(mac.rpartition(":")[2], 16)
    return Guest(
        hostname=f"guest-{last}.example",
        os="Debian GNU/Linux 12 (bookworm)",
        addresses=(GuestAddress("eth0", mac, (f"10.20.4.{last}/24", "fe80::5054:ff/64")),),
    )


def make_sample(place: int, seconds: int) -> DomainSample:
    """A running domain's counters after so many seconds."""
    busy = (place * 7 % 10 + 1) / 10
    return DomainSample(
        cpu_time_ns=round(seconds * busy * (1 + place % 8) * 1e9),
        memory_bytes=(2 + place % 4 * 4) * GIB,
        memory_unused_bytes=round((2 + place % 4 * 4) * GIB * (0.05 + place % 5 * 0.17)),
        memory_rss_bytes=GIB,
        disk_read_bytes=seconds * place * 400_000,
        disk_write_bytes=seconds * place * 900_000,
        net_rx_bytes=seconds * place * 150_000,
        net_tx_bytes=seconds * 30_000,
    )


def make_pools(host: int) -> tuple[dict[str, Pool], dict[str, PoolSample]]:
    """Six pools, one per state and another running one; sizes where libvirt tells any."""
    pools, samples = {}, {}
    names = ("images", "fast-nvme", "backup", "scratch", "archive", "nfs-iso")
    for place, (name, state) in enumerate(zip(names, POOL_STATES, strict=True)):
        uuid = pool_uuid(host, place)
        pools[uuid] = Pool(
            uuid=uuid,
            name=name,
            state=state,
            autostart=place % 2 == 0,
            persistent=True,
            type=("dir", "logical", "zfs", "logical", "dir", "netfs")[place],
            target=_IMAGES if place == 0 else f"/srv/{name}",
        )
        if state in ("running", "degraded"):
            whole = (3580, 3800, 21800)[place] * GIB
            filled = (81, 93, 40)[place] - host * 3
            samples[uuid] = PoolSample(
                capacity_bytes=whole,
                allocation_bytes=whole * filled // 100,
                available_bytes=whole * (100 - filled) // 100,
                volumes_capacity_bytes=whole * (123, 155, 87)[place] // 100,
                volume_count=14 if place == 0 else 0,
                refreshed_at_ms=now_ms() - 500_000,
            )
    return pools, samples


def make_volumes(host: int, domains: int) -> tuple[dict[str, Volume], dict[str, VolumeSample]]:
    """The volumes of the first pool: one per domain, a shared base, one that nobody uses."""
    uuid = pool_uuid(host, 0)
    volumes = {}
    base = f"{_IMAGES}/base.qcow2"
    for place in range(domains):
        name = f"vm-{place}.qcow2"
        volumes[name] = Volume(
            uuid, name, f"{_IMAGES}/{name}", "file", "qcow2", (20 + place) * GIB,
            base if place % 3 == 0 else None,
        )  # fmt: skip
    volumes["base.qcow2"] = Volume(uuid, "base.qcow2", base, "file", "qcow2", 20 * GIB)
    volumes["old.raw"] = Volume(uuid, "old.raw", f"{_IMAGES}/old.raw", "file", "raw", 200 * GIB)
    volumes[HOSTILE] = Volume(uuid, HOSTILE, f"{_IMAGES}/{HOSTILE}", "file", "raw", GIB)
    samples = {
        name: VolumeSample(volume.capacity_bytes and volume.capacity_bytes * (n % 10 + 1) // 10)
        for n, (name, volume) in enumerate(volumes.items())
    }
    return volumes, samples


def make_networks(host: int) -> dict[str, Network]:
    """One network with leases."""
    leases = tuple(
        Lease(f"52:54:00:00:{host:02x}:{place:02x}", f"192.168.{122 + host}.{place + 10}",
              HOSTILE if place == 1 else f"lease-{place}", now_ms() + 3_000_000)
        for place in range(3)
    )  # fmt: skip
    uuid = network_uuid(host)
    return {
        uuid: Network(
            uuid=uuid,
            name="default",
            state="active",
            autostart=True,
            persistent=True,
            bridge="virbr0",
            forward="nat",
            addresses=(f"192.168.{122 + host}.1/24",),
            dhcp=(DhcpRange(f"192.168.{122 + host}.2", f"192.168.{122 + host}.254"),),
            leases=leases if host == 0 else None,
        )
    }


def make_interfaces() -> dict[str, Interface]:
    """A bridge with its port, and one that is down."""
    return {
        "br20": Interface("br20", "active", "aa:bb:cc:00:00:01", "bridge", 1500,
                          ("10.20.4.2/24",), ("eno1",)),
        "eno2": Interface("eno2", "inactive", "aa:bb:cc:00:00:02", "ethernet", 9000),
    }  # fmt: skip


def make_xml(domain: Domain, memory_gib: int) -> str:
    """A definition, with text in it that must only ever be text."""
    return (
        f"<domain type='kvm'><name>x</name><uuid>{domain.uuid}</uuid>"
        f"<description>&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;</description>"
        f"<memory unit='GiB'>{memory_gib}</memory><vcpu>{domain.max_vcpus}</vcpu></domain>"
    )


def make_scan(host: int, record: HostRecord, at_ms: int, domains: int, seconds: int) -> Scan:
    """Everything of one host, `seconds` after its counters began."""
    facts = {domain_uuid(host, n): make_domain(host, n) for n in range(domains)}
    running = {u: n for n, (u, d) in enumerate(facts.items()) if d.state in ("running", "blocked")}
    pools, pool_samples = make_pools(host)
    volumes, volume_samples = make_volumes(host, min(domains, 12))
    images = pool_uuid(host, 0)
    definitions: Mapping[str, Definition] = {
        uuid: Definition(make_xml(facts[uuid], 16), make_xml(facts[uuid], 24 if n == 0 else 16))
        for uuid, n in running.items()
    }
    return Scan(
        at_ms=at_ms,
        took_ms=120,
        ok=True,
        host=host_facts(record),
        host_sample=host_sample(busy_s=25 * seconds // 60, idle_s=75 * seconds // 60),
        domains=facts,
        domain_samples={uuid: make_sample(n, seconds) for uuid, n in running.items()},
        definitions=definitions,
        pools=pools,
        pool_samples=pool_samples,
        volumes={images: volumes},
        volume_samples={(images, name): sample for name, sample in volume_samples.items()},
        volumes_measured=True,
        networks=make_networks(host),
        interfaces=make_interfaces(),
    )


def fill_fleet(store: Store, domains: int = 24) -> None:
    """Three hosts with `domains` domains each."""
    now = now_ms()
    for number, slug in enumerate(HOSTS):
        record = add_host(store, slug, Connection(transport="ssh", host=f"{slug}.test", user="ops"))
        with store.writing() as writing:
            writing.exec_driver_sql(f"UPDATE host SET created_at_ms = {now - 3_600_000}")
        recorder = Recorder(store, record, KNOWN_MS)
        recorder.record(make_scan(number, record, now - 2 * INTERVAL_MS, domains, 600))
        if slug == "kvm-06":
            scan_twice(store, record, make_scan(number, record, now, domains, 720), ok=False)
            continue
        recorder.record(make_scan(number, record, now - INTERVAL_MS, domains, 660))
        recorder.record(make_scan(number, record, now, domains, 720))


def scan_whole_host(store: Store, count: int) -> None:
    """The host kvm-09, added when it is not there: one more scan, which tells all that there is to
    tell; its counters have the numbers from `count` on, in the order of their declaration, and
    its pools `count` bytes less than others.
    """
    known = next((one for one in list_hosts(store) if one.slug == "kvm-09"), None)
    record = known or add_host(store, "kvm-09", Connection())
    made = make_scan(9, record, now_ms(), 1, 60)
    own = {one.name: count + place for place, one in enumerate(fields(HostSample))}
    of_domain = {one.name: count + place for place, one in enumerate(fields(DomainSample))}
    pools = {
        uuid: replace(one, available_bytes=(one.available_bytes or count) - count)
        for uuid, one in (made.pool_samples or {}).items()
    }
    scan = replace(
        made,
        rpc_count=14,
        host_sample=HostSample(**own),
        domain_samples={domain_uuid(9, 0): DomainSample(**of_domain)},
        pool_samples=pools,
    )
    Recorder(store, record, KNOWN_MS).record(scan)


def scan_again(web: Web, number: int, seconds: int, **changes: object) -> None:
    """One more scan of a host, by now."""
    record = get_host(web.store, HOSTS[number])
    scan = make_scan(number, record, now_ms(), 24, seconds)
    Recorder(web.store, record, KNOWN_MS).record(replace(scan, **changes))


@pytest.fixture(scope="session")
def filled_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the larger fleet in its store, made once; for copying."""
    data = tmp_path_factory.mktemp("fleet") / "var"
    made = make_web(data, NPVIRT_TIMEZONE="UTC")
    fill_fleet(made.store)
    made.store.close()
    return data


@pytest.fixture
def fleet_web(filled_data: Path, tmp_path: Path) -> Iterator[Web]:
    """The web over the larger fleet."""
    data = shutil.copytree(filled_data, tmp_path / "var")
    made = make_web(data, NPVIRT_TIMEZONE="UTC")
    yield made
    made.store.close()
