"""One thread per host: waits to be woken, scans, plans the next look.

A hung host hangs its own worker only. Wakes that come while a scan runs are one more scan. What
libvirt tells of in between is looked at beside it (app/collect/partial.py). What hangs in spite of
all deadlines, or died, is noticed by the collector, which puts another worker in its place.
"""

import logging
import random
import threading
from collections.abc import Callable, Collection
from typing import Protocol

from msgspec import Struct

from app import clock
from app.collect.partial import Gathered, PartialLooks
from app.collect.summary import Summary, summarise
from app.errors import NpvirtError, StoreError
from app.inventory import Scan, Told, ToldKind

log = logging.getLogger(__name__)

_FIRST_RETRY_S = 2.0
# Between scans a host is asked so often whether it still answers.
_ASK_S = 5.0
# The longest of the deadlines of a look (open, call, close, the store's lock) is ten seconds; who
# gave no sign of life for so long is past all of them.
HUNG_AFTER_S = 60.0


class WorkerFigures(Struct, frozen=True):
    """What a worker counted since it started. `looking_s`: how long the present look lasts, None
    between looks; `late_s`: how long after it was due the last one began.
    """

    looks: int
    looking_s: float | None
    late_s: float | None


class Looks(Protocol):
    """What looks at one host and stores what it saw; app/collect/scanner, or a demonstration's."""

    def scan(
        self,
        *,
        everything: bool,
        again: Collection[tuple[str, str]],
        next_at_ms: Callable[[bool], int | None],
    ) -> Scan:
        """See Scanner.scan."""

    def listen(self, tell: Callable[[Told], None], lost: Callable[[str], None]) -> None:
        """See Scanner.listen."""

    def look_at(self, gathered: Gathered) -> bool:
        """See Scanner.look_at."""

    def answers(self) -> bool:
        """See Scanner.answers."""

    def unforeseen(self, next_at_ms: Callable[[bool], int | None]) -> Scan | None:
        """See Scanner.unforeseen."""

    def close(self) -> None:
        """See Scanner.close."""

    def abandon(self) -> None:
        """See Scanner.abandon."""

    def last_sign_s(self) -> float:
        """See Scanner.last_sign_s."""


class HostWorker:
    """Scans one host whenever it is woken, or when a failed look is due to be tried again."""

    def __init__(
        self,
        make_scanner: Callable[[], Looks],
        slug: str,
        interval_s: float,
    ) -> None:
        self.slug = slug
        self._hung_after_s = HUNG_AFTER_S
        self._scanner: Looks | None = None
        self._woken_s: float | None = None
        # When the present look, or closing, began; None while it waits.
        self._busy_s: float | None = None
        self._late_s: float | None = None
        self._make_scanner = make_scanner
        self._interval_s = interval_s
        self._condition = threading.Condition()
        self._wanted = False
        self._everything = False
        self._again: set[tuple[str, str]] = set()
        self._stopping = False
        self._abandoned = False
        self._scans_begun = 0
        self._scans_ended = 0
        self._last: Summary | None = None
        self._failures = 0
        self._retry_in_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"scan-{slug}", daemon=True)
        self._partial = PartialLooks(f"look-{slug}", self._look_at, self.wake)

    def start(self) -> None:
        """Start the thread; it scans when woken."""
        self._thread.start()

    def wake(self, *, everything: bool = False, again: Collection[tuple[str, str]] = ()) -> int:
        """Ask for a scan and return its number, to be handed to `wait`; `again` as in
        Reader.scan.
        """
        with self._condition:
            if not self._wanted:
                self._woken_s = clock.monotonic_s()
            self._wanted = True
            self._everything = self._everything or everything
            self._again.update(again)
            self._condition.notify_all()
            return self._scans_begun + 1

    def look_again(self, objects: Collection[tuple[str, str]], timeout_s: float) -> Summary | None:
        """Have some objects looked at now, and wait until that is stored: as `wait`, though of an
        earlier scan where the objects alone were looked at. What is measured of them follows.
        """
        until_s = clock.monotonic_s() + timeout_s
        alone: list[tuple[ToldKind, str]] = []
        for kind, key in objects:
            if kind in ("domain", "network"):
                alone.append(("domain" if kind == "domain" else "network", key))
        # What changes in a pool is measured, too.
        if alone and len(alone) == len(objects) and self._partial.ask(alone, timeout_s):
            self.wake()
            return self._last
        number = self.wake(again=objects)
        return self.wait(number, max(0.0, until_s - clock.monotonic_s()))

    def wait(self, number: int, timeout_s: float) -> Summary | None:
        """The outcome of the newest scan once scan `number` has ended; None after `timeout_s`,
        or when the outcome could not be stored.
        """
        with self._condition:
            ended = self._condition.wait_for(lambda: self._scans_ended >= number, timeout_s)
            return self._last if ended else None

    def stop(self) -> None:
        """Ask the thread to end; it does when its present scan has."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        self._partial.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread, and of the looks beside it; True when they have ended."""
        until_s = clock.monotonic_s() + timeout_s
        self._thread.join(timeout_s)
        is_quiet = self._partial.join(max(0.0, until_s - clock.monotonic_s()))
        return is_quiet and not self._thread.is_alive()

    def trouble(self) -> str | None:
        """Why another worker must take its place: "died" or "hangs"; None where none must."""
        if self._stopping:
            return None
        if not self._thread.is_alive():
            return "died"
        busy_s, scanner = self._busy_s, self._scanner
        if busy_s is None:
            return None
        sign_s = busy_s if scanner is None else max(busy_s, scanner.last_sign_s())
        return "hangs" if clock.monotonic_s() - sign_s > self._hung_after_s else None

    def abandon(self) -> None:
        """Give it up: it ends as soon as it can, and whatever it sees late is not stored."""
        self._abandoned = True
        self.stop()
        if self._scanner is not None:
            self._scanner.abandon()

    def figures(self) -> WorkerFigures:
        """What it counted so far."""
        busy_s = self._busy_s
        looking_s = None if busy_s is None else clock.monotonic_s() - busy_s
        return WorkerFigures(self._scans_ended, looking_s, self._late_s)

    def _run(self) -> None:
        while True:
            self._watch_over()
            with self._condition:
                self._busy_s = None
                self._condition.wait_for(lambda: self._wanted or self._stopping, self._retry_in_s)
                self._busy_s = clock.monotonic_s()
                if self._stopping:
                    break
                everything, self._wanted, self._everything = self._everything, False, False
                again, self._again = self._again, set()
                if self._woken_s is not None:
                    self._late_s, self._woken_s = self._busy_s - self._woken_s, None
                self._scans_begun += 1
            outcome = self._look(again, everything=everything)
            with self._condition:
                self._last = outcome
                self._scans_ended = self._scans_begun
                self._condition.notify_all()
        if self._scanner is not None:
            self._scanner.close()

    def _look(self, again: set[tuple[str, str]], *, everything: bool) -> Summary | None:
        """Scan the host; where that meets what npvirt did not foresee, have the host say so."""

        def scan() -> Scan:
            return self._ready().scan(everything=everything, again=again, next_at_ms=self._plan)

        for look in (scan, self._unforeseen):
            try:
                seen = look()
                return None if seen is None else summarise(self.slug, seen)
            except StoreError as error:
                log.error("%s: what was seen could not be stored: %s", self.slug, error)
            except NpvirtError as error:
                # That a host is not to be looked at any more, or in another way, is no failure.
                level = logging.INFO if self._stopping else logging.ERROR
                log.log(level, "%s: %s", self.slug, error)
            except Exception as error:
                if self._stopping:
                    # Python may start no more threads at its end; of the host that says nothing.
                    log.info("%s: a look was broken off at the end: %s", self.slug, error)
                    return None
                # The worker must survive whatever one host provokes; the log keeps the traceback.
                log.exception("%s: the scan failed for a reason npvirt did not foresee", self.slug)
                self._retry_in_s = None
                continue
            self._retry_in_s = None
            break
        return None

    def _unforeseen(self) -> Scan | None:
        """Have the store say that the host could not be looked at, and npvirt cannot tell why."""
        return None if self._scanner is None else self._scanner.unforeseen(self._plan)

    def _watch_over(self) -> None:
        """Until there is something to do, see to it that a host that stands still is noticed."""
        scanner = self._scanner
        while scanner is not None and self._retry_in_s is None:
            with self._condition:
                self._busy_s = None
                if self._condition.wait_for(lambda: self._wanted or self._stopping, _ASK_S):
                    return
            if not scanner.answers():
                self.wake()

    def _ready(self) -> Looks:
        if self._scanner is None:
            self._scanner = self._make_scanner()
            self._scanner.listen(self._partial.tell, self._broken)
        if self._abandoned:
            # It was given up before there was one.
            self._scanner.abandon()
        return self._scanner

    def _look_at(self, gathered: Gathered) -> bool:
        scanner = self._scanner
        return scanner is not None and scanner.look_at(gathered)

    def _broken(self, reason: str) -> None:
        """The connection broke: a look finds out more, unless one is finding out right now."""
        log.info("%s: libvirt's connection ended: %s", self.slug, reason)
        with self._condition:
            is_looking = self._scans_begun != self._scans_ended
        if not is_looking:
            self.wake()

    def _plan(self, ok: bool) -> int:
        """When the next look is planned, as a wall-clock label.

        After a good one the schedule's next tick; after a failed one sooner at first, doubling
        with a jitter so that hosts do not come in step, until the tick comes first anyway.
        """
        self._failures = 0 if ok else self._failures + 1
        jitter = random.uniform(0.8, 1.2)  # noqa: S311 (spreads load; guards nothing)
        retry_s = _FIRST_RETRY_S * 2.0 ** min(self._failures - 1, 16) * jitter
        self._retry_in_s = None if ok or retry_s >= self._interval_s else retry_s
        next_s = self._interval_s if self._retry_in_s is None else self._retry_in_s
        return clock.now_ms() + round(next_s * 1000)
