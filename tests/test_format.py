"""Values as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inventory import DOMAIN_STATES, Graphics
from app.web.format import (
    both_ways,
    endpoint,
    listed,
    megabytes,
    number,
    plural,
    port,
    quiet_reason,
    reason,
    share,
    switch,
    yes_no,
)


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(None, "–"), (0, "0"), (1, "<0.1"), (49_999, "<0.1"), (2_300_000, "2.3"), (118e6, "118")],
)
def test_rates_are_in_megabytes_and_small_ones_are_not_called_zero(
    per_second: float | None, text: str
) -> None:
    assert megabytes(per_second) == text


def test_an_unknown_rate_is_a_dash_and_not_a_zero() -> None:
    assert both_ways(None, None) == "–"
    assert both_ways(None, 1e6) == "– / 1.0"
    assert number(None) == switch(None) == yes_no(None) == share(None) == "–"
    assert number(0) == "0"
    assert share(0.0) == "0 %"


def test_normal_states_are_quiet_and_trouble_says_why() -> None:
    assert quiet_reason("running", "booted") == ""
    assert reason("running", "booted") == "booted"
    assert quiet_reason("paused", "io-error") == "I/O error"
    assert reason("paused", "shutting-down") == "shutting down"
    assert reason("shutoff", None) == ""


@given(st.sampled_from(DOMAIN_STATES), st.from_regex(r"[a-z]+(-[a-z]+){0,3}", fullmatch=True))
def test_a_reason_that_is_new_to_npvirt_is_still_said(state: str, word: str) -> None:
    assert reason(state, word)
    assert "-" not in reason(state, word).replace("post-copy", "")


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ((), ("", "")),
        ((Graphics("vnc", None, None, "127.0.0.1"),), ("", "")),
        ((Graphics("vnc", -1, None, None),), ("", "")),
        ((Graphics("vnc", 5900, None, "127.0.0.1"),), (":5900", "VNC 127.0.0.1:5900")),
        ((Graphics("spice", None, 5901, "::1"),), (":5901", "SPICE [::1]:5901 (TLS)")),
        ((Graphics("egl-headless"), Graphics("vnc", 5902)), (":5902", "VNC :5902")),
    ],
)
def test_the_console_is_the_first_server_with_a_port(
    servers: tuple[Graphics, ...], expected: tuple[str, str]
) -> None:
    assert port(servers) == expected


def test_a_socket_is_shown_as_it_is() -> None:
    assert endpoint(Graphics("vnc", None, None, "/run/vnc:1.sock")) == "/run/vnc:1.sock"


def test_long_lists_are_cut_and_counts_agree_with_their_word() -> None:
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert listed(["a"]) == "a"
    assert [plural(n, "VM") for n in (0, 1, 2)] == ["0 VMs", "1 VM", "2 VMs"]
