"""The capacity review and its monthly reports in Chinese: no word is English, no figure another."""

import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from app.capacity.reclaim import FINDING_KINDS, Finding, FindingKind
from app.capacity.report import Report, monthly
from app.clock import DAY_MS, HOUR_MS, rfc3339
from app.notifier.report_text import subject_of
from app.store.capacity_reports import keep_report, known_at_end, month_due
from app.store.history import fleet
from app.web.capacity_words import finding_says
from app.web.languages import drawn_in
from tests.chinese import english, figures, said
from tests.demo_support import APRIL, demo_web
from tests.web_support import Web

pytestmark = pytest.mark.xdist_group("capacity")

_LATER_MS = APRIL.end_ms + 2 * HOUR_MS
_THEN = f"at={rfc3339(APRIL.end_ms)}"


@pytest.fixture(scope="module")
def panel(april_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web over a copy of the fleet with all planted facts, and its report of April."""
    data = shutil.copytree(april_data, tmp_path_factory.mktemp("chinese") / "var")
    made = demo_web(data, APRIL)
    due = month_due(made.store, _LATER_MS)
    assert due is not None
    report: Report = monthly(*known_at_end(made.store, due))
    keep_report(made.store, report, subject_of(report), _LATER_MS)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def names(panel: Web) -> set[str]:
    """Those of hosts and pools, which are the same in every language."""
    seen = fleet(panel.store, APRIL.end_ms)
    return {view.slug for view in seen.hosts} | {pool.fact.name for pool in seen.pools}


@pytest.mark.parametrize(
    "address",
    [
        f"/capacity?{_THEN}",
        f"/capacity?{_THEN}&vcpus=2&memory_gib=4&disk_gib=20&count=3&of=3",
        f"/capacity?{_THEN}&vcpus=4000&memory_gib=1&by=host&of=4",
        f"/capacity?{_THEN}&by=owner&compare_from=2026-04-01&compare_to=2026-04-10",
        f"/capacity?{_THEN}&by=pool&compare_from=2026-03-01&compare_to=2026-04-10&from=2026-01-01",
        # Of now, when nobody has answered for long.
        "/capacity?to=2026-05-01",
        # Before anything was known, and before there was a host.
        f"/capacity?at={rfc3339(APRIL.end_ms - 31 * 24 * HOUR_MS)}",
        "/capacity?at=2020-01-01T00:00Z",
        "/capacity/reports?",
        "/capacity/reports?at=2020-01-01T00:00Z",
        "/capacity/reports/2026-04?",
        f"/capacity/reports/2026-04?at={rfc3339(_LATER_MS)}",
    ],
)
def test_a_page_in_chinese_says_the_same_as_in_english(
    panel: Web, names: set[str], address: str
) -> None:
    page, chinese = said(panel.text(address)), said(panel.text(f"{address}&lang=zh"))
    assert english(chinese, names) == set()
    assert len(english(page, names)) > 15
    assert figures(chinese) == figures(page)
    # What is said of nobody in particular leaves no seam.
    assert not re.search(r"%\(|\(\)|  \S|None", chinese)


def test_the_document_and_what_is_chinese_in_it_say_so(panel: Web) -> None:
    for address, title in (
        ("/capacity", "容量评估"), ("/capacity/reports", "容量报告"),
        ("/capacity/reports/2026-04", "2026-04 容量报告"),
    ):  # fmt: skip
        page = panel.text(f"{address}?lang=zh")
        assert f'<title lang="zh">{title} · npvirt</title>' in page
        assert '<main class="main" id="main" lang="zh">' in page
        assert f'href="{address}?lang=zh" lang="zh" hreflang="zh" aria-current="true"' in page
        assert f'href="{address}" lang="en" hreflang="en">English' in page


@pytest.mark.parametrize("query", ["", "?lang=en", "?lang=de", "?lang=zh-TW", "?lang="])
def test_what_is_not_spoken_is_drawn_in_english(panel: Web, query: str) -> None:
    for address, title in (
        ("/capacity", "Capacity review"), ("/capacity/reports", "Capacity reports")
    ):  # fmt: skip
        page = panel.text(f"{address}{query}")
        assert f"<title>{title} · npvirt</title>" in page
        assert '<main class="main" id="main">' in page


@pytest.mark.parametrize("address", ["/capacity", "/ui/capacity", "/capacity/reports"])
def test_what_is_no_language_is_refused(panel: Web, address: str) -> None:
    answer = panel.client.get(f"{address}?lang=%3Cb%3E")
    assert answer.status_code == 422
    assert "lang is a language such as de or en-US." in answer.text


def test_one_reader_s_language_is_not_another_s(panel: Web) -> None:
    for address in ("/capacity", "/capacity/reports", "/capacity?by=host"):
        also = f"{address}{'&' if '?' in address else '?'}lang=zh"
        before = said(panel.text(address))
        assert said(panel.text(also)) != before
        assert said(panel.text(address)) == before


def test_the_language_stays_in_links_forms_and_the_part_that_is_asked_anew(panel: Web) -> None:
    page = unescape(panel.text("/capacity?lang=zh&by=host"))
    main = page[page.index("<main") : page.index("</main>")]
    poll = re.search(r'hx-get="(/ui/capacity\?[^"]*)"', main)
    assert poll is not None
    assert "lang=zh" in poll[1]
    assert "容量评估" in panel.text(poll[1].partition("&have=")[0])
    assert panel.client.get(poll[1]).status_code == 204
    pages = re.findall(r'href="(/capacity[^"]*)"[^>]*>(?!English)', main)
    assert len(pages) > 10
    assert [link for link in pages if "lang=zh" not in link] == []
    forms = re.findall(
        r'<form[^>]*action="/capacity(?:#\w+)?" method="get">(.*?)</form>', main, re.S
    )
    assert len(forms) == 2
    assert all('<input type="hidden" name="lang" value="zh">' in form for form in forms)
    # What is not there in Chinese is not asked for in it.
    assert not re.search(r'"/(hosts|api)/[^"]*lang=(?!zh")', main)
    # The ribbon's links lead to the same page at another time.
    assert 'data-here="/capacity?lang=zh&by=host"' in page


@pytest.mark.parametrize("kind", FINDING_KINDS)
def test_every_kind_of_finding_is_told_in_a_sentence_of_its_language(kind: FindingKind) -> None:
    one = Finding(
        kind, "kvm-01", "key", "mail", True, APRIL.end_ms, APRIL.end_ms - 40 * DAY_MS, 2, None,
        3 << 30, "digest",
    )  # fmt: skip
    page = finding_says(one, APRIL.end_ms)
    with drawn_in("zh"):
        chinese = finding_says(one, APRIL.end_ms)
    assert english(chinese, {"VM"}) == set()
    assert figures(chinese) == figures(page)
    assert chinese.endswith("。")


def test_a_finding_is_dismissed_and_told_again_in_chinese(panel: Web, names: set[str]) -> None:
    page = unescape(panel.text("/capacity?lang=zh"))
    found = re.search(r'href="(/hosts/[^"]*/findings/dismiss\?[^"]*lang=zh)"', page)
    assert found is not None
    asking = panel.text(found[1])
    assert english(said(asking), names) == set()
    assert '<title lang="zh">忽略 ' in asking
    dialog = panel.client.get(f"/ui{found[1]}", headers={"HX-Request": "true"}).text
    assert english(said(f"<main>{dialog}</main>"), names) == set()
    assert '<form class="act" lang="zh"' in dialog
    address = re.search(r'hx-post="([^"]*)"', dialog)
    assert address is not None
    form = dict(re.findall(r'name="(kind|key|facts_digest)" value="([^"]*)"', unescape(dialog)))
    refused = panel.post(address[1], form | {"note": " "})
    assert "请简要说明原因" in refused.text
    done = panel.post(address[1], form | {"note": "留着"})
    assert done.headers["Location"] == "/capacity?lang=zh"
    page = unescape(panel.text("/capacity?lang=zh"))
    assert "忽略：留着" in page
    undo = re.search(r'formaction="(/hosts/[^"]*/undo-dismiss\?[^"]*lang=zh)"', page)
    assert undo is not None
    assert panel.post(undo[1], {}).headers["Location"] == "/capacity?lang=zh"
    assert "该项已重新计入。" in panel.text("/capacity?lang=zh")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("from=2026-04-20&to=2026-04-10", "时段的结束早于开始。"),
        ("from=2999-01-01&to=2999-02-01", "该时段在未来，尚无所知。"),
        ("from=2020-01-01&to=2020-02-01", "该时段的情况未知"),
        ("from=yesterday", "请按 2026-05-01 的格式填写日期。"),
        ("vcpus=many", "请填写整数。"),
        ("memory_gib=x", "请填写以 GiB 为单位的数。"),
        ("vcpus=99999", "请填写 1 到 "),
        ("by=moon", "增长可按以下之一分组"),
        ("owner=nobody", "请填写恰好含有一个 {owner} 的文本"),
        ("of=x", "请用编号指定要绘制的对象。"),
        ("of=9999", "没有这项预测。"),
    ],
)
def test_what_makes_no_sense_is_refused_in_chinese(panel: Web, asked: str, sentence: str) -> None:
    answer = panel.client.get(f"/capacity?{asked}&lang=zh")
    assert answer.status_code == 422
    assert sentence in answer.text
    assert english(said(answer.text), {"fleet", "host", "pool", "owner"}) == set()
    assert '<title lang="zh">请求无法处理 · npvirt</title>' in answer.text
    in_english = panel.client.get(f"/capacity?{asked}")
    assert len(english(said(in_english.text), ())) > 3


def test_a_report_that_there_is_not_is_missed_in_chinese(panel: Web) -> None:
    answer = panel.client.get("/capacity/reports/2020-01?lang=zh")
    assert answer.status_code == 404
    assert english(said(answer.text), ()) == set()
    assert "没有该月的报告。" in answer.text
    assert "There is no report of that month." in panel.client.get("/capacity/reports/2020-01").text
