"""Writing a made-up fleet and its past into a new store.

First what happened, look by look, as the scans would have recorded it; then what was measured in
the last days; that is enough to show. The older measurements may come later, beside a server.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, groupby
from multiprocessing import get_context

from app import clock
from app.access import Principal
from app.clock import DAY_MS, MINUTE_MS
from app.demo.measure import VOLUMES_EVERY, Batch, Keyframe, Task, measure, measured
from app.demo.plan import DAY, Plan, uuid_of
from app.demo.play import Act, Look, Play, at_ms, offset_ms
from app.demo.spans import Keep, today
from app.demo.world import HostWorld, World, took_ms
from app.store.audit import Attempt
from app.store.engine import Store
from app.store.fill import Done, Filling, Tick, filling
from app.store.hosts import HostRecord, list_hosts
from app.store.record import Recorder
from app.store.tiers import TENS

Say = Callable[[str], None]

_TOGETHER = 400


def build(store: Store, plan: Plan, keep: Keep | None = None, say: Say = lambda _: None) -> World:
    """Fill a new, empty store with all of the fleet of `plan`; the world as it is in the end."""
    keep = keep or Keep()
    world = build_recent(store, plan, keep, say)
    _measure(store, world, keep, say, recent=False)
    return world


def build_recent(store: Store, plan: Plan, keep: Keep, say: Say) -> World:
    """The same without the measurements of before the last days."""
    say(f"Making up {plan.domains} VMs on {plan.hosts} hosts and {plan.days} days of their past …")
    played = Play(plan)
    world = played.world
    began_s = clock.monotonic_s()
    records = _register(store, world)
    looks = _play(store, played, records, keep)
    _scans(store, world, records, keep)
    spent = clock.monotonic_s() - began_s
    say(f"… what happened: {looks} scans that found something new ({spent:.0f} s)")
    _measure(store, world, keep, say, recent=True)
    _close(store, plan, records, keep)
    return world


def build_older(store: Store, plan: Plan, keep: Keep, going_on: Callable[[], bool]) -> bool:
    """Add the measurements that `build_recent` left out, object by object, as long as
    `going_on`; whether they are all there now. Doing it again does no harm.
    """
    played = Play(plan)
    for _ in played.run():
        pass
    for task in _tasks(store, played.world, keep, recent=False):
        for one in measured(task):
            if not going_on():
                return False
            _write(store, task.host_id, [one])
    return True


def _register(store: Store, world: World) -> dict[str, HostRecord]:
    plan = world.plan
    with filling(store) as filler:
        return {
            slug: filler.add_host(
                slug, host.site.connection, uuid_of(plan.seed, "host", slug),
                (plan.begin - 5) * MINUTE_MS,
            )
            for slug, host in world.hosts.items()
        }  # fmt: skip


# --- what happened -------------------------------------------------------------------------


def _play(store: Store, played: Play, records: Mapping[str, HostRecord], keep: Keep) -> int:
    often = (today(played.plan).begin - keep.minute_days) * DAY
    diary = _Diary(store, records, often, keep.seldom)
    count = 0
    told = played.run()
    going = True
    while going:
        with filling(store) as filler:
            for _ in range(_TOGETHER):
                one = next(told, None)
                if one is None:
                    going = False
                    break
                if isinstance(one, Act):
                    filler.done([_done(one, records)])
                else:
                    diary.look(filler, one)
                    count += 1
    return count


class _Diary:
    """Records looks, each after the ordinary scan before it."""

    def __init__(
        self, store: Store, records: Mapping[str, HostRecord], often: int, seldom: int
    ) -> None:
        self._store = store
        self._records = records
        self._often = often
        self._seldom = seldom
        self._recorders: dict[tuple[str, int], Recorder] = {}
        self._last: dict[str, int] = {}

    def look(self, filler: Filling, one: Look) -> None:
        """Record a look."""
        record = self._records[one.slug]
        interval_ms = MINUTE_MS * (1 if one.minute >= self._often else self._seldom)
        key = (one.slug, interval_ms)
        if key not in self._recorders:
            self._recorders[key] = Recorder(self._store, record, interval_ms)
        recorder = self._recorders[key]
        before = one.minute - 1
        if not one.first and self._last.get(one.slug, before) < before:
            tick = Tick(at_ms(one.slug, before), took_ms(one.slug, before))
            filler.went_on(recorder, record.id, tick, interval_ms)
        filler.record(recorder, one.scan)
        self._last[one.slug] = one.minute


def _done(act: Act, records: Mapping[str, HostRecord]) -> Done:
    record = records[act.slug]
    attempt = Attempt(
        Principal("user", act.who, "operator"), "127.0.0.1", act.action, "domain", record.id,
        act.slug, act.uuid, act.name,
    )  # fmt: skip
    return Done(attempt, at_ms(act.slug, act.minute) - 21_000, 640)


# --- scans ---------------------------------------------------------------------------------


def _scans(store: Store, world: World, records: Mapping[str, HostRecord], keep: Keep) -> None:
    """The scans that found nothing new: of the last days as rows, of older ones archived."""
    day = today(world.plan).begin
    often, raw = (day - keep.minute_days) * DAY, day - keep.raw_days
    for slug, host in world.hosts.items():
        record = records[slug]
        with filling(store) as filler:
            known = filler.scan_times(record.id)
            for number, ticks in groupby(
                _ticks(host, often, keep.seldom), lambda t: t.at_ms // DAY_MS
            ):
                if number >= raw:
                    new = [tick for tick in ticks if tick.at_ms not in known]
                    filler.ticks(record.id, new, MINUTE_MS)
                else:
                    interval_ms = MINUTE_MS * (1 if number * DAY >= often else keep.seldom)
                    filler.archive(record.id, number, ticks, interval_ms)
            filler.were_measured(record.id, raw * DAY_MS)


def _ticks(host: HostWorld, often: int, seldom: int) -> Iterator[Tick]:
    plan = host.plan
    silences = iter(host.silences)
    gap = next(silences, None)
    first = -(-plan.begin // seldom) * seldom
    early, late = range(first, often, seldom), range(max(often, plan.begin), plan.end + 1)
    for minute in chain(early, late):
        while gap is not None and gap.end is not None and gap.end <= minute:
            gap = next(silences, None)
        silent = gap is not None and gap.begin <= minute
        if silent and gap is not None:
            if gap.problem is not None:
                failed = (gap.problem, gap.sentence or "")
                yield Tick(at_ms(host.slug, minute), 10_000, failed=failed)
            continue
        volumes = minute % VOLUMES_EVERY == 0 or minute < often
        yield Tick(at_ms(host.slug, minute), took_ms(host.slug, minute), volumes)


# --- measurements --------------------------------------------------------------------------


def _tasks(store: Store, world: World, keep: Keep, *, recent: bool) -> list[Task]:
    records = {record.slug: record for record in list_hosts(store)}
    tasks = []
    with filling(store) as filler:
        for slug, host in world.hosts.items():
            if slug in records:
                number = records[slug].id
                ids = filler.entity_ids(number)
                tasks.append(Task(host, number, ids, keep, offset_ms(slug), recent))
    return tasks


def _measure(store: Store, world: World, keep: Keep, say: Say, *, recent: bool) -> None:
    tasks = _tasks(store, world, keep, recent=recent)
    began_s = clock.monotonic_s()
    when = "the last days" if recent else "the days before"
    for place, (task, found) in enumerate(zip(tasks, _made(tasks), strict=True), start=1):
        _write(store, task.host_id, found)
        spent = clock.monotonic_s() - began_s
        say(f"… what was measured in {when}: {place} of {len(tasks)} hosts ({spent:.0f} s)")


def _made(tasks: list[Task]) -> Iterator[list[Batch | Keyframe]]:
    """In processes of their own, where there are CPUs for them and it is worth it."""
    workers = min(len(os.sched_getaffinity(0)), len(tasks), 4)
    if workers < 2 or tasks[0].host.plan.domains < 40:
        yield from map(measure, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(measure, tasks)


def _write(store: Store, host_id: int, found: Iterable[Batch | Keyframe]) -> None:
    with filling(store) as filler:
        for one in found:
            if isinstance(one, Keyframe):
                filler.keyframe(host_id, one.kind, one.day, one.body)
                continue
            filler.chunks(one.chunks)
            filler.days(one.kind, one.days)
            filler.samples(one.kind, one.samples)


def _close(store: Store, plan: Plan, records: Mapping[str, HostRecord], keep: Keep) -> None:
    """Say how far compaction and retention came."""
    day = today(plan).begin
    tens = (day - keep.ten_days) // TENS.span_days * TENS.span_days
    first = plan.begin // DAY
    begins = (("recent", day - keep.raw_days), ("1m", day - keep.minute_days), ("10m", tens))
    with filling(store) as filler:
        for record in records.values():
            filler.compacted(record.id, day)
        for tier, from_day in begins:
            if from_day > first:
                filler.horizon(tier, from_day * DAY_MS)
