"""Long work that goes on: in the corner of every page, and as JSON.

Of this process's own jobs; one of another process or of long ago is known by its record in the
audit alone. Only the cancelling of a job may wait for a host.
"""

import msgspec
from flask import Blueprint, Response

from app import clock
from app.actions.jobs import Job
from app.actions.registry import BY_NAME
from app.actions.run import ANSWER_AT_ONCE_S
from app.clock import rfc3339
from app.errors import Conflict, NotFound
from app.services import services
from app.store.audit import Record, get_record
from app.web.acting import answer_said
from app.web.action_words import Said
from app.web.api.declared import row_query
from app.web.api.rows import Row, RowFact, answer_rows
from app.web.auditing import audit
from app.web.identity import may, principal
from app.web.listing import Kind, by_host, by_name
from app.web.operations import HOST, operation
from app.web.page import render_part
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.shapes import acting as shapes

blueprint = Blueprint("jobs", __name__)

_SHOWN_MOST = 6
# How long a job that is over stays in the corner.
_SHOWN_AFTER_MS = 8_000
_KIND: Kind[Row] = Kind(
    texts=lambda row: (row.of.name, row.of.host, row.of.action, row.of.who),
    sorts={"name": by_name, "host": by_host, "started": lambda row: row.of.id},
    states=shapes.JOB_STATES, default_sort="-started",
)  # fmt: skip
_COLUMNS = (
    "id", "action", "kind", "host", "key", "name", "who", "state", "done_bytes", "total_bytes",
    "started_at", "ended_at", "sentence",
)  # fmt: skip


@blueprint.get("/ui/jobs")
@needs("viewer")
def jobs() -> Response:
    """One's own long work that goes on, and what of it ended a moment ago."""
    return Response(render_part("actions/jobs.html", jobs=_shown()), mimetype="text/html")


@blueprint.get("/api/v1/jobs")
@needs("viewer")
@operation("actions", shapes.Jobs, HOST, *row_query(_KIND), csv=True)
def list_jobs() -> Response:
    """The long work of this process, newest first."""
    who = principal()
    rows = [
        Row(job, str(job.id), RowFact(job.name, _state(job)), job.host)
        for job in services().performer.jobs.all()
        if who.sees(job.host_id)
    ]
    return answer_rows(rows, _KIND, _item, "jobs", _COLUMNS, seen_fleet(None))


@blueprint.get("/api/v1/jobs/<int:job_id>")
@needs("viewer")
@operation("actions", shapes.Job)
def job(job_id: int) -> Response:
    """How far one piece of long work has come, or what came of it."""
    return Response(msgspec.json.encode(_found(job_id)), 200, mimetype="application/json")


@blueprint.delete("/api/v1/jobs/<int:job_id>")
@needs("operator")
@operation("actions", shapes.Job, status=202)
def cancel(job_id: int) -> Response:
    """Ask libvirt to stop it; what came of it is seen in the job."""
    _stop(job_id)
    return Response(msgspec.json.encode(_found(job_id)), 202, mimetype="application/json")


@blueprint.post("/jobs/<int:job_id>/cancel")
@needs("operator")
def cancel_form(job_id: int) -> Response:
    """The same for the button beside a progress bar."""
    _stop(job_id)
    return answer_said(Said(True, "It was asked to stop", "", stays=False))


def _stop(job_id: int) -> None:
    _found(job_id)
    performer = services().performer
    job = performer.jobs.get(job_id)
    if job is None:
        raise Conflict("This work is not of this npvirt process, or is over.")
    needed = next(one.role for one in BY_NAME.values() if one.audit_name == job.action)
    if not may(needed):
        raise Conflict(f"Stopping this needs the role {needed}, as beginning it does.")
    performer.stop_job(job_id)
    audit("cancel", job.kind, job.name, host=job.host, parameters={"job": job_id})


def _found(job_id: int) -> shapes.Job:
    """A job as JSON: of this process, or by its record; raises NotFound."""
    job = services().performer.jobs.get(job_id)
    if job is not None:
        if not principal().sees(job.host_id):
            raise NotFound(f"There is no job {job_id}.")
        return _item(job)
    record = get_record(services().store, job_id)
    if record is None or record.host_id is None or not principal().sees(record.host_id):
        raise NotFound(f"There is no job {job_id}.")
    return _item_of_record(record)


def _state(job: Job) -> str:
    return job.outcome or ("stopping" if job.stopping else "running")


def _item(job: Job) -> shapes.Job:
    return {
        "id": job.id,
        "action": job.action,
        "kind": job.kind,
        "host": job.host,
        "key": job.key,
        "name": job.name,
        "who": job.who,
        "state": _state(job),
        "done_bytes": job.done_bytes,
        "total_bytes": job.total_bytes,
        "started_at": rfc3339(job.started_at_ms),
        "ended_at": rfc3339(job.ended_at_ms) if job.ended_at_ms else None,
        "sentence": job.sentence or None,
        "stoppable": job.stoppable and job.outcome is None,
        "url": f"/api/v1/jobs/{job.id}",
    }


def _item_of_record(record: Record) -> shapes.Job:
    return {
        "id": record.id,
        "action": record.action,
        "kind": record.kind,
        "host": record.host,
        "key": record.key,
        "name": record.name,
        "who": record.who,
        "state": record.outcome or "running",
        "done_bytes": None,
        "total_bytes": None,
        "started_at": rfc3339(record.at_ms),
        "ended_at": rfc3339(record.ended_at_ms) if record.ended_at_ms else None,
        "sentence": record.sentence,
        "stoppable": False,
        "url": f"/api/v1/jobs/{record.id}",
    }


def _shown() -> list[Job]:
    now_ms = clock.now_ms()
    who = principal()
    return [
        job
        for job in services().performer.jobs.all()
        if job.who == who.who and who.sees(job.host_id) and _is_news(job, now_ms)
    ][:_SHOWN_MOST]


def _is_news(job: Job, now_ms: int) -> bool:
    """Whether it goes on, or ended a moment ago after its asker had been told that it goes on."""
    if job.ended_at_ms is None:
        return True
    lasted = job.ended_at_ms - job.started_at_ms > ANSWER_AT_ONCE_S * 1000
    return lasted and now_ms - job.ended_at_ms < _SHOWN_AFTER_MS
