"""What libvirt tells of one host, and what somebody asks for, gathered for looks at just that.

Owns how events are put together: those of a twentieth of a second are one look, one look at a
time, a few a second at most while events go on and on, and a storm is one whole scan. Who asks is
served at once. The thread lives while there is something to do. Knows no libvirt and no store.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future

from app import clock
from app.errors import NpvirtError
from app.inventory import Told, ToldKind, What

log = logging.getLogger(__name__)

# A start is two events, a definition that is started three.
_GATHER_S = 0.05
# More objects, or more events, in so short a time are looked at by a scan.
_MOST_OBJECTS = 64
_MOST_EVENTS = 512
# So many looks one after the other, and then so many a second.
_AT_ONCE = 20.0
_A_SECOND = 2.0
# A storm is over when nothing was told for so long; a scan waits for that, but not for ever.
_QUIET_S = 0.2
_LONGEST_STORM_S = 5.0
# Where storms go on and on, a scan is asked for so often at most.
_STORM_PAUSE_S = 30.0
_IDLE_S = 20.0

Batch = Mapping[tuple[str, str], frozenset[What]]


class Gathered:
    """What was told between two looks; `at_ms` and `at_s` of the last event."""

    def __init__(self) -> None:
        self.objects: dict[tuple[ToldKind, str], set[What]] = {}
        self.first_s = 0.0
        self.at_ms = 0
        self.at_s = 0.0
        self.events = 0
        self.asking: list[Future[bool]] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look at."""
        return not self.events and not self.asking

    @property
    def batch(self) -> Batch:
        """By kind and key what was told of an object."""
        return {(kind, key): frozenset(what) for (kind, key), what in self.objects.items()}

    def add(self, one: Told) -> None:
        """Take in one event."""
        if not self.events:
            self.first_s = one.at_s
        self.objects.setdefault((one.kind, one.key), set()).add(one.what)
        self.at_ms, self.at_s = one.at_ms, one.at_s
        self.events += 1

    def ask(self, objects: Collection[tuple[ToldKind, str]]) -> Future[bool]:
        """Take in what somebody asks for."""
        if not self.events:
            self.at_ms, self.at_s = clock.both()
        for one in objects:
            self.objects.setdefault(one, set()).add("asked")
        asking: Future[bool] = Future()
        self.asking.append(asking)
        return asking


class PartialLooks:
    """Has the objects of one host looked at that libvirt tells of. `look` looks at them and stores
    what it saw, False: not of all; `scan` asks for a whole scan and returns at once.
    """

    def __init__(
        self, name: str, look: Callable[[Gathered], bool], scan: Callable[[], object]
    ) -> None:
        self._name = name
        self._look = look
        self._scan = scan
        self._changed = threading.Condition()
        self._waiting = Gathered()
        self._is_storm = False
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._tokens = _AT_ONCE
        self._tokens_s = clock.monotonic_s()
        self._stormed_s = -_STORM_PAUSE_S

    def tell(self, one: Told) -> None:
        """Take in an event; called in the thread that brings all hosts' events, so it is quick."""
        with self._changed:
            if self._stopping:
                return
            self._waiting.add(one)
            waiting = self._waiting
            if len(waiting.objects) > _MOST_OBJECTS or waiting.events > _MOST_EVENTS:
                self._is_storm = True
                # Which ones need not be known any more, only since when and until when.
                waiting.objects.clear()
            self._go_on()

    def ask(self, objects: Collection[tuple[ToldKind, str]], timeout_s: float) -> bool:
        """Have these objects looked at at once, and wait until what was seen is stored; False
        where that was not possible, or not in time.
        """
        with self._changed:
            if self._stopping or self._is_storm:
                return False
            asking = self._waiting.ask(objects)
            self._go_on()
        try:
            return asking.result(timeout_s)
        except TimeoutError:
            return False

    def stop(self) -> None:
        """End the thread when its present look is over."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; True when it has ended."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def _go_on(self) -> None:
        # One that could not be started, or died, is no reason to look at nothing any more.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while (gathered := self._next()) is not None:
            seen = bool(gathered.objects) and self._looked_at(gathered)
            for asking in gathered.asking:
                asking.set_result(seen)
            if not seen:
                self._scan()

    def _looked_at(self, gathered: Gathered) -> bool:
        try:
            return self._look(gathered)
        except NpvirtError as error:
            log.warning("%s: %s", self._name, error)
        except Exception as error:
            if self._stopping:
                # Python may start no more threads at its end.
                log.info("%s: a look was broken off at the end: %s", self._name, error)
                return False
            # The loop must survive whatever one host provokes; the log keeps the traceback.
            log.exception("%s: a look failed for a reason npvirt did not foresee", self._name)
        return False

    def _next(self) -> Gathered | None:
        """What to look at next, when its time has come; without objects: all. None: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or not self._waiting.is_empty, _IDLE_S)
            while not self._stopping and not self._waiting.is_empty:
                wait_s = self._wait_s(clock.monotonic_s())
                if wait_s <= 0:
                    gathered, self._waiting = self._waiting, Gathered()
                    self._is_storm = False
                    return gathered
                self._changed.wait(wait_s)
            # Given up inside the lock: whoever tells something from here on starts another.
            self._thread = None
            for asking in self._waiting.asking:
                asking.set_result(False)
            return None

    def _wait_s(self, now_s: float) -> float:
        """How long what waits has to wait yet; takes its turn when it is 0."""
        waiting = self._waiting
        if waiting.asking:
            return 0.0
        if self._is_storm:
            over_s = min(waiting.at_s + _QUIET_S, waiting.first_s + _LONGEST_STORM_S)
            wait_s = max(over_s, self._stormed_s + _STORM_PAUSE_S) - now_s
            if wait_s <= 0:
                self._stormed_s = now_s
            return wait_s
        if (wait_s := waiting.first_s + _GATHER_S - now_s) > 0:
            return wait_s
        self._tokens = min(_AT_ONCE, self._tokens + (now_s - self._tokens_s) * _A_SECOND)
        self._tokens_s = now_s
        if self._tokens < 1:
            return (1 - self._tokens) / _A_SECOND
        self._tokens -= 1
        return 0.0
