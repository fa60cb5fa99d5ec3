"""Bounds of buckets: rounded outward, never by much, and the same whichever way they were made."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store import bounds
from app.store.buckets import Column, Rolled, bounded
from app.store.codec import decode, encode
from app.store.numbers import numbers
from app.store.rollup import Samples, merge, roll
from tests.test_rollup import measured

_VALUES = st.one_of(st.integers(0, 3000), st.integers(0, 2**63 - 1), st.integers(0, 2**80))
_PAIRS = st.lists(st.tuples(_VALUES, _VALUES).map(sorted), max_size=40)
_BITS = st.sampled_from(sorted(set(bounds.BITS.values())))


@given(_PAIRS, _BITS)
def test_what_was_measured_lies_within_and_close_to_its_bounds(
    pairs: list[list[int]], bits: int
) -> None:
    low, high = numbers([pair[0] for pair in pairs]), numbers([pair[1] for pair in pairs])
    found = bounds.rounded(low, high, bits)
    below, above = found[0].tolist(), found[1].tolist()
    for least, most, down, up in zip(low.tolist(), high.tolist(), below, above, strict=True):
        if least == most:
            assert (down, up) == (least, most)
            continue
        assert 0 <= least - down <= down >> (bits - 1)
        assert 0 <= up - most <= up >> (bits - 1)
        for number in (down, up):
            assert (number & -number).bit_length() - 1 >= number.bit_length() - bits
    again = bounds.rounded(*found, bits)
    assert (again[0].tolist(), again[1].tolist()) == (below, above)


@given(_PAIRS, _BITS)
def test_bounds_come_back_rounded_from_their_codes(pairs: list[list[int]], bits: int) -> None:
    low, high = numbers([pair[0] for pair in pairs]), numbers([pair[1] for pair in pairs])
    found = bounds.codes(low, high, lambda: high, bits)
    assert found is not None
    told = bounds.of_codes(*found, lambda: high, bits)
    expected = bounds.rounded(low, high, bits)
    assert [one.tolist() for one in told] == [one.tolist() for one in expected]


def test_codes_count_the_numbers_of_so_many_leading_bits() -> None:
    found = bounds.values_of(numbers(range(1000)), 8).tolist()
    assert found[:260] == [*range(257), 258, 260, 262]
    assert found == sorted(set(found))


def test_what_no_bucket_ever_holds_has_no_codes() -> None:
    for low, high in (([5], [4]), ([-1], [4]), ([7], [7])):
        assert bounds.codes(numbers(low), numbers(high), lambda: numbers([6]), 8) is None
        rolled = Rolled([1], {"a": Column("gauge", [2], [12], low, high)})
        assert decode(encode(rolled)) == rolled


def test_what_is_no_code_is_an_error_and_fills_no_memory() -> None:
    with pytest.raises(ValueError, match="a code"):
        bounds.of_codes(numbers([1]), numbers([2**62]), lambda: numbers([0]), 8)


@given(measured())
def test_hours_have_the_same_bounds_whether_ten_minutes_were_rounded_or_not(
    samples: Samples,
) -> None:
    tens = merge([roll(samples, 60_000)], 10)
    through = bounded(merge([decode(encode(tens))], 6))
    directly = bounded(roll(samples, 3_600_000))
    assert told(through) == told(directly)


def told(rolled: Rolled) -> Any:
    return rolled.starts, {
        name: [one.tolist() for one in (column.weight, column.total, *column.bounds())]
        for name, column in rolled.columns.items()
    }


# What the first version of chunks was: encoded by the npvirt of that time.
_FIRST_VERSION = (
    "eF5FTjsOgkAUnMcaCX5CNBoKD0DsPYBXIUKwIEL4xAuY2BOSbbeQeAYrt9jCxtZLWHgFF9BQvcn83lTEGT3pbZIyQKLk"
    "DCRJMWZAaDyShhomMRwHouL1cR9HQR16RRhAq37jXK1bZ4utRY9BEJJfEi/N+wQ1facb2Lg3GnaL27ePLhQFWfYPQStQ"
    "mpYliF93cXHIA/93Uz0fTA7UZGti+gHLgG45SaYs+wz3Bcx7ZraEewc2uu8LFPlOBA=="
)


def test_chunks_of_the_first_version_are_told_as_new_ones_are() -> None:
    weight = [3, 2, 0]
    was = Rolled(
        [7, 8, 500],
        {
            "whole": Column("gauge", weight, [2700, 4100, 0], [900, 2000, 0], [900, 2100, 0]),
            "part": Column("gauge", weight, [900, 3001, 0], [200, 1500, 0], [400, 1501, 0]),
            "less": Column("gauge", weight, [1800, 1099, 0], [500, 499, 0], [700, 600, 0]),
            "counted": Column(
                "counter", [60_000, 59_990, 0], [600_000, 123_456_789, 0],
                [9999, 1_234_567, 0], [10_001, 3_456_789, 0],
            ),
        },
    )  # fmt: skip
    found = decode(base64.b64decode(_FIRST_VERSION))
    assert found == bounded(was)
    low, high = found.columns["counted"].bounds()
    assert low.tolist() == [9984, 1_228_800, 0]
    assert high.tolist() == [10_048, 3_457_024, 0]
    assert decode(encode(found, [("less", "whole", "part")])) == found
