"""Arrays of whole numbers that lose nothing. Pure.

Most fit eight bytes, and numpy counts with those fast; but it does not tell when a sum of them no
longer fits. So what might not is made of Python's own whole numbers beforehand (numpy's type
`object`), with which the same expressions give the same, only slower.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of int64, or of Python's own numbers where some do not fit.
Numbers = NDArray[Any]
_LIMIT = 2**63
# Up to here floats tell every whole number.
_EXACT_FLOATS = 2**53
_bit_length = np.frompyfunc(int.bit_length, 1, 1)


def numbers(values: Sequence[int] | Numbers) -> Numbers:
    """Whole numbers as an array of the quickest type that holds them."""
    if isinstance(values, np.ndarray) and values.dtype == np.int64:
        return values
    try:
        return np.asarray(values, dtype=np.int64)
    except OverflowError:
        return np.asarray(values, dtype=object)


def extremes(values: Numbers) -> tuple[int, int]:
    """The least and the greatest; both 0 of nothing."""
    return (int(values.min()), int(values.max())) if values.size else (0, 0)


def size_of(values: Numbers) -> int:
    """How far from 0 they are at most."""
    low, high = extremes(values)
    return max(-low, high)


def roomy(values: Numbers, reach: int) -> Numbers:
    """The same numbers, of a type in which what is made of them may be up to `reach` from 0."""
    return values if reach < _LIMIT else values.astype(object)


def divided(values: Numbers, by: Numbers) -> NDArray[Any]:
    """True quotients, each as close as a float can be."""
    if values.dtype == object or size_of(values) > _EXACT_FLOATS or size_of(by) > _EXACT_FLOATS:
        return np.asarray(values.astype(object) / by.astype(object), dtype=np.float64)
    return values / by


def bit_lengths(values: Numbers) -> Numbers:
    """How many bits each takes; none may be below 0."""
    if values.dtype == object:
        return np.asarray(_bit_length(values), dtype=np.int64)
    _, lengths = np.frexp(values)
    # The nearest float of a number of more than 53 bits may have one bit more.
    is_less = values >> np.maximum(lengths - 1, 0) == 0
    return np.where(is_less & (lengths > 0), lengths - 1, lengths).astype(np.int64)
