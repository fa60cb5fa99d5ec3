"""A real Prometheus scrapes a running panel with a token, as docs/prometheus says; the alert rules
fire on planted facts, and every expression of the dashboard is asked.

The panel serves a store that the test fills, while the test holds the collector's lock: nothing
else scans. Rules fire at once here; `promtool test rules` says that they wait as long as they say.

Planted to see it fail: a token of nobody, a text without its end, a metric's name in a rule and in
the dashboard that is not npvirt's, a label in the dashboard that there is not, a host that is down
and told as up, an alert on notifications that does not end.
"""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.clock import now_ms
from app.collect.leadership import Leadership
from app.inventory import Scan
from app.notification.values import Target
from app.store.engine import Store
from app.store.hosts import get_host
from app.store.looked_after import LookedAfter, note
from app.store.notification_targets import WebhookSecret, add_target, new_key
from app.store.record import Recorder
from tests.fleet_support import KNOWN_MS, make_scan, scan_whole_host
from tests.made_once import open_store
from tests.notification_support import receiver
from tests.panel import Panel, panel
from tests.prometheus_support import Prometheus

pytestmark = pytest.mark.xdist_group("prometheus")

DOCS = Path(__file__).parents[1] / "docs"
RULES = DOCS / "prometheus" / "npvirt.rules.yml"
ALERTS = set(re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8")))
DASHBOARD = json.loads((DOCS / "grafana" / "npvirt.json").read_text(encoding="utf-8"))
# Of the host that is scanned between two scrapes.
GROWS = 'rate(libvirt_domain_block_stats_read_bytes_total{host="kvm-09"}[5m]) > 0'
# Of these panels there is nothing to tell here: this process has no workers.
NOTHING_TOLD = {"Scans later than due"}


class Watched(NamedTuple):
    """The panel, its store, and what scrapes it."""

    panel: Panel
    data: Path
    store: Store
    prometheus: Prometheus


def configured(directory: Path, running: Panel) -> Path:
    """The example's configuration, for this panel, with the rules beside it, all in haste."""
    token = directory / "npvirt.token"
    token.write_text(running.token, encoding="ascii")
    rules = RULES.read_text(encoding="utf-8")
    (directory / RULES.name).write_text(re.sub(r"\n +for: \w+", "", rules), encoding="utf-8")
    text = (DOCS / "prometheus" / "scrape.yml").read_text(encoding="utf-8")
    for old, new in (
        ("/etc/prometheus/npvirt.token", str(token)),
        ("127.0.0.1:8040", running.url.removeprefix("http://")),
        ("scrape_interval: 60s", "scrape_interval: 2s"),
        ("scrape_timeout: 10s", "scrape_timeout: 2s"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = directory / "prometheus.yml"
    path.write_text(f"global:\n  evaluation_interval: 1s\n{text}", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def watched(filled_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("prometheus")
    data = shutil.copytree(filled_data, directory / "var")
    lock = Leadership(data)
    assert lock.acquire()
    store = open_store(data / "npvirt.sqlite")
    note(store, "backup", LookedAfter(now_ms(), 9, ok=True, value=1))
    scan_whole_host(store, 10**9)
    try:
        with panel(data) as running:
            configuration = configured(directory, running)
            with Prometheus(configuration, directory / "tsdb") as prometheus:
                prometheus.until(lambda: prometheus.query("count_over_time(npvirt_info[1m]) > 2"))
                scan_whole_host(store, 2 * 10**9)
                prometheus.until(lambda: prometheus.query(GROWS))
                yield Watched(running, data, store, prometheus)
    finally:
        store.close()
        lock.release()


def scan_host(store: Store, number: int, slug: str, *, ok: bool) -> None:
    """One more scan of a host of the filled store."""
    record = get_host(store, slug)
    recorder = Recorder(store, record, KNOWN_MS)
    if ok:
        recorder.record(make_scan(number, record, now_ms(), 24, 900))
        return
    recorder.record(Scan(now_ms(), 10, ok=False, problem="timeout", sentence="No answer."))


def firing(prometheus: Prometheus) -> set[tuple[str, ...]]:
    """Alerts that fire: their names, hosts and what they are about."""
    return {
        tuple(alert["labels"].get(name, "") for name in ("alertname", "host", "pool", "domain"))
        for alert in prometheus.data("alerts")["alerts"]
        if alert["state"] == "firing"
    }


def sent_test(watched: Watched, target: Target) -> str:
    """What came of a test to a target that the panel sends."""
    address = f"{watched.panel.url}/api/v1/notifications/targets/{target.id}/test"
    asked = urllib.request.Request(address, headers=watched.panel.headers, method="POST")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return str(json.load(answer)["item"]["state"])


# --- the scrape -----------------------------------------------------------------------------


def test_the_panel_is_scraped_with_its_token_and_without_an_error(watched: Watched) -> None:
    def up() -> list[Any]:
        found: list[Any] = watched.prometheus.data("targets")["activeTargets"]
        # On a busy machine one scrape or another may time out.
        return found if [(one["health"], one["lastError"]) for one in found] == [("up", "")] else []

    assert watched.prometheus.until(up)[0]["scrapeUrl"] == f"{watched.panel.url}/metrics"
    watched.prometheus.until(lambda: watched.prometheus.query("scrape_samples_scraped > 500"))
    # What was dropped as a double, out of order or too old.
    assert "Error on ingesting" not in watched.prometheus.said()


def test_prometheus_knows_what_each_metric_is(watched: Watched) -> None:
    metadata = watched.prometheus.data("metadata", limit="1000")
    told = metadata["libvirt_domain_block_stats_read_bytes"][0]
    assert told == {"type": "counter", "unit": "bytes", "help": "Bytes read from a disk."}
    assert metadata["libvirt_up"][0]["type"] == "gauge"


def test_promtool_finds_nothing_to_say_of_the_text(watched: Watched) -> None:
    headers = {**watched.panel.headers, "Accept": "text/plain"}
    asked = urllib.request.Request(f"{watched.panel.url}/metrics", headers=headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        text = answer.read()
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


# --- the rules ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", str(RULES)),
        ("test", "rules", str(Path(__file__).parent / "prometheus" / "npvirt.rules.test.yml")),
    ],
    ids=("check", "test"),
)
def test_promtool_finds_the_rules_sound(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_every_rule_is_tried_and_told_in_the_docs() -> None:
    tried = (Path(__file__).parent / "prometheus" / "npvirt.rules.test.yml").read_text()
    docs = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ((?:Npvirt|Libvirt)\w+) \|", docs, re.M)) == ALERTS
    for name in ALERTS:
        assert name in tried


def test_every_rule_is_evaluated_without_an_error(watched: Watched) -> None:
    def evaluated() -> list[Any]:
        groups = watched.prometheus.data("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return [] if any(rule["health"] == "unknown" for rule in rules) else rules

    rules = watched.prometheus.until(evaluated)
    assert {rule["name"] for rule in rules} == ALERTS
    assert [(rule["health"], rule.get("lastError", "")) for rule in rules] == [
        ("ok", "") for _ in rules
    ]


def test_alerts_fire_on_what_is_so_and_end_when_it_is_over(watched: Watched) -> None:
    store, prometheus = watched.store, watched.prometheus
    silent = ("LibvirtHostNotSeen", "kvm-06", "", "")
    planted = {
        silent,
        ("LibvirtPoolNearlyFull", "kvm-01", "fast-nvme", ""),
        ("LibvirtDomainCrashed", "kvm-01", "", "db-primary"),
        ("LibvirtDomainPausedOnError", "kvm-01", "", "ci-runner-03"),
    }
    # In one moment: where a busy machine's scrape times out, nothing fires until the next.
    told = prometheus.until(lambda: (now := firing(prometheus)) >= planted and now)
    assert {one[1] for one in told if one[0] == "LibvirtHostNotSeen"} == {"kvm-06"}
    # Below nine tenths; and of a host that does not answer nothing is known.
    nearly_full = {one[1:3] for one in told if one[0] == "LibvirtPoolNearlyFull"}
    assert nearly_full == {("kvm-01", "fast-nvme")}
    assert not {one for one in told if one[0].startswith("NpvirtStore")}
    scan_host(store, 2, "kvm-06", ok=True)
    scan_host(store, 1, "kvm-02", ok=False)
    prometheus.until(lambda: ("LibvirtHostNotSeen", "kvm-02", "", "") in firing(prometheus))
    prometheus.until(lambda: silent not in firing(prometheus))
    # Nothing of it is left but that it is down.
    prometheus.until(lambda: prometheus.query('libvirt_up{host="kvm-02"} == 0'))
    assert not prometheus.query('{__name__=~"libvirt_.*", __name__!="libvirt_up", host="kvm-02"}')


def test_an_alert_on_notifications_ends_when_one_arrives(watched: Watched) -> None:
    waits = ("NpvirtNotificationsWait", "", "", "")
    with receiver() as chat:
        chat.answer = lambda _: 503
        secret = WebhookSecret(chat.url, new_key())
        target = add_target(
            watched.store, watched.data, "chat", "webhook", "http://shown", "ada", secret=secret
        )
        assert sent_test(watched, target) == "failed"
        watched.prometheus.until(lambda: waits in firing(watched.prometheus))
        chat.answer = lambda _: 204
        assert sent_test(watched, target) == "sent"
        watched.prometheus.until(lambda: waits not in firing(watched.prometheus))


# --- the dashboard --------------------------------------------------------------------------


def with_variables(expression: str) -> str:
    """An expression of the dashboard with everything chosen that has the label: one that is called
    otherwise gives nothing.
    """
    return re.sub(r"\$(?:instance|host|domain|pool)\b", ".+", expression)


def expressions() -> Iterator[tuple[str, str]]:
    """Each panel's title and one of its expressions."""
    for one in DASHBOARD["panels"]:
        for target in one.get("targets", ()):
            yield one["title"], target["expr"]


def test_every_expression_of_the_dashboard_gives_series(watched: Watched) -> None:
    told = [(title, with_variables(expression)) for title, expression in expressions()]
    assert len(told) > 50
    assert not [expression for _, expression in told if "$" in expression]

    def silent() -> set[str]:
        return {title for title, expression in told if not watched.prometheus.query(expression)}

    # Where a busy machine's scrape times out, nothing is told until the next.
    watched.prometheus.until(lambda: silent() == NOTHING_TOLD)


def test_every_variable_of_the_dashboard_has_values(watched: Watched) -> None:
    names = []
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] != "query":
            continue
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert found is not None
        metric, label = found.groups()
        asked = f"count by ({label}) ({with_variables(metric)})"
        values = watched.prometheus.until(partial(watched.prometheus.query, asked))
        assert all(one["metric"][label] for one in values)
        names.append(variable["name"])
    assert names == ["instance", "host", "domain", "pool"]


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for one in panels:
        place = one["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not taken & cells, one["title"]
        taken |= cells
