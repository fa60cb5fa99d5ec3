"""npvirt's own health as JSON says it. Pure."""

from app.clock import rfc3339
from app.store.looked_after import LookedAfter
from app.store.notification_figures import NotificationFigures
from app.web.api.items import time_or_none
from app.web.health_report import HostReport, Report
from app.web.shapes import npvirt as shapes


def health_item(report: Report) -> shapes.HealthReport:
    """All of it."""
    pulse, upkeep, files = report.supervision.pulse, report.supervision.upkeep, report.files
    holder, process, step = report.holder, report.process, pulse.last_step
    return {
        "as_of": rfc3339(report.at_ms),
        "ok": not report.troubles,
        "troubles": report.troubles,
        "collector": None if holder is None else {
            "this_process": report.health.collecting,
            "pid": holder.pid,
            "machine": holder.machine,
            "since": rfc3339(holder.since_ms),
            "tick_age_seconds": report.holder_age_s,
            "late": report.holder_late,
        },
        "scheduler": {
            "ok": report.health.ok,
            "sentence": report.health.sentence,
            "tick_seconds": pulse.every_s,
            "tick_age_seconds": pulse.age_s,
            "ticks": pulse.ticks,
            "missed_ticks": pulse.missed,
            "late_seconds": pulse.late_s,
            "latest_seconds": pulse.latest_s,
            "replaced": report.supervision.renewals,
        },
        "clock": {
            "steps": pulse.steps,
            "last_step": None if step is None else {
                "at": rfc3339(step.at_ms), "by_seconds": step.by_ms / 1000,
            },
        },
        "hosts": [_host_item(host) for host in report.hosts],
        "store": {
            "file_bytes": files.file_bytes,
            "wal_bytes": files.wal_bytes,
            "disk_free_bytes": files.disk_free_bytes,
            "compacted_at": time_or_none(upkeep.compacted_ms),
            "retained_at": time_or_none(upkeep.retained_ms),
            "trouble": report.store_trouble or upkeep.trouble,
            "verified": _done_item(report.verified),
            "backup": _done_item(report.backup),
            "dropped_scans": report.dropped.scans,
            "dropped_samples": report.dropped.samples,
        },
        "streams": report.streams,
        "process": process,
        "notifications": _notifications_item(report.notifications),
    }  # fmt: skip


def _notifications_item(figures: NotificationFigures | None) -> shapes.NotificationHealth | None:
    if figures is None:
        return None
    targets: list[shapes.TargetHealth] = [
        {
            "target": one.name,
            "enabled": one.enabled,
            "waiting": one.waiting,
            "waiting_since": time_or_none(one.waiting_since_ms),
            "waiting_events": one.waiting_events,
            "sentence": one.sentence,
            "last_day": {"sent": one.sent, "failed": one.failed, "unknown": one.unknown},
            "last_sent_at": time_or_none(one.last_sent_ms),
            "last_failed_at": time_or_none(one.last_failed_ms),
        }
        for one in figures.targets
    ]
    return {"rules": figures.rules, "enabled_rules": figures.enabled_rules, "targets": targets}


def _done_item(done: LookedAfter | None) -> shapes.LastTime | None:
    if done is None:
        return None
    return {
        "at": rfc3339(done.at_ms), "took_ms": done.took_ms, "ok": done.ok,
        "sentence": done.sentence,
    }  # fmt: skip


def _host_item(host: HostReport) -> shapes.HostHealth:
    status, scans = host.view.status, host.scans
    return {
        "host": host.view.slug,
        "condition": host.condition,
        "last_ok_at": time_or_none(status.last_ok_at_ms),
        "last_try_at": time_or_none(status.last_try_at_ms),
        "next_try_at": time_or_none(status.next_at_ms),
        "failures_in_a_row": status.failures,
        "problem": status.problem,
        "took_ms": status.took_ms,
        "calls": status.rpc_count,
        "missing": status.missing,
        "worker": None if host.worker is None else {
            "looks": host.worker.looks,
            "looking_seconds": host.worker.looking_s,
            "late_seconds": host.worker.late_s,
        },
        "worker_replaced": host.replaced,
        "last_day": scans,
    }  # fmt: skip
