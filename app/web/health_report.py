"""What npvirt's own health is made of: gathered once, told by the page, the JSON and the metrics.

From the store and from what this process counted; nobody is asked for it. Hosts out of the scope
of who asks are not in it.
"""

from collections.abc import Iterator

from flask import current_app
from msgspec import Struct
from msgspec.structs import replace

from app import clock
from app.collect.health import Health, Supervision
from app.collect.leadership import Holder
from app.collect.process import ProcessFigures, process_figures
from app.collect.worker import WorkerFigures
from app.services import services
from app.store.dropped import Dropped
from app.store.files import StoreFiles, store_files
from app.store.looked_after import LookedAfter, last_time
from app.store.notification_figures import NotificationFigures, notification_figures
from app.store.scan_figures import ScanFigures, scan_figures
from app.store.views import HostView
from app.web.events import streams_of
from app.web.format import duration, plural
from app.web.host_rows import condition
from app.web.identity import principal
from app.web.scope import seen_fleet
from app.web.streams import StreamCounts

_NONE = ScanFigures()
# So many names fit into a sentence.
_NAMED = 5


class HostReport(Struct, frozen=True):
    """A host: how it stands (as `condition` of app/web/host_rows), its scans of the last day, its
    worker, where this process has it, and how long ago the last good scan began.
    """

    view: HostView
    condition: str
    scans: ScanFigures
    worker: WorkerFigures | None
    replaced: int
    scan_age_s: float | None = None


class Report(Struct, frozen=True):
    """All of it, as of `at_ms`. `holder`: who collects, `holder_age_s` since it last ticked,
    `holder_late` when that is too long ago. `troubles`: what is not as it should be, as sentences.
    `notifications` are for who sees all hosts: None for others.
    """

    at_ms: int
    health: Health
    holder: Holder | None
    holder_age_s: float | None
    holder_late: bool
    supervision: Supervision
    files: StoreFiles
    dropped: Dropped
    store_trouble: str | None
    verified: LookedAfter | None
    backup: LookedAfter | None
    streams: StreamCounts
    process: ProcessFigures
    hosts: tuple[HostReport, ...]
    troubles: tuple[str, ...]
    notifications: NotificationFigures | None = None


def health_report() -> Report:
    """The report for who asks."""
    collector, store = services().collector, services().store
    health, holder, supervision = collector.health(), collector.holder(), collector.supervision()
    figures = scan_figures(store)
    fleet = seen_fleet(None)
    at_ms = clock.now_ms()
    hosts = tuple(
        HostReport(
            view,
            condition(view),
            figures.get(view.record.id, _NONE),
            supervision.workers.get(view.slug),
            supervision.replaced.get(view.slug, 0),
            _age_s(view.status.last_ok_at_ms, at_ms),
        )
        for view in sorted(fleet.hosts, key=lambda view: view.slug)
    )
    trouble = store.troubles.now()
    late = holder is not None and not health.collecting and collector.is_late(holder)
    report = Report(
        at_ms, health, holder, None if holder is None else holder.age_s(), late,
        supervision, store_files(store), store.dropped.now(),
        None if trouble is None else trouble.sentence,
        last_time(store, "verified"), last_time(store, "backup"), streams_of(current_app).counts(),
        process_figures(), hosts, (),
        notification_figures(store, at_ms) if principal().host_ids is None else None,
    )  # fmt: skip
    return replace(report, troubles=tuple(_troubles(report)))


def _age_s(then_ms: int | None, now_ms: int) -> float | None:
    return None if then_ms is None else max(0.0, (now_ms - then_ms) / 1000)


def _troubles(report: Report) -> Iterator[str]:
    """What somebody should know, the worst first."""
    if not report.health.ok:
        yield report.health.sentence
    elif not report.health.collecting:
        yield from _nobody_collects(report)
    yield from _store_troubles(report)
    yield from _untold(report.notifications)
    silent = [host.view.slug for host in report.hosts if host.condition == "unknown"]
    if silent:
        few = ", ".join(silent[:_NAMED]) + (" and others" if len(silent) > _NAMED else "")
        answer = "does not answer" if len(silent) == 1 else "do not answer"
        yield f"{len(silent)} of {len(report.hosts)} hosts {answer}: {few}."
    for host in report.hosts:
        if host.replaced:
            times = "once" if host.replaced == 1 else f"{host.replaced} times"
            yield f"The worker of {host.view.slug} died or hung, and was replaced {times}."
    renewals = report.supervision.renewals
    if renewals:
        times = "once" if renewals == 1 else f"{renewals} times"
        yield f"The scheduler died or was stuck, and was replaced {times}."


def _store_troubles(report: Report) -> Iterator[str]:
    if report.store_trouble is not None:
        yield report.store_trouble
    for done in (report.verified, report.backup):
        if done is not None and not done.ok and done.sentence:
            yield done.sentence
    upkeep = report.supervision.upkeep
    if upkeep.trouble is not None:
        yield f"The store's upkeep has to wait: {upkeep.trouble}"
    if upkeep.held_s:
        yield (
            "The clock went forward by more than two days: nothing old is deleted for another "
            f"{duration(upkeep.held_s)}, in case it is wrong."
        )


def _untold(figures: NotificationFigures | None) -> Iterator[str]:
    """The targets that notifications do not reach."""
    for target in () if figures is None else figures.targets:
        if target.enabled and target.waiting and target.sentence:
            yield f"Notifications do not reach {target.name}: {target.sentence}"
        elif target.enabled and target.fails:
            if target.failed:
                gone = plural(target.failed, "notification")
                yield f"{gone} to {target.name} could not be sent in the last day."
            else:
                yield f"The last notification to {target.name} could not be sent."


def _nobody_collects(report: Report) -> Iterator[str]:
    holder, age_s = report.holder, report.holder_age_s
    if holder is None or age_s is None:
        yield "No process collects for this store: no host is scanned."
    elif report.holder_late:
        yield (
            f"Process {holder.pid} on {holder.machine} collects, but has not ticked for "
            f"{duration(age_s)}. It still holds the lock, so no other takes over; "
            "continue it or end it."
        )
