"""The capacity review and its monthly reports in Chinese: no word is English, no figure another."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo_support import APRIL, demo_web
from tests.web_support import Web

pytestmark = pytest.mark.xdist_group("capacity")


@pytest.fixture(scope="module")
def panel(april_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web over a copy of the fleet with all planted facts, and its report of April."""
    data = shutil.copytree(april_data, tmp_path_factory.mktemp("chinese") / "var")
    made = demo_web(data, APRIL)
    yield made
    made.store.close()


def test_the_list_of_reports_is_chinese_where_that_is_asked_for(panel: Web) -> None:
    page = panel.text("/capacity/reports?lang=zh")
    assert '<title lang="zh">容量报告 · npvirt</title>' in page
    assert '<main class="main" id="main" lang="zh">' in page
    assert "Capacity reports" not in page
    assert 'href="/capacity/reports?lang=zh" lang="zh" hreflang="zh" aria-current="true"' in page
    assert 'href="/capacity/reports" lang="en" hreflang="en">English' in page


@pytest.mark.parametrize("query", ["", "?lang=en", "?lang=de", "?lang=zh-TW", "?lang="])
def test_what_is_not_spoken_is_drawn_in_english(panel: Web, query: str) -> None:
    page = panel.text(f"/capacity/reports{query}")
    assert "<title>Capacity reports · npvirt</title>" in page
    assert '<main class="main" id="main">' in page


def test_what_is_no_language_is_refused(panel: Web) -> None:
    answer = panel.client.get("/capacity/reports?lang=%3Cb%3E")
    assert answer.status_code == 422
    assert "lang is a language such as de or en-US." in answer.text


def test_one_reader_s_language_is_not_another_s(panel: Web) -> None:
    before = panel.text("/capacity/reports")
    assert panel.text("/capacity/reports?lang=zh") != before
    assert panel.text("/capacity/reports") == before
