"""Views on other people's pages: what they show, to whom, with which headers, and what is refused.

One web for all of these tests: a test that changes something changes its own token alone.
"""

import gzip
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.clock import rfc3339
from app.store.embed_tokens import list_embed_tokens, revoke_embed_token
from app.store.history import fleet
from app.store.users import set_disabled
from app.web.embed import asking, kept
from app.web.embed.parameters import COLOURS, FONTS
from app.web.embed.views import VIEWS
from tests.clocks import steered
from tests.embed_support import LOCKED, OTHER, PAGE, a_maker, a_token, ask
from tests.fleet_support import (
    domain_uuid,
    fill_fleet,
    network_uuid,
    pool_uuid,
    scan_again,
)
from tests.web_support import HOSTILE, Web, make_web

WRAPPERS = ("fragment", "element", "frame")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    web = make_web(tmp_path_factory.mktemp("embeds") / "var", NPVIRT_TIMEZONE="UTC")
    fill_fleet(web.store)
    yield web
    web.store.close()


@pytest.fixture
def web(made: Web) -> Web:
    made.sign_out()
    return made


@pytest.fixture(scope="module")
def tokens(made: Web) -> dict[str, str]:
    """A token for each view."""
    return {view: a_token(made.store, view)[0] for view in VIEWS}


class _Markup(HTMLParser):
    """What is in a fragment, by kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def values(self, wanted: str) -> list[str]:
        return [value for name, value in self.attributes if name == wanted]


def _sentence(answer: TestResponse) -> str:
    found = re.search(r'class="npv-said">.*?<span>(.*?)</span>', answer.text)
    assert found is not None, answer.text
    return found[1]


# --- what is shown ---------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("view", list(VIEWS))
def test_every_view_fits_into_any_page(
    web: Web, tokens: dict[str, str], view: str, wrapper: str
) -> None:
    answer = ask(web, view, tokens[view], as_=wrapper)
    assert answer.status_code == 200, answer.text
    found = _Markup(answer.text)
    assert ("data-view", view) in found.attributes
    scripts = ["script", "script"] if wrapper == "frame" else []
    assert [tag for tag in found.tags if tag in ("script", "style", "iframe", "form")] == scripts
    assert "style" not in dict(found.attributes)
    assert not [name for name, _ in found.attributes if name.startswith(("on", "hx-"))]
    classes = " ".join(found.values("class")).split()
    assert [one for one in classes if not one.startswith("npv")] == []
    assert [one for one in found.values("id") if not one.startswith("npv-")] == []
    # A frame is a document of npvirt's, wherever that is reached.
    own = ("/embed/",) if wrapper == "frame" else ()
    for address in found.values("href") + found.values("src"):
        assert address.startswith(("http://localhost/", *own)), address
    # Links lead to the panel alone, and tell it nothing of the page that they were on.
    assert found.values("rel").count("noopener noreferrer") == found.tags.count("a") == 1


def test_names_from_hosts_are_text_and_nothing_else(web: Web, tokens: dict[str, str]) -> None:
    hostile = a_token(
        web.store, "chart", {"kind": ["domain"], "host": ["kvm-01"], "id": [domain_uuid(0, 15)]}
    )[0]
    shown = 0
    for view, token in [*tokens.items(), ("chart", hostile)]:
        for wrapper in WRAPPERS:
            text = ask(web, view, token, as_=wrapper).text
            assert "<script>alert" not in text, view
            shown += "&lt;script&gt;alert(1)" in text
            assert HOSTILE not in text
    assert shown >= 3 * len(("domains", "volumes", "chart"))


def test_a_page_is_told_the_very_same_by_any_wrapper(web: Web, tokens: dict[str, str]) -> None:
    for view, token in tokens.items():
        fragment, element, frame = (ask(web, view, token, as_=one).text for one in WRAPPERS)
        assert fragment in element
        assert fragment in frame


def test_the_domains_that_are_asked_for_are_shown(web: Web) -> None:
    token, _ = a_token(web.store, "domains", {"host": ["kvm-01"], "state": ["running", "paused"]})
    text = ask(web, "domains", token).text
    assert "app-01" in text
    assert "I/O error" in text
    assert "Shut off" not in text
    only = ask(web, "domains", token, state="paused").text
    assert "app-01" not in only
    assert "Paused" in only
    chosen = {"domain": [domain_uuid(0, 2), domain_uuid(1, 4)]}
    some, _ = a_token(web.store, "domains", chosen)
    assert ask(web, "domains", some).text.count("<tr") == 1 + 2
    paged = ask(web, "domains", a_token(web.store, "domains")[0], per_page="20").text
    assert paged.count("<tr") == 1 + 20
    assert "52 more" in paged


def test_pools_volumes_and_networks_can_be_chosen(web: Web) -> None:
    for view, filters, rows in (
        ("pools", {"pool": [pool_uuid(0, 0), pool_uuid(1, 1)]}, 2),
        ("networks", {"network": [network_uuid(0)]}, 1),
        ("volumes", {"host": ["kvm-01"], "pool": [pool_uuid(0, 0)]}, 15),
    ):
        text = ask(web, view, a_token(web.store, view, filters)[0]).text
        assert text.count("<tr") == 1 + rows, view
        assert "kvm-06" not in text or view != "volumes"


def test_what_nobody_can_see_now_is_said_to_be_unknown(web: Web, tokens: dict[str, str]) -> None:
    text = ask(web, "domains", tokens["domains"], host="kvm-06").text
    assert text.count("Unknown") == 24
    assert "kvm-06 unknown since" in text
    assert " %</td>" not in text
    gauge, _ = a_token(
        web.store, "gauge", {"kind": ["pool"], "host": ["kvm-06"], "id": [pool_uuid(2, 0)]}
    )
    dead = ask(web, "gauge", gauge).text
    assert "not known" in dead
    assert "<dt>was</dt><dd>75 %</dd>" in dead
    assert 'stroke-dasharray="' not in dead
    assert "<dt>free</dt>" not in dead
    host, _ = a_token(web.store, "gauge", {"kind": ["host"], "host": ["kvm-06"]})
    assert "not known" in ask(web, "gauge", host).text


def test_the_past_is_drawn_as_it_was_and_says_so(web: Web, tokens: dict[str, str]) -> None:
    first_ms = min(view.status.last_ok_at_ms or 0 for view in fleet(web.store, None).hosts)
    at = rfc3339(first_ms + 1)
    text = ask(web, "domains", tokens["domains"], host="kvm-06", at=at).text
    assert "as of" in text
    assert "Running" in text
    assert f"/domains?at={at}" in text
    frame = ask(web, "domains", tokens["domains"], as_="frame", at=at).text
    assert "http-equiv" not in frame
    assert ask(web, "domains", tokens["domains"], at="2999-01-01T00:00Z").status_code == 422
    before = ask(web, "domains", tokens["domains"], at="1980-01-01T00:00Z")
    assert before.status_code == 200
    assert "No VM is there." in before.text


def test_past_moments_are_drawn_for_a_token_as_fast_as_people_look_at_them(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_PAST_MOMENTS", 3)
    limited = make_web(web.settings.data, NPVIRT_TIMEZONE="UTC")
    text, _ = a_token(web.store, "hosts")
    answers = [
        ask(limited, "hosts", text, at=f"2020-01-01T00:0{minute}Z") for minute in (1, 2, 3, 1, 4)
    ]
    # The one that was drawn before is there.
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert _sentence(answers[-1]).startswith("So many past moments")
    assert ask(limited, "hosts", text).status_code == 200
    limited.store.close()


def test_a_frame_asks_with_the_token_that_it_was_asked_with(web: Web) -> None:
    text, _ = a_token(web.store, "hosts")
    by_header = {"Authorization": f"Bearer {text}"}
    for query in ("as=frame", "as=frame&t=npe_another"):
        assert web.client.get(f"/embed/v1/hosts?{query}", headers=by_header).status_code == 200
    assert f'token="{text}"' in ask(web, "hosts", text, None, as_="frame").text


def test_changes_do_not_say_who_made_them(web: Web) -> None:
    scan_again(web, 0, 780, domains={})
    token, _ = a_token(web.store, "changes")
    text = ask(web, "changes", token).text
    assert text.count("<li") > 3
    assert "/audit" not in text
    scan_again(web, 0, 840)


def test_changes_can_be_locked_to_a_search_and_a_time(web: Web) -> None:
    def rows(**locked: str) -> int:
        filters = {name.removesuffix("_"): [text] for name, text in locked.items()}
        return ask(web, "changes", a_token(web.store, "changes", filters)[0]).text.count("<li")

    scan_again(web, 1, 1_020, domains={})
    every = rows(per_page="1000")
    assert 0 < rows(per_page="1000", q="app-01") < every
    assert rows(per_page="1000", from_="2020-01-01T00:00Z") == every
    assert rows(to="2020-01-01T00:00Z") == 0
    token, _ = a_token(web.store, "changes", {"q": ["app-01"]})
    assert ask(web, "changes", token, q="db").status_code == 403
    free, _ = a_token(web.store, "changes")
    for name in ("q", "from", "to"):
        assert ask(web, "changes", free, **{name: "2020-01-01T00:00Z"}).status_code == 403
    scan_again(web, 1, 1_080)


def test_a_chart_shows_curves_with_what_they_are(web: Web) -> None:
    wanted = {"kind": ["host"], "host": ["kvm-01"], "chart": ["memory"], "range": ["1h"]}
    token, _ = a_token(web.store, "chart", wanted)
    text = ask(web, "chart", token).text
    assert "Memory" in text
    assert re.search(r'aria-label="Memory of kvm-01 over the last hour, now [\d.]+ GiB', text)
    assert 'class="npv-ln npv-k-mem"' in text
    assert ask(web, "chart", token, range="24h").status_code == 403
    free, _ = a_token(web.store, "chart", {"kind": ["fleet"], "metric": ["cpu"]})
    week = ask(web, "chart", free, range="7d")
    assert week.status_code == 200
    assert "last 7 days" in week.text
    for filters in (
        {"kind": ["pool"], "host": ["kvm-01"], "id": [pool_uuid(0, 0)]},
        {"kind": ["domain"], "host": ["kvm-01"], "id": [domain_uuid(0, 0)], "chart": ["disk"]},
        {"kind": ["domain"], "host": ["kvm-01"], "id": [domain_uuid(0, 0)], "device": ["disk:vda"]},
    ):
        assert ask(web, "chart", a_token(web.store, "chart", filters)[0]).status_code == 200


def test_a_chart_shows_which_vms_use_a_host(web: Web) -> None:
    wanted = {"kind": ["users"], "host": ["kvm-01"], "chart": ["memory_rss_bytes"]}
    text = ask(web, "chart", a_token(web.store, "chart", wanted)[0]).text
    assert re.search(r"hold of VMs of kvm-01 over the last 24 hours, now [\d.]+ GiB", text)
    assert text.count("npv-area") == 9
    assert "<bdi>others</bdi>" in text
    assert "<bdi>app-01</bdi>" in text
    other = {"kind": ["users"], "host": ["kvm-01"], "metric": ["net_rx_bytes"]}
    assert "Network received" in ask(web, "chart", a_token(web.store, "chart", other)[0]).text
    for kept_out in ({"kind": ["users"]}, {**wanted, "chart": ["vms"]}):
        refused = ask(web, "chart", a_token(web.store, "chart", kept_out)[0])
        assert refused.status_code in (404, 422)
    few = a_maker(web.store, "of-one", ["kvm-02"])
    assert ask(web, "chart", a_token(web.store, "chart", wanted, maker=few)[0]).status_code == 404


# --- whom it is shown to ---------------------------------------------------------------------


def test_a_token_is_for_its_view_alone(web: Web, tokens: dict[str, str]) -> None:
    for own, token in tokens.items():
        for view in VIEWS:
            answer = ask(web, view, token)
            assert answer.status_code == (200 if view == own else 403), (own, view)
    assert _sentence(ask(web, "hosts", tokens["pools"])) == "This token is for another view."


def test_a_token_opens_nothing_but_embeds(web: Web, tokens: dict[str, str]) -> None:
    asked, token = 0, tokens["domains"]
    for rule in web.app.url_map.iter_rules():
        if rule.arguments or rule.rule.startswith(("/embed/", "/static/")):
            continue
        for method in set(rule.methods or ()) & {"GET", "POST", "DELETE"}:
            headers = {"Authorization": f"Bearer {token}", "X-Npvirt-Token": token}
            answer = web.client.open(f"{rule.rule}?t={token}", method=method, headers=headers)
            is_open = rule.rule in ("/login", "/login/oidc", "/login/oidc/callback",
                                    "/healthz", "/readyz")  # fmt: skip
            refused = answer.status_code in (401, 403) or (
                answer.status_code == 303 and answer.headers["Location"].startswith("/login")
            )
            assert refused or is_open, (method, rule.rule, answer.status_code)
            asked += 1
    assert asked > 50


def test_what_is_locked_can_be_narrowed_and_not_left(web: Web) -> None:
    token, _ = a_token(web.store, "domains", {"host": ["kvm-01", "kvm-02"], "flag": ["running", "autostart"]})  # noqa: E501  # fmt: skip
    assert ask(web, "domains", token, host="kvm-01").status_code == 200
    assert ask(web, "domains", token, host="kvm-06").status_code == 403
    # Fewer flags would show more.
    assert ask(web, "domains", token, flag="running").status_code == 403
    for name, value in (("q", "a"), ("domain", domain_uuid(0, 0))):
        answer = ask(web, "domains", token, **{name: value})
        assert answer.status_code == 403
        assert _sentence(answer) == f"This token does not let a page choose “{name}”."
    assert ask(web, "domains", token, nonsense="1").status_code == 422
    answer = web.client.get(f"/embed/v1/domains?t={token}&host=kvm-01&host=kvm-06")
    assert answer.status_code == 403


def test_a_session_counts_for_nothing_and_none_is_made(web: Web, tokens: dict[str, str]) -> None:
    few, _ = a_token(web.store, "domains", {"host": ["kvm-02"]})
    web.sign_in()
    cookie = web.client.get_cookie("npvirt")
    assert cookie is not None
    assert web.client.get("/embed/v1/domains").status_code == 401
    for address in ("/embed/v1/domains", f"/embed/v1/domains?t={few}", "/embed/v1/nothing",
                    f"/embed/v1/domains?t={few}&as=frame", "/embed/npvirt.js", "/embed/none",
                    "/embed/v1/domains?t=npe_wrong&as=frame"):  # fmt: skip
        for method in ("GET", "OPTIONS", "POST"):
            answer = web.client.open(address, method=method, headers={"Origin": PAGE})
            assert "Set-Cookie" not in answer.headers, address
            assert "Cookie" not in answer.headers.get("Vary", ""), address
            assert "Access-Control-Allow-Credentials" not in answer.headers, address
    assert web.client.get(f"/embed/v1/domains?t={few}&host=kvm-01").status_code == 403
    signed_in = ask(web, "domains", few).text
    web.sign_out()
    assert ask(web, "domains", few).text == signed_in
    assert "kvm-01" not in signed_in


def test_a_token_may_come_in_a_header(web: Web, tokens: dict[str, str]) -> None:
    wanted = ask(web, "hosts", tokens["hosts"]).text
    for headers in ({"Authorization": f"Bearer {tokens['hosts']}"},
                    {"X-Npvirt-Token": tokens["hosts"]}):  # fmt: skip
        assert web.client.get("/embed/v1/hosts", headers=headers).text == wanted
    twice = web.client.get(f"/embed/v1/hosts?t={tokens['hosts']}&t={tokens['pools']}")
    assert twice.status_code == 422


def test_a_revoked_token_says_so_in_a_box_of_the_same_look(web: Web) -> None:
    text, token = a_token(web.store, "domains")
    assert ask(web, "domains", text).status_code == 200
    revoke_embed_token(web.store, token.id, a_maker(web.store))
    for wrapper in WRAPPERS:
        answer = ask(web, "domains", text, as_=wrapper)
        assert answer.status_code == 401
        assert _sentence(answer) == "This embed was revoked."
        # Its page may read that.
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert ("<html" in answer.text) == (wrapper == "frame")
        assert "no-store" in answer.headers["Cache-Control"]
    assert f"frame-ancestors 'self' {PAGE}" in ask(
        web, "domains", text, as_="frame"
    ).headers["Content-Security-Policy"]  # fmt: skip


def test_a_token_is_over_with_its_time_and_with_who_made_it(web: Web) -> None:
    text, _ = a_token(web.store, "domains")
    with steered() as hands:
        hands.step(25 * 3600)
        assert _sentence(ask(web, "domains", text)) == "The time of this embed is over."
    a_maker(web.store)
    gone, _ = a_token(web.store, "domains", maker=a_maker(web.store, "leaving"))
    assert ask(web, "domains", gone).status_code == 200
    set_disabled(web.store, "leaving", True)
    assert ask(web, "domains", gone).status_code == 401


def test_a_token_shows_no_more_than_its_maker_may_see(web: Web) -> None:
    maker = a_maker(web.store, "of-two", ["kvm-02"])
    for view in ("overview", "hosts", "domains", "pools", "volumes", "networks", "changes"):
        text, _ = a_token(web.store, view, {}, maker=maker)
        answer = ask(web, view, text)
        assert answer.status_code == 200
        assert not re.search("kvm-0[16]", answer.text), view
        if view not in ("overview", "changes"):
            assert ask(web, view, text, host="kvm-01").status_code in (403, 422), view
    rows = ask(web, "domains", a_token(web.store, "domains", {}, maker=maker)[0]).text
    assert rows.count("<tr") == 1 + 24
    for view in ("chart", "gauge"):
        text, _ = a_token(web.store, view, maker=maker)
        assert ask(web, view, text).status_code == 404


def test_wrong_tokens_are_slowed_down_and_right_ones_never(
    web: Web, tokens: dict[str, str]
) -> None:
    peer = {"REMOTE_ADDR": "192.0.2.7"}
    wrong = [
        web.client.get(f"/embed/v1/domains?t=npe_{place}", environ_overrides=peer)
        for place in range(8)
    ]
    assert wrong[0].status_code == 401
    assert _sentence(wrong[0]) == "npvirt does not know this token."
    assert wrong[-1].status_code == 429
    assert int(wrong[-1].headers["Retry-After"]) >= 1
    right = web.client.get(f"/embed/v1/domains?t={tokens['domains']}", environ_overrides=peer)
    assert right.status_code == 200
    elsewhere = web.client.get(
        "/embed/v1/domains?t=npe_1", environ_overrides={"REMOTE_ADDR": "192.0.2.8"}
    )
    assert elsewhere.status_code == 401


def test_that_a_token_is_used_is_noted_once_a_minute_after_the_answer(web: Web) -> None:
    text, token = a_token(web.store, "hosts")

    def used_ms() -> int | None:
        found = {one.id: one.used_at_ms for one in list_embed_tokens(web.store, a_maker(web.store))}
        return found[token.id]

    with steered() as hands:
        hands.step(120)
        answer = ask(web, "hosts", text)
        assert used_ms() is None
        answer.close()
        first = used_ms()
        assert first is not None
        version = web.store.version()
        hands.step(30)
        ask(web, "hosts", text).close()
        assert web.store.version() == version
        hands.step(40)
        ask(web, "hosts", text).close()
        later = used_ms()
        assert later is not None
        assert later - first >= 60_000


# --- headers ---------------------------------------------------------------------------------


def test_pages_of_the_tokens_origins_may_read_and_others_may_not(
    web: Web, tokens: dict[str, str]
) -> None:
    a_token(web.store, "hosts", origins=[OTHER])
    mine = ask(web, "domains", tokens["domains"])
    assert mine.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Origin" in mine.headers["Vary"]
    # It is named by another token: that page is told why, and nothing else.
    other = ask(web, "domains", tokens["domains"], OTHER)
    assert other.status_code == 403
    assert other.headers["Access-Control-Allow-Origin"] == OTHER
    assert _sentence(other) == "This token is not for pages of this site."
    for origin in ("https://never.example", "null", "https://intranet.example.evil.test",
                   "http://intranet.example", "https://intranet.example:8443"):  # fmt: skip
        answer = ask(web, "domains", tokens["domains"], origin)
        assert answer.status_code == 403, origin
        assert "Access-Control-Allow-Origin" not in answer.headers, origin
        assert "app-01" not in answer.text
    nobody = ask(web, "domains", tokens["domains"], None)
    assert nobody.status_code == 200
    assert "Access-Control-Allow-Origin" not in nobody.headers
    assert ask(web, "domains", tokens["domains"], "http://localhost").status_code == 200


def test_a_browser_may_ask_beforehand_with_what_both_htmx_send(web: Web) -> None:
    a_token(web.store, "domains")
    for view in ("domains", "nothing"):
        wanted = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
        answer = web.client.options(f"/embed/v1/{view}", headers=wanted)
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        for name in ("hx-request", "hx-current-url", "hx-target", "hx-trigger", "hx-trigger-name",
                     "hx-source", "hx-request-type", "hx-boosted", "authorization",
                     "x-npvirt-token", "if-none-match"):  # fmt: skip
            assert name in allowed.split(", "), name
    stranger = web.client.options("/embed/v1/domains", headers={"Origin": "https://never.example"})
    assert not [name for name, _ in stranger.headers if name.startswith("Access-Control")]


def test_frames_are_for_the_tokens_origins_and_fragments_for_none(
    web: Web, tokens: dict[str, str]
) -> None:
    frame = ask(web, "domains", tokens["domains"], None, as_="frame")
    policy = frame.headers["Content-Security-Policy"]
    assert f"frame-ancestors 'self' {PAGE}" in policy
    assert "unsafe" not in policy
    assert "X-Frame-Options" not in frame.headers
    assert frame.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    for answer in (ask(web, "domains", tokens["domains"]),
                   ask(web, "domains", tokens["domains"], as_="element")):  # fmt: skip
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    bare, _ = a_token(web.store, "domains", origins=[])
    assert (
        ask(web, "domains", bare, None, as_="frame")
        .headers["Content-Security-Policy"]
        .endswith("frame-ancestors 'self'")
    )
    assert ask(web, "domains", bare).status_code == 403
    without, _ = a_token(web.store, "domains", frame=False)
    refused = ask(web, "domains", without, None, as_="frame")
    assert refused.status_code == 403
    assert _sentence(refused) == "This token is not for frames."
    wrong = ask(web, "domains", "npe_wrong", None, as_="frame")
    assert PAGE in wrong.headers["Content-Security-Policy"]
    assert "DENY" in web.client.get("/login").headers["X-Frame-Options"]


def test_a_frame_works_without_script_and_looks_as_it_is_told(
    web: Web, tokens: dict[str, str]
) -> None:
    answer = ask(
        web, "domains", tokens["domains"], None, as_="frame", refresh="7", theme="dark",
        bg="fffdf8", accent="8a3b1e", font="serif", lang="en-GB",
    )  # fmt: skip
    assert answer.status_code == 200
    text = answer.text
    assert '<noscript><meta http-equiv="refresh" content="7"></noscript>' in text
    assert '<html lang="en-GB" class="npv-page" data-theme="dark">' in text
    plain = ask(web, "domains", tokens["domains"], None, as_="frame").text
    assert '<html lang="en" class="npv-page" data-theme="auto">' in plain
    (address,) = re.findall(r'href="(/embed/theme\.css[^"]*)"', text)
    sheet = web.client.get(address.replace("&amp;", "&"))
    assert sheet.mimetype == "text/css"
    assert "--npv-bg:#fffdf8" in sheet.text
    assert "--npv-accent:#8a3b1e" in sheet.text
    assert f"--npv-font:{FONTS['serif']}" in sheet.text
    (element,) = re.findall(r"<npvirt-view ([^>]*)>", text)
    assert element == (
        f'view="domains" token="{tokens["domains"]}" refresh="7" theme="dark" lang="en-GB"'
    )
    same = ask(web, "domains", tokens["domains"], None, theme="dark", lang="en-GB")
    assert same.text in text


def test_figures_and_dates_are_written_as_the_page_asks_and_words_are_english(
    web: Web, tokens: dict[str, str]
) -> None:
    at = "2020-05-12T14:07Z"
    written = {
        "": ("GiB", "12 May 2020, 14:07", "en"),
        "de": (",", "12 May 2020, 14:07", "en"),
        "en-US": (".", "May 12, 2020, 14:07", "en-US"),
        "zh-Hant-TW": (".", "2020-05-12, 14:07", "en"),
    }
    for locale, (mark, date, words) in written.items():
        look = {"lang": locale} if locale else {}
        overview = ask(web, "overview", tokens["overview"], **look).text
        assert (re.search(r"\d,\d+ TiB|\d,\d+ GiB", overview) is not None) == (mark == ",")
        then = ask(web, "hosts", tokens["hosts"], at=at, **look).text
        assert f">{date}</time>" in then, locale
        assert f'<div class="npv" lang="{words}"' in then
    # What was drawn for one is not kept for another.
    assert "," not in re.findall(r"[\d.,]+ [GT]iB", ask(web, "overview", tokens["overview"]).text)


@pytest.mark.parametrize(
    ("name", "value"),
    [("bg", "red"), ("fg", "fff;}body{x"), ("line", "#fff"), ("accent", "url(//a.example)"),
     ("font", "Comic Sans"), ("font", "serif;x"), ("theme", "night"), ("refresh", "1"),
     ("refresh", "9" * 50), ("refresh", "-5"), ("refresh", "2.5"), ("lang", "<b>"),
     ("as", "popup")],
)  # fmt: skip
def test_a_look_that_is_none_is_refused_in_words(
    web: Web, tokens: dict[str, str], name: str, value: str
) -> None:
    for wrapper in WRAPPERS:
        query = {"t": tokens["hosts"], "as": wrapper, name: value}
        answer = web.client.get("/embed/v1/hosts", query_string=query)
        assert answer.status_code == 422
        assert value not in _sentence(answer) or len(value) < 3
    if name in (*COLOURS, "font"):
        assert web.client.get("/embed/theme.css", query_string={name: value}).status_code == 422


def test_what_has_not_changed_is_not_sent_again(web: Web, tokens: dict[str, str]) -> None:
    for view, token in tokens.items():
        first = ask(web, view, token)
        etag = first.headers["ETag"]
        again = web.client.get(
            f"/embed/v1/{view}", query_string={"t": token},
            headers={"Origin": PAGE, "If-None-Match": etag},
        )  # fmt: skip
        assert again.status_code == 304, view
        assert again.data == b""
        assert again.headers["Access-Control-Allow-Origin"] == PAGE
        head = "".join(f"{name}: {value}\r\n" for name, value in again.headers)
        assert len(head) + len("HTTP/1.1 304 NOT MODIFIED\r\n\r\n") <= 1000
        assert "private, no-cache" in again.headers["Cache-Control"]


def test_what_has_changed_is_sent_again(
    web: Web, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "HOLD_S", 0.0)
    etag = ask(web, "domains", tokens["domains"]).headers["ETag"]
    scan_again(web, 1, 900)
    again = web.client.get(
        f"/embed/v1/domains?t={tokens['domains']}", headers={"If-None-Match": etag}
    )
    assert again.status_code == 200
    assert again.headers["ETag"] != etag


def test_one_drawing_serves_all_who_look_meanwhile(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "HOLD_S", 3600.0)
    text, token = a_token(web.store, "hosts")
    first = ask(web, "hosts", text)
    scan_again(web, 1, 960)
    assert ask(web, "hosts", text).headers["ETag"] == first.headers["ETag"]
    # But never to one whose token is over.
    revoke_embed_token(web.store, token.id, a_maker(web.store))
    assert ask(web, "hosts", text).status_code == 401


def test_it_is_compressed_for_whom_takes_that(web: Web, tokens: dict[str, str]) -> None:
    plain = ask(web, "domains", tokens["domains"])
    packed = web.client.get(
        f"/embed/v1/domains?t={tokens['domains']}", headers={"Accept-Encoding": "gzip, br"}
    )
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert len(packed.data) < 6_000


@pytest.mark.parametrize("name", ["npvirt.js", "npvirt.css", "frame.js"])
def test_the_files_are_for_every_page(web: Web, name: str) -> None:
    answer = web.client.get(f"/embed/{name}", headers={"Origin": "https://any.example"})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "max-age=3600" in answer.headers["Cache-Control"]
    etag = answer.headers["ETag"]
    again = web.client.get(f"/embed/{name}", headers={"If-None-Match": etag})
    assert again.status_code == 304
    digest = etag.removeprefix('W/"')[:10]
    assert "immutable" in web.client.get(f"/embed/{name}?v={digest}").headers["Cache-Control"]
    assert "immutable" not in web.client.get(f"/embed/{name}?v=old").headers["Cache-Control"]


def test_what_is_not_there_is_said_in_a_box(web: Web) -> None:
    for address in ("/embed/v1/nothing", "/embed/v1/", "/embed/", "/embed/other.js",
                    "/embed/v1/domains/x", "/embed/../login"):  # fmt: skip
        answer = web.client.get(address)
        assert answer.status_code in (404, 308) or address.endswith("login"), address
        if answer.status_code == 404:
            assert "npv-error" in answer.text
            assert "<html" not in answer.text
    assert web.client.post("/embed/v1/domains").status_code == 405


# --- whatever is sent ------------------------------------------------------------------------

_JUNK: tuple[Any, ...] = (
    "", "-1", "9" * 400, "NaN", "kvm-01", "../..", "\x00", HOSTILE, "-name", "running", "x" * 5000,
    "\ud7ff", domain_uuid(0, 0).upper(), "cpu", "🦊",
)  # fmt: skip


@pytest.mark.parametrize("view", list(VIEWS))
def test_nothing_that_is_sent_is_an_error_of_npvirts(
    web: Web, tokens: dict[str, str], view: str
) -> None:
    names = ("as", "at", "t", "bg", "from", *VIEWS[view].lockable)
    statuses = set()
    for name in names:
        for place, junk in enumerate(_JUNK):
            query = {"t": tokens[view], name: junk}
            peer = {"REMOTE_ADDR": f"198.51.100.{place}"}
            answer = web.client.get(f"/embed/v1/{view}", query_string=query, environ_overrides=peer)
            assert answer.status_code in (200, 401, 403, 404, 422, 429), (name, junk, answer.text)
            assert "<script>alert" not in answer.text
            statuses.add(answer.status_code)
    assert {200, 403, 422} <= statuses


@pytest.mark.parametrize("view", list(VIEWS))
def test_no_locked_filter_is_an_error_of_npvirts_either(web: Web, view: str) -> None:
    """What was fine when a token was made may be gone when it is used."""
    for name in VIEWS[view].lockable:
        for junk in ("nothing", "-1"):
            filters = {**LOCKED[view], name: [junk]}
            answer = ask(web, view, a_token(web.store, view, filters)[0])
            assert answer.status_code in (200, 404, 422), (name, junk)


def test_a_store_that_cannot_be_read_is_said_in_the_box(
    web: Web, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.errors import StoreError

    def broken(*_: Any) -> Any:
        raise StoreError("The store cannot be read.", problem="io")

    monkeypatch.setattr(asking, "held", broken)
    monkeypatch.setattr(asking, "known_origins", broken)
    with web.store.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
    for wrapper in WRAPPERS:
        answer = ask(web, "domains", tokens["domains"], as_=wrapper)
        assert answer.status_code == 503
        assert "npv-error" in answer.text


def test_the_reference_names_every_view_with_its_parameters() -> None:
    text = (Path(__file__).parents[1] / "docs" / "embed.md").read_text(encoding="utf-8")
    rows = {
        cells[1].strip(" `"): [re.findall("`([^`]+)`", cell) for cell in cells[3:5]]
        for line in text.partition("### Views")[2].partition("### Parameters")[0].splitlines()
        if line.startswith("| `") and (cells := line.split("|"))
    }
    assert rows == {view.name: [list(view.lockable), list(view.open)] for view in VIEWS.values()}
    for word in (*COLOURS, *FONTS):
        assert f"`{word}`" in text, word
