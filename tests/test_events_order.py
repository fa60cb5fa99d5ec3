"""Looks at what was told beside scans: never older over newer, and never too many of them."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app import clock
from app.collect.partial import Gathered, PartialLooks
from app.inventory import PartialLook, Told
from app.store.engine import Store
from app.store.history import fleet
from app.virt.read.reader import Reader
from tests.events_support import Watched, World, counted, store, watched, world
from tests.waiting import until

__all__ = ["store", "watched", "world"]


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
    begun_s = time.monotonic()
    while time.monotonic() < begun_s + 3.0:
        partial.tell(Told("domain", "one", "state", clock.now_ms(), clock.monotonic_s()))
        time.sleep(0.005)
    until(lambda: sum(one.events for one in looked) and not partial._waiting.events)
    partial.stop()
    assert partial.join(10)
    # Twenty at once, and two a second, however long it went on.
    assert 2 <= len(looked) <= 20 + 2 * (time.monotonic() - begun_s) + 1


def test_a_thread_that_cannot_be_started_is_tried_again_with_the_next_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the machine lets a process have no more threads for a moment."""
    looked = threading.Event()

    def noted(_one: Gathered) -> bool:
        looked.set()
        return True

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    partial = PartialLooks("look-refused", noted, lambda: None)
    told = Told("domain", "one", "state", clock.now_ms(), clock.monotonic_s())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            partial.tell(told)
    partial.tell(told)
    assert looked.wait(60)
    partial.stop()
    assert partial.join(60)


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
