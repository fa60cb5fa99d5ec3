"""The least and the greatest of buckets, rounded outward to their leading bits. Pure.

What a bucket's values wandered between is kept to a known precision: the least rounded down, the
greatest up, so that they hold all that was measured. A bucket whose values were all the same keeps
them as they were. Rounding keeps order, and what is rounded stays as it is when rounded again: so
it is the same whether hours are made of samples or of ten minutes that were rounded before.

A number of at most `bits` leading bits has a *code*: its rank among all such numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import eq, ge, gt

from app.metrics import SeriesType

# A rate is off by less than one part in 128, a level by less than one in 512.
BITS: Mapping[SeriesType, int] = {"gauge": 10, "counter": 8, "events": 8}
# No bound has more: a damaged one must not fill the memory.
_MOST_BITS = 256


def code_of(value: int, bits: int) -> int:
    """The code of the greatest number with a code that is at most `value`, which is 0 or more."""
    surplus = value.bit_length() - bits
    return (surplus << (bits - 1)) + (value >> surplus) if surplus > 0 else value


def value_of(code: int, bits: int) -> int:
    """The number of a code. Raises ValueError for what is none."""
    if code >> (bits - 1) > _MOST_BITS:
        raise ValueError("a code is none")
    surplus = (code >> (bits - 1)) - 1
    return code if surplus <= 0 else (code - (surplus << (bits - 1))) << surplus


def rounded(low: Sequence[int], high: Sequence[int], bits: int) -> tuple[list[int], list[int]]:
    """The least and the greatest of buckets, outward to their leading bits where they differ."""
    below = [v >> s << s if (s := v.bit_length() - bits) > 0 else v for v in low]
    above = [(v - 1 >> s) + 1 << s if (s := (v - 1).bit_length() - bits) > 0 else v for v in high]
    if low and (min(low) < 0 or any(map(ge, low, high))):
        for position, (least, most) in enumerate(zip(low, high, strict=True)):
            if not 0 <= least < most:
                below[position], above[position] = least, most
    return below, above


def codes(
    low: Sequence[int], high: Sequence[int], told: Callable[[], Sequence[int]], bits: int
) -> tuple[list[int], list[int]] | None:
    """What `rounded` gives, as codes; where least and greatest are the same, and thus what total
    and weight say (`told`), the latter's code is 0. None where that does not tell all: of what no
    bucket ever holds.
    """
    if not low:
        return [], []
    if min(low) < 0 or any(map(gt, low, high)):
        return None
    half = bits - 1
    below = [(s << half) + (v >> s) if (s := v.bit_length() - bits) > 0 else v for v in low]
    above = [
        (s << half) + (v - 1 >> s) + 1 if (s := (v - 1).bit_length() - bits) > 0 else v
        for v in high
    ]
    if any(map(eq, low, high)):
        before, said = 0, told()
        for position, (least, most) in enumerate(zip(low, high, strict=True)):
            if least == most:
                if said[position] != least:
                    return None
                # Of the first any number will do: that of the bucket before packs best.
                below[position], above[position] = before, 0
            before = below[position]
    return below, above


def of_codes(
    below: Sequence[int], above: Sequence[int], told: Callable[[], Sequence[int]], bits: int
) -> tuple[list[int], list[int]]:
    """The least and the greatest that `codes` told. Raises ValueError for what is no code."""
    low, high = values_of(below, bits), values_of(above, bits)
    if 0 in above:
        said = told()
        for position, code in enumerate(above):
            if not code:
                low[position] = high[position] = said[position]
    return low, high


def values_of(codes: Sequence[int], bits: int) -> list[int]:
    """The numbers of codes. Raises ValueError for what is none."""
    if not codes:
        return []
    highest = max(codes)
    if min(codes) < 0 or highest > _TOLD:
        known = {code: value_of(code, bits) for code in set(codes)}
        return [known[code] for code in codes]
    table = _tables.get(bits, [])
    if len(table) <= highest:
        # Made as far as it is needed: a longer one takes the place of the one before.
        table = [value_of(code, bits) for code in range((highest // _STEP + 1) * _STEP)]
        _tables[bits] = table
    return list(map(table.__getitem__, codes))


# Numbers by their codes, by bits; as far as usual numbers go.
_tables: dict[int, list[int]] = {}
_TOLD = 1 << 15
_STEP = 1 << 12
