"""The page of the capacity review: what it shows of a made-up fleet, of a past moment, and what it
refuses.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from app.capacity import fitting
from app.capacity.forecast import Forecast, Refusal
from app.capacity.periods import day_text
from app.clock import DAY_MS, rfc3339
from app.demo.plan import Plan
from app.demo.planted import ORPHANS
from app.store.history import fleet
from tests.browser_support import watched
from tests.demo_support import demo_web, look_now
from tests.web_support import Web

pytestmark = pytest.mark.xdist_group("capacity")


@pytest.fixture(scope="module")
def panel(
    demo_data: tuple[Path, Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Web, Plan]]:
    """The web over a copy of the small fleet."""
    data, plan = demo_data
    made = demo_web(shutil.copytree(data, tmp_path_factory.mktemp("page") / "var"), plan)
    look_now(made)
    yield made, plan
    made.store.close()


def test_the_page_says_what_is_full_when_and_what_is_unused(panel: tuple[Web, Plan]) -> None:
    page = unescape(panel[0].text("/capacity"))
    assert "Capacity review" in page
    assert "fast-nvme in 6 days" in page
    for orphan in ORPHANS:
        assert f"{orphan.pool}/{orphan.name}" in page
    assert 'class="b80"' in page
    assert "80 percent range" in page
    assert 'aria-current="page"' in page


def test_it_says_where_vms_fit(panel: tuple[Web, Plan]) -> None:
    page = unescape(panel[0].text("/capacity?vcpus=2&memory_gib=4&disk_gib=20&count=3"))
    assert "of 3 find a place." in page
    assert "Fits. After: CPU" in page
    page = unescape(panel[0].text("/capacity?vcpus=4000&memory_gib=0.5&disk_gib="))
    assert "Does not fit: too many vCPUs would be promised." in page


def test_of_a_past_moment_it_shows_what_was_known_then(panel: tuple[Web, Plan]) -> None:
    web, plan = panel
    then = rfc3339(plan.end_ms - 4 * DAY_MS)
    page = unescape(web.text(f"/capacity?at={then}"))
    assert "fast-nvme in 10 days" in page
    assert f"/hosts/kvm-01?at={then}" in page
    before = unescape(web.text(f"/capacity?at={rfc3339(plan.end_ms - 100 * DAY_MS)}"))
    assert "fast-nvme" not in before


def test_pages_of_pools_say_in_how_many_days_they_are_full(panel: tuple[Web, Plan]) -> None:
    web, plan = panel
    then = f"?at={rfc3339(plan.end_ms - 4 * DAY_MS)}"
    (pool,) = [one for one in fleet(web.store, None).pools if one.fact.name == "fast-nvme"]
    address = f"/hosts/{pool.host}/pools/{pool.key}"
    for page in ("/", "/pools", address):
        assert ">in 6 days" in web.text(page), page
        assert ">in 10 days" in web.text(f"{page}{then}"), page
    day = rfc3339(plan.end_ms + 6 * DAY_MS)[:8]
    assert f'<span class="sub">{day}' in web.text(address)
    early = f"{address}?at={rfc3339(plan.end_ms - 20 * DAY_MS)}"
    assert '– <span class="sub">history is too short' in web.text(early)


def test_every_group_of_growth_and_every_chart_is_shown(panel: tuple[Web, Plan]) -> None:
    web, _ = panel
    for query in ("by=host", "by=pool", "by=owner", "of=1", "of=4", "from=2001-01-01"):
        assert web.client.get(f"/ui/capacity?{query}").status_code == 200, query
    assert "More days were asked for" in web.text("/capacity?from=2001-01-01")


def test_two_periods_stand_side_by_side(panel: tuple[Web, Plan]) -> None:
    web, plan = panel
    # As of the last moment that was measured: midnight may have passed since.
    at, today = f"at={rfc3339(plan.end_ms)}", plan.end_ms // DAY_MS
    page = unescape(web.text(f"/capacity?{at}&from={day_text(today - 6)}"))
    assert "Give the days of another period" in page
    (before,) = re.findall(r'href="(/capacity[^"]+)#comparison">the days before', page)
    page = unescape(web.text(f"{before}&by=pool"))
    assert (
        f"First: {day_text(today - 13)} – {day_text(today - 7)}. "
        f"Second: {day_text(today - 6)} – {day_text(today)}."
    ) in page
    assert "kvm-02/fast-nvme" in page.partition('id="comparison"')[2]
    assert "table=comparison" in page
    page = web.text(f"/capacity?{at}&compare_from=2001-01-01&compare_to={day_text(today)}")
    assert "the first period is told as far as it was seen" in page
    assert "They are not of the same length" not in page
    other = f"{at}&compare_from={day_text(today - 4)}&compare_to={day_text(today)}"
    page = web.text(f"/capacity?from={day_text(today - 3)}&{other}")
    assert "They are not of the same length" in page


@pytest.mark.parametrize(
    "query", ["compare_from=2999-01-01", "of=99999", "of=x", "memory_gib=much&vcpus=1",
              "disk_gib=nan&vcpus=1", "by=moon", "memory_bytes=1", "from=1&to=2"],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(panel: tuple[Web, Plan], query: str) -> None:
    assert panel[0].client.get(f"/capacity?{query}").status_code == 422


def test_what_changes_with_the_days_alone_is_judged_once(
    panel: tuple[Web, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    web, plan = panel
    then = rfc3339(plan.end_ms - DAY_MS)
    known = web.text(f"/api/v1/capacity?at={then}")
    fitted: list[object] = []
    make = fitting._made

    def noted(asked: Sequence[fitting.Asked]) -> dict[fitting.Asked, Forecast | Refusal]:
        fitted.extend(asked)
        return make(asked)

    monkeypatch.setattr(fitting, "_made", noted)
    # Somebody signed in: what was drawn is made anew.
    web.sign_in("eve", "viewer")
    assert web.text(f"/api/v1/capacity?at={then}") == known
    web.text(f"/capacity?at={then}&of=2")
    assert fitted == []
    web.text(f"/api/v1/capacity?at={rfc3339(plan.end_ms - 5 * DAY_MS)}")
    assert fitted != []
    web.sign_in()


_CUT = """() => [...document.querySelectorAll('.scroll')]
  .filter(one => one.scrollWidth > one.clientWidth + 1)
  .map(one => one.querySelector('caption').textContent)"""
_HIDDEN = """() => [...document.querySelectorAll('thead th:not(.acts-cell)')]
  .filter(one => getComputedStyle(one).display === 'none').map(one => one.textContent)"""
_SHOWN = """() => [...document.querySelectorAll('header.top, .ribbon, .btn, .acts-cell, .end a')]
  .filter(one => one.checkVisibility()).map(one => one.outerHTML)"""


# What A4 and Letter leave between their margins, in CSS pixels.
@pytest.mark.parametrize("width", [703, 725])
def test_on_paper_every_table_is_whole_and_nothing_is_to_be_pressed(
    panel: tuple[Web, Plan], chromium: Browser, width: int
) -> None:
    with watched(chromium, panel[0].app, width=width, dark=True) as seen:
        page = seen.go("/capacity?vcpus=2&memory_gib=4&disk_gib=20&by=pool")
        assert page.evaluate(_SHOWN)
        page.emulate_media(media="print")
        assert page.evaluate(_SHOWN) == []
        assert page.evaluate(_HIDDEN) == []
        assert page.evaluate(_CUT) == []
        expect(page.get_by_text("As npvirt knew it on")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )


def test_without_hosts_it_says_so(empty_web: Web) -> None:
    page = empty_web.text("/capacity")
    assert "/hosts/add" in page
    assert "Overcommit" not in page
