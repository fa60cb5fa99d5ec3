"""The process of the soak: a made-up fleet straight into a store, tick after tick, as fast as it
goes, with compaction and retention by the clock of the made-up time. Prints what it holds.

`python -m tests.faults.soaking DIRECTORY TICKS SECONDS [PLANT]`; after SECONDS it ends earlier.
"""

import random
import sys
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct, json

from app import clock
from app.clock import DAY_MS, HOUR_MS, MINUTE_MS
from app.demo.live import LiveHost, Stage
from app.demo.plan import Plan
from app.demo.play import Look, Play
from app.store.changes import Wanted, latest
from app.store.compaction import Compactor
from app.store.engine import Store
from app.store.fill import filling
from app.store.history import fleet
from app.store.hosts import HostRecord
from app.store.record import Recorder
from app.store.retention import Lengths, Retention
from app.store.slices import Sliced
from tests.faults.weighing import Weight, weigh

HOSTS, DOMAINS = 50, 150
_BEGIN_MS = 1_777_593_600_000
# How often, in ticks: what it holds is told, upkeep is done, pages are looked at.
TELL_EVERY = 50
_UPKEEP_EVERY = 10
_PAGES_EVERY = 25
_SLICE_S = 0.04
# As npvirt keeps them, but for samples and minutes, so that a soak of days has those to delete.
_LENGTHS = Lengths(DAY_MS, DAY_MS, 10 * DAY_MS, 400 * DAY_MS, 3_000 * DAY_MS)


class Held(Struct, frozen=True):
    """What the process holds after so many ticks: memory, open files, and in the store's log and
    file.
    """

    ticks: int
    weight: Weight
    files: int
    log_bytes: int
    file_bytes: int


class MadeUpClock:
    """The wall clock is that of the made-up time; intervals are those of this machine."""

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return time.monotonic()


class Soak:
    """A store, and the fleet that is scanned into it."""

    def __init__(self, directory: Path, plant: str) -> None:
        self._plant = plant
        self._kept: list[Any] = []
        self.number = 0
        self.path = directory / "npvirt.sqlite"
        self.store = Store.open(self.path)
        plan = Plan(end_ms=_BEGIN_MS, hosts=HOSTS, domains=DOMAINS, days=5)
        played = Play(plan)
        self._records = self._register(played)
        self._recorders = {
            slug: Recorder(self.store, record, MINUTE_MS) for slug, record in self._records.items()
        }
        first = [one for one in islice(played.run(), HOSTS) if isinstance(one, Look)]
        for look in first:
            self._recorders[look.slug].record(look.scan)
        self.at_ms = max(look.scan.at_ms for look in first)
        stage = Stage(self.store, plan)
        self._hosts: Mapping[str, LiveHost] = {slug: stage.host(slug) for slug in self._records}
        self._compactor = Compactor(self.store)
        self._retention = Retention(self.store, _LENGTHS)
        self._luck = random.Random(1)

    def tick(self, number: int) -> None:
        """A minute of the made-up time."""
        self.number = number
        self.at_ms += MINUTE_MS
        made.at_ms = self.at_ms
        with filling(self.store) as filler:
            for place, (slug, host) in enumerate(self._hosts.items()):
                at_ms = self.at_ms + place
                scan = host.scan(at_ms, _in_a_minute)
                filler.record(self._recorders[slug], scan)
                if self._plant == "leak":
                    self._kept.append(scan)
                if self._plant == "trickle":
                    self._kept.append(at_ms)
        if number % _UPKEEP_EVERY == 0:
            self._work(self._compactor)
            self._work(self._retention)
        if number % _PAGES_EVERY == 0:
            self._look_at_pages()
        if self._plant == "files":
            self._kept.append(self.path.open("rb"))

    def told(self) -> Held:
        """What this process holds now."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        return Held(
            self.number, weigh(), len(list(Path("/proc/self/fd").iterdir())),
            wal.stat().st_size, self.path.stat().st_size,
        )  # fmt: skip

    def hold_the_log(self) -> None:
        """Have a reader that never ends, so that the log cannot be folded into the file."""
        reading = self.store.reading()
        reading.__enter__().exec_driver_sql("SELECT count(*) FROM scan")
        self._kept.append(reading)

    def scans(self) -> int:
        """How many scans are stored in all, whatever they are packed into."""
        with self.store.reading() as connection:
            rows = connection.exec_driver_sql("SELECT count(*) FROM scan").scalar_one()
            packed = connection.exec_driver_sql(
                "SELECT coalesce(sum(good + failed), 0) FROM scan_day"
            ).scalar_one()
        return int(rows) + int(packed)

    def _register(self, played: Play) -> Mapping[str, HostRecord]:
        with filling(self.store) as filler:
            return {
                slug: filler.add_host(slug, host.site.connection, f"uuid-{slug}", _BEGIN_MS)
                for slug, host in played.world.hosts.items()
            }

    def _work(self, work: Sliced) -> None:
        while work.step(self.at_ms, _SLICE_S):
            pass

    def _look_at_pages(self) -> None:
        fleet(self.store, None)
        fleet(self.store, self.at_ms - self._luck.randrange(1, 24) * HOUR_MS)
        latest(self.store, Wanted(), 50)


made = MadeUpClock(_BEGIN_MS)


def _in_a_minute(_ok: bool) -> int:
    return made.at_ms + MINUTE_MS


def main(directory: Path, ticks: int, seconds: float, plant: str) -> None:
    """Run it, and print a line now and then: tick, and what is held."""
    with clock.injected(made):
        soak = Soak(directory, plant)
        if plant == "log":
            soak.hold_the_log()
        before, end_s = soak.scans(), time.monotonic() + seconds
        for number in range(1, ticks + 1):
            soak.tick(number)
            is_last = number == ticks or time.monotonic() > end_s
            if number % TELL_EVERY == 0 or is_last:
                print(json.encode(soak.told()).decode(), flush=True)
            if is_last:
                break
        print(soak.scans() - before, soak.store.check() or "sound", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), "".join(sys.argv[4:]))
