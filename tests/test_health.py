"""npvirt's own health: page, JSON and metrics, from the store and what the process counted."""

import json
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from app.clock import DAY_MS, HOUR_MS, MINUTE_MS, now_ms
from app.collect.collector import Collector
from app.collect.worker import WorkerFigures
from app.connection import Connection
from app.inventory import Missing, Scan
from app.notification.values import Target
from app.services import attach, services_of
from app.store import scan_figures as module
from app.store.engine import Store
from app.store.history import HostStatus, HostView, fleet
from app.store.hosts import HostRecord, add_host
from app.store.looked_after import LookedAfter, note
from app.store.notification_messages import Outcome, begin_test, conclude
from app.store.notification_rules import RuleDraft, add_rule
from app.store.notification_targets import add_target
from app.store.record import Recorder
from app.store.scan_figures import ScanFigures, scan_figures
from app.web.format import duration
from app.web.health_page import _looking
from app.web.health_report import HostReport
from tests.signing import bearer
from tests.storing import a_host, a_store
from tests.test_collector import DEMO
from tests.waiting import until
from tests.web_support import HOSTILE, Web

__all__ = ["a_store"]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from one look to the next."""
    monkeypatch.setattr(module, "_FRESH_S", 0.0)
    monkeypatch.setattr(module, "_PATIENCE", 0)


def health(web: Web) -> Any:
    """The JSON."""
    return json.loads(web.text("/api/v1/health"))


def metrics(web: Web, **headers: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    answer = web.client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


# --- the figures of scans -------------------------------------------------------------------


def test_scans_of_a_day_are_counted_by_outcome_with_their_lengths_and_gaps(a_store: Store) -> None:
    record = a_host(a_store, "kvm-01")
    recorder = Recorder(a_store, record, MINUTE_MS)
    at_ms = now_ms() - 20 * HOUR_MS
    # One of the day before yesterday, which does not count, nor does the time after it.
    recorder.record(Scan(at_ms - 30 * HOUR_MS, 1, ok=True))
    recorder.record(Scan(at_ms, 100, ok=True, rpc_count=16))
    recorder.record(Scan(at_ms + MINUTE_MS, 300, ok=True, rpc_count=20))
    part = (Missing("pools", "they hang"),)
    recorder.record(Scan(at_ms + 2 * MINUTE_MS, 200, ok=True, missing=part))
    for n in range(2):
        recorder.record(Scan(at_ms + (3 + n) * MINUTE_MS, 9, ok=False, problem="no-answer"))
    recorder.record(Scan(at_ms + 5 * MINUTE_MS, 9, ok=False, problem="lost"))
    # Two ticks are missing, which is late; then two hours, which is a gap.
    recorder.record(Scan(at_ms + 8 * MINUTE_MS, 100, ok=True))
    recorder.record(Scan(at_ms + 128 * MINUTE_MS, 100, ok=True))
    # The wall clock stepped: that nobody looked for two hours is not known.
    recorder.record(Scan(at_ms + 248 * MINUTE_MS, 100, ok=True, clock_stepped=True))
    assert scan_figures(a_store)[record.id] == ScanFigures(
        scans=9, failed=3, partial=1, errors={"no-answer": 2, "lost": 1}, took_mean_ms=150.0,
        took_most_ms=300, calls_mean=18.0, gaps=1, gap_ms=2 * HOUR_MS, missed=2 + 119, stepped=1,
    )  # fmt: skip


def test_the_figures_are_kept_for_a_while(a_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRESH_S", 60.0)
    record = a_host(a_store, "kvm-01")
    recorder = Recorder(a_store, record, MINUTE_MS)
    recorder.record(Scan(now_ms(), 1, ok=True))
    first = scan_figures(a_store)
    recorder.record(Scan(now_ms() + 1, 1, ok=True))
    assert scan_figures(a_store) is first


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "–"), (0.085, "85 ms"), (4.21, "4.2 s"), (9.99, "10 s"), (185, "3 min 5 s"),
     (120, "2 min"), (7620, "2 h 7 min"), (356_400, "4 d 3 h")],
)  # fmt: skip
def test_lengths_of_time_are_told_in_their_greatest_units(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


# --- the page and the JSON ------------------------------------------------------------------


def test_the_page_tells_of_every_host_of_the_schedule_the_store_and_the_process(web: Web) -> None:
    page = web.text("/health")
    for text in ("kvm-01", "kvm-02", "kvm-03", "Scheduler", "Write-ahead log", "Threads"):
        assert text in page
    # This one is not started, and says so.
    assert "The scheduler has not started yet." in page
    assert "1 of 3 hosts does not answer: kvm-03." in page
    part = web.text("/ui/health")
    assert part.lstrip().startswith('<div class="page" id="page" hx-get="/ui/health"')
    assert "<script" not in part
    assert 'style="' not in part
    assert 'href="/health"' in page


def test_what_a_host_says_cannot_break_the_page_or_the_metrics(web: Web) -> None:
    record = next(one.record for one in fleet(web.store, None).hosts if one.slug == "kvm-02")
    scan = Scan(now_ms(), 7, ok=True, missing=(Missing(HOSTILE, HOSTILE),))
    Recorder(web.store, record, MINUTE_MS).record(scan)
    assert "<script>alert" not in web.text("/health")
    scan = Scan(now_ms() + 10, 7, ok=False, problem='a"b\\c\nd', sentence=HOSTILE)
    Recorder(web.store, record, MINUTE_MS).record(scan)
    assert metrics(web)["npvirt_host_last_day_errors", "kvm-02", 'a"b\\c\nd'] == 1
    assert "<script>alert" not in web.text("/health")


def test_the_json_tells_the_same_in_numbers_and_unknown_is_null(web: Web) -> None:
    found = health(web)
    assert found["ok"] is False
    assert found["collector"] is None
    assert found["scheduler"]["ok"] is False
    assert found["scheduler"]["tick_age_seconds"] is None
    hosts = {host["host"]: host for host in found["hosts"]}
    assert hosts["kvm-03"]["condition"] == "unknown"
    assert hosts["kvm-03"]["last_day"]["failed"] == sum(
        hosts["kvm-03"]["last_day"]["errors"].values()
    )
    assert found["store"]["file_bytes"] > 0
    assert found["process"]["threads"] >= 1
    assert found["process"]["pss_bytes"] > 1 << 20
    assert found["process"]["open_files"] > 3


def test_whoever_is_limited_to_some_hosts_sees_those_alone(web: Web) -> None:
    web.sign_in("fay", "viewer", ["kvm-01"])
    page = web.text("/health")
    assert "kvm-01" in page
    assert "kvm-02" not in page
    assert "kvm-03" not in page
    assert [host["host"] for host in health(web)["hosts"]] == ["kvm-01"]
    hosts = {key[1] for key in metrics(web) if key[0].startswith("npvirt_host_")}
    assert hosts == {"kvm-01"}


def test_a_running_collector_is_told_with_its_ticks(empty_web: Web) -> None:
    settings = replace(empty_web.settings, scan_seconds=0.4)
    collector = Collector(settings, empty_web.store)
    known = services_of(empty_web.app)
    attach(empty_web.app, replace(known, settings=settings, collector=collector))
    add_host(empty_web.store, "demo", DEMO)
    collector.start()
    try:
        until(lambda: health(empty_web)["scheduler"]["ticks"] > 2)
        until(lambda: metrics(empty_web).get(("npvirt_host_known", "demo")) == 1)
        found = health(empty_web)
        assert found["ok"] is True, found["troubles"]
        assert found["collector"]["this_process"] is True
        assert found["collector"]["pid"] == found["process"]["pid"]
        assert found["scheduler"]["tick_age_seconds"] < 20
        worker = found["hosts"][0]["worker"]
        assert worker["looks"] >= 1
        assert worker["late_seconds"] < 20
        told = metrics(empty_web)
        assert 0 <= told["npvirt_host_scan_late_seconds", "demo"] < 20
        assert told["npvirt_scheduler_ok",] == 1
        assert told["npvirt_collecting",] == 1
        assert told["npvirt_host_last_day_scans", "demo", "ok"] >= 1
        assert told["npvirt_host_scan_age_seconds", "demo"] < 20
        assert "All hosts answer" in empty_web.text("/health")
    finally:
        collector.stop()


# --- the metrics ----------------------------------------------------------------------------


def test_metrics_are_openmetrics_of_which_every_name_says_its_unit(web: Web) -> None:
    found = metrics(web)
    assert found["npvirt_host_known", "kvm-01"] == 1
    assert found["npvirt_host_known", "kvm-03"] == 0
    assert found["npvirt_host_missing_parts", "kvm-02"] >= 1
    assert found["npvirt_store_file_bytes",] > 0
    assert found["npvirt_process_cpu_seconds_total",] > 0
    # Not known is not there: kvm-03 has been asked, but nobody counted its calls.
    assert ("npvirt_scheduler_tick_age_seconds",) not in found
    assert web.text("/metrics").endswith("# EOF\n")


def test_metrics_need_a_viewer_by_session_or_token(web: Web) -> None:
    web.sign_out()
    answer = web.client.get("/metrics")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert metrics(web, **bearer(web.store, "viewer"))["npvirt_host_known", "kvm-01"] == 1


def test_a_parameter_that_is_not_known_is_refused(web: Web) -> None:
    for address in ("/health?x=1", "/api/v1/health?x=1", "/metrics?x=1"):
        assert web.client.get(address).status_code == 422


def test_a_look_that_lasts_is_told_while_it_does() -> None:
    record = HostRecord(1, "slow", Connection(), True, None, 0)
    view = HostView("slow", record, HostStatus(known=True, unknown_since_ms=None), None)

    def told(looking_s: float | None) -> str:
        worker = WorkerFigures(3, looking_s, 0.0)
        return _looking(HostReport(view, "ok", ScanFigures(), worker, 0))

    assert told(4.2) == "4.2 s"
    assert told(0.3) == ""
    assert told(None) == ""
    assert _looking(HostReport(view, "ok", ScanFigures(), None, 0)) == ""


def test_the_last_backup_and_look_for_damage_are_told(web: Web) -> None:
    assert health(web)["store"]["backup"] is None
    assert ("npvirt_store_backup_ok",) not in metrics(web)
    note(web.store, "verified", LookedAfter(now_ms() - 5_000, 70, ok=True, value=3))
    done = LookedAfter(now_ms() - 60_000, 9, ok=False, sentence="The disk is <full>.")
    note(web.store, "backup", done)
    found = health(web)
    assert found["store"]["verified"]["ok"] is True
    assert found["store"]["backup"]["ok"] is False
    assert "The disk is <full>." in found["troubles"]
    page = web.text("/health")
    assert "The disk is &lt;full&gt;." in page
    told = metrics(web)
    assert told["npvirt_store_backup_ok",] == 0
    assert told["npvirt_store_verified_ok",] == 1
    assert 59 < told["npvirt_store_backup_age_seconds",] < 200


# --- notifications --------------------------------------------------------------------------


def _sent(
    web: Web, target: Target, outcome: Outcome, *, again: bool = False, at_ms: int | None = None
) -> None:
    at_ms = now_ms() if at_ms is None else at_ms
    message = begin_test(web.store, target, at_ms)
    conclude(web.store, message, outcome, at_ms, at_ms + 60_000 if again else None)


def _target(web: Web, name: str, *, enabled: bool = True) -> Target:
    return add_target(
        web.store, web.settings.data, name, "mail", "a@npvirt.test", "ada", enabled=enabled
    )


def test_notifications_that_do_not_arrive_are_told(web: Web) -> None:
    add_rule(web.store, RuleDraft("r", "domain-crashed"), "ada")
    add_rule(web.store, RuleDraft("off", "domain-crashed", enabled=False), "ada")
    good, bad, over = (_target(web, name) for name in ("a-good", "b-bad <x>", "c-over"))
    _target(web, "d-disabled", enabled=False)
    _sent(web, good, Outcome("sent", "Taken."))
    _sent(web, bad, Outcome("failed", "The server said no."), again=True)
    _sent(web, over, Outcome("failed", "Nobody there."))
    _sent(web, over, Outcome("unknown", "Nobody answered."))
    told = health(web)
    assert "Notifications do not reach b-bad <x>: The server said no." in told["troubles"]
    assert "1 notification to c-over could not be sent in the last day." in told["troubles"]
    assert not any("a-good" in sentence for sentence in told["troubles"])
    found = told["notifications"]
    assert (found["rules"], found["enabled_rules"]) == (2, 1)
    first, second, third, fourth = found["targets"]
    assert (first["last_day"]["sent"], first["last_sent_at"] is None) == (1, False)
    assert (second["waiting"], second["sentence"]) == (1, "The server said no.")
    assert third["last_day"] == {"sent": 0, "failed": 1, "unknown": 1}
    assert (third["last_sent_at"], third["last_failed_at"] is None) == (None, False)
    assert (fourth["enabled"], fourth["last_sent_at"]) == (False, None)
    figures = metrics(web)
    assert figures["npvirt_notification_rules",] == 1
    assert figures["npvirt_notification_waiting_messages", "b-bad <x>"] == 1
    assert figures["npvirt_notification_waiting_seconds", "b-bad <x>"] < 600
    assert figures["npvirt_notification_last_day_messages", "c-over", "failed"] == 1
    assert figures["npvirt_notification_last_sent_age_seconds", "a-good"] < 600
    assert ("npvirt_notification_last_sent_age_seconds", "c-over") not in figures
    assert figures["npvirt_notification_last_failed_age_seconds", "c-over"] < 600
    assert ("npvirt_notification_last_failed_age_seconds", "b-bad <x>") not in figures
    page = web.text("/health")
    assert "b-bad &lt;x&gt;" in page
    assert "1 waiting" in page


def test_what_was_given_up_is_no_trouble_once_something_arrived(web: Web) -> None:
    target, since_ms = _target(web, "ops"), now_ms() - MINUTE_MS
    _sent(web, target, Outcome("failed", "Nobody there."), at_ms=since_ms)
    sentence = "1 notification to ops could not be sent in the last day."
    assert sentence in health(web)["troubles"]
    _sent(web, target, Outcome("sent", "Taken."), at_ms=since_ms + 1000)
    told = health(web)
    assert not any("ops" in one for one in told["troubles"])
    assert told["notifications"]["targets"][0]["last_day"]["failed"] == 1
    assert "1 given up in 24 h" in web.text("/health")
    _sent(web, target, Outcome("failed", "Nobody there."), at_ms=since_ms + 2000)
    assert sentence.replace("1 notification", "2 notifications") in health(web)["troubles"]


def test_what_was_given_up_days_ago_is_told_until_something_arrives(web: Web) -> None:
    target, then_ms = _target(web, "ops"), now_ms() - 5 * DAY_MS
    _sent(web, target, Outcome("failed", "Nobody there."), at_ms=then_ms)
    told = health(web)
    assert "The last notification to ops could not be sent." in told["troubles"]
    assert told["notifications"]["targets"][0]["last_day"]["failed"] == 0
    age_s = metrics(web)["npvirt_notification_last_failed_age_seconds", "ops"]
    assert 5 * DAY_MS / 1000 <= age_s < 6 * DAY_MS / 1000
    _sent(web, target, Outcome("sent", "Taken."))
    assert not any("ops" in one for one in health(web)["troubles"])


def test_who_does_not_see_all_hosts_is_told_nothing_of_notifications(web: Web) -> None:
    target = _target(web, "secret-chat")
    _sent(web, target, Outcome("failed", "The server said no."), again=True)
    web.sign_in("limited", "admin", ["kvm-01"])
    assert health(web)["notifications"] is None
    for address in ("/api/v1/health", "/health", "/ui/health", "/metrics"):
        answer = web.text(address)
        assert "secret-chat" not in answer
