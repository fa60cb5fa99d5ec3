"""The pictures of the README, taken from the lab: `python -m tests.lab.screenshots [DIRECTORY]`."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import ViewportSize, sync_playwright

from tests import chromium
from tests.lab.fleet import Member, fleet, register
from tests.panel import Panel, panel

_SIZE = ViewportSize(width=1280, height=860)


def main(target: Path) -> None:
    """Start the lab and a panel, and take a picture of every page."""
    target.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        fleet() as members,
        panel(
            Path(data, "var"),
            prepare=lambda environ: register(members, environ),
            NPVIRT_SCAN_SECONDS="3",
        ) as running,
    ):
        running.until(lambda: _settled(running), seconds=120)
        with sync_playwright() as playwright:
            browser = chromium.start(playwright)
            page = browser.new_page(viewport=_SIZE, color_scheme="light")
            running.sign_in(page)
            for name, address in _pages(running).items():
                _take(page, running.url + address, target / f"{name}.png")
            _take_unknown(page, running, members, target)
            page.emulate_media(color_scheme="dark")
            _take(page, running.url + "/domains", target / "domains-dark.png")
            browser.close()


def _settled(running: Panel) -> bool:
    items = running.items("domains")
    talking = [item for item in items if item["name"] == "talking"]
    return len(items) == 15 and bool(talking) and bool(talking[0]["guest"])


def _pages(running: Panel) -> dict[str, str]:
    domains = {item["name"]: item["url"] for item in running.items("domains")}
    pools = {(p["host"], p["name"]): p["uuid"] for p in running.items("pools")}
    return {
        "overview": "/",
        "hosts": "/hosts",
        "host": "/hosts/kvm-01",
        "domains": "/domains",
        "domain": domains["talking"],
        "pools": "/pools",
        "pool": f"/hosts/kvm-01/pools/{pools[('kvm-01', 'images')]}",
        "networks": "/networks",
        "add-host": "/hosts/add",
        "audit": "/audit",
        "help": "/help",
    }


def _take(page: Any, address: str, file: Path) -> None:
    page.goto(address)
    page.wait_for_timeout(800)
    page.screenshot(path=file, full_page=True)


def _take_unknown(page: Any, running: Panel, members: list[Member], target: Path) -> None:
    members[2].host.stop_libvirtd()
    running.until(lambda: not running.get("/api/v1/domains")["scans"]["kvm-03"]["ok"])
    _take(page, running.url + "/hosts/kvm-03", target / "host-unknown.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots"))
