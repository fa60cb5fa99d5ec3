"""Time travel in a real browser: the ribbon is dragged, stepped and typed into, and led back."""

import re
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from app.clock import now_ms, rfc3339
from app.store.history import fleet
from tests.browser_support import Watched, watched
from tests.fleet_support import domain_uuid, make_domain, scan_again
from tests.web_support import Web

GONE = domain_uuid(0, 1)
GROWN = domain_uuid(0, 3)


@pytest.fixture
def travelled(fleet_web: Web) -> Web:
    """A fleet in which a VM was deleted and another one grew just now."""
    here = {domain_uuid(0, n): make_domain(0, n) for n in range(24) if domain_uuid(0, n) != GONE}
    here[GROWN] = replace(here[GROWN], vcpus=6)
    scan_again(fleet_web, 0, 780, domains=here)
    # A look counts from when it was over.
    time.sleep(0.8)
    return fleet_web


@pytest.fixture(params=[1280, 390])
def seen(chromium: Browser, travelled: Web, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """The served fleet, on a desk and on a phone; nothing may go wrong on the way."""
    with watched(chromium, travelled.app, width=request.param) as watching:
        yield watching
        assert watching.errors == []


def before(web: Web) -> str:
    """A moment before the last changes."""
    return rfc3339((fleet(web.store, None).as_of_ms or 0) - 45_000)


def drag(page: Page, share: float, *, drop: bool = True) -> None:
    """Take the knob and bring it to a share of the track."""
    slider = page.locator("#moment")
    box = slider.bounding_box()
    assert box is not None
    low, high, value = (float(slider.evaluate(f"input => input.{name}"))
                        for name in ("min", "max", "value"))  # fmt: skip
    y = box["y"] + 12
    page.mouse.move(box["x"] + 5 + (value - low) / (high - low) * (box["width"] - 10), y)
    page.mouse.down()
    for part in (0.25, 0.5, 0.75, 1.0):
        start = (value - low) / (high - low)
        page.mouse.move(box["x"] + 5 + (start + (share - start) * part) * (box["width"] - 10), y)
    if drop:
        page.mouse.up()


def fits(page: Page) -> bool:
    """Whether nothing makes the page wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_the_ribbon_is_dragged_to_a_moment_and_back_to_live(seen: Watched) -> None:
    page = seen.go("/domains?q=a")
    expect(page.locator("#moment")).to_have_attribute("aria-valuetext", "Live")
    drag(page, 0.5, drop=False)
    expect(page.locator("#bubble")).to_be_visible()
    expect(page.locator("#bubble")).to_have_text(re.compile(r"^[A-Z][a-z]+day \d+ [A-Z][a-z]{2}, "))
    # The page follows before the knob is let go: nothing had been seen half a day ago.
    expect(page.locator("#page")).to_contain_text("Nothing had been seen yet")
    page.mouse.up()
    page.wait_for_url(re.compile(r"/domains\?q=a&at="))
    expect(page.locator("body")).to_have_class("past")
    assert fits(page)
    drag(page, 1.0)
    page.wait_for_url(re.compile(r"/domains\?q=a$"))
    expect(page.locator("body")).not_to_have_class("past")
    expect(page.locator("#page tbody tr").first).to_be_visible()


def test_the_knob_listens_to_the_keys(seen: Watched) -> None:
    page = seen.go("/domains")
    page.locator("#moment").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#bubble")).to_be_visible()
    page.wait_for_url(re.compile(r"/domains\?at="))
    seconds = float(page.locator("#moment").evaluate("input => input.value"))
    assert 840 <= now_ms() / 1000 - seconds <= 1100
    expect(page.locator("#moment")).to_be_focused()


def test_one_steps_from_change_to_change(seen: Watched, travelled: Web) -> None:
    page = seen.go("/domains")
    page.locator("#previous-change").click()
    page.wait_for_url(re.compile("at="))
    last = page.url
    page.keyboard.press("[")
    page.wait_for_url(lambda url: url != last)
    earlier = page.url
    page.keyboard.press("]")
    page.wait_for_url(last)
    assert earlier != last
    # There is none after it; the sign stays and says so.
    expect(page.locator("#next-change")).to_have_attribute("aria-disabled", "true")
    page.locator("#back-to-live").click()
    page.wait_for_url(re.compile(r"/domains$"))


def test_a_time_is_typed(seen: Watched, travelled: Web) -> None:
    page = seen.go("/pools?q=images")
    page.locator("#go-button").click()
    field = page.locator("#go-typed")
    expect(field).to_be_focused()
    field.fill("soon")
    field.press("Enter")
    expect(page.locator("#go-typed-said")).to_contain_text("Write date and time as")
    seen.forgive("422")
    field.fill("2026-05-01 09:30")
    field.press("Enter")
    page.wait_for_url(re.compile(r"/pools\?q=images&at=2026-05-01T09:30:00Z"))
    expect(page.locator(".ribbon .when")).to_contain_text("Friday 1 May 2026, 09:30")
    assert fits(page)


def test_every_row_says_what_became_of_it(seen: Watched, travelled: Web) -> None:
    at = before(travelled)
    page = seen.go(f"/domains?at={at}")
    gone = page.locator(f"#since-kvm-01-{GONE}")
    expect(gone).to_contain_text("Deleted")
    expect(page.locator(f"#since-kvm-01-{GROWN}")).to_contain_text("vCPU 4 → 6")
    expect(page.locator("#since-note")).to_contain_text("2 of 72 VMs differ from now")
    assert fits(page)
    page.locator("#only-changed").click()
    expect(page.locator("#page tbody tr")).to_have_count(2)
    expect(page.locator(f"#since-kvm-01-{GONE}")).to_contain_text("Deleted")
    page.locator("#q").fill("build")
    expect(page.locator("#page tbody tr")).to_have_count(1)
    # The row that a filter brought is told anew.
    expect(page.locator(f"#since-kvm-01-{GROWN}")).to_contain_text("vCPU 4 → 6")
    page.locator("#show-all").click()
    page.wait_for_url(lambda url: "differs" not in url)
    page.goto(f"{seen.base}/hosts/kvm-01/domains/{GONE}?at={at}")
    expect(page.locator("#since-note")).to_contain_text("Deleted")
    assert fits(page)
    page.locator("#back-to-live").click()
    expect(page.locator("main")).to_contain_text("It was last seen")
    seen.forgive("404")
    page.locator("main a", has_text="Look at it then").click()
    expect(page.locator("body")).to_have_class("past")


def test_two_moments_are_compared(seen: Watched, travelled: Web) -> None:
    page = seen.go(f"/compare?at={before(travelled)}")
    expect(page.locator("#page")).to_contain_text("vCPU 4 → 6")
    expect(page.locator("#page")).to_contain_text("1 gone")
    assert fits(page)
    page.locator("#page a", has_text="Swap").click()
    expect(page.locator("#page")).to_contain_text("vCPU 6 → 4")
    expect(page.locator("#page")).to_contain_text("1 new")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_past_is_compared_from_its_own_page(
    chromium: Browser, travelled: Web, width: int
) -> None:
    with watched(chromium, travelled.app, width=width) as seen:
        page = seen.go(f"/domains?at={before(travelled)}")
        link = page.locator("#compare-with")
        expect(link).to_be_visible()
        assert fits(page)
        box = link.bounding_box()
        assert box is not None
        assert box["height"] >= 28
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        link.click()
        page.wait_for_url(re.compile("/compare.at="))
        expect(page.locator("#page")).to_contain_text("vCPU 4 → 6")
        assert seen.errors == []


def test_the_span_stays_from_page_to_page(chromium: Browser, travelled: Web) -> None:
    with watched(chromium, travelled.app) as seen:
        page = seen.go(f"/domains?at={before(travelled)}")
        page.locator(".ribbon .seg a", has_text="6 weeks").click()
        page.wait_for_url(re.compile("span=6w"))
        expect(page.locator(".ribbon .seg [aria-current]")).to_have_text("6 weeks")
        page.locator("#page tbody th a").first.click()
        page.wait_for_url(re.compile(r"/hosts/.*at=.*span=6w"))
        assert seen.errors == []


def test_without_script_the_past_is_there_as_well(chromium: Browser, travelled: Web) -> None:
    with watched(chromium, travelled.app, script=False) as seen:
        page = seen.go("/domains?q=app")
        page.locator("#go-button").click()
        page.locator("#go-typed").fill("tomorrow")
        page.locator("#go-menu button").click()
        expect(page.locator("main")).to_contain_text("Write date and time as")
        page.locator("main #go-typed").fill("2026-05-01")
        page.locator("main button").click()
        page.wait_for_url(re.compile(r"/domains\?q=app&at=2026-05-01T00:00:00Z"))
        page.goto(f"{seen.base}/domains?at={before(travelled)}")
        page.locator("#tell-since").click()
        expect(page.locator(".plain-since")).to_contain_text("Deleted")
        page.locator("#previous-change").click()
        page.wait_for_url(re.compile("at="))
        page.locator("#back-to-live").click()
        page.wait_for_url(re.compile(r"/domains$"))
