"""What a day of 1,000 domains costs to compact, what it takes on disk, and to read it again."""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from app.connection import Connection
from app.inventory import Domain, DomainSample, HostSample, Scan
from app.store import schema, tiers
from app.store.compaction import Compactor
from app.store.engine import Store
from app.store.hosts import add_host
from app.store.record import Recorder

DOMAINS = 1000
_TICK_MS = 60_000
_TICKS = 1440
_DAY = 20_500
_COLUMNS = 8
_MIB = 1 << 20


class _Guest:
    """A made-up domain: mostly idle, at times busy, its memory wandering."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)
        self._busy_share = self._random.choice((0.02, 0.1, 0.4))
        self._cpu = self._read = self._write = self._rx = self._tx = 0
        self._usable = 1 << 30
        self._rss = 1 << 30

    def sample(self) -> DomainSample:
        """Its next minute, eight columns of it."""
        chance = self._random
        busy = chance.random() < self._busy_share
        self._cpu += chance.randint(3, 9) * 10**7 * (chance.randint(1, 400) if busy else 1)
        self._read += chance.randint(0, 4000) * 4096 if busy else 0
        self._write += chance.randint(0, 20) * 4096
        self._rx += chance.randint(60, 3000) * (200 if busy else 1)
        self._tx += chance.randint(0, 900)
        if chance.random() < 0.3:
            self._usable += chance.randint(-80, 80) * 4096
            self._rss += chance.randint(-2, 4) * 4096
        return DomainSample(
            cpu_time_ns=self._cpu,
            memory_bytes=2 << 30,
            memory_usable_bytes=self._usable,
            memory_rss_bytes=self._rss,
            disk_read_bytes=self._read,
            disk_write_bytes=self._write,
            net_rx_bytes=self._rx,
            net_tx_bytes=self._tx,
        )


def run() -> Iterator[str]:
    """Seconds, slices and bytes of one day's compaction."""
    with tempfile.TemporaryDirectory() as text:
        store = Store.open(Path(text, "npvirt.sqlite"))
        _fill(store)
        compactor = Compactor(store)
        now_ms = (_DAY + 1) * tiers.DAY_MS + 3_600_000
        slices = []
        for _ in count():
            started = time.perf_counter()
            more = compactor.step(now_ms)
            slices.append(time.perf_counter() - started)
            if not more:
                break
        yield (
            f"a day of {DOMAINS} domains x {_COLUMNS} columns into chunks: {sum(slices):.2f} s "
            f"(target 3), slices of {1000 * statistics.median(slices):.0f} ms in the median, "
            f"{1000 * max(slices):.0f} at most (target 100)"
        )
        yield from _sizes(store)
        store.close()


def _fill(store: Store) -> None:
    recorder = Recorder(store, add_host(store, "kvm-01", Connection()), _TICK_MS)
    domains = {
        uuid: Domain(uuid=uuid, name=f"vm-{n}", state="running", id=n + 1, vcpus=2)
        for n in range(DOMAINS)
        for uuid in (f"00000000-0000-4000-8000-{n:012d}",)
    }
    guests = {uuid: _Guest(n) for n, uuid in enumerate(domains)}
    jitter = random.Random(1)
    for tick in range(_TICKS):
        recorder.record(
            Scan(
                at_ms=_DAY * tiers.DAY_MS + tick * _TICK_MS + 500 + jitter.randint(0, 9),
                took_ms=200,
                ok=True,
                host_sample=HostSample(cpu_idle_ns=tick),
                domains=domains,
                domain_samples={uuid: guest.sample() for uuid, guest in guests.items()},
            )
        )


def _sizes(store: Store) -> Iterator[str]:
    length = sa.func.sum(sa.func.length(schema.chunk.c.body))
    tier = schema.chunk.c.id.op(">>")(30).op("&")(3)
    query = sa.select(tier.label("tier"), length.label("bytes")).group_by(tier)
    with store.reading() as connection:
        found = {row.tier: row.bytes for row in connection.execute(query)}
    for one in tiers.TIERS:
        buckets = DOMAINS * tiers.DAY_MS // one.width_ms
        per = found[one.number] / (buckets * _COLUMNS)
        yield (
            f"tier {one.name}: {found[one.number] / _MIB:.1f} MiB a day, {per:.2f} bytes for each "
            f"of {_COLUMNS} columns in each bucket"
        )
