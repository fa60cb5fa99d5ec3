"""The hub: whoever shows something learns of every change, however slowly it asks."""

import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.collect.collector import Collector
from app.collect.live import LIVE_KINDS, Hub
from app.collect.noticing import Noticer
from app.connection import Connection
from app.errors import StoreError
from app.settings import Settings, load
from app.store.engine import Store, store_path
from app.store.history import fleet
from app.store.hosts import add_host, remove_host, set_enabled
from app.store.record import Recorder
from tests.made_once import open_store
from tests.test_collector import DEMO
from tests.waiting import until
from tests.web_support import a_scan, fill

HOSTS = ("kvm-01", "kvm-02", "kvm-03")
PUBLISHED = st.tuples(st.sampled_from(HOSTS), st.frozensets(st.sampled_from(LIVE_KINDS)))
# None: a reader looks.
STEPS = st.lists(st.one_of(PUBLISHED, st.none()), max_size=40)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"NPVIRT_DATA": str(tmp_path / "var"), "NPVIRT_SCAN_SECONDS": "1"})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(store_path(settings))
    yield opened
    opened.close()


def pairs(hub: Hub, since: int) -> set[tuple[str, str]]:
    news = hub.news(since)
    assert not news.everything
    return {(host, kind) for host, kinds in news.hosts.items() for kind in kinds}


@given(STEPS)
def test_a_reader_learns_exactly_what_was_published_since_it_last_looked(
    steps: list[tuple[str, frozenset[str]] | None],
) -> None:
    hub = Hub()
    known, published = hub.number, set[tuple[str, str]]()
    for step in [*steps, None]:
        if step is None:
            assert pairs(hub, known) == published
            known, published = hub.number, set()
        else:
            hub.publish(*step)
            published |= {(step[0], kind) for kind in step[1]}


@given(STEPS, st.integers(1, 4))
def test_a_reader_of_what_is_forgotten_is_told_of_everything(
    steps: list[tuple[str, frozenset[str]] | None], most: int
) -> None:
    hub = Hub(most)
    published = set[tuple[str, str]]()
    for step in steps:
        if step is not None:
            hub.publish(*step)
            published |= {(step[0], kind) for kind in step[1]}
    news = hub.news(0)
    told = {(host, kind) for host, kinds in news.hosts.items() for kind in kinds}
    assert news.everything or told == published
    assert news.everything == (len(published) > most)
    assert not hub.news(hub.number)


def test_a_number_of_another_hub_is_not_taken_for_ones_own() -> None:
    hub = Hub()
    assert hub.news(7).everything
    hub.publish("kvm-01", frozenset(("domain",)))
    hub.publish_everything()
    assert hub.news(1).everything
    assert not hub.news(2)


def test_no_change_is_lost_between_threads_and_none_waits_for_a_slow_reader() -> None:
    hub = Hub()
    writers, each, woken = 4, 2_000, threading.Semaphore(0)
    hub.listen(woken.release)
    seen = dict.fromkeys((f"host-{number}" for number in range(writers)), 0)
    done = threading.Event()

    def write(number: int) -> None:
        for turn in range(each):
            hub.publish(f"host-{number}", frozenset((f"kind-{turn % 7}", "last")))

    def read() -> None:
        known = 0
        while not (done.is_set() and hub.number == known):
            news = hub.wait(known, 1.0)
            known = news.number
            for host, kinds in news.hosts.items():
                assert "last" in kinds
                seen[host] = known

    reader = threading.Thread(target=read)
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join(30)
    assert not reader.is_alive()
    assert hub.number == writers * each
    assert max(seen.values()) == hub.number
    assert all(seen.values())
    assert sum(woken.acquire(blocking=False) for _ in range(writers * each)) == writers * each
    # What is kept does not grow with what was told.
    assert len(hub.news(0).hosts) == writers


def test_who_listens_is_woken_until_it_says_so() -> None:
    hub, woken = Hub(), list[str]()

    def wake() -> None:
        woken.append("")

    hub.listen(wake)
    hub.publish("kvm-01", frozenset(("domain",)))
    hub.publish("kvm-01", frozenset())
    hub.unlisten(wake)
    hub.publish("kvm-01", frozenset(("domain",)))
    assert len(woken) == 1
    assert not hub.is_listened_to


def test_a_scan_tells_the_kinds_that_it_changed_and_no_other(
    settings: Settings, store: Store
) -> None:
    add_host(store, "demo", DEMO)
    collector = Collector(settings, store)
    collector.start()
    try:
        until(lambda: fleet(store, None).domains)
        until(lambda: collector.hub.number)
        first = collector.hub.news(0).hosts["demo"]
        assert {"host", "domain", "pool", "samples", "scan"} <= first
        known = collector.hub.number
        until(lambda: collector.hub.number > known)
        assert collector.hub.news(known).hosts == {"demo": {"samples"}}
    finally:
        collector.stop()


def test_a_host_that_does_not_answer_is_told_of_at_every_try(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    add_host(store, "gone", Connection(socket=str(tmp_path / "no-such-socket")))
    collector = Collector(settings, store)
    collector.start()
    try:
        until(lambda: collector.hub.number >= 2)
        assert collector.hub.news(1).hosts == {"gone": {"scan"}}
    finally:
        collector.stop()


def test_what_another_process_stores_is_noticed(store: Store) -> None:
    hub = Hub()
    noticer = Noticer(store, hub, lambda: False)
    other = open_store(store.path)
    try:
        noticer.look()
        assert hub.number == 0
        fill(other)
        noticer.look()
        told = hub.news(0).hosts
        assert told.keys() == {"kvm-01", "kvm-02", "kvm-03"}
        assert {"host", "domain", "pool", "samples", "scan"} <= told["kvm-01"]
        known = hub.number
        noticer.look()
        assert hub.number == known
        record = fleet(other, None).hosts[0].record
        Recorder(other, record, 60_000).record(a_scan(record, 2**42))
        noticer.look()
        assert hub.news(known).hosts == {"kvm-01": {"samples", "scan"}}
    finally:
        other.close()


def test_after_a_first_look_that_failed_anything_may_have_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub()
    noticer = Noticer(store, hub, lambda: False)
    with monkeypatch.context() as patch:
        error = StoreError("It cannot be read.", problem="io")
        patch.setattr("app.collect.noticing.mark_of", mock.Mock(side_effect=error))
        with pytest.raises(StoreError):
            noticer.look()
    fill(store)
    noticer.look()
    assert hub.news(0).everything
    known = hub.number
    noticer.look()
    assert hub.number == known


def test_a_process_that_collects_notices_the_registry_and_tells_its_scans_itself(
    store: Store,
) -> None:
    hub, collecting = Hub(), True
    noticer = Noticer(store, hub, lambda: collecting)
    noticer.look()
    fill(store)
    noticer.look()
    assert {kind for kinds in hub.news(0).hosts.values() for kind in kinds} == {"host"}
    known = hub.number
    set_enabled(store, "kvm-02", False)
    remove_host(store, "kvm-03")
    noticer.look()
    assert hub.news(known).hosts == {"kvm-02": {"host"}, "kvm-03": {"host"}}
    # The one that collected before may have stored something right before this one took over.
    collecting, known = False, hub.number
    noticer.look()
    record = fleet(store, None).hosts[0].record
    Recorder(store, record, 60_000).record(a_scan(record, 2**42))
    collecting = True
    noticer.look()
    assert "samples" in hub.news(known).hosts["kvm-01"]
