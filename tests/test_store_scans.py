"""What becomes of a scan in the store: revisions, samples, and what a failed one leaves alone."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.inventory import (
    Definition,
    Disk,
    Domain,
    DomainSample,
    Fact,
    Host,
    HostSample,
    Missing,
    Network,
    Pool,
    PoolSample,
    Scan,
    Volume,
    VolumeSample,
)
from app.store import schema
from app.store.engine import Store
from app.store.history import definition, fleet, scans
from app.store.hosts import HostRecord, remove_host
from app.store.record import Recorder
from tests.made_once import open_store
from tests.storing import BASE_MS, a_host, a_store

__all__ = ["a_store"]

WEB = Domain(uuid="w", name="web", state="running", disks=(Disk("vda", source="/a.qcow2"),))
DB = Domain(uuid="d", name="db", state="shutoff")
POOL = Pool(uuid="p", name="images", state="running")
FULL = Scan(
    at_ms=BASE_MS,
    took_ms=12,
    ok=True,
    host=Host(uri="test:///default", hostname="kvm-01"),
    host_sample=HostSample(cpu_idle_ns=100, memory_total_bytes=1000),
    domains={"w": WEB, "d": DB},
    domain_samples={"w": DomainSample(cpu_time_ns=5, memory_bytes=2**30)},
    definitions={"w": Definition("<domain/>", "<domain/>"), "d": Definition(None, "<domain/>")},
    pools={"p": POOL},
    pool_samples={"p": PoolSample(capacity_bytes=10, allocation_bytes=4)},
    volumes={"p": {"a": Volume("p", "a", format="qcow2"), "b": Volume("p", "b")}},
    volume_samples={("p", "a"): VolumeSample(7), ("p", "b"): VolumeSample(8)},
    volumes_measured=True,
    networks={"n": Network(uuid="n", name="default", state="active")},
    interfaces={},
)


def later(seconds: float, **changes: object) -> Scan:
    """FULL again, `seconds` after it, with changes."""
    return replace(FULL, at_ms=BASE_MS + round(seconds * 1000), **changes)


def at(seconds: float) -> int:
    return BASE_MS + round(seconds * 1000)


@pytest.fixture
def host(a_store: Store) -> HostRecord:
    return a_host(a_store, "kvm-01")


@pytest.fixture
def recorder(a_store: Store, host: HostRecord) -> Recorder:
    return Recorder(a_store, host, interval_ms=60_000)


def count_revisions(store: Store) -> int:
    with store.reading() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM revision").scalar()
    assert isinstance(found, int)
    return found


def test_what_was_seen_is_what_is_read_back(a_store: Store, recorder: Recorder) -> None:
    recorder.record(FULL)
    seen = fleet(a_store, at(1))
    assert {domain.fact for domain in seen.domains} == {WEB, DB}
    web = seen.domain("kvm-01", "w")
    assert web is not None
    assert web.known
    assert web.sample == DomainSample(cpu_time_ns=5, memory_bytes=2**30)
    assert seen.pools[0].sample == PoolSample(capacity_bytes=10, allocation_bytes=4)
    assert {volume.key: volume.sample for volume in seen.volumes} == {
        "p/a": VolumeSample(7),
        "p/b": VolumeSample(8),
    }
    assert seen.hosts[0].seen is not None
    assert seen.hosts[0].seen.fact == FULL.host
    assert seen.as_of_ms == BASE_MS


def test_a_scan_that_saw_nothing_new_writes_no_revision(a_store: Store, recorder: Recorder) -> None:
    recorder.record(FULL)
    before = count_revisions(a_store)
    again = later(60, domains={"w": replace(WEB), "d": DB}, definitions={})
    recorded = recorder.record(again)
    assert (recorded.opened, recorded.closed) == (0, 0)
    assert count_revisions(a_store) == before


def test_a_change_ends_one_revision_and_begins_another(a_store: Store, recorder: Recorder) -> None:
    recorder.record(FULL)
    paused = replace(WEB, state="paused")
    recorder.record(later(60, domains={"w": paused, "d": DB}))
    before, after = fleet(a_store, at(59)), fleet(a_store, at(60))
    assert [d.fact.state for d in before.domains if d.key == "w"] == ["running"]
    assert [d.fact.state for d in after.domains if d.key == "w"] == ["paused"]
    web = after.domain("kvm-01", "w")
    assert web is not None
    assert web.valid_from_ms == at(60)
    assert web.elapsed_ms == 60_000


def test_a_failed_scan_closes_nothing_and_keeps_the_last_values(
    a_store: Store, recorder: Recorder
) -> None:
    recorder.record(FULL)
    failed = Scan(at(60), 10, ok=False, problem="refused", sentence="Nothing listens there.")
    recorder.record(failed)
    recorder.record(replace(failed, at_ms=at(120)))
    seen = fleet(a_store, at(121))
    status = seen.hosts[0].status
    assert not status.known
    assert status.unknown_since_ms == BASE_MS
    assert (status.problem, status.failures) == ("refused", 2)
    assert len(seen.domains) == 2
    assert not any(domain.known for domain in seen.domains)
    web = seen.domain("kvm-01", "w")
    assert web is not None
    assert web.sample is not None
    assert web.at_ms == BASE_MS
    assert fleet(a_store, at(30)).hosts[0].status.known


def test_a_part_that_is_missing_closes_nothing_of_its_kind(
    a_store: Store, recorder: Recorder
) -> None:
    recorder.record(FULL)
    partial = later(
        60, domains=None, domain_samples=None, pools={}, volumes={}, definitions={},
        missing=(Missing("domains", "the list failed"),),
    )  # fmt: skip
    recorder.record(partial)
    seen = fleet(a_store, at(61))
    assert len(seen.domains) == 2
    assert not any(domain.known for domain in seen.domains)
    assert {domain.at_ms for domain in seen.domains} == {BASE_MS}
    assert seen.pools == ()
    assert seen.volumes == ()
    assert seen.hosts[0].status.known
    assert seen.hosts[0].status.missing == partial.missing


def test_what_is_gone_takes_along_what_belongs_to_it(
    a_store: Store, host: HostRecord, recorder: Recorder
) -> None:
    recorder.record(FULL)
    recorder.record(later(60, domains={"d": DB}, definitions={}, volumes={"p": {}}))
    assert definition(a_store, host.id, "w", at(30)) is not None
    assert definition(a_store, host.id, "w", at(61)) is None
    assert fleet(a_store, at(61)).volumes == ()
    recorder.record(later(120))
    assert len(fleet(a_store, at(121)).domains) == 2


def test_times_strictly_increase_even_when_the_clock_steps_back(
    a_store: Store, host: HostRecord, recorder: Recorder
) -> None:
    recorder.record(FULL)
    recorded = recorder.record(later(-3600))
    assert recorded.at_ms == BASE_MS + 1
    newest = scans(a_store, host.id, None, 1)[0]
    assert newest.clock_stepped
    assert newest.at_ms == BASE_MS + 1


def test_a_new_recorder_goes_on_where_the_last_one_stopped(
    a_store: Store, host: HostRecord, recorder: Recorder
) -> None:
    recorder.record(FULL)
    other = Recorder(a_store, host, 60_000)
    assert other.record(later(60)).opened == 0
    # The first one notices that somebody else wrote.
    recorder.record(later(120, domains={"d": DB}, definitions={}))
    assert other.record(later(180)).opened == 2


def test_a_host_that_nobody_looks_at_any_more_is_unknown(
    a_store: Store, recorder: Recorder
) -> None:
    recorder.record(FULL)
    assert fleet(a_store, at(120)).hosts[0].status.known
    assert not fleet(a_store, at(3600)).hosts[0].status.known


def test_over_a_gap_nothing_is_compared(a_store: Store, recorder: Recorder) -> None:
    recorder.record(FULL)
    recorder.record(later(3600))
    web = fleet(a_store, at(3601)).domain("kvm-01", "w")
    assert web is not None
    assert web.sample is not None
    assert web.previous is None
    assert web.elapsed_ms is None


def test_a_removed_host_is_there_in_the_past_alone(a_store: Store, recorder: Recorder) -> None:
    recorder.record(FULL)
    assert len(fleet(a_store, None).domains) == 2
    remove_host(a_store, "kvm-01")
    assert fleet(a_store, None).domains == ()
    assert len(fleet(a_store, at(1)).domains) == 2


def test_before_the_first_scan_there_is_nothing(a_store: Store, recorder: Recorder) -> None:
    recorder.record(FULL)
    seen = fleet(a_store, BASE_MS - 1)
    assert seen.as_of_ms is None
    assert seen.domains == ()


def test_a_counter_beyond_a_signed_number_is_unknown(a_store: Store, recorder: Recorder) -> None:
    recorder.record(
        replace(FULL, domain_samples={"w": DomainSample(cpu_time_ns=2**64 - 1, net_rx_bytes=3)})
    )
    web = fleet(a_store, at(1)).domain("kvm-01", "w")
    assert web is not None
    assert web.sample == DomainSample(cpu_time_ns=None, net_rx_bytes=3)


def test_the_present_is_the_same_object_until_something_changes(
    a_store: Store, recorder: Recorder
) -> None:
    recorder.record(FULL)
    seen = fleet(a_store, None)
    assert fleet(a_store, None) is seen
    recorder.record(later(60))
    assert fleet(a_store, None) is not seen


def test_sample_tables_have_the_declared_columns(a_store: Store) -> None:
    with a_store.reading() as connection:
        for name, table in schema.samples.items():
            rows = connection.exec_driver_sql(f"PRAGMA table_info(sample_{name})").all()
            assert [row.name for row in rows] == [column.name for column in table.columns]


STATES = st.sampled_from(["running", "paused", "shutoff"])
INVENTORIES = st.dictionaries(st.sampled_from("abcde"), STATES, max_size=5)


@given(st.lists(st.one_of(st.none(), INVENTORIES), min_size=1, max_size=8), st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_as_of_any_moment_equals_a_naive_replay(
    tmp_path_factory: pytest.TempPathFactory,
    looks: list[dict[str, str] | None],
    data: st.DataObject,
) -> None:
    store = open_store(tmp_path_factory.mktemp("store") / "npvirt.sqlite")
    host = a_host(store, "kvm-01")
    recorder = Recorder(store, host, 60_000)
    for number, look in enumerate(looks):
        recorder.record(_look(number, look))
    tick = data.draw(st.integers(0, len(looks) - 1))
    expected: dict[str, str] = {}
    for look in looks[: tick + 1]:
        expected = expected if look is None else look
    seen = fleet(store, at(60 * tick + 30))
    assert {domain.key: domain.fact.state for domain in seen.domains} == expected
    assert seen.hosts[0].status.known == (looks[tick] is not None)
    store.close()


def _look(number: int, look: dict[str, str] | None) -> Scan:
    if look is None:
        return Scan(at(60 * number), 1, ok=False, problem="refused", sentence="No.")
    domains = {uuid: Domain(uuid=uuid, name=uuid, state=state) for uuid, state in look.items()}
    return Scan(at(60 * number), 1, ok=True, domains=domains)


@given(st.builds(Domain, uuid=st.text(), name=st.text(), state=STATES))
def test_a_fact_survives_its_round_trip_through_the_store(fact: Fact) -> None:
    assert msgspec.json.decode(msgspec.json.encode(fact), type=Domain) == fact


def test_the_store_lies_where_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "npvirt.sqlite"
    path.parent.mkdir()
    store = open_store(path)
    assert path.stat().st_mode & 0o077 == 0
    assert sorted(p.name for p in path.parent.iterdir() if "new" in p.name) == []
    store.close()
