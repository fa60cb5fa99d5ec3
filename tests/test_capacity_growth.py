"""Periods, two of them compared, and whose what grew is."""

import pytest
from msgspec.structs import replace

from app.capacity.evidence import Event
from app.capacity.growth import compared, over, top
from app.capacity.owners import checked, owner_of
from app.capacity.periods import Period, months, period
from app.clock import DAY_MS
from app.errors import InvalidField
from tests.capacity_support import GIB, TODAY, a_host, a_pool, days_of, evidence_of


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
    seen = evidence_of(hosts=(a_host(), a_host("kvm-02")), events=events)
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


@pytest.mark.parametrize("unseen", [0, 1, 3])
def test_growth_up_to_now_counts_days_that_are_over_but_not_put_together_yet(unseen: int) -> None:
    # As in the hour after midnight, and where npvirt was away over one.
    allocation = days_of(400.0 * GIB, GIB).before(TODAY - unseen)
    pool = a_pool(allocation=allocation, allocation_bytes=470 * GIB)
    week = Period(TODAY - 6, TODAY + 1)
    before = allocation.at(TODAY - 7)
    assert before is not None
    (fleet,) = over(evidence_of(pools=(pool,)), week)
    assert fleet.allocated_bytes == 470 * GIB - before
    # Of a pool that is not known now, up to what was seen last.
    last = allocation.at(TODAY - 1 - unseen)
    assert last is not None
    (fleet,) = over(evidence_of(pools=(replace(pool, known=False),)), week)
    assert fleet.allocated_bytes == last - before


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
