"""The rows of days that a capacity review reads: the series of objects that come and go."""

from hypothesis import given
from hypothesis import strategies as st

from app.capacity.daily import daily_of
from app.store.capacity_days import _by_object, _dense
from app.store.tiers import day_text

_VALUE = st.one_of(st.none(), st.floats(-1e15, 1e15))


@given(st.dictionaries(st.integers(20_000, 20_020), st.dictionaries(st.integers(1, 6), _VALUE)))
def test_rows_of_days_become_the_series_of_each_object(
    told: dict[int, dict[int, float | None]],
) -> None:
    rows = [
        (day_text(day), number, value, number)
        for day, values in sorted(told.items())
        for number, value in sorted(values.items())
    ]
    found = _by_object(rows)
    assert found.keys() == {row[1] for row in rows}
    for number, (days, (values, again)) in found.items():
        by_day = {day: values[number] for day, values in told.items() if number in values}
        assert list(days) == sorted(by_day)
        assert dict(zip(days, values, strict=True)) == by_day
        assert set(again) == {number}
        assert _dense(days, values).trimmed() == daily_of(by_day)
