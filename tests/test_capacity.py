"""The capacity review over a made-up fleet: every planted fact is found and nothing else is; of a
past moment it says what was known then; and what it says of hosts that never answered.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.capacity.evidence import (
    Evidence,
)
from app.capacity.fitting import forecast
from app.capacity.forecast import Forecast, Refusal, full
from app.capacity.growth import growth, over
from app.capacity.losses import losses
from app.capacity.outlook import outlooks
from app.capacity.overcommit import overcommit
from app.capacity.periods import months, period
from app.capacity.placement import SOON_DAYS, place, wish
from app.capacity.reclaim import freed, reclaimable
from app.capacity.rightsizing import larger_than_needed
from app.capacity.storage import fleetwide, storages
from app.clock import DAY_MS
from app.connection import Connection
from app.demo.plan import DAY, Plan
from app.demo.planted import FILLING, IDLE, ORPHANS, OVERCOMMITTED, OVERSIZED
from app.store.capacity import evidence
from app.store.engine import Store
from app.store.hosts import add_host
from tests.capacity_series import of_the_demonstration
from tests.demo_support import APRIL
from tests.made_once import open_store
from tests.storing import a_store

__all__ = ["a_store"]

pytestmark = pytest.mark.xdist_group("capacity")

GIB = 1 << 30
PLAN = APRIL
AT_MS = PLAN.end_ms
TODAY = AT_MS // DAY_MS


@pytest.fixture(scope="module")
def store(april_data: Path) -> Iterator[Store]:
    """A made-up fleet with all planted facts; read only."""
    opened = open_store(april_data / "npvirt.sqlite")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def seen(store: Store) -> Evidence:
    """What was known of it in the end."""
    return evidence(store, PLAN.end * 60_000)


# --- the demonstration ---------------------------------------------------------------------


def test_ten_idle_domains_are_found_and_five_volumes_that_nobody_uses_and_nothing_else(
    seen: Evidence,
) -> None:
    found = reclaimable(seen)
    assert {one.subject for one in found if one.kind == "idle-domain"} == set(IDLE)
    volumes = {(one.host, one.subject) for one in found if one.kind == "unused-volume"}
    assert volumes == {(one.host, f"{one.pool}/{one.name}") for one in ORPHANS}
    assert len(found) == len(IDLE) + len(ORPHANS)
    for one in found:
        assert one.frees_disk_bytes is not None
        assert one.frees_disk_bytes > 20 * GIB
    taken = freed(found)
    assert taken.memory_bytes == 10 * 4 * GIB
    assert taken.unknown_disks == 0


def test_three_oversized_domains_are_found_and_nothing_else(seen: Evidence) -> None:
    found = larger_than_needed(seen)
    assert {one.subject for one in found} == set(OVERSIZED)
    for one in found:
        assert (one.vcpus, one.memory_bytes) == (16, 64 * GIB)
        assert one.enough_vcpus in (2, 3)
        assert one.enough_memory_bytes == 16 * GIB
        assert one.peak_vcpus is not None
        assert one.peak_vcpus < one.enough_vcpus


def test_the_overcommitted_host_is_found_and_no_other(seen: Evidence) -> None:
    found = {one.host: one for one in overcommit(seen)}
    assert [host for host, one in found.items() if one.verdict == "overcommitted"] == [
        OVERCOMMITTED.host
    ]
    assert {one.verdict for one in found.values()} == {"overcommitted", "fine"}
    one = found[OVERCOMMITTED.host]
    assert one.memory_ratio is not None
    assert one.memory_ratio > 1
    assert one.reasons == ("memory",)
    told = [value for value in one.memory_ratio_by_day.values if value is not None]
    assert told[-1] == pytest.approx(one.memory_ratio)


def test_the_pool_that_fills_is_full_on_its_day_and_no_other_is_soon(seen: Evidence) -> None:
    soon = [
        one
        for one in outlooks(seen)
        if one.pool_uuid and one.full_ms and one.full_ms < seen.at_ms + SOON_DAYS * DAY_MS
    ]
    assert [one.names for one in soon] == [(f"{FILLING.host}/{FILLING.pool}",)]
    days = ((soon[0].full_ms or 0) - seen.at_ms) / DAY_MS
    assert days == pytest.approx(FILLING.full_in_days, abs=0.1)


def test_over_more_than_a_year_only_the_planted_pool_fills_within_the_next() -> None:
    plan = Plan(AT_MS)
    day = plan.end // DAY
    cases = of_the_demonstration(plan, every_days=1)
    newest = {id(case.series): case for case in cases}.values()
    assert len(newest) == 13
    within = []
    for case in newest:
        told = forecast(case.series, case.limit, day)
        assert isinstance(told, Forecast)
        when = full(told).likely_days
        if when is not None and when < 365:
            within.append(when)
    assert within == [pytest.approx(FILLING.full_in_days, abs=1)]


def test_remote_storage_that_two_hosts_have_counts_once(seen: Evidence) -> None:
    found = storages(seen.pools)
    both = [one for one in found if len(one.pools) == 2]
    assert [{pool.host for pool in one.pools} for one in both] == [{"kvm-01", "kvm-04"}]
    whole = fleetwide(found)
    assert whole.capacity_bytes == sum(p.capacity_bytes or 0 for p in seen.pools) - 3200 * GIB
    assert whole.unknown == ()


def test_of_a_past_moment_it_says_what_was_known_then(store: Store, seen: Evidence) -> None:
    at_ms = (TODAY - 10) * DAY_MS + 7_200_000
    then = evidence(store, at_ms)
    assert then.day == TODAY - 10
    for one in then.pools:
        assert one.allocation.end_day <= TODAY - 10
    assert all(event.at_ms <= at_ms for event in then.events)
    assert all(max(d.use.days) < TODAY - 10 for d in then.domains if d.use is not None)
    full_ms, now_ms = (
        next(one.full_ms for one in outlooks(of) if one.names == ("kvm-02/fast-nvme",))
        for of in (then, seen)
    )
    assert full_ms == pytest.approx(now_ms, abs=DAY_MS / 4)
    # It was not seen for thirty days then.
    assert not [one for one in reclaimable(then) if one.kind == "idle-domain"]


def test_it_is_read_once_as_long_as_nothing_changes(store: Store) -> None:
    at_ms = PLAN.end * 60_000
    assert evidence(store, at_ms) is evidence(store, at_ms)


def test_before_the_first_scan_nothing_is_known(store: Store) -> None:
    nothing = evidence(store, (TODAY - 100) * DAY_MS)
    assert (nothing.hosts, nothing.pools, nothing.domains) == ((), (), ())
    assert nothing.first_day is None
    assert [*reclaimable(nothing), *larger_than_needed(nothing), *overcommit(nothing)] == []
    assert [one.told for one in outlooks(nothing)] == [Refusal("no-history", 0)]
    assert place(nothing, wish(1, GIB, GIB), outlooks(nothing)).fits == ()
    assert losses(nothing) == []


def test_growth_counts_what_happened_month_by_month(seen: Evidence) -> None:
    of = period(TODAY - 40, TODAY + 5, today=TODAY, first_day=seen.first_day)
    assert of.cut == ("future", "history")
    rows = growth(seen, of)
    whole = over(seen, of)[0]
    assert sum(row.created for row in rows) == whole.created > 0
    assert sum(row.promised_bytes for row in rows) == whole.promised_bytes
    assert [row.period for row in rows] == [name for name, _, _ in months(of)]
    assert rows[-1].partial
    hosts = over(seen, of, "host")
    assert {row.group for row in hosts} == {host.name for host in seen.hosts}
    assert sum(row.created for row in hosts) == whole.created
    pools = {row.group: row for row in over(seen, of, "pool")}
    grown = pools["kvm-02/fast-nvme"].allocated_bytes
    assert grown == pytest.approx(FILLING.bytes_per_day * (of.days - 1), rel=0.1)
    owners = {row.group: row for row in over(seen, of, "owner", "{owner} ")}
    assert sum(row.created for row in owners.values()) == whole.created
    assert owners["Shop"].created > 0


def test_a_store_without_hosts_tells_nothing(a_store: Store) -> None:
    nothing = evidence(a_store, None)
    assert nothing.hosts == ()
    assert [one.value for one in outlooks(nothing)] == [None]


def test_a_host_that_never_answered_is_not_judged(a_store: Store) -> None:
    add_host(a_store, "kvm-09", Connection())
    found = evidence(a_store, None)
    assert [one.verdict for one in overcommit(found)] == ["not-judged"]
    fit = place(found, wish(1, GIB), outlooks(found)).fits[0]
    assert (fit.verdict, fit.reasons) == ("not-judged", ("host-unknown",))
