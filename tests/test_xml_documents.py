"""XML from a host: what is refused, and that nothing it holds gets out unbounded."""

from collections.abc import Callable
from contextlib import suppress
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.virt.xml.document import MAX_XML_BYTES, XmlRefused, parse
from app.virt.xml.domain import parse_domain
from app.virt.xml.host import parse_capabilities, parse_max_vcpus, parse_sysinfo
from app.virt.xml.network import parse_interface, parse_network
from app.virt.xml.storage import parse_pool, parse_volume
from app.virt.xml.values import MAX_INTEGER, MAX_TEXT_BYTES, Figures, clean, small, whole, word

PARSERS: list[Callable[[str], object]] = [
    parse_domain,
    parse_capabilities,
    parse_sysinfo,
    parse_max_vcpus,
    parse_network,
    parse_interface,
    parse_pool,
    parse_volume,
]

LAUGHS = """<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<domain><name>&b;</name></domain>"""
OUTSIDE = (
    '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><domain><name>&f;</name></domain>'
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "document type"),
        (OUTSIDE, "document type"),
        ("<domain>", "well-formed"),
        ("", "well-formed"),
        ("<a>" * 300 + "</a>" * 300, "too deep"),
        ("<a>&nothing;</a>", "well-formed"),
        (f"<a>{'x' * MAX_XML_BYTES}</a>", "1 MiB"),
        ("<a>\0</a>", "well-formed"),
    ],
)
def test_hostile_xml_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(XmlRefused, match=said):
        parse(text)


def test_an_encoding_that_the_text_claims_is_not_followed() -> None:
    root = parse("<?xml version='1.0' encoding='UTF-16'?><a>é</a>")
    assert root.text == "é"


@pytest.mark.parametrize("parser", PARSERS)
@settings(deadline=None, max_examples=30)
@given(text=st.text())
@example(text="<domain/>")
def test_a_parser_gives_a_value_or_refuses(parser: Callable[[str], object], text: str) -> None:
    with suppress(XmlRefused):
        parser(text)


_NAMES = st.sampled_from(
    [
        "domain",
        "devices",
        "disk",
        "source",
        "target",
        "driver",
        "interface",
        "mac",
        "model",
        "graphics",
        "listen",
        "channel",
        "backingStore",
        "memory",
        "currentMemory",
        "vcpu",
        "os",
        "type",
        "loader",
        "cpu",
        "host",
        "cell",
        "cells",
        "topology",
        "cpus",
        "distances",
        "sibling",
        "entry",
        "processor",
        "volume",
        "capacity",
        "allocation",
        "format",
        "path",
        "pool",
        "name",
        "ip",
        "dhcp",
        "range",
        "bridge",
        "forward",
        "protocol",
        "mtu",
        "title",
    ]
)
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        [
            "file",
            "dev",
            "type",
            "name",
            "port",
            "tlsPort",
            "current",
            "max",
            "id",
            "value",
            "unit",
            "address",
            "prefix",
            "netmask",
            "start",
            "end",
            "mode",
            "protocol",
            "volume",
            "pool",
            "network",
            "state",
            "size",
            "listen",
        ]
    ),
    st.sampled_from(["", "0", "-1", "18446744073709551615", "x" * 9, "KiB", "volume", "ü<&\"'"]),
    max_size=4,
)


@st.composite
def _trees(draw: st.DrawFn, depth: int = 0) -> str:
    name = draw(_NAMES)
    attributes = "".join(f" {k}={quoteattr(v)}" for k, v in draw(_ATTRIBUTES).items())
    text = draw(st.sampled_from(["", "1", " 7 ", "9" * 30, "<&>", "true"]))
    inside = draw(st.lists(_trees(depth + 1), max_size=3)) if depth < 4 else []
    return f"<{name}{attributes}>{escape(text)}{''.join(inside)}</{name}>"


@pytest.mark.parametrize("parser", PARSERS)
@settings(deadline=None, max_examples=40)
@given(tree=_trees())
def test_no_arrangement_of_known_elements_breaks_a_parser(
    parser: Callable[[str], object], tree: str
) -> None:
    parser(tree)


@settings(deadline=None)
@given(st.text(max_size=6000))
def test_a_cleaned_text_fits_and_a_short_one_is_untouched(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned.encode()) <= MAX_TEXT_BYTES
    assert "\0" not in cleaned
    assert clean(cleaned) == cleaned
    if len(text.encode()) <= MAX_TEXT_BYTES:
        assert cleaned == text.replace("\0", "")


def test_two_long_texts_that_differ_stay_different() -> None:
    assert clean("x" * 5000 + "a") != clean("x" * 5000 + "b")


@pytest.mark.parametrize("text", ["", " ", None, "-1", "1.5", "0x10", "٣", "1e3", "9" * 50])
def test_what_is_no_plain_number_is_unknown(text: str | None) -> None:
    assert whole(text) is None


def test_a_number_beyond_63_bits_is_unknown_and_said() -> None:
    assert small(str(MAX_INTEGER)) == MAX_INTEGER
    assert small(str(MAX_INTEGER + 1)) is None
    figures = Figures()
    assert figures.size("capacity", str(2**53), "KiB") is None
    assert figures.size("allocation", "5", "furlong") is None
    assert figures.beyond == ["capacity"]


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("bytes", 1), ("KiB", 1024), ("KB", 1000), ("M", 1 << 20), ("GiB", 1 << 30)],
)
def test_sizes_follow_libvirts_units(unit: str, factor: int) -> None:
    assert Figures().size("x", " 3 ", unit) == 3 * factor


def test_an_empty_word_is_none() -> None:
    assert word("  ") is None
    assert word(" a ") == "a"
