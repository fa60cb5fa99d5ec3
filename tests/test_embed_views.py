"""Views on other people's pages: what each shows, of now and of the past, in any wrapper."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import pytest

from app.clock import rfc3339, utc
from app.store.history import fleet
from app.web.embed import asking
from app.web.embed.parameters import COLOURS, FONTS, WRAPPERS
from app.web.embed.views import VIEWS
from tests.embed_support import (
    a_maker,
    a_token,
    ask,
    row_names,
    sentence,
    tokens,
    web,
    web_of_module,
)
from tests.fleet_support import domain_uuid, filled_data, network_uuid, pool_uuid, scan_again
from tests.web_support import HOSTILE, Web, make_web

__all__ = ["filled_data", "tokens", "web", "web_of_module"]


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
    assert shown >= 3 * len(("domains", "volumes", "chart", "snapshots"))


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


def test_pools_volumes_networks_and_interfaces_can_be_chosen(web: Web) -> None:
    for view, filters, rows in (
        ("pools", {"pool": [pool_uuid(0, 0), pool_uuid(1, 1)]}, 2),
        ("networks", {"network": [network_uuid(0)]}, 1),
        ("interfaces", {"host": ["kvm-02"], "q": ["br20"]}, 1),
        ("volumes", {"host": ["kvm-01"], "pool": [pool_uuid(0, 0)]}, 15),
    ):
        text = ask(web, view, a_token(web.store, view, filters)[0]).text
        assert text.count("<tr") == 1 + rows, view
        assert "kvm-06" not in text or view != "volumes"


def test_a_table_has_the_order_of_the_panels_own_page(web: Web) -> None:
    """What is pasted looks as what it was made of."""
    pool = {"host": ["kvm-01"], "pool": [pool_uuid(0, 0)]}
    pages: dict[str, tuple[dict[str, list[str]], str]] = {
        "pools": ({"host": ["kvm-01"]}, "/pools?host=kvm-01"),
        "volumes": (pool, f"/hosts/kvm-01/pools/{pool_uuid(0, 0)}"),
        "domains": ({"host": ["kvm-01"]}, "/domains?host=kvm-01"),
    }
    embedded = {
        view: ask(web, view, a_token(web.store, view, filters)[0]).text
        for view, (filters, _) in pages.items()
    }
    web.sign_in()
    for view, (_, address) in pages.items():
        names = row_names(embedded[view])
        assert len(names) > 5, view
        table = web.text(address).partition("<table")[2]
        places = [table.index(f"<bdi>{name}</bdi>") for name in names]
        assert places == sorted(places), view


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
    assert sentence(answers[-1]).startswith("So many past moments")
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


def test_of_the_hosts_that_are_locked_a_page_may_choose_some(web: Web) -> None:
    for view in ("overview", "hosts"):
        token, _ = a_token(web.store, view, {"host": ["kvm-01", "kvm-02"]})
        both, one = ask(web, view, token).text, ask(web, view, token, host="kvm-02").text
        assert both != one, view
        assert "kvm-01" not in one
        assert ask(web, view, token, host="kvm-06").status_code == 403


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


@pytest.mark.parametrize("kind", ["host", "users"])
def test_a_chart_may_be_of_a_stretch_that_stays_as_it_is(web: Web, kind: str) -> None:
    now = max(view.status.last_ok_at_ms or 0 for view in fleet(web.store, None).hosts)
    days = {"from": [rfc3339(now - 7_200_000)], "to": [rfc3339(now)]}
    locked = {"kind": [kind], "host": ["kvm-01"], **days}
    token, _ = a_token(web.store, "chart", locked)
    first = ask(web, "chart", token).text
    assert re.search(r'aria-label="CPUs? ?\w* of [\w -]+ over \d+ \w+ \d{4}, \d\d:\d\d – ', first)
    assert (
        f"/hosts/kvm-01?{urlencode({name: texts[0] for name, texts in days.items()})}"
        in unescape(first)
    )
    scan_again(web, 0, 1_140)
    # When it was scanned is said of the present.
    same = [
        re.sub('<footer.*|data-as-of="[^"]*"', "", text)
        for text in (first, ask(web, "chart", token).text)
    ]
    assert same[0] == same[1]
    ended = {"from": [rfc3339(now - 14_400_000)], "to": [rfc3339(now - 7_200_000)]}
    before = ask(web, "chart", a_token(web.store, "chart", {**locked, **ended})[0]).text
    assert f">{utc(now - 7_200_000):%H:%M}</text></svg>" in before
    for name, text in (("from", days["to"][0]), ("to", rfc3339(now - 1))):
        assert ask(web, "chart", token, **{name: text}).status_code == 403
    assert ask(web, "chart", token, range="7d").status_code == 422
    free, _ = a_token(web.store, "chart", {"kind": [kind], "host": ["kvm-01"]})
    assert (
        ask(web, "chart", free, **{name: texts[0] for name, texts in days.items()}).status_code
        == 403
    )
    half, _ = a_token(
        web.store, "chart", {"kind": [kind], "host": ["kvm-01"], "from": days["from"]}
    )
    assert sentence(ask(web, "chart", half)) == "A free range needs both from and to."


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


def test_the_reference_names_every_view_with_its_parameters() -> None:
    text = (Path(__file__).parents[1] / "docs" / "embed.md").read_text(encoding="utf-8")
    rows = {
        name: [re.findall("`([^`]+)`", cell) for cell in cells[3:5]]
        for line in text.partition("### Views")[2].partition("### Parameters")[0].splitlines()
        if line.startswith("| `") and (cells := line.split("|"))
        for name in re.findall("`([^`]+)`", cells[1])
    }
    assert rows == {view.name: [list(view.lockable), list(view.open)] for view in VIEWS.values()}
    for word in (*COLOURS, *FONTS):
        assert f"`{word}`" in text, word
