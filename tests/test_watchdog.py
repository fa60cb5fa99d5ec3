"""The schedule goes on whatever the wall clock does, and what stops it is noticed and mended.

The clock that is steered is npvirt's own (tests/clocks.py); libvirt's test driver is the host. What
steps and daylight saving do to scans and rates is tried by tests/faults/clocks.py. Each kind of
trouble was seen to be found: with APScheduler on the wall clock the steps back stop the ticks,
without the watchdog a killed scheduler stays dead.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import clock
from app.clock import DAY_MS, HOUR_MS, now_ms
from app.collect.collector import Collector
from app.collect.schedule import Schedule
from app.collect.steps import ClockWatch, Labels
from app.collect.upkeep import Upkeep
from app.connection import Connection
from app.metrics import METRIC_BY_NAME
from app.settings import Settings, load
from app.store import schema
from app.store.engine import Store, store_path
from app.store.glance import Buckets, glance
from app.store.history import fleet
from app.store.hosts import add_host
from app.store.record import Recorder
from tests.clocks import steered
from tests.faults.clocks import STEPS_S, a_scan
from tests.made_once import open_store
from tests.test_collector import DEMO
from tests.waiting import until

TICK_S = 0.4


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a data directory of its own, with ticks shorter than people may set."""
    loaded = load({"NPVIRT_DATA": str(tmp_path / "var"), "NPVIRT_SCAN_SECONDS": "1"})
    return replace(loaded, scan_seconds=TICK_S)


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


def scans_of(store: Store) -> list[sa.Row[tuple[int, int, int]]]:
    """When scans were stored, whether each was marked, and how long it took."""
    table = schema.scan
    query = sa.select(table.c.at_ms, table.c.clock_stepped, table.c.took_ms).order_by(table.c.id)
    with store.reading() as connection:
        return list(connection.execute(query))


# --- the schedule ---------------------------------------------------------------------------


class Ticks:
    """Takes down when a job was done, by the machine's own monotonic clock."""

    def __init__(self) -> None:
        self.at_s: list[float] = []

    def __call__(self) -> None:
        self.at_s.append(time.monotonic())

    def wait(self, count: int) -> None:
        """Wait for so many more."""
        wanted = len(self.at_s) + count
        until(lambda: len(self.at_s) >= wanted)


@pytest.mark.parametrize("by_s", STEPS_S)
def test_ticks_keep_their_rhythm_when_the_wall_clock_steps(by_s: float) -> None:
    every_s = 0.3
    with steered() as wall:
        schedule, ticks = Schedule(), Ticks()
        schedule.every("tick", every_s, ticks)
        begun_s = time.monotonic()
        schedule.start()
        try:
            for _ in range(3):
                ticks.wait(2)
                wall.step(by_s)
            ticks.wait(3)
        finally:
            schedule.stop()
    assert wall.steps == 3
    # A busy machine may be late with one, or leave one out; there are never more than there was
    # time for, one at the beginning and one that was just due.
    for count, at_s in enumerate(ticks.at_s, 1):
        assert count <= (at_s - begun_s) / every_s + 2


def test_late_ticks_are_one_catch_up() -> None:
    schedule, ticks = Schedule(), Ticks()
    held = threading.Event()

    def tick() -> None:
        ticks()
        held.wait(10.0)

    schedule.every("tick", 0.1, tick)
    schedule.start()
    try:
        ticks.wait(1)
        time.sleep(1.0)
        assert len(ticks.at_s) == 1
        released_s = time.monotonic()
        held.set()
        ticks.wait(4)
        # Nine were missed: they are not made up for, but by the one that was due.
        for count, at_s in enumerate(ticks.at_s[1:], 1):
            assert count <= (at_s - released_s) / 0.1 + 2
    finally:
        held.set()
        schedule.stop()


def test_a_schedule_that_ends_waits_for_what_is_being_done_and_begins_nothing_more() -> None:
    schedule, begun, done = Schedule(), Ticks(), Ticks()

    def tick() -> None:
        begun()
        time.sleep(0.3)
        done()

    schedule.every("tick", 0.1, tick)
    schedule.start()
    try:
        begun.wait(1)
    finally:
        schedule.stop(wait_s=60.0)
    count = len(begun.at_s)
    assert len(done.at_s) == count
    time.sleep(0.5)
    assert len(begun.at_s) == count


def test_a_schedule_that_ends_does_not_wait_for_what_hangs() -> None:
    schedule, begun, held = Schedule(), Ticks(), threading.Event()

    def tick() -> None:
        begun()
        held.wait(60.0)

    schedule.every("tick", 0.1, tick)
    schedule.start()
    try:
        begun.wait(1)
        before_s = time.monotonic()
        schedule.stop(wait_s=0.1)
        assert time.monotonic() - before_s < 30.0
    finally:
        held.set()
        schedule.stop()


# --- the scans ------------------------------------------------------------------------------


def test_a_host_stays_on_the_pages_when_the_clock_is_set_back_before_it_was_added(
    store: Store,
) -> None:
    with steered() as wall:
        record = add_host(store, "kvm-01", Connection())
        recorder = Recorder(store, record, 60_000)
        recorder.record(a_scan(now_ms(), 5, "old"))
        wall.step(-86_400)
        recorder.record(a_scan(now_ms(), 5, "new"))
        seen = fleet(store, None)
        assert [host.slug for host in seen.hosts] == ["kvm-01"]
        assert [domain.fact.name for domain in seen.domains] == ["new"]
        assert seen.hosts[0].status.known


# --- what is a step --------------------------------------------------------------------------


def test_labels_are_compared_with_the_last_good_scan_too() -> None:
    labels = Labels()
    labels.stored(1_000_000, 10.0, good=True)
    # The clock stepped, and the host did not answer.
    assert labels.stepped(4_600_000, 20.0)
    labels.stored(4_600_000, 20.0, good=False)
    # In step with that one, but what it counts is told since the good one.
    assert labels.stepped(4_610_000, 30.0)
    labels.stored(4_610_000, 30.0, good=True)
    assert not labels.stepped(4_620_000, 40.0)


def test_a_small_difference_between_the_clocks_is_no_step() -> None:
    with steered() as wall:
        watch = ClockWatch()
        wall.step(0.2)
        assert watch.look() is None
        wall.step(-0.2)
        assert watch.look() is None
        wall.step(1)
        step = watch.look()
        assert step is not None
        assert abs(step.by_ms - 1000) < 200
        assert watch.look() is None


# --- a dead or stuck scheduler ----------------------------------------------------------------


# Its death is meant.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_scheduler_whose_thread_died_is_red_at_once_and_replaced(
    store: Store, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_host(store, "demo", DEMO)
    collector.start()
    until(lambda: collector.health().ok and scans_of(store))
    scheduler = collector._schedule._scheduler
    assert scheduler is not None

    def die() -> None:
        raise SystemExit

    monkeypatch.setattr(scheduler, "_process_jobs", die)
    renewals = collector.supervision().renewals
    with monkeypatch.context() as patch:
        # Not replaced before it was seen to be dead.
        patch.setattr(collector, "_renew_if_stuck", lambda: None)
        scheduler.wakeup()
        # Not that it stands still, which would have taken two ticks to be known.
        until(lambda: collector.health().sentence == "The scheduler died.")
        assert not collector.health().ok
    until(lambda: collector.health().ok)
    assert collector.supervision().renewals > renewals
    scanned = len(scans_of(store))
    until(lambda: len(scans_of(store)) > scanned + 1)


def test_a_stuck_executor_is_red_within_two_ticks_and_replaced(
    store: Store, collector: Collector
) -> None:
    held = threading.Event()
    add_host(store, "demo", DEMO)
    collector.start()
    until(lambda: collector.health().ok and scans_of(store))
    try:
        for name in ("stuck", "stuck too"):
            collector._schedule.every(name, 3600, lambda: held.wait(60.0))
        # Again and again, since it is replaced by one that does the same.
        until(lambda: "stands still" in collector.health().sentence)
        for name in ("stuck", "stuck too"):
            collector._schedule.cancel(name)
        until(lambda: collector.health().ok)
        scanned = len(scans_of(store))
        until(lambda: len(scans_of(store)) > scanned + 1)
        assert collector.supervision().renewals >= 1
    finally:
        held.set()


@pytest.mark.parametrize("every_s", [1.0, 10.0])
def test_a_pulse_that_stopped_is_told_from_one_that_is_late(every_s: float) -> None:
    from app.collect.pulse import Pulse

    pulse = Pulse(every_s)
    assert pulse.age_s() is None
    pulse.tick()
    assert 0 <= (pulse.age_s() or 0) < every_s
    assert pulse.limit_s == 2 * every_s


def test_the_watchdog_survives_what_it_meets() -> None:
    from app.collect.watchdog import Watchdog

    looked = []

    def look() -> None:
        looked.append(1)
        raise ValueError("not foreseen")

    watchdog = Watchdog(0.05, look)
    watchdog.start()
    until(lambda: len(looked) >= 3)
    assert watchdog.alive
    watchdog.stop()
    assert not watchdog.alive


def test_injected_times_are_gone_afterwards() -> None:
    with steered(at_ms=1_000):
        assert now_ms() < 60_000
    assert clock.now_ms() > 1_700_000_000_000


# --- what is deleted by the clock -------------------------------------------------------------


def test_a_clock_that_leaps_ahead_has_nothing_deleted_for_a_day(
    settings: Settings, store: Store
) -> None:
    with steered() as wall:
        record = add_host(store, "gone", Connection())
        recorder = Recorder(store, record, 60_000)
        recorder.record(a_scan(now_ms(), 5))
        upkeep = Upkeep(settings, store)
        upkeep.begin()
        assert upkeep.now().held_s == 0
        watch = ClockWatch()
        wall.step(30 * 86_400)
        step = watch.look()
        assert step is not None
        upkeep.patience.stepped(step)
        # What is seen by the wrong clock makes everything before it old.
        recorder.record(a_scan(now_ms(), 6))
        upkeep.turn()
        assert 86_000 < upkeep.now().held_s <= 86_400
        assert upkeep.now().compacted_ms is not None
        assert upkeep.now().retained_ms is None
        assert len(scans_of(store)) == 2


def test_a_store_that_rested_for_long_is_not_thinned_out_at_once(
    settings: Settings, store: Store
) -> None:
    record = add_host(store, "gone", Connection())
    recorder = Recorder(store, record, 60_000)
    recorder.record(a_scan(now_ms() - 3 * DAY_MS, 5))
    upkeep = Upkeep(settings, store)
    upkeep.begin()
    assert upkeep.now().held_s > 86_000
    # One that was at rest for a night is.
    recorder.record(a_scan(now_ms() - DAY_MS, 5))
    rested = Upkeep(settings, store)
    rested.begin()
    assert rested.now().held_s == 0
    rested.turn()
    assert rested.now().retained_ms is not None


def test_two_turns_of_the_upkeep_at_once_are_one_after_the_other(
    settings: Settings, store: Store
) -> None:
    """As when a scheduler that is stuck in one was replaced by another."""
    record = add_host(store, "gone", Connection())
    Recorder(store, record, 60_000).record(a_scan(now_ms() - 3 * DAY_MS, 5))
    upkeep, failed = Upkeep(settings, store), []

    def turn() -> None:
        try:
            for _ in range(5):
                upkeep.turn()
        except ValueError as error:
            failed.append(error)

    threads = [threading.Thread(target=turn) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert upkeep.now().compacted_ms is not None


def test_a_glance_tells_no_rate_across_a_step(store: Store) -> None:
    """Sparklines: half a CPU is told as that, or not at all."""
    record = add_host(store, "kvm-01", Connection())
    recorder, labels = Recorder(store, record, 60_000), Labels()
    first_ms = (now_ms() - 4 * HOUR_MS) // HOUR_MS * HOUR_MS
    wall_ms = first_ms
    for minute in range(150):
        wall_ms += 60_000
        wall_ms -= 20 * 60_000 if minute == 70 else 0
        at_s = minute * 60.0
        stepped = labels.stepped(wall_ms, at_s)
        stored = recorder.record(a_scan(wall_ms, minute * 30.0, stepped=stepped))
        labels.stored(stored.at_ms, at_s, good=True)
    cpu = METRIC_BY_NAME["domain", "cpu"]
    with store.reading() as connection:
        found = glance(connection, cpu, [record.id], Buckets(first_ms, 600_000, 13))
    (told_values,) = found.values()
    rates = [value for value in told_values if value is not None]
    assert len(rates) >= 6
    assert all(rate == pytest.approx(0.5, rel=0.02) for rate in rates)
