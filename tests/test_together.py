"""Hosts together, and who uses a host: sums of what was seen, out of samples, hours and days."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.inventory import Domain, DomainSample, Host, HostSample, Pool, PoolSample, Scan
from app.store.compaction import Compactor
from app.store.engine import Store
from app.store.fleet import FleetSeries, Part, fleet_series
from app.store.hosts import HostRecord
from app.store.record import Recorder
from app.store.tiers import move_horizon
from app.store.together import OTHERS, Stack, stack
from tests.made_once import open_store
from tests.storing import a_host

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FIRST_MS = 20_500 * DAY_MS
DAYS, TICK_MS = 3, 5 * MINUTE_MS
END_MS = FIRST_MS + DAYS * DAY_MS
UUIDS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(12)]
POOL = "00000000-0000-4000-9000-000000000001"
GIB = 1 << 30
# Nobody saw the second host on the second day, nor anyone in three hours of the third.
AWAY = range(FIRST_MS + DAY_MS, FIRST_MS + 2 * DAY_MS)
NOBODY = range(FIRST_MS + 2 * DAY_MS + 6 * HOUR_MS, FIRST_MS + 2 * DAY_MS + 9 * HOUR_MS)


def _record(store: Store, host: HostRecord, cpus: int, busy: float, offset_ms: int) -> None:
    """A host that is busy by `busy` CPUs; each of its domains by a tenth more than the one before,
    the first not at all.
    """
    recorder = Recorder(store, host, TICK_MS)
    domains = {uuid: Domain(uuid, f"vm-{uuid[-2:]}", "running", id=1, vcpus=2) for uuid in UUIDS}
    for at_ms in range(FIRST_MS + offset_ms, END_MS, TICK_MS):
        if at_ms in NOBODY or (host.slug == "kvm-02" and at_ms in AWAY):
            continue
        since_ns = (at_ms - FIRST_MS) * 10**6
        recorder.record(
            Scan(
                at_ms=at_ms, took_ms=1, ok=True,
                host=Host(uri="qemu:///system", cpus=cpus),
                host_sample=HostSample(
                    cpu_user_ns=int(since_ns * busy), cpu_system_ns=0, running_domains=12,
                    memory_total_bytes=8 * GIB, memory_free_bytes=6 * GIB,
                ),
                domains=domains,
                domain_samples={
                    uuid: DomainSample(
                        since_ns * number // 10, GIB, memory_rss_bytes=1 << number
                    )
                    for number, uuid in enumerate(UUIDS)
                },
                pools={POOL: Pool(POOL, "images", "running")},
                pool_samples={POOL: PoolSample(100 * GIB, 40 * GIB, 60 * GIB)},
            )
        )  # fmt: skip


class Told:
    """Three days of two hosts, of 8 and 24 CPUs, of which 4 and 6 are busy."""

    def __init__(self, path: Path) -> None:
        self.store = open_store(path)
        self.one, self.two = a_host(self.store, "kvm-01"), a_host(self.store, "kvm-02")
        _record(self.store, self.one, 8, 4.0, 200)
        _record(self.store, self.two, 24, 6.0, 900)
        compactor = Compactor(self.store)
        while compactor.step(END_MS + HOUR_MS):
            pass

    def fleet(self, from_ms: int, to_ms: int, points: int) -> FleetSeries:
        names = ("cpu", "memory_used_bytes", "capacity_bytes")
        return fleet_series(self.store, self.cpus, names, from_ms, to_ms, points)

    @property
    def cpus(self) -> dict[int, int | None]:
        return {self.one.id: 8, self.two.id: 24}

    def stack(self, name: str, from_ms: int, to_ms: int, points: int = 300) -> Stack:
        return stack(self.store, self.one.id, name, from_ms, to_ms, points)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    made = Told(tmp_path_factory.mktemp("together") / "npvirt.sqlite")
    yield made
    made.store.close()


@pytest.fixture(params=[0, FIRST_MS + 2 * DAY_MS, END_MS], ids=["samples", "both", "kept"])
def source(request: pytest.FixtureRequest, told: Told) -> Iterator[int]:
    """From when on samples are kept; what is older is told by hours or days."""
    with told.store.writing() as connection:
        move_horizon(connection, "recent", request.param)
    yield request.param
    with told.store.writing() as connection:
        move_horizon(connection, "recent", 0)


def _at(found: FleetSeries, name: str, at_ms: int) -> tuple[float | None, float | None, int]:
    """What is told of all hosts, of those that were seen, and of how many that is."""
    place = (at_ms - found.buckets.from_ms) // found.buckets.width_ms
    return found.lines[name][place], found.counted_lines[name][place], found.counted[place]


def test_hosts_add_up_to_what_was_seen_of_them(told: Told, source: int) -> None:
    found = told.fleet(FIRST_MS, END_MS, 72)
    assert found.buckets.width_ms == HOUR_MS
    both, alone = FIRST_MS + 5 * HOUR_MS, AWAY.start + 5 * HOUR_MS
    share, of_seen, counted = _at(found, "cpu", both)
    assert share == of_seen == pytest.approx(10 / 32, rel=0.002)
    assert counted == 2
    assert _at(found, "memory_used_bytes", both) == (4 * GIB, 4 * GIB, 2)
    assert _at(found, "capacity_bytes", both) == (200 * GIB, 200 * GIB, 2)
    share, of_seen, counted = _at(found, "cpu", alone)
    assert share is None
    assert of_seen == pytest.approx(4 / 8, rel=0.002)
    assert counted == 1
    assert _at(found, "memory_used_bytes", alone) == (None, 2 * GIB, 1)
    assert set(found.known) == {2}


def test_a_host_that_falls_silent_is_no_fall_of_the_fleet(told: Told, source: int) -> None:
    for points in (72, 3):
        found = told.fleet(FIRST_MS, END_MS, points)
        assert found.parts == [Part(AWAY.start, AWAY.stop, 1, 2)]
        for name in ("memory_used_bytes", "capacity_bytes"):
            whole = {value for value in found.lines[name] if value is not None}
            assert whole == {found.lines[name][0]}


def test_a_host_that_falls_silent_now_leaves_the_fleet_unknown(told: Told) -> None:
    to_ms = AWAY.start + 3 * HOUR_MS + 7 * MINUTE_MS
    found = told.fleet(to_ms - DAY_MS, to_ms, 288)
    assert found.parts == [Part(AWAY.start, to_ms, 1, 2)]
    after = (AWAY.start - found.buckets.from_ms) // found.buckets.width_ms
    for name, line in found.lines.items():
        assert set(line[after:]) == {None}, name
        assert None not in found.counted_lines[name][after:], name
    # A host that was silent for all of the stretch is missed as well.
    silent = told.fleet(AWAY.start + HOUR_MS, AWAY.start + 2 * HOUR_MS, 6)
    assert set(silent.lines["memory_used_bytes"]) == {None}
    assert set(silent.counted_lines["memory_used_bytes"]) == {2 * GIB}
    # Nor is it a fall that of a step just begun a host was not looked at yet.
    begun = told.fleet(FIRST_MS, AWAY.start + 500, 288)
    assert begun.parts == []
    assert begun.lines["memory_used_bytes"][-1] is None
    assert begun.lines["memory_used_bytes"][-2] == 4 * GIB


def test_a_host_counts_from_when_it_was_added_and_a_disabled_one_to_its_last_look(
    told: Told,
) -> None:
    with told.store.writing() as connection:
        connection.exec_driver_sql(f"UPDATE entity SET first_seen_ms = {AWAY.stop}")
    added = told.fleet(FIRST_MS, END_MS, 72)
    off = fleet_series(
        told.store, told.cpus, ["cpu"], END_MS - HOUR_MS, END_MS + HOUR_MS, 24,
        disabled=[told.two.id],
    )  # fmt: skip
    with told.store.writing() as connection:
        connection.exec_driver_sql(f"UPDATE entity SET first_seen_ms = {FIRST_MS}")
    assert added.known == [0] * 48 + [2] * 24
    assert added.parts == []
    assert off.known == [2] * 6 + [1] * 6


def test_where_nobody_was_seen_is_null_and_a_gap(told: Told, source: int) -> None:
    found = told.fleet(FIRST_MS, END_MS, 72)
    assert found.gaps == [(NOBODY.start, NOBODY.stop)]
    for name in found.lines:
        assert _at(found, name, NOBODY.start + HOUR_MS) == (None, None, 0)


def test_days_are_told_as_well(told: Told, source: int) -> None:
    found = told.fleet(FIRST_MS, END_MS, 3)
    assert found.buckets.width_ms == DAY_MS
    shares = [_at(found, "cpu", FIRST_MS + day * DAY_MS)[1] for day in (1, 2)]
    assert shares == [pytest.approx(0.5, rel=0.002), pytest.approx(10 / 32, rel=0.01)]
    assert _at(found, "memory_used_bytes", AWAY.start) == (None, 2 * GIB, 1)


def test_a_host_that_is_not_asked_for_is_not_counted(told: Told) -> None:
    cpus = {told.two.id: told.cpus[told.two.id]}
    found = fleet_series(told.store, cpus, ["memory_used_bytes"], FIRST_MS, END_MS, 72)
    assert _at(found, "memory_used_bytes", AWAY.start + HOUR_MS) == (None, None, 0)
    nobody = fleet_series(told.store, {}, ["cpu"], FIRST_MS, END_MS, 72)
    assert set(nobody.lines["cpu"]) == {None}
    assert nobody.gaps == []


def test_the_domains_that_take_the_most_stand_first(told: Told, source: int) -> None:
    for points, place, rel in ((72, 5, 0.002), (3, 1, 0.002)):
        parts = told.stack("cpu", FIRST_MS, END_MS, points).parts
        assert [part.key for part in parts] == [*UUIDS[:3:-1], OTHERS]
        values = [part.values[place] for part in parts[:-1]]
        assert values == pytest.approx([n / 10 for n in range(11, 3, -1)], rel=rel)
        assert parts[-1].values[place] == pytest.approx((3 + 2 + 1) / 10, rel=rel)


def test_a_stack_has_nothing_where_its_host_was_not_seen(told: Told, source: int) -> None:
    found = told.stack("memory_used_bytes", FIRST_MS + 2 * DAY_MS, END_MS, 24)
    ((begin, end),) = found.gaps
    assert (round(begin / HOUR_MS), round(end / HOUR_MS)) == (
        NOBODY.start // HOUR_MS, NOBODY.stop // HOUR_MS
    )  # fmt: skip
    for part in found.parts:
        assert part.values[6:9] == [None] * 3
        assert part.values[5] is not None


def test_what_no_domain_did_has_no_stack(told: Told) -> None:
    assert told.stack("net_rx_bytes", FIRST_MS, END_MS).parts == []


def test_nothing_that_came_later_is_told(told: Told, source: int) -> None:
    to_ms = FIRST_MS + 30 * HOUR_MS + 20 * MINUTE_MS
    found = told.stack("cpu", FIRST_MS, to_ms, 31)
    assert found.buckets.end_ms == to_ms
    assert found.parts[0].values[29] == pytest.approx(1.1, rel=0.002)
    # The hour that was not over is told by samples alone.
    assert (found.parts[0].values[30] is None) == (source > 0)
