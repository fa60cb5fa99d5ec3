"""The least and the greatest of buckets, rounded outward to their leading bits. Pure.

What a bucket's values wandered between is kept to a known precision: the least rounded down, the
greatest up, so that they hold all that was measured. A bucket whose values were all the same keeps
them as they were. Rounding keeps order, and what is rounded stays as it is when rounded again: so
it is the same whether hours are made of samples or of ten minutes that were rounded before.

A number of at most `bits` leading bits has a *code*: its rank among all such numbers. Buckets are
along the first axis of what is given here; there may be a second one, of objects.
"""

from collections.abc import Callable, Mapping

import numpy as np

from app.metrics import SeriesType
from app.store.numbers import Numbers, bit_lengths, extremes, numbers, roomy

# A rate is off by less than one part in 128, a level by less than one in 512.
BITS: Mapping[SeriesType, int] = {"gauge": 10, "counter": 8, "events": 8}
# No bound has more: a damaged one must not fill the memory.
_MOST_BITS = 256


def rounded(low: Numbers, high: Numbers, bits: int) -> tuple[Numbers, Numbers]:
    """The least and the greatest of buckets, outward to their leading bits where they differ."""
    # The greatest may become twice as great.
    high = roomy(high, 2 * extremes(high)[1])
    differ = (low >= 0) & (low < high)
    least, most = np.where(differ, low, 0), np.where(differ, high, 1) - 1
    below, above = _surplus(least, bits), _surplus(most, bits)
    return (
        np.where(differ, least >> below << below, low),
        numbers(np.where(differ, (most >> above) + 1 << above, high)),
    )


def codes(
    low: Numbers, high: Numbers, told: Callable[[], Numbers], bits: int
) -> tuple[Numbers, Numbers] | None:
    """What `rounded` gives, as codes; where least and greatest are the same, and thus what total
    and weight say (`told`), the latter's code is 0. None where that does not tell all: of what no
    bucket ever holds.
    """
    if not low.size:
        return low, high
    if extremes(low)[0] < 0 or (low > high).any():
        return None
    below = codes_of(low, bits)
    above = codes_of(np.maximum(high - 1, 0), bits) + 1
    same = low == high
    if same.any():
        if ((told() != low) & same).any():
            return None
        # Of the first any number will do: that of the bucket before packs best.
        rows = np.arange(len(low)).reshape(-1, *[1] * (low.ndim - 1))
        last = np.maximum.accumulate(np.where(same, -1, rows), axis=0)
        below = np.where(last < 0, 0, np.take_along_axis(below, np.maximum(last, 0), axis=0))
        above = np.where(same, 0, above)
    return below, above


def codes_of(values: Numbers, bits: int) -> Numbers:
    """The codes of the greatest numbers with a code that are at most `values`, none below 0."""
    surplus = _surplus(values, bits)
    return numbers((surplus << (bits - 1)) + (values >> surplus))


def of_codes(
    below: Numbers, above: Numbers, told: Callable[[], Numbers], bits: int
) -> tuple[Numbers, Numbers]:
    """The least and the greatest that `codes` told. Raises ValueError for what is no code."""
    low, high = values_of(below, bits), values_of(above, bits)
    same = above == 0
    if same.any():
        said = told()
        low, high = np.where(same, said, low), np.where(same, said, high)
    return low, high


def values_of(codes: Numbers, bits: int) -> Numbers:
    """The numbers of codes. Raises ValueError for what is none."""
    surplus = (codes >> (bits - 1)) - 1
    most = extremes(surplus)[1]
    if most <= 0:
        return codes
    if most >= _MOST_BITS:
        raise ValueError("a code is none")
    surplus = np.maximum(surplus, 0)
    leading = codes - (surplus << (bits - 1))
    return np.asarray(roomy(leading, 1 << (bits + most)) << surplus)


def _surplus(values: Numbers, bits: int) -> Numbers:
    """How many bits each has too many."""
    return np.asarray(np.maximum(bit_lengths(values) - bits, 0))
