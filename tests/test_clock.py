"""Times as the contract writes them."""

from hypothesis import given
from hypothesis import strategies as st

from app.clock import rfc3339, utc


def test_milliseconds_show_only_where_there_are_any() -> None:
    assert rfc3339(1_777_627_800_000) == "2026-05-01T09:30:00Z"
    assert rfc3339(1_777_627_800_042) == "2026-05-01T09:30:00.042Z"


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_order_of_times_is_order_of_texts_within_a_second_grid(at_ms: int) -> None:
    whole = at_ms - at_ms % 1000
    assert rfc3339(whole) == utc(whole).strftime("%Y-%m-%dT%H:%M:%SZ")
