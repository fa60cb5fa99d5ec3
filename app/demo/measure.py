"""What is measured of one made-up host over its whole past: chunks, rows of the day, samples.

Pure but for its length: a process of its own may do it. Works object by object, stretch by
stretch, as the compaction would have.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from msgspec import Struct

from app.clock import MINUTE_MS
from app.demo.machines import Machine
from app.demo.plan import DAY, Plan
from app.demo.series import Sums, domain_part, host_part, no_sums, shapes
from app.demo.spans import Keep, Part, Span, seen, spans, today, visible
from app.demo.storage import MadePool, MadeVolume
from app.demo.world import HostWorld
from app.inventory import KIND_BY_NAME, KindName
from app.store import keyframes, schema
from app.store.buckets import Column, Rolled
from app.store.codec import encode
from app.store.differing import HOST_KEY, volume_key
from app.store.raw import Object
from app.store.rollup import merge
from app.store.tiers import Tier, chunk_id, daily_row, tiers_of
from app.store.values import Divisors

VOLUMES_EVERY = 15

Row = tuple[int | None, ...]


class Task(Struct):
    """A host to measure: its world, its row's id, and the ids of what was seen on it. `recent`:
    the samples and what stands by the minute; else what came before that.
    """

    host: HostWorld
    host_id: int
    entity_ids: Mapping[tuple[str, str], int]
    keep: Keep
    offset_ms: int
    recent: bool


class Batch(Struct):
    """What is to be stored of one object, and its hours by day, for the keyframes."""

    kind: KindName
    entity_id: int
    chunks: dict[int, bytes]
    days: list[dict[str, Any]]
    samples: list[Row]
    hours: dict[int, Rolled]


class Keyframe(Struct):
    """A keyframe that is to be stored."""

    kind: KindName
    day: int
    body: bytes


def measure(task: Task) -> list[Batch | Keyframe]:
    """All of a host, its domains first, because it does what they do together."""
    return list(measured(task))


def measured(task: Task) -> Iterator[Batch | Keyframe]:
    """As `measure`, one after the other; the keyframes come last."""
    hours: dict[tuple[KindName, int], dict[int, Rolled]] = {}
    for batch in _objects(task):
        for day, rolled in batch.hours.items():
            hours.setdefault((batch.kind, day), {})[batch.entity_id] = rolled
        batch.hours = {}
        yield batch
    for (kind, day), of_day in hours.items():
        body = keyframes.encode(kind, day, of_day)
        if body is not None:
            yield Keyframe(kind, day, body)


def _objects(task: Task) -> Iterator[Batch]:
    host, plan = task.host, task.host.plan
    cut = [span for span in spans(plan, task.keep) if (span.width == 1) == task.recent]
    if task.recent:
        cut.append(today(plan))
    sums = {span.begin: no_sums(span.count) for span in cut}
    last, part = plan.end, host.part_given()
    for uuid, machine in host.known.items():
        number = task.entity_ids.get(("domain", uuid))
        runs = host.runs.get(uuid, [])
        if number is not None and runs:
            parts = seen(runs, host.silences, last)
            yield _domain(task, number, machine, parts, cut, sums, part)
    yield _host(task, cut, sums)
    for pool in host.pools:
        number = task.entity_ids.get(("pool", pool.uuid))
        if number is not None:
            yield _pool(task, number, pool, cut)
        named: dict[str, list[MadeVolume]] = {}
        for volume in pool.volumes:
            named.setdefault(volume.name, []).append(volume)
        for name, volumes in named.items():
            number = task.entity_ids.get(("volume", volume_key(pool.uuid, name)))
            if number is not None:
                yield _volume(task, number, pool, volumes, cut)


# --- domains and the host ------------------------------------------------------------------


def _domain(
    task: Task, number: int, machine: Machine, parts: Sequence[Part], cut: Sequence[Span],
    sums: Mapping[int, Sums], part_given: int,
) -> Batch:  # fmt: skip
    plan = task.host.plan
    runs = task.host.runs[machine.spec.uuid]
    cpus = [(run.begin * MINUTE_MS, run.vcpus) for run in runs]
    gathering = _Gathering(task, Object(number, task.host_id, "domain"), cpus, plan)
    raw = _Raw(task, "domain", number)
    for span in cut:
        within = _within(parts, span)
        if not within:
            continue
        made = shapes(machine.spec, plan, span, part_given)
        found = []
        for part in within:
            rolled = domain_part(machine, made, span, part, sums[span.begin])
            if rolled is not None:
                found.append(rolled)
                raw.add(span, rolled, part)
        gathering.add(span, found)
    return gathering.batch(raw.rows)


def _host(task: Task, cut: Sequence[Span], sums: Mapping[int, Sums]) -> Batch:
    host, plan = task.host, task.host.plan
    number = task.entity_ids[("host", HOST_KEY)]
    memory = host.memory_gib * (1 << 30) - 600 * (1 << 20)
    cpus = [(plan.begin * MINUTE_MS, host.site.threads)]
    gathering = _Gathering(task, Object(number, task.host_id, "host"), cpus, plan)
    raw = _Raw(task, "host", number)
    parts = visible(plan.begin, host.silences, plan.end)
    for span in cut:
        found = []
        defined = _steps(host.defined, span)
        for part in _within(parts, span):
            rolled = host_part(
                span, part, sums[span.begin], host.site.threads, memory, defined, host.slug
            )
            if rolled is not None:
                found.append(rolled)
                raw.add(span, rolled, part)
        gathering.add(span, found)
    return gathering.batch(raw.rows)


def _within(parts: Sequence[Part], span: Span) -> list[Part]:
    begin, end = span.begin * DAY, span.end * DAY
    return [part for part in parts if part.begin < end and part.end > begin]


def _steps(steps: Sequence[tuple[int, int]], span: Span) -> list[int]:
    """What held in the middle of each bucket."""
    times = [minute for minute, _ in steps]
    found = []
    for bucket in range(span.first, span.first + span.count):
        place = bisect_right(times, bucket * span.width + span.width // 2) - 1
        found.append(steps[place][1] if place >= 0 else 0)
    return found


# --- storage -------------------------------------------------------------------------------


def _pool(task: Task, number: int, pool: MadePool, cut: Sequence[Span]) -> Batch:
    plan = task.host.plan
    gathering = _Gathering(task, Object(number, task.host_id, "pool"), [], plan)
    raw = _Raw(task, "pool", number)
    parts = _of_pool(task.host, pool)
    for span in cut:
        found = []
        for part in _within(parts, span):
            rolled = _pool_part(pool, span, part)
            found.append(rolled)
            raw.add(span, rolled, part)
        gathering.add(span, found)
    return gathering.batch(raw.rows)


def _of_pool(host: HostWorld, pool: MadePool) -> list[Part]:
    """When a pool was seen active."""
    plan = host.plan
    found = []
    for part in visible(plan.begin, host.silences, plan.end):
        begin = part.begin
        for stop, again in pool.stops:
            end = part.end if again is None else again
            if stop >= part.end or end <= begin:
                continue
            if stop > begin:
                found.append(Part(begin, stop, fresh=False))
            begin = end
        if begin < part.end:
            found.append(Part(begin, part.end, fresh=False))
    return found


def _pool_part(pool: MadePool, span: Span, part: Part) -> Rolled:
    width = span.width
    begin, end = max(part.begin, span.begin * DAY), min(part.end, span.end * DAY)
    first, last = begin // width, (end - 1) // width
    buckets = range(first, last + 1)
    cover = [width] * len(buckets)
    cover[0] -= begin - first * width
    cover[-1] -= (last + 1) * width - end
    hours = range(begin // 60, end // 60 + 2)
    marks = [pool.allocation(hour * 60) for hour in hours]
    there = [pool.present(hour * 60 + 30) for hour in hours]
    promised = [sum(one.capacity_bytes for one in some) for some in there]
    base = hours[0]

    def taken(minute: int) -> int:
        hour, rest = divmod(minute, 60)
        here, after = marks[hour - base], marks[min(hour - base + 1, len(marks) - 1)]
        return (here + (after - here) * rest // 60) // 4096 * 4096

    starts = [taken(bucket * width) for bucket in buckets]
    ends = [taken(min((bucket + 1) * width - 1, end)) for bucket in buckets]
    hour_of = [bucket * width // 60 - base for bucket in buckets]

    def gauge(lows: Sequence[int], highs: Sequence[int]) -> Column:
        low = list(map(min, lows, highs))
        high = list(map(max, lows, highs))
        if width == 1:
            return Column("gauge", cover, low)
        total = [(a + b) // 2 * c for a, b, c in zip(low, high, cover, strict=True)]
        return Column("gauge", cover, total, low, high)

    def same(values: list[int]) -> Column:
        if width == 1:
            return Column("gauge", cover, values)
        total = [v * c for v, c in zip(values, cover, strict=True)]
        return Column("gauge", cover, total, values, values)

    whole = pool.capacity_bytes
    return Rolled(
        list(buckets),
        {
            "capacity_bytes": same([whole] * len(cover)),
            "allocation_bytes": gauge(starts, starts if width == 1 else ends),
            "available_bytes": gauge(
                [whole - v for v in starts], [whole - v for v in (starts if width == 1 else ends)]
            ),
            "volumes_capacity_bytes": same([promised[hour] for hour in hour_of]),
            "volume_count": same([len(there[hour]) for hour in hour_of]),
        },
    )


def _volume(
    task: Task, number: int, pool: MadePool, lives: Sequence[MadeVolume], cut: Sequence[Span]
) -> Batch:
    """A volume by the hour; it is measured every quarter of one. One of the same name may have
    been deleted before.
    """
    plan = task.host.plan
    gathering = _Gathering(task, Object(number, task.host_id, "volume"), [], plan)
    rows: list[Row] = []
    raw_from = (today(plan).begin - task.keep.raw_days) * DAY
    parts = []
    for part in _of_pool(task.host, pool):
        for volume in lives:
            gone = plan.end + 1 if volume.gone is None else volume.gone
            begin, end = max(part.begin, volume.made), min(part.end, gone)
            if begin < end:
                parts.append((Part(begin, end, fresh=False), volume))
    parts.sort(key=lambda one: one[0].begin)
    for span in cut:
        hours: dict[int, list[int]] = {}
        step = VOLUMES_EVERY if span.width == 1 else 60
        for part, volume in parts:
            begin, end = max(part.begin, span.begin * DAY), min(part.end, span.end * DAY)
            for minute in range(-(-begin // step) * step, end, step):
                value = volume.allocation(minute)
                hours.setdefault(minute // 60, []).append(value)
                if span.width == 1 and minute >= raw_from:
                    rows.append((minute * MINUTE_MS + task.offset_ms, number, value))
        if hours:
            gathering.add(span, [_hourly(hours, 1 if span.width == 1 else 60 // VOLUMES_EVERY)])
    return gathering.batch(rows)


def _hourly(hours: Mapping[int, list[int]], times: int) -> Rolled:
    weight = [len(values) * times for values in hours.values()]
    total = [sum(values) * times for values in hours.values()]
    low = [min(values) for values in hours.values()]
    high = [max(values) for values in hours.values()]
    return Rolled(list(hours), {"allocation_bytes": Column("gauge", weight, total, low, high)})


# --- putting together ----------------------------------------------------------------------


class _Gathering:
    """The chunks and days of one object."""

    def __init__(
        self, task: Task, wanted: Object, cpus: Sequence[tuple[int, int]], plan: Plan
    ) -> None:
        self._wanted = wanted
        self._cpus = cpus
        self._today = today(plan).begin
        self._hours: dict[int, Rolled] = {}
        self._parts: dict[tuple[Tier, int], list[tuple[int, Rolled]]] = {}
        self._days: list[dict[str, Any]] = []

    def add(self, span: Span, found: Sequence[Rolled]) -> None:
        """Take what was seen in a stretch that is over."""
        if not found or span.begin >= self._today:
            return
        whole = merge(found, 1)
        kept = [
            tier for tier in tiers_of(self._wanted.kind) if tier.width_ms >= span.width * MINUTE_MS
        ]
        levels = [whole]
        for finer, tier in pairwise(kept):
            levels.append(merge([levels[-1]], tier.width_ms // finer.width_ms))
        for tier, rolled in zip(kept, levels, strict=True):
            first = span.begin - span.begin % tier.span_days
            self._parts.setdefault((tier, first), []).append((span.begin, rolled))
        self._rows(span, levels[0], levels[-1], kept[0].width_ms, kept[-1].width_ms)

    def _rows(
        self, span: Span, finest: Rolled, coarsest: Rolled, width_ms: int, coarse_ms: int
    ) -> None:
        for day in range(span.begin, span.end):
            fine = _of_day(finest, day, width_ms)
            if not fine.starts:
                continue
            coarse = fine if width_ms == coarse_ms else _of_day(coarsest, day, coarse_ms)
            self._hours[day] = coarse
            row = daily_row(self._wanted, day, fine, coarse, width_ms, self._divisors(day))
            if row is not None:
                self._days.append(row)

    def _divisors(self, day: int) -> Divisors:
        begin_ms, end_ms = day * DAY * MINUTE_MS, (day + 1) * DAY * MINUTE_MS
        times = [at_ms for at_ms, _ in self._cpus]
        first = max(0, bisect_right(times, begin_ms) - 1)
        held = self._cpus[first : bisect_left(times, end_ms)]
        return Divisors([at_ms for at_ms, _ in held], [count for _, count in held])

    def batch(self, rows: list[Row]) -> Batch:
        """Everything that is to be stored of the object."""
        number = self._wanted.entity_id
        chunks = {
            chunk_id(number, tier, parts[0][0]): encode(merge([part for _, part in parts], 1))
            for (tier, _), parts in self._parts.items()
        }
        return Batch(self._wanted.kind, number, chunks, self._days, rows, self._hours)


def _of_day(rolled: Rolled, day: int, width_ms: int) -> Rolled:
    """The buckets of one day."""
    per_day = DAY * MINUTE_MS // width_ms
    starts = rolled.starts
    i, j = bisect_left(starts, day * per_day), bisect_left(starts, (day + 1) * per_day)
    return rolled if i == 0 and j == len(starts) else rolled.part(slice(i, j))


class _Raw:
    """The samples of the last days, told from what was counted in each minute."""

    def __init__(self, task: Task, kind: KindName, number: int) -> None:
        self.rows: list[Row] = []
        self._number = number
        self._offset_ms = task.offset_ms
        self._begin = task.host.plan.begin
        self._from = today(task.host.plan).begin - task.keep.raw_days
        self._names = schema.sample_columns(KIND_BY_NAME[kind])
        self._started: int | None = None
        self._last_minute = 0
        self._counted: dict[str, int] = {}

    def add(self, span: Span, rolled: Rolled, part: Part) -> None:
        """Take the minutes of a stretch."""
        if span.begin < self._from or span.width != 1:
            return
        started = part.run.started if part.run is not None else self._begin
        minutes = rolled.starts
        known = started == self._started
        columns: list[Sequence[int | None]] = []
        for name in self._names:
            column = rolled.columns.get(name)
            if column is None:
                columns.append([None] * len(minutes))
            elif column.type == "gauge":
                is_seen = column.weight.any()
                columns.append(column.total.tolist() if is_seen else [None] * len(minutes))
            else:
                deltas = column.total.tolist()
                columns.append(self._count(name, deltas, minutes, started, known))
        times = [minute * MINUTE_MS + self._offset_ms for minute in minutes]
        self.rows.extend(zip(times, [self._number] * len(times), *columns, strict=True))
        self._started, self._last_minute = started, minutes[-1]

    def _count(
        self, name: str, deltas: Sequence[int], minutes: Sequence[int], started: int, known: bool
    ) -> Sequence[int]:
        """The counter after each minute; it went on while nobody looked."""
        usual = deltas[len(deltas) // 2]
        if known:
            before = self._counted[name]
            before += usual * max(0, minutes[0] - self._last_minute - 1)
        else:
            before = usual * max(0, minutes[0] - started)
        found = list(accumulate(deltas, initial=before))[1:]
        self._counted[name] = found[-1]
        return found
