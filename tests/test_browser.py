"""The web shell in a real browser: the policy holds, a refresh loses nothing, works scriptless."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, expect

from app.clock import now_ms
from app.notification.checks import NAME_MAX, check_quiet
from app.notification.values import RuleKind
from app.notifier.notifier import Notifier
from app.notifier.sending import Sender
from app.store.hosts import get_host
from app.store.notification_log import messages
from app.store.notification_rules import RuleDraft, add_rule
from app.store.notification_targets import WebhookSecret, add_target, new_key
from app.store.record import Recorder
from tests.browser_support import Watched, watched
from tests.web_support import INTERVAL_MS, Web, a_scan

PAGES = ("/", "/hosts", "/hosts/kvm-01", "/hosts/kvm-02", "/hosts/kvm-03", "/hosts/add", "/health",
         "/hosts/kvm-01/edit", "/audit", "/notifications", "/notifications/messages",
         "/notifications/rules", "/notifications/rules/add", "/notifications/rules/1/edit",
         "/notifications/targets", "/notifications/targets/add", "/notifications/targets/1/edit",
         "/notifications/targets/2/edit")  # fmt: skip


@pytest.fixture
def seen(chromium: Browser, web: Web) -> Iterator[Watched]:
    with watched(chromium, web.app) as made:
        yield made
        assert made.errors == []


def rescan(web: Web, slug: str = "kvm-01", **changes: object) -> None:
    """One more scan of a host, by now, with some values changed."""
    record = get_host(web.store, slug)
    scan = a_scan(record, now_ms())
    Recorder(web.store, record, INTERVAL_MS).record(replace(scan, **changes))


def notify(web: Web) -> None:
    """Rules that found something, and targets: one that does not take it, and one of mail."""
    name = "W" * NAME_MAX
    hook = WebhookSecret("http://127.0.0.1:1/", new_key())
    add_target(web.store, web.settings.data, name, "webhook", "http://127.0.0.1:1", "ada",
               secret=hook)  # fmt: skip
    add_target(web.store, web.settings.data, "post", "mail", "ops@npvirt.test", "ada")
    quiet = check_quiet("22:00", "06:00", "Europe/Berlin", "digest")
    kinds: tuple[tuple[RuleKind, int | None], ...] = (("pool-full", 40), ("domain-crashed", None))
    for kind, threshold in kinds:
        add_rule(web.store, RuleDraft(f"{kind} {name}"[:NAME_MAX], kind, "critical", threshold,
                 target_ids=(1,)), "ada")  # fmt: skip
    add_rule(web.store, RuleDraft("quiet", "change", quiet=quiet, note="x" * 200), "ada")
    notifier = Notifier(web.settings, web.store, Sender(web.settings, web.store, between_s=0))
    notifier.turn()
    assert notifier.sender.wait(30)
    notifier.stop()
    assert messages(web.store, limit=1)[0][0].state == "waiting"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_no_page_violates_the_policy_or_overflows(
    chromium: Browser, web: Web, width: int, dark: bool
) -> None:
    notify(web)
    with watched(chromium, web.app, width=width, dark=dark) as seen:
        for address in PAGES:
            page = seen.go(address)
            page.wait_for_load_state("load")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
            assert page.evaluate("document.querySelectorAll('[style]:not(.plot *)').length") == 0
            assert seen.errors == [], address


def test_icons_and_meters_are_really_drawn(seen: Watched) -> None:
    page = seen.go("/")
    icon = page.locator(".nav .i use").first
    assert page.locator("#host-kvm-01 .i").first.bounding_box() is not None
    assert (icon.get_attribute("href") or "").startswith("/static/icons.svg?v=")
    widths = page.evaluate(
        "['.meter rect', '.meter'].map(name => document.querySelector("
        "'#host-kvm-01 .cpu ' + name).getBoundingClientRect().width)"
    )
    assert 0.24 < widths[0] / widths[1] < 0.26


def test_a_refresh_keeps_focus_open_details_and_scroll(web: Web, seen: Watched) -> None:
    page = seen.go("/hosts/kvm-01")
    page.locator("#dmi-memory > summary").click()
    page.locator("#dmi-memory > summary").focus()
    page.evaluate("scrollTo(0, 300)")
    page.evaluate("window.kept = document.querySelector('#dmi-memory')")
    rescan(web, took_ms=7_700)
    seen.refresh()
    expect(page.get_by_text("Good scan, 7.7 s")).to_be_visible()
    assert page.evaluate("document.querySelector('#dmi-memory').open")
    assert page.evaluate("kept === document.querySelector('#dmi-memory')")
    assert page.evaluate(
        "document.activeElement === document.querySelector('#dmi-memory > summary')"
    )
    assert page.evaluate("scrollY") == 300


def test_the_page_asks_by_itself_and_gets_nothing_while_nothing_changed(
    chromium: Browser, asking_web: Web
) -> None:
    with watched(chromium, asking_web.app) as seen:
        seen.page.clock.install()
        seen.go("/hosts")
        assert _next_poll(seen) == 204
        rescan(asking_web)
        assert _next_poll(seen) == 200
        assert _next_poll(seen) == 204
        assert seen.errors == []


def _next_poll(seen: Watched) -> int:
    """The status that the list's next poll is answered with, five seconds later."""
    with seen.page.expect_response(lambda answer: "/ui/hosts" in answer.url) as polled:
        seen.page.clock.run_for(5_000)
    polled.value.finished()
    seen.page.clock.run_for(200)
    return polled.value.status


def test_an_open_menu_is_left_alone_by_the_clock(chromium: Browser, asking_web: Web) -> None:
    with watched(chromium, asking_web.app) as seen:
        seen.page.clock.install()
        page = seen.go("/hosts/kvm-01")
        page.locator("#host-menu-button").click()
        expect(page.locator("#host-menu")).to_be_visible()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        rescan(asking_web)
        page.clock.run_for(20_000)
        assert not [url for url in asked if "/ui/hosts/" in url]
        expect(page.locator("#host-menu")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#host-menu")).to_be_hidden()
        with page.expect_request(lambda request: "/ui/hosts/" in request.url):
            page.clock.run_for(5_000)
        assert seen.errors == []


def test_menu_items_are_reached_by_arrows_and_removal_asks_first(seen: Watched) -> None:
    page = seen.go("/hosts/kvm-01")
    page.locator("#host-menu-button").press("Enter")
    expect(page.locator("#host-menu > a")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#host-menu .danger")).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.locator("#remove-dialog")
    expect(dialog).to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    dialog.get_by_role("button", name="Remove kvm-01").click()
    page.wait_for_url("**/hosts")
    expect(page.locator("#host-kvm-01")).to_have_count(0)
    expect(page.locator(".toast")).to_contain_text("no longer watched")


def test_ages_are_written_by_the_browser(seen: Watched) -> None:
    page = seen.go("/hosts")
    expect(page.locator("#host-kvm-01 time")).to_contain_text(" s ago")


def test_the_theme_stays_chosen(seen: Watched) -> None:
    page = seen.go("/")
    page.locator("#theme").click()
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 18, 21)"


@pytest.mark.parametrize("script", [True, False])
def test_each_transport_shows_its_own_fields(chromium: Browser, web: Web, script: bool) -> None:
    wanted = {
        "unix": {"socket"},
        "ssh": {"host", "port", "user", "key", "known_hosts", "socket"},
        "tls": {"host", "port", "pki", "sasl"},
        "tcp": {"host", "port", "sasl"},
    }
    with watched(chromium, web.app, script=script) as seen:
        page = seen.go("/hosts/add")
        for transport, fields in wanted.items():
            page.locator(f"[name=transport][value={transport}]").check()
            every = set().union(*wanted.values())
            shown = {name for name in every if page.locator(f"[name={name}]").is_visible()}
            assert shown == fields


def test_the_uri_follows_what_is_typed(seen: Watched) -> None:
    page = seen.go("/hosts/add")
    page.locator("[name=name]").fill("kvm-09")
    page.locator("[name=host]").fill("kvm-09.test")
    page.locator("[name=user]").type("ops")
    expect(page.locator("#f-uri")).to_have_value("qemu+ssh://ops@kvm-09.test/system")


def test_a_wrong_field_is_marked_and_what_was_typed_stays(seen: Watched) -> None:
    page = seen.go("/hosts/add")
    page.locator("[name=name]").fill("Not A Slug")
    page.locator("[name=host]").fill("0x7f.1")
    page.locator("[name=port]").fill("99999")
    page.locator("#test button[value=test]").click()
    expect(page.locator("#name-wrong")).to_be_visible()
    expect(page.locator("#host-wrong")).to_contain_text("number is not a host name")
    expect(page.locator("#port-wrong")).to_be_visible()
    assert page.locator("[name=host]").input_value() == "0x7f.1"
    assert page.locator("[name=port]").get_attribute("aria-invalid") == "true"
    # The browser itself reports an answer of status 422 on its console.
    seen.forgive("422")


def test_a_host_is_added_and_scanned_on_request_without_script(chromium: Browser, web: Web) -> None:
    with watched(chromium, web.app, script=False) as seen:
        page = seen.go("/hosts/add?transport=unix")
        page.locator("[name=name]").fill("local")
        page.get_by_role("button", name="Add anyway").click()
        page.wait_for_url("**/hosts/local")
        expect(page.locator("h1")).to_have_text("local")
        page.goto(seen.base + "/hosts/kvm-01")
        page.get_by_role("button", name="Scan now").click()
        page.wait_for_url("**/hosts/kvm-01")
        expect(page.locator(".toast")).to_contain_text("nothing was asked")


def test_a_button_of_a_part_answers_in_the_corner(seen: Watched) -> None:
    page = seen.go("/hosts/kvm-01")
    page.get_by_role("button", name="Scan now").click()
    expect(page.locator(".toast.stays")).to_contain_text("nothing was asked")
    page.locator(".toast [data-close]").click()
    expect(page.locator("#toasts .toast")).to_have_count(0)
    seen.forgive("409")


def test_the_ribbon_says_when_npvirt_no_longer_answers(chromium: Browser, web: Web) -> None:
    with watched(chromium, web.app) as seen:
        seen.page.clock.install()
        page = seen.go("/hosts")
        page.context.set_offline(True)
        page.clock.run_for(5_000)
        expect(page.locator("body")).to_have_class("offline")
        page.context.set_offline(False)
        page.clock.run_for(5_000)
        expect(page.locator("body")).not_to_have_class("offline")
