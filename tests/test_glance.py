"""Many objects at a glance: coarse series of what was measured, of samples or of keyframes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.inventory import Domain, DomainSample, Host, HostSample, Scan
from app.metrics import METRIC_BY_NAME, Metric
from app.store import sparks as sparks_module
from app.store.compaction import Compactor
from app.store.glance import Buckets, Values, glance
from app.store.record import Recorder
from app.store.sparks import HALF_HOUR_MS, sparks
from app.store.tiers import move_horizon
from tests.made_once import open_store
from tests.storing import a_host

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FIRST_MS = 20_500 * DAY_MS
CPU, MEMORY = METRIC_BY_NAME["domain", "cpu"], METRIC_BY_NAME["domain", "memory_used_bytes"]
STEADY, ANEW, GONE = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
# Nobody looked in these hours; the second domain began anew in that one.
AWAY = (FIRST_MS + 10 * HOUR_MS, FIRST_MS + 13 * HOUR_MS)
ANEW_MS = FIRST_MS + 20 * HOUR_MS + 10 * MINUTE_MS


class Told:
    """Two days of three domains: one busy by half a CPU, one that began anew, one that went."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = open_store(path)
        self.host = a_host(self.store, "kvm-01")
        recorder = Recorder(self.store, self.host, MINUTE_MS)
        for minute in range(2 * 1440 + 3):
            at_ms = FIRST_MS + minute * MINUTE_MS + 200
            if AWAY[0] <= at_ms < AWAY[1]:
                continue
            recorder.record(self._scan(at_ms, minute))
        compactor = Compactor(self.store)
        while compactor.step(FIRST_MS + 2 * DAY_MS + HOUR_MS):
            pass

    def _scan(self, at_ms: int, minute: int) -> Scan:
        since = (at_ms - ANEW_MS if at_ms >= ANEW_MS else at_ms - FIRST_MS) * 10**6
        samples = {
            STEADY: DomainSample(minute * 30 * 10**9, 4 << 30, memory_usable_bytes=3 << 30),
            ANEW: DomainSample(since // 4, 1 << 30),
        }
        if minute < 1440:
            samples[GONE] = DomainSample(0, 1 << 30)
        domains = {uuid: Domain(uuid, uuid[-1], "running", id=1, vcpus=1) for uuid in samples}
        return Scan(
            at_ms=at_ms, took_ms=1, ok=True, host=Host(uri="qemu:///system"),
            host_sample=HostSample(), domains=domains, domain_samples=samples,
        )  # fmt: skip

    def glance(self, buckets: Buckets, memory: bool = False) -> dict[str, list[float | None]]:
        with self.store.reading() as connection:
            found: Values = glance(connection, MEMORY if memory else CPU, [self.host.id], buckets)
            keys = {
                row[0]: row[1]
                for row in connection.exec_driver_sql(
                    "SELECT id, key FROM entity WHERE kind = 'domain'"
                )
            }
        return {keys[entity_id]: values for entity_id, values in found.items()}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    made = Told(tmp_path_factory.mktemp("glance") / "npvirt.sqlite")
    yield made
    made.store.close()


def _whole(width_ms: int) -> Buckets:
    return Buckets(FIRST_MS, width_ms, 2 * DAY_MS // width_ms)


@pytest.fixture(params=["samples", "keyframes"])
def source(request: pytest.FixtureRequest, told: Told) -> Iterator[str]:
    """Out of which of the two it is read."""
    at_ms = FIRST_MS + 2 * DAY_MS if request.param == "keyframes" else 0
    with told.store.writing() as connection:
        move_horizon(connection, "recent", at_ms)
    yield request.param
    with told.store.writing() as connection:
        move_horizon(connection, "recent", 0)


def test_a_steady_domain_is_told_steadily_and_not_where_nobody_looked(
    told: Told, source: str
) -> None:
    values = told.glance(_whole(HOUR_MS))[STEADY]
    away = range(10, 13)
    assert all(values[hour] is None for hour in away)
    seen = [value for hour, value in enumerate(values) if hour not in (0, *away, 13)]
    assert seen == pytest.approx([0.5] * len(seen), rel=0.002)


def test_what_began_anew_is_never_negative_nor_a_spike(told: Told, source: str) -> None:
    values = told.glance(_whole(HOUR_MS))[ANEW]
    seen = [value for value in values if value is not None]
    assert seen == pytest.approx([0.25] * len(seen), rel=0.01)
    assert len(seen) >= 42


def test_what_follows_from_several_figures_is_told_too(told: Told, source: str) -> None:
    values = told.glance(_whole(2 * HOUR_MS), memory=True)[STEADY]
    assert {value for value in values if value is not None} == {1 << 30}


def test_what_is_gone_is_told_until_it_went(told: Told, source: str) -> None:
    values = told.glance(_whole(HOUR_MS), memory=False)[GONE]
    assert values[23] == 0
    assert set(values[24:]) == {None}


def test_half_hours_are_told_out_of_samples_alone(told: Told) -> None:
    values = told.glance(_whole(HALF_HOUR_MS))[STEADY]
    assert len(values) == 96
    assert values[50] == pytest.approx(0.5)


def test_sparklines_are_read_once_for_all_pages(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = FIRST_MS + 2 * DAY_MS
    first = sparks(told.store, "domain", moment)
    assert sparks(told.store, "domain", moment + MINUTE_MS) is first
    later = sparks(told.store, "domain", moment + 3 * MINUTE_MS)
    assert later is not first
    assert {len(values) for values in first.values()} == {48}
    monkeypatch.setattr(sparks_module, "glance", None)
    assert sparks(told.store, "domain", moment) is first


def test_half_an_hour_later_only_the_new_half_hour_is_read(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Buckets] = []

    def noted(connection: sa.Connection, metric: Metric, hosts: list[int], some: Buckets) -> Values:
        read.append(some)
        return glance(connection, metric, hosts, some)

    monkeypatch.setattr(sparks_module, "glance", noted)
    moment = FIRST_MS + 2 * DAY_MS - 3 * HOUR_MS
    again = open_store(told.path)
    sparks(again, "domain", moment)
    later = sparks(again, "domain", moment + HALF_HOUR_MS)
    assert [some.count for some in read] == [48, 1]
    again.close()
    anew = open_store(told.path)
    assert sparks(anew, "domain", moment + HALF_HOUR_MS) == later
    anew.close()
