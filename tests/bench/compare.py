"""npvirt's tiers beside RRDtool and Prometheus: the same made-up guests in all three, what each
takes on disk, and how long a guest's month takes to read.

Sizes are told for two kinds of guests: those of the other benchmarks, whose numbers are round, and
finer ones, of which every byte and microsecond counts.
"""

import statistics
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import sqlalchemy as sa
from msgspec import Struct

from app.clock import DAY_MS
from app.connection import Connection
from app.inventory import Domain, Host, Scan
from app.metrics import METRIC_BY_NAME, Series, SeriesType, series_of
from app.store import schema, tiers
from app.store.engine import Store
from app.store.hosts import add_host
from app.store.raw import Object
from app.store.record import Recorder
from app.store.rollup import Samples
from app.store.sampled import Since
from app.store.series import find_object, series
from app.store.tiers import Tier
from app.store.values import Divisors, Line, line
from tests.bench.measured import TICK_MS, TICKS, FineGuest, Measured, measure
from tests.bench.others import HOW, absent, make_blocks, make_rrd, points_of, serving
from tests.bench.tiers import Guest
from tests.web_support import Web, make_web

_GUESTS = 6
_DAYS = 56
# Both the weeks and the 28 days of chunks begin here.
_DAY = 20_496
_TIMES = 25
_VCPUS = 2
_MONTH_MS = 30 * DAY_MS
_POINTS = 1000
# What is measured, and under which name it is shown.
_METRICS = {
    "cpu_time_ns": "cpu", "memory_bytes": "memory_bytes",
    "memory_usable_bytes": "memory_usable_bytes", "memory_rss_bytes": "memory_rss_bytes",
    "disk_read_bytes": "disk_read_bytes", "disk_write_bytes": "disk_write_bytes",
    "net_rx_bytes": "net_rx_bytes", "net_tx_bytes": "net_tx_bytes",
}  # fmt: skip
_SHOWN = [METRIC_BY_NAME["domain", name] for name in _METRICS.values()]
_FIGURES = ("avg", "min", "max")
# At most so many times what the others take, and so many bytes for each number.
_OF_RRDTOOL, _OF_PROMETHEUS, _BYTES, _READ_MS = 0.2, 0.65, 1.4, 15


class Size(Struct):
    """How many numbers stand in how many bytes."""

    numbers: int
    taken: int

    @property
    def each(self) -> float:
        """Bytes for a number."""
        return self.taken / self.numbers


def run() -> Iterator[str]:
    """Bytes for each number by tier and store, and the milliseconds of a month."""
    missing = absent("rrdtool", "prometheus", "promtool")
    if missing:
        yield (
            f"nothing was compared: {', '.join(missing)} not installed ({HOW} rrdtool prometheus)"
        )
        return
    for name, kind in (("round", Guest), ("fine", FineGuest)):
        measured = measure(kind, _GUESTS, _DAY, _DAYS, list(_METRICS))
        with tempfile.TemporaryDirectory() as text:
            yield from _compared(Path(text), name, measured)


def _compared(place: Path, name: str, measured: Measured) -> Iterator[str]:
    web = make_web(place / "var")
    store = web.store
    objects = _fill(store, measured)
    _check_lossless(store, objects, measured)
    mine = _sizes(store)
    blocks = place / "1m"
    for tier in tiers.TIERS:
        numbers = mine[tier].numbers
        if tier is tiers.MINUTES:
            theirs = make_blocks(blocks, _samples(measured))
        else:
            theirs = make_blocks(place / tier.name, _rolled(store, objects, tier))
        yield _told(name, tier, mine[tier], Size(numbers, theirs), _rrd(place, measured, tier))
    yield from _months(web, objects[0], blocks)
    store.close()


def _told(name: str, tier: Tier, mine: Size, prometheus: Size, rrd: Size) -> str:
    what = "sample" if tier is tiers.MINUTES else "mean, least and greatest"
    return (
        f"{name} numbers, tier {tier.name}, bytes for each {what}: npvirt {mine.each:.2f} (at most "
        f"{_BYTES}), RRDtool {rrd.each:.2f} (ratio {mine.each / rrd.each:.2f}, at most "
        f"{_OF_RRDTOOL}), Prometheus {prometheus.each:.2f} (ratio "
        f"{mine.each / prometheus.each:.2f}, at most {_OF_PROMETHEUS})"
    )


# --- npvirt --------------------------------------------------------------------------------


def _fill(store: Store, measured: Measured) -> list[Object]:
    """Every guest's days compacted, and their chunks put together as the compactor does."""
    uuids = [_uuid(number) for number in range(_GUESTS)]
    domains = {one: Domain(one, one[-4:], "running", id=1, vcpus=_VCPUS) for one in uuids}
    record = add_host(store, "kvm-01", Connection())
    first_ms = measured.times_ms[0]
    facts = Host(uri="qemu:///system")
    scan = Scan(at_ms=first_ms, took_ms=9, ok=True, host=facts, domains=domains)
    Recorder(store, record, TICK_MS).record(scan)
    found = []
    for uuid, columns in zip(uuids, measured.guests, strict=True):
        wanted = find_object(store, record.id, "domain", uuid)
        assert wanted is not None
        for day in range(_DAYS):
            samples = _of_day(measured.times_ms, columns, day)
            made = tiers.compact(wanted, _DAY + day, samples, [Since(first_ms, domains[uuid])])
            assert made is not None
            with store.writing() as connection:
                tiers.write(connection, "domain", [made])
        for tier in (tiers.TENS, tiers.HOURS):
            _consolidate(store, wanted, tier)
        found.append(wanted)
    with store.writing() as connection:
        connection.execute(
            sa.insert(schema.compacted).values(
                host_id=record.id, before_day=_DAY + _DAYS, last_scan_ms=(_DAY + _DAYS) * DAY_MS
            )
        )
    return found


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _of_day(times_ms: "array[int]", columns: "Mapping[str, array[int]]", day: int) -> Samples:
    part = slice(day * TICKS, (day + 1) * TICKS + 1)
    times = times_ms[part].tolist()
    elapsed = [0, *(now - before for before, now in pairwise(times))]
    rows = {name: column[part].tolist() for name, column in columns.items()}
    given: dict[str, tuple[SeriesType, Sequence[int | None]]] = {}
    for one in series_of("domain"):
        if one.of is not None:
            nothing: Sequence[int | None] = [None] * len(times)
            inputs = (rows.get(name, nothing) for name in one.inputs)
            given[one.name] = (one.type, list(map(one.of, *inputs)))
        elif one.name in rows:
            given[one.name] = (one.type, rows[one.name])
    return Samples(times, elapsed, given, skip=1)


def _consolidate(store: Store, wanted: Object, tier: Tier) -> None:
    for first in range(_DAY, _DAY + _DAYS, tier.span_days):
        with store.writing() as connection:
            body = tiers.consolidated(connection, wanted.entity_id, tier, first)
            assert body is not None
            tiers.replace(connection, wanted.entity_id, tier, first, body)


def _sizes(store: Store) -> dict[Tier, Size]:
    """By tier: its blobs, each with its share of what the pages of the table take beyond them."""
    chunk = schema.chunk
    number = chunk.c.id.op(">>")(30).op("&")(3)
    query = sa.select(number, sa.func.sum(sa.func.length(chunk.c.body))).group_by(number)
    with store.reading() as connection:
        bodies = {row[0]: row[1] for row in connection.execute(query)}
        pages = connection.scalar(sa.text("SELECT sum(pgsize) FROM dbstat WHERE name = 'chunk'"))
    beyond = pages / sum(bodies.values())
    found = {}
    for tier in tiers.TIERS:
        buckets = _GUESTS * _DAYS * DAY_MS // tier.width_ms
        figures = 1 if tier is tiers.MINUTES else len(_FIGURES)
        numbers = buckets * len(_METRICS) * figures
        found[tier] = Size(numbers, round(bodies[tier.number] * beyond))
    return found


def _check_lossless(store: Store, objects: Sequence[Object], measured: Measured) -> None:
    """Every sample comes back from the minutes, to the nanosecond and the byte, with its time."""
    end_ms = (_DAY + _DAYS) * DAY_MS
    kinds: dict[str, Series] = {one.name: one for one in series_of("domain")}
    for wanted, columns in zip(objects, measured.guests, strict=True):
        with store.reading() as connection:
            parts = list(
                tiers.read(connection, wanted.entity_id, tiers.MINUTES, _DAY * DAY_MS, end_ms)
            )
        for name, column in columns.items():
            total = [value for part in parts for value in part.columns[name].total.tolist()]
            if kinds[name].type == "gauge":
                assert total == column[1:].tolist(), name
            else:
                assert list(accumulate(total, initial=column[0])) == column.tolist(), name
        weight = [ms for part in parts for ms in part.columns["cpu_time_ns"].weight.tolist()]
        assert list(accumulate(weight, initial=measured.times_ms[0])) == measured.times_ms.tolist()


# --- the others ----------------------------------------------------------------------------


def _samples(measured: Measured) -> Iterator[tuple[str, str, Iterator[tuple[int, int]]]]:
    for name in _METRICS:
        for number, columns in enumerate(measured.guests):
            # Its scraper aligns times that are off by so little, which it packs best.
            times = (at_ms // 1000 for at_ms in measured.times_ms[1:])
            labels = f'vm="{number}",series="{name}"'
            yield "domain", labels, zip(times, columns[name][1:], strict=True)


def _rolled(
    store: Store, objects: Sequence[Object], tier: Tier
) -> Iterator[tuple[str, str, Iterator[tuple[float, float]]]]:
    """What rules of Prometheus' would record: a series for each figure."""
    cpus = Divisors([0], [_VCPUS])
    for number, wanted in enumerate(objects):
        with store.reading() as connection:
            parts = list(
                tiers.read(
                    connection, wanted.entity_id, tier, _DAY * DAY_MS, (_DAY + _DAYS) * DAY_MS
                )
            )
        times = [(start + 1) * tier.width_ms / 1000 for part in parts for start in part.starts]
        for metric in _SHOWN:
            lines = [line(metric, part, tier.width_ms, cpus) for part in parts]
            for figure, values in zip(_FIGURES, _figures(lines), strict=True):
                labels = f'vm="{number}",series="{metric.name}"'
                yield f"domain_{figure}", labels, zip(times, values, strict=True)


def _figures(lines: Sequence[Line]) -> Iterator[list[float]]:
    for choose in ("average", "least", "greatest"):
        yield [value for one in lines for value in getattr(one, choose) if value is not None]


def _rrd(place: Path, measured: Measured, tier: Tier) -> Size:
    """One guest's; each takes the same."""
    kinds = {one.name: one.type for one in series_of("domain")}
    types = {name: "GAUGE" if kinds[name] == "gauge" else "DERIVE" for name in _METRICS}
    figures = ("AVERAGE",) if tier is tiers.MINUTES else ("AVERAGE", "MIN", "MAX")
    times = [at_ms // 1000 for at_ms in measured.times_ms[1:]]
    rows = zip(*(column[1:] for column in measured.guests[0].values()), strict=True)
    file = place / f"{tier.name}.rrd"
    steps = tier.width_ms // TICK_MS
    taken = make_rrd(file, types, times, rows, steps, figures)
    return Size(len(times) // steps * len(types) * len(figures), taken)


# --- a month -------------------------------------------------------------------------------


def _months(web: Web, wanted: Object, blocks: Path) -> Iterator[str]:
    """A guest's month, eight columns, to 1,000 points: in turns here and there."""
    end_ms = (_DAY + _DAYS) * DAY_MS
    from_ms = end_ms - _MONTH_MS
    step_s = _MONTH_MS / 1000 / _POINTS
    store = web.store
    asked = ('domain{vm="0"}', f'avg_over_time(domain{{vm="0"}}[{round(step_s)}s])')
    took: dict[str, list[float]] = {"npvirt": [], "as JSON": [], **{query: [] for query in asked}}
    names = "".join(f"&metric={metric.name}" for metric in _SHOWN)
    address = (
        f"/api/v1/series?host=kvm-01&domain={_uuid(0)}&from={from_ms // 1000}"
        f"&to={end_ms // 1000}&points={_POINTS}{names}"
    )
    with serving(blocks) as prometheus:
        work: dict[str, Callable[[], object]] = {
            "npvirt": lambda: series(store, wanted, _SHOWN, from_ms, end_ms, _POINTS),
            "as JSON": lambda: web.text(address),
        }
        for query in asked:
            work[query] = lambda query=query: prometheus.range(  # type: ignore[misc]
                query, from_ms / 1000, end_ms / 1000, step_s
            )
            points = points_of(prometheus.range(query, from_ms / 1000, end_ms / 1000, step_s))
            assert len(points) == len(_METRICS), points
            assert min(points) >= _POINTS - 1, points
        for _ in range(_TIMES):
            for name, does in work.items():
                started_s = time.perf_counter()
                does()
                took[name].append(1000 * (time.perf_counter() - started_s))
    found = series(store, wanted, _SHOWN, from_ms, end_ms, _POINTS)
    assert all(None not in one.average for one in found.lines.values())
    told = [
        f"{name} {statistics.median(ms):.1f} (least {min(ms):.1f})" for name, ms in took.items()
    ]
    yield (
        f"a guest's month, {len(_METRICS)} columns, to {_POINTS} points, median ms: {told[0]} "
        f"with bounds, {len(found.starts_ms)} points of the tier {found.tier} (at most {_READ_MS} "
        f"and no slower than Prometheus), {told[1]}; Prometheus' range queries over HTTP: "
        f"{told[2]}, {told[3]}"
    )
