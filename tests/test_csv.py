"""Lists as CSV: readable by any reader, harmless in a spreadsheet."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csv import cell, harmless, objects_to_csv
from app.inventory import Disk, Graphics


def item(**values: Any) -> dict[str, Any]:
    return {"last": None, **values}


def test_the_first_line_names_the_columns_and_lines_end_as_rfc_4180_says() -> None:
    text = objects_to_csv([item(name="a", vcpus=2)], ("name", "vcpus"))
    assert text == "name,vcpus,last_at,last_state\r\na,2,,\r\n"


def test_quotes_commas_and_line_breaks_come_back_as_they_were() -> None:
    name = 'a "b", c\r\nd\n,'
    rows = list(csv.reader(io.StringIO(objects_to_csv([item(name=name)], ("name",)), newline="")))
    assert rows[1][0] == name


def test_unknown_is_empty_and_never_zero() -> None:
    assert cell(None) == ""
    assert cell(0) == "0"
    assert cell(False) == "false"
    assert cell(True) == "true"


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "＝1", "-"],
)
def test_text_that_would_be_a_formula_is_defused(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "vm-1", "a=b", "<b>", "100%", "'quoted"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_numbers_are_not_taken_for_formulas() -> None:
    assert cell(-1) == "-1"
    assert cell(0.25) == "0.25"


def test_lists_are_their_members_and_objects_what_is_known_of_them() -> None:
    assert cell(("10.0.0.1", "10.0.0.2")) == "10.0.0.1; 10.0.0.2"
    assert cell((Graphics("vnc", 5900, None, "127.0.0.1"),)) == "vnc 5900 127.0.0.1"
    assert cell((Disk("vda", bus="virtio"), Disk("sda", "cdrom", read_only=True))) == (
        "vda disk virtio; sda cdrom read_only"
    )
    assert cell(("=cmd",)) == "'=cmd"
    assert cell(()) == ""


def test_an_object_of_a_silent_host_says_when_and_how_it_was_last_seen() -> None:
    lost = {"name": "a", "last": {"at": "2026-05-01T09:30:00Z", "state": "running"}}
    assert objects_to_csv([lost], ("name",)).splitlines()[1] == "a,2026-05-01T09:30:00Z,running"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_every_text_makes_one_cell_that_begins_no_formula(names: list[str]) -> None:
    text = objects_to_csv([item(name=name) for name in names], ("name",))
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [row[0].removeprefix("'") for row in rows] == [name.removeprefix("'") for name in names]
    assert not any(row[0].lstrip().startswith(("=", "+", "-", "@")) for row in rows)
