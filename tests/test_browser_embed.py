"""npvirt's views on somebody else's page, in Chromium: the element, fragments for htmx 2 and 4, and
the frame, from another origin, with a live session of npvirt's in the same browser.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.access import Principal
from app.clock import now_ms
from app.errors import StoreError
from app.store.embed_tokens import create_embed_token, held, revoke_embed_token
from app.store.hosts import list_hosts
from app.store.record import Recorder
from app.web.embed import routes
from tests.browser_support import served, wait_for
from tests.embed_support import AWAY_HTMX_2, AWAY_HTMX_4
from tests.intranet import Intranet, Recorded, intranet
from tests.signing import COOKIE, a_user, session_cookie
from tests.web_support import HOSTILE, INTERVAL_MS, Web, a_scan, fill, make_web

_DAY_MS = 86_400_000
_LONG_MS = 30_000
_OWN_STYLE = """<style>
  npvirt-view { --npv-accent: #8a3b1e; --npv-bg: #fffdf8; --npv-fg: #2b2620; --npv-line: #e9e0d2; font-family: Georgia, serif; }
  npvirt-view::part(row) { font-style: italic; }
  .ours table { outline: 3px solid rgb(1, 2, 3); }
</style>"""  # noqa: E501 (a page's own style)


@dataclass
class Site:
    """npvirt with somebody signed in, and pages of another origin in the same browser."""

    web: Web
    base: str
    recorded: Recorded
    intranet: Intranet
    context: BrowserContext

    def token(self, view: str = "domains", frame: bool = True, **filters: str) -> str:
        """A new token for the pages of the intranet, under both its names."""
        maker = Principal("user", a_user(self.web.store, "ada").name, "admin")
        origins = [self.intranet.origin(), self.intranet.origin("127.0.0.1")]
        made = create_embed_token(
            self.web.store, maker, view, {name: [text] for name, text in filters.items()},
            origins, now_ms() + _DAY_MS, "a test", frame=frame,
        )  # fmt: skip
        return made[0]

    def revoke(self, secret: str) -> None:
        """Have that token work no more."""
        found = held(self.web.store, secret)
        assert found is not None
        maker = Principal("user", "ada", "admin")
        revoke_embed_token(self.web.store, found.token.id, maker)

    def show(self, body: str, *, head: str = "", name: str = "localhost") -> "Shown":
        """A page of the intranet with that body, open in the browser."""
        self.intranet.pages["/"] = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Staff</title>{head}'
            f"</head><body><h1>Is it working?</h1>{body}</body></html>"
        )
        self.recorded.requests.clear()
        page = self.context.new_page()
        page.set_default_timeout(_LONG_MS)
        shown = Shown(page, [])
        page.on("pageerror", lambda error: shown.errors.append(str(error)))
        page.on("dialog", lambda dialog: shown.errors.append(dialog.message))
        page.goto(self.intranet.origin(name))
        return shown

    def scan(self, slug: str = "kvm-02", **changed: object) -> None:
        """A further scan of that host, whose second domain is changed."""
        record = next(one for one in list_hosts(self.web.store) if one.slug == slug)
        seen = a_scan(record, now_ms())
        domains = dict(seen.domains or {})
        place = sorted(domains)[1]
        domains[place] = replace(domains[place], **changed)
        Recorder(self.web.store, record, INTERVAL_MS).record(replace(seen, domains=domains))


@dataclass
class Shown:
    """An open page and what went wrong on it."""

    page: Page
    errors: list[str]


@pytest.fixture(scope="module")
def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One panel, one intranet and one browser profile for all tests of this file."""
    web = make_web(tmp_path_factory.mktemp("embed") / "var", NPVIRT_TIMEZONE="UTC")
    fill(web.store)
    recorded = Recorded(web.app)
    with served(web.app) as base, intranet() as pages:
        context = chromium.new_context(viewport={"width": 900, "height": 800})
        cookie = session_cookie(web.app, a_user(web.store))
        context.add_cookies([{"name": COOKIE, "value": cookie, "url": base}])
        yield Site(web, base, recorded, pages, context)
        context.close()
    web.store.close()


@pytest.fixture(autouse=True)
def as_it_was(site: Site) -> Iterator[None]:
    """No page of another test asks any more, and what it changed is as before."""
    site.scan(state="shutoff", state_reason="destroyed")
    yield
    for page in site.context.pages:
        page.close()


def _element(site: Site, token: str, view: str = "domains", more: str = "") -> str:
    return (
        f'<script src="{site.base}/embed/npvirt.js" crossorigin defer></script>'
        f'<npvirt-view view="{view}" token="{token}" refresh="2" {more}></npvirt-view>'
    )


def _htmx(site: Site, token: str, view: str = "domains", more: str = "") -> str:
    return (
        f'<link rel="stylesheet" href="{site.base}/embed/npvirt.css" crossorigin>'
        f'<div class="ours" hx-get="{site.base}/embed/v1/{view}?t={token}" '
        f'hx-trigger="load, every 2s" {more}></div>'
    )


_HTMX_2 = (
    '<meta name="htmx-config" content=\'{"selfRequestsOnly":false,"responseHandling":['
    '{"code":"[23]04","swap":false},{"code":"[24]..","swap":true},'
    '{"code":"...","swap":false,"error":true}]}\'><script src="/htmx2.js" defer></script>'
)
_HTMX_4 = (
    '<meta name="htmx-config" content=\'{"mode":"cors"}\'><script src="/htmx4.js" defer></script>'
)


def _marking() -> str:
    """The script with which a page marks fragments by itself."""
    text = (Path(__file__).parents[1] / "docs" / "embed.md").read_text(encoding="utf-8")
    (script,) = (
        block.partition("```")[0] for block in text.split("```js")[1:] if "data-npv-away" in block
    )
    return script


def _frame(site: Site, token: str, view: str = "domains") -> str:
    return (
        f'<script src="{site.base}/embed/npvirt.js" crossorigin defer></script>'
        f'<iframe title="npvirt" width="100%" height="90" frameborder="0" '
        f'src="{site.base}/embed/v1/{view}?t={token}&amp;as=frame&amp;refresh=2"></iframe>'
    )


# way -> head, body
_WAYS: dict[str, tuple[str, Callable[..., str]]] = {
    "element": ("", _element),
    "htmx2": (_HTMX_2, partial(_htmx, more=AWAY_HTMX_2)),
    "htmx4": (_HTMX_4, partial(_htmx, more=AWAY_HTMX_4)),
    "frame": ("", _frame),
}


def _shown(shown: Shown, way: str) -> Any:
    """Where the view stands on the page; Playwright looks into open shadows by itself."""
    return shown.page.frame_locator("iframe").locator("body") if way == "frame" else shown.page


@pytest.mark.parametrize("way", list(_WAYS))
def test_a_page_of_another_site_shows_live_data_and_sends_no_cookie(site: Site, way: str) -> None:
    head, body = _WAYS[way]
    shown = site.show(body(site, site.token(host="kvm-02")), head=head)
    place = _shown(shown, way)
    row = place.locator("tr", has_text="vm-2-2")
    expect(row).to_contain_text("Shut off", timeout=_LONG_MS)
    site.scan(state="running", state_reason="booted")
    expect(row).to_contain_text("Running", timeout=_LONG_MS)
    asked = site.recorded.views()
    assert len(asked) >= 2
    assert all(one.cookie is None and one.set_cookie is None for one in site.recorded.requests)
    assert not shown.errors


@pytest.mark.parametrize("way", ["element", "htmx2", "htmx4"])
def test_a_page_of_npvirts_own_site_sends_no_cookie_either(site: Site, way: str) -> None:
    """There the browser would send it (the panel's own page shows that it is live)."""
    head, body = _WAYS[way]
    shown = site.show(body(site, site.token()), head=head, name="127.0.0.1")
    expect(shown.page.locator("tr", has_text="vm-1-2")).to_be_visible(timeout=_LONG_MS)
    assert site.recorded.views()
    assert all(one.cookie is None for one in site.recorded.requests)
    shown.page.goto(f"{site.base}/domains")
    expect(shown.page.locator("h1")).to_have_text("Virtual machines")


def test_a_frame_on_the_same_site_is_answered_as_if_nobody_were_signed_in(site: Site) -> None:
    """There the browser sends the cookie by itself; npvirt neither reads nor renews it."""
    shown = site.show(_frame(site, site.token(host="kvm-01")), name="127.0.0.1")
    body = shown.page.frame_locator("iframe").locator("body")
    expect(body.locator("tr", has_text="vm-1-2")).to_be_visible(timeout=_LONG_MS)
    expect(body).not_to_contain_text("vm-2-2")
    assert all(one.set_cookie is None for one in site.recorded.requests)


def test_the_pages_own_style_applies(site: Site) -> None:
    token = site.token()
    shown = site.show(_element(site, token) + _htmx(site, token), head=_OWN_STYLE + _HTMX_2)
    view, page = shown.page.locator("npvirt-view"), shown.page
    row = view.locator("tbody tr").first
    expect(row).to_have_css("font-style", "italic", timeout=_LONG_MS)
    box = view.locator(".npv")
    expect(box).to_have_css("background-color", "rgb(255, 253, 248)")
    expect(box).to_have_css("color", "rgb(43, 38, 32)")
    expect(box).to_have_css("font-family", re.compile("Georgia"))
    expect(view.locator("footer a")).to_have_css("color", "rgb(138, 59, 30)")
    expect(page.locator(".ours table")).to_have_css("outline-color", "rgb(1, 2, 3)")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_is_the_pages_to_choose(site: Site, theme: str) -> None:
    shown = site.show(_element(site, site.token(), more=f'theme="{theme}"'))
    light = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 26, 31)"}[theme]
    box = shown.page.locator("npvirt-view .npv")
    expect(box).to_have_css("background-color", light, timeout=_LONG_MS)


@pytest.mark.parametrize("way", list(_WAYS))
def test_a_revoked_token_shows_its_sentence_in_place_of_the_data(site: Site, way: str) -> None:
    head, body = _WAYS[way]
    token = site.token()
    shown = site.show(body(site, token), head=head)
    place = _shown(shown, way)
    expect(place.locator("tr", has_text="vm-1-2")).to_be_visible(timeout=_LONG_MS)
    site.revoke(token)
    expect(place.locator(".npv-error")).to_contain_text("revoked", timeout=_LONG_MS)
    expect(place.locator("tr", has_text="vm-1-2")).to_have_count(0)


@pytest.mark.parametrize("way", list(_WAYS))
def test_a_wrong_token_shows_its_sentence(site: Site, way: str) -> None:
    head, body = _WAYS[way]
    shown = site.show(body(site, "npe_" + "a" * 32), head=head)
    expect(_shown(shown, way).locator(".npv-error")).to_be_visible(timeout=_LONG_MS)
    assert {one.status for one in site.recorded.views() if one.method == "GET"} == {401}


def test_a_page_that_the_token_is_not_for_is_told_so(site: Site) -> None:
    maker = Principal("user", "ada", "admin")
    secret, _ = create_embed_token(
        site.web.store, maker, "domains", {}, ["https://elsewhere.test"], now_ms() + _DAY_MS
    )
    site.token()
    for name, said in {
        # An origin that some other token names is told why; one that none names has to guess.
        "localhost": "This token is not for pages of this site.",
        "unknown.localhost": f"not answer pages of {site.intranet.origin('unknown.localhost')}",
    }.items():
        shown = site.show(_element(site, secret), name=name)
        view = shown.page.locator("npvirt-view")
        expect(view.get_by_role("status")).to_contain_text(said, timeout=_LONG_MS)
        expect(view.locator("tr")).to_have_count(0)


def test_a_frame_works_without_script(site: Site, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    plain = dataclasses.replace(site, context=context)
    token = plain.token(host="kvm-02")
    page = plain.show(_frame(plain, token)).page
    expect(page.frame_locator("iframe").locator("tr", has_text="vm-2-2")).to_contain_text(
        "Shut off", timeout=_LONG_MS
    )
    # It asks anew by itself; looked at alone, since Playwright's switch that turns scripts off
    # comes too late for some frames of other sites.
    page.goto(f"{site.base}/embed/v1/domains?t={token}&as=frame&refresh=2")
    row = page.locator("tr", has_text="vm-2-2")
    expect(row).to_contain_text("Shut off", timeout=_LONG_MS)
    site.scan(state="paused", state_reason="user")
    expect(row).to_contain_text("Paused", timeout=_LONG_MS)
    context.close()


def test_a_frame_draws_charts_without_script(site: Site, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    plain = dataclasses.replace(site, context=context)
    token = plain.token("chart", kind="host", host="kvm-01", chart="cpu")
    shown = plain.show(_frame(plain, token, "chart"))
    expect(shown.page.frame_locator("iframe").locator("svg.npv-plot")).to_be_visible(
        timeout=_LONG_MS
    )
    context.close()


def test_a_frame_becomes_as_high_as_what_it_shows(site: Site) -> None:
    shown = site.show(_frame(site, site.token()))
    wait_for(shown.page, "document.querySelector('iframe').getBoundingClientRect().height > 200")
    frame = shown.page.frames[1]
    inside = frame.evaluate("document.documentElement.scrollHeight - innerHeight")
    assert inside <= 1


@pytest.mark.parametrize("way", list(_WAYS))
def test_a_hostile_name_is_shown_and_executes_nothing(site: Site, way: str) -> None:
    head, body = _WAYS[way]
    shown = site.show(body(site, site.token(host="kvm-01")), head=head)
    name = _shown(shown, way).locator("tbody th").first
    expect(name).to_contain_text(HOSTILE[:20], timeout=_LONG_MS)
    shown.page.wait_for_timeout(300)
    assert not shown.errors


@pytest.mark.parametrize("way", ["element", "frame"])
def test_what_was_last_seen_stays_while_npvirt_is_away(site: Site, way: str) -> None:
    with served(site.web.app) as base:
        here = dataclasses.replace(site, base=base)
        token = here.token(host="kvm-02")
        shown = here.show(_WAYS[way][1](here, token))
        place = _shown(shown, way)
        row = place.locator("tr", has_text="vm-2-2")
        expect(row).to_contain_text("Shut off", timeout=_LONG_MS)
        said = place.get_by_text("npvirt has not answered since")
        expect(said).to_have_count(0)
    expect(said).to_be_visible(timeout=_LONG_MS)
    expect(row).to_contain_text("Shut off")
    site.scan(state="running", state_reason="booted")
    with served(site.web.app, int(base.rpartition(":")[2])):
        expect(row).to_contain_text("Running", timeout=2 * _LONG_MS)
        expect(said).to_be_hidden()


def test_while_npvirt_is_away_each_reader_is_told_so_in_their_own_way(site: Site) -> None:
    since = r"npvirt has not answered since {}\. This is what it said then\."
    told = {
        "zh-CN": r"npvirt 自 \d+月\d+日 \d\d:\d\d 起无应答。所示为当时的内容。",
        "zh-TW": since.format(r"\d\d-\d\d, \d\d:\d\d"),
        "de": since.format(r"\d+ [A-Z][a-z]+, \d\d:\d\d"),
        "en-US": since.format(r"[A-Z][a-z]+ \d+, \d\d:\d\d"),
        "en": since.format(r"\d+ [A-Z][a-z]+, \d\d:\d\d"),
    }
    with served(site.web.app) as base:
        here = dataclasses.replace(site, base=base)
        token = here.token(host="kvm-02")
        body = "".join(_element(here, token, more=f'lang="{lang}"') for lang in told)
        page = here.show(body).page
        for lang in told:
            view = page.locator(f"npvirt-view[lang={lang}]")
            word = "已关机" if lang == "zh-CN" else "Shut off"
            expect(view.locator("tr", has_text="vm-2-2")).to_contain_text(word, timeout=_LONG_MS)
        # As if no two moments were of one day.
        page.evaluate("window.days = 0; Date.prototype.toDateString = () => `${days++}`")
    for lang, text in told.items():
        note = page.locator(f"npvirt-view[lang={lang}] .npv-away")
        expect(note).to_have_text(re.compile(f"^{text}$"), timeout=_LONG_MS)
        expect(note).to_have_attribute("lang", "zh" if lang == "zh-CN" else "en")
    added = (
        f"const view = document.createElement('npvirt-view'); view.lang = 'zh'; view.id = 'new';"
        f"view.setAttribute('view', 'domains'); view.setAttribute('token', '{token}');"
        "document.body.append(view)"
    )
    page.evaluate(f"() => {{ {added} }}")
    note = page.locator("#new .npv-away")
    expect(note).to_have_text("npvirt 无应答，正在反复重试。", timeout=_LONG_MS)


@pytest.mark.parametrize("way", ["htmx2", "htmx4"])
@pytest.mark.parametrize("by", ["attribute", "script"])
def test_a_fragment_is_marked_while_npvirt_is_away(
    site: Site, way: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, body = _WAYS[way]
    if by == "script":
        # As the reference has it, where no text may become code.
        head, body = f"{head}<script>{_marking()}</script>", _htmx
        policy = "script-src 'self' 'unsafe-inline'"
        monkeypatch.setitem(site.intranet.headers, "Content-Security-Policy", policy)
    with served(site.web.app) as base:
        here = dataclasses.replace(site, base=base)
        token = here.token(host="kvm-02")
        shown = here.show(body(here, token), head=head)
        place = shown.page.locator(".ours")
        row = place.locator("tr", has_text="vm-2-2")
        expect(row).to_contain_text("Shut off", timeout=_LONG_MS)
        expect(place).not_to_have_attribute("data-npv-away", "")
    expect(place).to_have_attribute("data-npv-away", "", timeout=_LONG_MS)
    said = place.evaluate("place => getComputedStyle(place, '::after').content")
    assert said == '"npvirt does not answer. This is what it said last."'
    expect(row).to_contain_text("Shut off")
    site.scan(state="running", state_reason="booted")
    with served(site.web.app, int(base.rpartition(":")[2])):
        expect(row).to_contain_text("Running", timeout=_LONG_MS)
        expect(place).not_to_have_attribute("data-npv-away", "", timeout=_LONG_MS)
        # A refusal is an answer.
        site.revoke(token)
        expect(place).to_contain_text("revoked", timeout=_LONG_MS)
        expect(place).not_to_have_attribute("data-npv-away", "")


@pytest.mark.parametrize("way", ["htmx2", "htmx4"])
def test_a_fragment_keeps_what_it_said_when_npvirt_cannot_read_its_store(
    site: Site, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, body = _WAYS[way]
    shown = site.show(body(site, site.token(host="kvm-02")), head=head)
    place = shown.page.locator(".ours")
    row = place.locator("tr", has_text="vm-2-2")
    expect(row).to_be_visible(timeout=_LONG_MS)

    def broken(*_: Any) -> Any:
        raise StoreError("The store cannot be read.", problem="io")

    monkeypatch.setattr(routes, "drawn", broken)
    expect(place).to_have_attribute("data-npv-away", "", timeout=_LONG_MS)
    assert 503 in {one.status for one in site.recorded.views()}
    expect(row).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_frame_is_light_or_dark_as_its_readers_system(
    site: Site, chromium: Browser, scheme: Literal["light", "dark"]
) -> None:
    context = chromium.new_context(color_scheme=scheme)
    there = dataclasses.replace(site, context=context)
    token = there.token(host="kvm-02")
    backgrounds = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 26, 31)"}
    other = "light" if scheme == "dark" else "dark"
    for more, wanted in (("", scheme), (f"&amp;theme={other}", other)):
        body = _frame(there, token).replace("&amp;refresh", f"{more}&amp;refresh")
        box = there.show(body).page.frame_locator("iframe").locator(".npv").first
        expect(box).to_have_css("background-color", backgrounds[wanted], timeout=_LONG_MS)
    context.close()


def test_what_did_not_change_is_answered_with_304(site: Site) -> None:
    shown = site.show(_element(site, site.token(host="kvm-03")))
    expect(shown.page.locator("npvirt-view tbody tr").first).to_be_visible(timeout=_LONG_MS)
    _until(shown.page, lambda: [one for one in site.recorded.views() if one.status == 304])
    again = next(one for one in site.recorded.views() if one.status == 304)
    assert again.if_none_match
    # Nothing but GET: what the element asks needs no preflight.
    assert {one.method for one in site.recorded.views()} == {"GET"}


def test_views_live_beside_one_another_and_end_with_their_element(site: Site) -> None:
    first, second = site.token(host="kvm-01"), site.token("overview")
    shown = site.show(_element(site, first) + _element(site, second, "overview"))
    page = shown.page
    expect(page.locator("npvirt-view tr", has_text="vm-1-2")).to_be_visible(timeout=_LONG_MS)
    expect(page.locator("npvirt-view .npv-tile").first).to_be_visible(timeout=_LONG_MS)
    page.evaluate("window.gone = document.querySelector('npvirt-view'); gone.remove()")
    asked = sum(first in one.query for one in site.recorded.views())
    others = sum(second in one.query for one in site.recorded.views())
    _until(page, lambda: sum(second in one.query for one in site.recorded.views()) >= others + 3)
    assert sum(first in one.query for one in site.recorded.views()) <= asked + 1
    # Back on the page it goes on, and a further attribute is heeded at once.
    page.evaluate("document.body.append(gone)")
    page.evaluate(f"gone.setAttribute('token', '{site.token(host='kvm-02')}')")
    expect(page.locator("npvirt-view tr", has_text="vm-2-2")).to_be_visible(timeout=_LONG_MS)
    expect(page.locator("npvirt-view tr", has_text="vm-1-2")).to_have_count(0)


def test_a_refresh_keeps_focus_and_scrolling(site: Site) -> None:
    shown = site.show(_element(site, site.token(host="kvm-02")))
    page = shown.page
    link = page.locator("npvirt-view footer a")
    expect(link).to_be_visible(timeout=_LONG_MS)
    link.focus()
    page.evaluate("window.kept = document.activeElement.shadowRoot.activeElement")
    site.scan(state="paused", state_reason="user")
    expect(page.locator("npvirt-view tr", has_text="vm-2-2")).to_contain_text(
        "Paused", timeout=_LONG_MS
    )
    assert page.evaluate("kept === document.activeElement.shadowRoot.activeElement")


def test_nothing_is_left_in_the_pages_own_names(site: Site) -> None:
    shown = site.show("<p>nothing</p>")
    before = set(shown.page.evaluate("Object.getOwnPropertyNames(window)"))
    shown = site.show(_element(site, site.token()))
    expect(shown.page.locator("npvirt-view tr").first).to_be_visible(timeout=_LONG_MS)
    after = set(shown.page.evaluate("Object.getOwnPropertyNames(window)"))
    assert after == before


def test_a_strict_page_needs_to_let_it_in_for_script_and_asking_alone(site: Site) -> None:
    policy = f"default-src 'none'; script-src {site.base}; connect-src {site.base}"
    site.intranet.headers["Content-Security-Policy"] = policy
    try:
        shown = site.show(_element(site, site.token()))
        box = shown.page.locator("npvirt-view .npv")
        expect(box).to_have_css("border-radius", "6px", timeout=_LONG_MS)
    finally:
        site.intranet.headers.clear()


def test_the_past_is_shown_once_and_says_so(site: Site) -> None:
    at = "2020-01-01T00:00:00Z"
    shown = site.show(_element(site, site.token(), more=f'at="{at}"'))
    view = shown.page.locator("npvirt-view")
    expect(view.locator(".npv")).to_contain_text("2020", timeout=_LONG_MS)
    count = len(site.recorded.views())
    shown.page.wait_for_timeout(2_500)
    assert len(site.recorded.views()) == count


def _until(page: Page, condition: Callable[[], Any]) -> None:
    """Wait while the page lives on until `condition` returns something true."""
    for _ in range(_LONG_MS // 50):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come true in time")


def test_the_dialog_makes_an_embed_that_the_other_page_shows(site: Site) -> None:
    page = site.context.new_page()
    page.set_default_timeout(_LONG_MS)
    page.goto(f"{site.base}/domains?host=kvm-02")
    page.locator("#filters").get_by_role("link", name="Embed…").click()
    dialog = page.locator("#dialog")
    preview = dialog.locator("#embed-preview")
    expect(preview.locator("tr", has_text="vm-2-2")).to_be_visible(timeout=_LONG_MS)
    expect(preview).not_to_contain_text("vm-1-2")
    dialog.locator("[name=theme]").select_option("dark")
    expect(preview.locator(".npv")).to_have_css(
        "background-color", "rgb(21, 26, 31)", timeout=_LONG_MS
    )
    dialog.locator("[name=origins]").fill("not an origin")
    dialog.get_by_role("button", name="Make the embed").click()
    expect(dialog.locator(".wrong")).to_be_visible(timeout=_LONG_MS)
    dialog.locator("[name=origins]").fill(site.intranet.origin())
    dialog.get_by_role("button", name="Make the embed").click()
    lines = dialog.locator("#snippet-element")
    expect(lines).to_contain_text("<npvirt-view", timeout=_LONG_MS)
    shown = site.show(lines.inner_text())
    expect(shown.page.locator("npvirt-view tr", has_text="vm-2-2")).to_be_visible(timeout=_LONG_MS)
    assert not shown.errors
