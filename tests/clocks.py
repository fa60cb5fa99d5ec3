"""A clock for npvirt that can be steered: the monotonic one is real, the wall clock steps.

`during` gives it to all of npvirt in this process; the machine's own clock is never set.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app import clock


class SteeredClock:
    """A wall clock that goes on as the monotonic one does, except where it is made to step."""

    def __init__(self, at_ms: int | None = None) -> None:
        self._offset_ms = 0.0
        self.steps = 0
        if at_ms is not None:
            self._offset_ms = at_ms - time.monotonic() * 1000
        else:
            self._offset_ms = time.time() * 1000 - time.monotonic() * 1000

    def now_ms(self) -> int:
        return int(time.monotonic() * 1000 + self._offset_ms)

    def monotonic_s(self) -> float:
        return time.monotonic()

    def step(self, by_s: float) -> None:
        """Have the wall clock step by so many seconds, back where they are negative."""
        self._offset_ms += by_s * 1000
        self.steps += 1


@contextmanager
def steered(at_ms: int | None = None) -> Iterator[SteeredClock]:
    """All of npvirt in this process reads a steered clock meanwhile, from `at_ms` on."""
    made = SteeredClock(at_ms)
    with clock.injected(made):
        yield made


@contextmanager
def process_zone(zone: str) -> Iterator[None]:
    """This process lives in a time zone meanwhile."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
