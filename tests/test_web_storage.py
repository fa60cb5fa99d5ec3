"""Storage pools and their volumes, as a browser gets them."""

import re
from html import unescape

import pytest
from msgspec.structs import replace

from app.clock import now_ms, rfc3339
from app.inventory import Disk, VolumeSample
from tests.fleet_support import (
    domain_uuid,
    make_domain,
    make_pools,
    make_volumes,
    pool_uuid,
    scan_again,
)
from tests.test_web_domains import poll_of, shown
from tests.web_support import Web

IMAGES = f"/hosts/kvm-01/pools/{pool_uuid(0, 0)}"
ARCHIVE = f"/hosts/kvm-01/pools/{pool_uuid(0, 4)}"
LOST = f"/hosts/kvm-06/pools/{pool_uuid(2, 0)}"
ADDRESSES = ("/pools", "/pools?host=kvm-02&sort=name", IMAGES, ARCHIVE, LOST)


def pool_row(text: str, host: int, place: int) -> str:
    """The row of one pool."""
    wanted = f'id="pool-{("kvm-01", "kvm-02", "kvm-06")[host]}-{pool_uuid(host, place)}"'
    return text.split(wanted, 1)[1].split("</tr>", 1)[0]


def volume_row(text: str, name: str) -> str:
    """The row of the volume of that name."""
    before, after = text.split(f"<bdi>{name}</bdi>", 1)
    return before.rsplit("<tr", 1)[1] + after.split("</tr>", 1)[0]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("past", [False, True])
def test_a_page_holds_its_own_part_byte_for_byte(fleet_web: Web, address: str, past: bool) -> None:
    moment = f"{'&' if '?' in address else '?'}at={rfc3339(now_ms() - 30_000)}" if past else ""
    part = fleet_web.client.get(f"/ui{address}{moment}").data
    assert part in fleet_web.client.get(address + moment).data
    assert ("every 5s" in part.decode()) is not past
    assert len(part) > 1000


@pytest.mark.parametrize("address", ["/pools", IMAGES])
def test_a_part_is_not_sent_again_until_something_changed(fleet_web: Web, address: str) -> None:
    poll = poll_of(fleet_web.text(poll_of(fleet_web.text(f"/ui{address}"))))
    assert fleet_web.client.get(poll).status_code == 204
    scan_again(fleet_web, 0, 800, pool_samples={}, volume_samples={}, volumes={})
    assert fleet_web.client.get(poll).status_code == 200


def test_the_fullest_pool_comes_first_and_what_nobody_reads_last(fleet_web: Web) -> None:
    page = fleet_web.text("/pools")
    percents = [int(n) for n in re.findall(r'<span class="v[^"]*">(\d+) %</span>', page)]
    assert percents == sorted(percents, reverse=True)
    assert percents[0] == 93
    assert len(percents) == 6
    order = re.findall(r'<tr id="pool-(kvm-\d\d)-[^"]*"( class="stale")?', page)
    assert len(order) == 18
    assert not any(stale for _, stale in order[:6])


def test_a_bar_shows_used_promised_and_the_size_on_one_scale(fleet_web: Web) -> None:
    page = fleet_web.text("/pools")
    row = pool_row(page, 0, 1)
    assert 'class="cap bad"' in row
    assert 'class="used" y="3" width="58.1%"' in row
    assert 'class="prom" x=".5" y="1.5" width="96.9%"' in row
    for place in (0, 1, 2):
        assert 'class="size" y="3" width="62.5%"' in pool_row(page, 0, place)
    assert "prom" not in pool_row(page, 0, 2).split("<svg", 2)[2].split("</svg>")[0]
    assert "155 %" in shown(row)


@pytest.mark.parametrize(
    ("place", "word", "said"),
    [(3, "Building", "not read while building"), (4, "Inactive", "not read while inactive"),
     (5, "Inaccessible", "libvirt cannot reach it")],
)  # fmt: skip
def test_a_pool_that_is_not_read_shows_no_figure(
    fleet_web: Web, place: int, word: str, said: str
) -> None:
    row = pool_row(fleet_web.text("/pools"), 0, place)
    assert word in row
    assert said in row
    assert '<svg class="cap' not in row
    assert "0 %" not in row


def test_a_pool_of_a_silent_host_is_hatched_and_says_what_it_was(fleet_web: Web) -> None:
    row = pool_row(fleet_web.text("/pools"), 2, 0)
    assert "Unknown" in row
    assert 'class="cap unk"' in row
    assert "was 75 %" in row
    assert "used" not in row.split('class="cap unk"')[1].split("</svg>")[0]


def test_totals_count_only_what_can_be_read(fleet_web: Web) -> None:
    assert "18 pools on 3 hosts · 6 readable" in fleet_web.text("/pools")


@pytest.mark.parametrize(
    ("query", "count"), [("host=kvm-01", 6), ("state=degraded", 2), ("q=nvme", 3),
                         ("q=/var/lib/libvirt/images", 3), ("state=inactive&host=kvm-02", 1)]
)  # fmt: skip
def test_pools_are_filtered(fleet_web: Web, query: str, count: int) -> None:
    assert fleet_web.text(f"/pools?{query}").count('<tr id="pool-') == count


@pytest.mark.parametrize("query", ["state=running2", "host=x", "flag=active", "sort=age", "at=1x"])
def test_a_bad_parameter_is_refused(fleet_web: Web, query: str) -> None:
    fleet_web.text(f"/pools?{query}", 422)
    fleet_web.text(f"{IMAGES}?{query}", 422)


def test_the_list_is_answered_as_csv(fleet_web: Web) -> None:
    link = re.search(r'href="([^"]+)" download', fleet_web.text("/pools?state=running"))
    assert link is not None
    answer = fleet_web.client.get(unescape(link[1]))
    assert answer.mimetype == "text/csv"
    assert answer.text.count("\r\n") == 5


# --- one pool -------------------------------------------------------------------------------


def test_a_pool_shows_its_facts_and_when_libvirt_looked(fleet_web: Web) -> None:
    text = shown(fleet_web.text(IMAGES))
    for said in ("images", "values from", "/var/lib/libvirt/images", "3.5 TiB", "123 %",
                 "Promised to volumes", pool_uuid(0, 0)):  # fmt: skip
        assert said in text, said


def test_a_volume_names_its_domain_and_its_overlays(fleet_web: Web) -> None:
    page = fleet_web.text(IMAGES)
    used = volume_row(page, "vm-0.qcow2")
    assert f'href="/hosts/kvm-01/domains/{domain_uuid(0, 0)}"' in used
    assert "2 / 20 GiB" in used
    assert "no VM uses it" in volume_row(page, "old.raw")
    # vm-0, 3, 6 … 21 have it as their backing file; nobody uses it directly.
    assert "backing file of 8" in volume_row(page, "base.qcow2")


def test_a_disk_by_path_alone_is_a_use_as_well(fleet_web: Web) -> None:
    path = "/var/lib/libvirt/images/old.raw"
    domain = replace(make_domain(0, 0), disks=(Disk("vdb", source=path),))
    scan_again(fleet_web, 0, 800, domains={domain.uuid: domain})
    row = volume_row(fleet_web.text(IMAGES), "old.raw")
    assert "app-01" in row
    assert "as vdb" in row


def test_volumes_of_a_silent_host_are_unknown_and_nobody_is_said_not_to_use_them(
    fleet_web: Web,
) -> None:
    page = fleet_web.text(LOST)
    assert "no VM uses it" not in page
    assert 'class="meter unk"' in page
    assert "has not answered since" in page


def test_what_nobody_measured_of_a_volume_is_unknown(fleet_web: Web) -> None:
    assert 'class="meter unk"' not in volume_row(fleet_web.text(IMAGES), "old.raw")
    _, samples = make_volumes(0, 2)
    told = {(pool_uuid(0, 0), name): sample for name, sample in samples.items()}
    told[(pool_uuid(0, 0), "old.raw")] = VolumeSample()
    scan_again(fleet_web, 0, 800, volume_samples=told)
    page = fleet_web.text(IMAGES)
    unmeasured = volume_row(page, "old.raw")
    assert 'class="meter unk"' in unmeasured
    assert "– / 200 GiB" in shown(unmeasured)
    assert 'class="meter unk"' not in volume_row(page, "base.qcow2")


def test_an_inactive_pool_says_that_it_is_not_read(fleet_web: Web) -> None:
    text = shown(fleet_web.text(ARCHIVE))
    assert "This pool is inactive" in text
    assert "Not read while inactive" in text


def test_volumes_of_a_pool_that_was_stopped_are_no_longer_known(fleet_web: Web) -> None:
    pools, _ = make_pools(0)
    uuid = pool_uuid(0, 0)
    pools[uuid] = replace(pools[uuid], state="inactive")
    scan_again(fleet_web, 0, 800, pools=pools, pool_samples={}, volumes={}, volume_samples={})
    page = fleet_web.text(IMAGES)
    assert page.count('class="stale"') == 15
    assert "no VM uses it" not in page


def test_volumes_are_searched_and_paged(fleet_web: Web) -> None:
    assert fleet_web.text(f"{IMAGES}?q=vm-1").count('<tr id="volume-') == 3
    page = fleet_web.text(f"{IMAGES}?per_page=10")
    assert page.count('<tr id="volume-') == 10
    assert f'href="{IMAGES}?page=2&amp;per_page=10"' in page
    assert "No volume matches" in fleet_web.text(f"{IMAGES}?q=nowhere")


@pytest.mark.parametrize("address", [f"/hosts/kvm-01/pools/{pool_uuid(1, 0)}",
                                     f"/hosts/nowhere/pools/{pool_uuid(0, 0)}"])  # fmt: skip
def test_a_pool_that_is_not_there_is_a_404(fleet_web: Web, address: str) -> None:
    assert "has no" in (page := fleet_web.text(address, 404)) or "There is no host" in page


def test_names_from_a_host_are_only_ever_text(fleet_web: Web) -> None:
    page = fleet_web.text(IMAGES)
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert not re.search(r"<[a-z][^>]*\s(on[a-z]+|style)=", page)
