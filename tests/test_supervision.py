"""One worker per host, which nothing that a host does may stop: closes that hang, threads that die.

Planted to see each fail: a close without a bound, a watchdog that does not look at workers, a
given-up look that is stored all the same, a look that failed unforeseen and is not stored.
"""

import contextlib
import gc
import logging
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app import clock
from app.collect.collector import Collector
from app.collect.partial import Batch
from app.collect.scanner import Scanner
from app.collect.worker import Looks
from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.inventory import PartialLook, Scan
from app.services import attach, services_of
from app.settings import load
from app.store import schema
from app.store.engine import Store, store_path
from app.store.history import fleet
from app.store.hosts import HostRecord, add_host, edit_host
from app.virt import session as session_module
from app.virt.read.reader import Reader
from app.virt.relay import Relay
from app.virt.session import Session
from tests.events_support import World, world
from tests.made_once import open_store
from tests.test_collector import DEMO, status
from tests.test_watchdog import scans_of
from tests.waiting import until
from tests.web_support import Web

__all__ = ["world"]


class Troubled(Scanner):
    """A scanner that runs into trouble at its second look: "dies", "hangs" until it is let go,
    "breaks" then, or "stumbles", at all later ones, too, and "falls" when it stores that.
    """

    def __init__(self, trouble: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.trouble = trouble
        self.looks = 0
        self.hanging_since_ms: int | None = None
        self.let_go = threading.Event()
        self.ended = threading.Event()

    def _look(self, at_ms: int, everything: bool, again: Collection[tuple[str, str]]) -> Scan:
        self.looks += 1
        if self.looks > 1 and self.trouble in ("stumbles", "falls"):
            raise ValueError(self.looks)
        if self.looks == 2:
            if self.trouble == "dies":
                raise SystemExit
            self.hanging_since_ms = at_ms
            self.let_go.wait(60.0)
            if self.trouble == "breaks":
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        return super()._look(at_ms, everything, again)

    def unforeseen(self, next_at_ms: Callable[[bool], int | None]) -> Scan | None:
        if self.trouble == "falls":
            raise ValueError(self.trouble)
        return super().unforeseen(next_at_ms)

    def close(self) -> None:
        super().close()
        self.ended.set()


class Supervised(Collector):
    """A collector whose first scanner of a host gets into trouble."""

    def __init__(self, trouble: str, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.trouble = trouble
        self.made: list[Troubled] = []

    def _scanner(self, record: HostRecord, interval_ms: int) -> Looks:
        if self.made or record.slug != "demo":
            return super()._scanner(record, interval_ms)
        scanner = Troubled(self.trouble, self._store, self._settings.data, record, interval_ms)
        self.made.append(scanner)
        return scanner


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(store_path(load({"NPVIRT_DATA": str(tmp_path / "var")})))
    yield opened
    opened.close()


@contextlib.contextmanager
def supervised(tmp_path: Path, store: Store, trouble: str) -> Iterator[Supervised]:
    settings = load({"NPVIRT_DATA": str(tmp_path / "var"), "NPVIRT_SCAN_SECONDS": "1"})
    collector = Supervised(trouble, replace(settings, scan_seconds=0.4), store)
    collector.start()
    try:
        yield collector
    finally:
        for scanner in collector.made:
            scanner.let_go.set()
        collector.stop()


def impatient(collector: Collector, slug: str) -> None:
    """Have the worker that a host has now be taken for hung as soon as it does nothing."""
    (worker,) = (one for record, one in collector._workers.values() if record.slug == slug)
    worker._hung_after_s = 0.0


# Its death is meant.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_died_is_replaced_and_said(tmp_path: Path, store: Store) -> None:
    add_host(store, "demo", DEMO)
    with supervised(tmp_path, store, "dies") as collector:
        until(lambda: collector.supervision().replaced == {"demo": 1})
        before = len(scans_of(store))
        until(lambda: len(scans_of(store)) > before + 2)
        assert status(store, "demo").known
        assert collector.supervision().workers["demo"].looks > 0


def test_a_worker_that_hangs_beyond_its_deadlines_is_replaced_and_what_it_saw_late_is_not_stored(
    tmp_path: Path, store: Store
) -> None:
    add_host(store, "demo", DEMO)
    add_host(store, "other", Connection(socket=str(tmp_path / "nowhere")))
    with supervised(tmp_path, store, "hangs") as collector:
        until(lambda: collector.made and collector.made[0].hanging_since_ms)
        hung = collector.made[0]
        # Its neighbour is looked at meanwhile.
        failures = status(store, "other").failures
        until(lambda: status(store, "other").failures > failures)
        # It alone: how long another one's look lasts is a busy machine's affair.
        impatient(collector, "demo")
        until(lambda: collector.supervision().replaced == {"demo": 1})
        before = len(scans_of(store))
        until(lambda: len(scans_of(store)) > before + 2)
        hung.let_go.set()
        until(hung.ended.is_set)
    # Nor as a look that failed, or one whose label had to be moved on.
    table = schema.scan
    query = sa.select(table).where(table.c.host_id == hung.record.id)
    with store.reading() as connection:
        rows = connection.execute(query).all()
    assert all(row.ok and not row.clock_stepped for row in rows)
    assert hung.hanging_since_ms not in [row.at_ms for row in rows]


def test_what_a_host_was_seen_as_late_is_not_stored_once_it_is_reached_in_another_way(
    tmp_path: Path, store: Store
) -> None:
    add_host(store, "demo", DEMO)
    with supervised(tmp_path, store, "hangs") as collector:
        until(lambda: collector.made and collector.made[0].hanging_since_ms)
        hung = collector.made[0]
        edit_host(store, "demo", Connection(socket=str(tmp_path / "nowhere")))
        collector.wake()
        until(lambda: status(store, "demo").failures)
        hung.let_go.set()
        until(hung.ended.is_set)
        assert not status(store, "demo").known
        assert status(store, "demo").failures
    # Nor as a look that failed.
    assert hung.hanging_since_ms not in [row.at_ms for row in scans_of(store)]


@pytest.mark.parametrize("trouble", ["hangs", "breaks"])
def test_of_a_look_that_outlasts_its_collector_nothing_is_stored_or_said(
    tmp_path: Path, store: Store, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A busy machine's look at one host went on while another's kept Python from ending, which lets
    nobody start threads then: that was stored as a failure of the host, and logged as npvirt's.
    """
    add_host(store, "demo", DEMO)
    with supervised(tmp_path, store, trouble) as collector:
        until(lambda: collector.made and collector.made[0].hanging_since_ms)
        hung = collector.made[0]
        collector.stop()
        before = scans_of(store)
        hung.let_go.set()
        until(hung.ended.is_set)
    assert scans_of(store) == before
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("breaks", [False, True])
def test_of_a_look_beside_the_scans_that_outlasts_its_collector_nothing_is_stored_or_said(
    tmp_path: Path,
    store: Store,
    world: World,
    breaks: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change that libvirt told of was being read at the end. Planted: a collector that does not
    give up what goes on, and a look that is let break as at any other time.
    """
    domain = world.define()
    domain.create()
    add_host(store, "demo", DEMO)
    collector = Collector(load({"NPVIRT_DATA": str(tmp_path / "var")}), store)
    has_read, let_go = threading.Event(), threading.Event()
    look_at = Reader.look_at

    def slowly(self: Reader, session: Session, batch: Batch) -> PartialLook:
        seen = look_at(self, session, batch)
        has_read.set()
        let_go.wait(60.0)
        if breaks:
            raise RuntimeError("can't create new thread at interpreter shutdown")
        return seen

    def stored() -> tuple[object, ...]:
        seen = fleet(store, None).domain("demo", world.uuid)
        return None if seen is None else seen.fact.state, scans_of(store)

    monkeypatch.setattr(Reader, "look_at", slowly)
    collector.start()
    try:
        until(lambda: stored()[0] == "running")
        domain.suspend()
        assert has_read.wait(60.0)
        (worker,) = (worker for _, worker in collector._workers.values())
        collector.stop()
        before = stored()
        let_go.set()
        assert worker._partial.join(60.0)
    finally:
        let_go.set()
        collector.stop()
    assert stored() == before
    assert before[0] == "running"
    assert status(store, "demo").known
    said = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert [sentence for sentence in said if "demo" in sentence] == []


def test_a_look_that_failed_for_a_reason_nobody_foresaw_is_one_that_failed(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """It is stored, said and tried again as others that fail; its traceback is in the log."""
    add_host(store, "demo", DEMO)
    with supervised(tmp_path, store, "stumbles") as collector:
        until(lambda: status(store, "demo").failures > 1)
        found = status(store, "demo")
        assert not found.known
        assert found.problem == "unforeseen"
        assert found.next_at_ms is not None
        assert "did not foresee" in (found.sentence or "")
        assert collector.supervision().replaced == {}
    assert "ValueError" in caplog.text


def test_a_worker_goes_on_where_not_even_that_a_look_failed_can_be_stored_for_no_known_reason(
    tmp_path: Path, store: Store
) -> None:
    add_host(store, "demo", DEMO)
    with supervised(tmp_path, store, "falls") as collector:
        until(lambda: collector.made and collector.made[0].looks > 3)
        assert collector.supervision().replaced == {}


def test_a_look_that_goes_on_slowly_is_not_given_up(tmp_path: Path) -> None:
    """Every call is a sign of life, however many there are."""
    session = Session.open(Endpoint(DEMO), read_only=True)
    try:
        before_s = session.last_call_s
        session.call(session.connection.getHostname)
        assert before_s < session.last_call_s <= clock.monotonic_s()
    finally:
        session.close()


# --- the next try -----------------------------------------------------------------------------


def test_trying_now_does_not_wait_for_the_next_try(empty_web: Web, tmp_path: Path) -> None:
    """A host that fails is tried again after 2, 4, 8 … seconds; its page says when, and an
    operator need not wait.
    """
    store, collector = empty_web.store, Collector(empty_web.settings, empty_web.store)
    attach(empty_web.app, replace(services_of(empty_web.app), collector=collector))
    add_host(store, "gone", Connection(socket=str(tmp_path / "nowhere")))
    collector.start()
    try:
        until(lambda: status(store, "gone").failures)
        page = empty_web.text("/hosts/gone")
        assert 'next try <time datetime="' in page
        assert 'data-age="in"' in page
        assert "Retry now" in page
        early = 0
        for _ in range(6):
            before = status(store, "gone")
            failures = before.failures
            assert empty_web.post("/hosts/gone/scan").status_code == 303
            until(lambda known=failures: status(store, "gone").failures > known)  # type: ignore[misc] # bound now
            tried_ms, planned_ms = status(store, "gone").last_try_at_ms, before.next_at_ms
            early += (tried_ms or 0) < (planned_ms or 0)
        # By itself it would have waited 2, 4, 8, 16, 32 and 60 seconds.
        assert early >= 3
        planned_ms = (status(store, "gone").next_at_ms or 0) - clock.now_ms()
        # Of six failures: the schedule's next tick comes first.
        assert planned_ms > 20_000
        empty_web.sign_in("vic", "viewer")
        assert "Retry now" not in empty_web.text("/hosts/gone")
    finally:
        collector.stop()


# --- open and close -------------------------------------------------------------------------


def held() -> tuple[int, int]:
    """Open files, and threads but the one of the deadlines, which stays; garbage holds none."""
    gc.collect()
    threads = [thread for thread in threading.enumerate() if thread.name != "deadlines"]
    return len(list(Path("/proc/self/fd").iterdir())), len(threads)


def test_a_hundred_opens_that_hang_leave_nothing_behind(tmp_path: Path) -> None:
    """Of a daemon that takes connections and never answers, as a stopped one does."""
    path = tmp_path / "socket"
    hung = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(256)
        endpoint = Endpoint(Connection(socket=str(path)))

        def open_once(_number: int) -> None:
            with pytest.raises(VirtError) as caught:
                Session.open(endpoint, read_only=True, deadline_s=0.2)
            hung.append(caught.value.problem)

        open_once(0)
        before = held()
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(open_once, range(100)))
        # Where a busy machine did not even get as far as to ask, it says so.
        assert "no-answer" in hung
        assert set(hung) <= {"no-answer", "timeout"}
        assert len(hung) == 101
        # What the first one left may not have been gone yet, nor what another test had.
        until(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))


def test_a_close_that_hangs_does_not_hold_up_whoever_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, closed = threading.Event(), threading.Event()
    really = Session._close

    def hang(self: Session, connection: Any) -> None:
        let_go.wait(60.0)
        really(self, connection)
        closed.set()

    monkeypatch.setattr(session_module, "_CLOSE_S", 0.2)
    monkeypatch.setattr(Session, "_close", hang)
    session = Session.open(Endpoint(DEMO), read_only=True)
    before_s = clock.monotonic_s()
    session.close()
    assert clock.monotonic_s() - before_s < 10
    assert not session.alive
    assert not closed.is_set()
    let_go.set()
    assert closed.wait(60.0)


def test_a_carrier_that_does_not_end_does_not_hold_up_the_relays_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr("app.virt.relay._CLOSE_S", 0.2)
    near, far = socket.socketpair()

    def finish() -> None:
        let_go.wait(60.0)

    relay = Relay(near, over_tcp=False, finish=finish)
    before_s = clock.monotonic_s()
    relay.close()
    assert clock.monotonic_s() - before_s < 10
    assert relay.ended
    let_go.set()
    relay._thread.join(60.0)
    far.close()
