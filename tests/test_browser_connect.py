"""The way from an empty form to a watched host, in a real browser and to a real host over SSH."""

import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from app.store.hosts import get_host
from tests.browser_support import wait_for, watched
from tests.lab.host import LabHost
from tests.web_support import Web

_TEST = "#test button[value=test]"


def test_a_host_is_tested_trusted_let_in_added_and_seen(
    chromium: Browser, empty_web: Web, ssh_host: LabHost
) -> None:
    web = empty_web
    allowed = ssh_host.root / "rootssh" / "authorized_keys"
    before = allowed.read_text()
    web.collector.start()
    try:
        with watched(chromium, web.app) as seen:
            page = seen.go("/hosts/add")
            page.set_default_timeout(60_000)
            _fill(page, ssh_host)
            _trust_the_key(page, ssh_host)
            _let_npvirt_in(page, allowed)
            page.get_by_role("button", name="Add host").last.click()
            page.wait_for_url("**/hosts/lab-ssh")
            connected = page.get_by_text("Connected", exact=True)
            expect(connected).to_be_visible(timeout=60_000)
            assert "SMBIOS" in page.inner_text("#hardware")
            assert seen.errors == []
        connection = get_host(web.store, "lab-ssh").connection
        assert (connection.host, connection.user, connection.key) == (ssh_host.ip4, "root", None)
    finally:
        web.collector.stop()
        allowed.write_text(before)


def _fill(page: Page, host: LabHost) -> None:
    page.locator("[name=name]").fill("lab-ssh")
    page.locator("[name=host]").fill(host.ip4)
    page.locator("[name=user]").fill("root")


def _trust_the_key(page: Page, host: LabHost) -> None:
    page.locator(_TEST).click()
    expect(page.locator("#result .note.bad")).to_contain_text("not known yet", timeout=60_000)
    shown = page.locator("#fingerprint").inner_text()
    real = host.run(f"ssh-keygen -lf {host.root}/hostkey.pub")
    assert re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", shown)
    assert shown in real
    page.get_by_role("button", name="They match").click()


def _let_npvirt_in(page: Page, allowed: Path) -> None:
    key = page.locator("#own-key-text")
    expect(key).to_be_visible(timeout=60_000)
    line = key.inner_text().strip()
    assert line.startswith("ssh-ed25519 ")
    with allowed.open("a") as file:
        file.write(f"{line}\n")
    page.locator(_TEST).click()
    connected = page.locator("#result .note.ok")
    expect(connected).to_contain_text("Connected in", timeout=60_000)
    wait_for(page, "document.querySelector('[name=tested]').value !== ''")
