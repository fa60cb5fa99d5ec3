"""The past does not change when it is asked for again; once its samples are gone, hours tell it."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from app.clock import rfc3339
from app.inventory import Domain, DomainSample
from app.store import keyframes
from app.store.buckets import Column, Rolled
from app.store.building import Builder, Parsed
from app.store.compaction import Compactor
from app.store.engine import Store
from app.store.history import definition, fleet, scans
from app.store.record import Recorder
from app.store.retention import Lengths, Retention
from tests.storing import a_host, a_store
from tests.test_compaction import DAY, FIRST_DAY, INTERVAL, START, a_scan, work
from tests.web_support import Web

__all__ = ["a_store"]

PER_DAY = DAY // INTERVAL
LENGTHS = Lengths(2 * DAY, 10 * DAY, 20 * DAY, 30 * DAY, 40 * DAY)
MINUTE = 60_000
# Noon and some of the second day.
MOMENT = START + DAY + 12 * 3_600_000 + 25 * MINUTE
SAMPLE_FIELDS = {
    "cpu_seconds", "cpu", "memory_used_bytes", "memory_free_bytes", "memory_buffers_bytes",
    "memory_cached_bytes", "memory_total_bytes", "disk_read_bytes_per_second",
    "disk_write_bytes_per_second", "net_rx_bytes_per_second", "net_tx_bytes_per_second",
    "allocation_bytes", "allocation", "available_bytes", "capacity_bytes", "refreshed_at",
    "volumes_capacity_bytes", "volume_count", "assigned_vcpus", "assigned_memory_bytes",
}  # fmt: skip
ADDRESSES = (
    "/api/v1/hosts", "/api/v1/domains", "/api/v1/pools", "/api/v1/volumes", "/api/v1/overview",
    "/api/v1/hosts/kvm-01", "/api/v1/hosts/kvm-01/domains/w", "/api/v1/hosts/kvm-01/pools/p",
    "/api/v1/domains?format=csv", "/api/v1/hosts?format=csv", "/domains", "/hosts", "/pools",
)  # fmt: skip


class Story:
    """Two hosts, scanned every twenty minutes for as long as is told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._recorders = [
            Recorder(store, a_host(store, slug), INTERVAL) for slug in ("kvm-01", "kvm-02")
        ]
        with store.writing() as connection:
            connection.exec_driver_sql(f"UPDATE host SET created_at_ms = {START - 1000}")
        self._number = 0

    def go_on(self, days: float) -> None:
        for _ in range(round(days * PER_DAY)):
            for late, recorder in enumerate(self._recorders):
                at_ms = START + self._number * INTERVAL + late * 7 * MINUTE
                recorder.record(a_scan(at_ms, self._number))
            self._number += 1

    def keep_up(self, *, retain: bool) -> None:
        now_ms = START + self._number * INTERVAL
        work(Compactor(self.store), now_ms)
        if retain:
            work(Retention(self.store, LENGTHS), now_ms)


def ask(web: Web, at_ms: int = MOMENT) -> dict[str, bytes]:
    found = {}
    for address in ADDRESSES:
        mark = "&" if "?" in address else "?"
        answer = web.client.get(
            f"{address}{mark}at={rfc3339(at_ms)}", headers={"HX-Request": "true"}
        )
        found[address] = answer.data if address.startswith("/api") else b""
        assert answer.status_code == 200, answer.text
    return found


def without_samples(found: Any) -> Any:
    if isinstance(found, dict):
        return {k: without_samples(v) for k, v in found.items() if k not in SAMPLE_FIELDS}
    return [without_samples(one) for one in found] if isinstance(found, list) else found


def test_the_past_is_the_same_until_it_is_told_by_hours_and_from_then_on(empty_web: Web) -> None:
    story = Story(empty_web.store)
    story.go_on(2)
    first = ask(empty_web)
    assert json.loads(first["/api/v1/hosts/kvm-01/domains/w"])["cpu"] is not None
    story.go_on(0.5)
    assert ask(empty_web) == first
    story.go_on(1)
    story.keep_up(retain=True)
    assert ask(empty_web) == first
    story.go_on(3)
    story.keep_up(retain=True)
    crossed = ask(empty_web)
    changed = [address for address in ADDRESSES if crossed[address] != first[address]]
    assert "/api/v1/domains" in changed
    for address in changed:
        if "csv" not in address:
            before, after = json.loads(first[address]), json.loads(crossed[address])
            assert without_samples(before) == without_samples(after), address
    story.go_on(5)
    story.keep_up(retain=True)
    assert ask(empty_web) == crossed


def test_the_hours_tell_means_and_no_counters(empty_web: Web) -> None:
    story = Story(empty_web.store)
    story.go_on(6)
    story.keep_up(retain=True)
    at = rfc3339(MOMENT)
    item = json.loads(empty_web.text(f"/api/v1/hosts/kvm-01/domains/w?at={at}"))
    number = (MOMENT - START) // 3_600_000 * 3
    # Three scans an hour, of which each counted one more, and that is a second of two CPUs' time.
    assert item["cpu"] == pytest.approx(1 / (INTERVAL / 1000) / 2, rel=0.001)
    assert item["memory_used_bytes"] == pytest.approx(2**29 - number, rel=1 / 4096)
    assert item["disk_read_bytes_per_second"] == pytest.approx(4096 / (INTERVAL / 1000), rel=0.3)
    assert item["cpu_seconds"] is None
    assert item["state"] == "running"
    host = json.loads(empty_web.text(f"/api/v1/hosts/kvm-01?at={at}"))
    assert host["cpu"] == pytest.approx(1.1 / 11.1, rel=0.002)
    assert host["memory_total_bytes"] == 2**34
    pool = json.loads(empty_web.text(f"/api/v1/hosts/kvm-01/pools/p?at={at}"))
    assert pool["allocation_bytes"] == pytest.approx(2**30 + number, rel=1 / 4096)
    assert pool["capacity_bytes"] == 2**40
    seen = fleet(empty_web.store, MOMENT)
    assert [volume.sample.allocation_bytes for volume in seen.volumes if volume.sample] == [
        number + 1, number + 1,
    ]  # fmt: skip


def test_what_did_not_run_at_the_moment_is_told_nothing_of_the_rest_of_its_hour(
    a_store: Store,
) -> None:
    recorder = Recorder(a_store, a_host(a_store, "kvm-01"), INTERVAL)
    web = Domain(uuid="w", name="web", state="running", id=1)
    off = replace(web, state="shutoff", id=None)
    for number in range(3 * PER_DAY):
        scan = a_scan(START + number * INTERVAL, number)
        if number % 3 == 2:
            scan = replace(scan, domains={"w": off}, domain_samples={})
        recorder.record(scan)
    work(Compactor(a_store), START + 3 * DAY + INTERVAL)
    work(Retention(a_store, replace(LENGTHS, recent_ms=3_600_000)), START + 3 * DAY)
    running, stopped = fleet(a_store, MOMENT - INTERVAL), fleet(a_store, MOMENT + INTERVAL)
    assert running.domains[0].sample is not None
    assert running.domains[0].rates
    assert stopped.domains[0].fact.state == "shutoff"
    assert stopped.domains[0].sample is None
    assert stopped.domains[0].rates == {}


def test_a_host_that_is_silent_for_weeks_is_shown_as_it_was_last(empty_web: Web) -> None:
    """Its samples have gone, and with what is kept of the hour its last values are shown."""
    story = Story(empty_web.store)
    story.go_on(1)
    silent = story._recorders.pop(0)
    for day in range(1, 8):
        silent.record(a_scan(START + day * DAY + 5, 0, ok=False))
    story.go_on(7)
    story.keep_up(retain=True)
    view = fleet(empty_web.store, START + 8 * DAY - 1).host("kvm-01")
    assert view is not None
    assert not view.status.known
    assert view.seen is not None
    assert view.seen.sample is not None
    assert view.seen.sample.memory_total_bytes == 2**34
    assert view.seen.rates


# --- a look that is going on -----------------------------------------------------------------


def test_a_look_that_was_going_on_does_not_change_what_was_answered(a_store: Store) -> None:
    recorder = Recorder(a_store, a_host(a_store, "kvm-01"), INTERVAL)
    recorder.record(a_scan(START, 1))
    began = START + INTERVAL
    moments = [began + 1, began + 2_000, began + 5_000, began + 5_300]
    before = [whole(a_store, at_ms) for at_ms in moments]
    assert all(seen.domains[0].fact.id == 1 for seen in before)
    slow = replace(a_scan(began, 2, domain_id=7), took_ms=5_000, networks={})
    new = {**(slow.domains or {}), "new": Domain(uuid="new", name="new", state="running", id=9)}
    recorder.record(replace(slow, domains=new, volumes={"p": {}}))
    assert [whole(a_store, at_ms) for at_ms in moments] == before
    assert len(scans(a_store, 1, began + 2_000, 10)) == 1
    for at_ms in (began, began + 5_500, began + 9_000):
        seen = whole(a_store, at_ms)
        assert {domain.fact.id for domain in seen.domains} == {7, 9}
        assert seen.volumes == ()
        assert seen.as_of_ms == began


def test_a_look_that_failed_after_a_while_makes_nothing_unknown_before(a_store: Store) -> None:
    recorder = Recorder(a_store, a_host(a_store, "kvm-01"), INTERVAL)
    recorder.record(a_scan(START, 1))
    before = whole(a_store, START + INTERVAL + 20_000)
    hung = replace(a_scan(START + INTERVAL, 0, ok=False), took_ms=30_000)
    recorder.record(hung)
    assert whole(a_store, START + INTERVAL + 20_000) == before
    assert before.hosts[0].status.known
    assert not whole(a_store, START + INTERVAL + 30_500).hosts[0].status.known


def test_a_definition_is_that_which_was_known(a_store: Store) -> None:
    from app.inventory import Definition

    recorder = Recorder(a_store, a_host(a_store, "kvm-01"), INTERVAL)
    recorder.record(replace(a_scan(START, 1), definitions={"w": Definition("<one/>")}))
    slow = replace(a_scan(START + INTERVAL, 2), took_ms=5_000)
    recorder.record(replace(slow, definitions={"w": Definition("<two/>")}))
    texts = []
    for after_ms in (0, 2_000, 6_000):
        found = definition(a_store, 1, "w", START + INTERVAL + after_ms)
        texts.append(found.fact.live_xml if found else None)
    assert texts == ["<two/>", "<one/>", "<two/>"]


def whole(store: Store, at_ms: int) -> Any:
    """The fleet, past the memory of past fleets."""
    with store.reading() as connection:
        return Builder(connection, at_ms, at_ms, Parsed()).build()[0]


# --- the blobs -------------------------------------------------------------------------------


def test_a_keyframe_gives_back_what_was_put_in_and_unknown_where_nothing_was() -> None:
    first = FIRST_DAY * 24
    rolled = {
        7: Rolled(
            [first + 3, first + 5],
            {
                "memory_bytes": Column("gauge", [2, 0], [5, 0]),
                "cpu_time_ns": Column("counter", [60_000, 60_000], [60 * 10**9, 123_456_789_000]),
                "net_rx_packets": Column("events", [60_000, 60_000], [1, 1]),
            },
        ),
        2**31: Rolled([first + 5], {"memory_bytes": Column("gauge", [1], [2**40 + 1])}),
    }
    blob = keyframes.encode("domain", FIRST_DAY, rolled)
    assert blob is not None
    third, fifth = (keyframes.decode("domain", blob, hour) for hour in (3, 5))
    assert third.keys() == {7}
    assert third[7].sample == DomainSample(memory_bytes=3)
    assert third[7].rates["cpu_time_ns"] == pytest.approx(10**9, rel=0.001)
    assert fifth[7].sample == DomainSample()
    assert fifth[7].rates["cpu_time_ns"] == pytest.approx(2_057_613_150, rel=0.001)
    assert fifth[2**31].sample.memory_bytes == 2**40 + 1
    assert keyframes.decode("domain", blob, 4) == {}
    assert keyframes.encode("domain", FIRST_DAY, {}) is None


def test_a_damaged_keyframe_leaves_the_moment_without_values(a_store: Store) -> None:
    recorder = Recorder(a_store, a_host(a_store, "kvm-01"), INTERVAL)
    for number in range(3 * PER_DAY):
        recorder.record(a_scan(START + number * INTERVAL, number))
    work(Compactor(a_store), START + 3 * DAY + INTERVAL)
    work(Retention(a_store, replace(LENGTHS, recent_ms=3_600_000)), START + 3 * DAY)
    with a_store.writing() as connection:
        connection.exec_driver_sql("UPDATE keyframe SET body = x'78'")
    seen = fleet(a_store, MOMENT)
    assert seen.domains[0].sample is None
    assert seen.domains[0].known
