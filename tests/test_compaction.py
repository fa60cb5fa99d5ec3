"""Compaction and retention: nothing is lost, doubled or made up, wherever they are ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.clock import DAY_MS
from app.collect.collector import Collector
from app.collect.leadership import Leadership
from app.collect.upkeep import Upkeep
from app.inventory import (
    Domain,
    DomainSample,
    Host,
    HostSample,
    Pool,
    PoolSample,
    Scan,
    Volume,
    VolumeSample,
)
from app.settings import load
from app.store import schema, tiers
from app.store.compaction import Compactor
from app.store.engine import Store, store_path
from app.store.record import Recorder
from app.store.retention import Lengths, Retention
from app.store.slices import Sliced
from tests.made_once import open_store
from tests.storing import a_host, a_store
from tests.waiting import until

__all__ = ["a_store"]

DAY = DAY_MS
FIRST_DAY = 20_575
START = FIRST_DAY * DAY
INTERVAL = 20 * 60_000
LONG = Lengths(DAY, 100 * DAY, 200 * DAY, 300 * DAY, 400 * DAY)
SHORT = Lengths(DAY, 3 * DAY, 12 * DAY, 40 * DAY, 60 * DAY)


def a_scan(at_ms: int, number: int, *, ok: bool = True, domain_id: int = 1) -> Scan:
    """A look at a host with a domain, a pool and a volume; all grows with `number`."""
    if not ok:
        return Scan(at_ms, 10, ok=False, problem="refused", sentence="Nothing listens there.")
    return Scan(
        at_ms=at_ms,
        took_ms=10,
        ok=True,
        host=Host(uri="test:///default", cpus=4),
        host_sample=HostSample(
            cpu_user_ns=number * 10**9, cpu_system_ns=number * 10**8, cpu_idle_ns=number * 10**10,
            memory_total_bytes=2**34, memory_free_bytes=2**33 - number,
        ),
        domains={"w": Domain(uuid="w", name="web", state="running", id=domain_id, vcpus=2)},
        domain_samples={
            "w": DomainSample(
                cpu_time_ns=number * 10**9, memory_bytes=2**30, memory_usable_bytes=2**29 + number,
                disk_read_bytes=number * 4096, net_rx_packets=number,
            )
        },
        pools={"p": Pool(uuid="p", name="images", state="running")},
        pool_samples={"p": PoolSample(capacity_bytes=2**40, allocation_bytes=2**30 + number)},
        volumes={"p": {"a": Volume("p", "a")}},
        volume_samples={("p", "a"): VolumeSample(number)},
        volumes_measured=True,
    )  # fmt: skip


def work(sliced: Sliced, now_ms: int) -> None:
    while sliced.step(now_ms, 0.0):
        pass


def kept(store: Store) -> dict[str, list[Any]]:
    """All that compaction writes."""
    tables = [schema.chunk, schema.compacted, schema.not_compacted, *schema.dailies.values()]
    with store.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))]
            for table in tables
        }


def entity_id(store: Store, kind: str) -> int:
    table = schema.entity
    with store.reading() as connection:
        found = connection.scalar(sa.select(table.c.id).where(table.c.kind == kind))
    assert isinstance(found, int)
    return found


def months(store: Store, days: int, slug: str = "kvm-01") -> Recorder:
    """Some days of scans."""
    recorder = Recorder(store, a_host(store, slug), 4 * INTERVAL)
    for number in range(days * DAY // (4 * INTERVAL)):
        recorder.record(a_scan(START + number * 4 * INTERVAL, number))
    return recorder


# --- the integral ----------------------------------------------------------------------------


@st.composite
def a_story(draw: Any) -> list[tuple[int, bool, int | None, int, int]]:
    """Looks at a host: milliseconds after the one before (none or fewer: the clock stepped), is
    it answering, what a counter says, a gauge, and as what a domain runs.
    """
    steps = st.sampled_from([INTERVAL, INTERVAL + 7, 2 * INTERVAL, 5 * INTERVAL, -INTERVAL, 10])
    looks = []
    counter, running = 0, 1
    for step in draw(st.lists(steps, min_size=2, max_size=70)):
        counter += draw(st.integers(0, 10**12))
        event = draw(st.sampled_from(["", "", "", "", "reset", "restart", "unknown", "missed"]))
        if event == "reset":
            counter = draw(st.integers(0, 10**6))
        if event == "restart":
            running += 1
            counter = draw(st.integers(0, 10**13))
        gauge = draw(st.integers(0, 2**40))
        looks.append((step, event != "missed", None if event == "unknown" else counter, gauge,
                      running))  # fmt: skip
    return looks


def tell(store: Store, story: list[tuple[int, bool, int | None, int, int]]) -> list[Any]:
    """Record the story; what was measured, with the times as stored."""
    recorder = Recorder(store, a_host(store, "kvm-01"), INTERVAL)
    at_ms = START + DAY - 3 * INTERVAL
    measured = []
    for step, ok, counter, gauge, running in story:
        at_ms += step
        scan = a_scan(at_ms, 0, ok=ok, domain_id=running)
        sample = DomainSample(cpu_time_ns=counter, memory_rss_bytes=gauge)
        if ok:
            scan = Scan(at_ms, 10, ok=True, domains=scan.domains, domain_samples={"w": sample})
        stored_ms = recorder.record(scan).at_ms
        if ok:
            measured.append((stored_ms, counter, gauge, running, stored_ms != at_ms))
    return measured


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=a_story())
def test_every_tier_holds_what_was_counted_and_measured_no_more_and_no_less(
    story: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = open_store(tmp_path_factory.mktemp("store") / "npvirt.sqlite")
    measured = tell(store, story)
    work(Compactor(store), START + 30 * DAY)
    counted = told_ms = 0
    for (before, old, _, ran, _), (now, new, _, runs, stepped) in pairwise(measured):
        if old is None or new is None or ran != runs or new < old or now - before > 3 * INTERVAL:
            continue
        if stepped:
            continue
        counted, told_ms = counted + new - old, told_ms + now - before
    gauges = [gauge for _, _, gauge, _, _ in measured]
    if measured:
        domain = entity_id(store, "domain")
        with store.reading() as connection:
            for tier in tiers.TIERS:
                parts = list(tiers.read(connection, domain, tier, START, START + 30 * DAY))
                found = [part.columns.get("cpu_time_ns") for part in parts]
                columns = [column for column in found if column is not None]
                assert sum(sum(column.total.tolist()) for column in columns) == counted
                assert sum(sum(column.weight.tolist()) for column in columns) == told_ms
                for column in columns:
                    low, high = column.bounds()
                    assert min(low) >= 0
                    # Never more a second than was counted in the shortest time between two looks,
                    # but for its rounding: a label that had to be moved is no time.
                    assert max(high) <= 10**12 * 100 * 129 // 128
                levels = [part.columns["memory_rss_bytes"] for part in parts]
                assert sum(sum(column.total.tolist()) for column in levels) == sum(gauges)
                assert sum(sum(column.weight.tolist()) for column in levels) == len(gauges)
            row = connection.execute(
                sa.text(
                    "SELECT min(memory_rss_bytes_min), max(memory_rss_bytes_max) FROM daily_domain"
                )
            ).one()
        assert tuple(row) == (min(gauges), max(gauges))
    store.close()


# --- ended anywhere --------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


class Mortal(Store):
    """A store whose process is ended in its `left`-th write from now, before it is committed."""

    left = -1

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sa.Connection]:
        with super().writing(durable=durable) as connection:
            yield connection
            self.left -= 1
            if self.left == 0:
                raise Killed


def test_ended_at_any_write_and_begun_anew_it_gives_the_same(tmp_path: Path) -> None:
    undisturbed = open_store(tmp_path / "one.sqlite")
    months(undisturbed, 16)
    work(Compactor(undisturbed), START + 16 * DAY + INTERVAL)
    mortal = Mortal.open(tmp_path / "other.sqlite")
    assert isinstance(mortal, Mortal)
    months(mortal, 16)
    deaths = 0
    for nth in range(1, 200):
        # Every run gets some writes further than the last one, and then ends.
        mortal.left = 1 + nth % 7
        try:
            work(Compactor(mortal), START + 16 * DAY + INTERVAL)
        except Killed:
            deaths += 1
            continue
        break
    assert deaths > 20
    assert kept(mortal) == kept(undisturbed)
    mortal.close()
    undisturbed.close()


def test_left_between_any_two_pieces_and_begun_anew_it_gives_the_same(tmp_path: Path) -> None:
    undisturbed = open_store(tmp_path / "one.sqlite")
    months(undisturbed, 9)
    work(Compactor(undisturbed), START + 9 * DAY + INTERVAL)
    other = open_store(tmp_path / "other.sqlite")
    months(other, 9)
    pieces = 1
    while True:
        compactor = Compactor(other)
        more = [compactor.step(START + 9 * DAY + INTERVAL, 0.0) for _ in range(pieces)]
        if not more[-1]:
            break
        pieces += 1
    assert pieces > 5
    assert kept(other) == kept(undisturbed)
    other.close()
    undisturbed.close()


def test_what_was_done_is_not_done_again(a_store: Store) -> None:
    recorder = months(a_store, 3)
    work(Compactor(a_store), START + 3 * DAY + INTERVAL)
    before = kept(a_store)
    version = a_store.version()
    work(Compactor(a_store), START + 3 * DAY + 2 * INTERVAL)
    assert a_store.version() == version
    recorder.record(a_scan(START + 3 * DAY + INTERVAL, 10_000))
    work(Compactor(a_store), START + 3 * DAY + 3 * INTERVAL)
    assert kept(a_store) == before


def test_a_scan_that_is_stored_after_its_day_was_done_is_not_lost(a_store: Store) -> None:
    recorder = months(a_store, 2)
    work(Compactor(a_store), START + 2 * DAY + INTERVAL)
    recorder.record(a_scan(START + 2 * DAY - 1, 10_000))
    work(Compactor(a_store), START + 2 * DAY + 2 * INTERVAL)
    assert counted_in(a_store, tiers.MINUTES) == 10_000 * 4096


def counted_in(store: Store, tier: tiers.Tier, to_ms: int = START + 400 * DAY) -> int:
    """What the domain read from its disks, as a tier tells it."""
    domain = entity_id(store, "domain")
    with store.reading() as connection:
        parts = list(tiers.read(connection, domain, tier, START, to_ms))
    starts = [start for part in parts for start in part.starts]
    assert starts == sorted(set(starts))
    return sum(int(part.columns["disk_read_bytes"].total.sum()) for part in parts)


def test_days_stand_together_once_their_span_is_over_even_after_a_gap(a_store: Store) -> None:
    recorder = Recorder(a_store, a_host(a_store, "kvm-01"), INTERVAL)
    numbers = [n for n in range(60 * 18) if not 25 * 18 <= n < 33 * 18]
    for number in numbers:
        recorder.record(a_scan(START + number * 4 * INTERVAL, number))
    work(Compactor(a_store), START + 60 * DAY + INTERVAL)
    gap = (numbers[25 * 18] - numbers[25 * 18 - 1]) * 4096
    for tier in tiers.TIERS:
        # Four of the intervals apart, nothing is told of what was between two scans.
        assert counted_in(a_store, tier) == 0
    assert gap > 0
    domain = entity_id(a_store, "domain")
    with a_store.reading() as connection:
        chunks = [
            connection.scalar(
                sa.select(sa.func.count()).where(
                    schema.chunk.c.id.between(
                        tiers.chunk_id(domain, tier, 0), tiers.chunk_id(domain, tier, 2**30 - 1)
                    )
                )
            )
            or 0
            for tier in tiers.TIERS
        ]
    assert chunks[0] == 52
    assert chunks[1] <= 9 + 6
    assert chunks[2] <= 3 + 27
    work(Compactor(a_store), START + 61 * DAY)


def test_a_damaged_object_is_written_down_kept_and_holds_nothing_up(a_store: Store) -> None:
    months(a_store, 2)
    domain = entity_id(a_store, "domain")
    with a_store.writing() as connection:
        connection.exec_driver_sql(
            f"UPDATE revision SET body = '{{\"uuid\": 5' WHERE entity_id = {domain}"
        )
    work(Compactor(a_store), START + 2 * DAY + INTERVAL)
    found = kept(a_store)
    assert [row[:2] for row in found["not_compacted"]] == [
        (domain, FIRST_DAY), (domain, FIRST_DAY + 1),
    ]  # fmt: skip
    assert "damaged" in found["not_compacted"][0][2]
    assert len(found["daily_host"]) == len(found["daily_pool"]) == 2
    assert found["daily_domain"] == []
    work(Retention(a_store, SHORT), START + 50 * DAY)
    with a_store.reading() as connection:
        left = connection.scalar(sa.select(sa.func.count()).select_from(schema.samples["domain"]))
    assert left == 2 * 18


# --- retention -------------------------------------------------------------------------------


def rows(store: Store, table: sa.Table) -> int:
    with store.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_what_is_not_compacted_is_never_deleted(a_store: Store) -> None:
    months(a_store, 10)
    before = rows(a_store, schema.samples["domain"])
    work(Retention(a_store, SHORT), START + 400 * DAY)
    assert rows(a_store, schema.samples["domain"]) == before
    compactor = Compactor(a_store)
    while rows(a_store, schema.compacted) == 0:
        compactor.step(START + 10 * DAY + INTERVAL, 0.0)
    work(Retention(a_store, SHORT), START + 400 * DAY)
    # All of the first day but the last sample, which the first interval of the next needs.
    assert rows(a_store, schema.samples["domain"]) == before - 17


def test_deleting_samples_first_loses_nothing_of_the_days_that_follow(tmp_path: Path) -> None:
    found = []
    for name, retain in (("one", False), ("other", True)):
        store = open_store(tmp_path / f"{name}.sqlite")
        recorder = Recorder(store, a_host(store, "kvm-01"), 4 * INTERVAL)
        for number in range(5 * 18):
            recorder.record(a_scan(START + number * 4 * INTERVAL, number))
            if number % 18 == 17:
                now_ms = START + number * 4 * INTERVAL
                work(Compactor(store), now_ms)
                if retain:
                    work(Retention(store, LONG), now_ms)
        work(Compactor(store), START + 6 * DAY)
        found.append(kept(store))
        store.close()
    assert found[0] == found[1]


def test_each_tier_is_kept_as_long_as_is_set(a_store: Store) -> None:
    months(a_store, 80)
    now_ms = START + 80 * DAY
    work(Compactor(a_store), now_ms + INTERVAL)
    work(Retention(a_store, SHORT), now_ms)
    domain = entity_id(a_store, "domain")
    newest_day = FIRST_DAY + 79
    with a_store.reading() as connection:
        first: dict[str, int] = {}
        for tier in tiers.TIERS:
            parts = list(tiers.read(connection, domain, tier, 1, now_ms))
            first[tier.name] = parts[0].starts[0] * tier.width_ms // DAY
            horizon_ms = tiers.horizon_ms(connection, tier.name)
            assert horizon_ms >= first[tier.name] * DAY
            assert newest_day - horizon_ms // DAY == SHORT.of(tier) // DAY
        days = connection.exec_driver_sql("SELECT min(day), count(*) FROM daily_domain").one()
        oldest = connection.scalar(sa.select(sa.func.min(schema.samples["domain"].c.ts)))
        assert tiers.horizon_ms(connection, "recent") <= (oldest or 0)
    assert newest_day - first["1m"] == 3
    # A chunk of several days goes when the last of them is too old.
    assert 12 <= newest_day - first["10m"] < 12 + 7
    assert 40 <= newest_day - first["1h"] < 40 + 28
    assert tuple(days) == (tiers.day_text(newest_day - 60), 61)
    assert oldest is not None
    assert now_ms - DAY <= oldest + 4 * INTERVAL


def test_ended_at_any_write_retention_deletes_in_the_end_the_same(tmp_path: Path) -> None:
    found = []
    for name in ("one", "other"):
        store = Mortal.open(tmp_path / f"{name}.sqlite")
        assert isinstance(store, Mortal)
        months(store, 30)
        work(Compactor(store), START + 30 * DAY + INTERVAL)
        for nth in range(1, 500):
            store.left = 1 + nth % 12 if name == "other" else -1
            try:
                work(Retention(store, SHORT), START + 30 * DAY)
            except Killed:
                continue
            break
        found.append((kept(store), rows(store, schema.samples["host"])))
        store.close()
    assert found[0] == found[1]


def test_a_clock_that_runs_ahead_makes_nothing_old(a_store: Store) -> None:
    months(a_store, 3)
    work(Compactor(a_store), START + 3 * DAY + INTERVAL)
    before = kept(a_store)
    work(Retention(a_store, SHORT), START + 5000 * DAY)
    assert kept(a_store)["daily_domain"] == before["daily_domain"]
    assert rows(a_store, schema.samples["domain"]) >= 18


# --- beside the scans ------------------------------------------------------------------------


def kept_up(collector: Collector, store: Store, table: sa.Table) -> int:
    """The rows of a table after a turn of upkeep."""
    collector.keep_up()
    return rows(store, table)


def test_the_process_that_collects_does_it_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The story is of long ago, of which nothing would be deleted for a day.
    monkeypatch.setattr("app.collect.patience.LEAP_MS", 1 << 60)
    chosen = load({"NPVIRT_DATA": str(tmp_path)})
    store = open_store(store_path(chosen))
    months(store, 3)
    collector = Collector(chosen, store)
    other = Leadership(tmp_path)
    assert other.acquire()
    collector.keep_up()
    assert rows(store, schema.compacted) == 0
    other.release()
    collector.start()
    try:
        until(lambda: collector.health().collecting)
        # A turn does what it can in some seconds.
        until(lambda: kept_up(collector, store, schema.dailies["domain"]) == 3, 60)
        # These days are long past: all but what is needed for the next interval has gone.
        until(lambda: kept_up(collector, store, schema.samples["domain"]) < 3 * 18, 60)
    finally:
        collector.stop()
    store.close()


def test_a_turn_ends_when_npvirt_does(tmp_path: Path) -> None:
    chosen = load({"NPVIRT_DATA": str(tmp_path)})
    store = open_store(store_path(chosen))
    months(store, 3)
    upkeep = Upkeep(chosen, store)
    upkeep.stop()
    upkeep.turn()
    assert rows(store, schema.compacted) == 0
    store.close()


def test_what_cannot_be_written_is_logged_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = load({"NPVIRT_DATA": str(tmp_path)})
    store = open_store(store_path(chosen))
    months(store, 2)
    upkeep = Upkeep(chosen, store)
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE chunk RENAME TO away")
    upkeep.turn()
    assert "has to wait" in caplog.text
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO chunk")
    upkeep.turn()
    assert rows(store, schema.chunk) == 2 * (3 * 3 + 1)
    store.close()
