"""The whole thing: four real hosts, one per transport, and a panel that people look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser_support import note_faults
from tests.lab.fleet import Member, fleet, register
from tests.panel import Panel, panel

pytestmark = pytest.mark.xdist_group("lab-fleet")

PAGES = (
    *("/", "/hosts", "/hosts/add", "/domains", "/pools", "/networks"),
    *("/audit", "/account", "/users", "/tokens", "/help", "/health"),
)


@dataclass(frozen=True)
class Looking:
    """The running panel and the hosts that it looks at."""

    panel: Panel
    members: list[Member]

    def hosts(self) -> dict[str, Any]:
        """The hosts as the panel's JSON shows them, by name."""
        return {item["host"]: item for item in self.panel.get("/api/v1/hosts")["items"]}

    def scans(self) -> dict[str, Any]:
        """The last look at each host."""
        found: dict[str, Any] = self.panel.get("/api/v1/domains")["scans"]
        return found

    def domains(self, host: str) -> list[Any]:
        """The domains of one host."""
        found: list[Any] = self.panel.get(f"/api/v1/domains?host={host}")["items"]
        return found


@pytest.fixture(scope="module")
def looking(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looking]:
    data = tmp_path_factory.mktemp("panel") / "var"
    with (
        fleet() as members,
        panel(data, prepare=lambda env: register(members, env), NPVIRT_SCAN_SECONDS="2") as running,
    ):
        seen = Looking(running, members)
        running.until(
            lambda: len(seen.scans()) == 4 and all(scan["ok"] for scan in seen.scans().values())
        )
        yield seen


def test_all_hosts_are_green_and_every_table_is_filled(looking: Looking) -> None:
    answers = {
        kind: looking.panel.get(f"/api/v1/{kind}")["items"]
        for kind in ("hosts", "domains", "pools", "volumes", "networks", "interfaces")
    }
    for kind, items in answers.items():
        assert {item["host"] for item in items} == {"kvm-01", "kvm-02", "kvm-03", "kvm-04"}, kind
    states = {item["name"]: item["state"] for item in answers["domains"]}
    assert states["web-01"] == "running"
    assert states["build-01"] == "paused"
    assert states["old-crm"] == "shutoff"
    assert len({item["host_uuid"] for item in answers["hosts"] if "host_uuid" in item}) in (0, 4)


def test_a_scan_from_the_command_line_beside_the_server_finds_nothing_missing(
    looking: Looking,
) -> None:
    printed = looking.panel.npvirt("scan")
    for name in ("kvm-01", "kvm-02", "kvm-03", "kvm-04"):
        assert f"{name}: " in printed
    assert printed.endswith("exit status 0"), printed


def test_the_guest_agent_tells_host_name_and_addresses(looking: Looking) -> None:
    def guest() -> Any:
        (item,) = [item for item in looking.domains("kvm-02") if item["name"] == "talking"]
        return item["guest"]

    told = looking.panel.until(guest, seconds=300)
    assert told["hostname"] == "talking-guest"
    assert "192.168.122.77" in str(told)


def test_every_page_is_clicked_through_without_an_error(
    looking: Looking, chromium: Browser
) -> None:
    errors: list[str] = []
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    note_faults(page, errors.append)
    addresses = list(PAGES)
    looking.panel.sign_in(page)
    for listing in ("/hosts", "/domains", "/pools"):
        page.goto(looking.panel.url + listing)
        hrefs = page.eval_on_selector_all(
            "main th[scope=row] a", "links => links.map(link => link.getAttribute('href'))"
        )
        assert hrefs, listing
        addresses += dict.fromkeys(hrefs)
    for address in addresses:
        answer = page.goto(looking.panel.url + address)
        assert answer is not None
        assert answer.status == 200, address
        assert page.locator("main h1").count() == 1, address
    context.close()
    assert errors == []
    assert len(addresses) > 25


def test_stopping_one_host_makes_only_that_one_unknown(looking: Looking) -> None:
    third = looking.members[2].host
    before = {item["name"]: item for item in looking.domains("kvm-03")}
    third.stop_libvirtd()
    try:
        looking.panel.until(lambda: not looking.scans()["kvm-03"]["ok"])
        after = {item["name"]: item for item in looking.domains("kvm-03")}
        assert after.keys() == before.keys()
        for name, item in after.items():
            assert item["state"] is None
            assert item["unknown_since"] is not None
            assert item["last"]["state"] == before[name]["state"]
        _others_go_on(looking)
    finally:
        third.start_libvirtd()
    looking.panel.until(lambda: looking.scans()["kvm-03"]["ok"])
    assert all(item["state"] for item in looking.domains("kvm-03"))


def test_a_host_that_hangs_delays_no_other(looking: Looking) -> None:
    fourth = looking.members[3].host
    fourth.kill("STOP")
    try:
        looking.panel.until(lambda: not looking.scans()["kvm-04"]["ok"], seconds=120)
        _others_go_on(looking)
    finally:
        fourth.kill("CONT")
    looking.panel.until(lambda: looking.scans()["kvm-04"]["ok"])


def _others_go_on(looking: Looking) -> None:
    """Two further good looks at each of the hosts that were left alone."""
    others = [name for name, scan in looking.scans().items() if scan["ok"]]
    assert len(others) == 3, looking.hosts()
    for _ in range(2):
        last = {name: looking.scans()[name]["at"] for name in others}
        looking.panel.until(lambda: _all_later(looking.scans(), last))  # noqa: B023 (at once)


def _all_later(scans: dict[str, Any], last: dict[str, str]) -> bool:
    return all(scans[name]["ok"] and scans[name]["at"] > at for name, at in last.items())
