"""The log of notifications: what was told, of what is so right now, and what became of it for whom.
Reads only; app/store/notification_events writes.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app.notification.values import DeliveryState, Event, MessageState
from app.store import schema
from app.store.engine import Store
from app.store.notification_events import event_of

_alert, _event, _delivery = (
    schema.notification_alert, schema.notification_event, schema.notification_delivery
)  # fmt: skip
_AT_ONCE = 2000


class Alert(Struct, frozen=True):
    """A condition that is so, or was until `ended_ms`."""

    id: int
    rule_id: int
    host_id: int
    kind: str
    key: str
    name: str
    began_ms: int
    ended_ms: int | None


class Delivery(Struct, frozen=True):
    """What became of an event for one target. `due_ms`: not sent before. `target` is None for one
    that was removed before anything was sent; `message_state` is of the message that has it.
    """

    event_id: int
    target_id: int
    target: str | None
    state: DeliveryState
    due_ms: int
    message_id: int | None
    message_state: MessageState | None
    sentence: str | None


def open_alerts(store: Store, host_ids: frozenset[int] | None = None) -> list[Alert]:
    """What is so right now, the oldest first."""
    query = sa.select(_alert).where(_alert.c.ended_ms.is_(None), *_in_scope(_alert, host_ids))
    with store.reading() as connection:
        rows = connection.execute(query.order_by(_alert.c.began_ms, _alert.c.id)).all()
    return [_alert_of(row) for row in rows]


def events(
    store: Store, host_ids: frozenset[int] | None, *, limit: int, offset: int = 0
) -> tuple[list[Event], int]:
    """What was told of some hosts, or of all and npvirt itself, newest first; how many."""
    scope = tuple(_in_scope(_event, host_ids))
    query = sa.select(_event).where(*scope).order_by(_event.c.id.desc())
    with store.reading() as connection:
        total = connection.scalar(sa.select(sa.func.count()).select_from(_event).where(*scope))
        rows = connection.execute(query.limit(limit).offset(offset)).all()
    return [event_of(row) for row in rows], int(total or 0)


def events_of_alerts(store: Store, alert_ids: Collection[int]) -> dict[int, Event]:
    """With which event each alert began."""
    query = sa.select(_event).where(_event.c.what == "began")
    with store.reading() as connection:
        return {
            row.alert_id: event_of(row)
            for some in _pieces(alert_ids)
            for row in connection.execute(query.where(_event.c.alert_id.in_(some)))
        }


def deliveries(store: Store, event_ids: Collection[int]) -> dict[int, list[Delivery]]:
    """What became of some events, by event."""
    message, target = schema.notification_message, schema.notification_target
    query = (
        sa.select(
            _delivery, message.c.state.label("message_state"), message.c.sentence,
            sa.func.coalesce(message.c.target, target.c.name).label("target"),
        )
        .outerjoin(message, message.c.id == _delivery.c.message_id)
        .outerjoin(target, target.c.id == _delivery.c.target_id)
        .order_by(_delivery.c.event_id, _delivery.c.target_id)
    )  # fmt: skip
    found: dict[int, list[Delivery]] = {}
    with store.reading() as connection:
        for some in _pieces(event_ids):
            for row in connection.execute(query.where(_delivery.c.event_id.in_(some))):
                one = Delivery(
                    row.event_id, row.target_id, row.target, row.state, row.due_ms, row.message_id,
                    row.message_state, row.sentence,
                )  # fmt: skip
                found.setdefault(row.event_id, []).append(one)
    return found


def _pieces(ids: Collection[int]) -> Iterator[list[int]]:
    """So many at a time as one statement may name."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]


def _in_scope(table: sa.Table, host_ids: frozenset[int] | None) -> Iterable[sa.ColumnElement[bool]]:
    if host_ids is not None:
        yield table.c.host_id.in_(host_ids)


def _alert_of(row: Any) -> Alert:
    return Alert(
        row.id, row.rule_id, row.host_id, row.kind, row.key, row.name, row.began_ms, row.ended_ms
    )
