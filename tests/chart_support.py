"""Made-up answers of the series API, for looking at charts in a browser: what is drawn from an
answer does not depend on how the store made it.
"""

import json
import math
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, expect

from tests.browser_support import HAS_ASKED, wait_for

STEPS = (60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)


def answer(address: str) -> dict[str, object]:
    """What `/api/v1/series` answers for `address`: waves, with a gap in the middle third."""
    asked = parse_qs(urlsplit(address).query)
    begin, end = int(asked["from"][0]), int(asked["to"][0])
    points = int(asked["points"][0])
    step = next((one for one in STEPS if one * points >= end - begin), STEPS[-1])
    times = list(range(begin // step * step, end, step))
    third = (end - begin) // 12
    gap = (begin + 6 * third, begin + 7 * third)
    series: list[dict[str, Any]] = []
    for place, metric in enumerate(asked["metric"]):
        size = 0.5 if metric.startswith("cpu") else 16e6 if "_" in metric else 20
        if "memory" in metric:
            size = 12 * 2**30
        values: list[float | None] = [
            None
            if gap[0] <= at < gap[1]
            else size * (1 + 0.6 * math.sin(at / 7000 + place)) / (1 + place)
            for at in times
        ]
        low = [None if one is None else one * 0.8 for one in values]
        high = [None if one is None else one * 1.2 for one in values]
        series.append(
            {"metric": metric, "label": metric, "unit": "", "avg": values, "min": low, "max": high}
        )
    fleet: dict[str, object] = {}
    if asked.get("kind") == ["fleet"]:
        # Of the last twelfth one of four hosts tells nothing.
        since = begin + 11 * third
        for one in series:
            one["avg_counted"] = [
                value if value is None or at < since else 0.75 * value
                for at, value in zip(times, one["avg"], strict=True)
            ]
            one["avg"] = [
                None if at >= since else value for at, value in zip(times, one["avg"], strict=True)
            ]
            one["min"] = one["max"] = None
        fleet = {"partial": [[since, end, 3, 4]]}
    return {
        **fleet,
        "t": times, "from": begin, "to": end, "step_seconds": step, "tier": "1m",
        "gaps": [list(gap)], "as_of": None, "series": series,
        **{name: series[0][name] for name in ("avg", "min", "max")},
    }  # fmt: skip


def answers(page: Page) -> list[str]:
    """Have `page` be answered with made-up series; the addresses that it asked for."""
    asked: list[str] = []

    def fulfil(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(
            status=200, body=json.dumps(answer(route.request.url)), content_type="application/json"
        )

    def stacked(route: Route) -> None:
        asked.append(route.request.url)
        body = json.dumps(stack_answer(route.request.url))
        route.fulfill(status=200, body=body, content_type="application/json")

    page.route("**/api/v1/series?*", fulfil)
    page.route("**/api/v1/series/stack?*", stacked)
    return asked


def stack_answer(address: str) -> dict[str, object]:
    """What `/api/v1/series/stack` answers: two VMs and the others."""
    told = answer(address)
    first = told["series"][0]  # type: ignore[index]  # a list, see above
    parts = (("web-1", "11"), ("<b>db</b>", "22"), ("others", "others"))
    series = [{**first, "label": label, "key": key} for label, key in parts]
    return {**told, "series": series}


def settled(page: Page) -> None:
    """Wait until the page is told of changes and has what it asked for since, and every visible
    panel is drawn.
    """
    wait_for(page, f"!stream || (state === 'live' && {HAS_ASKED})")
    expect(page.locator("[data-charts]:not([data-drawn])")).to_have_count(0, timeout=30_000)
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 30)))")


def now_s() -> int:
    """The present."""
    return int(time.time())
