"""Lists as CSV (RFC 4180, UTF-8) that a spreadsheet may open without running anything.

Pure. Text that a spreadsheet would take for a formula gets an apostrophe in front.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

# What begins a formula, also in the full width that East Asian keyboards type.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_BREAKS = ("\t", "\r", "\n")


def to_csv(items: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A header line and one line per item, with `columns`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for item in items:
        writer.writerow(cell(item[name]) for name in columns)
    return text.getvalue()


def objects_to_csv(items: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Objects of hosts, with `columns` and when and in which state an object was last seen whose
    host does not answer.
    """
    return to_csv(
        ({**item, **_last(item["last"] or {})} for item in items),
        [*columns, "last_at", "last_state"],
    )


def _last(last: Mapping[str, Any]) -> dict[str, Any]:
    return {"last_at": last.get("at"), "last_state": last.get("state")}


def cell(value: object) -> str:
    """One value as text: unknown is empty, a list is its members, a formula is defused."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return harmless(value if isinstance(value, str) else _joined(value))


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula, even one that drops leading spaces."""
    runs = text.startswith(_BREAKS) or text.lstrip().startswith(_FORMULA)
    return f"'{text}" if runs else text


def _joined(value: object) -> str:
    """The members of a list, or the parts of an object, as one text."""
    built = msgspec.to_builtins(value)
    if isinstance(built, dict):
        return " ".join(filter(None, (_flat(part, name) for name, part in built.items())))
    return "; ".join(_flat(part) for part in built)


def _flat(value: object, name: str = "") -> str:
    """One part; a switch is said by its name where it is on."""
    if isinstance(value, dict | list | tuple):
        return _joined(value)
    if isinstance(value, bool):
        return name if value else ""
    return "" if value is None else str(value)
