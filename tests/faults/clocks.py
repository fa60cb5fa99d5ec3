"""The wall clock steps, and daylight saving begins and ends in six time zones.

The clock is npvirt's own, steered (tests/clocks.py); the hosts are libvirt's test driver in this
process. Ticks go on by the monotonic clock, none is doubled, scans stay in order, what steps is
marked, and a busy VM is told as busy by no more and no less than it was.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa

from app import clock
from app.clock import now_ms
from app.collect.collector import Collector
from app.collect.steps import Labels
from app.connection import Connection
from app.inventory import Domain, DomainSample, Host, HostSample, Scan
from app.metrics import METRIC_BY_NAME
from app.settings import load
from app.store import schema
from app.store.engine import Store, store_path
from app.store.history import fleet
from app.store.hosts import HostRecord, add_host
from app.store.record import Recorder
from app.store.series import find_object, series
from tests.clocks import SteeredClock, process_zone, steered
from tests.faults.proof import Proof, Tally

TICK_S = 0.4
STEPS_S = (1, -1, 3600, -3600, 86_400, -86_400)
_DEMO = Connection(driver="test", transport="embedded", path="default")
_PATIENCE_S = 60.0
# Scans of a zone begin so long before its clocks are changed.
_BEFORE_S = (0.8, 3.0, 10.0, 40.0)
# When the clocks of the people are changed, in UTC.
CHANGES = (
    ("Europe/Berlin", "2026-03-29T01:00"), ("Europe/Berlin", "2026-10-25T01:00"),
    ("America/New_York", "2026-03-08T07:00"), ("America/New_York", "2026-11-01T06:00"),
    ("America/St_Johns", "2026-03-08T05:30"), ("America/St_Johns", "2026-11-01T04:30"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"), ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Pacific/Auckland", "2026-04-04T14:00"), ("Pacific/Auckland", "2026-09-26T14:00"),
    ("America/Santiago", "2026-04-05T03:00"), ("America/Santiago", "2026-09-06T04:00"),
)  # fmt: skip


class Trial:
    """A collector over one host, with its store in a directory of its own."""

    def __init__(self, tally: Tally, root: Path, zone: str = "UTC") -> None:
        self.tally = tally
        loaded = load({"NPVIRT_DATA": str(root), "NPVIRT_SCAN_SECONDS": "1"})
        settings = replace(loaded, scan_seconds=TICK_S, timezone=zone)
        self.store = Store.open(store_path(settings))
        add_host(self.store, "demo", _DEMO)
        self.collector = Collector(settings, self.store)
        self._begun_s = 0.0

    def start(self) -> None:
        """Begin to scan."""
        self._begun_s = time.monotonic()
        self.collector.start()

    def scans(self) -> list[Any]:
        """What was stored, in the order in which it was."""
        table = schema.scan
        query = sa.select(table.c.at_ms, table.c.clock_stepped).order_by(table.c.id)
        with self.store.reading() as connection:
            return list(connection.execute(query))

    def until(self, condition: Callable[[], object], sentence: str) -> None:
        """Wait for it, and count it as a check."""
        end_s = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > end_s:
                self.tally.check(False, sentence)
            time.sleep(0.02)
        self.tally.check(True, sentence)

    def until_scanned(self, more: int, where: str) -> None:
        """Wait for so many more scans."""
        wanted = len(self.scans()) + more
        self.until(
            lambda: len(self.scans()) >= wanted, f"{where}: scans stand still for {_PATIENCE_S} s"
        )

    def until_past(self, at_ms: int, where: str) -> None:
        """Wait for a scan that is later than that."""
        self.until(
            lambda: (rows := self.scans()) and rows[-1].at_ms > at_ms, f"{where}: scans stand still"
        )

    def check_order(self, where: str) -> None:
        """Every scan is later than the one before."""
        labels = [row.at_ms for row in self.scans()]
        self.tally.check(labels == sorted(set(labels)), f"{where}: scans are out of order")

    def check_rhythm(self, where: str) -> None:
        """No tick was done twice: there are never more scans than there was time for, one at the
        beginning, and one at that of each scheduler that took another's place. A busy machine may
        be late with some, and leave some out.
        """
        scans, took_s = len(self.scans()), time.monotonic() - self._begun_s
        most = took_s / TICK_S + 1 + self.collector.supervision().renewals
        self.tally.check(scans <= most, f"{where}: {scans} scans in {took_s / TICK_S:.1f} ticks")

    def noticed_s(self) -> float:
        """The last step that the watchdog noticed, in seconds; 0 for none."""
        step = self.collector.supervision().pulse.last_step
        return 0.0 if step is None else step.by_ms / 1000

    def close(self) -> None:
        """End the collector."""
        self.collector.stop()
        self.store.close()


@contextmanager
def _trial(tally: Tally, zone: str = "UTC") -> Iterator[Trial]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npvirt-clock-")))
        trial = Trial(tally, root / "var", zone)
        stack.callback(trial.close)
        yield trial


def _steps(tally: Tally) -> None:
    with steered() as wall, _trial(tally) as trial:
        trial.start()
        for by_s in STEPS_S:
            where = f"a step by {by_s:+} s"
            trial.until_scanned(3, where)
            _step(trial, wall, by_s, where)
            tally.attempts += 1
            tally.injected["step of the clock"] += 1
        trial.check_order("six steps")
        last_ms, as_of_ms = trial.scans()[-1].at_ms, fleet(trial.store, None).as_of_ms
        told = as_of_ms is not None and last_ms <= as_of_ms <= trial.scans()[-1].at_ms
        tally.check(told, "pages are not as of the last scan")
        trial.until(
            lambda: trial.collector.health().ok, "npvirt is not in good health after the steps"
        )


def _step(trial: Trial, wall: SteeredClock, by_s: int, where: str) -> None:
    tally, before = trial.tally, len(trial.scans())
    wall.step(by_s)
    trial.until_scanned(4, where)
    trial.check_rhythm(where)
    trial.check_order(where)
    # The first that began after it, whichever that is.
    marked = [row.clock_stepped for row in trial.scans()[before:]]
    tally.check(any(marked), f"{where}: no scan is marked")
    trial.until(
        lambda: trial.noticed_s() and abs(trial.noticed_s() - by_s) < 0.25,
        f"{where}: the watchdog took it for one by {trial.noticed_s():+.1f} s",
    )


def _rates(tally: Tally) -> None:
    """A VM that is busy by half a CPU is told as that, or not at all: by charts and by pages."""
    for by_s in STEPS_S:
        with tempfile.TemporaryDirectory(prefix="npvirt-clock-") as directory:
            store = Store.open(Path(directory) / "npvirt.sqlite")
            record = add_host(store, "kvm-01", Connection())
            recorder, labels = Recorder(store, record, 60_000), Labels()
            first_ms = wall_ms = now_ms() - 3 * clock.DAY_MS
            latest_ms, on_pages = 0, []
            for tick in range(30):
                wall_ms += 10_000 + (by_s * 1000 if tick == 10 else 0)
                stepped = labels.stepped(wall_ms, tick * 10.0)
                seen = a_scan(wall_ms, tick * 5.0, stepped=stepped)
                stored = recorder.record(seen)
                labels.stored(stored.at_ms, tick * 10.0, good=True)
                latest_ms = stored.at_ms
                on_pages += _on_pages(store)
            rates = _in_charts(store, record, min(first_ms, wall_ms), max(wall_ms, latest_ms) + 1)
            store.close()
        tally.attempts += 1
        tally.injected["step of the clock"] += 1
        for told in (rates, on_pages):
            tally.check(len(told) >= 9, f"a step by {by_s:+} s: only {len(told)} rates are told")
            wrong = [rate for rate in told if not 0.49 < rate < 0.51]
            tally.check(not wrong, f"a step by {by_s:+} s: half a CPU is told as {wrong[:3]}")


def a_scan(at_ms: int, busy_s: float, name: str = "web", *, stepped: bool = False) -> Scan:
    """A look at a host with one domain that has been busy for so long."""
    domain = Domain(uuid="w", name=name, state="running", id=1, vcpus=1)
    sample = DomainSample(cpu_time_ns=round(busy_s * 1e9))
    return Scan(
        at_ms, 1, ok=True, host=Host(uri="qemu:///system"), host_sample=HostSample(),
        domains={"w": domain}, domain_samples={"w": sample}, clock_stepped=stepped,
    )  # fmt: skip


def _in_charts(store: Store, record: HostRecord, from_ms: int, to_ms: int) -> list[float]:
    cpu = METRIC_BY_NAME["domain", "cpu"]
    wanted = find_object(store, record.id, "domain", "w")
    assert wanted is not None
    found = series(store, wanted, [cpu], from_ms, to_ms, 100_000)
    return [value for value in found.lines["cpu"].average if value is not None]


def _on_pages(store: Store) -> list[float]:
    domain = fleet(store, None).domains[0]
    if domain.elapsed_ms is None or domain.previous is None or domain.sample is None:
        return []
    busy_ns = (domain.sample.cpu_time_ns or 0) - (domain.previous.cpu_time_ns or 0)
    return [busy_ns / 1e6 / domain.elapsed_ms]


def _daylight_saving(tally: Tally) -> None:
    for zone, changed in CHANGES:
        at_ms = round(datetime.fromisoformat(changed).replace(tzinfo=UTC).timestamp() * 1000)
        # Where a busy machine scans only after the change: once more, from earlier on.
        lived = any(_live_through(tally, zone, at_ms, before_s) for before_s in _BEFORE_S)
        tally.check(lived, f"{zone}: nothing was scanned before")
        tally.attempts += 1
        tally.injected["change of daylight saving"] += 1


def _live_through(tally: Tally, zone: str, at_ms: int, before_s: float) -> bool:
    """Scan in a zone from so long before its clocks are changed; whether a scan was in time."""
    with process_zone(zone), steered(at_ms - round(before_s * 1000)), _trial(tally, zone) as trial:
        offsets = [time.localtime((at_ms + ms) / 1000).tm_gmtoff for ms in (-1000, 1000)]
        tally.check(offsets[0] != offsets[1], f"nothing is changed in {zone} then")
        trial.start()
        trial.until_past(at_ms + 500, zone)
        trial.check_order(zone)
        trial.check_rhythm(zone)
        labels = [row.at_ms for row in trial.scans()]
        gap_ms = max((later - before for before, later in pairwise(labels)), default=0)
        tally.check(gap_ms < 1_800_000, f"{zone}: an hour is left out")
        stepped = any(row.clock_stepped for row in trial.scans()) or trial.noticed_s()
        tally.check(not stepped, f"{zone}: daylight saving is taken for a step")
    return bool(labels[0] < at_ms)


def _prove(tally: Tally) -> None:
    with _planted(tally.plant):
        for _ in tally.rounds(1, 1, 20):
            _rates(tally)
            _steps(tally)
            if tally.length != "brief":
                _daylight_saving(tally)


class _WallNow(datetime):
    """APScheduler's own notion of now."""

    @classmethod
    def now(cls, _tz: Any = None) -> datetime:  # type: ignore[override] # gives plain ones
        return datetime.fromtimestamp(now_ms() / 1000, tz=UTC)


@contextmanager
def _planted(plant: str) -> Iterator[None]:
    with ExitStack() as stack:
        if plant == "wall":
            stack.enter_context(mock.patch("app.collect.schedule.base.datetime", _WallNow))
            stack.enter_context(mock.patch("app.collect.schedule._Steady", _WallNow))
            # Which would notice, and help.
            stack.enter_context(mock.patch.object(Collector, "_renew_if_stuck"))
        if plant == "unmarked":
            stack.enter_context(mock.patch.object(Labels, "stepped", return_value=False))
        yield


PROOF = Proof(
    "clock",
    "whatever the wall clock and daylight saving do: ticks go on in their rhythm, none doubled, in "
    "order, and no rate is told that was not",
    _prove,
    {
        "wall": "the schedule asks the wall clock, and nobody looks after it",
        "unmarked": "no step of the clock is noticed",
    },
)
