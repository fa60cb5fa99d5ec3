"""Pages that follow what changes, in a real browser: at once over a stream, else by asking."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, Request, Route, expect

from app.clock import now_ms, rfc3339
from app.inventory import Domain
from app.store.hosts import add_host, get_host
from app.store.record import Recorder
from app.web.events import streams_of
from tests.browser_support import HAS_ASKED, Watched, wait_for, watched
from tests.made_once import open_store
from tests.panel import panel
from tests.test_collector import DEMO
from tests.web_support import INTERVAL_MS, Web, a_scan

FIRST = "00000001-0000-4000-8000-000000000001"
SECOND = "00000001-0000-4000-8000-000000000002"
IN_TIME_MS = 20_000
# A part asks no more often than this (app/static/js/live.js).
PACE_S = 0.25
HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.fixture
def seen(chromium: Browser, web: Web) -> Iterator[Watched]:
    with watched(chromium, web.app) as made:
        yield made
        assert made.errors == []


def rescan(web: Web, slug: str = "kvm-01", **domains: dict[str, object]) -> None:
    """One more scan of a host by somebody else, with some values of some domains changed; the
    keys are the last parts of their UUIDs.
    """
    record = get_host(web.store, slug)
    scan = a_scan(record, now_ms())
    assert scan.domains is not None
    changed: dict[str, Domain] = dict(scan.domains)
    for key in scan.domains:
        changed[key] = replace(scan.domains[key], **domains.get(f"vm_{int(key[-4:])}", {}))
    Recorder(web.store, record, INTERVAL_MS).record(replace(scan, domains=changed))


def is_live(page: Page) -> None:
    expect(page.locator("#feed")).to_have_text("live", timeout=IN_TIME_MS)


class Asked:
    """What a page asks of npvirt by itself, but for its stream."""

    def __init__(self, page: Page) -> None:
        self.addresses: list[str] = []
        # Chromium lets its stream go where a lab host gets its cable meanwhile.
        self.disturbed = False
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("requestfailed", self._failed)

    def _failed(self, request: Request) -> None:
        self.disturbed |= "net::ERR_NETWORK_CHANGED" in (request.failure or "")

    def of(self, path: str) -> int:
        """How often it asked for what lies below `path`."""
        return sum(path in address for address in self.addresses)

    def only(self, times: int, path: str) -> bool:
        """Whether it asked so often for what lies below `path`; who lost its stream asks more."""
        return self.of(path) == times or (self.disturbed and self.of(path) > times)


def settled(page: Page) -> None:
    """The page is told of changes, and has asked for what it may have missed while loading: every
    part that does so did, and is answered.
    """
    is_live(page)
    wait_for(page, HAS_ASKED)
    page.wait_for_timeout(100)


def test_a_change_that_somebody_else_made_appears_without_a_reload(web: Web, seen: Watched) -> None:
    page = seen.go("/hosts/kvm-01/domains")
    settled(page)
    row = page.locator(f"tr:has(a[href*='{SECOND}'])").first
    expect(row).to_contain_text("Shut off")
    page.evaluate("window.kept = document.querySelector('#page tbody tr')")
    rescan(web, vm_2={"state": "running", "state_reason": "booted"})
    expect(row).to_contain_text("Running", timeout=IN_TIME_MS)
    assert page.evaluate("kept === document.querySelector('#page tbody tr')")


def test_focus_scroll_selection_and_open_details_are_kept(web: Web, seen: Watched) -> None:
    page = seen.go("/hosts/kvm-01")
    page.locator("#dmi-memory > summary").click()
    page.locator("#dmi-memory > summary").focus()
    page.evaluate("scrollTo(0, 300)")
    settled(page)
    answer = "/ui/hosts/kvm-01"
    with page.expect_response(lambda got: answer in got.url and got.status == 200):
        rescan(web, vm_1={"state": "paused", "state_reason": "user"})
    page.wait_for_timeout(200)
    assert page.evaluate("document.querySelector('#dmi-memory').open")
    assert page.evaluate(
        "document.activeElement === document.querySelector('#dmi-memory > summary')"
    )
    assert page.evaluate("scrollY") == 300


def test_a_region_asks_once_for_what_it_shows_and_not_for_the_rest(web: Web, seen: Watched) -> None:
    page = seen.go("/hosts/kvm-01")
    settled(page)
    hub, asked = web.collector.hub, Asked(page)
    for kind in ("domain", "pool", "network"):
        hub.publish("kvm-02", frozenset((kind,)))
    page.wait_for_timeout(700)
    assert asked.only(0, "/ui/hosts/kvm-01")
    with page.expect_response(lambda got: "/ui/hosts/kvm-01" in got.url) as answered:
        # In one message: of several the last may come long after the first on a busy machine.
        hub.publish("kvm-01", frozenset(("domain", "pool", "network")))
    # Nothing differs, and that is said in no bytes.
    assert answered.value.status == 204
    page.wait_for_timeout(700)
    assert asked.only(1, "/ui/hosts/kvm-01")


def test_a_storm_of_changes_is_few_questions_and_the_last_one_is_seen(
    web: Web, seen: Watched
) -> None:
    page = seen.go("/hosts/kvm-01/domains")
    settled(page)
    asked, begun_s = Asked(page), time.monotonic()
    for turn in range(30):
        state = ("running", "paused")[turn % 2]
        rescan(web, vm_2={"state": state, "state_reason": None})
        web.collector.hub.publish("kvm-01", frozenset(("domain",)))
        page.wait_for_timeout(20)
    rescan(web, vm_2={"state": "pmsuspended", "state_reason": None})
    row = page.locator(f"tr:has(a[href*='{SECOND}'])").first
    expect(row).to_contain_text("Suspended by guest", timeout=IN_TIME_MS)
    # However long that took on a busy machine.
    assert 1 <= asked.of("/ui/domains") <= (time.monotonic() - begun_s) / PACE_S + 2


def test_while_a_page_is_told_it_does_not_ask(seen: Watched) -> None:
    page = seen.go("/hosts")
    settled(page)
    asked = Asked(page)
    page.wait_for_timeout(5_600)
    is_live(page)
    assert asked.only(0, "/ui/hosts")
    assert asked.only(0, "/ui/jobs")


def test_an_open_menu_stays_and_what_changed_comes_after_it(web: Web, seen: Watched) -> None:
    page = seen.go("/hosts/kvm-01")
    settled(page)
    page.click("#host-menu-button")
    rescan(web, vm_1={"state": "paused", "state_reason": "user"})
    asked = Asked(page)
    page.wait_for_timeout(900)
    expect(page.locator("#host-menu")).to_be_visible()
    assert asked.only(0, "/ui/hosts/kvm-01")
    with page.expect_response(lambda got: "/ui/hosts/kvm-01" in got.url and got.status == 200):
        page.keyboard.press("Escape")


def test_a_stream_that_begins_or_ends_leaves_an_open_menu_alone(web: Web, seen: Watched) -> None:
    begins: list[Route] = []
    seen.page.route("**/events", lambda route: begins.append(route))
    page = seen.go("/hosts/kvm-01")
    seen.until(lambda: begins)
    page.click("#host-menu-button")
    expect(page.locator("#host-menu")).to_be_visible()
    asked = Asked(page)
    begins[0].continue_()
    is_live(page)
    page.wait_for_timeout(900)
    assert asked.only(0, "/ui/hosts/kvm-01")
    rescan(web, vm_1={"state": "paused", "state_reason": "user"})
    with page.expect_response(lambda got: "/ui/hosts/kvm-01" in got.url) as answered:
        # Whether npvirt is there at all is asked at once.
        streams_of(web.app).stop()
    answered.value.finished()
    page.wait_for_timeout(300)
    expect(page.locator("#page")).not_to_contain_text("Paused")
    expect(page.locator("#host-menu")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#page")).to_contain_text("Paused")


def test_a_hidden_tab_lets_go_of_its_stream_and_catches_up_on_its_return(
    web: Web, seen: Watched
) -> None:
    page = seen.go("/hosts/kvm-01/domains")
    settled(page)
    streams = streams_of(web.app)
    assert streams.counts().open == 1
    page.evaluate(HIDE, True)
    page.wait_for_timeout(300)
    for _ in range(100):
        if not streams.counts().open:
            break
        page.wait_for_timeout(50)
    assert streams.counts().open == 0
    asked = Asked(page)
    rescan(web, vm_2={"state": "running", "state_reason": "booted"})
    page.wait_for_timeout(5_500)
    assert asked.of("/ui/") == asked.of("/events") == 0
    page.evaluate(HIDE, False)
    row = page.locator(f"tr:has(a[href*='{SECOND}'])").first
    expect(row).to_contain_text("Running", timeout=IN_TIME_MS)
    is_live(page)
    assert streams.counts().open == 1


def test_a_page_that_leaves_leaves_no_stream_behind(web: Web, seen: Watched) -> None:
    for address in ("/", "/hosts", "/pools", "/domains"):
        settled(seen.go(address))
    streams = streams_of(web.app)
    for _ in range(100):
        if streams.counts().open == 1:
            break
        seen.page.wait_for_timeout(50)
    assert streams.counts().open == 1


@pytest.mark.parametrize("width", [1280, 390])
def test_without_a_stream_a_page_asks_and_says_so(
    chromium: Browser, asking_web: Web, width: int
) -> None:
    with watched(chromium, asking_web.app, width=width) as seen:
        page = seen.go("/hosts/kvm-01/domains")
        feed = page.locator("#feed")
        expect(feed).to_have_text("polling every 5 s")
        expect(feed).to_have_attribute("title", re.compile("NPVIRT_STREAMS_TOTAL"))
        row = page.locator(f"tr:has(a[href*='{SECOND}'])").first
        rescan(asking_web, vm_2={"state": "running", "state_reason": "booted"})
        expect(row).to_contain_text("Running", timeout=IN_TIME_MS)
        expect(feed).to_have_text("polling every 5 s")
        feed.scroll_into_view_if_needed()
        expect(feed).to_be_in_viewport()
        expect(page.locator(".toast")).to_have_count(0)
        assert seen.errors == []


def test_a_page_says_since_when_npvirt_does_not_answer_and_is_live_again_when_it_does(
    web: Web, chromium: Browser
) -> None:
    with watched(chromium, web.app, width=390) as seen:
        page = seen.go("/hosts")
        settled(page)
        page.context.set_offline(True)
        streams_of(web.app).stop()
        feed, loud = page.locator("#feed"), page.locator("#unheard")
        expect(feed).to_have_text(re.compile(r"npvirt does not answer since \d\d:\d\d$"))
        expect(loud).to_be_in_viewport()
        expect(page.locator("body")).to_have_class(re.compile("offline"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.context.set_offline(False)
        is_live(page)
        expect(loud).to_be_hidden()
        expect(page.locator("body")).not_to_have_class(re.compile("offline"))


def test_under_an_open_menu_a_page_says_that_npvirt_is_silent_and_that_it_is_there_again(
    web: Web, chromium: Browser
) -> None:
    with watched(chromium, web.app) as seen:
        page = seen.go("/hosts/kvm-01")
        settled(page)
        page.click("#host-menu-button")
        page.evaluate("window.kept = document.querySelector('#host-menu')")
        page.route("**/*", lambda route: route.abort())
        streams_of(web.app).stop()
        expect(page.locator("#feed")).to_contain_text("npvirt does not answer since")
        rescan(web, vm_1={"state": "paused", "state_reason": "user"})
        page.unroute_all()
        is_live(page)
        page.wait_for_timeout(600)
        assert page.evaluate("kept === document.querySelector('#host-menu:popover-open')")
        expect(page.locator("#page")).not_to_contain_text("Paused")
        page.keyboard.press("Escape")
        expect(page.locator("#page")).to_contain_text("Paused")


def test_without_a_stream_a_page_tries_again_also_under_an_open_menu(
    asking_web: Web, chromium: Browser
) -> None:
    with watched(chromium, asking_web.app) as seen:
        page = seen.go("/hosts/kvm-01")
        page.route("**/*", lambda route: route.abort())
        feed = page.locator("#feed")
        expect(feed).to_contain_text("npvirt does not answer since")
        page.click("#host-menu-button")
        page.unroute_all()
        expect(feed).to_have_text("polling every 5 s")
        expect(page.locator("#host-menu")).to_be_visible()


def test_the_past_opens_no_stream_and_never_asks(web: Web, chromium: Browser) -> None:
    with watched(chromium, web.app) as seen:
        asked = Asked(seen.page)
        page = seen.go(f"/hosts/kvm-01/domains?at={rfc3339(now_ms() - 30_000)}")
        page.wait_for_load_state("networkidle")
        assert asked.of("/events") == 0
        asked.addresses.clear()
        rescan(web, vm_2={"state": "running", "state_reason": "booted"})
        page.wait_for_timeout(5_600)
        assert asked.addresses == []
        expect(page.locator("#feed")).to_have_count(0)


def test_one_persons_action_is_on_the_page_of_another(chromium: Browser, tmp_path: Path) -> None:
    data = tmp_path / "var"
    data.mkdir(mode=0o700)
    store = open_store(data / "npvirt.sqlite")
    add_host(store, "demo", DEMO)
    store.close()
    with panel(data) as running:
        running.until(lambda: running.items("domains"))
        address = running.url + running.items("domains")[0]["url"]
        contexts = [chromium.new_context() for _ in range(2)]
        try:
            acting, looking = (context.new_page() for context in contexts)
            for page in (acting, looking):
                running.sign_in(page)
                page.goto(address)
                is_live(page)
            expect(looking.locator(".head .st").first).to_contain_text("Running")
            acting.get_by_role("button", name="Pause").first.click()
            expect(looking.locator(".head .st").first).to_contain_text("Paused", timeout=IN_TIME_MS)
            is_live(looking)
        finally:
            for context in contexts:
                context.close()
