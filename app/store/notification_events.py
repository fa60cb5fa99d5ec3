"""What is told, and of what is so right now: alerts, events, and for which targets they are.

An event, the alert that it begins or ends, its deliveries, and how far its rule has read the list
of changes are written in one transaction, so that nothing is told twice or not at all, whenever
the process ends.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from msgspec import Struct

from app.clock import MINUTE_MS
from app.notification.quiet import is_quiet, quiet_until
from app.notification.texts import plain
from app.notification.values import Event, EventWhat, Rule
from app.store import schema
from app.store.engine import Store

_alert, _event, _delivery = (
    schema.notification_alert, schema.notification_event, schema.notification_delivery
)  # fmt: skip
_NAME_MAX = 300


class Told(Struct, frozen=True):
    """Something that a rule has to tell; as in Event."""

    rule: Rule
    what: EventWhat
    host_id: int | None
    host: str | None
    kind: str
    key: str
    name: str
    title: str
    text: str = ""
    since_ms: int | None = None
    change_id: int | None = None


def record(
    store: Store,
    told: Sequence[Told],
    now_ms: int,
    *,
    seen: Mapping[int, int] | None = None,
    forgotten: Collection[int] = (),
) -> int:
    """Write what is told; `seen` says of rules up to which change they have told all, `forgotten`
    are alerts that end without a word. How many events there are of it: what is known already,
    and what rules tell that were changed meanwhile, is left out.
    """
    count = 0
    with store.writing(durable=True) as connection:
        count += record_within(connection, told, now_ms)
        rule = schema.notification_rule
        for rule_id, change_id in (seen or {}).items():
            behind = (rule.c.id == rule_id, rule.c.seen_change_id < change_id)
            connection.execute(sa.update(rule).where(*behind).values(seen_change_id=change_id))
        if forgotten:
            still = (_alert.c.id.in_(forgotten), _alert.c.ended_ms.is_(None))
            connection.execute(sa.update(_alert).where(*still).values(ended_ms=now_ms))
    return count


def record_within(connection: sa.Connection, told: Sequence[Told], now_ms: int) -> int:
    """The same within a transaction that writes what is told of as well."""
    rules = _unchanged(connection, {one.rule.id: one.rule for one in told})
    targets = _enabled_targets(connection)
    return sum(_record(connection, one, now_ms, targets) for one in told if one.rule.id in rules)


def told_since(store: Store, rule_id: int, host_id: int | None, key: str, since_ms: int) -> bool:
    """Whether a rule told of an object what began at that time or later."""
    mine = (
        _event.c.rule_id == rule_id, _event.c.host_id == host_id, _event.c.key == key,
        _event.c.what != "ended", _event.c.at_ms >= since_ms,
    )  # fmt: skip
    with store.reading() as connection:
        return connection.scalar(sa.select(_event.c.id).where(*mine).limit(1)) is not None


def forget_before(store: Store, before_ms: int) -> int:
    """Delete what was told before a time and is over; how many events and messages that were."""
    message = schema.notification_message
    waiting = sa.select(_delivery.c.event_id).where(_delivery.c.state == "waiting")
    open_messages = sa.select(message.c.id).where(message.c.state.in_(("waiting", "sending")))
    unsent = sa.select(_delivery.c.event_id).where(_delivery.c.message_id.in_(open_messages))
    still = sa.select(_alert.c.id).where(_alert.c.ended_ms.is_(None))
    old = (
        sa.select(_event.c.id)
        .where(
            _event.c.at_ms < before_ms, _event.c.id.not_in(waiting), _event.c.id.not_in(unsent),
            sa.or_(_event.c.alert_id.is_(None), _event.c.alert_id.not_in(still)),
        )
        .order_by(_event.c.id)
        .limit(_AT_ONCE)
    )  # fmt: skip
    with store.writing() as connection:
        ids = connection.scalars(old).all()
        connection.execute(sa.delete(_delivery).where(_delivery.c.event_id.in_(ids)))
        connection.execute(sa.delete(_event).where(_event.c.id.in_(ids)))
        over = (message.c.made_ms < before_ms, message.c.state.not_in(("waiting", "sending")))
        done = connection.execute(sa.delete(message).where(*over))
        connection.execute(sa.delete(_alert).where(_alert.c.ended_ms < before_ms))
    return len(ids) + done.rowcount


_AT_ONCE = 500


def event_of(row: Any) -> Event:
    """An event from its row."""
    return Event(
        row.id, row.uid, row.at_ms, row.since_ms, row.rule_id, row.rule, row.rule_kind,
        row.severity, row.what, row.host_id, row.host, row.kind, row.key, row.name, row.title,
        row.text, row.alert_id, row.change_id,
    )  # fmt: skip


# --- writing -------------------------------------------------------------------------------


def _record(connection: sa.Connection, told: Told, now_ms: int, targets: Collection[int]) -> bool:
    """Write one event with its alert and its deliveries; False where it is known already."""
    alert_id: int | None = None
    if told.what == "happened":
        if _is_known(connection, told):
            return False
    else:
        alert_id = _turn(connection, told, now_ms)
        if alert_id is None:
            return False
    rule = told.rule
    due_ms = _due_ms(connection, told, now_ms)
    event_id = connection.execute(
        sa.insert(_event).values(
            uid=uuid4().hex, at_ms=now_ms, since_ms=told.since_ms, due_ms=due_ms, rule_id=rule.id,
            rule=rule.name, rule_kind=rule.kind, severity=rule.severity, what=told.what,
            host_id=told.host_id, host=told.host, kind=told.kind, key=told.key,
            name=told.name[:_NAME_MAX], title=plain(told.title), text=plain(told.text),
            alert_id=alert_id, change_id=told.change_id,
        )
    ).lastrowid  # fmt: skip
    quiet = rule.quiet
    is_kept = quiet is not None and quiet.then == "nothing" and is_quiet(quiet, due_ms)
    rows = [
        {
            "event_id": event_id,
            "target_id": target_id,
            "state": "kept-back" if is_kept else "waiting",
            "due_ms": due_ms if is_kept else quiet_until(quiet, due_ms),
        }
        for target_id in rule.target_ids
        if target_id in targets
    ]
    if rows:
        connection.execute(sa.insert(_delivery), rows)
    return True


def _is_known(connection: sa.Connection, told: Told) -> bool:
    # What is no change happens once to its object.
    mine = (
        _event.c.rule_id == told.rule.id, _event.c.change_id == told.change_id,
        _event.c.kind == told.kind, _event.c.key == told.key,
    )  # fmt: skip
    return connection.scalar(sa.select(_event.c.id).where(*mine)) is not None


def _turn(connection: sa.Connection, told: Told, now_ms: int) -> int | None:
    """Begin or end an alert; its id, None where it has begun or ended before."""
    mine = (
        _alert.c.rule_id == told.rule.id, _alert.c.host_id == told.host_id,
        _alert.c.kind == told.kind, _alert.c.key == told.key, _alert.c.ended_ms.is_(None),
    )  # fmt: skip
    alert_id: int | None = connection.scalar(sa.select(_alert.c.id).where(*mine))
    if told.what == "ended":
        if alert_id is not None:
            ended = sa.update(_alert).where(_alert.c.id == alert_id).values(ended_ms=now_ms)
            connection.execute(ended)
        return alert_id
    if alert_id is not None:
        return None
    values = {
        "rule_id": told.rule.id, "host_id": told.host_id, "kind": told.kind, "key": told.key,
        "name": told.name[:_NAME_MAX], "began_ms": now_ms,
    }  # fmt: skip
    return int(connection.execute(sa.insert(_alert).values(values)).lastrowid)


def _due_ms(connection: sa.Connection, told: Told, now_ms: int) -> int:
    """When an event may be told: what comes soon after another of the same object waits until the
    rule's pause is over, and is told along with whatever else came until then. An end is told at
    once, unless what it ends was not yet.
    """
    mine = (
        _event.c.rule_id == told.rule.id, _event.c.host_id == told.host_id,
        _event.c.kind == told.kind, _event.c.key == told.key,
    )  # fmt: skip
    before = connection.execute(
        sa.select(_event.c.due_ms, _event.c.at_ms)
        .where(*mine, _event.c.what != "ended")
        .order_by(_event.c.due_ms.desc())
        .limit(1)
    ).first()
    pause_ms = told.rule.pause_minutes * MINUTE_MS
    # A clock that was set back must not hold anything for longer than the pause.
    if before is None or before.due_ms > now_ms + pause_ms:
        return now_ms
    if before.due_ms > now_ms:
        return int(before.due_ms)
    return now_ms if told.what == "ended" else max(now_ms, before.due_ms + pause_ms)


def _unchanged(connection: sa.Connection, rules: Mapping[int, Rule]) -> Collection[int]:
    """Which of the rules are as they were when it was found out what they tell."""
    table = schema.notification_rule
    query = sa.select(table.c.id, table.c.since_ms).where(table.c.enabled == 1)
    now = {row.id: row.since_ms for row in connection.execute(query)}
    return {rule.id for rule in rules.values() if now.get(rule.id) == rule.since_ms}


def _enabled_targets(connection: sa.Connection) -> Collection[int]:
    table = schema.notification_target
    return {*connection.scalars(sa.select(table.c.id).where(table.c.enabled == 1))}
