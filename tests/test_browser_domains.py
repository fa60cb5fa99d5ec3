"""The lists and their objects in a real browser: live filters, refreshes that take nothing away."""

import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from tests.browser_support import Watched, watched
from tests.fleet_support import domain_uuid, make_domain, network_uuid, pool_uuid, scan_again
from tests.web_support import Web

DOMAIN = f"/hosts/kvm-01/domains/{domain_uuid(0, 0)}"
POOL = f"/hosts/kvm-01/pools/{pool_uuid(0, 0)}"
PAGES = (
    "/domains", "/domains?flag=running&sort=-cpu", "/domains?q=nothing+has+this", DOMAIN,
    f"/hosts/kvm-06/domains/{domain_uuid(2, 0)}", f"/hosts/kvm-01/domains/{domain_uuid(0, 15)}",
    "/pools", POOL, f"/hosts/kvm-06/pools/{pool_uuid(2, 0)}", "/networks",
)  # fmt: skip


@pytest.fixture
def seen(chromium: Browser, fleet_web: Web) -> Iterator[Watched]:
    with watched(chromium, fleet_web.app) as made:
        yield made
        assert made.errors == []


def names(page: Page) -> list[str]:
    """The names in the first column of the table, in order."""
    return page.locator("tbody th bdi").all_inner_texts()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (980, True), (390, True)])
def test_no_page_violates_the_policy_or_overflows(
    chromium: Browser, fleet_web: Web, width: int, dark: bool
) -> None:
    with watched(chromium, fleet_web.app, width=width, dark=dark) as seen:
        for address in PAGES:
            page = seen.go(address)
            page.wait_for_load_state("load")
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
            assert page.evaluate("document.querySelectorAll('[style]:not(.plot *)').length") == 0
            assert seen.errors == [], address


def test_typing_narrows_the_list_and_the_address_follows(seen: Watched) -> None:
    page = seen.go("/domains")
    box = page.locator("#q")
    box.click()
    box.press_sequentially("backup", delay=30)
    expect(page.locator("tbody tr")).to_have_count(6)
    expect(page).to_have_url(re.compile(r"/domains\?q=backup$"))
    expect(box).to_be_focused()
    assert box.input_value() == "backup"
    page.reload()
    assert len(names(page)) == 6


def test_what_is_typed_just_before_an_answer_arrives_is_looked_for(seen: Watched) -> None:
    page = seen.go("/domains")
    # The answer to "backu" comes in the middle of the delay after the last letter.
    page.evaluate(
        """() => document.addEventListener('htmx:before:swap', function type() {
            const field = document.getElementById('q');
            // Another part of the page may be drawn anew before.
            if (field.value !== 'backu') return;
            document.removeEventListener('htmx:before:swap', type);
            field.value = 'backup';
            field.dispatchEvent(new Event('input', { bubbles: true }));
        })"""
    )
    page.locator("#q").fill("backu")
    expect(page).to_have_url(re.compile(r"/domains\?q=backup$"))


def test_a_host_a_state_and_flags_narrow_each_other(seen: Watched) -> None:
    page = seen.go("/domains")
    page.locator("#host").select_option("kvm-01")
    expect(page.locator("tbody tr")).to_have_count(24)
    page.locator("#by-running").click()
    expect(page.locator("#by-running")).to_have_attribute("aria-current", "true")
    expect(page.locator("tbody tr")).to_have_count(8)
    page.locator("#by-paused").click()
    expect(page.locator("tbody tr")).to_have_count(10)
    page.locator("#q").fill("app")
    expect(page).to_have_url(re.compile("q=app.*host=kvm-01.*flag=running"))
    expect(page.locator("#by-paused")).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator("tbody tr")).to_have_count(72)
    expect(page.locator("#host")).to_have_value("")


def test_a_press_on_a_head_sorts_and_another_turns_it_round(seen: Watched) -> None:
    page = seen.go("/domains?host=kvm-01")
    head = page.get_by_role("columnheader", name="Name")
    first = names(page)
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert names(page) == first[::-1]
    page.get_by_role("columnheader", name="CPU", exact=True).get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="CPU", exact=True)).to_have_attribute(
        "aria-sort", "descending"
    )
    expect(page).to_have_url(re.compile("sort=-cpu"))


def test_a_refresh_takes_away_neither_typing_nor_focus_nor_scroll(
    fleet_web: Web, seen: Watched
) -> None:
    page = seen.go("/domains")
    page.evaluate("scrollTo(0, 500)")
    link = page.locator(f"#vm-kvm-02-{domain_uuid(1, 7)} th a")
    link.focus()
    page.evaluate("window.kept = document.activeElement")
    before = page.evaluate("scrollY")
    scan_again(fleet_web, 0, 5_000)
    seen.refresh()
    expect(page.locator("tbody tr").nth(1)).to_be_visible()
    assert page.evaluate("document.activeElement === kept")
    assert page.evaluate("scrollY") == before


def test_rows_keep_their_order_while_their_values_change(fleet_web: Web, seen: Watched) -> None:
    page = seen.go("/domains?host=kvm-01&sort=-cpu")
    before = names(page)
    values = page.locator("tbody").inner_text()
    scan_again(fleet_web, 0, 720)  # everybody stood still: no CPU time at all
    seen.refresh()
    expect(page.locator("tbody")).not_to_have_text(values)
    assert page.locator("tbody").inner_text() != values
    assert names(page) == before
    page.reload()
    assert names(page) != before


def test_a_domain_that_stops_is_shown_so_by_the_clock_alone(fleet_web: Web, seen: Watched) -> None:
    seen.page.clock.install()
    page = seen.go("/domains?host=kvm-01")
    row = page.locator(f"#vm-kvm-01-{domain_uuid(0, 0)}")
    expect(row).to_contain_text("Running")
    stopped = make_domain(0, 4)
    domains = {domain_uuid(0, n): make_domain(0, n) for n in range(24)}
    domains[domain_uuid(0, 0)] = replace(
        domains[domain_uuid(0, 0)], state=stopped.state, state_reason="destroyed", id=None
    )
    scan_again(fleet_web, 0, 800, domains=domains)
    with page.expect_response(lambda answer: "/ui/domains" in answer.url):
        page.clock.run_for(5_000)
    expect(row).to_contain_text("Shut off forced off")


def test_what_was_typed_wins_over_a_refresh_on_its_way(fleet_web: Web, seen: Watched) -> None:
    page = seen.go("/domains")
    held: list[object] = []
    page.route("**/ui/domains?have=*", lambda route: held.append(route))
    scan_again(fleet_web, 0, 900)
    page.evaluate("htmx.trigger(document.body, 'refresh')")
    page.wait_for_timeout(50)
    page.locator("#q").fill("backup")
    expect(page.locator("tbody tr")).to_have_count(6)
    for route in held:
        route.abort()  # type: ignore[attr-defined]
    page.wait_for_timeout(100)
    assert len(names(page)) == 6
    assert len(held) == 1
    # The browser itself says that the request given up was aborted.
    seen.errors[:] = [error for error in seen.errors if "ERR_" not in error]


def test_open_details_stay_open_in_a_refresh(fleet_web: Web, seen: Watched) -> None:
    page = seen.go(DOMAIN)
    page.locator("#xml-live > summary").click()
    page.locator("#difference > summary").click()
    scan_again(fleet_web, 0, 6_000)
    seen.refresh()
    for name in ("#xml-live", "#difference"):
        assert page.locator(name).evaluate("one => one.open"), name
    expect(page.locator("#xml-live-text")).to_contain_text("<domain type='kvm'>")
    page = seen.go("/networks")
    leases = page.locator(f"#leases-kvm-01-{network_uuid(0)}")
    leases.locator("summary").click()
    scan_again(fleet_web, 1, 900, networks={})
    seen.refresh()
    expect(page.locator("#network-kvm-02-" + network_uuid(1))).to_have_count(0)
    assert leases.evaluate("one => one.open")


def test_the_ways_between_pages_work(seen: Watched) -> None:
    page = seen.go("/domains")
    page.locator(f"#vm-kvm-01-{domain_uuid(0, 0)} th a").click()
    expect(page.locator("h1")).to_have_text("app-01")
    page.locator(".disks").get_by_role("link", name="images").click()
    expect(page.locator("h1")).to_have_text("images")
    page.get_by_role("link", name="app-01").click()
    expect(page).to_have_url(re.compile(re.escape(DOMAIN)))
    page.get_by_role("link", name="default").click()
    expect(page.locator("h1")).to_have_text("Networks")


def test_the_lists_work_without_script(chromium: Browser, fleet_web: Web) -> None:
    with watched(chromium, fleet_web.app, script=False) as seen:
        page = seen.go("/domains?flag=running")
        page.locator("#q").fill("backup")
        page.locator("#host").select_option("kvm-02")
        page.get_by_role("button", name="Search").click()
        expect(page).to_have_url(re.compile("q=backup.*flag=running"))
        assert names(page) == ["backup-srv"]
        page.get_by_role("columnheader", name="Name").get_by_role("link").click()
        expect(page).to_have_url(re.compile("sort=-name"))


def test_volumes_are_searched_while_typing(seen: Watched) -> None:
    page = seen.go(POOL)
    page.locator("#q").fill("vm-1")
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page).to_have_url(re.compile(r"\?q=vm-1$"))
