"""What was seen and could not be stored: counted, never kept for later.

A scan that cannot be written is dropped whole, and the next one is written as if the schedule had
missed one: a gap that charts draw. Counts are of this process since it started; they are at zero
in a process that does not collect.
"""

import threading

from msgspec import Struct

from app import clock


class Dropped(Struct, frozen=True):
    """How many scans and samples were dropped since npvirt started, when first and last; `hosts`:
    those whose latest scan was, with when that began.
    """

    scans: int = 0
    samples: int = 0
    first_at_ms: int | None = None
    last_at_ms: int | None = None
    hosts: tuple[tuple[str, int], ...] = ()

    @property
    def since_ms(self) -> int | None:
        """Since when the scans of some host cannot be stored; None when all are."""
        return min((since_ms for _, since_ms in self.hosts), default=None)


class DroppedScans:
    """Counts them. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found = Dropped()
        self._hosts: dict[str, int] = {}

    def drop(self, slug: str, samples: int) -> None:
        """A scan of host `slug` with so many samples could not be stored."""
        now_ms = clock.now_ms()
        with self._lock:
            before = self._found
            self._hosts.setdefault(slug, now_ms)
            self._found = Dropped(
                before.scans + 1,
                before.samples + samples,
                now_ms if before.first_at_ms is None else before.first_at_ms,
                now_ms,
                tuple(self._hosts.items()),
            )

    def stored(self, slug: str) -> None:
        """A scan of host `slug` was stored, or the host is no longer scanned."""
        if slug in self._hosts:
            with self._lock:
                self._hosts.pop(slug, None)
                before = self._found
                self._found = Dropped(
                    before.scans, before.samples, before.first_at_ms, before.last_at_ms,
                    tuple(self._hosts.items()),
                )  # fmt: skip

    def now(self) -> Dropped:
        """The counts at present."""
        return self._found
