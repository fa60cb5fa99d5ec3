"""The parameters of actions: what is read is meant, and what is not is a sentence at its field."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.actions.parameters import (
    Parameter,
    check_new_name,
    check_under,
    parse_size,
    read_parameters,
)
from app.actions.registry import ACTIONS
from app.errors import InvalidField

_KNOWN = ("expect_state", "request_id", "confirm")
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.lists(st.text(), max_size=2), st.dictionaries(st.text(), st.text(), max_size=2),
)  # fmt: skip


@given(st.integers(1, 2**63 - 1))
def test_plain_bytes_are_themselves(size: int) -> None:
    assert parse_size(str(size), "size") == size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20 GiB", 20 << 30),
        ("20GB", 20 << 30),
        ("20g", 20 << 30),
        ("1.5T", 3 << 39),
        (" 512 K ", 512 << 10),
        ("0.5 KiB", 512),
    ],
)
def test_units_are_powers_of_1024_however_they_are_written(text: str, expected: int) -> None:
    assert parse_size(text, "size") == expected


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "0.1", "1e9", "20 GiB x", "9223372036854775808", "9999999 PiB", "½"],
)
def test_what_is_no_size_is_told_at_its_field(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_size(text, "capacity_bytes")
    assert caught.value.field == "capacity_bytes"


@given(st.text())
def test_a_new_name_has_libvirts_harmless_letters_alone(text: str) -> None:
    try:
        name = check_new_name(text)
    except InvalidField:
        return
    assert re.fullmatch(r"[A-Za-z0-9_.+:@-]{1,63}", name)
    assert name not in (".", "..")
    assert name[0] not in ".-+:@"


@given(st.text(alphabet="ab./", max_size=30))
def test_a_path_that_is_let_through_lies_under_a_root(text: str) -> None:
    try:
        path = check_under(f"/srv/{text}", ["/srv/a"], "target")
    except InvalidField:
        return
    assert path == "/srv/a" or path.startswith("/srv/a/")
    assert ".." not in path.split("/")


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.audit_name)
@given(data=st.data())
def test_whatever_is_given_is_read_whole_or_refused_at_a_field(action: Any, data: Any) -> None:
    names = [parameter.name for parameter in action.parameters]
    given_ = data.draw(
        st.dictionaries(st.one_of(st.sampled_from([*names, "name"]), st.text()), _VALUES)
    )
    try:
        read = read_parameters(action.parameters, given_, _KNOWN)
    except InvalidField as caught:
        refused: InvalidField | None = caught
    else:
        refused = None
    if refused is not None:
        assert refused.field in {*names, *(name[:40] for name in given_)}
        assert str(refused)
        return
    assert list(read) == names
    for parameter in action.parameters:
        _as_declared(parameter, read[parameter.name])


def _as_declared(parameter: Parameter, value: Any) -> None:
    if value is None:
        assert not parameter.required
    elif parameter.kind == "flag":
        assert isinstance(value, bool)
    elif parameter.kind == "size":
        assert isinstance(value, int)
        assert 0 < value < 2**63
    else:
        assert isinstance(value, str)
        assert not re.search(r"[\x00-\x1f]", value)
        if parameter.kind == "choice":
            assert value in {choice for choice, _ in parameter.choices}


def test_a_parameter_that_an_action_does_not_take_is_refused_by_name() -> None:
    (start,) = (action for action in ACTIONS if action.audit_name == "start")
    with pytest.raises(InvalidField) as caught:
        read_parameters(start.parameters, {"pausd": True}, _KNOWN)
    assert caught.value.field == "pausd"
