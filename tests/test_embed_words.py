"""Embeds in Chinese: no word of any view, wrapper or refusal is English, and no figure another."""

import re
from collections.abc import Iterator
from html import unescape

import pytest
from lxml import html

from app import clock
from app.store.changes import Change
from app.store.embed_tokens import revoke_embed_token
from app.web.change_words import KINDS, WHATS, phrase
from app.web.embed.views import VIEWS
from app.web.languages import drawn_in
from tests.chinese import english, figures
from tests.embed_support import (
    LOCKED,
    OTHER,
    a_maker,
    a_token,
    ask,
    sentence,
    tokens,
    web,
    web_of_module,
)
from tests.fleet_support import filled_data
from tests.signing import a_user
from tests.web_support import Web

__all__ = ["filled_data", "tokens", "web", "web_of_module"]

# What is the same in Chinese: formats, drivers, units, and what devices are called.
_SAME = {
    "MAC", "UUID", "NUMA", "NAT", "I/O", "DDR5", "DIMM", "A1", "A2", "RSS", "qcow2", "raw",
    "virtio", "sata", "cdrom", "bridge", "ethernet", "panic", "MB/s", "ms", "min", "h", "s",
}  # fmt: skip
# MAC and IP addresses.
_ADDRESS = re.compile(r"\b[0-9a-f]{2,4}:[0-9a-f:]*[0-9a-f](?:/\d+)?")
# What a host said when it was looked at is kept, and shown as it was said.
_KEPT = "kvm-06 did not answer in time."
_CHARTS = (
    ("chart", {"kind": ["fleet"]}),
    *(("chart", {"kind": ["host"], "host": ["kvm-01"], "chart": [name]})
      for name in ("cpu", "memory", "vms", "assigned", "vcpus")),
    ("chart", {"kind": ["users"], "host": ["kvm-01"]}),
    *(("chart", {**LOCKED["chart"], "chart": [name]})
      for name in ("memory", "disk", "network", "operations", "packets", "drops", "errors")),
    *(("chart", {"kind": ["fleet"], "range": [name]}) for name in ("6h", "7d", "30d")),
    ("chart", {**LOCKED["gauge"]}),
    ("chart", {"kind": ["fleet"], "from": ["1750000000"], "to": ["1750086400"]}),
    *(("gauge", {"kind": ["host"], "host": ["kvm-01"], "metric": [metric]})
      for metric in ("cpu", "memory")),
    *(("gauge", {**LOCKED["chart"], "metric": [metric]}) for metric in ("cpu", "memory")),
    ("gauge", {"kind": ["host"], "host": ["kvm-06"]}),
    ("domains", {"q": ["nothing-is-called-so"]}),
    ("domains", {"per_page": ["5"]}),
    ("volumes", {"q": ["nothing-is-called-so"]}),
    ("changes", {"q": ["nothing-is-called-so"]}),
    ("hosts", {"host": ["kvm-06"]}),
    ("outlook", {"what": ["cpu"]}),
    ("forecast", {"what": ["memory"], "host": ["kvm-01"]}),
)  # fmt: skip


@pytest.fixture(scope="module")
def names(web_of_module: Web) -> frozenset[str]:
    """The names of all that there is."""
    web_of_module.sign_in()
    found = set()
    for kind in ("hosts", "domains", "pools", "volumes", "networks", "interfaces"):
        answer = web_of_module.client.get(f"/api/v1/{kind}?per_page=1000").get_json()
        for item in answer["items"]:
            last = item.get("last") or {}
            found |= {str(one.get(name)) for one in (item, last) for name in ("name", "title")}
    web_of_module.sign_out()
    return frozenset(
        (found | {"clean", "lease-0", "lease-2", "vnet0", "eth0", "vda", "sda"}) - {""}
    )


def _told(page: str) -> str:
    """All that people read or hear of a view, a line for each text."""
    found: list[str] = []
    for element in html.fragment_fromstring(page, create_parent="div").iter():
        texts = (element.get("aria-label"), element.get("title"), element.text, element.tail)
        found += [text for text in texts if text]
    return "\n".join(found)


def _not_chinese(text: str, names: frozenset[str]) -> set[str]:
    return english(_ADDRESS.sub("", text.replace(_KEPT, "")), names) - _SAME


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_chinese_throughout_and_tells_the_same(
    web: Web, tokens: dict[str, str], names: frozenset[str], view: str
) -> None:
    _is_chinese(web, view, tokens[view], names)


@pytest.mark.parametrize(("view", "filters"), _CHARTS)
def test_so_is_what_a_view_shows_of_something_else(
    web: Web, names: frozenset[str], view: str, filters: dict[str, list[str]]
) -> None:
    _is_chinese(web, view, a_token(web.store, view, filters)[0], names)


def _is_chinese(web: Web, view: str, token: str, names: frozenset[str]) -> None:
    then = clock.rfc3339(clock.now_ms() - 90_000)
    for at in ({}, {"at": then}):
        plain, chinese = (ask(web, view, token, **at, **look) for look in ({}, {"lang": "zh-CN"}))
        assert plain.status_code == chinese.status_code
        assert ' lang="zh-CN" data-' in chinese.text
        told = _told(chinese.text)
        assert _not_chinese(told, names) == set()
        assert figures(told) == figures(_told(plain.text))
        assert re.search("[一-鿿]", told)
        # What is kept of one is shown to nobody who asks for the other.
        assert chinese.headers.get("ETag") != plain.headers.get("ETag") or not at
        assert ask(web, view, token, **at).data == plain.data


@pytest.mark.parametrize("lang", ["de", "zh-TW", "zh-Hant", "ja", "en-GB"])
def test_whoever_reads_another_language_reads_english(
    web: Web, tokens: dict[str, str], lang: str
) -> None:
    for view in ("hosts", "domains", "overview"):
        told = _told(ask(web, view, tokens[view], lang=lang).text)
        plain = _told(ask(web, view, tokens[view]).text)
        assert set(re.findall("[A-Za-z]+", told)) <= set(re.findall("[A-Za-z]+", plain))
        assert not re.search("[一-鿿]", told)


def test_a_frame_is_chinese(web: Web, tokens: dict[str, str]) -> None:
    for view, title in (("domains", "虚拟机"), ("chart", "图表"), ("disks", "虚拟机的磁盘")):
        frame = ask(web, view, tokens[view], None, as_="frame", lang="zh").text
        assert '<html lang="zh" ' in frame
        assert f"<title>npvirt: {title}</title>" in frame
        assert ' lang="zh"' in frame.partition("<npvirt-view")[2].partition(">")[0]
        fragment = ask(web, view, tokens[view], None, lang="zh").text
        assert fragment in frame
        assert ask(web, view, tokens[view], None, as_="element", lang="zh").text == fragment


# --- refusals --------------------------------------------------------------------------------


def _refusals(web: Web, tokens: dict[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """What is refused with which status."""
    revoked, kept = a_token(web.store, "hosts")
    revoke_embed_token(web.store, kept.id, a_maker(web.store))
    gone = {"kind": ["pool"], "host": ["kvm-01"], "id": ["00000000-0000-4000-8000-000000000000"]}
    own = a_token(web.store, "hosts", frame=False)[0]
    yield 401, {"view": "hosts", "token": "npe_wrong"}
    yield 401, {"view": "hosts", "token": revoked}
    yield 403, {"view": "hosts", "token": tokens["domains"]}
    yield 403, {"view": "hosts", "token": tokens["hosts"], "origin": OTHER}
    yield 403, {"view": "hosts", "token": own, "as_": "frame"}
    yield 403, {"view": "domains", "token": tokens["domains"], "q": "a"}
    yield 404, {"view": "nothing", "token": tokens["hosts"]}
    yield 404, {"view": "gauge", "token": a_token(web.store, "gauge", gone)[0]}
    for name, text in (
        ("state", "x"), ("sort", "x"), ("page", "x"), ("host", "nobody"), ("nothing", "x"),
        ("theme", "x"), ("refresh", "1"), ("bg", "x"), ("at", "x"), ("at", "99999999999"),
    ):  # fmt: skip
        yield 422, {"view": "domains", "token": tokens["domains"], name: text}
    yield 422, {"view": "chart", "token": tokens["chart"], "range": "x"}


_PARAMETERS = {
    "name", "memory", "cpu", "disk", "net", "vcpus", "state", "host", "sort", "page", "theme",
    "refresh", "bg", "at", "q", "nothing", "nobody", "range", "RFC", "Z", "T09", "30Z", "auto",
    "light", "dark", "nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed",
    "pmsuspended", "d", "y",
}  # fmt: skip


def test_every_refusal_is_chinese(web: Web, tokens: dict[str, str]) -> None:
    seen = []
    for status, asked in _refusals(web, tokens):
        plain, chinese = (ask(web, **asked, **look) for look in ({}, {"lang": "zh"}))
        assert plain.status_code == chinese.status_code == status, asked
        assert ' lang="en" ' in plain.text
        assert ' lang="zh" ' in chinese.text
        told = sentence(chinese)
        assert re.search("[一-鿿]", told), told
        left = english(unescape(told), {"kvm-01", asked["view"]})
        assert left - _PARAMETERS - _SAME == set(), told
        assert figures(told) == figures(sentence(plain))
        seen.append(told)
    assert len(set(seen)) == len(seen)


def test_a_refusal_in_a_frame_is_chinese(web: Web) -> None:
    answer = ask(web, "hosts", "npe_wrong", None, as_="frame", lang="zh")
    assert answer.status_code == 401
    assert '<html lang="zh" ' in answer.text
    assert sentence(answer) == "npvirt 不认识此令牌。"


def test_a_language_that_is_none_is_refused_in_english(web: Web, tokens: dict[str, str]) -> None:
    answer = ask(web, "hosts", tokens["hosts"], lang="<b>")
    assert answer.status_code == 422
    assert ' lang="en" ' in answer.text
    assert sentence(answer) == "lang is a language such as de or en-US."


# --- the dialog ------------------------------------------------------------------------------


def test_the_dialog_asks_for_the_language_and_writes_it_into_every_line(web: Web) -> None:
    web.sign_in(a_user(web.store, "ada").name)
    asked = web.text("/embed-tokens/new?view=hosts")
    assert '<option value="zh">中文</option>' in asked
    shown = web.text("/ui/embed-tokens/preview?view=hosts&theme=&lang=zh")
    assert '<div class="npv" lang="zh"' in shown
    assert web.client.get("/ui/embed-tokens/preview?view=hosts&theme=&lang=de").status_code == 422
    form = {
        "view": "hosts", "days": "30", "refresh": "10", "theme": "", "frame": "yes", "lang": "zh",
        "origins": "https://a.example", "csrf_token": web.token(),
    }  # fmt: skip
    made = web.client.post("/embed-tokens", data=form, headers={"Origin": "http://localhost"}).text
    assert 'refresh="10" lang="zh"&gt;&lt;/npvirt-view&gt;' in made
    assert made.count("&amp;lang=zh") == 3
    assert 'iframe title="npvirt: 主机" lang="zh"' in made


# --- changes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_is_told_in_chinese(kind: str) -> None:
    # These a VM never has.
    others = {"back", "no-scans"} if kind == "domain" else set()
    for what in sorted(set(WHATS) - others):
        for old, new in ((None, None), (None, "crashed"), ("running", "unknown"), ("blocked", "8")):
            one = Change(
                1, 2, 1, 1, "kvm-01", kind, "k", 1, "n", what, "", old, new, None, None, None,
                None, "scan", None, None,
            )  # fmt: skip
            with drawn_in("zh"):
                told = phrase(one).text
            # What it was and is now is what libvirt calls it.
            left = english(told, {text for text in (old, new) if text})
            assert left - {"QEMU", "DNS", "DHCP", "MAC", "MTU", "hypervisor"} == set(), (what, told)
            assert re.search("[一-鿿]|vCPU|libvirt|MTU", told), what
