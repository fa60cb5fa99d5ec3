"""The list of changes in a real browser: live filters, new changes, the XML's difference."""

import re
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, expect

from app.store.hosts import get_host
from app.store.record import Recorder
from tests.browser_support import Watched, watched
from tests.test_web_changes import POOL, UUID, VM, scan, web
from tests.web_support import HOSTILE, Web

__all__ = ["web"]

DOMAIN = f"/hosts/kvm-01/domains/{UUID}"


@pytest.fixture
def seen(chromium: Browser, web: Web) -> Iterator[Watched]:
    with watched(chromium, web.app) as made:
        yield made
        assert made.errors == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (980, True), (390, True)])
def test_no_page_violates_the_policy_or_overflows(
    chromium: Browser, web: Web, width: int, dark: bool
) -> None:
    with watched(chromium, web.app, width=width, dark=dark) as seen:
        for address in ("/changes", "/changes?q=nothing", "/changes/3", "/changes/4", "/", DOMAIN,
                        "/hosts/kvm-01", f"/hosts/kvm-01/pools/{POOL}"):  # fmt: skip
            page = seen.go(address)
            page.wait_for_load_state("load")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
            assert page.evaluate("document.querySelectorAll('[style]:not(.plot *)').length") == 0
            assert seen.errors == [], address


def test_filters_narrow_the_list_and_the_address_follows(seen: Watched) -> None:
    page = seen.go("/changes")
    rows = page.locator(".list.line > li")
    expect(rows).to_have_count(8)
    page.locator("#kind").select_option("domain")
    expect(rows).to_have_count(2)
    page.locator("#by-power").click()
    expect(rows).to_have_count(1)
    expect(page.locator("#by-power")).to_have_attribute("aria-current", "true")
    expect(page).to_have_url(re.compile(r"/changes\?kind=domain&what=power$"))
    page.locator("#q").press_sequentially("nothing here", delay=10)
    expect(page.get_by_text("No change matches")).to_be_visible()
    expect(page.locator("#q")).to_be_focused()
    page.get_by_role("link", name="Clear filters").first.click()
    expect(rows).to_have_count(8)


def test_a_time_is_read_when_it_is_whole_and_a_bad_one_is_said(seen: Watched) -> None:
    page = seen.go("/changes")
    rows = page.locator(".list.line > li")
    page.locator("#to").press_sequentially("2026-05-01 09:31:30", delay=5)
    expect(rows).to_have_count(8)
    page.locator("#to").press("Enter")
    expect(rows).to_have_count(3)
    page.locator("#to").fill("soon")
    page.locator("#to").press("Enter")
    expect(page.locator(".toast")).to_contain_text("Write date and time as")
    expect(rows).to_have_count(3)
    # The browser itself notes the refusal.
    seen.forgive("422")


def test_what_changes_meanwhile_comes_to_the_top_by_itself(seen: Watched, web: Web) -> None:
    page = seen.go("/changes")
    expect(page.locator(".list.line > li")).to_have_count(8)
    recorder = Recorder(web.store, get_host(web.store, "kvm-01"), 60_000)
    recorder.record(scan(65, domains={UUID: replace(VM, memory_bytes=24 << 30)}))
    seen.refresh()
    expect(page.locator("#page .list.line > li")).to_have_count(10)
    expect(page.locator("#page")).to_contain_text(f"{HOSTILE} started")


def test_from_a_vm_to_the_difference_of_its_xml_and_back_to_all_its_changes(
    seen: Watched,
) -> None:
    page = seen.go(DOMAIN)
    panel = page.locator("#changes")
    expect(panel.locator("li")).to_have_count(2)
    panel.get_by_role("link", name="XML diff").click()
    expect(page.locator(".diff .add")).to_have_count(1)
    expect(page.locator(".diff .add .code")).to_have_text("  <memory>2</memory>")
    expect(page.locator(".diff .del .code")).to_have_text("  <memory>1</memory>")
    page.get_by_role("link", name="All its changes").click()
    expect(page.locator(".list.line > li")).to_have_count(2)
    page.locator("#of-one").click()
    expect(page.locator(".list.line > li")).to_have_count(8)


def test_without_script_the_filters_work_by_a_button(chromium: Browser, web: Web) -> None:
    with watched(chromium, web.app, script=False) as seen:
        page = seen.go("/changes")
        page.locator("#host").select_option("kvm-02")
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.locator(".list.line > li")).to_have_count(1)
        page.locator("#by-power").click()
        expect(page.get_by_text("No change matches")).to_be_visible()
