"""Whether the wall clock may be believed enough to delete what is old by it.

A clock that is set years ahead by mistake would have retention delete all that npvirt remembers,
within minutes and for good. So after a leap forward nothing is deleted for a day: time enough for
somebody to see a date that is wrong, and of no consequence where it is right.
"""

from app import clock
from app.clock import DAY_MS
from app.collect.steps import Step

# A machine that slept, or an npvirt that did not run, for so long.
LEAP_MS = 2 * DAY_MS
_PATIENCE_S = 86_400.0


class Patience:
    """Holds deletion back after a leap forward; threads may share it."""

    def __init__(self) -> None:
        self._until_s: float | None = None

    def begin(self, newest_ms: int | None) -> None:
        """Take note of when something was last seen, before this process looks itself."""
        if newest_ms is not None and clock.now_ms() - newest_ms >= LEAP_MS:
            self._hold()

    def stepped(self, step: Step) -> None:
        """Take note of a step of the wall clock."""
        if step.by_ms >= LEAP_MS:
            self._hold()

    def left_s(self) -> float:
        """For how many seconds nothing is to be deleted; 0 as a rule."""
        until_s = self._until_s
        return 0.0 if until_s is None else max(0.0, until_s - clock.monotonic_s())

    def _hold(self) -> None:
        self._until_s = clock.monotonic_s() + _PATIENCE_S
