"""The connections over which libvirt tells of events, and what a real libvirtd tells."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.collect.collector import Collector
from app.connection import Connection, Endpoint
from app.inventory import Told
from app.settings import Settings, load
from app.store.changes import Wanted, latest
from app.store.engine import store_path
from app.store.history import fleet
from app.store.hosts import add_host
from app.virt import events
from app.virt.session import Session
from tests.endpoints import over_socket
from tests.events_support import DEMO, World, counted, world
from tests.lab.host import LabHost
from tests.made_once import open_store
from tests.waiting import until

__all__ = ["world"]


# --- connections ----------------------------------------------------------------------------


def test_closed_sessions_leave_no_callback_thread_or_descriptor(lab: None, world: World) -> None:
    with LabHost("lab-events-close") as host:

        def one() -> weakref.ref[Session]:
            session = Session.open(over_socket(host), read_only=True)
            subscription = events.subscribe(session, lambda told: None, lambda reason: None)
            assert subscription is not None
            assert subscription.kinds >= {"domain", "pool", "network", "secret", "node-device"}
            session.close()
            return weakref.ref(session)

        def descriptors() -> int:
            return len(list(Path("/proc/self/fd").iterdir()))

        one()
        gc.collect()
        time.sleep(0.3)
        before = descriptors(), threading.active_count()
        left = [one() for _ in range(30)]
        until(lambda: descriptors() <= before[0] and threading.active_count() <= before[1])
        # libvirt lets go of a callback in its own thread, a little later.
        until(lambda: gc.collect() >= 0 and not any(session() for session in left))


def test_nothing_is_told_of_a_session_that_was_closed(world: World) -> None:
    told: list[Told] = []
    session = Session.open(Endpoint(DEMO), read_only=True)
    events.subscribe(session, told.append, lambda reason: None)
    world.define()
    until(lambda: told)
    session.close()
    told.clear()
    world.connection.lookupByName(world.name).create()
    time.sleep(0.2)
    assert not told


# --- a real libvirtd ------------------------------------------------------------------------

_GUEST = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"""


@pytest.fixture
def real(lab: None) -> Iterator[LabHost]:
    with LabHost("lab-events") as host:
        yield host


@pytest.fixture
def collected(real: LabHost, tmp_path: Path) -> Iterator[Collector]:
    """A collector that scans the host every ten minutes."""
    settings: Settings = load({"NPVIRT_DATA": str(tmp_path / "var"), "NPVIRT_SCAN_SECONDS": "600"})
    store = open_store(store_path(settings))
    add_host(store, "h", Connection(socket=real.socket))
    collector = Collector(settings, store)
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()
        store.close()


def _define(real: LabHost, name: str, end: str = "</domain>") -> str:
    uuid = str(uuid4())
    xml = _GUEST.format(name=name, uuid=uuid).replace("</domain>", end)
    (real.root / "run" / f"{name}.xml").write_text(xml)
    real.virsh("define", f"/run/{name}.xml")
    return uuid


def test_what_virsh_does_is_in_the_store_at_once(real: LabHost, collected: Collector) -> None:
    store = collected._store

    def state(uuid: str, kind: str = "domain") -> str | None:
        seen = getattr(fleet(store, None), kind)("h", uuid)
        return None if seen is None else seen.fact.state

    def known() -> bool:
        view = fleet(store, None).host("h")
        return view is not None and view.status.known

    until(known)
    uuid = _define(real, "web")
    until(lambda: state(uuid) == "shutoff")
    real.virsh("start", "web")
    until(lambda: state(uuid) == "running")
    real.virsh("suspend", "web")
    until(lambda: state(uuid) == "paused")
    real.virsh("resume", "web")
    until(lambda: state(uuid) == "running")
    # The guest itself ends, as in a crash of QEMU.
    pid = (real.root / "run/libvirt/qemu/web.pid").read_text().strip()
    real.run(f"kill -9 {pid}")
    until(lambda: state(uuid) == "shutoff")
    real.virsh("start", "web")
    until(lambda: state(uuid) == "running")
    real.virsh("destroy", "web")
    until(lambda: state(uuid) == "shutoff")
    real.virsh("undefine", "web")
    until(lambda: state(uuid) is None)
    real.virsh("pool-define-as", "p", "dir", "--target", "/var/lib/libvirt/images")
    until(lambda: [p.fact.state for p in fleet(store, None).pools] == ["inactive"])
    real.virsh("pool-start", "p")
    until(lambda: [p.fact.state for p in fleet(store, None).pools] == ["running"])
    real.virsh("pool-destroy", "p")
    until(lambda: [p.fact.state for p in fleet(store, None).pools] == ["inactive"])
    (real.root / "run/n.xml").write_text("<network><name>n</name></network>")
    real.virsh("net-define", "/run/n.xml")
    until(lambda: [n.fact.state for n in fleet(store, None).networks] == ["inactive"])
    real.virsh("net-start", "n")
    until(lambda: [n.fact.state for n in fleet(store, None).networks] == ["active"])
    real.virsh("net-destroy", "n")
    until(lambda: [n.fact.state for n in fleet(store, None).networks] == ["inactive"])
    told = [one.what for one in latest(store, Wanted(key=uuid), 100)][::-1]
    assert told == [
        "created", "started", "paused", "resumed", "crashed", "started", "stopped", "deleted",
    ]  # fmt: skip
    assert counted(store, "scan") <= 3


def test_where_a_block_job_has_put_a_disk_is_in_the_store_at_once(
    real: LabHost, collected: Collector
) -> None:
    """A commit that pivots tells of no other change."""
    store, base, over = collected._store, "/run/base.qcow2", "/run/over.qcow2"
    real.run(f"qemu-img create -f qcow2 {base} 1M")
    real.run(f"qemu-img create -f qcow2 -b {base} -F qcow2 {over}")

    def source() -> str | None:
        seen = fleet(store, None).domain("h", uuid)
        return None if seen is None else next((one.source for one in seen.fact.disks), None)

    until(lambda: counted(store, "scan"))
    disk = (
        "<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
        f"<source file='{over}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )
    uuid = _define(real, "web", disk)
    real.virsh("start", "web")
    until(lambda: source() == over)
    scans = counted(store, "scan")
    real.virsh("blockcommit", "web", "vda", "--active", "--pivot", "--wait")
    until(lambda: source() == base)
    assert counted(store, "scan") <= scans + 1


def test_a_libvirtd_that_is_killed_and_restarted_tells_again_and_deletes_nothing(
    real: LabHost, collected: Collector
) -> None:
    store = collected._store
    uuid = _define(real, "web")

    def domain() -> tuple[str, bool] | None:
        seen = fleet(store, None).domain("h", uuid)
        return None if seen is None else (seen.fact.state, seen.known)

    until(lambda: domain() == ("shutoff", True))
    real.kill("KILL")
    # The relay tells, long before the next scan.
    until(lambda: domain() == ("shutoff", False))
    real.start_libvirtd()
    until(lambda: domain() == ("shutoff", True))
    real.virsh("start", "web")
    until(lambda: domain() == ("running", True))
    told = [one.what for one in latest(store, Wanted(key=uuid), 100)]
    assert "deleted" not in told
    real.virsh("destroy", "web")


def test_a_libvirtd_that_stands_still_is_noticed_between_scans(
    real: LabHost, collected: Collector
) -> None:
    store = collected._store
    uuid = _define(real, "web")

    def known() -> bool | None:
        seen = fleet(store, None).domain("h", uuid)
        return None if seen is None else seen.known

    until(known)
    real.kill("STOP")
    try:
        # Eight seconds, not the minute until the next scan.
        until(lambda: known() is False)
    finally:
        real.kill("CONT")
    until(known)
    real.virsh("start", "web")
    until(lambda: (seen := fleet(store, None).domain("h", uuid)) and seen.fact.state == "running")
    real.virsh("destroy", "web")
