"""What is measured of a made-up domain or host over a stretch: the buckets that a roll-up of its
samples would give. Pure.

Counters hold what was counted in a bucket, gauges the sum of a sample a minute, as app/store/
rollup has it; where a bucket holds more than one sample, its lowest and highest are made up too.
"""

from collections.abc import Sequence
from operator import add, mul

from msgspec import Struct

from app.clock import MINUTE_MS
from app.demo.catalog import Spec
from app.demo.loads import (
    BITS,
    LOADS,
    ONE,
    TAMED,
    contended,
    grown,
    noise,
    piece,
    spread,
    week,
    week_start,
)
from app.demo.machines import Machine
from app.demo.plan import Plan
from app.demo.spans import Part, Span
from app.metrics import SeriesType
from app.store.buckets import RATE_PER_S, Column, Rolled

_PAGE = 4096
_SECTOR = 4096


class Shapes(Struct):
    """A domain's activities over a stretch, 24 bits each, and how its memory moves (12 bits)."""

    cpu: list[int]
    write: list[int]
    read: list[int]
    rx: list[int]
    memory: list[int]
    grown: int


class Sums(Struct):
    """What the domains of a host do together, per bucket: CPU in ns, the rest times minutes."""

    cpu: list[int]
    rss: list[int]
    vcpus: list[int]
    memory: list[int]
    running: list[int]


def shapes(spec: Spec, plan: Plan, span: Span, part: int = ONE) -> Shapes:
    """The activities of a domain over a stretch; the same whenever they are asked for. Of the CPU
    that it asks for it gets a part (of ONE).
    """
    load, count, width = LOADS[spec.role.load], span.count, span.width
    start = week_start(span.first, width)
    base = week(spec.role.load, width)[start : start + count]
    steady, bursts = noise("steady", width, load.rough), noise("bursts", width, load.rough)
    worked = steady if part == ONE else contended(width, load.rough, part)
    seed = (plan.seed, spec.name, span.begin)

    def active(table: list[int], what: str) -> list[int]:
        return list(map(mul, base, piece(table, count, what, *seed)))

    share = (span.begin * 1440 - plan.begin) / max(1, plan.end - plan.begin)
    return Shapes(
        active(worked, "cpu"), active(steady, "write"), active(bursts, "read"),
        active(steady, "rx"), piece(noise("slow", width, load.rough), count, "memory", *seed),
        grown(plan.seed, spec.name, max(0.0, min(1.0, share))),
    )  # fmt: skip


def no_sums(count: int) -> Sums:
    """The sums of no domains."""
    return Sums(*([0] * count for _ in range(5)))


def domain_part(
    machine: Machine, made: Shapes, span: Span, part: Part, sums: Sums | None
) -> Rolled | None:
    """What is measured of a domain in that part of a stretch; it is added to `sums`. None where
    the part lies outside.
    """
    width = span.width
    begin = max(part.begin, span.begin * 1440)
    end = min(part.end, span.end * 1440)
    if begin >= end or part.run is None:
        return None
    first, last = begin // width, (end - 1) // width
    i, j = first - span.first, last - span.first + 1
    cover = _cover(begin, end, width, first, last)
    fresh = part.fresh and begin == part.begin
    counted = [cover[0] - 1, *cover[1:]] if fresh else cover
    make = _Maker(cover, counted, span, (machine.spec.name, span.begin, i))
    run, load, spec = part.run, LOADS[machine.spec.role.load], machine.spec
    scale = 0 if run.paused else made.grown
    micros = int(run.vcpus * load.cpu * TAMED * 60e6 * width) * scale // ONE
    minute = 60 * width * run.vcpus * scale // ONE
    cpu = [(a * micros >> BITS) * 1000 for a in made.cpu[i:j]]
    sectors = load.write * minute // _SECTOR, load.read * minute // _SECTOR
    write = [(a * sectors[0] >> BITS) * _SECTOR for a in made.write[i:j]]
    read = [(a * sectors[1] >> BITS) * _SECTOR for a in made.read[i:j]]
    if run.vcpus and spec.role.load == "idle":
        write = [(a * (load.write * minute) >> BITS) // 512 * 512 for a in made.write[i:j]]
    rx = [a * (load.rx * minute) >> BITS for a in made.rx[i:j]]
    tx = [a * (load.tx * minute) >> BITS for a in made.cpu[i:j]]
    whole = run.memory_bytes
    pages = int(whole * load.memory) // _PAGE
    used = [min(whole, (pages * s >> 12) * _PAGE) for s in made.memory[i:j]]
    rss = [min(whole, v + (v >> 15 << 12)) for v in used]
    columns: dict[str, Column] = {}
    columns["cpu_time_ns"] = make.counter(cpu, most=run.vcpus * 10**9)
    columns["memory_bytes"] = make.constant(whole)
    if machine.has_balloon:
        columns["memory_usable_bytes"] = make.gauge([whole - v for v in used])
        columns["memory_unused_bytes"] = make.gauge([(whole - v) // 8192 * 3 * 1024 for v in used])
    else:
        columns["memory_usable_bytes"] = columns["memory_unused_bytes"] = make.unknown()
    columns["memory_rss_bytes"] = make.gauge(rss)
    columns["disk_read_bytes"] = make.counter(read)
    columns["disk_write_bytes"] = make.counter(write)
    columns["disk_read_requests"] = make.counter([v // 21_000 for v in read], "events")
    columns["disk_write_requests"] = make.counter([v // 13_000 for v in write], "events")
    columns["net_rx_bytes"] = make.counter(rx)
    columns["net_tx_bytes"] = make.counter(tx)
    columns["net_rx_packets"] = make.counter([v // 730 for v in rx], "events")
    columns["net_tx_packets"] = make.counter([v // 910 for v in tx], "events")
    for name in ("net_rx_drops", "net_tx_drops", "net_rx_errors", "net_tx_errors"):
        columns[name] = make.none()
    # What app/metrics derives: what the balloon tells, else what QEMU holds.
    known = used if machine.has_balloon else [min(v, whole) for v in rss]
    columns["memory_used_bytes"] = make.gauge(known)
    if sums is not None:
        _add(sums, i, j, cover, columns, run.vcpus, whole)
    return Rolled(list(range(first, last + 1)), columns)


def _add(
    sums: Sums, i: int, j: int, cover: list[int], columns: dict[str, Column], vcpus: int,
    memory: int,
) -> None:  # fmt: skip
    sums.cpu[i:j] = map(add, sums.cpu[i:j], columns["cpu_time_ns"].total.tolist())
    sums.rss[i:j] = map(add, sums.rss[i:j], columns["memory_rss_bytes"].total.tolist())
    sums.vcpus[i:j] = [s + vcpus * c for s, c in zip(sums.vcpus[i:j], cover, strict=True)]
    sums.memory[i:j] = [s + memory * c for s, c in zip(sums.memory[i:j], cover, strict=True)]
    sums.running[i:j] = map(add, sums.running[i:j], cover)


def host_part(
    span: Span, part: Part, sums: Sums, threads: int, memory_bytes: int, defined: Sequence[int],
    key: object,
) -> Rolled | None:  # fmt: skip
    """What is measured of a host in that part of a stretch; `defined` per bucket of the stretch."""
    width = span.width
    begin, end = max(part.begin, span.begin * 1440), min(part.end, span.end * 1440)
    if begin >= end:
        return None
    first, last = begin // width, (end - 1) // width
    i, j = first - span.first, last - span.first + 1
    cover = _cover(begin, end, width, first, last)
    fresh = part.fresh and begin == part.begin
    counted = [cover[0] - 1, *cover[1:]] if fresh else cover
    make = _Maker(cover, counted, span, (key, span.begin, i), exact=True)
    luck = piece(noise("steady", width, 0.25), j - i, "host", key, span.begin)
    tick = 10**7
    system = [
        (v // 12 + n * c * threads * 30_000) // tick * tick
        for v, n, c in zip(sums.cpu[i:j], luck, cover, strict=True)
    ]
    waiting = [n * c * threads * 11_000 // tick * tick for n, c in zip(luck, cover, strict=True)]
    whole = threads * 60 * 10**9
    # What its domains do at once may add up to a little more than there is.
    user = [
        min(v * 15 // 16, whole * c - s - w) // tick * tick
        for v, s, w, c in zip(sums.cpu[i:j], system, waiting, cover, strict=True)
    ]
    idle = [
        max(0, whole * c - u - s - w)
        for c, u, s, w in zip(cover, user, system, waiting, strict=True)
    ]
    most = threads * 10**9
    columns = {
        "cpu_user_ns": make.counter(user, most=most), "cpu_system_ns": make.counter(system),
        "cpu_iowait_ns": make.counter(waiting), "cpu_idle_ns": make.counter(idle),
    }  # fmt: skip
    base = min(memory_bytes // 40, 6 << 30)
    used = [
        min(memory_bytes * 97 // 100, (s // c + base)) // _PAGE * _PAGE
        for s, c in zip(sums.rss[i:j], cover, strict=True)
    ]
    cached = [(memory_bytes - v) * n // (ONE * 2) // _PAGE * _PAGE
              for v, n in zip(used, luck, strict=True)]  # fmt: skip
    buffers = min(memory_bytes // 400, 1 << 30) // _PAGE * _PAGE
    free = [max(0, memory_bytes - v - c - buffers) for v, c in zip(used, cached, strict=True)]
    cached = [memory_bytes - v - f - buffers for v, f in zip(used, free, strict=True)]
    columns["memory_total_bytes"] = make.constant(memory_bytes)
    columns["memory_free_bytes"] = make.gauge(free)
    columns["memory_buffers_bytes"] = make.constant(buffers)
    columns["memory_cached_bytes"] = make.gauge(cached)
    columns["running_domains"] = make.sums(sums.running[i:j])
    columns["defined_domains"] = make.gauge(list(defined[i:j]))
    columns["assigned_vcpus"] = make.sums(sums.vcpus[i:j])
    columns["assigned_memory_bytes"] = make.sums(sums.memory[i:j])
    columns["cpu_busy_ns"] = make.counter(list(map(add, user, system)), most=most)
    columns["memory_used_bytes"] = make.gauge(used)
    return Rolled(list(range(first, last + 1)), columns)


def _cover(begin: int, end: int, width: int, first: int, last: int) -> list[int]:
    """How many minutes of each bucket lie between two."""
    cover = [width] * (last - first + 1)
    cover[0] -= begin - first * width
    cover[-1] -= (last + 1) * width - end
    return cover


class _Maker:
    """Makes the columns of one part; weights are shared by all that have the same."""

    def __init__(
        self, cover: list[int], counted: list[int], span: Span, key: tuple[object, ...], *,
        exact: bool = False,
    ) -> None:  # fmt: skip
        self._cover = cover
        self._exact = exact
        self._counted = counted
        self._width = width = span.width
        self._fine = span.fine
        self._weight = [MINUTE_MS * c for c in counted]
        self._count = len(cover)
        self._key = key
        self._columns = 0
        # Where a bucket is seen in part, what is made up for the whole of it is cut down.
        edges = {0, self._count - 1}
        self._cuts = [k for k in edges if counted[k] != width]
        if width > 1:
            self._below = piece(spread(width, upwards=False), self._count + 64, "below", *key)
            self._above = piece(spread(width, upwards=True), self._count + 64, "above", *key)

    def counter(
        self, values: list[int], type_: SeriesType = "counter", most: int | None = None
    ) -> Column:
        """What was counted in whole buckets."""
        if self._cuts:
            values = list(values)
        for k in self._cuts:
            whole = self._cover[k] if self._exact else self._width
            values[k] = values[k] * self._counted[k] // whole
        if self._width == 1:
            return Column(type_, self._weight, values)
        per = 1000 * RATE_PER_S[type_]
        rates = [v * per // w if w else 0 for v, w in zip(values, self._weight, strict=True)]
        below, above = self._tables()
        # In steps of a sixteenth of the mean, which compress well.
        step = 1 if self._fine else max(1, sum(rates) // len(rates) >> 4)
        low = [r - (r * b >> 12) // step * step for r, b in zip(rates, below, strict=True)]
        high = [r + (r * a >> 12) // step * step for r, a in zip(rates, above, strict=True)]
        if most is not None:
            high = [min(h, most) for h in high]
        return Column(type_, self._weight, values, low, high)

    def none(self) -> Column:
        """Events that did not happen."""
        nothing = [0] * self._count
        if self._width == 1:
            return Column("events", self._weight, nothing)
        return Column("events", self._weight, nothing, nothing, nothing)

    def gauge(self, values: list[int]) -> Column:
        """A gauge that moves a little around these values."""
        if self._width == 1:
            return Column("gauge", self._cover, values)
        below, above = self._tables()
        total = [v * c for v, c in zip(values, self._cover, strict=True)]
        step = max(1, sum(values) // len(values) >> 9 & -_PAGE)
        step = min(step, _PAGE) if self._fine else step
        low = [v - (v * b >> 17) // step * step for v, b in zip(values, below, strict=True)]
        high = [v + (v * a >> 17) // step * step for v, a in zip(values, above, strict=True)]
        return Column("gauge", self._cover, total, low, high)

    def constant(self, value: int) -> Column:
        """A gauge that does not move."""
        same = [value] * self._count
        if self._width == 1:
            return Column("gauge", self._cover, same)
        return Column("gauge", self._cover, [value * c for c in self._cover], same, same)

    def sums(self, totals: list[int]) -> Column:
        """A gauge of which the sums over the buckets are known."""
        if self._width == 1:
            return Column("gauge", self._cover, totals)
        low = [t // c for t, c in zip(totals, self._cover, strict=True)]
        high = [-(-t // c) for t, c in zip(totals, self._cover, strict=True)]
        return Column("gauge", self._cover, totals, low, high)

    def unknown(self) -> Column:
        """A gauge that nobody tells."""
        nothing = [0] * self._count
        if self._width == 1:
            return Column("gauge", nothing, nothing)
        return Column("gauge", nothing, nothing, nothing, nothing)

    def _tables(self) -> tuple[list[int], list[int]]:
        """Spreads of one's own for each column."""
        self._columns = (self._columns + 7) % 64
        place = self._columns
        end = place + self._count
        return self._below[place:end], self._above[place:end]
