"""From `virsh destroy` on a real libvirtd to the changed row in Chromium, and to the store.

The time runs from the start of virsh, whose own time is told as well; the panel scans once a
minute, so that what is seen is what libvirt told.
"""

import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests import chromium
from tests.acting_support import HOST, Acting, acting

ROUNDS = 20
NAME = "web-01"
# Notes when the row first holds the text, by the wall clock.
_WATCH = """([selector, text]) => {
  window.seenAt = null;
  const look = () => {
    const row = document.querySelector(selector);
    if (window.seenAt === null && row?.textContent.includes(text)) window.seenAt = Date.now();
  };
  new MutationObserver(look)
    .observe(document.body, {subtree: true, childList: true, characterData: true});
}"""

_SEEN = """() => new Promise(resolve => {
  const asked = setInterval(() => {
    if (window.seenAt === null) return;
    clearInterval(asked);
    resolve(window.seenAt);
  }, 20);
})"""


def run() -> Iterator[str]:
    """The figures, a line each."""
    with (
        tempfile.TemporaryDirectory() as text,
        acting(Path(text) / "var", seconds="60") as acted,
        sync_playwright() as playwright,
    ):
        yield _to_the_store(acted)
        browser = chromium.start(playwright, whole=True)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        acted.panel.sign_in(page)
        yield from _to_the_row(acted, page)
        browser.close()


def _to_the_store(acted: Acting) -> str:
    """By way of the API, which is asked again and again."""
    uuid = acted.running(NAME)["uuid"]
    address = f"{acted.panel.url}/api/v1/hosts/{HOST}/domains/{uuid}"
    asked = urllib.request.Request(
        address, headers={"Authorization": f"Bearer {acted.panel.token}"}
    )
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        acted.host.virsh("destroy", NAME)
        while True:
            with urllib.request.urlopen(asked) as answer:
                if json.load(answer)["state"] == "shutoff":
                    break
        times.append(1000 * (time.perf_counter() - begun))
        acted.host.virsh("start", NAME)
        acted.running(NAME)
    return f"virsh destroy to the API: {_said(times)}"


def _to_the_row(acted: Acting, page: Page) -> Iterator[str]:
    uuid = acted.running(NAME)["uuid"]
    page.goto(f"{acted.panel.url}/domains")
    row = f"#vm-{HOST}-{uuid}"
    times, virsh = [], []
    for _ in range(ROUNDS):
        page.locator(row, has_text="Running").wait_for(timeout=90_000)
        page.evaluate(_WATCH, [row, "Shut off"])
        begun = time.time()
        acted.host.virsh("destroy", NAME)
        virsh.append(1000 * (time.time() - begun))
        times.append(page.evaluate(_SEEN) - 1000 * begun)
        acted.host.virsh("start", NAME)
    yield f"virsh destroy to the changed row: {_said(times)} (p95 at most 500)"
    yield f"of which virsh itself took: {_said(virsh)}"


def _said(times: list[float]) -> str:
    ordered = sorted(times)
    p95 = ordered[int(len(ordered) * 0.95) - 1]
    return f"median {statistics.median(times):.0f} ms, p95 {p95:.0f} ms of {len(times)}"
