"""The log of notifications: what was told, of what is so right now, what became of it for whom, and
what was sent. Reads only; app/store/notification_events and notification_messages write.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app.notification.values import DeliveryState, Event, Message, MessageState
from app.store import schema
from app.store.engine import Store
from app.store.notification_events import event_of
from app.store.notification_messages import message_of

_alert, _event, _delivery, _message = (
    schema.notification_alert, schema.notification_event, schema.notification_delivery,
    schema.notification_message,
)  # fmt: skip
_EVENT_TEXTS = (_event.c.title, _event.c.text, _event.c.rule, _event.c.host, _event.c.name)
_MESSAGE_TEXTS = (_message.c.subject, _message.c.target, _message.c.sentence)
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


class WantedEvents(Struct, frozen=True):
    """Which events: of the hosts in a scope (None: of all, and of npvirt itself), of hosts of these
    names, of these severities, and with words that all occur in what is told. Empty is any.
    """

    host_ids: frozenset[int] | None = None
    hosts: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    text: str = ""


class WantedMessages(Struct, frozen=True):
    """Which messages: in these states, and with words that all occur. Empty is any."""

    states: tuple[str, ...] = ()
    text: str = ""


_ANY_MESSAGES = WantedMessages()


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
    store: Store,
    wanted: WantedEvents,
    *,
    limit: int,
    offset: int = 0,
    oldest_first: bool = False,
) -> tuple[list[Event], dict[str, int]]:
    """What was told, newest first; how many of each severity, whichever of these is wanted."""
    of = (*_in_scope(_event, wanted.host_ids), *_with_words(_EVENT_TEXTS, wanted.text))
    if wanted.hosts:
        of = (*of, _event.c.host.in_(wanted.hosts))
    rows, counts = _page(
        store, _event, of, _event.c.severity, wanted.severities, limit, offset, oldest_first
    )
    return [event_of(row) for row in rows], counts


def messages(
    store: Store,
    wanted: WantedMessages = _ANY_MESSAGES,
    *,
    limit: int,
    offset: int = 0,
    oldest_first: bool = False,
) -> tuple[list[Message], dict[str, int]]:
    """What was sent or is to be, newest first; how many in each state, whichever is wanted."""
    of = tuple(_with_words(_MESSAGE_TEXTS, wanted.text))
    rows, counts = _page(
        store, _message, of, _message.c.state, wanted.states, limit, offset, oldest_first
    )
    return [message_of(row) for row in rows], counts


def _page(
    store: Store,
    table: sa.Table,
    of: tuple[sa.ColumnElement[bool], ...],
    sort: sa.Column[str],
    sorts: tuple[str, ...],
    limit: int,
    offset: int,
    oldest_first: bool,
) -> tuple[list[Any], dict[str, int]]:
    """The rows of a page, of some `sorts`; and how many there are of each."""
    query = sa.select(table).where(*of, *((sort.in_(sorts),) if sorts else ()))
    order = table.c.id if oldest_first else table.c.id.desc()
    counted = sa.select(sort, sa.func.count()).where(*of).group_by(sort)
    with store.reading() as connection:
        counts = {str(word): int(number) for word, number in connection.execute(counted)}
        rows = connection.execute(query.order_by(order).limit(limit).offset(offset)).all()
    return list(rows), counts


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


def _with_words(
    columns: Iterable[sa.ColumnElement[Any]], text: str
) -> Iterator[sa.ColumnElement[bool]]:
    for word in text.split():
        yield sa.or_(*(column.icontains(word, autoescape=True) for column in columns))


def _alert_of(row: Any) -> Alert:
    return Alert(
        row.id, row.rule_id, row.host_id, row.kind, row.key, row.name, row.began_ms, row.ended_ms
    )
