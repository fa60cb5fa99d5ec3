"""The README's pictures of what npvirt remembers, taken from a made-up fleet:
`python -m tests.demo_pictures [DIRECTORY]`.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

from app.clock import now_ms, rfc3339
from app.demo.plan import Plan
from tests import chromium
from tests.browser_support import served
from tests.demo_support import KEEP, demo_web, make_demo
from tests.signing import COOKIE, a_user, session_cookie

_SIZE = ViewportSize(width=1280, height=900)
_DAYS = 60
_WEEKS_MS = 20 * 86_400_000


def main(target: Path) -> None:
    """Make a fleet of sixty days up, and take its pictures."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        data, plan = Path(directory, "var"), Plan(now_ms(), days=_DAYS)
        make_demo(data, plan, KEEP)
        web = demo_web(data, plan)
        cookie = session_cookie(web.app, a_user(web.store, "demo"))
        primary = web.client.get("/api/v1/domains?q=db-primary").get_json()["items"][0]["url"]
        at = rfc3339((plan.end_ms - _WEEKS_MS) // 60_000 * 60_000)
        with served(web.app) as base, sync_playwright() as playwright:
            browser = chromium.start(playwright)
            context = browser.new_context(viewport=_SIZE, color_scheme="light")
            context.add_cookies([{"name": COOKIE, "value": cookie, "url": base}])
            page = context.new_page()
            for name, address in {
                "charts": primary,
                "time-travel": f"/domains?at={at}",
                "changes": "/changes",
                "compare": f"/compare?at={at}",
                "store": "/store",
            }.items():
                _take(page, base + address, target / f"{name}.png")
            page.emulate_media(color_scheme="dark")
            _take(page, f"{base}{primary}?range=7d", target / "charts-dark.png")
            browser.close()
        web.store.close()


def _take(page: Page, address: str, file: Path) -> None:
    page.goto(address)
    page.wait_for_timeout(1500)
    page.screenshot(path=file)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots"))
