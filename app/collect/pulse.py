"""The pulse of the schedule: when it last ticked, how late, and what became of the wall clock.

Counts and remembers; starts nothing and decides nothing but whether the pulse stopped.
"""

import threading

from msgspec import Struct

from app import clock
from app.collect.steps import Step


class Pulse:
    """The ticks of one process; threads may share it."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self._lock = threading.Lock()
        self._ticks = 0
        self._ticked_s: float | None = None
        self._late_s = 0.0
        self._latest_s = 0.0
        self._missed = 0
        self._steps = 0
        self._step: Step | None = None

    @property
    def limit_s(self) -> float:
        """How long after a tick the pulse has stopped: one was missed, and the next is due."""
        return 2 * self.every_s

    def tick(self) -> None:
        """Take note of a tick."""
        now_s = clock.monotonic_s()
        with self._lock:
            if self._ticked_s is not None:
                self._late_s = max(0.0, now_s - self._ticked_s - self.every_s)
                self._latest_s = max(self._latest_s, self._late_s)
                self._missed += int(self._late_s / self.every_s)
            self._ticked_s = now_s
            self._ticks += 1

    def stepped(self, step: Step) -> None:
        """Take note that the wall clock stepped."""
        with self._lock:
            self._steps += 1
            self._step = step

    def age_s(self) -> float | None:
        """Seconds since the last tick; None before the first."""
        ticked_s = self._ticked_s
        return None if ticked_s is None else clock.monotonic_s() - ticked_s

    def figures(self) -> "PulseFigures":
        """What was counted so far."""
        with self._lock:
            return PulseFigures(
                self.every_s, self._ticks, self._missed, self.age_s(), self._late_s,
                self._latest_s, self._steps, self._step,
            )  # fmt: skip


class PulseFigures(Struct, frozen=True):
    """What a process counted since it started: ticks, planned ones that never came, how late the
    last tick was and the latest, and the steps of the wall clock.
    """

    every_s: float
    ticks: int
    missed: int
    age_s: float | None
    late_s: float
    latest_s: float
    steps: int
    last_step: Step | None
