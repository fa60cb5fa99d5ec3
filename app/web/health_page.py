"""npvirt's own health as a page that refreshes itself, and as JSON.

What there is to tell is gathered by app/web/health_report; here it gets its words.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from flask import Blueprint, Response
from msgspec import Struct

from app.store.looked_after import LookedAfter
from app.store.notification_figures import TargetFigures
from app.web.api.answers import check_parameters
from app.web.figures import size
from app.web.format import UNKNOWN, duration, number, plural
from app.web.health_items import health_item
from app.web.health_report import HostReport, Report, health_report
from app.web.operations import operation
from app.web.page import form_page, pages, render_part
from app.web.permission import needs
from app.web.shapes import npvirt as shapes
from app.web.when import When

blueprint = Blueprint("health", __name__)

_LONG_LOOK_S = 2.0


class Fact(NamedTuple):
    """A line of a list of facts: its name, its value, what is said beside it; `at` instead of a
    value is a moment. `css` colours what is not as it should be.
    """

    label: str
    value: str
    more: str = ""
    at: When | None = None
    css: str = ""


class Row(Struct, frozen=True):
    """A host as a row of the table."""

    slug: str
    condition: str
    last_ok: When | None
    next_try: When | None
    looking: str
    took: str
    took_more: str
    calls: str
    calls_more: str
    missing: tuple[str, ...]
    errors: tuple[tuple[str, int], ...]
    failed: str
    gaps: str
    gaps_more: str


@blueprint.get("/health")
@needs("viewer")
def page() -> Response:
    """The page around the part."""
    check_parameters(())
    return form_page("health/page.html", "", "npvirt’s own health", **_context())


@blueprint.get("/ui/health")
@needs("viewer")
def part() -> Response:
    """The part that refreshes itself."""
    check_parameters(())
    return Response(render_part("health/part.html", **_context()), mimetype="text/html")


@blueprint.get("/api/v1/health")
@needs("viewer")
@operation("npvirt", shapes.HealthReport)
def as_json() -> Response:
    """Npvirt's own health: who scans, the schedule, the store. 200 whatever it says (see /healthz
    for an answer by status).
    """
    return Response(msgspec.json.encode(health_item(health_report())), mimetype="application/json")


def _context() -> dict[str, Any]:
    report = health_report()
    return {
        "troubles": report.troubles,
        "collecting": list(_collecting(report)),
        "schedule": list(_schedule(report)),
        "store": list(_store(report)),
        "process": list(_process(report)),
        "notifications": list(_notifications(report)),
        "rows": [_row(host, report.at_ms) for host in report.hosts],
        "drawn": pages().zone.when(report.at_ms, report.at_ms),
    }


def _when(at_ms: int | None, report: Report) -> When | None:
    return pages().zone.maybe(at_ms, report.at_ms)


def _collecting(report: Report) -> Iterator[Fact]:
    """Who scans."""
    holder, health = report.holder, report.health
    if health.collecting:
        yield Fact("Scans", "this process", f"process {report.process.pid}")
    elif holder is None:
        yield Fact("Scans", "no process", css="bad-t")
    else:
        where = f"process {holder.pid} on {holder.machine}"
        yield Fact(
            "Scans", where, "this one serves pages", css="bad-t" if report.holder_late else ""
        )
    if holder is not None:
        late = report.holder_late or not health.ok
        yield Fact("Since", "", at=_when(holder.since_ms, report))
        age = duration(report.holder_age_s)
        yield Fact("Last tick", f"{age} ago", css="bad-t" if late else "")


def _schedule(report: Report) -> Iterator[Fact]:
    """The schedule of this process, and the wall clock."""
    pulse, health = report.supervision.pulse, report.health
    word = "ticks" if health.ok else health.sentence
    yield Fact("Scheduler", word, f"every {pulse.every_s:g} s", css="" if health.ok else "bad-t")
    missed = f"{pulse.missed} missed" if pulse.missed else "none missed"
    yield Fact("Ticks", str(pulse.ticks), missed, css="warn-t" if pulse.missed else "")
    yield Fact("Late by", duration(pulse.late_s), f"at most {duration(pulse.latest_s)}")
    renewals = report.supervision.renewals
    if renewals:
        yield Fact("Replaced", f"{renewals}×", css="warn-t")
    step = pulse.last_step
    if step is None:
        yield Fact("Wall clock", "has not stepped", "since npvirt started")
    else:
        way = "forward" if step.by_ms > 0 else "back"
        many = f" · {pulse.steps} steps in all" if pulse.steps > 1 else ""
        said = f"stepped {way} by {duration(abs(step.by_ms) / 1000)}{many}"
        yield Fact("Wall clock", said, "to", at=_when(step.at_ms, report), css="warn-t")


def _store(report: Report) -> Iterator[Fact]:
    """The store's files and its upkeep."""
    files, upkeep = report.files, report.supervision.upkeep
    yield Fact("File", size(files.file_bytes))
    yield Fact("Write-ahead log", size(files.wal_bytes), "as large as it ever got")
    yield Fact("Left on the disk", size(files.disk_free_bytes))
    dropped = report.dropped
    if dropped.scans:
        samples = f"with {dropped.samples} samples, since npvirt started; last"
        last = _when(dropped.last_at_ms, report)
        yield Fact("Dropped", f"{dropped.scans} scans", samples, at=last, css="bad-t")
    else:
        yield Fact("Dropped", "nothing", "since npvirt started")
    yield _looked_after("Checked", report.verified, report)
    yield _looked_after("Backed up", report.backup, report)
    if report.health.collecting:
        for label, at_ms in (
            ("Compacted", upkeep.compacted_ms),
            ("Old deleted", upkeep.retained_ms),
        ):
            at = _when(at_ms, report)
            yield Fact(label, "" if at else "not yet since npvirt started", at=at)


def _looked_after(label: str, done: LookedAfter | None, report: Report) -> Fact:
    if done is None:
        return Fact(label, "not yet")
    failed = "" if done.ok else "failed"
    return Fact(label, failed, at=_when(done.at_ms, report), css="" if done.ok else "bad-t")


def _process(report: Report) -> Iterator[Fact]:
    """What this process takes."""
    process, streams = report.process, report.streams
    yield Fact("Memory", size(process.pss_bytes), f"{size(process.rss_bytes)} with what is shared")
    yield Fact("Threads", str(process.threads))
    yield Fact("Open files", number(process.open_files))
    refused = f" · {streams.refused} refused" if streams.refused else ""
    word = "stream" if streams.open == 1 else "streams"
    yield Fact("Open pages", str(streams.open), f"{word}, at most {streams.most}{refused}")
    share = f"{100 * process.cpu_s / max(process.up_s, 1):.1f} % of a CPU"
    yield Fact("CPU time", duration(process.cpu_s), share)
    yield Fact("Runs for", duration(process.up_s), f"process {process.pid}")


def _notifications(report: Report) -> Iterator[Fact]:
    """Whether notifications arrive, for who may see that."""
    figures = report.notifications
    if figures is None:
        return
    off = figures.rules - figures.enabled_rules
    yield Fact("Rules", str(figures.enabled_rules), f"{off} disabled" if off else "")
    if not figures.targets:
        yield Fact("Targets", "none")
    for target in figures.targets:
        yield _target(target, report)


def _target(target: TargetFigures, report: Report) -> Fact:
    if not target.enabled:
        return Fact(target.name, "disabled")
    words = [f"{target.waiting} waiting"] if target.waiting else []
    if target.waiting_events:
        words.append(plural(target.waiting_events, "event") + " to be told")
    if target.failed:
        words.append(f"{target.failed} given up in 24 h")
    if target.unknown:
        words.append(f"of {target.unknown} in 24 h not known whether it arrived")
    at = _when(target.last_sent_ms, report)
    last = "last arrived" if at else "nothing arrived yet"
    more = f"· {last}" if words else last
    css = "bad-t" if target.fails or target.sentence else "warn-t" if words else ""
    return Fact(target.name, ", ".join(words), more, at=at, css=css)


def _row(host: HostReport, at_ms: int) -> Row:
    zone, status, scans = pages().zone, host.view.status, host.scans
    took = None if status.took_ms is None else status.took_ms / 1000
    gone = scans.gap_ms / 1000
    return Row(
        slug=host.view.slug,
        condition=host.condition,
        last_ok=zone.maybe(status.last_ok_at_ms, at_ms),
        next_try=zone.maybe(status.next_at_ms, at_ms) if host.view.record.enabled else None,
        looking=_looking(host),
        took=duration(took),
        took_more=_mean_and_most(scans.took_mean_ms, scans.took_most_ms),
        calls=number(status.rpc_count),
        calls_more="" if scans.calls_mean is None else f"on average {scans.calls_mean:.0f}",
        missing=tuple(f"{one.part}: {one.reason}" for one in status.missing),
        errors=tuple(scans.errors.items()),
        failed=f"{scans.failed} of {scans.scans}" if scans.failed else "",
        gaps=str(scans.gaps) if scans.scans else UNKNOWN,
        gaps_more=duration(gone) if scans.gaps else "",
    )


def _looking(host: HostReport) -> str:
    """How long the present look lasts, where that is worth a word."""
    looking_s = None if host.worker is None else host.worker.looking_s
    return duration(looking_s) if looking_s is not None and looking_s >= _LONG_LOOK_S else ""


def _mean_and_most(mean_ms: float | None, most_ms: int | None) -> str:
    if mean_ms is None or most_ms is None:
        return ""
    return f"on average {duration(mean_ms / 1000)}, at most {duration(most_ms / 1000)}"
