"""What libvirt tells by itself: in the store within a moment, and never older over newer.

Most use libvirt's test driver, whose events work at once: its world "default" is one for all
connections of a process, so each test makes objects of its own. The rest use a real libvirtd.
"""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import libvirt
import pytest

from app import clock
from app.collect.collector import Collector
from app.collect.partial import Gathered, PartialLooks
from app.collect.scanner import Scanner
from app.connection import Connection, Endpoint
from app.inventory import PartialLook, Told
from app.settings import Settings, load
from app.store.changes import Change, Wanted, latest
from app.store.engine import Store, store_path
from app.store.history import fleet
from app.store.hosts import add_host
from app.virt import events
from app.virt.read.reader import Reader
from app.virt.session import Session
from tests.endpoints import over_socket
from tests.lab.host import LabHost

DEMO = Connection(driver="test", transport="embedded", path="default")


class World:
    """The test driver's shared world, with objects of this test alone."""

    def __init__(self) -> None:
        self.connection = libvirt.open("test:///default")
        self.name = f"events-{uuid4().hex[:8]}"
        self.uuid = str(uuid4())

    def define(self, *, title: str = "first", uuid: str | None = None) -> libvirt.virDomain:
        """Define the test's domain."""
        return self.connection.defineXML(
            f"<domain type='test'><name>{self.name}</name><uuid>{uuid or self.uuid}</uuid>"
            f"<title>{title}</title><memory>8192</memory><vcpu>1</vcpu>"
            "<os><type arch='x86_64'>hvm</type></os></domain>"
        )

    def pool(self) -> libvirt.virStoragePool:
        """Define a pool."""
        return self.connection.storagePoolDefineXML(
            f"<pool type='dir'><name>{self.name}</name><uuid>{self.uuid}</uuid>"
            f"<target><path>/{self.name}</path></target></pool>"
        )

    def network(self) -> libvirt.virNetwork:
        """Define a network."""
        return self.connection.networkDefineXML(
            f"<network><name>{self.name}</name><uuid>{self.uuid}</uuid></network>"
        )

    def clear(self) -> None:
        """Leave nothing of the test's behind."""
        for listed in ("listAllDomains", "listAllStoragePools", "listAllNetworks"):
            for one in getattr(self.connection, listed)():
                if one.name() == self.name:
                    if one.isActive():
                        one.destroy()
                    if one.name() in self._names(listed):
                        _undefine(one)
        self.connection.close()

    def _names(self, listed: str) -> list[str]:
        return [one.name() for one in getattr(self.connection, listed)()]


def _undefine(one: Any) -> None:
    if isinstance(one, libvirt.virDomain):
        one.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
    else:
        one.undefine()


@pytest.fixture
def world() -> Iterator[World]:
    events.start_loop()
    made = World()
    yield made
    made.clear()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "npvirt.sqlite")
    yield opened
    opened.close()


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `condition` holds; fails the test when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)


class Watched:
    """A host that is scanned when a test says so, and looked at when libvirt tells."""

    def __init__(self, store: Store, tmp_path: Path, connection: Connection = DEMO) -> None:
        self.store = store
        self.scanner = Scanner(store, tmp_path, add_host(store, "h", connection), 60_000)
        self.looks = 0
        self.rescans = 0
        self.told: list[Told] = []
        self.lost: list[str] = []
        self.partial = PartialLooks("look-h", self._look_at, self._rescan)
        self.scanner.listen(self._tell, self.lost.append)

    def scan(self, **more: object) -> None:
        """One whole scan."""
        self.scanner.scan(next_at_ms=lambda ok: None, **more)  # type: ignore[arg-type]

    def state(self, uuid: str, kind: str = "domain") -> str | None:
        """How an object stands in the store; None: it is not there."""
        seen = getattr(fleet(self.store, None), kind)("h", uuid)
        return None if seen is None else seen.fact.state

    def changes(self, key: str) -> list[Change]:
        """What the list of changes tells of an object, the oldest first."""
        return latest(self.store, Wanted(key=key), 100)[::-1]

    def close(self) -> None:
        self.partial.stop()
        assert self.partial.join(10)
        self.scanner.close()

    def _tell(self, one: Told) -> None:
        self.told.append(one)
        self.partial.tell(one)

    def _look_at(self, gathered: Gathered) -> bool:
        self.looks += 1
        return self.scanner.look_at(gathered)

    def _rescan(self) -> None:
        self.rescans += 1


@pytest.fixture
def watched(store: Store, tmp_path: Path) -> Iterator[Watched]:
    made = Watched(store, tmp_path)
    yield made
    made.close()


def counted(store: Store, table: str) -> int:
    with store.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


# --- what is told is in the store -----------------------------------------------------------


def test_a_domain_is_followed_through_its_life_without_a_scan(
    world: World, watched: Watched
) -> None:
    watched.scan()
    domain = world.define()
    until(lambda: watched.state(world.uuid) == "shutoff")
    domain.create()
    until(lambda: watched.state(world.uuid) == "running")
    domain.suspend()
    until(lambda: watched.state(world.uuid) == "paused")
    domain.resume()
    until(lambda: watched.state(world.uuid) == "running")
    domain.destroy()
    until(lambda: watched.state(world.uuid) == "shutoff")
    domain.undefine()
    until(lambda: watched.state(world.uuid) is None)
    told = [one.what for one in watched.changes(world.uuid)]
    assert told == ["created", "started", "paused", "resumed", "stopped", "deleted"]
    assert counted(watched.store, "scan") == 1
    assert watched.rescans == 0


def test_the_time_of_what_is_told_is_exact_and_the_list_says_so(
    world: World, watched: Watched
) -> None:
    watched.scan()
    domain = world.define()
    until(lambda: watched.state(world.uuid))
    before_ms = clock.now_ms()
    domain.create()
    until(lambda: watched.state(world.uuid) == "running")
    created, started = watched.changes(world.uuid)
    assert created.after_ms == created.at_ms
    assert before_ms <= started.at_ms <= watched.told[-1].at_ms
    assert started.after_ms == started.at_ms


def test_what_is_found_by_the_way_is_told_as_between_two_looks(
    world: World, watched: Watched
) -> None:
    domain = world.define()
    watched.scan()
    scanned_ms = fleet(watched.store, None).as_of_ms
    # Of a managed save's end libvirt tells nothing; of the suspension it does.
    domain.create()
    until(lambda: watched.state(world.uuid) == "running")
    watched.scan()
    scanned_ms = fleet(watched.store, None).as_of_ms
    with watched.store.writing() as connection:
        connection.exec_driver_sql("UPDATE revision SET body = replace(body, 'first', 'zeroth')")
    watched.scanner._recorder._loaded = False
    domain.suspend()
    until(lambda: watched.state(world.uuid) == "paused")
    found = {one.what: one for one in watched.changes(world.uuid)[-2:]}
    assert set(found) == {"paused", "title"}
    assert found["paused"].after_ms == found["paused"].at_ms
    assert found["title"].after_ms is not None
    assert scanned_ms is not None
    assert found["title"].after_ms <= scanned_ms


def test_a_redefined_title_is_seen_and_not_undone_by_the_next_scan(
    world: World, watched: Watched
) -> None:
    world.define()
    watched.scan()
    world.define(title="second")
    until(lambda: [c.new for c in watched.changes(world.uuid) if c.what == "title"] == ["second"])
    watched.scan()
    watched.scan()
    assert [c.new for c in watched.changes(world.uuid) if c.what == "title"] == ["second"]


def test_a_transient_domain_is_gone_as_soon_as_it_stops(world: World, watched: Watched) -> None:
    watched.scan()
    domain = world.define()
    domain.create()
    domain.undefine()
    until(lambda: watched.state(world.uuid) == "running")
    domain.destroy()
    until(lambda: watched.state(world.uuid) is None)
    assert watched.changes(world.uuid)[-1].what == "deleted"


def test_a_pool_and_its_new_volumes_are_followed(world: World, watched: Watched) -> None:
    watched.scan()
    pool = world.pool()
    until(lambda: watched.state(world.uuid, "pool") == "inactive")
    pool.create()
    until(lambda: watched.state(world.uuid, "pool") == "running")
    watched.scan()
    # libvirt tells nothing of the volume, but of the refresh.
    pool.createXML("<volume><name>new.img</name><capacity>4096</capacity></volume>")
    pool.refresh()
    until(lambda: any(v.fact.name == "new.img" for v in fleet(watched.store, None).volumes))
    pool.destroy()
    until(lambda: watched.state(world.uuid, "pool") == "inactive")
    pool.undefine()
    until(lambda: watched.state(world.uuid, "pool") is None)
    assert not any(v.fact.name == "new.img" for v in fleet(watched.store, None).volumes)


def test_a_network_is_followed(world: World, watched: Watched) -> None:
    watched.scan()
    network = world.network()
    until(lambda: watched.state(world.uuid, "network") == "inactive")
    network.create()
    until(lambda: watched.state(world.uuid, "network") == "active")
    network.destroy()
    until(lambda: watched.state(world.uuid, "network") == "inactive")
    network.undefine()
    until(lambda: watched.state(world.uuid, "network") is None)
    told = [one.what for one in watched.changes(world.uuid)]
    assert told == ["created", "started", "stopped", "deleted"]
    assert counted(watched.store, "scan") == 1


def test_a_network_card_that_is_plugged_in_is_looked_at_by_the_next_scan(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libvirt's test driver has none to plug in, the event is made here."""
    watched.scan()
    session = watched.scanner._session
    assert session is not None
    called: list[str] = []
    call = session.call

    def noted(function: Callable[..., object], *args: object, **more: object) -> object:
        called.append(function.__name__)
        return call(function, *args, **more)

    monkeypatch.setattr(session, "call", noted)
    for name, expected in (("pci_0000_00_02_0", 0), ("net_eth1_52_54_00_00_00_01", 2)):
        told = Told("node-device", name, "state", clock.now_ms(), clock.monotonic_s())
        watched.scanner._told(told)
        called.clear()
        watched.scan()
        assert called.count("listAllInterfaces") == expected


def test_a_look_finds_what_a_scan_would(world: World, watched: Watched) -> None:
    """Nothing turns back and forth between the two ways of reading."""
    watched.scan()
    world.define().create()
    world.pool().create()
    world.network().create()
    for kind, state in (("domain", "running"), ("pool", "running"), ("network", "active")):
        until(lambda kind=kind, state=state: watched.state(world.uuid, kind) == state)  # type: ignore[misc]
    until(lambda: watched.partial._thread is None or not watched.partial._waiting.events)
    revisions = counted(watched.store, "revision")
    watched.scan(everything=True)
    assert counted(watched.store, "revision") == revisions


# --- the order of looks ---------------------------------------------------------------------


class SlowScan:
    """A scan in a thread, which stands still in the midst of its look until it may go on."""

    def __init__(self, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stands, self.may_go_on = threading.Event(), threading.Event()
        storage = watched.scanner._reader._storage
        read = storage.read

        def slow(*args: Any) -> Any:
            self.stands.set()
            assert self.may_go_on.wait(20)
            return read(*args)

        monkeypatch.setattr(storage, "read", slow)
        self._thread = threading.Thread(target=watched.scan)
        self._thread.start()
        assert self.stands.wait(20)

    def end(self) -> None:
        """Let it go on, and wait for its end."""
        self.may_go_on.set()
        self._thread.join()


def test_a_scan_that_read_before_an_event_overwrites_nothing(
    world: World, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = world.define()
    watched.scan()
    scan = SlowScan(watched, monkeypatch)
    domain.create()
    until(lambda: watched.state(world.uuid) == "running")
    scan.end()
    assert watched.state(world.uuid) == "running"
    watched.scan()
    assert [one.what for one in watched.changes(world.uuid)][-1] == "started"
    with watched.store.reading() as connection:
        stepped = connection.exec_driver_sql("SELECT sum(clock_stepped) FROM scan").scalar_one()
    assert stepped == 0


def test_a_look_that_read_before_a_scan_began_is_not_taken_for_newer(
    world: World, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = world.pool()
    # What libvirt tells by itself would hide that the scan's own sight was passed over.
    asked: list[Told] = []
    watched.scanner.listen(asked.append, watched.lost.append)
    watched.scan()
    has_read, may_store = threading.Event(), threading.Event()
    look_at = Reader.look_at

    def slowly(self: Reader, *args: Any) -> PartialLook:
        seen = look_at(self, *args)
        has_read.set()
        assert may_store.wait(30)
        return seen

    monkeypatch.setattr(Reader, "look_at", slowly)
    watched.partial.tell(Told("pool", world.uuid, "contents", *clock.both()))
    assert has_read.wait(30)
    pool.create()
    asked.clear()
    scan = threading.Thread(target=watched.scan, kwargs={"again": [("pool", world.uuid)]})
    scan.start()
    until(lambda: watched.scanner._begun == 2)
    may_store.set()
    scan.join()
    assert watched.state(world.uuid, "pool") == "running"
    # Which of the two knew more is not known, so it is looked at once more.
    until(lambda: any(one.what == "asked" and one.key == world.uuid for one in asked))


def test_what_a_scan_saw_of_an_object_that_it_passed_over_is_not_lost(
    world: World, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = world.define()
    watched.scan()
    scan = SlowScan(watched, monkeypatch)
    # libvirt does not tell of the one, so that the look because of the other does not ask for it.
    domain.setAutostart(1)
    domain.create()
    until(lambda: watched.state(world.uuid) == "running")
    scan.end()
    until(lambda: "autostart-on" in [one.what for one in watched.changes(world.uuid)])
    assert counted(watched.store, "scan") == 2


def test_an_event_whose_object_cannot_be_read_deletes_nothing(
    world: World, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.errors import VirtError

    domain = world.define()
    watched.scan()
    session = watched.scanner._session
    assert session is not None
    call = session.call

    def failing(function: Callable[..., object], *args: object, **more: object) -> object:
        if function.__name__ == "lookupByUUIDString":
            raise VirtError("failed", "libvirt could not do it.")
        return call(function, *args, **more)

    monkeypatch.setattr(session, "call", failing)
    domain.create()
    until(lambda: watched.rescans)
    assert watched.state(world.uuid) == "shutoff"
    monkeypatch.undo()
    watched.scan()
    assert watched.state(world.uuid) == "running"


def test_a_storm_of_events_is_one_scan(store: Store, tmp_path: Path) -> None:
    looked: list[Gathered] = []
    scans: list[float] = []

    def noted(one: Gathered) -> bool:
        looked.append(one)
        return True

    partial = PartialLooks("look-storm", noted, lambda: scans.append(time.monotonic()))
    for number in range(10_000):
        partial.tell(
            Told("domain", str(number % 500), "state", clock.now_ms(), clock.monotonic_s())
        )
    until(lambda: scans)
    time.sleep(0.5)
    partial.stop()
    assert partial.join(10)
    assert len(scans) == 1
    assert sum(len(one.objects) for one in looked) <= 64


def test_storms_that_go_on_and_on_are_a_scan_every_half_minute_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.collect.partial._LONGEST_STORM_S", 0.3)
    scans: list[float] = []
    partial = PartialLooks("look-storms", lambda one: True, lambda: scans.append(time.monotonic()))
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        for number in range(100):
            told = Told("domain", str(number), "state", clock.now_ms(), clock.monotonic_s())
            partial.tell(told)
        time.sleep(0.02)
    partial.stop()
    assert partial.join(10)
    assert len(scans) == 1


def test_a_scan_sees_what_no_look_was_made_at_however_much_is_told_of_it(
    world: World, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a storm, in which nothing is looked at alone."""
    # From the first: that it was defined may be told late.
    monkeypatch.setattr(watched.partial, "tell", lambda told: None)
    domain = world.define()
    watched.scan()
    domain.create()
    until(lambda: "state" in [one.what for one in watched.told])
    scan = SlowScan(watched, monkeypatch)
    domain.suspend()
    domain.resume()
    scan.end()
    assert watched.state(world.uuid) == "running"


def test_events_that_go_on_and_on_are_a_few_looks_a_second() -> None:
    looked: list[Gathered] = []

    def noted(one: Gathered) -> bool:
        looked.append(one)
        return True

    partial = PartialLooks("look-steady", noted, lambda: None)
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        partial.tell(Told("domain", "one", "state", clock.now_ms(), clock.monotonic_s()))
        time.sleep(0.005)
    until(lambda: sum(one.events for one in looked) and not partial._waiting.events)
    partial.stop()
    assert partial.join(10)
    # Twenty at once, and two a second.
    assert 2 <= len(looked) <= 28


def test_who_asks_is_served_at_once_and_by_all_that_there_is_to_know(
    world: World, watched: Watched
) -> None:
    world.define().create()
    watched.scan()
    domain = world.connection.lookupByName(world.name)
    # Of neither does libvirt tell.
    domain.setAutostart(1)
    domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>")
    until(lambda: watched.partial._waiting.is_empty)
    assert watched.partial.ask([("domain", world.uuid)], 10)
    seen = fleet(watched.store, None).domain("h", world.uuid)
    assert seen is not None
    assert seen.fact.autostart
    assert [one.name for one in seen.fact.snapshots or ()] == ["s"]
    told = {one.what: one for one in watched.changes(world.uuid)}
    # An event that comes afterwards does not bring back what the scan before remembers.
    domain.suspend()
    until(lambda: watched.state(world.uuid) == "paused")
    seen = fleet(watched.store, None).domain("h", world.uuid)
    assert seen is not None
    assert (seen.fact.autostart, len(seen.fact.snapshots or ())) == (True, 1)
    # It happened at some time since the scan.
    assert told["autostart-on"].after_ms == fleet(watched.store, None).as_of_ms
    watched.scan()
    assert len(watched.changes(world.uuid)) == len(told) + 1


def test_who_asks_for_what_cannot_be_looked_at_is_told_so(watched: Watched) -> None:
    # Not before the first scan: it may be another host.
    assert not watched.partial.ask([("domain", str(uuid4()))], 10)
    assert watched.rescans == 1
    watched.partial.stop()
    assert not watched.partial.ask([("domain", str(uuid4()))], 10)


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
        until(lambda: (descriptors(), threading.active_count()) == before)
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
    """A collector that scans the host once a minute."""
    settings: Settings = load({"NPVIRT_DATA": str(tmp_path / "var"), "NPVIRT_SCAN_SECONDS": "60"})
    store = Store.open(store_path(settings))
    add_host(store, "h", Connection(socket=real.socket))
    collector = Collector(settings, store)
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()
        store.close()


def _define(real: LabHost, name: str) -> str:
    uuid = str(uuid4())
    (real.root / "run" / f"{name}.xml").write_text(_GUEST.format(name=name, uuid=uuid))
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
    # The close callback tells, long before the next scan.
    until(lambda: domain() == ("shutoff", False), 10)
    real.start_libvirtd()
    until(lambda: domain() == ("shutoff", True), 30)
    real.virsh("start", "web")
    until(lambda: domain() == ("running", True), 10)
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
        until(lambda: known() is False, 30)
    finally:
        real.kill("CONT")
    until(known, 30)
    real.virsh("start", "web")
    until(lambda: (seen := fleet(store, None).domain("h", uuid)) and seen.fact.state == "running")
    real.virsh("destroy", "web")
