"""The rules of notifications, as pages and as JSON: admins make them, who sees all hosts reads."""

from typing import Any

from flask import Blueprint, Response, flash, redirect, request

from app.errors import Conflict, InvalidField
from app.notification.texts import rule_says
from app.notification.values import SEVERITIES, SORTS, Rule, sort_of
from app.services import services
from app.store.moves import MOVED_AWAY
from app.store.notification_rules import (
    RuleDraft,
    add_rule,
    edit_rule,
    get_rule,
    list_rules,
    remove_rule,
)
from app.store.notification_targets import list_targets
from app.web.api.answers import check_parameters
from app.web.api.declared import row_query
from app.web.api.rows import Row, RowFact, answer_rows, columns_of
from app.web.auditing import audit
from app.web.change_words import GROUPS
from app.web.identity import may, principal
from app.web.json_body import json_answer
from app.web.listing import Kind, by_name
from app.web.notification_bodies import RuleBody, draft_of, read_json, read_rule_form
from app.web.notification_items import quiet_item, rule_item, time_of_day
from app.web.operations import operation
from app.web.page import form_page
from app.web.permission import needs
from app.web.row_page import Head, list_rows
from app.web.shapes import notifications as shapes

blueprint = Blueprint("notification_rules", __name__)

_PAGE = "/notifications/rules"
_STATES = ("enabled", "disabled")
_RULES: Kind[Row] = Kind(
    texts=lambda row: (
        row.of.name, row.of.note, row.of.kind, rule_says(row.of.kind, row.of.threshold),
        row.of.severity, row.of.hosts, row.of.objects, *row.of.whats,
    ),
    sorts={"name": by_name, "kind": lambda row: row.of.kind,
           "severity": lambda row: SEVERITIES.index(row.of.severity),
           "created": lambda row: row.of.id},
    states=_STATES,
)  # fmt: skip
_HEADS = (
    Head("Name", sort="name"), Head("Tells of", sort="kind"),
    Head("Severity", "p2", "severity", largest_first=True), Head("To", "p2"), Head("Quiet", "p3"),
)  # fmt: skip


@blueprint.get("/notifications/rules")
@needs("viewer", everywhere=True)
def page() -> Response:
    """All rules."""
    store = services().store
    found, listed = list_rows(_PAGE, _rows(), _RULES)
    targets = {target.id: target for target in list_targets(store)}
    rows = [
        {
            "rule": rule,
            "says": rule_says(rule.kind, rule.threshold),
            "whats": ", ".join(rule.whats),
            "about": _about(rule),
            "targets": [targets[one].name for one in rule.target_ids if one in targets],
            "quiet": "" if rule.quiet is None else _quiet_words(rule),
        }
        for rule in found
    ]
    return form_page(
        "notifications/rules.html", "", "Notification rules", rows=rows, listed=listed,
        columns=listed.columns(_HEADS), has_targets=bool(targets), is_admin=may("admin"),
    )  # fmt: skip


@blueprint.get("/notifications/rules/add")
@needs("admin", everywhere=True)
def add() -> Response:
    """An empty form."""
    check_parameters(("kind",))
    kind = request.args.get("kind", "host-unknown")
    sort = sort_of(kind)
    if sort is None:
        raise InvalidField("kind", f"The kind is one of {', '.join(SORTS)}.")
    zone = services().settings.timezone
    given = {
        "kind": kind, "severity": "warning", "threshold": str(sort.default or ""),
        "pause_minutes": "5", "enabled": "on", "quiet_zone": zone or "UTC",
        "quiet_then": "digest", "name": "",
    }  # fmt: skip
    return _form("", given, [], [], {})


@blueprint.post("/notifications/rules/add")
@needs("admin", everywhere=True)
def added() -> Response:
    """Add the rule of the form."""
    return _submitted(None)


@blueprint.get("/notifications/rules/<int:rule_id>/edit")
@needs("admin", everywhere=True)
def edit(rule_id: int) -> Response:
    """The form, filled."""
    check_parameters(())
    rule = get_rule(services().store, rule_id)
    quiet = {} if rule.quiet is None else quiet_item(rule.quiet)
    given = {
        "name": rule.name, "kind": rule.kind, "severity": rule.severity,
        "threshold": "" if rule.threshold is None else str(rule.threshold), "hosts": rule.hosts,
        "objects": rule.objects, "pause_minutes": str(rule.pause_minutes), "note": rule.note,
        "enabled": "on" if rule.enabled else "", "quiet_from": quiet.get("from", ""),
        "quiet_to": quiet.get("to", ""), "quiet_then": quiet.get("then", "digest"),
        "quiet_zone": quiet.get("zone", services().settings.timezone or "UTC"),
    }  # fmt: skip
    chosen = [str(one) for one in rule.target_ids]
    return _form(str(rule_id), given, chosen, list(rule.whats), {})


@blueprint.post("/notifications/rules/<int:rule_id>/edit")
@needs("admin", everywhere=True)
def edited(rule_id: int) -> Response:
    """Save the form."""
    return _submitted(rule_id)


@blueprint.post("/notifications/rules/<int:rule_id>/remove")
@needs("admin", everywhere=True)
def removed(rule_id: int) -> Response:
    """Remove a rule."""
    rule = _remove(rule_id)
    return _go(f"The rule “{rule.name}” is removed.")


@blueprint.get("/api/v1/notifications/rules")
@needs("viewer", everywhere=True)
@operation("notifications", shapes.NotificationRules, *row_query(_RULES), csv=True)
def as_json() -> Response:
    """The rules of notifications, by name."""
    columns = columns_of(shapes.NotificationRule)
    return answer_rows(_rows(), _RULES, rule_item, "notification-rules", columns)


@blueprint.post("/api/v1/notifications/rules")
@needs("admin", everywhere=True)
@operation("notifications", shapes.NotificationRuleSaved, body=RuleBody, status=201)
def rule_added() -> Response:
    """Add a rule of notifications."""
    draft = draft_of(read_json(request.get_data(), RuleBody))
    return json_answer({"item": rule_item(_save(None, draft))}, 201)


@blueprint.get("/api/v1/notifications/rules/<int:rule_id>")
@needs("viewer", everywhere=True)
@operation("notifications", shapes.NotificationRule)
def rule(rule_id: int) -> Response:
    """One rule of notifications."""
    return json_answer(rule_item(get_rule(services().store, rule_id)))


@blueprint.put("/api/v1/notifications/rules/<int:rule_id>")
@needs("admin", everywhere=True)
@operation("notifications", shapes.NotificationRuleSaved, body=RuleBody)
def rule_replaced(rule_id: int) -> Response:
    """Make a rule of notifications another, as a whole; its kind stays."""
    draft = draft_of(read_json(request.get_data(), RuleBody))
    return json_answer({"item": rule_item(_save(rule_id, draft))})


@blueprint.delete("/api/v1/notifications/rules/<int:rule_id>")
@needs("admin", everywhere=True)
@operation("notifications", None, status=204)
def rule_removed(rule_id: int) -> Response:
    """Remove a rule of notifications."""
    _remove(rule_id)
    return Response(status=204)


def _rows() -> list[Row]:
    """All rules as a list has them."""
    return [
        Row(rule, str(rule.id), RowFact(rule.name, _STATES[not rule.enabled]))
        for rule in list_rules(services().store)
    ]


def _submitted(rule_id: int | None) -> Response:
    given = request.form
    try:
        rule = _save(rule_id, draft_of(read_rule_form(given)))
    except InvalidField as error:
        field = "threshold" if error.field in ("minutes", "percent", "days") else error.field
        errors = {field: error.sentence}
    except Conflict as error:
        errors = {"name": str(error)}
    else:
        return _go(f"The rule “{rule.name}” is saved.")
    known = "" if rule_id is None else str(rule_id)
    values = given.to_dict()
    return _form(known, values, given.getlist("target"), given.getlist("what"), errors, 422)


def _save(rule_id: int | None, draft: RuleDraft) -> Rule:
    store = services().store
    if rule_id is None:
        rule = add_rule(store, draft, principal().who)
    else:
        rule = edit_rule(store, rule_id, draft)
    action = "notification-rule-add" if rule_id is None else "notification-rule-edit"
    audit(action, "notification-rule", rule.name, parameters=rule_item(rule))
    return rule


def _remove(rule_id: int) -> Rule:
    rule = remove_rule(services().store, rule_id)
    audit("notification-rule-remove", "notification-rule", rule.name)
    return rule


def _form(
    rule_id: str,
    given: dict[str, str],
    targets: list[str],
    whats: list[str],
    errors: dict[str, str],
    status: int = 200,
) -> Response:
    kind = given.get("kind", "")
    sort = sort_of(kind) or SORTS["change"]
    empty = dict.fromkeys(
        ("name", "kind", "severity", "threshold", "hosts", "objects", "pause_minutes", "note",
         "enabled", "quiet_from", "quiet_to", "quiet_zone", "quiet_then"), "",
    )  # fmt: skip
    title = "Edit a rule" if rule_id else "Add a rule"
    # A move is told once, whichever of its halves a rule is about.
    groups = [(label, sorted(names - {MOVED_AWAY})) for label, names in GROUPS.values()]
    return form_page(
        "notifications/rule.html", "", title, status=status, rule_id=rule_id,
        given={**empty, **given}, chosen=targets, whats=whats, errors=errors, sort=sort,
        kinds=[(name, one.label) for name, one in SORTS.items()], severities=SEVERITIES,
        targets=list_targets(services().store), groups=groups,
        form_address=f"{_PAGE}/{rule_id}/edit" if rule_id else f"{_PAGE}/add",
    )  # fmt: skip


def _about(rule: Rule) -> str:
    """Of what a rule is, beyond its kind."""
    parts = [rule.hosts and f"hosts {rule.hosts}", rule.objects and f"names {rule.objects}"]
    return " · ".join(part for part in parts if part)


def _quiet_words(rule: Rule) -> str:
    quiet: Any = rule.quiet
    hours = f"{time_of_day(quiet.from_minute)} – {time_of_day(quiet.to_minute)} {quiet.zone}"
    return f"{hours}, then {'one message' if quiet.then == 'digest' else 'nothing'}"


def _go(text: str) -> Response:
    flash(text)
    return redirect(_PAGE, 303)  # type: ignore[return-value]  # werkzeug's own Response class
