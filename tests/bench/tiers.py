"""What a day of 1,000 domains costs to compact, what it takes on disk, and to look back at it; and
what two years of a fleet take, by what was measured.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from app.clock import DAY_MS
from app.connection import Connection
from app.inventory import KIND_BY_NAME, Domain, DomainSample, HostSample, Scan
from app.metrics import series_of
from app.store import archive, history, schema, tiers
from app.store.buckets import Rolled
from app.store.codec import encode
from app.store.compaction import Compactor
from app.store.engine import Store
from app.store.holdings import _row_bytes
from app.store.hosts import add_host
from app.store.record import Recorder
from app.store.retention import Lengths, Retention
from app.store.rollup import Samples, merge, roll

DOMAINS = 1000
_TICK_MS = 60_000
_TICKS = 1440
_DAY = 20_500
_COLUMNS = 8
_GUESTS = 12
# Pages of the chunks' table, against the bytes of its blobs.
_ON_DISK = 1.05


class Guest:
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
        # The scan of the day before, which the first interval of the day needs.
        while compactor.step(_DAY * DAY_MS + 3_600_000):
            pass
        now_ms = (_DAY + 1) * DAY_MS + 3_600_000
        slices, cpu = [], []
        for _ in count():
            started, worked = time.perf_counter(), time.process_time()
            more = compactor.step(now_ms, 0.04)
            slices.append(time.perf_counter() - started)
            cpu.append(time.process_time() - worked)
            if not more:
                break
        yield (
            f"a day of {DOMAINS} domains x {_COLUMNS} columns into chunks: {sum(slices):.2f} s "
            f"(target 3), {sum(cpu):.2f} s of them on a CPU; slices of "
            f"{1000 * statistics.median(slices):.0f} ms in the median, "
            f"{1000 * max(slices):.0f} at most (target 100), {1000 * max(cpu):.0f} on a CPU"
        )
        sizes = _Sizes(store)
        yield from _pasts(store)
        store.close()
    chunked = _consolidated()
    for tier, (numbers, size) in chunked.items():
        yield (
            f"tier {tier.name}, its days together: {size.named / numbers:.2f} bytes for each mean, "
            f"least and greatest of {_COLUMNS} columns (target 1.4)"
        )
    scans = _scans_packed()
    yield f"scans of long ago: {scans:.2f} bytes each"
    yield from _two_years(sizes, chunked, scans)


def _pasts(store: Store) -> Iterator[str]:
    """The fleet at moments of the day: while its samples are kept, and once they are gone."""
    rows: dict[str, list[float]] = {"recent (target 10)": [], "of long ago (target 40)": []}
    lengths = Lengths(*(DAY_MS * days for days in (0, 14, 90, 730, 3650)))
    for found in rows.values():
        history.fleet(store, None)
        for hour in range(1, 12):
            started = time.perf_counter()
            seen = history.fleet(store, _DAY * DAY_MS + hour * 6_000_000)
            found.append(time.perf_counter() - started)
            assert seen.domains[0].sample is not None
        retention = Retention(store, lengths)
        while retention.step((_DAY + 3) * DAY_MS):
            pass
    for name, found in rows.items():
        yield (
            f"the fleet of {DOMAINS} domains at a moment {name}: median "
            f"{1000 * statistics.median(found):.1f}, least {1000 * min(found):.1f} ms"
        )


class _Sizes:
    """Bytes of pages that the store's tables take, of the day."""

    def __init__(self, store: Store) -> None:
        query = sa.text("SELECT name, sum(pgsize), sum(payload) FROM dbstat GROUP BY name")
        day = schema.dailies["domain"]
        of_day = sa.select(day).where(day.c.day == tiers.day_text(_DAY))
        with store.reading() as connection:
            found = {row[0]: row[1:] for row in connection.execute(query)}
            rows = connection.execute(of_day).mappings().all()
            ticks = connection.scalar(sa.select(sa.func.count()).select_from(schema.scan)) or 0
        self.keyframe = int(found["keyframe"][0])
        pages, payload = found["sample_domain"]
        columns = schema.sample_columns(KIND_BY_NAME["domain"])
        # What is never measured takes a byte in each row.
        empty = (len(columns) - _COLUMNS) * DOMAINS * ticks
        self.samples = Both(pages * (payload - empty) / payload, pages)
        pages, payload = found["daily_domain"]
        every = sum(_row_bytes(list(row.values())) for row in rows)
        named = sum(_row_bytes([row[name] for name in ("day", "entity", *_NAMED)]) for row in rows)
        self.days = Both(pages / payload * named, pages / payload * every)


_NAMED = [
    f"{name}_{figure}"
    for name in ("cpu", "memory_bytes", "memory_usable_bytes", "memory_rss_bytes",
                 "disk_read_bytes", "disk_write_bytes", "net_rx_bytes", "net_tx_bytes")
    for figure in schema.DAILY_FIGURES
]  # fmt: skip


class Both(NamedTuple):
    """Bytes with nothing but the columns that are named, and with all that is kept: what follows
    from others (memory used), and the columns that nothing was measured of.
    """

    named: float
    kept: float

    def times(self, factor: float) -> "Both":
        """So many times as much."""
        return Both(self.named * factor, self.kept * factor)


def _consolidated() -> dict[tiers.Tier, tuple[int, Both]]:
    """Numbers and bytes of the chunks of some guests over four weeks, by tier."""
    found = {tier: (0, Both(0, 0)) for tier in tiers.TIERS}
    for number in range(_GUESTS):
        guest, jitter = Guest(number), random.Random(number)
        days = [_rolled(guest, jitter, _DAY + day) for day in range(tiers.HOURS.span_days)]
        tens = [merge([day], 10) for day in days]
        parts = {
            tiers.MINUTES: (days[1], 1),
            tiers.TENS: (merge(tens[7:14], 1), 3),
            tiers.HOURS: (merge([merge([ten], 6) for ten in tens], 1), 3),
        }
        for tier, (rolled, figures) in parts.items():
            numbers, size = found[tier]
            named = {n: c for n, c in rolled.columns.items() if n != "memory_used_bytes"}
            size = Both(
                size.named + len(encode(Rolled(rolled.starts, named))),
                size.kept + len(encode(rolled, tiers._DIFFERENCES)),
            )
            found[tier] = (numbers + len(rolled.starts) * _COLUMNS * figures, size)
    return found


def _rolled(guest: Guest, jitter: random.Random, day: int) -> Rolled:
    times = [day * DAY_MS + tick * _TICK_MS + jitter.randint(0, 9) for tick in range(_TICKS)]
    samples = [guest.sample() for _ in times]
    series = {}
    for one in series_of("domain"):
        names = one.inputs or (one.name,)
        columns = [[getattr(sample, name) for sample in samples] for name in names]
        values = list(map(one.of, *columns)) if one.of else columns[0]
        if None not in values:
            series[one.name] = (one.type, values)
    elapsed = [0, *(b - a for a, b in pairwise(times))]
    return roll(Samples(times, elapsed, series), _TICK_MS)


def _scans_packed() -> float:
    """Bytes of a scan in the archive, of a day of a scan a minute."""
    chance = random.Random(5)
    rows = []
    for tick in range(_TICKS):
        took_ms = round(chance.lognormvariate(5.5, 0.3))
        at_ms = _DAY * DAY_MS + tick * _TICK_MS + chance.randint(0, 9)
        sampled = 27 if tick % 5 else 31
        rows.append(
            archive.ScanRow(at_ms, took_ms, 1, 20 + 2 * (tick % 5 == 0), 0, _TICK_MS,
                            at_ms + took_ms + _TICK_MS, 127, sampled, 0, None, None, None, None)
        )  # fmt: skip
    return len(archive.encode(rows)) / len(rows)


def _two_years(
    sizes: _Sizes, chunked: dict[tiers.Tier, tuple[int, Both]], scan: float
) -> Iterator[str]:
    """What 50 hosts, 1,000 domains and 100 pools take with the default lengths."""
    # Columns of all objects, by those of the domains that were measured.
    share = (DOMAINS * _COLUMNS + 50 * 10 + 100 * 3) / (DOMAINS * _COLUMNS)
    lengths = {tiers.MINUTES: 14, tiers.TENS: 90, tiers.HOURS: 730}
    parts = {"recent": sizes.samples.times(2.0 * share)}
    for tier, days in lengths.items():
        numbers, size = chunked[tier]
        figures = 1 if tier is tiers.MINUTES else 3
        a_day = DOMAINS * _COLUMNS * figures * DAY_MS / tier.width_ms / numbers
        parts[tier.name] = size.times(_ON_DISK * days * a_day * share)
    parts["1d"] = sizes.days.times(730 * share)
    parts["keyframes"] = Both(sizes.keyframe, sizes.keyframe).times(730 * share)
    # They stay as rows until the samples of two days are gone, and a few of each day for ever.
    scans = 50 * _TICKS * (4 * 110 + 726 * scan) + 50 * 726 * 4 * 110
    parts["scans"] = Both(scans, scans)
    for place, what in enumerate(("as named", "and all that is kept of such")):
        told = ", ".join(f"{name} {size[place] / 1e6:.0f}" for name, size in parts.items())
        whole = sum(size[place] for size in parts.values())
        yield (
            f"two years of 50 hosts x 10, {DOMAINS} domains x {_COLUMNS}, 100 pools x 3, {what}, "
            f"estimated: {whole / 1e9:.2f} GB (target 1.5): {told} MB"
        )


def _fill(store: Store) -> None:
    recorder = Recorder(store, add_host(store, "kvm-01", Connection()), _TICK_MS)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE host SET created_at_ms = 0")
    domains = {
        uuid: Domain(uuid=uuid, name=f"vm-{n}", state="running", id=n + 1, vcpus=2)
        for n in range(DOMAINS)
        for uuid in (f"00000000-0000-4000-8000-{n:012d}",)
    }
    guests = {uuid: Guest(n) for n, uuid in enumerate(domains)}
    jitter = random.Random(1)
    for tick in range(-1, _TICKS):
        recorder.record(
            Scan(
                at_ms=_DAY * DAY_MS + tick * _TICK_MS + 500 + jitter.randint(0, 9),
                took_ms=200,
                ok=True,
                host_sample=HostSample(cpu_idle_ns=tick),
                domains=domains,
                domain_samples={uuid: guest.sample() for uuid, guest in guests.items()},
            )
        )
