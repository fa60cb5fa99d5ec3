"""Writing a made-up fleet and its past into a new store.

First what happened, look by look, as the scans would have recorded it; then what was measured,
host by host, in processes of their own where there is more than one CPU.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from app import clock
from app.access import Principal
from app.demo.measure import VOLUMES_EVERY, Batch, Task, measure
from app.demo.plan import DAY, MINUTE_MS, Plan, uuid_of
from app.demo.play import Act, Look, Play, at_ms, offset_ms
from app.demo.spans import Keep, today
from app.demo.world import HostWorld, World, took_ms
from app.store.audit import Attempt
from app.store.engine import Store
from app.store.fill import Done, Filling, Tick, filling
from app.store.hosts import HostRecord
from app.store.record import Recorder
from app.store.tiers import DAY_MS, TENS

Say = Callable[[str], None]

_TOGETHER = 400


def build(store: Store, plan: Plan, keep: Keep | None = None, say: Say | None = None) -> World:
    """Fill a new, empty store with the fleet of `plan`; the world as it is in the end."""
    keep = keep or Keep()
    say = say or (lambda _: None)
    say(f"Making up {plan.domains} VMs on {plan.hosts} hosts and {plan.days} days of their past …")
    played = Play(plan)
    world = played.world
    records = _register(store, world)
    began_s = clock.monotonic_s()
    looks = _play(store, played, records)
    say(f"… what happened: {looks} scans that found something new "
        f"({clock.monotonic_s() - began_s:.0f} s)")  # fmt: skip
    _scans(store, world, records, keep)
    _measures(store, world, records, keep, say)
    _close(store, plan, records, keep)
    return world


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


def _play(store: Store, played: Play, records: Mapping[str, HostRecord]) -> int:
    recorders = {slug: Recorder(store, record, MINUTE_MS) for slug, record in records.items()}
    last: dict[str, int] = {}
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
                    continue
                _look(filler, one, recorders[one.slug], records[one.slug], last)
                count += 1
    return count


def _look(
    filler: Filling, one: Look, recorder: Recorder, record: HostRecord, last: dict[str, int]
) -> None:
    before = one.minute - 1
    if not one.first and last.get(one.slug, before) < before:
        tick = Tick(at_ms(one.slug, before), took_ms(one.slug, before))
        filler.went_on(recorder, record.id, tick, MINUTE_MS)
    filler.record(recorder, one.scan)
    last[one.slug] = one.minute


def _done(act: Act, records: Mapping[str, HostRecord]) -> Done:
    record = records[act.slug]
    attempt = Attempt(
        Principal("user", act.who, "operator"), "127.0.0.1", act.action, "domain", record.id,
        act.slug, act.uuid, act.name,
    )  # fmt: skip
    return Done(attempt, at_ms(act.slug, act.minute) - 21_000, 640)


# --- scans ---------------------------------------------------------------------------------


def _scans(store: Store, world: World, records: Mapping[str, HostRecord], keep: Keep) -> None:
    """The scans that found nothing new: every one of the last days, of older ones a few."""
    raw_from = (today(world.plan).begin - keep.raw_days) * DAY_MS
    for slug, host in world.hosts.items():
        record = records[slug]
        with filling(store) as filler:
            known = filler.scan_times(record.id)
            ticks = (tick for tick in _ticks(host, keep) if tick.at_ms not in known)
            filler.ticks(record.id, ticks, MINUTE_MS)
            filler.were_measured(record.id, raw_from)


def _ticks(host: HostWorld, keep: Keep) -> Iterator[Tick]:
    plan = host.plan
    recent = (today(plan).begin - keep.minute_days) * DAY
    silences = iter(host.silences)
    gap = next(silences, None)
    for minute in range(plan.begin, plan.end + 1):
        while gap is not None and gap.end is not None and gap.end <= minute:
            gap = next(silences, None)
        silent = gap is not None and gap.begin <= minute
        if minute < recent and minute % 60 and not (silent and gap and minute == gap.begin):
            continue
        if silent and gap is not None:
            if gap.problem is not None:
                failed = (gap.problem, gap.sentence or "")
                yield Tick(at_ms(host.slug, minute), 10_000, failed=failed)
            continue
        yield Tick(
            at_ms(host.slug, minute), took_ms(host.slug, minute), minute % VOLUMES_EVERY == 0
        )


# --- measurements --------------------------------------------------------------------------


def _measures(
    store: Store, world: World, records: Mapping[str, HostRecord], keep: Keep, say: Say
) -> None:
    tasks = []
    with filling(store) as filler:
        for slug, host in world.hosts.items():
            ids = filler.entity_ids(records[slug].id)
            tasks.append(Task(host, records[slug].id, ids, keep, offset_ms(slug)))
    began_s = clock.monotonic_s()
    for place, batches in enumerate(_made(tasks), start=1):
        _write(store, batches)
        spent = clock.monotonic_s() - began_s
        say(f"… what was measured: {place} of {len(tasks)} hosts ({spent:.0f} s)")


def _made(tasks: list[Task]) -> Iterator[list[Batch]]:
    workers = min(len(os.sched_getaffinity(0)), len(tasks), 4)
    if workers < 2 or tasks[0].host.plan.days < 40:
        yield from map(measure, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(measure, tasks)


def _write(store: Store, batches: list[Batch]) -> None:
    with filling(store) as filler:
        for batch in batches:
            filler.chunks(batch.chunks)
            filler.days(batch.kind, batch.days)
            filler.samples(batch.kind, batch.samples)


def _close(store: Store, plan: Plan, records: Mapping[str, HostRecord], keep: Keep) -> None:
    """Say how far compaction and retention came."""
    day = today(plan).begin
    tens = (day - keep.ten_days) // TENS.span_days * TENS.span_days
    with filling(store) as filler:
        for record in records.values():
            filler.compacted(record.id, day)
        first = plan.begin // DAY
        for tier, from_day in (
            ("recent", day - keep.raw_days), ("1m", day - keep.minute_days), ("10m", tens),
        ):  # fmt: skip
            if from_day > first:
                filler.horizon(tier, from_day * DAY_MS)
