"""The rules of notifications. A new rule tells what begins after it, and what is so right then.

Enabling a rule again, or changing what it is about, begins anew: the changes of before are not
told. Raises Conflict for a name that is taken, NotFound, InvalidField for targets that are gone.
"""

from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import asdict

from app import clock
from app.errors import Conflict, InvalidField, NotFound, StoreError
from app.notification.values import QuietHours, Rule, RuleKind, Severity
from app.store import schema
from app.store.engine import Store
from app.store.notification_messages import next_id


class RuleDraft(Struct, frozen=True):
    """A rule as somebody describes it; app/notification/checks has checked the fields."""

    name: str
    kind: RuleKind
    severity: Severity = "warning"
    threshold: int | None = None
    whats: tuple[str, ...] = ()
    hosts: str = ""
    objects: str = ""
    target_ids: tuple[int, ...] = ()
    quiet: QuietHours | None = None
    pause_minutes: int = 5
    enabled: bool = True
    note: str = ""


def list_rules(store: Store) -> list[Rule]:
    """All rules by name."""
    with store.reading() as connection:
        return rules_within(connection)


def rules_within(connection: sa.Connection) -> list[Rule]:
    """The same within a transaction."""
    query = sa.select(schema.notification_rule).order_by(schema.notification_rule.c.name)
    return [_rule(row) for row in connection.execute(query)]


def get_rule(store: Store, rule_id: int) -> Rule:
    """The rule of that id; raises NotFound."""
    with store.reading() as connection:
        return _rule(_needed(connection, rule_id))


def add_rule(store: Store, draft: RuleDraft, created_by: str) -> Rule:
    """Add a rule."""
    table, now_ms = schema.notification_rule, clock.now_ms()
    with store.writing(durable=True) as connection:
        _check(connection, draft, None)
        rule_id = next_id(
            connection, table.c.id, schema.notification_event.c.rule_id,
            schema.notification_alert.c.rule_id,
        )  # fmt: skip
        made = {"id": rule_id, "created_by": created_by, "created_at_ms": now_ms}
        values = _values(draft) | made | _beginning(connection, now_ms)
        connection.execute(sa.insert(table).values(values))
        return _rule(_needed(connection, rule_id))


def edit_rule(store: Store, rule_id: int, draft: RuleDraft) -> Rule:
    """Make a rule another; its kind stays."""
    table = schema.notification_rule
    with store.writing(durable=True) as connection:
        before = _rule(_needed(connection, rule_id))
        if draft.kind != before.kind:
            raise InvalidField("kind", "The kind of a rule stays; add another rule instead.")
        _check(connection, draft, rule_id)
        values = _values(draft)
        about = (before.whats, before.hosts, before.objects)
        begins = draft.enabled and not before.enabled
        if begins or about != (draft.whats, draft.hosts, draft.objects):
            values |= _beginning(connection, clock.now_ms())
        if not draft.enabled:
            forget_alerts(connection, rule_id)
        connection.execute(sa.update(table).where(table.c.id == rule_id).values(values))
        return _rule(_needed(connection, rule_id))


def remove_rule(store: Store, rule_id: int) -> Rule:
    """Remove a rule; what it told stays in the log. Returns what it was."""
    table = schema.notification_rule
    with store.writing(durable=True) as connection:
        rule = _rule(_needed(connection, rule_id))
        forget_alerts(connection, rule_id)
        connection.execute(sa.delete(table).where(table.c.id == rule_id))
    return rule


def forget_alerts(connection: sa.Connection, rule_id: int) -> None:
    """End what a rule found to be so, without telling anybody."""
    table = schema.notification_alert
    still = (table.c.rule_id == rule_id, table.c.ended_ms.is_(None))
    connection.execute(sa.update(table).where(*still).values(ended_ms=clock.now_ms()))


def _beginning(connection: sa.Connection, now_ms: int) -> dict[str, int]:
    newest = connection.scalar(sa.select(sa.func.max(schema.change.c.id)))
    return {"since_ms": now_ms, "seen_change_id": newest or 0}


def _check(connection: sa.Connection, draft: RuleDraft, own_id: int | None) -> None:
    table, target = schema.notification_rule, schema.notification_target
    taken = connection.scalar(sa.select(table.c.id).where(table.c.name == draft.name))
    if taken is not None and taken != own_id:
        raise Conflict(f"There is a rule “{draft.name}” already.")
    known = {*connection.scalars(sa.select(target.c.id))}
    if not known.issuperset(draft.target_ids):
        raise InvalidField("target", "One of these targets is no longer there; choose again.")


def _values(draft: RuleDraft) -> dict[str, Any]:
    quiet = None if draft.quiet is None else msgspec.json.encode(draft.quiet).decode()
    return asdict(draft) | {
        "whats": msgspec.json.encode(draft.whats).decode(),
        "target_ids": msgspec.json.encode(sorted({*draft.target_ids})).decode(),
        "quiet": quiet,
        "enabled": int(draft.enabled),
    }


def _needed(connection: sa.Connection, rule_id: int) -> Any:
    table = schema.notification_rule
    row = connection.execute(sa.select(table).where(table.c.id == rule_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such rule (any more).")
    return row


def _rule(row: Any) -> Rule:
    try:
        return _read(row)
    except msgspec.MsgspecError:
        sentence = f"The store is damaged: the notification rule {row.id} cannot be read."
        raise StoreError(sentence, problem="damaged") from None


def _read(row: Any) -> Rule:
    quiet = None if row.quiet is None else msgspec.json.decode(row.quiet, type=QuietHours)
    return Rule(
        id=row.id, name=row.name, kind=row.kind, severity=row.severity, threshold=row.threshold,
        whats=msgspec.json.decode(row.whats, type=tuple[str, ...]), hosts=row.hosts,
        objects=row.objects, target_ids=msgspec.json.decode(row.target_ids, type=tuple[int, ...]),
        quiet=quiet, pause_minutes=row.pause_minutes, enabled=bool(row.enabled), note=row.note,
        created_by=row.created_by, created_at_ms=row.created_at_ms, since_ms=row.since_ms,
        seen_change_id=row.seen_change_id,
    )  # fmt: skip
