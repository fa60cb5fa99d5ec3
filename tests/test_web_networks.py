"""libvirt's networks and the hosts' interfaces, as a browser gets them."""

import re

import pytest
from msgspec.structs import replace

from app.clock import now_ms, rfc3339
from app.inventory import Lease, Missing
from tests.fleet_support import make_networks, network_uuid, scan_again
from tests.test_web_domains import poll_of, shown
from tests.web_support import Web


def network_row(text: str, host: int) -> str:
    """The row of the host's network."""
    wanted = f'id="network-{("kvm-01", "kvm-02", "kvm-06")[host]}-{network_uuid(host)}"'
    return text.split(wanted, 1)[1].split("</tr>", 1)[0]


@pytest.mark.parametrize("query", ["", "?host=kvm-01&q=eno"])
@pytest.mark.parametrize("past", [False, True])
def test_a_page_holds_its_own_part_byte_for_byte(fleet_web: Web, query: str, past: bool) -> None:
    moment = f"{'&' if query else '?'}at={rfc3339(now_ms() - 30_000)}" if past else ""
    part = fleet_web.client.get(f"/ui/networks{query}{moment}").data
    assert part in fleet_web.client.get(f"/networks{query}{moment}").data
    assert ("every 5s" in part.decode()) is not past


def test_a_part_is_not_sent_again_until_something_changed(fleet_web: Web) -> None:
    poll = poll_of(fleet_web.text("/ui/networks"))
    assert fleet_web.client.get(poll).status_code == 204
    scan_again(fleet_web, 0, 800, networks={})
    assert fleet_web.client.get(poll).status_code == 200


def test_a_network_tells_bridge_mode_range_and_leases(fleet_web: Web) -> None:
    text = shown(network_row(fleet_web.text("/networks"), 0))
    for said in ("default", "Active", "NAT", "virbr0", "192.168.122.1/24",
                 "192.168.122.2 – 192.168.122.254", "192.168.122.10", "52:54:00:00:00:00",
                 "lease-0", "until"):  # fmt: skip
        assert said in text, said


def test_leases_that_a_driver_cannot_tell_are_not_called_none(fleet_web: Web) -> None:
    page = fleet_web.text("/networks")
    assert "does not tell" in network_row(page, 1)
    networks = {uuid: replace(one, leases=()) for uuid, one in make_networks(1).items()}
    scan_again(fleet_web, 1, 800, networks=networks)
    assert "does not tell" not in network_row(fleet_web.text("/networks"), 1)


def test_a_network_without_forward_is_called_isolated(fleet_web: Web) -> None:
    networks = {uuid: replace(one, forward=None, dhcp=()) for uuid, one in make_networks(0).items()}
    scan_again(fleet_web, 0, 800, networks=networks)
    text = shown(network_row(fleet_web.text("/networks"), 0))
    assert "isolated" in text
    assert "none" in text


def test_very_many_leases_are_cut_and_counted(fleet_web: Web) -> None:
    leases = tuple(Lease(None, f"10.0.{n // 250}.{n % 250}") for n in range(900))
    networks = {uuid: replace(one, leases=leases) for uuid, one in make_networks(0).items()}
    scan_again(fleet_web, 0, 800, networks=networks)
    row = network_row(fleet_web.text("/networks"), 0)
    assert row.count("<li>") == 256
    assert "and 644 more" in row
    assert "<summary>900</summary>" in row


def test_interfaces_tell_type_address_and_ports(fleet_web: Web) -> None:
    page = fleet_web.text("/networks?host=kvm-01")
    row = page.split('id="interface-kvm-01-br20"', 1)[1].split("</tr>", 1)[0]
    text = shown(row)
    for said in ("br20", "Active", "bridge", "aa:bb:cc:00:00:01", "10.20.4.2/24", "eno1", "1500"):
        assert said in text, said
    assert "Inactive" in page.split('id="interface-kvm-01-eno2"', 1)[1].split("</tr>", 1)[0]


def test_what_a_silent_host_had_is_unknown(fleet_web: Web) -> None:
    page = fleet_web.text("/networks?host=kvm-06")
    assert page.count('class="stale"') == 3
    assert "Unknown" in network_row(page, 2)


def test_what_a_scan_could_not_read_is_said(fleet_web: Web) -> None:
    missing = (Missing("interfaces", "This driver has no interfaces."),)
    scan_again(fleet_web, 1, 800, interfaces=None, missing=missing)
    assert "This driver has no interfaces." in shown(fleet_web.text("/networks"))


@pytest.mark.parametrize(
    ("query", "networks", "interfaces"),
    [("host=kvm-02", 1, 2), ("q=eno2", 0, 3), ("q=lease-2", 1, 0), ("q=virbr0", 3, 0)],
)
def test_both_tables_are_filtered(
    fleet_web: Web, query: str, networks: int, interfaces: int
) -> None:
    page = fleet_web.text(f"/networks?{query}")
    assert page.count('<tr id="network-') == networks
    assert page.count('<tr id="interface-') == interfaces


@pytest.mark.parametrize("query", ["state=active", "host=x", "sort=name", "page=1", "at=1x"])
def test_a_bad_parameter_is_refused(fleet_web: Web, query: str) -> None:
    fleet_web.text(f"/networks?{query}", 422)


@pytest.mark.parametrize("address", ["/api/v1/networks?host=kvm-01&format=csv",
                                     "/api/v1/interfaces?host=kvm-01&format=csv"])  # fmt: skip
def test_both_tables_offer_their_csv(fleet_web: Web, address: str) -> None:
    page = fleet_web.text("/networks?host=kvm-01")
    assert address.replace("&", "&amp;") in page
    assert fleet_web.client.get(address).mimetype == "text/csv"


def test_names_from_a_host_are_only_ever_text(fleet_web: Web) -> None:
    page = fleet_web.text("/networks")
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert not re.search(r"<[a-z][^>]*\s(on[a-z]+|style)=", page)


def test_without_hosts_the_page_says_how_to_add_one(empty_web: Web) -> None:
    assert "No hosts yet" in empty_web.text("/networks")
    assert "No hosts yet" in empty_web.text("/pools")
