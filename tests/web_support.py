"""The web over a store that was filled by hand: three hosts, of which one stopped answering.

The values are npvirt's own (what a scan would have seen); libvirt has no part in it. The collector
is the real one, not started, so nothing scans while a page is looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from msgspec.structs import replace
from werkzeug.test import TestResponse

from app.clock import now_ms
from app.collect.collector import Collector
from app.connection import Connection
from app.inventory import (
    Disk,
    Domain,
    DomainSample,
    Host,
    HostSample,
    Missing,
    NumaCell,
    Pool,
    PoolSample,
    Scan,
    SysinfoSection,
)
from app.settings import Settings, load
from app.store.engine import Store, store_path
from app.store.hosts import HostRecord, add_host
from app.store.record import Recorder
from tests.made_once import make_app, open_store
from tests.signing import COOKIE, a_user, session_cookie

GIB = 1 << 30
INTERVAL_MS = 60_000
HOSTILE = "</b><script>alert(1)</script>\u202e\"'&=1+1"
CRASHED = "00000001-0000-4000-8000-000000000003"
ORIGIN = {"Origin": "http://localhost"}


@dataclass
class Web:
    """The application, a browser-like client, and what they stand on."""

    app: Flask
    client: FlaskClient
    store: Store
    settings: Settings
    collector: Collector

    def sign_in(self, name: str = "ada", role: str = "admin", hosts: Sequence[str] = ()) -> None:
        """Have the client be signed in as this user, who is added when new."""
        cookie = session_cookie(self.app, a_user(self.store, name, role, hosts))
        self.client.set_cookie(COOKIE, cookie)

    def sign_out(self) -> None:
        """Have the client be nobody."""
        self.client.delete_cookie(COOKIE)

    def text(self, address: str, status: int = 200) -> str:
        """The body at `address`, which must answer with `status`."""
        answer = self.client.get(address)
        assert answer.status_code == status, answer.text
        return answer.text

    def token(self) -> str:
        """The CSRF token of this client's session."""
        page = self.text("/hosts")
        return page.split('name="csrf_token" value="')[1].split('"')[0]

    def post(
        self, address: str, form: Mapping[str, str] | None = None, *, htmx: bool = False
    ) -> TestResponse:
        """Post a form as the pages do; the answer is not followed."""
        headers = dict(ORIGIN, **({"HX-Request": "true"} if htmx else {}))
        data = {"csrf_token": self.token(), **(form or {})}
        return self.client.post(address, data=data, headers=headers)


def make_web(data: Path, **settings: str) -> Web:
    """An application over a new store in the directory `data`."""
    loaded = load({"NPVIRT_DATA": str(data), **settings})
    data.mkdir(parents=True, exist_ok=True)
    store = open_store(store_path(loaded))
    collector = Collector(loaded, store)
    app = make_app(loaded, store, collector)
    web = Web(app, app.test_client(), store, loaded, collector)
    web.sign_in()
    return web


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """The web over three hosts."""
    made = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC")
    fill(made.store)
    yield made
    made.store.close()


@pytest.fixture
def asking_web(tmp_path: Path) -> Iterator[Web]:
    """The web over three hosts, where no page is told of changes."""
    made = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC", NPVIRT_STREAMS_TOTAL="0")
    fill(made.store)
    yield made
    made.store.close()


@pytest.fixture
def empty_web(tmp_path: Path) -> Iterator[Web]:
    """The web over a store without hosts."""
    made = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC")
    yield made
    made.store.close()


def fill(store: Store) -> None:
    """kvm-01 answers and has SMBIOS data; kvm-02 was read in part and has none; kvm-03 stopped
    answering after its first scan.
    """
    now = now_ms()
    first = add_host(store, "kvm-01", Connection(transport="ssh", host="kvm-01.test", user="ops"))
    second = add_host(store, "kvm-02", Connection(transport="tls", host="kvm-02.test"))
    third = add_host(store, "kvm-03", Connection(transport="tcp", host="10.0.0.3", read_only=True))
    with store.writing() as writing:
        writing.exec_driver_sql(f"UPDATE host SET created_at_ms = {now - 3_600_000}")
    scan_twice(store, first, a_scan(first, now), ok=True)
    partial = (Missing("leases", "The network driver did not answer."),)
    facts = host_facts(second, sysinfo=False)
    scan_twice(store, second, replace(a_scan(second, now), host=facts, missing=partial), ok=True)
    scan_twice(store, third, a_scan(third, now), ok=False)


def scan_twice(store: Store, record: HostRecord, scan: Scan, *, ok: bool) -> None:
    """Record `scan` a minute before its time, and again at its time: once more, or as a failure."""
    recorder = Recorder(store, record, INTERVAL_MS)
    earlier = replace(scan, at_ms=scan.at_ms - INTERVAL_MS)
    recorder.record(replace(earlier, host_sample=host_sample(busy_s=0, idle_s=0)))
    if ok:
        recorder.record(scan)
        return
    recorder.record(
        Scan(
            at_ms=scan.at_ms,
            took_ms=10_000,
            ok=False,
            problem="timeout",
            sentence=f"{record.slug} did not answer in time.",
            detail="recv: <Connection timed out>",
            next_at_ms=scan.at_ms + INTERVAL_MS,
        )
    )


def host_facts(record: HostRecord, *, sysinfo: bool = True) -> Host:
    """What a host tells of itself."""
    return Host(
        uri=f"qemu+{record.connection.transport}://{record.connection.host}/system",
        hostname=f"{record.slug}.test",
        hypervisor="QEMU",
        hypervisor_version="7.2.22",
        libvirt_version="9.0.0",
        memory_bytes=round(15.5 * GIB),
        cpus=4,
        cpus_online=3,
        cpu_map=(True, True, True, False),
        architecture="x86_64",
        processor=f"Example CPU {HOSTILE}",
        frequency_mhz=2450,
        numa_nodes=1,
        sockets_per_node=1,
        cores_per_socket=2,
        threads_per_core=2,
        numa=(NumaCell(0, 16 * GIB, (0, 1, 2, 3), (10,)),),
        sysinfo=smbios() if sysinfo else None,
        not_available=() if sysinfo else (("sysinfo", "This host has no SMBIOS tables."),),
    )


def smbios() -> tuple[SysinfoSection, ...]:
    """Firmware tables with one empty slot and a hostile serial number."""
    slot = (("size", "8 GB"), ("locator", "DIMM_A1"), ("type", "DDR5"), ("serial_number", HOSTILE))
    return (
        SysinfoSection("bios", (("vendor", "SeaBIOS"), ("version", "1.16"))),
        SysinfoSection("processor", (("version", "Example CPU"), ("status", "Populated"))),
        SysinfoSection("memory_device", slot),
        SysinfoSection("memory_device", (("size", "No Module Installed"), ("locator", "DIMM_A2"))),
    )


def host_sample(busy_s: int, idle_s: int) -> HostSample:
    """Counters of a host that was busy and idle for so long since it started."""
    return HostSample(
        cpu_user_ns=busy_s * 10**9,
        cpu_system_ns=0,
        cpu_iowait_ns=0,
        cpu_idle_ns=idle_s * 10**9,
        memory_total_bytes=16 * GIB,
        memory_free_bytes=6 * GIB,
        memory_buffers_bytes=GIB,
        memory_cached_bytes=GIB,
        running_domains=1,
        defined_domains=3,
        assigned_vcpus=2,
        assigned_memory_bytes=4 * GIB,
    )


def a_scan(record: HostRecord, at_ms: int) -> Scan:
    number = int(record.slug[-1])
    states = (("running", "booted"), ("shutoff", "destroyed"), ("crashed", "panicked"))
    domains = [
        Domain(
            uuid=f"{number:08d}-0000-4000-8000-{place:012d}",
            name=HOSTILE if place == 1 else f"vm-{number}-{place}",
            state=state,
            state_reason=reason,
            memory_bytes=2 * GIB,
            max_memory_bytes=4 * GIB,
            vcpus=2,
            disks=(Disk("vda"),),
        )
        for place, (state, reason) in enumerate(states, 1)
    ]
    pool = Pool(uuid=f"{number:08d}-0000-4000-9000-000000000001", name="images", state="running")
    filled = (93, 88, 40)[number - 1]
    return Scan(
        at_ms=at_ms,
        took_ms=400,
        ok=True,
        host=host_facts(record),
        host_sample=host_sample(busy_s=25, idle_s=75),
        domains={domain.uuid: domain for domain in domains},
        domain_samples={domains[0].uuid: DomainSample(memory_rss_bytes=2 * GIB)},
        pools={pool.uuid: pool},
        pool_samples={
            pool.uuid: PoolSample(
                capacity_bytes=100 * GIB,
                allocation_bytes=filled * GIB,
                available_bytes=(100 - filled) * GIB,
                volumes_capacity_bytes=130 * GIB,
            )
        },
        networks={},
        interfaces={},
    )
