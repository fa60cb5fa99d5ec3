"""Deadlines for what libvirt itself never ends: one watchdog thread for the whole process.

libvirt's open and calls have no timeout; what ends them is shutting the connection underneath.
Whoever may hang registers what to do about it; the thread looks four times a second, and only
while somebody is registered.
"""

import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app import clock

log = logging.getLogger(__name__)

_PERIOD_S = 0.25


class Watchdog:
    """Calls `cut` of whatever is not finished when its time is up."""

    def __init__(self) -> None:
        self._pending: dict[int, tuple[float, Callable[[], None]]] = {}
        self._tokens = itertools.count()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._idle = True

    @contextmanager
    def limit(self, seconds: float, cut: Callable[[], None]) -> Iterator[None]:
        """Have `cut` called, from the watchdog's thread, if the block takes longer."""
        token = next(self._tokens)
        # One dictionary operation each way: atomic, so that a call costs no lock.
        self._pending[token] = (clock.monotonic_s() + seconds, cut)
        try:
            if self._idle:
                self._wake()
            yield
        finally:
            self._pending.pop(token, None)

    def forget(self) -> None:
        """Begin anew, in a forked child: threads do not come along."""
        self._pending.clear()
        self._condition = threading.Condition()
        self._thread = None
        self._idle = True

    def _wake(self) -> None:
        with self._condition:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            # Not before there is a thread: whoever comes next would rely on it.
            self._idle = False
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                if not self._pending:
                    self._idle = True
                    # Somebody who registered before it was set finds the timeout below.
                    self._condition.wait(None if not self._pending else _PERIOD_S)
                else:
                    self._condition.wait(_PERIOD_S)
            self._cut_late()

    def _cut_late(self) -> None:
        # In a function of its own, so that nothing of it is held on to between two looks.
        now_s = clock.monotonic_s()
        for token, (until_s, cut) in list(self._pending.items()):
            if now_s >= until_s and self._pending.pop(token, None) is not None:
                try:
                    cut()
                except Exception:
                    # Without this thread nothing has a deadline; the log keeps the traceback.
                    log.exception("What was late could not be cut off")


watchdog = Watchdog()
os.register_at_fork(after_in_child=watchdog.forget)


class Deadline:
    """A point in time by which several steps together must be done."""

    def __init__(self, seconds: float) -> None:
        self._until_s = clock.monotonic_s() + seconds

    def left_s(self, most_s: float = float("inf")) -> float:
        """Seconds left, at most `most_s`; raises TimeoutError when there are none."""
        left = self._until_s - clock.monotonic_s()
        if left <= 0:
            raise TimeoutError("the time is up")
        return min(left, most_s)


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do `work` in a thread of its own; False when it is not done by then, and goes on there."""
    done = threading.Event()

    def run() -> None:
        try:
            work()
        finally:
            done.set()

    try:
        threading.Thread(target=run, name="within", daemon=True).start()
    except RuntimeError:
        # None can be started any more: the process is at its end, and has nobody to wait for.
        run()
    return done.wait(seconds)
