"""From a click to the changed row on a real libvirtd in Chromium; what the sign-in check adds."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from app.web.identity import identify
from tests import chromium
from tests.acting_support import HOST, ROOT, Acting, acting
from tests.signing import COOKIE, a_user, bearer, session_cookie
from tests.web_support import Web, fill, make_web

CLICKS = 25
CHECKS = 2_000
# Clicks what `find` gives and answers with the milliseconds until `selector` holds `text`.
_TIMED = """([find, selector, text]) => new Promise(resolve => {
  const begun = performance.now();
  const seen = new MutationObserver(() => {
    const row = document.querySelector(selector);
    if (!row?.textContent.includes(text)) return;
    seen.disconnect();
    resolve(performance.now() - begun);
  });
  seen.observe(document.body, {subtree: true, childList: true, characterData: true});
  [...document.querySelectorAll('[role=menuitem], .acts [role=button]')]
    .find(one => one.textContent.trim().startsWith(find)).click();
})"""


def run() -> Iterator[str]:
    """Medians of clicks, and microseconds of the check."""
    yield from _checks()
    with (
        tempfile.TemporaryDirectory() as text,
        acting(Path(text) / "var", seconds="60") as acted,
        sync_playwright() as playwright,
    ):
        browser = chromium.start(playwright, whole=True)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        acted.panel.sign_in(page)
        yield from _power(acted, page)
        yield _refresh(acted, page)
        browser.close()


def _power(acted: Acting, page: Page) -> Iterator[str]:
    uuid = acted.running("web-01")["uuid"]
    page.goto(f"{acted.panel.url}/domains")
    row = f"#vm-{HOST}-{uuid}"
    times: dict[str, list[float]] = {"Pause": [], "Resume": []}
    for _ in range(CLICKS):
        for label, becomes in (("Pause", "Paused"), ("Resume", "Running")):
            page.locator(f"{row} [data-menu]").click()
            page.locator("#row-menu [role=menuitem]").first.wait_for()
            times[label].append(page.evaluate(_TIMED, [label, row, becomes]))
    for label, found in times.items():
        yield f"{label}, click to changed row: {_said(found)} (at most 300)"


def _refresh(acted: Acting, page: Page) -> str:
    uuid = acted.item("pools", "images")["uuid"]
    page.goto(f"{acted.panel.url}/hosts/{HOST}/pools/{uuid}")
    times = []
    for number in range(CLICKS):
        acted.host.run(f"truncate -s 1M {ROOT}/images/new-{number}.raw")
        times.append(page.evaluate(_TIMED, ["Refresh", "table.volumes", f"new-{number}.raw"]))
        # The message in the corner of the last one must not be in the way.
        page.wait_for_timeout(100)
    return f"Pool refresh, click to the new volume's row: {_said(times)} (at most 300)"


def _checks() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as text:
        web = make_web(Path(text) / "var")
        fill(web.store)
        cookie = f"{COOKIE}={session_cookie(web.app, a_user(web.store))}"
        for name, headers in (("session", {"Cookie": cookie}), ("token", bearer(web.store))):
            times = [_check(web, headers) for _ in range(CHECKS)]
            yield f"Sign-in check by {name}: {_said(times)} (at most 0.5)"
            times = []
            for number in range(CHECKS // 10):
                with web.store.writing() as connection:
                    connection.exec_driver_sql(f"UPDATE host SET created_at_ms = {number}")
                times.append(_check(web, headers))
            yield f"The same after every commit, looked up anew: {_said(times)} (at most 0.5)"
        web.store.close()


def _check(web: Web, headers: dict[str, str]) -> float:
    with web.app.test_request_context("/hosts", headers=headers):
        started = time.perf_counter()
        assert identify() is not None
        return 1000 * (time.perf_counter() - started)


def _said(times: list[float]) -> str:
    ordered = sorted(times)
    p95 = ordered[int(len(ordered) * 0.95)]
    return f"median {statistics.median(times):.3g} ms, p95 {p95:.3g} ms of {len(times)}"
