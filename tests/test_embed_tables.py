"""Tables on other people's pages: of one VM, of one host, and about all hosts."""

import re

import pytest

from app.clock import rfc3339
from app.store.history import fleet
from app.web.embed.builders import TABLES
from app.web.embed.views import VIEWS
from tests.embed_support import a_token, ask, row_names, sentence, tokens, web, web_of_module
from tests.fleet_support import domain_uuid, filled_data, network_uuid
from tests.web_support import Web

__all__ = ["filled_data", "tokens", "web", "web_of_module"]


def test_what_is_drawn_as_a_table_is_one() -> None:
    assert {view.name for view in VIEWS.values() if view.drawn_as == "table"} == set(TABLES)
    for name, table in TABLES.items():
        assert not {word for one in table.columns for word in one.css.split()} - {
            "num", "wrap", "nowrap", "p2", "p3", "p4",
        }, name  # fmt: skip
        # Something stays in the narrowest box.
        assert not re.search(r"\bp\d", table.columns[0].css), name


def test_a_vms_own_tables_are_those_of_its_page(web: Web, tokens: dict[str, str]) -> None:
    told = {
        "disks": ("Disks of <bdi>app-01</bdi>", "vm-0.qcow2", "cdrom, read-only", "empty"),
        "nics": ("52:54:00:00:00:00", "network default", "10.20.4.0"),
        "guest-nics": ("eth0", "10.20.4.0/24, fe80::5054:ff/64"),
        "snapshots": ("clean", ">1 May</time>", ">└</span>", "current"),
    }
    for view, words in told.items():
        text = ask(web, view, tokens[view]).text
        for word in words:
            assert word in text, (view, word, text)
        assert f"/hosts/kvm-01/domains/{domain_uuid(0, 0)}" in text
        bare = {"host": ["kvm-01"], "id": [domain_uuid(0, 1)]}
        other = ask(web, view, a_token(web.store, view, bare)[0]).text
        assert ("No guest agent" in other) == (view == "guest-nics")
        assert ("has no snapshot" in other) == (view == "snapshots")
        lost = {"host": ["kvm-06"], "id": [domain_uuid(2, 0)]}
        stale = ask(web, view, a_token(web.store, view, lost)[0]).text
        rows = stale.count('<tr part="row"')
        assert stale.count('class="npv-stale"') == rows > 0, view


@pytest.mark.parametrize("view", ["disks", "nics", "guest-nics", "snapshots"])
def test_of_what_is_not_there_it_is_said(web: Web, view: str) -> None:
    for host, key in (("kvm-01", domain_uuid(1, 0)), ("kvm-77", domain_uuid(0, 0))):
        locked = {"host": [host], "id": [key]}
        answer = ask(web, view, a_token(web.store, view, locked)[0])
        assert answer.status_code == 404
        assert key in sentence(answer) or host in sentence(answer)


def test_of_one_host_its_nodes_its_memory_and_its_leases(web: Web, tokens: dict[str, str]) -> None:
    numa = ask(web, "numa", tokens["numa"]).text
    assert "NUMA nodes of <bdi>kvm-01</bdi>" in numa
    assert row_names(numa) == ["0"]
    memory = ask(web, "memory-devices", tokens["memory-devices"]).text
    assert row_names(memory) == ["DIMM_A1", "DIMM_A2"]
    assert memory.count('class="npv-stale"') == 1
    leases = ask(web, "leases", tokens["leases"]).text
    assert "Leases of <bdi>default</bdi>" in leases
    assert row_names(leases) == ["192.168.122.10", "192.168.122.11", "192.168.122.12"]
    assert "/networks?host=kvm-01" in leases
    at = rfc3339(min(view.status.last_ok_at_ms or 0 for view in fleet(web.store, None).hosts) + 1)
    assert f"/networks?host=kvm-01&amp;at={at}" in ask(web, "leases", tokens["leases"], at=at).text
    for view, locked in (
        ("numa", {"host": ["kvm-77"]}),
        ("leases", {"host": ["kvm-02"], "network": [network_uuid(0)]}),
    ):
        assert ask(web, view, a_token(web.store, view, locked)[0]).status_code == 404


def test_what_needs_attention_is_shown_worst_first(web: Web, tokens: dict[str, str]) -> None:
    text = ask(web, "attention", tokens["attention"]).text
    rows = re.findall(r"<tr part=.*?</tr>", text)
    assert [("crashed" in row, "unknown since" in row) for row in rows[:4]] == [
        (True, False), (True, False), (True, False), (True, False),
    ]  # fmt: skip
    assert "kvm-06" in text
    one = ask(web, "attention", tokens["attention"], host="kvm-02").text
    assert "on kvm-02" in one
    assert "kvm-06" not in one
    assert "on kvm-01" not in one


def test_how_scans_go_is_told_of_now_and_as_far_as_known_of_then(
    web: Web, tokens: dict[str, str]
) -> None:
    text = ask(web, "scans", tokens["scans"]).text
    assert row_names(text) == ["kvm-01", "kvm-02", "kvm-06"]
    assert text.count("does not answer") == 1
    assert "/health" in text
    at = rfc3339(min(view.status.last_ok_at_ms or 0 for view in fleet(web.store, None).hosts) + 1)
    then = ask(web, "scans", tokens["scans"], at=at).text
    # What the last 24 hours were is known of the present alone.
    assert then.count('<td part="cell" class="npv-num npv-p2"><bdi>–</bdi>') >= 3
    assert "/health" not in then


@pytest.mark.parametrize("view", ["attention", "scans", "outlook", "overcommit", "losses"])
def test_a_host_that_is_gone_is_not_one_with_which_nothing_is_wrong(web: Web, view: str) -> None:
    answer = ask(web, view, a_token(web.store, view, {"host": ["kvm-77"]})[0])
    assert answer.status_code == 404
    assert sentence(answer) == "There is no host kvm-77."
