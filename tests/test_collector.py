"""The collector: scans on a schedule, follows the registry, takes over when another one ends."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.collect.collector import Collector
from app.collect.first_host import ensure_first_host
from app.collect.once import scan_once
from app.connection import Connection
from app.inventory import Domain, Scan
from app.settings import Settings, load
from app.store.changes import Wanted, latest
from app.store.engine import STORE_NAME, Store, store_path
from app.store.history import HostStatus, fleet
from app.store.hosts import add_host, edit_host, list_hosts, remove_host, set_enabled
from app.store.record import Recorder
from tests.made_once import open_store
from tests.waiting import until

DEMO = Connection(driver="test", transport="embedded", path="default")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a data directory of its own, scanning every second."""
    return load({"NPVIRT_DATA": str(tmp_path / "var"), "NPVIRT_SCAN_SECONDS": "1"})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(store_path(settings))
    yield opened
    opened.close()


@pytest.fixture
def collector(settings: Settings, store: Store) -> Iterator[Collector]:
    made = Collector(settings, store)
    yield made
    made.stop()


def status(store: Store, slug: str) -> HostStatus:
    view = fleet(store, None).host(slug)
    assert view is not None
    return view.status


def missing(tmp_path: Path) -> Connection:
    return Connection(socket=str(tmp_path / "no-such-socket"))


def test_every_enabled_host_is_scanned_again_and_again(store: Store, collector: Collector) -> None:
    add_host(store, "demo", DEMO)
    collector.start()
    until(lambda: fleet(store, None).domains)
    first = status(store, "demo").last_ok_at_ms
    assert first is not None
    until(lambda: (status(store, "demo").last_ok_at_ms or 0) > first)
    until(lambda: collector.health().ok)
    assert collector.health().collecting


def test_a_host_that_fails_says_why_and_when_it_is_tried_next(
    store: Store, collector: Collector, tmp_path: Path
) -> None:
    add_host(store, "gone", missing(tmp_path))
    add_host(store, "demo", DEMO)
    collector.start()
    until(lambda: status(store, "gone").failures >= 2)
    assert status(store, "gone").problem == "no-socket"
    assert status(store, "gone").next_at_ms is not None
    assert not status(store, "gone").known
    until(lambda: status(store, "demo").known)


def test_a_new_host_is_scanned_at_once_and_a_disabled_or_removed_one_no_more(
    store: Store, collector: Collector
) -> None:
    collector.start()
    until(lambda: collector.health().collecting)
    add_host(store, "demo", DEMO)
    collector.wake()
    until(lambda: status(store, "demo").known)
    set_enabled(store, "demo", False)
    collector.wake()
    assert not collector.scan_now("demo")
    remove_host(store, "demo")
    collector.wake()
    until(lambda: not [t for t in threading.enumerate() if t.name == "scan-demo"])


def test_an_edited_host_is_reached_the_new_way(
    store: Store, collector: Collector, tmp_path: Path
) -> None:
    add_host(store, "kvm-01", missing(tmp_path))
    collector.start()
    until(lambda: status(store, "kvm-01").failures > 0)
    edit_host(store, "kvm-01", DEMO)
    collector.wake()
    until(lambda: status(store, "kvm-01").known)


def test_a_second_collector_waits_and_takes_over_when_the_first_ends(
    settings: Settings, store: Store, collector: Collector
) -> None:
    add_host(store, "demo", DEMO)
    collector.start()
    until(lambda: collector.health().collecting)
    second = Collector(settings, store)
    try:
        second.start()
        until(lambda: second.health().ok)
        assert not second.health().collecting
        # Asked to scan, it passes the wish on to the one that collects (once that listens).
        until(lambda: second.scan_now("demo"))
        collector.stop()
        until(lambda: second.health().collecting)
        last = status(store, "demo").last_ok_at_ms or 0
        until(lambda: (status(store, "demo").last_ok_at_ms or 0) > last)
    finally:
        second.stop()


@pytest.mark.parametrize("name", ["one.sqlite", STORE_NAME])
def test_processes_on_one_store_with_data_directories_of_their_own_are_one_collector(
    tmp_path: Path, name: str
) -> None:
    """Of the second name it is the store that is in the first one's data directory anyway."""
    every, shared = {"NPVIRT_SCAN_SECONDS": "1"}, tmp_path / "shared"
    here = {} if name == STORE_NAME else {"NPVIRT_DATABASE_URL": f"sqlite:///{shared / name}"}
    mine = load({**every, "NPVIRT_DATA": str(shared), **here})
    (tmp_path / "other").symlink_to(shared)
    there = f"sqlite:///{tmp_path / 'other' / name}"
    theirs = load({**every, "NPVIRT_DATA": str(tmp_path / "b"), "NPVIRT_DATABASE_URL": there})
    store = open_store(store_path(mine))
    first, second = Collector(mine, store), Collector(theirs, store)
    try:
        first.start()
        until(lambda: first.health().collecting)
        second.start()
        until(lambda: second.supervision().pulse.ticks > 1)
        assert not second.health().collecting
        first.stop()
        until(lambda: second.health().collecting)
    finally:
        first.stop()
        second.stop()
        store.close()


def test_who_lost_the_lock_with_its_file_scans_no_more(
    settings: Settings, store: Store, collector: Collector
) -> None:
    add_host(store, "demo", DEMO)
    collector.start()
    until(lambda: collector.supervision().workers)
    second = Collector(settings, store)

    def taken() -> bool:
        # The first one may make it anew before.
        (settings.data / "collector.lock").unlink(missing_ok=True)
        return second._leadership.acquire()

    try:
        until(taken)
        second.start()
        until(lambda: second.supervision().workers)
        until(lambda: not collector.supervision().workers)
        assert not collector.health().collecting
        # Of a request that had come before, nothing comes.
        collector._answer({"wake": []})
        assert not collector.supervision().workers
        # It is the second one that is asked, and the first one passes the wish on.
        until(lambda: collector.scan_now("demo"))
    finally:
        second.stop()


def test_the_first_tick_after_the_lock_is_free_takes_over(
    settings: Settings, store: Store, collector: Collector
) -> None:
    """Two ticks are promised. Planted: a collector that tries for the lock at its start alone."""
    add_host(store, "demo", DEMO)
    collector.start()
    until(lambda: collector.health().collecting)
    second = Collector(settings, store)
    try:
        # What the schedule calls at every tick.
        second._tick()
        assert not second._leadership.held
        collector.stop()
        second._tick()
        assert second._leadership.held
    finally:
        second.stop()


def test_a_scan_from_the_command_line_is_done_by_the_running_collector(
    settings: Settings, store: Store, collector: Collector
) -> None:
    record = add_host(store, "demo", DEMO)
    collector.start()
    until(lambda: status(store, "demo").known)
    (summary,) = scan_once(settings, store, [record])
    assert summary.ok
    assert summary.counts["domains"] == 1
    assert collector.health().collecting


def test_without_a_server_a_scan_takes_the_lock_itself(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    records = [add_host(store, "demo", DEMO), add_host(store, "gone", missing(tmp_path))]
    good, bad = scan_once(settings, store, records)
    assert (good.ok, bad.ok) == (True, False)
    assert bad.counts["domains"] is None
    assert bad.sentence is not None


def test_health_turns_red_when_the_scheduler_stands_still(
    store: Store, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nor is it replaced before anybody sees that.
    monkeypatch.setattr(collector, "_renew_if_stuck", lambda: None)
    assert not collector.health().ok
    collector.start()
    until(lambda: collector.health().ok)
    scheduler = collector._schedule._scheduler
    assert scheduler is not None
    scheduler.pause()
    until(lambda: not collector.health().ok)


def test_two_names_for_one_libvirt_are_refused(store: Store) -> None:
    from app.errors import Conflict
    from app.store.hosts import accept_new_uuid, claim_uuid

    one, two = add_host(store, "one", Connection()), add_host(store, "two", Connection())
    claim_uuid(store, one.id, "u-1")
    claim_uuid(store, one.id, "u-1")
    with pytest.raises(Conflict, match="same libvirt host as one"):
        claim_uuid(store, two.id, "u-1")
    with pytest.raises(Conflict, match="not the host that one was"):
        claim_uuid(store, one.id, "u-2")
    accept_new_uuid(store, "one")
    claim_uuid(store, one.id, "u-2")


def test_a_panel_without_hosts_adds_one_and_only_then(store: Store) -> None:
    added = ensure_first_host(store)
    assert added is not None
    assert added.slug in ("local", "demo")
    assert ensure_first_host(store) is None
    assert len(list_hosts(store)) == 1


def test_changes_of_before_the_list_was_kept_are_told_while_it_runs(
    store: Store, collector: Collector
) -> None:
    record = add_host(store, "gone", DEMO)
    set_enabled(store, "gone", enabled=False)
    recorder = Recorder(store, record, 60_000)
    domain = Domain(uuid="w", name="web", state="running")
    recorder.record(Scan(1_000, 1, ok=True, domains={"w": domain}))
    recorder.record(Scan(61_000, 1, ok=True, domains={}))
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM change")
        connection.exec_driver_sql(
            "INSERT INTO change_walk (host_id, next_ms, until_ms) SELECT id, 0, 61000 FROM host"
        )
    collector.start()
    until(lambda: [one.what for one in latest(store, Wanted(), 9)] == ["deleted"])
    until(lambda: collector.health().ok)
