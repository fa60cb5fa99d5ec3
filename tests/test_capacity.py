"""The capacity review over a made-up fleet: every planted fact is found and nothing else is; of a
past moment it says what was known then; and what it says to hosts and pools of which little is
known.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.capacity.daily import Daily, bridged, daily_of, summed
from app.capacity.evidence import (
    DomainEvidence,
    DomainUse,
    Event,
    Evidence,
    HostEvidence,
    PoolEvidence,
    SnapshotEvidence,
    VolumeEvidence,
)
from app.capacity.fitting import forecast
from app.capacity.forecast import Forecast, Refusal, full
from app.capacity.growth import compared, growth, over, top
from app.capacity.losses import losses
from app.capacity.outlook import outlooks
from app.capacity.overcommit import overcommit
from app.capacity.owners import checked, owner_of
from app.capacity.periods import Period, months, period
from app.capacity.placement import SOON_DAYS, Wish, place, wish
from app.capacity.reclaim import Finding, freed, reclaimable
from app.capacity.rightsizing import larger_than_needed, rounded_up
from app.capacity.storage import fleetwide, storages
from app.clock import DAY_MS
from app.connection import Connection
from app.demo.plan import DAY, Plan
from app.demo.planted import FILLING, IDLE, ORPHANS, OVERCOMMITTED, OVERSIZED
from app.errors import InvalidField
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


# --- by hand -------------------------------------------------------------------------------


def _days(value: float, more: float = 0.0, count: int = 60) -> Daily:
    return Daily(TODAY - count, tuple(value + more * day for day in range(count)))


def _host(name: str = "kvm-01", *, known: bool = True) -> HostEvidence:
    return HostEvidence(name, known, AT_MS, 16, 64 * GIB)


def _pool(name: str = "images", host: str = "kvm-01", **values: object) -> PoolEvidence:
    pool = PoolEvidence(
        host, f"uuid-{name}", name, "running", True, AT_MS, "dir", None, None, 1000 * GIB,
        400 * GIB, 600 * GIB, 500 * GIB, _days(400.0 * GIB),
    )  # fmt: skip
    return replace(pool, **values)


def _domain(name: str = "app", host: str = "kvm-01", **values: object) -> DomainEvidence:
    domain = DomainEvidence(
        host, f"uuid-{name}", name, "running", True, True, AT_MS, 4, 8 * GIB,
        first_seen_ms=(TODAY - 200) * DAY_MS,
    )  # fmt: skip
    return replace(domain, **values)


def _volume(name: str, pool: str = "images", host: str = "kvm-01", **values: object):  # type: ignore[no-untyped-def]
    volume = VolumeEvidence(
        host, f"uuid-{pool}", pool, name, True, AT_MS, f"/{pool}/{name}", "qcow2", 20 * GIB,
        5 * GIB, 0, 0, (TODAY - 100) * DAY_MS,
    )  # fmt: skip
    return (host, f"uuid-{pool}", name), replace(volume, **values)


def _use(cpu: float, *, memory: float = 6.0 * GIB, moved: float = 1e6, days: int = 40) -> DomainUse:
    every = list(range(TODAY - days, TODAY))
    return DomainUse(
        every, [cpu] * days, [cpu] * days, [memory] * days, [memory] * days, [moved] * days,
        [moved] * days,
    )  # fmt: skip


def _found(evidence_: Evidence) -> list[tuple[str, str]]:
    return [(one.kind, one.subject) for one in reclaimable(evidence_)]


def _evidence(**values: object) -> Evidence:
    return replace(Evidence(AT_MS, TODAY, (_host(),), (_pool(),)), **values)


@pytest.mark.parametrize(
    ("domain", "idle"),
    [
        (_domain(use=_use(0.005, moved=100)), True),
        (_domain(use=_use(0.02, moved=100)), False),
        (_domain(use=_use(0.005, moved=5000)), False),
        (_domain(use=_use(0.005, moved=100, days=20)), False),
        (_domain(use=_use(0.005, moved=100), first_seen_ms=(TODAY - 20) * DAY_MS), False),
        (_domain(use=_use(0.005, moved=100), active=False, state="paused"), False),
        (_domain(use=None), False),
    ],
)
def test_idle_is_what_did_nothing_for_thirty_days(domain: DomainEvidence, *, idle: bool) -> None:
    assert (_found(_evidence(pools=(), domains=(domain,))) == [("idle-domain", "app")]) is idle


def test_what_was_not_measured_is_not_known_to_be_idle() -> None:
    use = _use(0.0, moved=0)
    silent = replace(use, cpu_p95=[None] * 40)
    assert _found(_evidence(pools=(), domains=(_domain(use=silent),))) == []
    unmoved = replace(use, disk_bytes_per_s=[None] * 40, net_bytes_per_s=[None] * 40)
    assert _found(_evidence(pools=(), domains=(_domain(use=unmoved),))) == []


def test_a_domain_that_is_off_frees_what_is_its_own_on_disk() -> None:
    mine, shared, base = (
        _volume("a", users=1), _volume("b", users=2), _volume("base", users=1, overlays=3),
    )  # fmt: skip
    domain = _domain(
        active=False, state="shutoff", off_since_ms=(TODAY - 143) * DAY_MS,
        volumes=(mine[0], shared[0], base[0]),
    )  # fmt: skip
    seen = _evidence(domains=(domain,), volumes=dict((mine, shared, base)))
    (found,) = reclaimable(seen)
    assert (found.kind, found.frees_disk_bytes) == ("domain-off", 5 * GIB)
    assert found.since_ms == (TODAY - 143) * DAY_MS
    lately = replace(domain, off_since_ms=(TODAY - 6) * DAY_MS)
    assert reclaimable(replace(seen, domains=(lately,))) == []
    unknown = replace(domain, volumes=(mine[0], ("kvm-01", "uuid-images", "nowhere")))
    (found,) = reclaimable(replace(seen, domains=(unknown,)))
    assert found.frees_disk_bytes is None


@pytest.mark.parametrize(
    ("volume", "unused"),
    [
        (_volume("old.qcow2"), True),
        (_volume("used", users=1), False),
        (_volume("base", overlays=1), False),
        (_volume("debian.ISO", format="raw"), False),
        (_volume("new", first_seen_ms=AT_MS - DAY_MS), False),
    ],
)
def test_volumes_are_unused_if_no_domain_and_no_image_needs_them(
    volume: tuple[tuple[str, str, str], VolumeEvidence], *, unused: bool
) -> None:
    seen = _evidence(volumes=dict([volume]), domains=())
    names = [one.subject for one in reclaimable(seen) if one.kind == "unused-volume"]
    assert (names == [f"images/{volume[1].name}"]) is unused


def test_a_volume_that_another_host_uses_from_the_same_storage_is_used() -> None:
    nas = {"type": "netfs", "source": "nas:/export"}
    pools = (_pool("a", "kvm-01", **nas), _pool("b", "kvm-02", **nas))
    here, there = _volume("x", "a", "kvm-01"), _volume("x", "b", "kvm-02", users=1)
    both = dict((here, there))
    unused = [one.kind for one in reclaimable(_evidence(pools=pools, volumes=both))]
    assert "unused-volume" not in unused
    both = dict((here, _volume("x", "b", "kvm-02")))
    found = reclaimable(_evidence(pools=pools, volumes=both))
    assert [one.host for one in found if one.kind == "unused-volume"] == ["kvm-01"]


def test_a_pool_is_unused_if_nothing_in_it_moves_and_no_domain_needs_it() -> None:
    assert _found(_evidence()) == [("unused-pool", "images")]
    moving = _pool(allocation=_days(400.0 * GIB, GIB))
    assert _found(_evidence(pools=(moving,))) == []
    assert _found(_evidence(pools=(_pool(allocation=_days(1.0, count=10)),))) == []
    assert _found(_evidence(pools=(_pool(state="inactive"),))) == []
    used = dict([_volume("a", users=1)])
    assert _found(_evidence(volumes=used)) == []


def test_old_snapshots_are_told_without_a_size() -> None:
    snapshots = (
        SnapshotEvidence("before", (TODAY - 200) * DAY_MS), SnapshotEvidence("new", AT_MS),
        SnapshotEvidence("undated", None),
    )  # fmt: skip
    used = dict([_volume("a", users=1)])
    seen = _evidence(domains=(_domain(snapshots=snapshots),), volumes=used)
    (found,) = reclaimable(seen)
    assert (found.kind, found.subject) == ("old-snapshot", "app/before")
    assert found.frees_disk_bytes is None
    assert freed([found]).unknown_disks == 1
    assert reclaimable(replace(seen, domains=(_domain(snapshots=None),))) == []


def test_a_dismissed_finding_returns_when_its_facts_change() -> None:
    def digest(domain: DomainEvidence) -> str:
        found: list[Finding] = reclaimable(_evidence(pools=(), domains=(domain,)))
        return found[0].facts_digest

    one = _domain(use=_use(0.005, moved=100))
    assert digest(one) == digest(replace(one, use=_use(0.004, moved=90)))
    assert digest(one) != digest(replace(one, memory_bytes=16 * GIB))


def test_only_days_since_it_was_resized_tell_what_a_domain_needs() -> None:
    busy = _domain(vcpus=8, memory_bytes=32 * GIB, use=_use(0.1, memory=4.0 * GIB))
    (found,) = larger_than_needed(_evidence(domains=(busy,)))
    assert (found.enough_vcpus, found.enough_memory_bytes) == (2, 6 * GIB)
    assert (found.frees_vcpus, found.frees_memory_bytes) == (6, 26 * GIB)
    resized = replace(busy, sized_day=TODAY - 5)
    assert larger_than_needed(_evidence(domains=(resized,))) == []
    needed = replace(busy, use=_use(0.6, memory=25.0 * GIB))
    assert larger_than_needed(_evidence(domains=(needed,))) == []


def test_memory_is_rounded_to_sizes_that_people_give() -> None:
    sizes = [0.2, 0.6, 1.1, 2.0, 2.5, 3.5, 5.0, 9.0, 13.0, 17.0]
    assert [rounded_up(size * GIB) / GIB for size in sizes] == [
        0.5, 1, 2, 2, 3, 4, 6, 12, 16, 24,
    ]  # fmt: skip


def test_a_host_that_does_not_answer_is_neither_full_nor_free() -> None:
    pools = (_pool("images", "kvm-01", known=False),)
    seen = _evidence(hosts=(_host(known=False),), pools=pools, domains=(_domain(),))
    assert overcommit(seen)[0].verdict == "not-judged"
    assert overcommit(seen)[0].memory_ratio == pytest.approx(8 / 64)
    (fit,) = place(seen, wish(1, GIB, GIB), outlooks(seen)).fits
    assert (fit.verdict, fit.room) == ("not-judged", 0)
    assert fit.disk_left_bytes is fit.memory_left_bytes is None
    assert [one.known for one in outlooks(seen)] == [False, False, False, False]


def test_what_fits_says_what_is_left_and_what_runs_out_first() -> None:
    seen = _evidence(domains=(_domain(),))
    found = place(seen, wish(4, 8 * GIB, 100 * GIB, 10), outlooks(seen))
    (fit,) = found.fits
    assert (fit.verdict, fit.room, fit.limited_by) == ("fits", 6, "disk")
    assert fit.memory_left_bytes == 48 * GIB
    assert fit.disk_left_bytes == 500 * GIB
    assert (fit.vcpus_per_cpu, fit.pool_share_after) == (0.5, 0.5)
    assert found.placed == fit.placed == 6
    (fit,) = place(seen, wish(4, 57 * GIB, GIB), outlooks(seen)).fits
    assert (fit.verdict, fit.reasons, fit.room) == ("does-not-fit", ("memory",), 0)
    (fit,) = place(seen, wish(45, GIB), outlooks(seen)).fits
    assert (fit.reasons, fit.pool) == (("vcpus",), "")
    (fit,) = place(replace(seen, pools=()), wish(1, GIB, GIB), outlooks(seen)).fits
    assert (fit.verdict, fit.reasons) == ("does-not-fit", ("no-pool",))


def test_what_fits_today_but_fills_the_pool_soon_is_said() -> None:
    filling = _pool(allocation=_days(282.0 * GIB, 2.0 * GIB))
    seen = _evidence(pools=(filling,))
    (fit,) = place(seen, wish(1, GIB, 450 * GIB), outlooks(seen)).fits
    assert (fit.verdict, fit.reasons) == ("fits-now", ("full-soon",))
    assert fit.full_after_ms is not None
    # Today 400 GiB are taken, and 450 more leave 150 for 2 a day.
    assert (fit.full_after_ms - AT_MS) / DAY_MS == pytest.approx(75, abs=1.5)


def test_hosts_that_share_a_storage_use_it_up_together() -> None:
    nas = {"type": "netfs", "source": "nas:/export"}
    pools = (_pool("a", "kvm-01", **nas), _pool("b", "kvm-02", **nas))
    seen = _evidence(hosts=(_host(), _host("kvm-02")), pools=pools)
    found = place(seen, wish(1, GIB, 200 * GIB, 10), outlooks(seen))
    assert [fit.room for fit in found.fits] == [3, 3]
    assert found.placed == 3


def test_what_breaks_when_a_host_is_lost() -> None:
    big = [_domain(f"big-{n}", memory_bytes=20 * GIB) for n in range(3)]
    small = [_domain("small", "kvm-02", memory_bytes=8 * GIB)]
    hosts = (_host(), _host("kvm-02"), _host("kvm-03", known=False))
    volume = _volume("a", users=1)
    big[0] = replace(big[0], volumes=(volume[0],))
    found = losses(_evidence(hosts=hosts, domains=(*big, *small), volumes=dict([volume])))
    assert found[0].host == "kvm-01"
    assert (found[0].without_place, found[0].breaks) == (("big-2",), "memory")
    assert found[0].local == ("big-0",)
    assert {one.host: one.without_place for one in found[1:]} == {
        "kvm-02": ("small",),
        "kvm-03": (),
    }
    assert {one.host: one.known for one in found}["kvm-03"] is False


def test_a_pool_without_samples_and_one_that_shrank() -> None:
    empty = _pool("empty", capacity_bytes=None, allocation_bytes=None, available_bytes=None,
                  promised_bytes=None, allocation=Daily(0, ()))  # fmt: skip
    shrunk = _pool("shrunk", capacity_bytes=300 * GIB, available_bytes=0)
    seen = _evidence(pools=(empty, shrunk))
    whole, first, second, *_ = outlooks(seen)
    assert (first.value, first.told) == (None, Refusal("no-history", 0))
    assert second.full_ms == AT_MS
    assert whole.value == 400 * GIB
    assert not whole.known
    fits = {fit.pool: fit for fit in place(seen, wish(1, GIB, GIB), outlooks(seen)).fits}
    assert fits["empty"].verdict == "not-judged"
    assert fits["shrunk"].reasons == ("disk",)


def test_pools_of_one_file_system_count_once_others_do_not() -> None:
    one, other = _pool("a"), _pool("b")
    assert len(storages([one, other])) == 1
    assert storages([one, other])[0].promised_bytes == 1000 * GIB
    assert len(storages([one, replace(other, host="kvm-02")])) == 2
    assert len(storages([one, replace(other, allocation=_days(1.0 * GIB))])) == 2
    assert len(storages([one, replace(other, available_bytes=1)])) == 2


@given(
    st.lists(
        st.builds(
            Daily, st.integers(20_000, 20_012),
            st.lists(st.none() | st.floats(0, 1e15), max_size=12).map(tuple),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_series_are_added_up_day_by_day(parts: list[Daily]) -> None:
    totals: dict[int, float] = {}
    for part in (one.trimmed() for one in parts):
        for day, value in enumerate(bridged(part.values), part.first_day):
            totals[day] = totals.get(day, 0.0) + value
    found = summed(parts)
    assert found == daily_of(
        {
            day: total if any(part.at(day) is not None for part in parts) else None
            for day, total in totals.items()
        }
    )


@pytest.mark.parametrize(
    ("first", "end", "field", "sentence"),
    [
        (TODAY, TODAY, "to", "ends before it begins"),
        (TODAY, TODAY - 5, "to", "ends before it begins"),
        (TODAY + 1, TODAY + 9, "from", "in the future"),
        (TODAY - 900, TODAY - 800, "to", "no day before 2026-01-"),
    ],
)
def test_a_period_that_makes_no_sense_is_said(
    first: int, end: int, field: str, sentence: str
) -> None:
    with pytest.raises(InvalidField, match=sentence) as refused:
        period(first, end, today=TODAY, first_day=TODAY - 100)
    assert refused.value.field == field


def test_months_are_those_of_the_calendar() -> None:
    of = Period(TODAY - 60, TODAY + 1)
    assert [name for name, _, _ in months(of)] == ["2026-03", "2026-04", "2026-05"]
    assert all(end - begin in (30, 31) for _, begin, end in months(of))


def test_two_periods_are_compared_group_by_group() -> None:
    events = (
        Event((TODAY - 50) * DAY_MS, "domain", "created", "kvm-01", "a", "a", vcpus=2,
              memory_bytes=GIB),
        Event((TODAY - 5) * DAY_MS, "domain", "created", "kvm-02", "b", "b", vcpus=None,
              memory_bytes=None),
        Event((TODAY - 4) * DAY_MS, "domain", "deleted", "kvm-01", "a", "a", vcpus=-2,
              memory_bytes=-GIB),
        Event((TODAY - 4) * DAY_MS, "domain", "moved-here", "kvm-01", "c", "c", vcpus=1),
    )  # fmt: skip
    seen = _evidence(hosts=(_host(), _host("kvm-02")), events=events)
    first, second = Period(TODAY - 60, TODAY - 30), Period(TODAY - 30, TODAY)
    rows = {one.group: one for one in compared(seen, first, second, "host")}
    assert rows["kvm-01"].first is not None
    assert (rows["kvm-01"].first.created, rows["kvm-01"].second.deleted) == (1, 1)
    assert (rows["kvm-01"].second.vcpus, rows["kvm-01"].second.moved_here) == (-1, 1)
    assert (rows["kvm-02"].second.created, rows["kvm-02"].second.unknown) == (1, 1)
    # That nothing is told of it yet, or only of a part, holds for groups without anything, too.
    (fleet,) = compared(seen, replace(first, cut=("history",)), replace(second, end_day=TODAY + 1))
    assert fleet.first is not None
    assert (fleet.first.partial, fleet.second.partial) == (True, True)
    (fleet,) = compared(seen, first, second)
    assert fleet.first is not None
    assert (fleet.first.partial, fleet.second.partial) == (False, False)
    assert (fleet.second.created, fleet.second.moved_here, fleet.second.vcpus) == (1, 0, -2)
    assert [row.group for row in top(over(seen, first, "host"), "vcpus")] == ["kvm-01"]


@pytest.mark.parametrize(
    ("pattern", "text", "owner"),
    [
        ("team {owner}", "Ledger (team B)", "B"),
        ("team {owner}", "Ledger, Team Blue Sky, floor 2", "Blue Sky"),
        ("[{owner}]", "web [shop] front", "shop"),
        ("#{owner} ", "front #shop", "shop"),
        ("{owner} ", "Shop database", "Shop"),
        ("owner: {owner}", "first line\nowner: ops; since 2024", "ops"),
        ("team {owner}", "nobody’s", None),
        ("team {owner}", "team ", None),
        ("team {owner}", None, None),
    ],
)
def test_owners_are_found_by_a_pattern(pattern: str, text: str | None, owner: str | None) -> None:
    assert owner_of(checked(pattern), text) == owner


@pytest.mark.parametrize("pattern", ["", "team", "{owner}{owner}", "{owner}" + "x" * 100])
def test_a_pattern_without_one_place_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidField, match="once"):
        checked(pattern)


@pytest.mark.parametrize(
    ("vcpus", "memory", "disk", "count", "field"),
    [
        (0, GIB, 0, 1, "vcpus"), (1, 0, 0, 1, "memory_bytes"), (1, GIB, -1, 1, "disk_bytes"),
        (1, GIB, 0, 0, "count"), (1, GIB, 0, 1001, "count"), (1, 1 << 61, 0, 1, "memory_bytes"),
    ],
)  # fmt: skip
def test_a_wish_that_makes_no_sense_is_refused(
    vcpus: int, memory: int, disk: int, count: int, field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        wish(vcpus, memory, disk, count)
    assert refused.value.field == field
    assert wish(1, GIB) == Wish(1, GIB, 0, 1)
