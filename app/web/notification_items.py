"""Rules, targets, events and messages as JSON says them. Pure; no secret is in any of it."""

from typing import Any

from app.clock import rfc3339
from app.notification.texts import event_item
from app.notification.values import SORTS, Event, Message, QuietHours, Rule, Target
from app.store.notification_log import Alert, Delivery
from app.web.api.items import Item, time_or_none

EVENT_COLUMNS = (
    "id", "at", "since", "what", "severity", "rule", "rule_kind", "host", "kind", "key", "name",
    "title", "text", "change_id", "url", "deliveries",
)  # fmt: skip
MESSAGE_COLUMNS = (
    "id", "target", "kind", "state", "subject", "events", "attempts", "made_at", "tried_at",
    "ended_at", "next_at", "took_ms", "status", "sentence", "about_id",
)  # fmt: skip


def rule_item(rule: Rule) -> Item:
    """A rule; of `minutes`, `percent` and `days` those that are not its unit are null."""
    units: dict[str, Any] = dict.fromkeys(("minutes", "percent", "days"))
    sort = SORTS[rule.kind]
    if sort.field:
        units[sort.field] = rule.threshold
    return {
        "id": rule.id,
        "name": rule.name,
        "kind": rule.kind,
        "severity": rule.severity,
        **units,
        "what": rule.whats,
        "hosts": rule.hosts,
        "objects": rule.objects,
        "targets": rule.target_ids,
        "quiet": None if rule.quiet is None else quiet_item(rule.quiet),
        "pause_minutes": rule.pause_minutes,
        "enabled": rule.enabled,
        "note": rule.note,
        "created_by": rule.created_by,
        "created_at": rfc3339(rule.created_at_ms),
    }


def quiet_item(quiet: QuietHours) -> dict[str, str]:
    """Quiet hours with times of day."""
    return {
        "from": time_of_day(quiet.from_minute),
        "to": time_of_day(quiet.to_minute),
        "zone": quiet.zone,
        "then": quiet.then,
    }


def time_of_day(minute: int) -> str:
    """A minute of the day: "22:00"."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def target_item(target: Target) -> Item:
    """A target; `address` is of a webhook its scheme, host and port alone."""
    return {
        "id": target.id,
        "name": target.name,
        "kind": target.kind,
        "address": target.address,
        "enabled": target.enabled,
        "note": target.note,
        "created_by": target.created_by,
        "created_at": rfc3339(target.created_at_ms),
    }


def told_item(event: Event, deliveries: list[Delivery]) -> Item:
    """An event with what became of it for each target."""
    return {
        **event_item(event, ""),
        "deliveries": [
            {
                "target": one.target,
                "state": outcome(one),
                "due_at": rfc3339(one.due_ms),
                "message_id": one.message_id,
            }
            for one in deliveries
        ],
    }


def outcome(delivery: Delivery) -> str:
    """What became of an event for a target: a state of its message, or `held` before it has one
    and `kept-back` where it gets none.
    """
    if delivery.state == "kept-back":
        return "kept-back"
    return delivery.message_state or "held"


def alert_item(alert: Alert, event: Event | None) -> Item:
    """What is so right now, with the words it was told in."""
    return {
        "id": alert.id,
        "rule_id": alert.rule_id,
        "rule": None if event is None else event.rule,
        "severity": None if event is None else event.severity,
        "host": None if event is None else event.host,
        "kind": alert.kind,
        "key": alert.key,
        "name": alert.name,
        "title": None if event is None else event.title,
        "began_at": rfc3339(alert.began_ms),
        "since": None if event is None else time_or_none(event.since_ms),
    }


def message_item(message: Message, *, admin: bool) -> Item:
    """A message; what the receiver said is for admins."""
    return {
        "id": message.id,
        "uid": message.uid,
        "target": message.target,
        "target_id": message.target_id,
        "kind": message.kind,
        "subject": message.subject,
        "events": message.events,
        "state": message.state,
        "attempts": message.attempts,
        "made_at": rfc3339(message.made_ms),
        "tried_at": time_or_none(message.tried_ms),
        "next_at": time_or_none(message.next_ms),
        "ended_at": time_or_none(message.ended_ms),
        "took_ms": message.took_ms,
        "status": message.status,
        "sentence": message.sentence,
        "detail": message.detail if admin else None,
        "about_id": message.about_id,
    }
