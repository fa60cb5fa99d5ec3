"""npvirt's own health at `/metrics`, for Prometheus and its like.

The same report as the page's. Which hosts are in it depends on the token's scope.
"""

from collections.abc import Callable, Iterator

from flask import Blueprint, Response

from app import __version__
from app.web.api.answers import check_parameters
from app.web.health_report import HostReport, Report, health_report
from app.web.openmetrics import CONTENT_TYPE, Family, Sample, exposition
from app.web.permission import needs

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@needs("viewer")
def metrics() -> Response:
    """All families, as OpenMetrics text."""
    check_parameters(())
    report = health_report()
    families = (
        *_scheduler(report),
        *_hosts(report),
        *_store(report),
        *_streams(report),
        *_process(report),
    )
    return Response(exposition(families), content_type=CONTENT_TYPE)


def _gauge(name: str, unit: str, help_: str, value: float | None) -> Family:
    return Family(name, "gauge", unit, help_, [Sample(value)])


def _counter(name: str, unit: str, help_: str, value: float | None) -> Family:
    return Family(name, "counter", unit, help_, [Sample(value)])


def _scheduler(report: Report) -> Iterator[Family]:
    pulse, health, step = (
        report.supervision.pulse,
        report.health,
        report.supervision.pulse.last_step,
    )
    yield Family("npvirt", "info", "", "The version.", [Sample(1, {"version": __version__})])
    yield _gauge("npvirt_scheduler_ok", "", "Whether the schedule goes on.", health.ok)
    yield _gauge("npvirt_collecting", "", "Whether this process scans.", health.collecting)
    yield _gauge(
        "npvirt_collector_tick_age_seconds", "seconds",
        "Time since the process that scans last ticked.", report.holder_age_s,
    )  # fmt: skip
    yield _gauge(
        "npvirt_scheduler_tick_age_seconds", "seconds",
        "Time since this process last ticked.", pulse.age_s,
    )  # fmt: skip
    yield _counter("npvirt_scheduler_ticks", "", "Ticks of this process.", pulse.ticks)
    yield _counter("npvirt_scheduler_missed_ticks", "", "Ticks that never came.", pulse.missed)
    yield _gauge(
        "npvirt_scheduler_late_seconds", "seconds", "How late the last tick was.", pulse.late_s
    )
    yield _counter(
        "npvirt_scheduler_replacements", "", "Schedulers that died or were stuck.",
        report.supervision.renewals,
    )  # fmt: skip
    yield _counter("npvirt_clock_steps", "", "Steps of the wall clock.", pulse.steps)
    yield _gauge(
        "npvirt_clock_last_step_seconds", "seconds", "By how much the wall clock last stepped.",
        None if step is None else step.by_ms / 1000,
    )  # fmt: skip


def _hosts(report: Report) -> Iterator[Family]:
    def family(
        name: str, unit: str, help_: str, value: Callable[[HostReport], float | None]
    ) -> Family:
        samples = [Sample(value(host), {"host": host.view.slug}) for host in report.hosts]
        return Family(f"npvirt_host_{name}", "gauge", unit, help_, samples)

    def age_s(host: HostReport) -> float | None:
        at_ms = host.view.status.last_ok_at_ms
        return None if at_ms is None else max(0.0, (report.at_ms - at_ms) / 1000)

    yield family(
        "enabled", "", "Whether the host is to be scanned.", lambda host: host.view.record.enabled
    )
    yield family(
        "known", "", "Whether the host answers, so that what is shown of it holds.",
        lambda host: host.view.status.known,
    )  # fmt: skip
    yield family("scan_age_seconds", "seconds", "Time since the last good scan began.", age_s)
    yield family(
        "scan_late_seconds", "seconds", "How long after it was due the last scan began.",
        lambda host: None if host.worker is None else host.worker.late_s,
    )  # fmt: skip
    yield family("scan_took_seconds", "seconds", "What the last scan took.", _took_s)
    yield family(
        "scan_calls", "", "Calls to libvirt of the last scan.",
        lambda host: host.view.status.rpc_count,
    )  # fmt: skip
    yield family(
        "missing_parts", "", "Parts that the last scan could not read.",
        lambda host: len(host.view.status.missing),
    )  # fmt: skip
    yield family(
        "failures_in_a_row", "", "Scans that failed since the last good one.",
        lambda host: host.view.status.failures,
    )  # fmt: skip
    yield family(
        "last_day_gaps", "", "Gaps between scans of the last 24 hours.",
        lambda host: host.scans.gaps,
    )  # fmt: skip
    yield family(
        "last_day_gap_seconds", "seconds", "How long those gaps were together.",
        lambda host: host.scans.gap_ms / 1000,
    )  # fmt: skip
    yield Family(
        "npvirt_host_last_day_scans", "gauge", "", "Scans of the last 24 hours, by outcome.",
        [
            Sample(count, {"host": host.view.slug, "outcome": outcome})
            for host in report.hosts
            for outcome, count in _outcomes(host)
        ],
    )  # fmt: skip
    yield Family(
        "npvirt_host_last_day_errors", "gauge", "", "Failed scans of the last 24 hours, by kind.",
        [
            Sample(count, {"host": host.view.slug, "problem": kind})
            for host in report.hosts
            for kind, count in host.scans.errors.items()
        ],
    )  # fmt: skip
    yield Family(
        "npvirt_host_worker_replacements", "counter", "", "Workers that died or hung.",
        [Sample(host.replaced, {"host": host.view.slug}) for host in report.hosts],
    )  # fmt: skip


def _took_s(host: HostReport) -> float | None:
    took_ms = host.view.status.took_ms
    return None if took_ms is None else took_ms / 1000


def _outcomes(host: HostReport) -> tuple[tuple[str, int], ...]:
    scans = host.scans
    whole = scans.scans - scans.failed - scans.partial
    return (("ok", whole), ("partial", scans.partial), ("failed", scans.failed))


def _store(report: Report) -> Iterator[Family]:
    files = report.files
    yield _gauge("npvirt_store_file_bytes", "bytes", "The store's file.", files.file_bytes)
    yield _gauge("npvirt_store_wal_bytes", "bytes", "The store's write-ahead log.", files.wal_bytes)
    yield _gauge(
        "npvirt_store_disk_free_bytes", "bytes", "What is left where the store lies.",
        files.disk_free_bytes,
    )  # fmt: skip
    yield _gauge(
        "npvirt_store_ok", "", "Whether the store can be read and written.",
        report.store_trouble is None,
    )  # fmt: skip
    for name, what, done in (
        ("verified", "The last look for damage", report.verified),
        ("backup", "The last backup", report.backup),
    ):
        age_s = None if done is None else max(0.0, (report.at_ms - done.at_ms) / 1000)
        yield _gauge(
            f"npvirt_store_{name}_age_seconds", "seconds", f"{what} was so long ago.", age_s
        )
        ok = None if done is None else done.ok
        yield _gauge(f"npvirt_store_{name}_ok", "", f"{what} went well.", ok)
    dropped = report.dropped
    yield _counter(
        "npvirt_store_dropped_scans", "", "Scans that could not be stored.", dropped.scans
    )
    yield _counter("npvirt_store_dropped_samples", "", "What they had measured.", dropped.samples)


def _streams(report: Report) -> Iterator[Family]:
    streams = report.streams
    yield _gauge("npvirt_streams", "", "Open streams of events.", streams.open)
    yield _gauge("npvirt_streams_most", "", "Streams that there may be.", streams.most)
    yield _counter("npvirt_streams_refused", "", "Streams beyond the limits.", streams.refused)
    yield _counter(
        "npvirt_streams_ended", "", "Streams whose reader might not read on.", streams.ended
    )
    yield _counter("npvirt_streams_cut_off", "", "Streams that nobody read from.", streams.cut_off)


def _process(report: Report) -> Iterator[Family]:
    process = report.process
    yield _gauge(
        "npvirt_process_pss_bytes", "bytes",
        "Memory, what is shared counted by its share.", process.pss_bytes,
    )  # fmt: skip
    yield _gauge("npvirt_process_resident_bytes", "bytes", "Resident memory.", process.rss_bytes)
    yield _gauge("npvirt_process_threads", "", "Threads.", process.threads)
    yield _gauge("npvirt_process_open_files", "", "Open files.", process.open_files)
    yield _counter("npvirt_process_cpu_seconds", "seconds", "CPU time.", process.cpu_s)
    yield _gauge("npvirt_process_up_seconds", "seconds", "How long it runs.", process.up_s)
