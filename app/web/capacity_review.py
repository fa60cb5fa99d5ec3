"""What a capacity review is asked for, and all that it tells, for the page and the API alike.

What does not depend on what is asked for is judged once (app/web/capacity_judged).
"""

from collections.abc import Mapping

from msgspec import Struct

from app.capacity.backtest import LastMonth, Quality
from app.capacity.evidence import Evidence
from app.capacity.growth import By, Compared, Growth, compared, growth, over
from app.capacity.losses import Loss
from app.capacity.outlook import Outlook
from app.capacity.overcommit import Overcommit, overcommit
from app.capacity.owners import checked
from app.capacity.periods import Period, day_of, period
from app.capacity.placement import Placement, Wish, place, wish
from app.capacity.reclaim import Finding, Freed, freed
from app.errors import InvalidField
from app.language import gettext
from app.services import services
from app.store.dismissals import Dismissal, dismissals
from app.web.capacity_judged import OLDEST_DAYS, Judged, judged
from app.web.moment import Moment

PARAMETERS = frozenset(
    (
        "from", "to", "compare_from", "compare_to", "by", "owner", "vcpus", "memory_bytes",
        "disk_bytes", "count",
    )
)  # fmt: skip
BYS: tuple[By, ...] = ("fleet", "host", "pool", "owner")
# The first word of a title, where nobody says what names the owner.
OWNER = "{owner} "
_DAYS = 90
_DIGITS = 19


class Asked(Struct, frozen=True):
    """What is asked for: the moment, the days and those they are compared with, how growth is
    grouped, and what is to be placed. Days are the first and the last one.
    """

    at: Moment
    from_day: int | None
    to_day: int | None
    compare_from_day: int | None
    compare_to_day: int | None
    by: By
    owner: str
    wish: Wish | None


class Comparison(Struct, frozen=True):
    """What grew in the period beside another one: in `groups` that one is the first."""

    period: Period
    groups: list[Compared]


class Told(Struct, frozen=True):
    """Everything that a review tells; `findings` each with how it was dismissed."""

    evidence: Evidence
    period: Period
    outlook: list[Outlook]
    overcommit: list[Overcommit]
    findings: list[tuple[Finding, Dismissal | None]]
    freed: Freed
    growth: list[Growth]
    whole: list[Growth]
    comparison: Comparison | None
    losses: list[Loss]
    placement: Placement | None
    last_month: list[LastMonth]

    @property
    def qualities(self) -> dict[tuple[str, str], Quality | None]:
        """By host and pool how good last month's forecasts were."""
        return {(one.host, one.pool_uuid): one.quality for one in self.last_month}


def asked(arguments: Mapping[str, str], at: Moment) -> Asked:
    """What the query asks for; raises InvalidField."""
    by = arguments.get("by", "fleet")
    if by not in BYS:
        raise InvalidField(
            "by", gettext("Growth is told by one of %(groups)s.", groups=", ".join(BYS))
        )
    first, last, compare_first, compare_last = (
        day_of(name, arguments[name]) if arguments.get(name) else None
        for name in ("from", "to", "compare_from", "compare_to")
    )
    wanted = None
    if arguments.get("vcpus") or arguments.get("memory_bytes"):
        wanted = wish(
            _number(arguments, "vcpus", 1), _number(arguments, "memory_bytes", 1 << 30),
            _number(arguments, "disk_bytes", 0), _number(arguments, "count", 1),
        )  # fmt: skip
    return Asked(
        at, first, last, compare_first, compare_last, by,
        checked(arguments.get("owner") or OWNER), wanted,
    )  # fmt: skip


def _number(arguments: Mapping[str, str], name: str, default: int) -> int:
    text = arguments.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise InvalidField(name, gettext("Give a whole number."))
    return int(text)


def review(wanted: Asked) -> Told:
    """All of it. Raises InvalidField for days of which nothing can be told, StoreError."""
    known = judged(wanted.at)
    seen = known.evidence
    of = _period(wanted, seen)
    found = _with_dismissals(known, wanted.at)
    return Told(
        seen, of, known.outlook, overcommit(seen, of.from_day), found,
        freed(one for one, dismissal in found if dismissal is None),
        growth(seen, of, wanted.by, wanted.owner), over(seen, of, wanted.by, wanted.owner),
        _comparison(wanted, seen, of), known.losses,
        None if wanted.wish is None else place(seen, wanted.wish, known.outlook), known.last_month,
    )  # fmt: skip


def findings(at: Moment) -> list[tuple[Finding, Dismissal | None]]:
    """What could be taken back at a moment, each with how it was dismissed. Raises StoreError."""
    return _with_dismissals(judged(at), at)


def _with_dismissals(known: Judged, at: Moment) -> list[tuple[Finding, Dismissal | None]]:
    dismissed = dismissals(services().store, at.at_ms)
    return [
        (one, dismissed.get((one.host, one.kind, one.key, one.facts_digest)))
        for one in known.findings
    ]


def _period(wanted: Asked, seen: Evidence) -> Period:
    last = seen.day if wanted.to_day is None else wanted.to_day
    first = wanted.from_day
    if first is None:
        first = min(last, seen.day) - _DAYS + 1
        if seen.first_day is not None:
            first = min(last, max(first, seen.first_day))
    return period(first, last + 1, today=seen.day, first_day=_known_from(seen))


def _comparison(wanted: Asked, seen: Evidence, of: Period) -> Comparison | None:
    """Beside the days that are asked for or, where one end alone is named, as many as `of` has."""
    first, last = wanted.compare_from_day, wanted.compare_to_day
    if first is None and last is None:
        return None
    if last is None:
        last = (first or 0) + of.days - 1
    if first is None:
        first = last - of.days + 1
    other = period(
        first, last + 1, today=seen.day, first_day=_known_from(seen),
        fields=("compare_from", "compare_to"),
    )  # fmt: skip
    return Comparison(other, compared(seen, other, of, wanted.by, wanted.owner))


def _known_from(seen: Evidence) -> int:
    oldest = seen.day - OLDEST_DAYS
    # Without any day that was put together, what happened is known all the same.
    return oldest if seen.first_day is None else max(seen.first_day, oldest)
