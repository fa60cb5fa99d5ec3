"""npvirt's own metrics, of its health: the table that declares them, and their families.

The same report as the page of health; which hosts are in it depends on who asks. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from app import __version__
from app.store.looked_after import LookedAfter
from app.store.notification_figures import TargetFigures
from app.web.health_report import HostReport, Report
from app.web.openmetrics import Family, Type, family_of, labels_text, with_labels


class OwnMetric(Struct, frozen=True):
    """One number of npvirt's own."""

    name: str
    help: str
    value: Callable[[Report], float | None]
    type: Type = "gauge"


class HostMetric(Struct, frozen=True):
    """What npvirt tells of its scans of a host: a number, or one for each value of `label`."""

    name: str
    help: str
    values: Callable[[HostReport], Mapping[str, float | None]]
    type: Type = "gauge"
    label: str = ""


class TargetMetric(Struct, frozen=True):
    """What npvirt tells of a target of notifications, to who sees all hosts: a number, or one for
    each value of `label`. Handed the time of the report as well.
    """

    name: str
    help: str
    values: Callable[[TargetFigures, int], Mapping[str, float | None]]
    type: Type = "gauge"
    label: str = ""


def _age_s(report: Report, done: LookedAfter | None) -> float | None:
    return None if done is None else _since_s(done.at_ms, report.at_ms)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _last_step_s(report: Report) -> float | None:
    step = report.supervision.pulse.last_step
    return None if step is None else step.by_ms / 1000


def _ok(done: LookedAfter | None) -> bool | None:
    return None if done is None else done.ok


def _rules(report: Report) -> int | None:
    told = report.notifications
    return None if told is None else told.enabled_rules


def _since_s(then_ms: int | None, now_ms: int) -> float | None:
    return None if then_ms is None else max(0.0, (now_ms - then_ms) / 1000)


def _ended(target: TargetFigures, _now_ms: int) -> Mapping[str, int]:
    return {"sent": target.sent, "failed": target.failed, "unknown": target.unknown}


def _one(value: Callable[[HostReport], float | None]) -> Callable[[HostReport], Mapping[str, Any]]:
    return lambda host: {"": value(host)}


def _outcomes(host: HostReport) -> Mapping[str, int]:
    scans = host.scans
    whole = scans.scans - scans.failed - scans.partial
    return {"ok": whole, "partial": scans.partial, "failed": scans.failed}


OWN_METRICS: tuple[OwnMetric, ...] = (
    OwnMetric(
        "npvirt_scheduler_ok", "Whether the schedule goes on.", lambda report: report.health.ok
    ),
    OwnMetric(
        "npvirt_collecting", "Whether this process scans.",
        lambda report: report.health.collecting,
    ),
    OwnMetric(
        "npvirt_collector_tick_age_seconds", "Time since the process that scans last ticked.",
        lambda report: report.holder_age_s,
    ),
    OwnMetric(
        "npvirt_scheduler_tick_age_seconds", "Time since this process last ticked.",
        lambda report: report.supervision.pulse.age_s,
    ),
    OwnMetric(
        "npvirt_scheduler_ticks", "Ticks of this process.",
        lambda report: report.supervision.pulse.ticks, "counter",
    ),
    OwnMetric(
        "npvirt_scheduler_missed_ticks", "Ticks that never came.",
        lambda report: report.supervision.pulse.missed, "counter",
    ),
    OwnMetric(
        "npvirt_scheduler_late_seconds", "How late the last tick was.",
        lambda report: report.supervision.pulse.late_s,
    ),
    OwnMetric(
        "npvirt_scheduler_replacements", "Schedulers that died or were stuck.",
        lambda report: report.supervision.renewals, "counter",
    ),
    OwnMetric(
        "npvirt_clock_steps", "Steps of the wall clock.",
        lambda report: report.supervision.pulse.steps, "counter",
    ),
    OwnMetric(
        "npvirt_clock_last_step_seconds", "By how much the wall clock last stepped.",
        _last_step_s,
    ),
    OwnMetric(
        "npvirt_store_file_bytes", "The store's file.", lambda report: report.files.file_bytes
    ),
    OwnMetric(
        "npvirt_store_wal_bytes", "The store's write-ahead log.",
        lambda report: report.files.wal_bytes,
    ),
    OwnMetric(
        "npvirt_store_disk_free_bytes", "What is left where the store lies.",
        lambda report: report.files.disk_free_bytes,
    ),
    OwnMetric(
        "npvirt_store_ok", "Whether the store can be read and written.",
        lambda report: report.store_trouble is None,
    ),
    OwnMetric(
        "npvirt_store_verified_age_seconds", "The last look for damage was so long ago.",
        lambda report: _age_s(report, report.verified),
    ),
    OwnMetric(
        "npvirt_store_verified_ok", "The last look for damage went well.",
        lambda report: _ok(report.verified),
    ),
    OwnMetric(
        "npvirt_store_backup_age_seconds", "The last backup was so long ago.",
        lambda report: _age_s(report, report.backup),
    ),
    OwnMetric(
        "npvirt_store_backup_ok", "The last backup went well.", lambda report: _ok(report.backup)
    ),
    OwnMetric(
        "npvirt_store_dropped_scans", "Scans that could not be stored.",
        lambda report: report.dropped.scans, "counter",
    ),
    OwnMetric(
        "npvirt_store_dropped_samples", "What they had measured.",
        lambda report: report.dropped.samples, "counter",
    ),
    OwnMetric(
        "npvirt_streams", "Open streams of events.", lambda report: report.streams.open
    ),
    OwnMetric(
        "npvirt_streams_most", "Streams that there may be.", lambda report: report.streams.most
    ),
    OwnMetric(
        "npvirt_streams_refused", "Streams beyond the limits.",
        lambda report: report.streams.refused, "counter",
    ),
    OwnMetric(
        "npvirt_streams_ended", "Streams whose reader might not read on.",
        lambda report: report.streams.ended, "counter",
    ),
    OwnMetric(
        "npvirt_streams_cut_off", "Streams that nobody read from.",
        lambda report: report.streams.cut_off, "counter",
    ),
    OwnMetric(
        "npvirt_process_pss_bytes", "Memory, what is shared counted by its share.",
        lambda report: report.process.pss_bytes,
    ),
    OwnMetric(
        "npvirt_process_resident_bytes", "Resident memory.",
        lambda report: report.process.rss_bytes,
    ),
    OwnMetric("npvirt_process_threads", "Threads.", lambda report: report.process.threads),
    OwnMetric("npvirt_process_open_files", "Open files.", lambda report: report.process.open_files),
    OwnMetric(
        "npvirt_process_cpu_seconds", "CPU time.", lambda report: report.process.cpu_s, "counter"
    ),
    OwnMetric("npvirt_process_up_seconds", "How long it runs.", lambda report: report.process.up_s),
    OwnMetric(
        "npvirt_notification_rules", "Rules of notifications that are enabled.", _rules
    ),
)  # fmt: skip

HOST_METRICS: tuple[HostMetric, ...] = (
    HostMetric(
        "npvirt_host_enabled", "Whether the host is to be scanned.",
        _one(lambda host: host.view.record.enabled),
    ),
    HostMetric(
        "npvirt_host_known", "Whether the host answers, so that what is shown of it holds.",
        _one(lambda host: host.view.status.known),
    ),
    HostMetric(
        "npvirt_host_scan_age_seconds", "Time since the last good scan began.",
        _one(lambda host: host.scan_age_s),
    ),
    HostMetric(
        "npvirt_host_scan_late_seconds", "How long after it was due the last scan began.",
        _one(lambda host: None if host.worker is None else host.worker.late_s),
    ),
    HostMetric(
        "npvirt_host_scan_took_seconds", "What the last scan took.",
        _one(lambda host: _seconds(host.view.status.took_ms)),
    ),
    HostMetric(
        "npvirt_host_scan_calls", "Calls to libvirt of the last scan.",
        _one(lambda host: host.view.status.rpc_count),
    ),
    HostMetric(
        "npvirt_host_missing_parts", "Parts that the last scan could not read.",
        _one(lambda host: len(host.view.status.missing)),
    ),
    HostMetric(
        "npvirt_host_failures_in_a_row", "Scans that failed since the last good one.",
        _one(lambda host: host.view.status.failures),
    ),
    HostMetric(
        "npvirt_host_last_day_gaps", "Gaps between scans of the last 24 hours.",
        _one(lambda host: host.scans.gaps),
    ),
    HostMetric(
        "npvirt_host_last_day_gap_seconds", "How long those gaps were together.",
        _one(lambda host: host.scans.gap_ms / 1000),
    ),
    HostMetric(
        "npvirt_host_last_day_scans", "Scans of the last 24 hours, by outcome.",
        _outcomes, label="outcome",
    ),
    HostMetric(
        "npvirt_host_last_day_errors", "Failed scans of the last 24 hours, by kind.",
        lambda host: host.scans.errors, label="problem",
    ),
    HostMetric(
        "npvirt_host_worker_replacements", "Workers that died or hung.",
        _one(lambda host: host.replaced), "counter",
    ),
)  # fmt: skip

TARGET_METRICS: tuple[TargetMetric, ...] = (
    TargetMetric(
        "npvirt_notification_target_enabled", "Whether anything is sent to the target.",
        lambda target, _: {"": target.enabled},
    ),
    TargetMetric(
        "npvirt_notification_waiting_messages", "Messages that did not arrive yet.",
        lambda target, _: {"": target.waiting},
    ),
    TargetMetric(
        "npvirt_notification_waiting_seconds", "How long the oldest of them waits.",
        lambda target, now_ms: {"": _since_s(target.waiting_since_ms, now_ms)},
    ),
    TargetMetric(
        "npvirt_notification_waiting_events", "Events that are in no message yet.",
        lambda target, _: {"": target.waiting_events},
    ),
    TargetMetric(
        "npvirt_notification_last_sent_age_seconds", "Time since a message last arrived.",
        lambda target, now_ms: {"": _since_s(target.last_sent_ms, now_ms)},
    ),
    TargetMetric(
        "npvirt_notification_last_failed_age_seconds", "Time since a message was last given up.",
        lambda target, now_ms: {"": _since_s(target.last_failed_ms, now_ms)},
    ),
    TargetMetric(
        "npvirt_notification_last_day_messages", "Messages of the last 24 hours, by outcome.",
        _ended, label="outcome",
    ),
)  # fmt: skip

VERSION = ("npvirt", "The version.")


def own_families(report: Report) -> Iterator[Family]:
    """All of them, as of the report."""
    name, help_ = VERSION
    yield family_of(name, "info", help_, [(labels_text({"version": __version__}), 1)])
    for metric in OWN_METRICS:
        yield family_of(metric.name, metric.type, metric.help, [("", metric.value(report))])
    hosts = [(labels_text({"host": host.view.slug}), host) for host in report.hosts]
    for one in HOST_METRICS:
        told = [(text, one.values(host)) for text, host in hosts]
        yield family_of(one.name, one.type, one.help, _samples(told, one.label))
    known = () if report.notifications is None else report.notifications.targets
    targets = [(labels_text({"target": target.name}), target) for target in known]
    for each in TARGET_METRICS:
        told = [(text, each.values(target, report.at_ms)) for text, target in targets]
        yield family_of(each.name, each.type, each.help, _samples(told, each.label))


def _samples(
    told: Iterable[tuple[str, Mapping[str, float | None]]], label: str
) -> Iterator[tuple[str, float | None]]:
    for text, values in told:
        for word, value in values.items():
            more = labels_text({label: word}) if label else ""
            yield with_labels(text, more), value
