"""Noticing that the wall clock stepped: it went on by another length than the monotonic clock did.

Pure bookkeeping of two clocks, without threads. A machine that slept looks like a clock that
stepped forward, and is one as far as labels go.
"""

from msgspec import Struct

from app import clock

# Slewing moves a clock by half a millisecond a second at most, and a label is a millisecond wide;
# who sets a clock by less than this does no harm to a rate over a second or more.
STEP_MS = 500


class Step(Struct, frozen=True):
    """A step of the wall clock: what it said right after it, and by how much it was moved."""

    at_ms: int
    by_ms: int


class ClockWatch:
    """Compares the two clocks from look to look; used by one thread."""

    def __init__(self) -> None:
        self._at_ms, self._at_s = clock.both()

    def look(self) -> Step | None:
        """The step since the last look, if there was one."""
        at_ms, at_s = clock.both()
        by_ms = at_ms - self._at_ms - round((at_s - self._at_s) * 1000)
        self._at_ms, self._at_s = at_ms, at_s
        return Step(at_ms, by_ms) if abs(by_ms) >= STEP_MS else None


class Labels:
    """Knows of one host whether its scans' labels are as far apart as the scans were.

    Compared with the last scan and with the last good one, as stored: what a counter counted is
    divided by the time between the labels of good scans.
    """

    def __init__(self) -> None:
        self._stored: dict[bool, tuple[int, float]] = {}

    def stepped(self, at_ms: int, at_s: float) -> bool:
        """Whether the wall clock is not where it should be at a scan begun at `at_s`, which it
        labels `at_ms`.
        """
        return any(
            abs(at_ms - before_ms - (at_s - before_s) * 1000) >= STEP_MS
            for before_ms, before_s in self._stored.values()
        )

    def stored(self, at_ms: int, at_s: float, *, good: bool) -> None:
        """Take note that the scan begun at `at_s` was stored with the label `at_ms`."""
        self._stored[False] = (at_ms, at_s)
        if good:
            self._stored[True] = (at_ms, at_s)
