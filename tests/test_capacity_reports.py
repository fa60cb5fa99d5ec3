"""The capacity report of a month: made once when the month is over, kept, shown and mailed."""

import json
import shutil
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from app.capacity.outlook import outlooks
from app.capacity.periods import day_of, day_text, month_after, month_before
from app.capacity.report import Dismissed, Report, monthly
from app.capacity.words import grows, outlook_name, when_full
from app.clock import DAY_MS, HOUR_MS, rfc3339
from app.collect.reports import Reports
from app.demo.planted import FILLING, IDLE, ORPHANS, OVERCOMMITTED, OVERSIZED
from app.notifier.notifier import Notifier
from app.notifier.report_text import report_lines, subject_of
from app.notifier.sending import Sender
from app.settings import load
from app.store.capacity_reports import (
    get_report,
    keep_report,
    known_at_end,
    list_reports,
    month_due,
)
from app.store.engine import Store
from app.store.notification_log import WantedEvents, events
from app.store.notification_rules import RuleDraft, add_rule
from app.store.notification_targets import add_target
from app.store.retention import Retention, lengths_of
from app.store.verify import verify
from app.web.shapes import capacity as shapes
from tests.demo_support import APRIL, demo_web
from tests.notification_support import post_office
from tests.storing import a_store
from tests.web_support import Web

__all__ = ["a_store"]

pytestmark = pytest.mark.xdist_group("capacity")

LATER_MS = APRIL.end_ms + 2 * HOUR_MS
REPORTS = "/api/v1/capacity/reports"


@pytest.fixture
def data(april_data: Path, tmp_path: Path) -> Path:
    """A copy of the fleet that is nobody's demonstration."""
    copied = shutil.copytree(april_data, tmp_path / "var")
    (copied / "demonstration.json").unlink()
    return copied


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    opened = Store.open(data / "npvirt.sqlite")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def report(april_data: Path) -> Report:
    """That of April."""
    opened = Store.open(april_data / "npvirt.sqlite")
    due = month_due(opened, LATER_MS)
    assert due is not None
    made = monthly(*known_at_end(opened, due))
    opened.close()
    return made


def test_the_months_around_a_day_are_known() -> None:
    for day, month in (("2026-01-31", "2025-12"), ("2026-03-01", "2026-02"),
                       ("2024-03-31", "2024-02"), ("2026-12-31", "2026-11")):  # fmt: skip
        before = month_before(day_of("day", day))
        assert day_text(before.from_day) == f"{month}-01"
        assert day_text(before.end_day) == f"{day[:7]}-01"
    for month, following in (("2025-12", "2026-01"), ("2026-01", "2026-02"), ("2024-01", "2024-02"),
                             ("2026-09", "2026-10"), ("2026-11", "2026-12")):  # fmt: skip
        after = month_after(month)
        assert day_text(after.from_day) == f"{following}-01"
        assert month_before(after.end_day) == after


def test_a_report_tells_every_planted_fact_as_known_when_the_month_ended(report: Report) -> None:
    assert (report.month, report.at_ms) == ("2026-04", 20_574 * DAY_MS)
    assert day_text(report.seen_from_day) == "2026-04-01"
    assert report.first_full is not None
    assert report.first_full.names == (f"{FILLING.host}/{FILLING.pool}",)
    assert list(report.overcommitted) == [OVERCOMMITTED.host]
    by_kind: dict[str, set[str]] = {}
    for one in report.findings:
        by_kind.setdefault(one.kind, set()).add(one.subject)
    assert by_kind == {
        "idle-domain": set(IDLE), "larger-than-needed": set(OVERSIZED),
        "unused-volume": {f"{one.pool}/{one.name}" for one in ORPHANS},
    }  # fmt: skip
    assert report.freed.count == len(report.findings)
    # Of March some days are known.
    assert report.month_before is not None
    assert report.month_before.cut == ("history",)
    fleet = report.growth[0]
    assert (fleet.group, fleet.second.partial) == ("", False)
    assert fleet.second.allocated_bytes is not None
    assert {one.group for one in report.growth[1:]} == {host.host for host in report.promised}
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_the_report_and_the_review_tell_a_forecast_in_the_same_words(
    store: Store, report: Report
) -> None:
    due = month_due(store, LATER_MS)
    assert due is not None
    seen, _ = known_at_end(store, due)
    lines = "\n".join(report_lines(report))
    for one, kept in zip(outlooks(seen), report.foreseen, strict=True):
        said = when_full(one, seen.at_ms)
        assert when_full(kept, report.at_ms) == said
        assert grows(kept.what, kept.per_day) == grows(one.what, one.per_day)
        assert outlook_name(kept) == outlook_name(one)
        if one.what == "storage":
            assert f"{outlook_name(one)}: " in lines
            assert f"full: {said}" in lines
    first = report.foreseen[0]
    for furthest_days, text in ((87, "over 87 days"), (730, "over 2 years")):
        later = replace(first, full_ms=None, furthest_days=furthest_days, refusal=None)
        assert when_full(later, 0) == text
    assert when_full(replace(first, refusal="too-short"), 0) == "history is too short"


def test_of_the_first_month_nothing_is_told_of_the_one_before(data: Path, store: Store) -> None:
    due = month_due(store, 20_574 * DAY_MS)
    assert due is not None
    told = monthly(*known_at_end(store, due))
    assert (told.month, told.month_before) == ("2026-03", None)
    for one in told.growth:
        # Of March some days are known.
        assert (one.first, one.second.partial) == (None, True)
    assert not any(line.startswith("the month before") for line in report_lines(told))
    keep_report(store, told, subject_of(told), LATER_MS)
    web = demo_web(data, APRIL)
    described = json.loads(web.text(f"{REPORTS}/2026-03"))
    assert {one["first"] for one in described["growth"]} == {None}
    assert _as_described(described) == described
    assert "Capacity report of 2026-03" in web.text("/capacity/reports/2026-03")
    web.store.close()


def test_what_was_dismissed_is_told_and_frees_nothing(store: Store, report: Report) -> None:
    due = month_due(store, LATER_MS)
    assert due is not None
    seen, _ = known_at_end(store, due)
    one = report.findings[0]
    note = Dismissed(1, "ada", "Kept for the auditors.")
    told = monthly(seen, {(one.host, one.kind, one.key, one.facts_digest): note})
    assert told.dismissed == {0: note}
    assert told.freed.count == report.freed.count - 1
    assert "1 dismissed are not counted" in "\n".join(report_lines(told))


def test_a_month_is_due_when_it_is_over_and_until_its_report_is_kept(
    store: Store, report: Report
) -> None:
    # History begins in March, of which nobody made a report.
    before = month_due(store, 20_574 * DAY_MS)
    assert before is not None
    assert day_text(before.from_day) == "2026-03-01"
    due = month_due(store, LATER_MS)
    assert due is not None
    assert day_text(due.from_day) == "2026-04-01"
    # A clock that runs ahead ends no month in which nothing was looked at.
    assert month_due(store, LATER_MS + 400 * DAY_MS) == due
    assert keep_report(store, report, subject_of(report), LATER_MS)
    assert month_due(store, LATER_MS) is None
    assert month_due(store, LATER_MS + 400 * DAY_MS) is None
    assert verify(store).wrong == []


def test_nothing_is_due_where_nothing_was_measured(a_store: Store) -> None:
    assert month_due(a_store, LATER_MS) is None
    assert list_reports(a_store, None) == []


def test_it_is_made_once_whoever_tries_and_how_often(data: Path, store: Store) -> None:
    add_rule(store, RuleDraft("Reports", "capacity-report"), "ada")
    add_rule(store, RuleDraft("Off", "capacity-report", enabled=False), "ada")
    settings = load({"NPVIRT_DATA": str(data)})
    other = Store.open(data / "npvirt.sqlite")
    makers = [Reports(settings, one) for one in (store, other)]
    both = threading.Barrier(2)

    def turn(maker: Reports) -> None:
        both.wait(60)
        maker.turn()

    threads = [threading.Thread(target=turn, args=(maker,)) for maker in makers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The next one after a restart.
    Reports(settings, other).turn()
    assert [one.month for one in list_reports(store, None)] == ["2026-04"]
    told, counts = events(store, WantedEvents(), limit=10)
    assert counts == {"warning": 1}
    assert (told[0].rule, told[0].kind, told[0].key) == ("Reports", "report", "2026-04")
    _, report = get_report(store, "2026-04", None)
    # Whoever was late, with all of it made.
    assert not keep_report(other, report, subject_of(report), LATER_MS)
    assert events(store, WantedEvents(), limit=10)[1] == {"warning": 1}
    other.close()


def test_a_demonstration_whose_past_is_not_all_there_waits(
    april_data: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(april_data, tmp_path / "var")
    opened = Store.open(data / "npvirt.sqlite")
    Reports(load({"NPVIRT_DATA": str(data)}), opened).turn()
    assert list_reports(opened, None) == []
    opened.close()


def test_a_report_is_mailed_whole_to_whom_a_rule_names(
    data: Path, store: Store, report: Report
) -> None:
    with post_office() as post:
        settings = load({
            "NPVIRT_DATA": str(data), "NPVIRT_TIMEZONE": "UTC",
            "NPVIRT_SMTP_SERVER": f"127.0.0.1:{post.port}", "NPVIRT_SMTP_SECURITY": "none",
            "NPVIRT_SMTP_FROM": "npvirt@example.test",
        })  # fmt: skip
        target = add_target(store, data, "ops", "mail", "a@example.test", "ada")
        add_rule(
            store, RuleDraft("Reports", "capacity-report", target_ids=(target.id,)), "ada"
        )  # fmt: skip
        assert keep_report(store, report, subject_of(report), LATER_MS)
        for _ in range(2):
            notifier = Notifier(settings, store, Sender(settings, store, between_s=0))
            notifier.turn()
            assert notifier.sender.wait(60)
            notifier.stop()
        (text,) = post.mails
    mail = message_from_bytes(text, policy=default)
    assert mail["Subject"] == "[npvirt] Capacity report of 2026-04"
    said = mail.get_content()
    assert "/capacity/reports/2026-04" in said
    assert f"{FILLING.host}/{FILLING.pool}: " in said
    assert "5 volumes that no VM uses" in said
    for line in report_lines(report):
        assert line in said


def test_reports_go_with_the_days_that_they_are_of(
    data: Path, store: Store, report: Report
) -> None:
    keep_report(store, report, subject_of(report), LATER_MS)
    lengths = lengths_of(load({"NPVIRT_DATA": str(data)}))
    for daily_ms, months in ((DAY_MS, ["2026-04"]), (10 * 60_000, [])):
        retention = Retention(store, replace(lengths, daily_ms=daily_ms))
        while retention.step(LATER_MS, 60):
            pass
        assert [one.month for one in list_reports(store, None)] == months


def _as_described(told: Any) -> Any:
    """What the shape of a report holds of one: all of it, and no more."""
    return msgspec.json.decode(msgspec.json.encode(msgspec.convert(told, shapes.Report)))


# --- pages and API -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def panel(
    april_data: Path, report: Report, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    """The web over a copy of the fleet with the report in it."""
    made = demo_web(shutil.copytree(april_data, tmp_path_factory.mktemp("web") / "var"), APRIL)
    keep_report(made.store, report, subject_of(report), LATER_MS)
    yield made
    made.store.close()


def test_reports_are_listed_and_read_again(panel: Web, report: Report) -> None:
    assert 'href="/capacity/reports"' in panel.text("/capacity")
    page = panel.text("/capacity/reports")
    assert 'href="/capacity/reports/2026-04"' in page
    assert "1 May 2026, 02:20" in page
    assert 'href="/api/v1/capacity/reports?format=csv"' in page
    page = unescape(panel.text("/capacity/reports/2026-04"))
    assert "Capacity report of 2026-04" in page
    for name in (*IDLE, *OVERSIZED, f"{FILLING.host}/{FILLING.pool}", OVERCOMMITTED.host):
        assert name in page
    told = json.loads(panel.text(f"{REPORTS}/2026-04"))
    assert told["at"] == "2026-05-01T00:00:00Z"
    assert told["period"] == {"from": "2026-04-01", "to": "2026-04-30", "cut": []}
    assert len(told["reclaim"]) == len(report.findings)
    assert told["growth"][0]["second"]["allocated_bytes"] == (
        report.growth[0].second.allocated_bytes
    )
    assert _as_described(told) == told
    assert set(told) == set(shapes.Report.__annotations__)
    listed = json.loads(panel.text(REPORTS))
    assert (listed["total"], listed["page"], listed["counts"]) == (1, 1, {})
    (item,) = listed["items"]
    assert item == {name: told[name] for name in ("month", "at", "made_at")}
    assert panel.text(f"{REPORTS}?format=csv").splitlines()[0] == "month,at,made_at"


def test_its_tables_are_those_of_the_review_as_known_then(panel: Web) -> None:
    page = unescape(panel.text("/capacity/reports/2026-04"))
    links = {part.partition('"')[0] for part in page.split('href="')[1:] if "format=csv" in part}
    links = {link for link in links if link.startswith("/api/v1/capacity?")}
    assert len(links) == 5
    for link in links:
        answer = panel.client.get(link)
        assert (answer.status_code, answer.mimetype) == (200, "text/csv"), link


def test_the_list_of_reports_is_narrowed_sorted_and_paged(panel: Web, report: Report) -> None:
    march = replace(report, month="2026-03")
    assert keep_report(panel.store, march, subject_of(march), LATER_MS + 1)
    try:

        def months(query: str) -> list[str]:
            return [one["month"] for one in json.loads(panel.text(f"{REPORTS}?{query}"))["items"]]

        assert months("") == months("sort=made") == ["2026-04", "2026-03"]
        assert months("sort=month") == ["2026-03", "2026-04"]
        assert months("q=2026-03") == months("per_page=1&page=2") == ["2026-03"]
        lines = panel.text(f"{REPORTS}?format=csv&sort=month").splitlines()
        assert lines[0] == "month,at,made_at"
        assert [line.partition(",")[0] for line in lines[1:]] == ["2026-03", "2026-04"]
    finally:
        with panel.store.writing() as connection:
            connection.exec_driver_sql("DELETE FROM capacity_report WHERE month = '2026-03'")


def test_of_a_moment_before_it_was_made_there_is_none(panel: Web) -> None:
    before, after = (rfc3339(LATER_MS + more) for more in (-1, 0))
    assert json.loads(panel.text(f"{REPORTS}?at={before}"))["items"] == []
    assert "There is no report yet" in panel.text(f"/capacity/reports?at={before}")
    assert panel.client.get(f"{REPORTS}/2026-04?at={before}").status_code == 404
    assert panel.client.get(f"/capacity/reports/2026-04?at={before}").status_code == 404
    assert f"/capacity/reports/2026-04?at={after}" in panel.text(f"/capacity/reports?at={after}")
    assert panel.client.get(f"{REPORTS}/2026-04?at={after}").status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{REPORTS}/2026-05", 404), (f"{REPORTS}/moon", 404), (f"{REPORTS}?format=xml", 422),
        (f"{REPORTS}?sort=hosts", 422), (f"{REPORTS}/2026-04?format=csv", 422),
        ("/capacity/reports/2026-13", 404), ("/capacity/reports?at=2999-01-01T00:00Z", 422),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(panel: Web, path: str, status: int) -> None:
    assert panel.client.get(path).status_code == status


def test_who_sees_some_hosts_reads_none(panel: Web) -> None:
    panel.sign_in("limited", "viewer", ["kvm-03"])
    try:
        for path in (REPORTS, f"{REPORTS}/2026-04", "/capacity/reports/2026-04"):
            assert panel.client.get(path).status_code == 403
        assert "/capacity/reports" not in panel.text("/capacity")
    finally:
        panel.sign_in()


def test_a_rule_of_reports_is_about_all_hosts(panel: Web) -> None:
    page = panel.text("/notifications/rules/add?kind=capacity-report")
    assert "A report is of all hosts." in page
    assert 'name="hosts"' not in page
