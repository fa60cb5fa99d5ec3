"""Which pools are one storage, and what is told of those that shrank or have no samples."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.capacity.daily import Daily, bridged, daily_of, summed
from app.capacity.forecast import Refusal
from app.capacity.outlook import outlooks
from app.capacity.placement import place, wish
from app.capacity.storage import storages
from tests.capacity_support import AT_MS, GIB, a_pool, days_of, evidence_of


def test_a_pool_without_samples_and_one_that_shrank() -> None:
    empty = a_pool("empty", capacity_bytes=None, allocation_bytes=None, available_bytes=None,
                  promised_bytes=None, allocation=Daily(0, ()))  # fmt: skip
    shrunk = a_pool("shrunk", capacity_bytes=300 * GIB, available_bytes=0)
    seen = evidence_of(pools=(empty, shrunk))
    whole, first, second, *_ = outlooks(seen)
    assert (first.value, first.told) == (None, Refusal("no-history", 0))
    assert second.full_ms == AT_MS
    assert whole.value == 400 * GIB
    assert not whole.known
    fits = {fit.pool: fit for fit in place(seen, wish(1, GIB, GIB), outlooks(seen)).fits}
    assert fits["empty"].verdict == "not-judged"
    assert fits["shrunk"].reasons == ("disk",)


def test_pools_of_one_file_system_count_once_others_do_not() -> None:
    one, other = a_pool("a"), a_pool("b")
    assert len(storages([one, other])) == 1
    assert storages([one, other])[0].promised_bytes == 1000 * GIB
    assert len(storages([one, replace(other, host="kvm-02")])) == 2
    assert len(storages([one, replace(other, allocation=days_of(1.0 * GIB))])) == 2
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
