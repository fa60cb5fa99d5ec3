"""Where notifications go, as pages and as JSON, for admins of all hosts. A signing key is in the
answer that made it and nowhere else; the address of a webhook is never shown whole again.
"""

from typing import Any

from flask import Blueprint, Response, flash, redirect, request

from app import clock
from app.errors import Conflict, InvalidField, NotFound
from app.notification.values import Message, Target
from app.notifier.sending import send_test
from app.services import services
from app.store.audit import Outcome
from app.store.notification_targets import (
    WebhookSecret,
    add_target,
    edit_target,
    get_target,
    list_targets,
    new_key,
    read_secret,
    remove_target,
)
from app.web.api.answers import check_parameters
from app.web.api.declared import row_query
from app.web.api.rows import Row, RowFact, answer_rows, columns_of
from app.web.auditing import audit
from app.web.identity import principal
from app.web.json_body import json_answer
from app.web.listing import Kind, by_name
from app.web.notification_bodies import (
    TargetBody,
    TargetFields,
    read_json,
    read_target_form,
    target_fields,
)
from app.web.notification_items import message_item, target_item
from app.web.operations import operation
from app.web.page import form_page, pages
from app.web.permission import needs
from app.web.row_page import Head, list_rows
from app.web.shapes import notifications as shapes

blueprint = Blueprint("notification_targets", __name__)

_PAGE = "/notifications/targets"
_STATES = ("enabled", "disabled")
_TARGETS: Kind[Row] = Kind(
    texts=lambda row: (row.of.name, row.of.note, row.of.kind, row.of.address, row.of.created_by),
    sorts={"name": by_name, "kind": lambda row: row.of.kind, "created": lambda row: row.of.id},
    states=_STATES,
)  # fmt: skip
_HEADS = (
    Head("Name", sort="name"), Head("Where", "p2", "kind"),
    Head("Made", "p3", "created", largest_first=True),
)  # fmt: skip


@blueprint.get("/notifications/targets")
@needs("admin", everywhere=True)
def page() -> Response:
    """All targets."""
    return _list()


@blueprint.get("/notifications/targets/add")
@needs("admin", everywhere=True)
def add() -> Response:
    """An empty form."""
    check_parameters(("kind",))
    kind = request.args.get("kind", "webhook")
    if kind not in ("webhook", "mail"):
        raise InvalidField("kind", "A target is a webhook or mail.")
    return _form(None, {"kind": kind, "enabled": "on"}, {})


@blueprint.post("/notifications/targets/add")
@needs("admin", everywhere=True)
def added() -> Response:
    """Add the target of the form, and show the signing key of a webhook, once."""
    return _submitted(None)


@blueprint.get("/notifications/targets/<int:target_id>/edit")
@needs("admin", everywhere=True)
def edit(target_id: int) -> Response:
    """The form, filled."""
    check_parameters(())
    target = get_target(services().store, target_id)
    given = {
        "name": target.name, "kind": target.kind, "note": target.note,
        "enabled": "on" if target.enabled else "",
        "addresses": target.address if target.kind == "mail" else "",
    }  # fmt: skip
    return _form(target, given, {})


@blueprint.post("/notifications/targets/<int:target_id>/edit")
@needs("admin", everywhere=True)
def edited(target_id: int) -> Response:
    """Save the form."""
    return _submitted(target_id)


@blueprint.post("/notifications/targets/<int:target_id>/remove")
@needs("admin", everywhere=True)
def removed(target_id: int) -> Response:
    """Remove a target."""
    target = _remove(target_id)
    flash(f"The target “{target.name}” is removed.")
    return _redirect()


@blueprint.post("/notifications/targets/<int:target_id>/test")
@needs("admin", everywhere=True)
def tested(target_id: int) -> Response:
    """Send a test and show what came of it; waits for the answer."""
    message = _test(target_id)
    said = f"{message.target}: {message.sentence or 'no answer yet'}"
    flash(said, "message" if message.state == "sent" else "error")
    return _redirect()


@blueprint.get("/api/v1/notifications/targets")
@needs("admin", everywhere=True)
@operation("notifications", shapes.NotificationTargets, *row_query(_TARGETS), csv=True)
def as_json() -> Response:
    """Where notifications go, by name."""
    columns = columns_of(shapes.NotificationTarget)
    return answer_rows(_rows(), _TARGETS, target_item, "notification-targets", columns)


@blueprint.post("/api/v1/notifications/targets")
@needs("admin", everywhere=True)
@operation("notifications", shapes.NotificationTargetSaved, body=TargetBody, status=201)
def target_added() -> Response:
    """Add a target of notifications. The signing key of a webhook is in this answer alone."""
    target, key = _save(None, read_json(request.get_data(), TargetBody))
    return json_answer({"item": target_item(target), "key": key}, 201)


@blueprint.get("/api/v1/notifications/targets/<int:target_id>")
@needs("admin", everywhere=True)
@operation("notifications", shapes.NotificationTarget)
def target(target_id: int) -> Response:
    """One target of notifications."""
    return json_answer(target_item(get_target(services().store, target_id)))


@blueprint.put("/api/v1/notifications/targets/<int:target_id>")
@needs("admin", everywhere=True)
@operation("notifications", shapes.NotificationTargetSaved, body=TargetBody)
def target_replaced(target_id: int) -> Response:
    """Make a target of notifications another. Its kind stays, and so does an address that is not
    given.
    """
    target, key = _save(target_id, read_json(request.get_data(), TargetBody))
    return json_answer({"item": target_item(target), "key": key})


@blueprint.delete("/api/v1/notifications/targets/<int:target_id>")
@needs("admin", everywhere=True)
@operation("notifications", None, status=204)
def target_removed(target_id: int) -> Response:
    """Remove a target of notifications."""
    _remove(target_id)
    return Response(status=204)


@blueprint.post("/api/v1/notifications/targets/<int:target_id>/test")
@needs("admin", everywhere=True)
@operation("notifications", shapes.NotificationTested)
def target_tested(target_id: int) -> Response:
    """Send a test to a target of notifications. Waits for the answer, some seconds at most."""
    return json_answer({"item": message_item(_test(target_id), admin=True)})


def _submitted(target_id: int | None) -> Response:
    store = services().store
    before = None if target_id is None else get_target(store, target_id)
    given = request.form.to_dict()
    try:
        target, key = _save(target_id, read_target_form(given))
    except InvalidField as error:
        return _form(before, given, {error.field: error.sentence}, 422)
    except Conflict as error:
        return _form(before, given, {"name": str(error)}, 422)
    if key is not None:
        return _list(target.name, key)
    flash(f"The target “{target.name}” is saved.")
    return _redirect()


def _save(target_id: int | None, body: TargetBody) -> tuple[Target, str | None]:
    """Add or change a target; and its new signing key, where it gets one."""
    before = None if target_id is None else get_target(services().store, target_id)
    fields = target_fields(body, new=before is None)
    if before is not None and before.kind != fields.kind:
        raise InvalidField("kind", "The kind of a target stays; add another target instead.")
    secret, key = _secret(before, fields, body)
    store, data = services().store, services().settings.data
    if before is None:
        target = add_target(
            store, data, fields.name, fields.kind, fields.address or "", principal().who,
            secret=secret, enabled=fields.enabled, note=fields.note,
        )  # fmt: skip
    else:
        target = edit_target(
            store, data, before.id, fields.name, address=fields.address, secret=secret,
            enabled=fields.enabled, note=fields.note,
        )  # fmt: skip
    action = "notification-target-add" if before is None else "notification-target-edit"
    told: dict[str, Any] = {**target_item(target), "new_key": key is not None}
    audit(action, "notification-target", target.name, parameters=told)
    return target, key


def _secret(
    before: Target | None, fields: TargetFields, body: TargetBody
) -> tuple[WebhookSecret | None, str | None]:
    """What is secret of a webhook from now on, None where it stays; and its new key."""
    if fields.kind != "webhook" or (before and fields.url is None and not body.new_key):
        return None, None
    known: WebhookSecret | None = None
    if before is not None:
        try:
            known = read_secret(services().settings.data, before.id)
        except NotFound:
            if fields.url is None:
                raise
    key = new_key() if known is None or body.new_key else None
    url = fields.url or (known.url if known else "")
    return WebhookSecret(url, key or (known.key if known else "")), key


def _remove(target_id: int) -> Target:
    target = remove_target(services().store, services().settings.data, target_id)
    audit("notification-target-remove", "notification-target", target.name)
    return target


def _test(target_id: int) -> Message:
    message = send_test(services().settings, services().store, target_id)
    outcome: Outcome = "failed"
    if message.state in ("sent", "unknown"):
        outcome = "ok" if message.state == "sent" else "unknown"
    audit(
        "notification-target-test", "notification-target", message.target, outcome=outcome,
        sentence=message.sentence or "",
    )  # fmt: skip
    return message


def _list(name: str = "", key: str = "") -> Response:
    zone, now_ms = pages().zone, clock.now_ms()
    found, listed = list_rows(_PAGE, _rows(), _TARGETS)
    rows = [
        {"target": target, "created": zone.when(target.created_at_ms, now_ms)} for target in found
    ]
    return form_page(
        "notifications/targets.html", "", "Notification targets", rows=rows, listed=listed,
        columns=listed.columns(_HEADS), name=name, shown=key,
        has_mail=services().settings.smtp_server is not None,
    )  # fmt: skip


def _rows() -> list[Row]:
    """All targets as a list has them."""
    return [
        Row(target, str(target.id), RowFact(target.name, _STATES[not target.enabled]))
        for target in list_targets(services().store)
    ]


def _form(
    target: Target | None, given: dict[str, str], errors: dict[str, str], status: int = 200
) -> Response:
    empty = dict.fromkeys(("name", "kind", "note", "enabled", "addresses"), "")
    title = "Add a target" if target is None else "Edit a target"
    server = services().settings.smtp_server
    return form_page(
        "notifications/target.html", "", title, status=status, target=target,
        given={**empty, **given}, errors=errors, has_mail=server is not None,
        form_address=f"{_PAGE}/add" if target is None else f"{_PAGE}/{target.id}/edit",
    )  # fmt: skip


def _redirect() -> Response:
    return redirect(_PAGE, 303)  # type: ignore[return-value]  # werkzeug's own Response class
