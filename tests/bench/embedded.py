"""How soon npvirt's element shows 50 VMs on somebody else's page in Chromium, and what it loads.

The page is of another origin and its profile is empty, so that script, look and content come over
the wire each time. The time runs from the page's navigation to its first row.
"""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Request, sync_playwright

from app.access import Principal
from app.clock import DAY_MS, now_ms
from app.connection import Connection
from app.store.embed_tokens import create_embed_token
from app.store.engine import Store
from app.store.hosts import add_host
from app.store.record import Recorder
from tests import chromium
from tests.bench.page import served as served_by_gunicorn
from tests.fleet_support import KNOWN_MS, make_scan
from tests.intranet import Intranet, intranet
from tests.web_support import make_web

DOMAINS = 50
ROUNDS = 15
_MOST_MS = 250
_MOST_BYTES = 12_000
# Notes when the first row stands in the element's shadow.
_WATCH = """
window.firstRowMs = new Promise(resolve => {
  const look = () => {
    const row = document.querySelector('npvirt-view')?.shadowRoot?.querySelector('tbody tr');
    if (row) resolve(performance.now()); else setTimeout(look, 1);
  };
  look();
});
"""


def run() -> Iterator[str]:
    """The figures, a line each."""
    with tempfile.TemporaryDirectory() as text:
        data = Path(text) / "var"
        web = make_web(data)
        with intranet() as site, served_by_gunicorn(data) as (_, port):
            base = f"http://127.0.0.1:{port}"
            secret = _fill(web.store, site.origin())
            site.pages["/"] = (
                f'<!doctype html><title>x</title><script src="{base}/embed/npvirt.js" crossorigin '
                f"defer></script>"
                f'<npvirt-view view="domains" token="{secret}"></npvirt-view>'
            )
            with sync_playwright() as playwright:
                browser = chromium.start(playwright, whole=True)
                yield from _looked_at(browser, site)
                browser.close()
        web.store.close()


def _looked_at(browser: Browser, site: Intranet) -> Iterator[str]:
    seen = [_load(browser, site) for _ in range(ROUNDS + 2)][2:]
    times = [took for took, _ in seen]
    yield (
        f"{DOMAINS} VMs in the element, first row: median {statistics.median(times):.0f} ms, most "
        f"{max(times):.0f} ms of {len(times)} (median at most {_MOST_MS})"
    )
    loaded = max(size for _, size in seen)
    yield f"script, look and first content over the wire: {loaded} bytes (at most {_MOST_BYTES})"


def _load(browser: Browser, site: Intranet) -> tuple[float, int]:
    """Milliseconds to the first row, and bytes of bodies that came from npvirt."""
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(_WATCH)
    ended: list[Request] = []
    page.on("requestfinished", lambda request: ended.append(request))
    page.goto(site.origin())
    # A promise is waited for without end; this is not.
    took = float(page.wait_for_function("firstRowMs").json_value())
    page.wait_for_load_state("networkidle")
    sizes = [one.sizes()["responseBodySize"] for one in ended if "/embed/" in one.url]
    context.close()
    return took, sum(sizes)


def _fill(store: Store, origin: str) -> str:
    record = add_host(store, "kvm-01", Connection(transport="ssh", host="kvm-01.test"))
    recorder = Recorder(store, record, KNOWN_MS)
    for seconds in (100_000, 100_060):
        recorder.record(make_scan(0, record, now_ms(), DOMAINS, seconds))
    maker = Principal("command", "bench", "admin")
    return create_embed_token(store, maker, "domains", {}, [origin], now_ms() + DAY_MS)[0]
