"""Into which stretches the past is cut, and which parts of it an object was seen in. Pure.

The last days stand by the minute, some weeks by ten minutes, the rest by the hour, as the tiers
keep them; a stretch never crosses the border of a chunk.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from app.demo.machines import Run
from app.demo.plan import DAY, Plan
from app.demo.world import Silence
from app.store.tiers import HOURS, TENS

# A gap so short does not hide what the counters counted.
_SHORT = 3


class Span(Struct, frozen=True):
    """Whole days from `begin` on and before `end` (since 1970), in buckets of `width` minutes.
    `fine`: what is lowest and highest in a bucket is told to the last digit, as real ones are.
    """

    begin: int
    end: int
    width: int
    fine: bool = False

    @property
    def first(self) -> int:
        """Its first bucket."""
        return self.begin * DAY // self.width

    @property
    def count(self) -> int:
        """How many buckets it has."""
        return (self.end - self.begin) * DAY // self.width


class Keep(Struct, frozen=True):
    """How many days are kept raw, by the minute and by ten minutes (by default as in the
    settings); how many minutes apart the scans before those were; `fine` as in Span.
    """

    raw_days: int = 2
    minute_days: int = 14
    ten_days: int = 90
    seldom: int = 10
    fine: bool = False


class Part(Struct, frozen=True):
    """A stretch in which an object was seen: minutes from `begin` on and before `end`. `fresh`:
    what its counters did before its first minute is not known.
    """

    begin: int
    end: int
    fresh: bool
    run: Run | None = None


def spans(plan: Plan, keep: Keep) -> list[Span]:
    """The stretches of a plan's past that are over, the oldest first; the day of its end is not."""
    today = (plan.end + 1) // DAY
    first = plan.begin // DAY
    minutes = max(first, today - keep.minute_days)
    tens = max(first, (today - keep.ten_days) // TENS.span_days * TENS.span_days)
    tens = min(tens, minutes)
    return [
        *_cut(first, tens, HOURS.span_days, 60, keep.fine),
        *_cut(tens, minutes, TENS.span_days, 10, keep.fine),
        *_cut(minutes, today, 1, 1, keep.fine),
    ]


def today(plan: Plan) -> Span:
    """The day of the plan's end, by the minute."""
    day = (plan.end + 1) // DAY
    return Span(day, day + 1, 1)


def _cut(begin: int, end: int, size: int, width: int, fine: bool) -> Iterator[Span]:
    while begin < end:
        border = min(end, (begin // size + 1) * size)
        yield Span(begin, border, width, fine)
        begin = border


def seen(runs: Iterable[Run], silences: Sequence[Silence], last: int) -> list[Part]:
    """When a domain was seen running, up to the minute `last` (included)."""
    found = []
    for run in runs:
        end = last + 1 if run.end is None else min(run.end, last + 1)
        for begin, until, after_gap in _outside(run.begin, end, silences):
            fresh = after_gap or begin == run.started
            found.append(Part(begin, until, fresh, run))
    return found


def visible(begin: int, silences: Sequence[Silence], last: int) -> list[Part]:
    """When a host was seen."""
    found = _outside(begin, last + 1, silences)
    return [Part(a, b, fresh=gap or a == begin) for a, b, gap in found]


def _outside(begin: int, end: int, silences: Sequence[Silence]) -> Iterator[tuple[int, int, bool]]:
    """The parts of a stretch in which nobody was silent, and whether a gap was before them."""
    gap = False
    for silence in silences:
        until = silence.end if silence.end is not None else end
        if until <= begin or silence.begin >= end:
            if until == begin:
                gap = True
            continue
        if silence.begin > begin:
            yield begin, silence.begin, gap
        begin = max(begin, until)
        gap = until - silence.begin > _SHORT
    if begin < end:
        yield begin, end, gap
