"""The difference of two texts, line by line, with a few lines around each change. Pure."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

_AROUND = 3
# Comparing takes time that grows with the square of what differs.
_MOST_LINES = 3000


class Line(NamedTuple):
    """One line: `sign` is "+", "-" or " "; its numbers in the old and in the new text, if any."""

    sign: str
    old: int | None
    new: int | None
    text: str


class Side(NamedTuple):
    """One text that differs: its name, how many lines came and went, and hunks of lines. `whole`
    False: it was too large to compare, and is shown as replaced from the first difference on.
    """

    label: str
    added: int
    removed: int
    hunks: list[list[Line]]
    whole: bool

    @property
    def changed(self) -> list[tuple[str, str]]:
        """The lines that came and went."""
        return [(line.sign, line.text) for hunk in self.hunks for line in hunk if line.sign != " "]


def compare(label: str, old: str, new: str) -> Side:
    """The difference of `old` and `new`."""
    before, after = old.splitlines(), new.splitlines()
    head = _common(before, after)
    tail = _common(before[head:][::-1], after[head:][::-1])
    was, now = before[head : len(before) - tail], after[head : len(after) - tail]
    fits = len(was) <= _MOST_LINES and len(now) <= _MOST_LINES
    codes = list(_codes(was, now, fits=fits))
    lines = [
        *(Line(" ", n + 1, n + 1, before[n]) for n in range(head)),
        *_lines(codes, was, now, head),
        *_rest(before, after, tail),
    ]
    return Side(
        label,
        sum(line.sign == "+" for line in lines),
        sum(line.sign == "-" for line in lines),
        _hunks(lines),
        fits,
    )


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines at the beginning are the same."""
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return number
    return min(len(one), len(other))


def _codes(
    was: Sequence[str], now: Sequence[str], *, fits: bool
) -> Iterator[tuple[str, int, int, int, int]]:
    if not fits:
        yield "replace", 0, len(was), 0, len(now)
        return
    yield from SequenceMatcher(None, was, now, autojunk=False).get_opcodes()


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


def _rest(before: Sequence[str], after: Sequence[str], tail: int) -> Iterator[Line]:
    for n in range(tail, 0, -1):
        old, new = len(before) - n, len(after) - n
        yield Line(" ", old + 1, new + 1, before[old])


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
