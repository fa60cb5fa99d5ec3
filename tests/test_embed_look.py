"""Views on other people's pages: their look as the page asks for it, and how they write."""

import re

import pytest

from app.web.embed.parameters import COLOURS, FONTS, WRAPPERS
from tests.embed_support import (
    ask,
    sentence,
    tokens,
    web,
    web_of_module,
)
from tests.fleet_support import filled_data
from tests.web_support import Web

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
        assert value not in sentence(answer) or len(value) < 3
    if name in (*COLOURS, "font"):
        assert web.client.get("/embed/theme.css", query_string={name: value}).status_code == 422
