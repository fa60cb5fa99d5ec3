"""Views on other people's pages: their look as the page asks for it, and how they write."""

import re
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from app.clock import now_ms, rfc3339
from app.connection import Connection
from app.store.hosts import add_host
from app.store.record import Recorder
from app.web.drawing import part_address
from app.web.embed.parameters import COLOURS, FONTS, WRAPPERS
from app.web.embed.views import VIEWS
from tests.embed_support import (
    a_token,
    ask,
    sentence,
    tokens,
    web,
    web_of_module,
)
from tests.fleet_support import (
    KNOWN_MS,
    domain_uuid,
    filled_data,
    make_domain,
    make_scan,
    pool_uuid,
)
from tests.web_support import GIB, INTERVAL_MS, Web, make_web

__all__ = ["filled_data", "tokens", "web", "web_of_module"]


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


def test_what_was_written_for_one_page_is_shown_to_no_other(tmp_path: Path) -> None:
    made = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC")
    now = now_ms()
    record = add_host(made.store, "kvm-01", Connection())
    with made.store.writing() as writing:
        writing.exec_driver_sql(f"UPDATE host SET created_at_ms = {now - 3_600_000}")
    recorder = Recorder(made.store, record, KNOWN_MS)
    domains = {domain_uuid(0, place): make_domain(0, place) for place in range(3)}
    domains[domain_uuid(0, 0)] = replace(domains[domain_uuid(0, 0)], memory_bytes=7 * GIB // 2)
    for ago in (2, 1, 0):
        scan = make_scan(0, record, now - ago * INTERVAL_MS, 3, 720 - 60 * ago)
        recorder.record(replace(scan, domains=domains))
    tokens = {view: a_token(made.store, view)[0] for view in VIEWS}
    made.store.close()
    then = rfc3339(now - INTERVAL_MS // 2)
    # Each over a store of its own, so that nothing of one is kept for the other.
    first, second = (
        make_web(shutil.copytree(tmp_path / "var", tmp_path / name), NPVIRT_TIMEZONE="UTC")
        for name in ("first", "second")
    )
    # The comma, and the year before the day.
    plain, hungarian = _all_drawn(first, tokens, then, "", "hu")
    others = _all_drawn(second, tokens, then, "hu", "")
    for other, alone in zip(others, (hungarian, plain), strict=True):
        assert [name for name in alone if other[name] != alone[name]] == []
    for at in ("", f"?at={then}"):
        assert "3.5 GiB" in plain[f"/ui/domains{at}"]
        assert "3.5 GiB" in plain[f"domains{at}"]
        assert "3,5 GiB" in hungarian[f"domains{at}"]
    first.store.close()
    second.store.close()


def _all_drawn(web: Web, tokens: dict[str, str], then: str, *locales: str) -> list[dict[str, str]]:
    """For one locale after the other: every view, now and then, and (where it is the panel's own)
    every page of the panel that tells the same.
    """
    pages = {
        # These tell when they are drawn.
        *({view.path for view in VIEWS.values()} - {"/health", "/capacity"}), "/hosts/kvm-01",
        f"/hosts/kvm-01/domains/{domain_uuid(0, 0)}", f"/hosts/kvm-01/pools/{pool_uuid(0, 0)}",
    }  # fmt: skip
    found = []
    for locale in locales:
        drawn = {}
        for at in ("", f"?at={then}"):
            look = {**({"lang": locale} if locale else {}), **({"at": then} if at else {})}
            for view, token in tokens.items():
                drawn[f"{view}{at}"] = ask(web, view, token, **look).text
            if not locale:
                for page in map(part_address, pages):
                    drawn[f"{page}{at}"] = web.text(f"{page}{at}")
        found.append(drawn)
    return found


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
        assert value not in sentence(answer) or len(value) < 3
    if name in (*COLOURS, "font"):
        assert web.client.get("/embed/theme.css", query_string={name: value}).status_code == 422
