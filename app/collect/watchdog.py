"""The watchdog: a thread beside the schedule that looks after it, since it cannot do so itself.

Knows only how to call what is to be looked after, again and again, and to survive whatever that
meets. Sleeps by the monotonic clock.
"""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Watchdog:
    """Calls `look` every `period_s` until it is stopped."""

    def __init__(self, period_s: float, look: Callable[[], None]) -> None:
        self._period_s = period_s
        self._look = look
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look in progress is waited for, a second at most."""
        self._stopping.set()
        if self.alive and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.wait(self._period_s):
            try:
                self._look()
            except Exception:
                # Whoever looks after the others must not end over what they do.
                log.exception("The watchdog met what npvirt did not foresee")
