"""The difference of two texts, line by line, with a few lines around each change. Pure.

The texts came from a host and may be made so that comparing them takes ages: the work is counted,
and what takes too much is not compared. The same texts are always judged the same.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher
from itertools import accumulate
from typing import NamedTuple

_AROUND = 3
# Steps of a comparison: a million take about a tenth of a second. To look at a line takes some, at
# a line like it one. The difference of two definitions of a thousand lines takes a million.
_MOST_STEPS = 5_000_000
_STEPS_A_LINE = 20
_MOST_SHOWN = 3000


class Line(NamedTuple):
    """One line: `sign` is "+", "-" or " "; its numbers in the old and in the new text, if any."""

    sign: str
    old: int | None
    new: int | None
    text: str


class Side(NamedTuple):
    """One text that differs: its name, how many lines came and went, and hunks of lines; none of
    them where the difference is `too_large` to be found or shown.
    """

    label: str
    added: int
    removed: int
    hunks: list[list[Line]]
    too_large: bool = False

    @property
    def changed(self) -> list[tuple[str, str]]:
        """The lines that came and went."""
        return [(line.sign, line.text) for hunk in self.hunks for line in hunk if line.sign != " "]


class _TooMuch(Exception):
    """The work is more than a difference is worth."""


class _Matcher(SequenceMatcher[str]):
    """Counts the steps that each search for a longest match may take, and stops in time."""

    def __init__(self, a: Sequence[str], b: Sequence[str]) -> None:
        super().__init__(None, a, b, autojunk=False)
        alike = Counter(b)
        self._steps = list(accumulate((_STEPS_A_LINE + alike[line] for line in a), initial=0))
        self._left = _MOST_STEPS

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> Match:
        """As in SequenceMatcher, which looks at each line of `a` in each of its places in `b`."""
        self._left -= self._steps[-1 if ahi is None else ahi] - self._steps[alo]
        if self._left < 0:
            raise _TooMuch
        return super().find_longest_match(alo, ahi, blo, bhi)


def compare(label: str, old: str, new: str) -> Side:
    """The difference of `old` and `new`."""
    before, after = old.splitlines(), new.splitlines()
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    # Of what is the same in front and behind, what is shown around the changes.
    begin, behind = max(0, head - _AROUND), min(_AROUND, tail)
    was = before[begin : len(before) - tail + behind]
    now = after[begin : len(after) - tail + behind]
    try:
        codes = _Matcher(was, now).get_opcodes()
    except _TooMuch:
        return Side(label, 0, 0, [], too_large=True)
    lines = list(_lines(codes, was, now, begin))
    hunks = _hunks(lines)
    if sum(map(len, hunks)) > _MOST_SHOWN:
        return Side(label, 0, 0, [], too_large=True)
    return Side(
        label,
        sum(line.sign == "+" for line in lines),
        sum(line.sign == "-" for line in lines),
        hunks,
    )


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines at the beginning are the same."""
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return number
    return min(len(one), len(other))


def _lines(
    codes: Sequence[tuple[str, int, int, int, int]],
    was: Sequence[str],
    now: Sequence[str],
    head: int,
) -> Iterator[Line]:
    for tag, a, b, c, d in codes:
        if tag == "equal":
            for n in range(b - a):
                yield Line(" ", head + a + n + 1, head + c + n + 1, was[a + n])
            continue
        for n in range(a, b):
            yield Line("-", head + n + 1, None, was[n])
        for n in range(c, d):
            yield Line("+", None, head + n + 1, now[n])


def _hunks(lines: Sequence[Line]) -> list[list[Line]]:
    """The changed lines with those around them; what lies far from any change is left out."""
    near: set[int] = set()
    for number, line in enumerate(lines):
        if line.sign != " ":
            near.update(range(number - _AROUND, number + _AROUND + 1))
    hunks: list[list[Line]] = []
    last = -2
    for number in sorted(n for n in near if 0 <= n < len(lines)):
        if number != last + 1:
            hunks.append([])
        hunks[-1].append(lines[number])
        last = number
    return hunks
