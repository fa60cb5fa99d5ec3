"""One to twenty-five of fifty hosts fall sick in every way; the others notice nothing.

The hosts are the test driver of a real daemon, each behind a relay of its own that stops, loses,
drips, delays or closes. That the others' scans are in time is read from the store, and judged
beside the same fleet without faults; what npvirt's threads waited for a processor is not theirs.
"""

import math
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from app.clock import now_ms
from app.connection import Connection
from app.store.engine import Store
from app.store.hosts import add_host
from tests.faults.daemon import SessionDaemon, unavailable
from tests.faults.looks import Look, Looks, latest_s
from tests.faults.process import Server
from tests.faults.proof import Proof, Tally
from tests.faults.relay import SICKNESSES, FaultRelay, Loop, Sickness

LATE_S = 1.0
# Four readers and a writer, two MB each, and what else SQLite holds.
SQLITE_BYTES = 24 << 20
# The deadline of an open and of a call; of what went on when a host was healed.
_DEADLINE_S = 10.0
_HEALTHY_TICKS, _SICK_TICKS, _WELL_TICKS = 4, 5, 3
# Whoever is sick is so for longer than that deadline, however short the ticks are.
_SICK_S = _DEADLINE_S + 2
_SICK = (25, 1, 7, 13, 19, 25)
_SETTLE_TICKS = 20
_LONG_TICKS = 3_600


class Held(NamedTuple):
    """What a process holds at a moment, without SQLite's caches of pages, which fill up to their
    bounds as the store grows.
    """

    threads: int
    files: int
    held_bytes: int
    python_blocks: int


class Fleet:
    """npvirt over hosts that can be made sick."""

    def __init__(self, tally: Tally, stack: ExitStack, root: Path, hosts: int) -> None:
        self.tally = tally
        self._tick_s = tally.tick_s
        daemon = stack.enter_context(SessionDaemon())
        loop = Loop()
        stack.callback(loop.close)
        self.relays: dict[str, FaultRelay] = {}
        for number in range(hosts):
            relay = FaultRelay(loop, daemon.port)
            stack.callback(relay.close)
            self.relays[f"h-{number:02}"] = relay
        data = root / "var"
        data.mkdir(mode=0o700)
        _add_hosts(data / "npvirt.sqlite", self.relays)
        self.looks = Looks(data / "npvirt.sqlite")
        settings = {"NPVIRT_SCAN_SECONDS": str(self._tick_s)}
        self.server = Server(data, settings, tally.plant, weighed=True)
        stack.callback(self.server.kill)
        self.server.start()
        self.server.until_served()
        self.worker = self.server.worker
        self._wait_until_green()
        # How late the scans of hosts that were well were, at worst: without faults, and with.
        self.usual_s = 0.0
        self.latest_s = 0.0
        self.healed_s = 0.0
        # What SQLite held at most when that was asked.
        self.sqlite_bytes = 0
        # What its threads wait for a processor in a phase, and at most in one.
        self._queue = self.server.queue()
        self.queued_s = 0.0

    def ticks(self, count: int) -> None:
        """Let so many ticks go by."""
        time.sleep(count * self._tick_s)
        self.tally.attempts += count

    def stay_well(self, ticks: int) -> None:
        """Nobody is sick for a while; how late they are then is what is usual here and now."""
        since_ms = now_ms()
        self.ticks(ticks)
        looks = self.looks.since(since_ms)
        self.usual_s = max(self.usual_s, *(latest_s(one, self._tick_s) for one in looks.values()))

    def fall_sick(self, sick: dict[str, Sickness], ticks: int) -> None:
        """Some fall sick for a while; the others are in time, and nobody's things are gone."""
        since_ms, self._queue = now_ms(), self.server.queue()
        before = {slug: self.relays[slug].injected.total() for slug in sick}
        # One after the other, and a busy machine takes its time for it.
        sick_ms = {}
        for slug, sickness in sick.items():
            self.relays[slug].set(sickness)
            sick_ms[slug] = now_ms()
        self.ticks(ticks)
        looks = self.looks.since(since_ms - round(self._tick_s * 1000))
        allowed_s = self.allowed_s()
        for slug in self.relays.keys() - sick.keys():
            self._check_in_time(slug, looks.get(slug, []), allowed_s, ticks)
        for slug, sickness in sick.items():
            done = self.relays[slug].injected.total() - before[slug]
            self.tally.injected[sickness] += bool(done)
            self.tally.check(done, f"{slug} was never {sickness}")
            if sickness in ("stopped", "blackholed"):
                begun = [one for one in looks.get(slug, ()) if one.at_ms > sick_ms[slug]]
                self.tally.check(
                    not any(one.ok for one in begun), f"{slug} is {sickness} and looks well"
                )
        gone = self.looks.gone()
        self.tally.check(not gone, f"gone while hosts were sick: {gone[:3]}")

    def heal(self, sick: dict[str, Sickness], ticks: int) -> None:
        """All are well again: each by the look that was going on, or the next one, a tick later."""
        self._queue = self.server.queue()
        for slug in sick:
            self.relays[slug].set("well")
        healed_ms = now_ms()
        self.ticks(ticks)
        self.tally.check(
            self.server.worker == self.worker, f"npvirt crashed: {self.server.last_words()}"
        )
        for slug, sickness in sick.items():
            self._check_green_again(slug, sickness, healed_ms)

    def allowed_s(self) -> float:
        """How late a scan may be: what is promised, and what it would have been anyway."""
        queued_s = self._queue.waited_s()
        self.queued_s = max(self.queued_s, queued_s)
        return LATE_S + max(0.0, self.usual_s) + queued_s

    def _check_in_time(self, slug: str, looks: list[Look], allowed_s: float, ticks: int) -> None:
        late_s = latest_s(looks, self._tick_s)
        self.latest_s = max(self.latest_s, late_s)
        self.tally.check(
            late_s <= allowed_s,
            f"a scan of {slug} was {late_s:.1f} s late while others were sick (usual: "
            f"{self.usual_s:.1f} s, allowed here: {allowed_s:.1f} s)",
        )
        enough = (ticks * self._tick_s - allowed_s) / (self._tick_s + allowed_s)
        self.tally.check(
            len(looks) >= enough, f"{slug} was scanned {len(looks)} times in {ticks} ticks"
        )
        for one in looks:
            self.tally.check(one.green, f"a scan of {slug} failed meanwhile: {one.why}")

    def _check_green_again(self, slug: str, sickness: Sickness, healed_ms: int) -> None:
        """Wait for the first look that begins after the healing, and see whether it is green."""
        end_s = time.monotonic() + 2 * (_DEADLINE_S + self._tick_s)
        while True:
            looks = self.looks.since(healed_ms - 120_000).get(slug, [])
            after = [one for one in looks if one.at_ms > healed_ms + 200]
            if after or time.monotonic() > end_s:
                break
            time.sleep(0.2)
        going_on = [one for one in looks if one.at_ms <= healed_ms + 200]
        ended_ms = max([healed_ms, *(one.end_ms for one in going_on)])
        self.tally.check(after, f"{slug} ({sickness}) was not looked at after it was healed")
        first = after[0]
        slack_s = self.allowed_s()
        self.healed_s = max(self.healed_s, (first.at_ms - healed_ms) / 1000)
        self.tally.check(
            ended_ms - healed_ms <= (_DEADLINE_S + slack_s) * 1000,
            f"the look at {slug} ({sickness}) went on for {ended_ms - healed_ms} ms when healed "
            f"({_told(looks, healed_ms)})",
        )
        self.tally.check(
            first.at_ms - ended_ms <= (self._tick_s + slack_s) * 1000,
            f"{slug} ({sickness}) is looked at only {first.at_ms - ended_ms} ms after the last "
            f"(allowed: {self._tick_s + slack_s:.1f} s; {_told(looks, healed_ms)})",
        )
        for one in after:
            self.tally.check(one.green, f"{slug} ({sickness}) is healed, and not green: {one.why}")

    def check_back_to(self, before: Held) -> None:
        """What npvirt holds is what it held, within five per cent. Of its size, which tells what
        the allocator keeps as well, a note is made.
        """
        for _ in range(_SETTLE_TICKS):
            now = self.held()
            back = all(_is_within(*pair) for pair in zip(before, now, strict=True))
            if back:
                break
            time.sleep(self._tick_s)
        self.tally.note(
            f"threads {before.threads} to {now.threads}, files {before.files} to {now.files}, "
            f"memory {before.held_bytes / 1e6:.1f} to {now.held_bytes / 1e6:.1f} MB and "
            f"{before.python_blocks} to {now.python_blocks} small objects, in a process of "
            f"{self.server.use().memory_bytes / 1e6:.0f} MB"
        )
        self.tally.check(back, f"held afterwards: {now}, before: {before}")
        self.tally.note(f"SQLite's caches {self.sqlite_bytes / 1e6:.1f} MB at most")
        self.tally.check(
            self.sqlite_bytes <= SQLITE_BYTES, f"SQLite holds {self.sqlite_bytes / 1e6:.1f} MB"
        )

    def held(self) -> Held:
        """What npvirt holds now."""
        use, weight = self.server.use(), self.server.scales.weigh()
        self.sqlite_bytes = max(self.sqlite_bytes, weight.sqlite_bytes)
        return Held(
            use.threads, use.files, weight.held_bytes - weight.sqlite_bytes, weight.python_blocks
        )

    def _wait_until_green(self) -> None:
        end_s = time.monotonic() + 120
        while time.monotonic() < end_s:
            looks = self.looks.since(0)
            if len(looks) == len(self.relays) and all(one[-1].green for one in looks.values()):
                return
            time.sleep(0.2)
        self.tally.check(False, f"only {len(looks)} hosts were seen after two minutes")


def _told(looks: list[Look], healed_ms: int) -> str:
    """The looks around the healing, for whoever wonders."""
    around = [one for one in looks if abs(one.at_ms - healed_ms) < 30_000]
    return ", ".join(
        f"{'green' if one.green else 'failed'} {one.at_ms - healed_ms:+} for {one.took_ms} ms"
        for one in around
    )


def _is_within(before: int, now: int) -> bool:
    return now <= before * 1.05 + 1


def _add_hosts(path: Path, relays: dict[str, FaultRelay]) -> None:
    store = Store.open(path)
    try:
        for slug, relay in relays.items():
            way = Connection(driver="test", transport="tcp", host="127.0.0.1", port=relay.port)
            add_host(store, slug, way)
    finally:
        store.close()


def _prove(tally: Tally) -> None:
    hosts = tally.of(12, 50, 50)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npvirt-fleet-")))
        fleet = Fleet(tally, stack, root, hosts)
        before: Held | None = None
        sick_ticks = max(_SICK_TICKS, math.ceil(_SICK_S / tally.tick_s))
        long = math.ceil(_LONG_TICKS / (sick_ticks + _WELL_TICKS))
        fleet.stay_well(_HEALTHY_TICKS)
        for turn in tally.rounds(2, len(_SICK), long):
            # In a brief trial as many as can be, each time.
            wanted = hosts if tally.length == "brief" else _SICK[turn % len(_SICK)]
            count = min(wanted, hosts // 2)
            slugs = list(fleet.relays)[turn % 2 :: 2][:count]
            sick = {
                slug: SICKNESSES[(turn + place) % len(SICKNESSES)]
                for place, slug in enumerate(slugs)
            }
            fleet.fall_sick(sick, sick_ticks)
            fleet.heal(sick, _WELL_TICKS)
            if before is None:
                # What was needed once for the first sick ones is kept, and no more afterwards.
                fleet.stay_well(_HEALTHY_TICKS)
                before = fleet.held()
        fleet.stay_well(_HEALTHY_TICKS)
        if before is not None:
            fleet.check_back_to(before)
        tally.note(f"latest scan of a well host {fleet.latest_s:.2f} s ({fleet.usual_s:.2f} usual)")
        tally.note(f"at most {fleet.queued_s:.1f} s of a phase in the queue for a processor")
        tally.note(f"looked at {fleet.healed_s:.1f} s after healing at most")


PROOF = Proof(
    "fleet",
    "however many of fifty hosts are sick: the others' scans are at most a second late, the sick "
    "are green a tick after they are well, and no thread, file or memory is left behind",
    _prove,
    {
        "shared": "one scan at a time: a sick host holds up the others",
        "leak": "a session that is given up leaves files open",
        "heavy": "what a session that is given up was told is kept",
        "late": "a host that failed is left alone for twenty seconds",
    },
    (),
    unavailable,
)
