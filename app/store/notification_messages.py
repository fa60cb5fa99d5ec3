"""The outbox: messages to targets, each tried until it arrived, was given up, or may have arrived.

What is due for a target becomes one message. Before every try it is committed, durably, that the
message is being sent; so nothing is sent that is not written down, and what was being sent when a
process ended is found: whether that arrived is not known, so it is never sent again. Instead a
message of another kind ("unsure") tells the target of it.
"""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa
from msgspec import Struct

from app.clock import MINUTE_MS
from app.notification.texts import subject_of
from app.notification.values import Event, Message, Target
from app.store import schema
from app.store.engine import Store
from app.store.notification_events import event_of

# So many events stand in one message at most.
EVENTS_MOST = 200
# No try is put off for longer.
RETRY_MOST_MS = 20 * MINUTE_MS

_message, _delivery = schema.notification_message, schema.notification_delivery


class Outcome(Struct, frozen=True):
    """What came of a try: it was taken, it was certainly not, or nobody knows. `status` is what the
    receiver answered, `detail` its words, `sentence` is for everybody.
    """

    state: Literal["sent", "failed", "unknown"]
    sentence: str
    status: int | None = None
    detail: str = ""
    took_ms: int = 0


class Taken(Struct, frozen=True):
    """A message that is to be sent right now, with its events, the oldest first."""

    message: Message
    events: tuple[Event, ...]


def targets_due(store: Store, now_ms: int) -> list[int]:
    """The targets for which something is to be sent now."""
    target = schema.notification_target
    waiting = sa.select(_message.c.target_id).where(
        _message.c.state == "waiting", sa.not_(_waits(now_ms))
    )
    busy = sa.select(_message.c.target_id).where(
        _message.c.state.in_(("waiting", "sending")), _message.c.kind != "test"
    )
    fresh = sa.select(_delivery.c.target_id).where(
        _delivery.c.state == "waiting", _delivery.c.due_ms <= now_ms,
        _delivery.c.target_id.not_in(busy),
    )  # fmt: skip
    query = sa.select(target.c.id).where(
        target.c.enabled == 1, sa.or_(target.c.id.in_(waiting), target.c.id.in_(fresh))
    )
    with store.reading() as connection:
        return list(connection.scalars(query))


def take(store: Store, target_id: int, now_ms: int) -> Taken | None:
    """The message that is to be sent to a target now: one that waits for its next try, or all that
    is due in a new one. From now on it is being sent. None: there is nothing.
    """
    with store.writing(durable=True) as connection:
        target = schema.notification_target
        named = connection.execute(
            sa.select(target.c.name).where(target.c.id == target_id, target.c.enabled == 1)
        ).one_or_none()
        if named is None:
            return None
        # In their order, one at a time.
        first = connection.execute(
            sa.select(_message, _waits(now_ms).label("waits"))
            .where(
                _message.c.target_id == target_id, _message.c.state.in_(("waiting", "sending")),
                _message.c.kind != "test",
            )
            .order_by(_message.c.id)
            .limit(1)
        ).one_or_none()  # fmt: skip
        if first is None:
            message_id = _gathered(connection, target_id, named.name, now_ms)
            if message_id is None:
                return None
        elif first.state == "sending" or first.waits:
            return None
        else:
            message_id = first.id
        connection.execute(
            sa.update(_message)
            .where(_message.c.id == message_id)
            .values(state="sending", attempts=_message.c.attempts + 1, tried_ms=now_ms)
        )
        row = connection.execute(sa.select(_message).where(_message.c.id == message_id)).one()
        return Taken(message_of(row), _events(connection, message_id))


def _waits(now_ms: int) -> sa.ColumnElement[bool]:
    """Whether it is not time yet for a message's next try. A clock that was set back must not put
    it off for long.
    """
    return _message.c.next_ms.between(now_ms + 1, now_ms + RETRY_MOST_MS)


def _gathered(connection: sa.Connection, target_id: int, target: str, now_ms: int) -> int | None:
    """A new message of all that is due for a target; None where nothing is."""
    mine = (_delivery.c.target_id == target_id, _delivery.c.state == "waiting")
    ids = connection.scalars(
        sa.select(_delivery.c.event_id)
        .where(*mine, _delivery.c.due_ms <= now_ms)
        .order_by(_delivery.c.event_id)
        .limit(EVENTS_MOST)
    ).all()
    if not ids:
        return None
    event = schema.notification_event
    rows = connection.execute(sa.select(event).where(event.c.id.in_(ids)).order_by(event.c.id))
    subject = subject_of([event_of(row) for row in rows])
    message_id = _add(connection, target_id, target, "alert", subject, len(ids), now_ms)
    connection.execute(
        sa.update(_delivery)
        .where(*mine, _delivery.c.event_id.in_(ids))
        .values(state="taken", message_id=message_id)
    )
    return message_id


def _add(
    connection: sa.Connection,
    target_id: int,
    target: str,
    kind: str,
    subject: str,
    events: int,
    now_ms: int,
    about_id: int | None = None,
) -> int:
    message_id = next_id(connection, _message.c.id)
    values = {
        "id": message_id, "uid": uuid4().hex, "target_id": target_id,
        "target": target, "kind": kind, "subject": subject, "events": events, "state": "waiting",
        "attempts": 0, "made_ms": now_ms, "next_ms": now_ms, "about_id": about_id,
    }  # fmt: skip
    connection.execute(sa.insert(_message).values(values))
    return message_id


def begin_test(store: Store, target: Target, now_ms: int) -> Message:
    """A labelled test message, being sent from now on."""
    subject = f"Test of the target “{target.name}”: nothing happened."
    with store.writing(durable=True) as connection:
        message_id = _add(connection, target.id, target.name, "test", subject, 0, now_ms)
        own = _message.c.id == message_id
        going = {"state": "sending", "attempts": 1, "tried_ms": now_ms, "next_ms": None}
        connection.execute(sa.update(_message).where(own).values(going))
        return message_of(connection.execute(sa.select(_message).where(own)).one())


def conclude(
    store: Store, message: Message, outcome: Outcome, now_ms: int, next_ms: int | None
) -> None:
    """Write down what came of the try that `message` is at; `next_ms` is when one that failed is
    tried again, None: never. A receiver that may have got it is told so, once.
    """
    again = outcome.state == "failed" and next_ms is not None
    values = {
        "state": "waiting" if again else outcome.state,
        "next_ms": next_ms if again else None,
        "ended_ms": None if again else now_ms,
        "took_ms": outcome.took_ms,
        "status": outcome.status,
        "sentence": outcome.sentence,
        "detail": outcome.detail[:_DETAIL_MAX] or None,
    }
    with store.writing(durable=True) as connection:
        # Whoever took over meanwhile may have written that it is not known.
        same = (
            _message.c.id == message.id, _message.c.attempts == message.attempts,
            _message.c.state.in_(("sending", "unknown")),
        )  # fmt: skip
        done = connection.execute(sa.update(_message).where(*same).values(values))
        if done.rowcount and outcome.state == "unknown" and message.kind == "alert":
            _be_unsure(connection, message, now_ms)


_DETAIL_MAX = 500


def recover(store: Store, now_ms: int) -> int:
    """Find what was being sent when the process that sent it ended: nobody knows whether it
    arrived. How many there were. To be called by the one process that sends, before it does.
    """
    lost = (
        _message.c.state == "sending",
        sa.or_(_message.c.kind != "test", _message.c.tried_ms < now_ms - _TEST_MOST_MS),
    )
    with store.writing(durable=True) as connection:
        rows = connection.execute(sa.select(_message).where(*lost)).all()
        for row in rows:
            values = {
                "state": "unknown", "ended_ms": now_ms,
                "sentence": "npvirt ended while it sent this; whether it arrived is not known.",
            }  # fmt: skip
            connection.execute(sa.update(_message).where(_message.c.id == row.id).values(values))
            if row.kind == "alert":
                _be_unsure(connection, message_of(row), now_ms)
    return len(rows)


# A test is sent by the process that was asked for it, in less than this.
_TEST_MOST_MS = 120_000


def _be_unsure(connection: sa.Connection, message: Message, now_ms: int) -> None:
    """Have the target told that it may not have got a message, and what that was called."""
    subject = f"It is not known whether this arrived: {message.subject}"
    _add(
        connection, message.target_id, message.target, "unsure", subject, 0, now_ms, message.id
    )  # fmt: skip


def keep_back(connection: sa.Connection, target_id: int) -> None:
    """Have nothing more sent of what waits for a target."""
    waits = (_delivery.c.target_id == target_id, _delivery.c.state == "waiting")
    connection.execute(sa.update(_delivery).where(*waits).values(state="kept-back"))
    message = (_message.c.target_id == target_id, _message.c.state == "waiting")
    sentence = "Given up: the target was disabled or removed."
    over = {"state": "failed", "sentence": sentence, "next_ms": None}
    connection.execute(sa.update(_message).where(*message).values(over))


def get_message(store: Store, message_id: int) -> Message | None:
    """The message of that id."""
    with store.reading() as connection:
        row = connection.execute(sa.select(_message).where(_message.c.id == message_id)).first()
    return None if row is None else message_of(row)


def message_of(row: Any) -> Message:
    """A message from its row."""
    return Message(
        row.id, row.uid, row.target_id, row.target, row.kind, row.subject, row.events, row.state,
        row.attempts, row.made_ms, row.next_ms, row.tried_ms, row.ended_ms, row.took_ms,
        row.status, row.sentence, row.detail, row.about_id,
    )  # fmt: skip


def next_id(connection: sa.Connection, *columns: sa.ColumnElement[int]) -> int:
    """An id that no row of these columns has, nor had: what is logged goes on to mean the same."""
    greatest = (connection.scalar(sa.select(sa.func.max(column))) or 0 for column in columns)
    return max(greatest) + 1


def _events(connection: sa.Connection, message_id: int) -> tuple[Event, ...]:
    event = schema.notification_event
    rows: Sequence[Any] = connection.execute(
        sa.select(event)
        .join(_delivery, _delivery.c.event_id == event.c.id)
        .where(_delivery.c.message_id == message_id)
        .order_by(event.c.id)
    ).all()
    return tuple(event_of(row) for row in rows)
