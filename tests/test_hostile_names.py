"""Hostile texts in every field that a real libvirtd lets through, on every page, in Chromium:
nothing is executed, nothing breaks out of its place.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from html import escape
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

import libvirt
import pytest
from playwright.sync_api import Browser, Page

from tests.acting_support import HOST, ROOT, Acting, acting
from tests.browser_support import note_faults
from tests.lab.guest import tiny_guest_xml
from tests.panel import Panel

pytestmark = pytest.mark.xdist_group("lab-hostile")

_RUN = "window.pwned=1"
_MARKUP = [
    f"<script>{_RUN}</script>", f"</title><script>{_RUN}</script>", f"<img src=x onerror={_RUN}>",
    f"<svg onload={_RUN}>", f"<svg><script>{_RUN}</script></svg>", f"<body onload={_RUN}>",
    f"<iframe srcdoc='<script>parent.{_RUN}</script>'>", f"<details open ontoggle={_RUN}>",
    f"<input autofocus onfocus={_RUN}>", f"<video><source onerror={_RUN}>",
    f"<math><mtext><style><img src onerror={_RUN}>", f"<a href=javascript:{_RUN}>x</a>",
    f"<form action=javascript:{_RUN}><button>x", "<base href=//evil.test/>",
    "<meta http-equiv=refresh content=0>", "<link rel=stylesheet href=//evil.test/x>",
    "<style>*{display:none}</style>", "<plaintext>", "<xmp>", "<!--", "-->", "<![CDATA[", "]]>",
    "<template>", "</template>", "<noscript>", "</table></main></body></html>", "<dialog open>x",
    "<div popover id=row-menu>", "<marquee>x</marquee>", "<object data=//evil.test>",
]  # fmt: skip
_ATTRIBUTES = [
    f'" onmouseover="{_RUN}', f"' onmouseover='{_RUN}", f'"><script>{_RUN}</script>',
    f"'><script>{_RUN}</script>", f"` onmouseover={_RUN} `", f'" autofocus onfocus="{_RUN}" x="',
    '" style="position:fixed;inset:0', "x' hx-get='/logout' hx-trigger='load", '" hx-on:load="x',
    f'" hx-on--load="{_RUN}', '" data-hx-get="/x', f'\\" onload=\\"{_RUN}', "&quot; onload=&quot;",
    "&#34;&#39;&lt;", "&lt;script&gt;", "&amp;lt;b&amp;gt;", "&notit;", "&#x3c;script&#x3e;",
]  # fmt: skip
_SCRIPTS = [
    f"';{_RUN}//", f'";{_RUN}//', f"\\';{_RUN}//", f"</script><script>{_RUN}</script>",
    f"${{{_RUN}}}", "{{7*7}}", "{% include 'x' %}", "{# x #}", "#{7*7}", "<%= 7*7 %>", "[[x]]",
    f"javascript:{_RUN}", f"data:text/html,<script>{_RUN}</script>", "vbscript:x", "__proto__",
    "constructor", "toString", "null", "undefined", "NaN", "true", "0", "-1", "1e309", "%s%n%x",
    "%00", "%3Cscript%3E", "\\u003cscript\\u003e", "\\x3cscript\\x3e", "'; DROP TABLE domain; --",
    "1 OR 1=1", "$(reboot)", "`reboot`", "; reboot", "| reboot", "=1+1", "+1", "@SUM(1)",
    "=HYPERLINK(\"x\")",
]  # fmt: skip
_LETTERS = [
    "\u202eevil", "\u202dabc", "\u2066\u2067\u2068", "\u200f\u200e", "\u061c", "\ufeffx",
    "a\u0300" * 60, "\u0e49" * 80, "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢", "👩‍👩‍👧‍👦" * 10, "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "𒀱𒈙﷽" * 5, "ﷺ" * 20,
    "ا" * 100, "日本語" * 30, "\u200b" * 50, "\u00ad" * 50, "x" * 200, "W" * 200, "i " * 90,
    "a-" * 90, "\u2028\u2029", "\u0085", "\u00a0" * 20, " lead", "trail ", "ı İ ß ſ", "\U000e0001",
    "..", ".", "~", "#", "?", "?at=0", "#x", "a&b=c", "a;b", "\\", "//evil.test", "*", "con", "-rf",
]  # fmt: skip
TEXTS = list(dict.fromkeys(_MARKUP + _ATTRIBUTES + _SCRIPTS + _LETTERS))


def test_there_are_more_than_a_hundred() -> None:
    assert len(TEXTS) >= 100


@pytest.fixture(scope="module")
def acted(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acting]:
    with acting(tmp_path_factory.mktemp("panel") / "var") as made:
        counts = _spread(made)
        assert counts["domain"] >= 100, counts
        assert counts["volume"] >= 100, counts
        assert counts["pool"] >= 80, counts
        assert counts["network"] >= 80, counts
        made.host.virsh("pool-refresh", "images")
        made.panel.until(lambda: len(made.panel.items("domains")) >= counts["domain"])
        made.panel.until(lambda: len(made.panel.items("volumes")) >= counts["volume"])
        yield made


def _uuid(kind: str, number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"{kind}/{number}"))


def _spread(made: Acting) -> dict[str, int]:
    """Put each text wherever libvirt takes it; how many objects of each kind there are."""
    # What libvirt refuses it would print.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    connection = libvirt.open(made.host.uri)
    found: Counter[str] = Counter()
    try:
        for number, text in enumerate(TEXTS):
            _define(connection, found, number, text)
        domain = connection.lookupByUUIDString(_uuid("domain", 0))
        for text in TEXTS:
            xml = (
                f"<domainsnapshot><name>{_name(text)}</name>"
                f"<description>{escape(text)}</description></domainsnapshot>"
            )
            redefine = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
            found["snapshot"] += _taken(domain.snapshotCreateXML, xml, redefine)
    finally:
        connection.close()
    images = made.host.root / "lib/images"
    for text in set(TEXTS) - {".", ".."}:
        (images / text.replace("/", "∕")[:60]).write_bytes(b"x")
    found["volume"] = len(list(images.iterdir()))
    return found


def _define(connection: libvirt.virConnect, found: Counter[str], number: int, text: str) -> None:
    name = _name(text)
    found["domain"] += _taken(connection.defineXML, _domain_xml(number, name, escape(text)))
    found["pool"] += _taken(
        connection.storagePoolDefineXML,
        f"<pool type='dir'><name>{name}</name><uuid>{_uuid('pool', number)}</uuid>"
        f"<target><path>{ROOT}/p{number}</path></target></pool>",
    )
    found["network"] += _taken(
        connection.networkDefineXML,
        f"<network><name>{name}</name><uuid>{_uuid('network', number)}</uuid>"
        f"<bridge name='hb{number}'/></network>",
    )


def _name(text: str) -> str:
    return escape(text.replace("/", "∕"))


def _taken(define: Callable[..., object], xml: str, *flags: int) -> bool:
    """Whether libvirt took it."""
    try:
        define(xml, *flags)
    except libvirt.libvirtError:
        return False
    return True


def _domain_xml(number: int, name: str, text: str) -> str:
    """A VM whose name libvirt may refuse; then its title and description carry the text alone."""
    fits = name.strip() and name.strip() not in (".", "..") and len(name) < 120
    return tiny_guest_xml(
        f"{name}{number}" if fits else f"vm-{number}",
        _uuid("domain", number),
        title=text.replace("\n", " "),
        description=f"{text}\n{text}",
        vnc=False,
        network="",
    )


class Looking:
    """A page that tells what was executed on it and what broke out of it."""

    def __init__(self, page: Page, panel: Panel) -> None:
        self.page, self.panel, self.trouble = page, panel, list[str]()
        note_faults(page, self.trouble.append)
        page.on("dialog", lambda dialog: self.trouble.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: self._asked(asked.url))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.panel.url, "data:", "about:")):
            self.trouble.append(f"asked for {url}")

    def at(self, address: str) -> None:
        answer = self.page.goto(self.panel.url + address)
        assert answer is not None
        assert answer.status == 200, address
        self.check(address)

    def check(self, what: str) -> None:
        assert not self.page.evaluate("'pwned' in window"), what
        wide = self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide[0] <= wide[1], (what, wide)
        assert self.page.locator("main h1").count() == 1, what
        assert self.page.locator("header").count() >= 1, what
        assert self.trouble == [], (what, self.trouble)


@pytest.fixture(params=[1280, 390])
def looking(request: Any, acted: Acting, chromium: Browser) -> Iterator[Looking]:
    context = chromium.new_context(viewport={"width": request.param, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    acted.panel.sign_in(page)
    yield Looking(page, acted.panel)
    context.close()


def test_no_page_executes_or_is_broken_by_any_of_them(acted: Acting, looking: Looking) -> None:
    for address in ("/", "/hosts", f"/hosts/{HOST}", "/domains?per_page=1000", "/pools",
                    "/networks", "/audit", "/changes?per_page=1000", "/help"):  # fmt: skip
        looking.at(address)
    wide = looking.page.viewport_size is not None and looking.page.viewport_size["width"] > 400
    step = 1 if wide else 6
    domains = acted.panel.items("domains")
    assert len(domains) >= 100
    for item in domains[::step]:
        looking.at(item["url"])
    images = acted.item("pools", "images")["uuid"]
    looking.at(f"/hosts/{HOST}/pools/{images}?per_page=1000")
    for item in acted.panel.items("pools")[:: 10 * step]:
        looking.at(item["url"])


def test_no_menu_dialog_or_message_does_either(acted: Acting, looking: Looking) -> None:
    page = looking.page
    for item in acted.panel.items("domains")[::14]:
        base, number = item["url"], item["name"]
        looking.at(base)
        page.locator("#domain-menu-button").click()
        looking.check(f"menu {number}")
        page.get_by_role("menuitem", name="Forget VM…").click()
        page.locator("#dialog h2").wait_for()
        looking.check(f"dialog {number}")
        page.keyboard.press("Escape")
        looking.at(f"{base}/actions/undefine")
    volumes = acted.panel.items("volumes")
    for volume in volumes[::10]:
        looking.at(f"/hosts/{HOST}/volumes/{volume['id']}/actions/delete")
    looking.at("/networks")
    for button in page.locator("[data-menu]").all()[::12]:
        button.click()
        page.locator("#row-menu").wait_for()
        looking.check("a network's menu")
        page.keyboard.press("Escape")


def test_what_is_searched_for_is_text_as_well(looking: Looking) -> None:
    for text in TEXTS[::12]:
        query = quote(text[:100])
        for address in (f"/domains?q={query}", f"/audit?q={query}", f"/networks?q={query}"):
            looking.at(address)


def test_the_audit_shows_who_did_what_to_them(acted: Acting, looking: Looking) -> None:
    for item in acted.panel.items("domains")[::20]:
        acted.post(
            f"domains/{item['uuid']}/actions/autostart",
            {"expect_state": item["state"], "enabled": True},
        )
    looking.at("/audit")
    assert looking.page.locator("tbody tr").count() > 3
