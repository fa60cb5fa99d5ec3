"""What the capacity review of 1,000 domains over a year costs: cold, again, and after a scan."""

import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from app.capacity.growth import growth
from app.capacity.overcommit import overcommit
from app.capacity.periods import period
from app.capacity.placement import place, wish
from app.clock import DAY_MS, now_ms
from app.connection import Connection
from app.store import schema
from app.store.capacity import evidence
from app.store.engine import Store
from app.store.history import fleet
from app.store.hosts import add_host, list_hosts
from app.store.record import Recorder
from app.store.tiers import day_text
from app.web.capacity_judged import Judged
from tests.fleet_support import KNOWN_MS, make_scan

HOSTS, DOMAINS, DAYS = 50, 20, 365
GIB = 1 << 30


def run() -> Iterator[str]:
    """Times of CPU and of the clock, of what is read and of all that is judged."""
    with tempfile.TemporaryDirectory() as text:
        path = Path(text, "npvirt.sqlite")
        store = Store.open(path)
        started_s = time.monotonic()
        _fill(store)
        yield (
            f"made up {HOSTS} hosts, {HOSTS * DOMAINS} domains, {DAYS} days of rows in "
            f"{time.monotonic() - started_s:.0f} s, {path.stat().st_size / 1e6:.0f} MB"
        )
        store.close()
        store = Store.open(path)
        fleet(store, None)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield from _told("cold, the fleet being known (at most 500 ms)", store)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield f"resident memory: {(after - before) / 1024:.0f} MiB more at its peak"
        yield from _told("again (at most 50 ms)", store)
        _scan(store, 60)
        fleet(store, None)
        yield from _told("after a scan of every host", store)
        store.close()


_kept: dict[int, Judged] = {}


def _told(what: str, store: Store) -> Iterator[str]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    seen = evidence(store, None)
    read_s, read_cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    known = _kept.get(id(seen))
    if known is None:
        known = _kept[id(seen)] = Judged(seen, frozenset(host.name for host in seen.hosts))
    parts = []
    for name, judge in _JUDGED.items():
        started_s = time.process_time()
        judge(known)
        parts.append(f"{name} {1000 * (time.process_time() - started_s):.0f}")
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    yield (
        f"{what}: {1000 * wall_s:.0f} ms, {1000 * cpu_s:.0f} ms of CPU (read {1000 * read_s:.0f}, "
        f"of CPU {1000 * read_cpu_s:.0f}; judged, of CPU: {', '.join(parts)})"
    )


def _growth(known: Judged) -> object:
    seen = known.evidence
    return growth(seen, period(seen.day - DAYS, seen.day + 1, today=seen.day, first_day=None))


def _place(known: Judged) -> object:
    return place(known.evidence, wish(4, 8 * GIB, 100 * GIB), known.outlook)


_JUDGED: dict[str, Callable[[Judged], object]] = {
    "outlooks": lambda known: known.outlook,
    "last month's": lambda known: known.last_month,
    "overcommit": lambda known: overcommit(known.evidence),
    "findings": lambda known: known.findings,
    "growth": _growth,
    "placement": _place,
    "losses": lambda known: known.losses,
}


def _fill(store: Store) -> None:
    for number in range(HOSTS):
        slug = f"kvm-{number + 1:02d}"
        add_host(store, slug, Connection(transport="ssh", host=f"{slug}.test", user="ops"))
    _scan(store, 0)
    today = now_ms() // DAY_MS
    with store.writing() as writing:
        for kind, table in schema.dailies.items():
            entity = schema.entity
            found = sa.select(entity.c.id).where(entity.c.kind == kind)
            ids = writing.execute(found).scalars().all()
            if ids:
                luck = random.Random(kind)
                _days(writing, table, list(ids), today, luck)
        writing.execute(
            sa.insert(schema.compacted),
            [
                {"host_id": record.id, "before_day": today, "last_scan_ms": 0}
                for record in list_hosts(store)
            ],
        )


def _days(
    writing: sa.Connection, table: sa.Table, ids: list[int], today: int, luck: random.Random
) -> None:
    """Every object on every day; its values wander."""
    names = [column.name for column in table.c][2:]
    size = {name: 0.3 if name.startswith("cpu") else 300e9 for name in names}
    base = {number: luck.uniform(0.5, 1.5) for number in ids}
    for day in range(today - DAYS, today):
        rows = []
        for number in ids:
            base[number] *= luck.uniform(0.98, 1.021)
            rows.append(
                {"day": day_text(day), "entity": number}
                | {name: value * base[number] for name, value in size.items()}
            )
        writing.execute(sa.insert(table), rows)


def _scan(store: Store, seconds: int) -> None:
    for number, record in enumerate(list_hosts(store)):
        scan = make_scan(number, record, now_ms(), DOMAINS, 600 + seconds)
        Recorder(store, record, KNOWN_MS).record(scan)
