"""Charts in a real browser: drawn, hatched, one cursor, zoomed, kept by a refresh, of a moment."""

import json
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, Route, expect

from app.clock import now_ms, rfc3339
from app.store.hosts import get_host
from app.store.record import Recorder
from tests.browser_support import Watched, watched
from tests.chart_support import answer, answers, settled
from tests.web_support import INTERVAL_MS, Web, a_scan

DOMAIN = "/hosts/kvm-01/domains/00000001-0000-4000-8000-000000000002"
POOL = "/hosts/kvm-01/pools/00000001-0000-4000-9000-000000000001"


@pytest.fixture
def seen(chromium: Browser, web: Web) -> Iterator[Watched]:
    with watched(chromium, web.app) as made:
        yield made
        assert made.errors == []


@pytest.fixture
def asked(seen: Watched) -> list[str]:
    """What the page asked the series API for, which answers with made-up waves."""
    return answers(seen.page)


def rescan(web: Web, slug: str = "kvm-01", **changes: object) -> None:
    record = get_host(web.store, slug)
    Recorder(web.store, record, INTERVAL_MS).record(replace(a_scan(record, now_ms()), **changes))


def window(address: str) -> tuple[int, int]:
    query = parse_qs(urlsplit(address).query)
    return int(query["from"][0]), int(query["to"][0])


def coloured(page: Page, chart: str = "cpu", begin: float = 0, end: float = 1) -> int:
    """How many pixels of a chart's canvas, between two parts of its plot's width, are of a strong
    colour, which no axis, no grid and nothing pale is.
    """
    return int(
        page.evaluate(
            """([name, begin, end]) => {
              const canvas = document.querySelector(`#chart-${name} canvas`);
              const plot = document.querySelector(`#chart-${name} .u-over`);
              const { width, height } = canvas;
              const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
              const ratio = width / canvas.clientWidth;
              const [left, whole] = [plot.offsetLeft * ratio, plot.clientWidth * ratio];
              let found = 0;
              for (let at = 0; at < data.length; at += 4) {
                const [low, , high] = [data[at], data[at + 1], data[at + 2]].sort((a, b) => a - b);
                const x = (at / 4 % width - left) / whole;
                if (x < begin || x > end) continue;
                if (data[at + 3] > 200 && high - low > 60) found += 1;
              }
              return found;
            }""",
            [chart, begin, end],
        )
    )


def over(page: Page, chart: str) -> tuple[float, float, float]:
    """Where a chart's plot is: left, width, the middle of its height."""
    page.locator(f"#chart-{chart}").scroll_into_view_if_needed()
    box = page.locator(f"#chart-{chart} .u-over").bounding_box()
    assert box is not None
    return box["x"], box["width"], box["y"] + box["height"] / 2


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_every_page_with_charts_draws_them_within_the_policy(
    chromium: Browser, web: Web, width: int, dark: bool
) -> None:
    with watched(chromium, web.app, width=width, dark=dark) as seen:
        answers(seen.page)
        for address, chart in (
            (DOMAIN, "cpu"), ("/hosts/kvm-01", "memory"), (POOL, "space"),
            ("/", "memory"),
            (f"{DOMAIN}/devices/disk:vda", "operations"),
        ):  # fmt: skip
            page = seen.go(address)
            settled(page)
            assert coloured(page, chart) > 200, address
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
            assert seen.errors == [], address


def test_a_stretch_without_scans_is_hatched_and_breaks_the_curve(
    seen: Watched, asked: list[str]
) -> None:
    page = seen.go(DOMAIN)
    settled(page)
    for chart in ("cpu", "memory", "disk", "network"):
        gap = page.locator(f"#chart-{chart} .gap")
        expect(gap).to_have_count(1)
        left, width, _ = over(page, chart)
        box = gap.bounding_box()
        assert box is not None
        # chart_support leaves the seventh twelfth out.
        assert abs((box["x"] - left) / width - 6 / 12) < 0.02
        assert abs(box["width"] / width - 1 / 12) < 0.02
        assert "gradient" in gap.evaluate("one => getComputedStyle(one).backgroundImage")
    expect(page.locator("#chart-cpu .no-scans")).to_be_visible()
    label = page.locator("#chart-cpu .plot").get_attribute("aria-label") or ""
    assert label.startswith("CPU, Last 24 hours: now ")
    assert "peak 80 % at " in label
    assert "no scans " in label


def test_one_cursor_for_all_charts_with_the_values_in_their_legends(
    seen: Watched, asked: list[str]
) -> None:
    page = seen.go(DOMAIN)
    settled(page)
    other = page.locator("#chart-network [data-metric=net_rx_bytes] b")
    newest = other.inner_text()
    left, width, y = over(page, "cpu")
    page.mouse.move(left + 0.25 * width, y)
    expect(page.locator("#chart-cpu .tip")).to_be_visible()
    expect(other).not_to_have_text(newest)
    first = other.inner_text()
    page.mouse.move(left + 0.4 * width, y)
    expect(other).not_to_have_text(first)
    assert other.inner_text() != newest
    expect(page.locator("#chart-network .tip")).to_be_hidden()
    # In the gap there is no value, and none is made up.
    page.mouse.move(left + 6.5 / 12 * width, y)
    expect(other).to_have_text("–")
    page.mouse.move(left + 0.4 * width, y + 600)
    expect(other).to_have_text(newest)


def test_the_cursor_is_moved_by_keys(seen: Watched, asked: list[str]) -> None:
    page = seen.go(DOMAIN)
    settled(page)
    page.locator("#chart-cpu .plot").focus()
    page.keyboard.press("Home")
    time = page.locator("#chart-cpu .tip time")
    expect(time).to_be_visible()
    before = time.inner_text()
    page.keyboard.press("ArrowRight")
    expect(time).not_to_have_text(before)
    other = page.locator("#chart-disk [data-metric=disk_read_bytes] b").inner_text()
    page.keyboard.press("PageDown")
    expect(page.locator("#chart-disk [data-metric=disk_read_bytes] b")).not_to_have_text(other)
    asked.clear()
    page.keyboard.press("+")
    seen.until(lambda: asked)
    page.wait_for_timeout(200)
    assert len(asked) == 1
    page.keyboard.press("Escape")
    seen.until(lambda: len(asked) > 1)
    assert window(asked[-1])[1] - window(asked[-1])[0] == 86_400


def test_a_drag_zooms_all_charts_into_finer_points(seen: Watched, asked: list[str]) -> None:
    page = seen.go(DOMAIN)
    settled(page)
    whole = window(asked[-1])
    asked.clear()
    left, width, y = over(page, "disk")
    page.mouse.move(left + 0.25 * width, y)
    page.mouse.down()
    page.mouse.move(left + 0.4 * width, y, steps=5)
    page.mouse.up()
    reset = page.locator("#charts-reset")
    expect(reset).to_be_visible()
    seen.until(lambda: asked)
    assert len(asked) == 1
    begin, end = window(asked[0])
    assert abs((begin - whole[0]) / 86_400 - 0.25) < 0.01
    assert abs((end - whole[0]) / 86_400 - 0.4) < 0.01
    expect(page.locator("#charts-said")).not_to_contain_text("every 5 min")
    expect(page.locator("#chart-cpu .gap")).to_have_count(1)
    reset.click()
    expect(reset).to_be_hidden()
    seen.until(lambda: len(asked) > 1)
    assert window(asked[-1])[1] - window(asked[-1])[0] == 86_400
    settled(page)
    page.mouse.move(left + 0.25 * width, y)
    page.mouse.down()
    page.mouse.move(left + 0.4 * width, y, steps=5)
    page.mouse.up()
    expect(reset).to_be_visible()
    page.mouse.dblclick(left + 0.5 * width, y)
    expect(reset).to_be_hidden()


def test_a_range_is_chosen_without_leaving_the_page(seen: Watched, asked: list[str]) -> None:
    page = seen.go(DOMAIN)
    settled(page)
    page.evaluate("window.kept = document.querySelector('#chart-cpu canvas')")
    page.locator("#range-7d").click()
    expect(page.locator("#charts h2")).to_have_text("Last 7 days")
    expect(page.locator("#range-7d")).to_have_attribute("aria-current", "true")
    seen.until(lambda: window(asked[-1])[1] - window(asked[-1])[0] == 604_800)
    assert page.url.endswith(f"{DOMAIN}?range=7d")
    assert page.evaluate("kept === document.querySelector('#chart-cpu canvas')")
    page.reload()
    expect(page.locator("#charts h2")).to_have_text("Last 7 days")


def test_a_refresh_keeps_the_charts_and_brings_new_values(
    web: Web, seen: Watched, asked: list[str]
) -> None:
    page = seen.go(DOMAIN)
    settled(page)
    page.evaluate("window.kept = document.querySelector('#chart-cpu canvas')")
    asked.clear()
    seen.refresh()
    assert asked == []
    rescan(web)
    seen.refresh()
    seen.until(lambda: asked)
    page.wait_for_timeout(200)
    assert len(asked) == 1
    assert page.evaluate("kept === document.querySelector('#chart-cpu canvas')")
    assert coloured(page) > 200
    expect(page.locator("#charts-said")).not_to_be_empty()


def test_charts_of_a_moment_end_there_and_stay(web: Web, seen: Watched, asked: list[str]) -> None:
    at_ms = now_ms() - 30_000
    page = seen.go(f"{DOMAIN}?at={rfc3339(at_ms)}")
    settled(page)
    assert window(asked[-1]) == (at_ms // 1000 - 86_400, at_ms // 1000)
    assert parse_qs(urlsplit(asked[-1]).query)["at"] == [rfc3339(at_ms)]
    asked.clear()
    rescan(web)
    page.evaluate("htmx.trigger(document.body, 'refresh')")
    page.evaluate(
        "document.dispatchEvent(new CustomEvent('htmx:after:swap', { detail: { ctx: {} } }))"
    )
    page.wait_for_timeout(300)
    assert asked == []
    label = page.locator("#chart-cpu .plot").get_attribute("aria-label") or ""
    assert "at the end" in label
    assert "now" not in label


def test_what_is_folded_away_is_asked_for_when_it_is_opened(
    seen: Watched, asked: list[str]
) -> None:
    page = seen.go(DOMAIN)
    settled(page)
    assert "metric=net_rx_drops" not in asked[-1]
    page.locator("#charts-more > summary").click()
    seen.until(lambda: "metric=net_rx_drops" in asked[-1])
    expect(page.locator("#chart-drops canvas")).to_be_visible()
    seen.until(lambda: coloured(page, "drops") > 200)


def test_another_theme_draws_anew_in_its_colours(seen: Watched, asked: list[str]) -> None:
    page = seen.go(DOMAIN)
    settled(page)
    line = "getComputedStyle(document.querySelector('#chart-cpu .legend i')).color"
    before = page.evaluate(line)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    seen.until(lambda: page.evaluate(line) != before)
    seen.until(lambda: coloured(page) > 200)


def test_a_trouble_is_said_and_leaves_what_was_drawn(web: Web, seen: Watched) -> None:
    page = seen.page
    answers(page)
    seen.go(DOMAIN)
    settled(page)
    page.unroute("**/api/v1/series?*")
    page.route("**/api/v1/series?*", lambda route: route.abort())
    rescan(web)
    seen.refresh()
    said = page.locator("#charts-said")
    expect(said).to_contain_text("did not answer")
    assert coloured(page) > 200
    # Nothing else changes any more: it is asked again all the same, not only a minute later.
    page.unroute("**/api/v1/series?*")
    answers(page)
    expect(said).not_to_contain_text("did not answer")
    assert seen.errors
    seen.errors.clear()


def test_on_the_day_when_clocks_go_back_no_hour_is_there_twice(chromium: Browser, web: Web) -> None:
    """25 October 2026 in Berlin has 25 hours; its labels are each there once, in order."""
    web.app.extensions["npvirt-pages"].zone = type(web.app.extensions["npvirt-pages"].zone)(
        "Europe/Berlin"
    )
    with watched(chromium, web.app) as seen:
        page = seen.page
        asked = answers(page)
        page.add_init_script(
            "window.texts = []; const old = CanvasRenderingContext2D.prototype.fillText;"
            "CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {"
            " texts.push(text); return old.call(this, text, ...rest); };"
        )
        seen.go(f"{DOMAIN}?from=2025-10-26+01:00&to=2025-10-26+04:00")
        settled(page)
        texts = page.evaluate("texts.filter(text => /^[0-9]{2}:[0-9]{2}$/.test(text))")
        assert set(texts) == {"02:00", "03:00"}
        assert texts.count("02:00") == texts.count("03:00")
        begin, end = window(asked[-1])
        assert end - begin == 4 * 3600
        assert seen.errors == []


def test_what_happened_is_marked_and_explained_below(
    web: Web, seen: Watched, asked: list[str]
) -> None:
    crashed = a_scan(get_host(web.store, "kvm-01"), 0).domains or {}
    uuid = "00000001-0000-4000-8000-000000000001"
    down = replace(crashed[uuid], state="crashed", state_reason="panicked")
    rescan(web, domains={**crashed, uuid: down})
    page = seen.go(f"/hosts/kvm-01/domains/{uuid}")
    settled(page)
    told = page.locator("#charts-marks [data-mark]")
    expect(told).to_have_count(1)
    expect(told).to_contain_text("crashed · guest panicked")
    expect(told).to_have_class("bad")
    for chart in ("cpu", "memory", "disk", "network"):
        mark = page.locator(f"#chart-{chart} .mark")
        expect(mark).to_have_count(1)
        expect(mark).to_have_text("1")
        left, width, _ = over(page, chart)
        box = mark.bounding_box()
        assert box is not None
        assert (box["x"] - left) / width > 0.99
    # What comes while one looks is marked, too.
    rescan(web)
    seen.refresh()
    page.wait_for_timeout(200)
    expect(page.locator("#chart-cpu .mark")).to_have_count(2)
    # Both are of this minute, so one badge stands for them, as bad as the worse.
    badge = page.locator("#chart-cpu .mark b")
    expect(badge).to_have_text("1–2")
    expect(badge).to_have_class("bad")


def test_who_uses_a_host_is_stacked_by_resource(seen: Watched, asked: list[str]) -> None:
    page = seen.go("/hosts/kvm-01")
    settled(page)
    users = page.locator("#users-cpu")
    expect(users.locator("[data-metric] bdi")).to_have_text(["web-1", "<b>db</b>", "others"])
    link = users.locator(".legend a").nth(1).get_attribute("href")
    assert link == "/hosts/kvm-01/domains/22"
    page.locator("#use-network").click()
    expect(page.locator("#users-net_tx_bytes canvas")).to_be_visible()
    expect(page.locator("#users-cpu")).to_have_count(0)
    assert any("metric=net_rx_bytes" in url for url in asked)
    assert page.url.endswith("/hosts/kvm-01?use=network")
    page.locator("#range-7d").click()
    expect(page.locator("#charts h2")).to_have_text("Last 7 days")
    expect(page.locator("#use-network")).to_have_attribute("aria-current", "true")
    # One cursor over both panels.
    left, width, y = over(page, "cpu")
    page.mouse.move(left + 0.3 * width, y)
    expect(page.locator("#users-net_rx_bytes .u-cursor-x")).to_be_visible()


def test_the_real_answers_are_drawn(web: Web, seen: Watched) -> None:
    """Nothing is made up here: the store's own two scans, an hour with hardly anything in it."""
    page = seen.go("/hosts/kvm-01?range=1h")
    settled(page)
    expect(page.locator("#chart-memory .now")).to_have_text("8 GiB")
    expect(page.locator("#chart-memory .gap")).to_have_count(1)
    assert coloured(page, "memory") > 0
    seen.go("/?range=1h")
    settled(page)
    # The host that does not answer any more may have been seen within the last bucket.
    expect(page.locator("#chart-memory .now")).to_have_text(
        re.compile(r"^(16 GiB 2 of 3 hosts|24 GiB)$")
    )


def test_a_host_that_falls_silent_is_no_fall_of_the_fleet(seen: Watched, asked: list[str]) -> None:
    page = seen.go("/")
    settled(page)
    for chart in ("cpu", "memory", "space", "vms"):
        part = page.locator(f"#chart-{chart} .gap.some")
        expect(part).to_have_count(1)
        expect(part).to_have_text("3 of 4 hosts")
        left, width, y = over(page, chart)
        box = part.bounding_box()
        assert box is not None
        assert abs((box["x"] - left) / width - 11 / 12) < 0.02
        expect(page.locator(f"#chart-{chart} .gap:not(.some)")).to_have_count(1)
    expect(page.locator("#chart-memory .some-hosts")).to_be_visible()
    now = page.locator("#chart-memory .now")
    expect(now).to_have_text(re.compile(r"^[0-9.]+ GiB 3 of 4 hosts$"))
    page.mouse.move(left + 0.96 * width, y)
    tip = page.locator("#chart-vms .tip")
    expect(tip).to_contain_text("3 of 4 hosts")
    expect(tip.locator("b").first).to_have_text(re.compile("[0-9]"))
    page.mouse.move(left + 0.8 * width, y)
    expect(tip).not_to_contain_text("hosts")
    label = page.locator("#chart-memory .plot").get_attribute("aria-label") or ""
    assert "now not known" in label
    assert "only 3 of 4 hosts " in label


def test_the_line_of_the_fleet_is_broken_where_not_all_hosts_were_seen(
    seen: Watched, asked: list[str]
) -> None:
    page = seen.go("/")
    settled(page)
    for chart in ("cpu", "memory", "space", "vms"):
        # What is drawn of some hosts is pale.
        assert coloured(page, chart, 11 / 12 + 0.01) < 10


@pytest.mark.parametrize("width", [1280, 390])
def test_of_what_nothing_was_measured_that_is_said_on_hatched_ground(
    chromium: Browser, web: Web, width: int
) -> None:
    def nothing(route: Route) -> None:
        told = answer(route.request.url)
        for one in told["series"]:  # type: ignore[attr-defined]  # a list, see chart_support
            if one["metric"].startswith("disk"):
                one |= dict.fromkeys(("avg", "min", "max"), [None] * len(told["t"]))  # type: ignore[arg-type]
        route.fulfill(status=200, body=json.dumps(told), content_type="application/json")

    with watched(chromium, web.app, width=width) as seen:
        seen.page.route("**/api/v1/series?*", nothing)
        page = seen.go(DOMAIN)
        settled(page)
        said = page.locator("#chart-disk .nothing")
        expect(said).to_have_text("Nothing was measured in this time.")
        assert "gradient" in said.evaluate("one => getComputedStyle(one).backgroundImage")
        expect(page.locator("#chart-disk canvas")).to_have_count(0)
        expect(page.locator("#chart-disk .now")).to_have_text("–")
        expect(page.locator("#chart-cpu canvas")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.unroute("**/api/v1/series?*")
        answers(page)
        rescan(web)
        seen.refresh()
        expect(page.locator("#chart-disk canvas")).to_have_count(1)
        expect(said).to_have_count(0)
        assert seen.errors == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_times_of_the_table_stay_while_it_is_scrolled(
    chromium: Browser, web: Web, width: int
) -> None:
    with watched(chromium, web.app, width=width) as seen:
        page = seen.go("/series?kind=host&host=kvm-01&range=1h")
        times = page.locator(".series-table tbody tr:last-child th")
        heads = page.locator(".series-table thead th").first
        scroll = page.locator(".scroll:has(.series-table)")
        before = [one.bounding_box() for one in (times, heads)]
        scroll.evaluate("one => { one.scrollLeft = 150; }")
        moved = scroll.evaluate("one => one.scrollLeft")
        assert (moved == 150) is (width == 390)
        assert [one.bounding_box() for one in (times, heads)] == before
        opaque = "one => getComputedStyle(one).backgroundColor"
        assert times.evaluate(opaque) == heads.evaluate(opaque) != "rgba(0, 0, 0, 0)"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert seen.errors == []


def test_a_group_of_the_table_is_named_over_all_of_its_columns(seen: Watched) -> None:
    page = seen.go("/series?kind=host&host=kvm-01&range=1h")
    group = page.locator(".series-table th[scope=colgroup]", has_text="Memory").first
    expect(group).to_have_text("Memory")
    columns = page.locator(".series-table thead tr:last-child th")
    expect(columns.nth(3)).to_have_text("used")
    expect(columns.nth(6)).to_have_text("free")
    whole, first, last = (one.bounding_box() for one in (group, columns.nth(3), columns.nth(6)))
    assert whole is not None
    assert first is not None
    assert last is not None
    assert abs(whole["x"] - first["x"]) < 2
    assert abs(whole["x"] + whole["width"] - last["x"] - last["width"]) < 2
    assert group.evaluate("one => getComputedStyle(one).textAlign") == "center"
    # What a screen reader says of a column comes from these.
    spans = page.locator(".series-table colgroup").evaluate_all("all => all.map(one => one.span)")
    heads = page.locator(".series-table th[scope=colgroup]").evaluate_all(
        "all => all.map(one => one.colSpan)"
    )
    assert spans == [1, *heads]
