"""Where a running domain and its saved definition differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inventory import Definition
from app.web.definitions import differences


def xml(memory: str = "<memory unit='GiB'>4</memory>", vcpu: str = "<vcpu>2</vcpu>") -> str:
    return f"<domain type='kvm'><name>a</name>{memory}{vcpu}</domain>"


def test_equal_definitions_do_not_differ_whatever_their_units() -> None:
    live = xml("<memory unit='KiB'>4194304</memory>")
    assert differences(Definition(live, xml())) == []


def test_memory_and_vcpus_are_compared() -> None:
    saved = xml("<memory unit='GiB'>8</memory>", "<vcpu current='3'>4</vcpu>")
    found = differences(Definition(xml(), saved))
    assert [(one.what, one.now, one.saved) for one in found] == [
        ("Memory", "4 GiB", "8 GiB"),
        ("Most memory", "4 GiB", "8 GiB"),
        ("vCPUs", "2", "3"),
        ("Most vCPUs", "2", "4"),
    ]


def test_a_domain_with_one_definition_has_nothing_to_compare() -> None:
    assert differences(Definition(xml(), None)) == []
    assert differences(Definition(None, xml())) == []


BOMB = "<!DOCTYPE d [<!ENTITY a 'aaaa'>]><domain><memory>&a;</memory></domain>"


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "",
        "<domain>",
        "no XML",
        xml("<memory unit='furlong'>8</memory>", "<vcpu>many</vcpu>"),
        xml("<memory>-8</memory>", "<vcpu>9999999999999999999999</vcpu>"),
        "<a>" * 5000,
        xml().replace("<name>a", "<name>\ud800"),
        "x" * (2 << 20),
    ],
)
def test_hostile_xml_says_nothing_and_breaks_nothing(text: str) -> None:
    assert differences(Definition(xml(), text)) == []


@given(st.text(max_size=200))
def test_any_text_may_be_a_definition(text: str) -> None:
    assert differences(Definition(xml(), text)) == []
