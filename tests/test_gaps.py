"""Gaps: told where nobody looked, by the interval that was planned then; the same later on."""

from collections.abc import Iterable

import pytest

from app.clock import DAY_MS, HOUR_MS, MINUTE_MS
from app.inventory import Domain, DomainSample, Host, HostSample, Scan
from app.metrics import METRIC_BY_NAME
from app.store.compaction import Compactor
from app.store.engine import Store
from app.store.fleet import fleet_series
from app.store.gaps import gaps_of
from app.store.hosts import HostRecord
from app.store.record import Recorder
from app.store.series import Found, find_object, series
from app.store.tiers import move_horizon
from tests.storing import a_host, a_store

__all__ = ["a_store"]

UUID = "00000000-0000-4000-8000-000000000001"
FIRST_MS = 20_500 * DAY_MS
MEMORY, CPU = METRIC_BY_NAME["domain", "memory_bytes"], METRIC_BY_NAME["domain", "cpu"]


def look(store: Store, host: HostRecord, interval_ms: int, times_ms: Iterable[int]) -> None:
    """Scans that were planned `interval_ms` apart."""
    recorder = Recorder(store, host, interval_ms)
    for at_ms in times_ms:
        recorder.record(
            Scan(
                at_ms=at_ms, took_ms=50, ok=True,
                host=Host(uri="qemu:///system"), host_sample=HostSample(running_domains=1),
                domains={UUID: Domain(UUID, "web", "running", id=1, vcpus=2)},
                domain_samples={
                    UUID: DomainSample(
                        cpu_time_ns=(at_ms - FIRST_MS) * 10**6, memory_bytes=1 << 30
                    )
                },
            )
        )  # fmt: skip


def every(interval_ms: int, from_ms: int, to_ms: int) -> list[int]:
    """Times of scans, not to the second."""
    times = range(from_ms, to_ms, interval_ms)
    return [at_ms + (place * 7919) % 400 for place, at_ms in enumerate(times)]


def told(store: Store, host: HostRecord, from_ms: int, to_ms: int, points: int) -> Found:
    domain = find_object(store, host.id, "domain", UUID)
    assert domain is not None
    return series(store, domain, [MEMORY, CPU], from_ms, to_ms, points)


def breaks(found: Found) -> int:
    """How often the line is broken within the stretch."""
    return found.lines["memory_bytes"].average.count(None)


@pytest.mark.parametrize(("before_ms", "after_ms"), [(60_000, 5_000), (5_000, 60_000)])
def test_another_scan_interval_makes_no_gap_of_faultless_scans(
    a_store: Store, before_ms: int, after_ms: int
) -> None:
    host = a_host(a_store, "kvm-01")
    change_ms, end_ms = FIRST_MS + HOUR_MS, FIRST_MS + HOUR_MS + 30 * MINUTE_MS
    look(a_store, host, before_ms, every(before_ms, FIRST_MS, change_ms))
    look(a_store, host, after_ms, every(after_ms, change_ms, end_ms))
    for points in (2000, 300, 60):
        found = told(a_store, host, FIRST_MS, end_ms, points)
        assert found.gaps == []
        assert breaks(found) == 0
        assert len(found.starts_ms) <= points + 2
        assert found.lines["cpu"].average[1:] == pytest.approx(
            [0.5] * (len(found.starts_ms) - 1), rel=0.01
        )
    with a_store.reading() as connection:
        # The last look before a stretch was planned as it was then, too.
        assert gaps_of(connection, host.id, change_ms - 2500, end_ms) == []
        assert gaps_of(connection, host.id, change_ms + 2500, end_ms) == []
    whole = fleet_series(a_store, {host.id: 4}, ["running_domains"], FIRST_MS, end_ms, 300)
    assert whole.gaps == []
    assert None not in whole.lines["running_domains"]


def test_a_longer_scan_interval_hides_no_gap_of_before(a_store: Store) -> None:
    host = a_host(a_store, "kvm-01")
    away = (FIRST_MS + 20 * MINUTE_MS, FIRST_MS + 22 * MINUTE_MS)
    change_ms, end_ms = FIRST_MS + HOUR_MS, FIRST_MS + 2 * HOUR_MS
    seen = [at for at in every(5000, FIRST_MS, change_ms) if not away[0] < at < away[1]]
    look(a_store, host, 5_000, seen)
    look(a_store, host, 60_000, every(60_000, change_ms, end_ms))
    for points in (2000, 1000):
        found = told(a_store, host, FIRST_MS, end_ms, points)
        (gap,) = found.gaps
        assert abs(gap[0] - away[0]) <= 5000
        assert abs(gap[1] - away[1]) <= 5000
    assert breaks(told(a_store, host, FIRST_MS, end_ms, 2000)) == 1


def test_a_shorter_scan_interval_keeps_the_gap_of_before(a_store: Store) -> None:
    host = a_host(a_store, "kvm-01")
    change_ms, end_ms = FIRST_MS + HOUR_MS, FIRST_MS + 90 * MINUTE_MS
    away = (FIRST_MS + 20 * MINUTE_MS, FIRST_MS + 26 * MINUTE_MS)
    seen = [at for at in every(60_000, FIRST_MS, change_ms) if not away[0] < at < away[1]]
    look(a_store, host, 60_000, seen)
    look(a_store, host, 5_000, every(5_000, change_ms, end_ms))
    (gap,) = told(a_store, host, FIRST_MS, end_ms, 2000).gaps
    assert abs(gap[0] - away[0]) <= MINUTE_MS
    assert abs(gap[1] - away[1]) <= MINUTE_MS


AWAY_MS = (FIRST_MS + DAY_MS + 10 * HOUR_MS, FIRST_MS + DAY_MS + 10 * HOUR_MS + 46 * MINUTE_MS)
END_MS = FIRST_MS + 4 * DAY_MS + 7 * MINUTE_MS
OFTEN_MS = 4 * MINUTE_MS


def settle(store: Store, to_ms: int) -> None:
    """Put together the days that are over."""
    compactor = Compactor(store)
    while compactor.step(to_ms):
        pass


def test_a_gap_is_told_the_same_before_and_after_its_day_is_compacted(a_store: Store) -> None:
    host = a_host(a_store, "kvm-01")
    times = every(OFTEN_MS, FIRST_MS, END_MS)
    look(a_store, host, OFTEN_MS, [at for at in times if not AWAY_MS[0] < at < AWAY_MS[1]])

    def gaps(points: int) -> list[tuple[int, int]]:
        return told(a_store, host, FIRST_MS, END_MS, points).gaps

    def agrees(found: list[tuple[int, int]], within_ms: int) -> bool:
        ((begin_ms, end_ms),) = found
        return max(abs(begin_ms - AWAY_MS[0]), abs(end_ms - AWAY_MS[1])) <= within_ms

    def kept_from(*names: str, from_ms: int) -> None:
        with a_store.writing() as connection:
            for name in names:
                move_horizon(connection, name, from_ms)

    assert agrees(gaps(300), 11 * MINUTE_MS)
    settle(a_store, END_MS + HOUR_MS)
    for points in (2000, 400, 50):
        assert agrees(gaps(points), 11 * MINUTE_MS), points
    # Where only a coarser tier is whole, its buckets are as exact as can be.
    kept_from("recent", "1m", from_ms=FIRST_MS + DAY_MS)
    assert agrees(gaps(300), 11 * MINUTE_MS)
    # Of what only days are left, a day that has figures is no gap.
    kept_from("1m", "10m", "1h", from_ms=FIRST_MS + 4 * DAY_MS)
    with a_store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM chunk")
    assert gaps(300) == []


def test_a_stretch_that_ends_within_a_bucket_tells_nothing_of_after_it(a_store: Store) -> None:
    host = a_host(a_store, "kvm-01")
    times = every(OFTEN_MS, FIRST_MS, END_MS)
    look(a_store, host, OFTEN_MS, [at for at in times if not AWAY_MS[0] < at < AWAY_MS[1]])
    settle(a_store, END_MS + HOUR_MS)
    for to_ms in (AWAY_MS[1] - MINUTE_MS, AWAY_MS[1] - 30 * MINUTE_MS):
        (_, gap) = told(a_store, host, FIRST_MS - 3 * DAY_MS, to_ms, 300).gaps
        assert abs(gap[0] - AWAY_MS[0]) <= 11 * MINUTE_MS
        assert gap[1] == to_ms
