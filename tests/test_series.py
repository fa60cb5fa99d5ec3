"""Series: what is read of an object over time is what was measured of it, in whichever tier."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.inventory import Domain, DomainSample, Host, HostSample, Scan
from app.metrics import METRIC_BY_NAME
from app.store.compaction import Compactor
from app.store.gaps import gaps_of
from app.store.raw import Object
from app.store.record import Recorder
from app.store.series import WIDTHS_MS, Found, find_object, nice_width_ms, series
from app.store.tiers import move_horizon
from tests.made_once import open_store
from tests.storing import a_host

UUID = "00000000-0000-4000-8000-000000000001"
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FIRST_MS = 20_500 * DAY_MS
DAYS = 4
CPU, MEMORY = METRIC_BY_NAME["domain", "cpu"], METRIC_BY_NAME["domain", "memory_bytes"]
# Nobody looked from here to there: on the second day.
AWAY_MS = (FIRST_MS + 30 * HOUR_MS, FIRST_MS + 33 * HOUR_MS)
# The domain did not run, on the third day, and its counters began anew.
OFF_MS = (FIRST_MS + 50 * HOUR_MS, FIRST_MS + 52 * HOUR_MS)


class Told:
    """A store with four days of one domain, three of them compacted, and what was measured."""

    def __init__(self, path: Path) -> None:
        self.store = open_store(path)
        self.host = a_host(self.store, "kvm-01")
        self.samples: list[tuple[int, int, int]] = []
        recorder = Recorder(self.store, self.host, MINUTE_MS)
        busy_ns = number = 0
        for place in range(DAYS * 1440):
            at_ms = FIRST_MS + place * MINUTE_MS + (place * 7919) % 1500
            if AWAY_MS[0] <= at_ms < AWAY_MS[1]:
                continue
            runs = not OFF_MS[0] <= at_ms < OFF_MS[1]
            if not runs:
                busy_ns, number = 0, 1
            busy_ns += (place * 31 % 97) * 10**8
            memory = (1 + place * 13 % 29) << 20
            recorder.record(_scan(at_ms, runs, number, busy_ns, memory))
            if runs:
                self.samples.append((at_ms, busy_ns, memory))
        compactor = Compactor(self.store)
        while compactor.step(FIRST_MS + 3 * DAY_MS + HOUR_MS):
            pass
        found = find_object(self.store, self.host.id, "domain", UUID)
        assert found is not None
        self.domain: Object = found

    def read(self, from_ms: int, to_ms: int, points: int) -> Found:
        return series(self.store, self.domain, [CPU, MEMORY], from_ms, to_ms, points)


def _scan(at_ms: int, runs: bool, number: int, busy_ns: int, memory: int) -> Scan:
    state = "running" if runs else "shutoff"
    domain = Domain(UUID, "web", state, id=number + 1 if runs else None, vcpus=2)
    sample = DomainSample(cpu_time_ns=busy_ns, memory_bytes=memory)
    return Scan(
        at_ms=at_ms, took_ms=50, ok=True,
        host=Host(uri="qemu:///system"), host_sample=HostSample(defined_domains=1),
        domains={UUID: domain},
        domain_samples={UUID: sample} if runs else {},
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return Told(tmp_path_factory.mktemp("series") / "npvirt.sqlite")


def _seen(told: Told, from_ms: int, to_ms: int) -> Sequence[tuple[int, int, int]]:
    return [sample for sample in told.samples if from_ms <= sample[0] < to_ms]


def _busy(told: Told, from_ms: int, to_ms: int) -> float | None:
    """The model: the mean use of two vCPUs over the intervals that end between two times."""
    counted = elapsed = 0
    for (before_ms, before, _), (at_ms, now, _) in zip(
        told.samples, told.samples[1:], strict=False
    ):
        if from_ms <= at_ms < to_ms and at_ms - before_ms <= 3 * MINUTE_MS and now >= before:
            counted += now - before
            elapsed += at_ms - before_ms
    return None if not elapsed else counted / (elapsed * 1e6) / 2


@given(
    start=st.integers(0, DAYS * 1440 - 2),
    minutes=st.integers(1, DAYS * 1440),
    points=st.integers(1, 400),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_bucket_says_what_was_measured_in_it(
    told: Told, start: int, minutes: int, points: int
) -> None:
    from_ms = FIRST_MS + start * MINUTE_MS
    to_ms = from_ms + minutes * MINUTE_MS
    found = told.read(from_ms, to_ms, points)
    assert len(found.starts_ms) <= points + 4
    assert found.starts_ms == sorted(set(found.starts_ms))
    memory, cpu = found.lines["memory_bytes"], found.lines["cpu"]
    width = 1 if minutes <= points else found.width_ms
    # Where a bucket was not over at the end, only what has been measured until then is in it.
    for place, start_ms in enumerate(found.starts_ms):
        end_ms = min(start_ms + width, to_ms)
        seen = [value for _, _, value in _seen(told, start_ms, end_ms)]
        if not seen:
            assert memory.average[place] is None
            assert cpu.average[place] is None
            continue
        average, least, greatest = (
            memory.average[place],
            memory.least[place],
            memory.greatest[place],
        )
        assert average is not None
        assert average == pytest.approx(sum(seen) / len(seen))
        assert (least, greatest) == (min(seen), max(seen))
        busy = _busy(told, start_ms, end_ms)
        assert (cpu.average[place] is None) == (busy is None)
        if busy is not None:
            assert cpu.average[place] == pytest.approx(busy)


def test_nothing_is_told_of_the_hours_in_which_nobody_looked(told: Told) -> None:
    for points in (100, 1000):
        found = told.read(FIRST_MS + DAY_MS, FIRST_MS + 2 * DAY_MS, points)
        (gap,) = found.gaps
        assert abs(gap[0] - AWAY_MS[0]) <= 2 * MINUTE_MS
        assert abs(gap[1] - AWAY_MS[1]) <= 2 * MINUTE_MS
        inside = [
            value
            for at_ms, value in zip(found.starts_ms, found.lines["cpu"].average, strict=True)
            if AWAY_MS[0] + found.width_ms < at_ms < AWAY_MS[1] - found.width_ms
        ]
        assert set(inside) <= {None}


def test_a_long_stretch_tells_the_gap_out_of_its_minutes(told: Told) -> None:
    (gap,) = told.read(FIRST_MS, FIRST_MS + DAYS * DAY_MS, 300).gaps
    assert abs(gap[0] - AWAY_MS[0]) <= 2 * MINUTE_MS
    assert abs(gap[1] - AWAY_MS[1]) <= 2 * MINUTE_MS


def test_a_domain_that_does_not_run_is_no_gap_of_its_host(told: Told) -> None:
    found = told.read(OFF_MS[0] - HOUR_MS, OFF_MS[1] + HOUR_MS, 300)
    assert found.gaps == []
    values = [
        value
        for at_ms, value in zip(found.starts_ms, found.lines["memory_bytes"].average, strict=True)
        if OFF_MS[0] < at_ms < OFF_MS[1]
    ]
    assert set(values) == {None}
    assert values


def test_no_rate_is_negative_or_a_spike_where_the_counters_began_anew(told: Told) -> None:
    for points in (50, 500, 2000):
        found = told.read(FIRST_MS, FIRST_MS + DAYS * DAY_MS, points)
        rates = [value for value in found.lines["cpu"].greatest if value is not None]
        assert rates
        assert min(rates) >= 0
        assert max(rates) < 0.11


def test_a_short_stretch_is_told_sample_by_sample(told: Told) -> None:
    from_ms = FIRST_MS + 3 * DAY_MS + HOUR_MS
    found = told.read(from_ms, from_ms + HOUR_MS, 300)
    assert found.tier == "raw"
    assert found.starts_ms == [at_ms for at_ms, _, _ in _seen(told, from_ms, from_ms + HOUR_MS)]


def test_the_coarsest_tier_that_fits_is_read(told: Told) -> None:
    whole = (FIRST_MS, FIRST_MS + 3 * DAY_MS)
    assert told.read(*whole, 2000).tier == "1m"
    assert told.read(*whole, 400).tier == "10m"
    assert told.read(*whole, 50).tier == "1h"


def test_what_is_older_than_every_chunk_is_told_by_its_days(told: Told) -> None:
    kept = ("1m", "10m", "1h")
    with told.store.writing() as connection:
        for tier in kept:
            move_horizon(connection, tier, FIRST_MS + 2 * DAY_MS)
    try:
        found = told.read(FIRST_MS, FIRST_MS + 3 * DAY_MS, 100)
    finally:
        with told.store.writing() as connection:
            for tier in kept:
                move_horizon(connection, tier, 0)
    assert (found.tier, found.width_ms) == ("1d", DAY_MS)
    assert len(found.starts_ms) == 3
    seen = [value for _, _, value in _seen(told, FIRST_MS, FIRST_MS + DAY_MS)]
    assert found.lines["memory_bytes"].average[0] == pytest.approx(sum(seen) / len(seen))


def test_a_year_is_told_by_days_up_to_today(told: Told) -> None:
    end_ms = FIRST_MS + DAYS * DAY_MS
    found = told.read(end_ms - 365 * DAY_MS, end_ms, 1000)
    assert (found.tier, found.width_ms, len(found.starts_ms)) == ("1d", DAY_MS, 365)
    told_days = found.lines["memory_bytes"].average
    assert set(told_days[:-DAYS]) == {None}
    for day in range(DAYS):
        begin_ms = FIRST_MS + day * DAY_MS
        seen = [value for _, _, value in _seen(told, begin_ms, begin_ms + DAY_MS)]
        assert told_days[day - DAYS] == pytest.approx(sum(seen) / len(seen))
        busy = _busy(told, begin_ms, begin_ms + DAY_MS)
        assert found.lines["cpu"].average[day - DAYS] == pytest.approx(busy)
    first, away = found.gaps
    assert first == (end_ms - 365 * DAY_MS, FIRST_MS)
    assert abs(away[0] - AWAY_MS[0]) <= HOUR_MS


def test_a_tier_whose_beginning_is_gone_gives_way_to_a_coarser_one(told: Told) -> None:
    with told.store.writing() as connection:
        move_horizon(connection, "recent", FIRST_MS + 2 * DAY_MS)
        move_horizon(connection, "1m", FIRST_MS + DAY_MS)
    try:
        older = told.read(FIRST_MS, FIRST_MS + 6 * HOUR_MS, 2000)
        newer = told.read(FIRST_MS + DAY_MS, FIRST_MS + DAY_MS + 6 * HOUR_MS, 2000)
    finally:
        with told.store.writing() as connection:
            for tier in ("recent", "1m"):
                move_horizon(connection, tier, 0)
    assert (older.tier, older.width_ms) == ("10m", 10 * MINUTE_MS)
    assert newer.tier == "1m"


def test_widths_fit_into_each_other_and_into_the_tiers() -> None:
    assert nice_width_ms(1) == 1000
    assert nice_width_ms(61_000) == 120_000
    assert nice_width_ms(10**15) == WIDTHS_MS[-1]
    for width_ms in WIDTHS_MS:
        assert width_ms < MINUTE_MS or width_ms % MINUTE_MS == 0
        assert width_ms < 20 * MINUTE_MS or width_ms % (10 * MINUTE_MS) == 0


def test_gaps_of_a_host_that_was_never_seen_are_the_whole_stretch(told: Told) -> None:
    with told.store.reading() as connection:
        assert gaps_of(connection, 99, FIRST_MS, FIRST_MS + DAY_MS) == [
            (FIRST_MS, FIRST_MS + DAY_MS)
        ]
