"""What a table of an embed is: its columns, and which rows are asked for. Pure.

embed/table.html draws every one of them. A further table is a `Table` beside those in
domain_tables.py, its name in builders.py and its parameters in views.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from app.language import gettext
from app.web.drawing import Drawing
from app.web.format import UNKNOWN
from app.web.host_page import find_host
from app.web.when import When

R = TypeVar("R")

# More rows of one table than any page would show.
_MOST = 200


class Meter(NamedTuple):
    """A bar of 0 to 100 percent (None: not known) in front of a cell's text."""

    percent: int | None
    css: str = ""


class Cell(NamedTuple):
    """One cell: its text, or the time that it tells of; what stands small beside and under it,
    and in front of it a meter or `lead`, which is for eyes alone; `css` colours it (warn, bad).
    """

    text: str = UNKNOWN
    small: str = ""
    meter: Meter | None = None
    css: str = ""
    lead: str = ""
    at: When | None = None
    under: str = ""


@dataclass(frozen=True)
class Column(Generic[R]):
    """A column: its head (marked), what of a row stands in it, and its classes (num, wrap, nowrap;
    p2 to p4: left out in a narrow box, p4 first).
    """

    label: str
    cell: Callable[[R], Cell | str]
    css: str = ""


@dataclass(frozen=True)
class Found(Generic[R]):
    """The rows that are asked for, and the panel's page that has them. `subject` is whose they are,
    where they are one thing's, and `known` whether that can be seen now; `nothing` says why there
    is none, if it is not the usual reason.
    """

    rows: Sequence[R]
    page: str
    subject: str = ""
    known: bool = True
    nothing: str = ""
    # What stands in the footer besides.
    more: str = ""


@dataclass(frozen=True)
class Table(Generic[R]):
    """A table: its caption, where its rows are from, its columns, and what is said when there is no
    row; caption and that are marked. A row that is not `known` is what was last seen.
    """

    caption: str
    find: Callable[[Drawing], Found[R]]
    columns: tuple[Column[R], ...]
    nothing: str
    known: Callable[[R], bool] = lambda row: True


class Row(NamedTuple):
    """A row as the template has it."""

    cells: tuple[Cell, ...]
    known: bool


def build_table(table: Table[R], drawing: Drawing) -> Mapping[str, object]:
    """The context of embed/table.html; raises what the table's `find` does."""
    found = table.find(drawing)
    return {
        "page": found.page,
        "caption": gettext(table.caption),
        "columns": [(gettext(column.label), column.css) for column in table.columns],
        "subject": found.subject,
        "rows": [_row(table, row, known=found.known) for row in found.rows[:_MOST]],
        "left": max(0, len(found.rows) - _MOST),
        "nothing": found.nothing or gettext(table.nothing),
        "more": found.more,
    }


def check_hosts(drawing: Drawing) -> None:
    """Raises NotFound for a host that is asked for and not there: that nothing is told of it would
    look as if nothing were wrong with it.
    """
    for slug in drawing.arguments.getlist("host"):
        find_host(drawing.fleet, slug)


def _row(table: Table[R], row: R, *, known: bool) -> Row:
    made = (column.cell(row) for column in table.columns)
    cells = tuple(Cell(one) if isinstance(one, str) else one for one in made)
    return Row(cells, known and table.known(row))
