"""What made-up guests measure over weeks, to be put into several stores: times and columns."""

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi, sin

from app.inventory import DomainSample
from tests.bench.tiers import Guest

TICK_MS = 60_000
TICKS = 1440


class FineGuest:
    """A made-up domain with days and nights, that counts as libvirt does: CPU by the microsecond,
    memory and disks by the page, networks by the byte.
    """

    def __init__(self, number: int) -> None:
        self._luck = random.Random(1000 + number)
        self._idle = self._luck.choice((0.3, 0.6, 0.9))
        self._size = self._luck.lognormvariate(0, 1)
        self._minute = 0
        self._cpu = self._read = self._write = self._rx = self._tx = 0
        self._usable = self._rss = 1 << 30

    def sample(self) -> DomainSample:
        """Its next minute, eight columns of it."""
        luck = self._luck
        self._minute += 1
        daytime = max(0.05, sin(2 * pi * (self._minute % TICKS) / TICKS))
        busy = luck.random() > self._idle
        work = daytime * self._size * luck.lognormvariate(0, 0.3) if busy else 0.05
        self._cpu += 1000 * round(200_000 * luck.uniform(0.9, 1.1) + 4_000_000 * work)
        self._read += 4096 * round(300 * work * luck.random()) if busy else 0
        self._write += 4096 * round(luck.uniform(4, 20) + 200 * work)
        self._rx += round(luck.uniform(3_000, 9_000) + 800_000 * work)
        self._tx += round(luck.uniform(1_000, 3_000) + 300_000 * work)
        if luck.random() < 0.4:
            self._usable += 4096 * luck.randint(-300, 300)
            self._rss += 4096 * luck.randint(-2, 4)
        return DomainSample(
            cpu_time_ns=self._cpu, memory_bytes=2 << 30, memory_usable_bytes=self._usable,
            memory_rss_bytes=self._rss, disk_read_bytes=self._read, disk_write_bytes=self._write,
            net_rx_bytes=self._rx, net_tx_bytes=self._tx,
        )  # fmt: skip


@dataclass
class Measured:
    """What was measured: when each scan was (a minute before the first day, then minute after
    minute), and per guest the columns.
    """

    times_ms: "array[int]"
    guests: "list[dict[str, array[int]]]"


def measure(
    kind: Callable[[int], Guest | FineGuest],
    guests: int,
    first_day: int,
    days: int,
    names: Sequence[str],
) -> Measured:
    """So many guests over so many days from `first_day` (since 1970) on: their columns `names`."""
    jitter = random.Random(7)
    ticks = days * TICKS + 1
    first_ms = first_day * TICKS * TICK_MS - TICK_MS + 500
    times = array("q", (first_ms + n * TICK_MS + jitter.randint(0, 9) for n in range(ticks)))
    found = []
    for number in range(guests):
        guest = kind(number)
        columns = {name: array("q") for name in names}
        for _ in range(ticks):
            sample = guest.sample()
            for name, column in columns.items():
                column.append(getattr(sample, name))
        found.append(columns)
    return Measured(times, found)
