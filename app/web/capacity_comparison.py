"""Two periods side by side, as a part of the page of the capacity review. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from app.capacity.growth import Compared, Growth
from app.capacity.periods import Period, day_text, month_before
from app.capacity.words import more
from app.language import N_, gettext, ngettext
from app.web.capacity_review import Told
from app.web.format import UNKNOWN


class Side(NamedTuple):
    """A period: its dates, and how many days it has."""

    dates: str
    days: str


class Column(NamedTuple):
    """A figure of which both periods' are told; `css` says when its column leaves."""

    label: str
    css: str
    text: Callable[[Growth], str]


class ComparedRow(NamedTuple):
    """A group and, for each column, what is told of the first and of the second period."""

    group: str
    partial: bool
    cells: list[tuple[str, str]]


def _signed(value: int) -> str:
    return f"{value:+d}".replace("-", "\N{MINUS SIGN}") if value else "0"


_ALLOCATED = Column(N_("Allocated"), "", lambda grown: more(grown.allocated_bytes))
# What belongs to a pool are volumes; to all else, domains.
_OF_POOLS = (
    Column(N_("Created"), "p2", lambda grown: str(grown.volumes_created)),
    Column(N_("Deleted"), "p3", lambda grown: str(grown.volumes_deleted)),
    Column(N_("Promised"), "", lambda grown: more(grown.promised_bytes)),
    _ALLOCATED,
)
_OF_DOMAINS = (
    Column(N_("Created"), "", lambda grown: str(grown.created)),
    Column(N_("Deleted"), "p3", lambda grown: str(grown.deleted)),
    Column("vCPU", "p4", lambda grown: _signed(grown.vcpus)),
    Column(N_("Memory"), "p2", lambda grown: more(grown.memory_bytes)),
)


def parts(told: Told, by: str, href: Callable[[Mapping[str, str]], str]) -> Mapping[str, object]:
    """The context of capacity/comparison.html; `href` is the page with some arguments changed."""
    found = told.comparison
    columns = [one._replace(label=gettext(one.label)) for one in _columns(by)]
    return {
        "proposed": [(label, href(changed)) for label, changed in _proposed(told)],
        "comparison": None if found is None else found.period,
        "sides": [] if found is None else [_side(found.period), _side(told.period)],
        "same_length": found is None or found.period.days == told.period.days,
        "columns": columns,
        "compared": [] if found is None else [_row(one, columns) for one in found.groups],
    }


def _proposed(told: Told) -> list[tuple[str, dict[str, str]]]:
    """What is often compared, as far as it is known: the arguments that ask for it."""
    of, first_day = told.period, told.evidence.first_day
    month = month_before(told.evidence.day)
    wanted = [
        (gettext("the days before"), Period(of.from_day - of.days, of.from_day), of),
        (gettext("a year before"), Period(of.from_day - 364, of.end_day - 364), of),
        (gettext("the last two months"), month_before(month.from_day), month),
    ]
    return [
        (label, {
            "compare_from": day_text(first.from_day), "compare_to": day_text(first.end_day - 1),
            "from": day_text(second.from_day), "to": day_text(second.end_day - 1),
        })
        for label, first, second in wanted
        if first_day is not None and first.from_day >= first_day
    ]  # fmt: skip


def _side(of: Period) -> Side:
    days = ngettext("%(num)s day", "%(num)s days", of.days)
    return Side(f"{day_text(of.from_day)} – {day_text(of.end_day - 1)}", days)


def _columns(by: str) -> Sequence[Column]:
    if by == "pool":
        return _OF_POOLS
    # What is allocated has no owner.
    return _OF_DOMAINS if by == "owner" else (*_OF_DOMAINS, _ALLOCATED)


def _row(one: Compared, columns: Sequence[Column]) -> ComparedRow:
    sides = (one.first, one.second)
    cells = [(_text(column, one.first), _text(column, one.second)) for column in columns]
    return ComparedRow(one.group, any(side is None or side.partial for side in sides), cells)


def _text(column: Column, grown: Growth | None) -> str:
    return UNKNOWN if grown is None else column.text(grown)
