"""What it costs to read series: a domain's month and year, its day beside a thousand others, what
the VMs of a host take of it, and the sparklines of all.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa
from msgspec.structs import fields

from app.clock import DAY_MS
from app.connection import Connection
from app.inventory import Domain, DomainSample, Host, HostSample, Scan
from app.metrics import METRIC_BY_NAME, series_of
from app.store import schema, tiers
from app.store.engine import Store
from app.store.hosts import add_host
from app.store.raw import Object
from app.store.record import Recorder
from app.store.rollup import Samples
from app.store.sampled import Since
from app.store.series import find_object, series
from app.store.sparks import HALF_HOUR_MS, sparks
from app.store.together import stack
from tests.bench.tiers import DOMAINS, Guest

_DAYS = 400
_DAY = 20_500
_TICK_MS = 60_000
_RECENT_TICKS = 26 * 60
_TIMES = 15
_MEASURED = (
    "cpu", "memory_bytes", "memory_usable_bytes", "memory_rss_bytes", "disk_read_bytes",
    "disk_write_bytes", "net_rx_bytes", "net_tx_bytes",
)  # fmt: skip
_METRICS = [METRIC_BY_NAME["domain", name] for name in _MEASURED]


def run() -> Iterator[str]:
    """Milliseconds of each."""
    with tempfile.TemporaryDirectory() as text:
        store = Store.open(Path(text, "npvirt.sqlite"))
        yield from _long(store)
        store.close()
    with tempfile.TemporaryDirectory() as text:
        store = Store.open(Path(text, "npvirt.sqlite"))
        yield from _recent(store)
        store.close()


def _long(store: Store) -> Iterator[str]:
    """A domain and its host for more than a year, all in chunks."""
    domain = _years(store)
    end_ms = (_DAY + _DAYS) * DAY_MS
    for name, days in (("month", 30), ("year", 365)):
        from_ms = end_ms - days * DAY_MS
        found = series(store, domain, _METRICS, from_ms, end_ms, 1000)
        assert all(any(line.average) for line in found.lines.values())
        took = _took(lambda begin=from_ms: series(store, domain, _METRICS, begin, end_ms, 1000))  # type: ignore[misc]
        yield (
            f"a domain's {name}, {len(_METRICS)} columns, {len(found.starts_ms)} points of the "
            f"tier {found.tier}: {took} (target 15)"
        )


def _took(work: Callable[[], object]) -> str:
    times = []
    for _ in range(_TIMES):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return f"median {1000 * statistics.median(times):.1f}, least {1000 * min(times):.1f} ms"


def _years(store: Store) -> Object:
    record = add_host(store, "kvm-01", Connection())
    first_ms = _DAY * DAY_MS
    uuid = "00000000-0000-4000-8000-000000000001"
    fact = Domain(uuid=uuid, name="vm", state="running", id=1, vcpus=2)
    Recorder(store, record, _TICK_MS).record(
        Scan(
            at_ms=first_ms, took_ms=9, ok=True, host=Host(uri="qemu:///system"),
            domains={uuid: fact},
        )
    )  # fmt: skip
    domain = find_object(store, record.id, "domain", uuid)
    host = find_object(store, record.id, "host", "host")
    assert domain is not None
    assert host is not None
    guest = Guest(2)
    names = [field.name for field in fields(DomainSample)]
    types = {one.name: one.type for one in series_of("domain")}
    last = [getattr(guest.sample(), name) for name in names]
    for day in range(_DAY, _DAY + _DAYS):
        rows = [last] + [[getattr(one, name) for name in names] for one in _day_of(guest)]
        last = rows[-1]
        times = [day * DAY_MS + minute * _TICK_MS + 500 for minute in range(-1, 1440)]
        elapsed = [0] + [_TICK_MS] * 1440
        columns = {
            name: (types[name], values)
            for name, values in zip(names, zip(*rows, strict=True), strict=True)
            if values[0] is not None
        }
        _write(
            store, domain, day, Samples(times, elapsed, columns, skip=1), [Since(first_ms, fact)]
        )
        busy = {"cpu_idle_ns": (types["cpu_time_ns"], range(len(times)))}
        _write(store, host, day, Samples(times, elapsed, busy, skip=1), [])
    for wanted in (domain, host):
        for tier in tiers.TIERS:
            _consolidate(store, wanted, tier)
    with store.writing() as connection:
        connection.execute(
            sa.insert(schema.compacted).values(
                host_id=record.id, before_day=_DAY + _DAYS,
                last_scan_ms=(_DAY + _DAYS) * DAY_MS,
            )
        )  # fmt: skip
        tiers.move_horizon(connection, "recent", (_DAY + _DAYS - 2) * DAY_MS)
        tiers.move_horizon(connection, "1m", (_DAY + _DAYS - 14) * DAY_MS)
        tiers.move_horizon(connection, "10m", (_DAY + _DAYS - 90) * DAY_MS)
    return domain


def _day_of(guest: Guest) -> list[DomainSample]:
    return [guest.sample() for _ in range(1440)]


def _write(store: Store, wanted: Object, day: int, samples: Samples, facts: list[Since]) -> None:
    found = tiers.compact(wanted, day, samples, facts)
    assert found is not None
    with store.writing() as connection:
        tiers.write(connection, wanted.kind, [found])


def _consolidate(store: Store, wanted: Object, tier: tiers.Tier) -> None:
    if tier.span_days == 1:
        return
    for first in range(_DAY - _DAY % tier.span_days, _DAY + _DAYS, tier.span_days):
        with store.writing() as connection:
            body = tiers.consolidated(connection, wanted.entity_id, tier, first)
            if body is not None:
                tiers.replace(connection, wanted.entity_id, tier, first, body)


def _recent(store: Store) -> Iterator[str]:
    """A day and some of a thousand domains on twenty hosts, sample by sample."""
    hosts, guests = 20, [Guest(number) for number in range(DOMAINS)]
    each = DOMAINS // hosts
    first_ms = _DAY * DAY_MS
    recorders, domains = [], []
    for number in range(hosts):
        record = add_host(store, f"kvm-{number:02d}", Connection())
        recorders.append((record.id, Recorder(store, record, _TICK_MS)))
        uuids = [f"00000000-0000-4000-8000-{number * each + n:012d}" for n in range(each)]
        domains.append({u: Domain(u, u[-4:], "running", id=1, vcpus=2) for u in uuids})
    for tick in range(_RECENT_TICKS):
        for number, (_, recorder) in enumerate(recorders):
            mine = guests[number * each : (number + 1) * each]
            samples = (guest.sample() for guest in mine)
            recorder.record(
                Scan(
                    at_ms=first_ms + tick * _TICK_MS + number, took_ms=9, ok=True,
                    host_sample=HostSample(cpu_idle_ns=tick), domains=domains[number],
                    domain_samples=dict(zip(domains[number], samples, strict=True)),
                )
            )  # fmt: skip
    end_ms = first_ms + _RECENT_TICKS * _TICK_MS
    host_id = recorders[3][0]
    domain = find_object(store, host_id, "domain", next(iter(domains[3])))
    assert domain is not None
    from_ms = end_ms - DAY_MS
    one = _took(lambda: series(store, domain, _METRICS, from_ms, end_ms, 300))
    yield f"a domain's last 24 hours of samples, one of {DOMAINS}, to 300 points: {one}"
    one = _took(lambda: stack(store, host_id, "cpu", from_ms, end_ms, 300))
    yield f"what {each} domains took of their host in 24 hours, to 300 points: {one}"
    started = time.perf_counter()
    found = sparks(store, "domain", end_ms - HALF_HOUR_MS)
    first = time.perf_counter() - started
    started = time.perf_counter()
    sparks(store, "domain", end_ms)
    after = time.perf_counter() - started
    yield (
        f"sparklines of {len(found)} domains: {1000 * first:.0f} ms at first, "
        f"{1000 * after:.0f} ms half an hour later, nothing between"
    )
