"""How notifications go: which rules there are, and by target what waits, what was given up in the
last day, and when something last arrived. Reads only.
"""

from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from app.clock import DAY_MS
from app.store import schema
from app.store.engine import Store

_message = schema.notification_message


class TargetFigures(Struct, frozen=True):
    """A target of notifications. `waiting` messages are not there yet, the oldest of them since
    `waiting_since_ms`; `sentence` is what came of the last try at one of them, None before any.
    `waiting_events` are in no message yet: those held by quiet hours, and what came up meanwhile.
    `sent`, `failed` and `unknown` (nobody answered) ended in the last day. `last_sent_ms` and
    `last_failed_ms`: when a message last arrived or was given up, of all that is still known;
    None: never.
    """

    name: str
    enabled: bool
    waiting: int = 0
    waiting_since_ms: int | None = None
    sentence: str | None = None
    waiting_events: int = 0
    sent: int = 0
    failed: int = 0
    unknown: int = 0
    last_sent_ms: int | None = None
    last_failed_ms: int | None = None

    @property
    def fails(self) -> bool:
        """Whether a message was given up, and none arrived since."""
        if self.last_failed_ms is None:
            return False
        return self.last_sent_ms is None or self.last_sent_ms <= self.last_failed_ms


class NotificationFigures(Struct, frozen=True):
    """Rules, those of them that are enabled, and all targets, by name."""

    rules: int
    enabled_rules: int
    targets: tuple[TargetFigures, ...]


def notification_figures(store: Store, now_ms: int) -> NotificationFigures:
    """The figures as of now."""
    rule, target = schema.notification_rule, schema.notification_target
    with store.reading() as connection:
        rules = connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(rule.c.enabled), 0))
        ).one()
        targets = connection.execute(sa.select(target).order_by(target.c.name)).all()
        waiting = _waiting(connection) if targets else {}
        events = _events(connection) if targets else {}
        ended = _ended(connection, now_ms) if targets else {}
        found = tuple(
            TargetFigures(
                row.name, bool(row.enabled), waiting_events=events.get(row.id, 0),
                **waiting.get(row.id, {}),
                **{
                    "last_sent_ms": _last_ms(connection, row.id, "sent"),
                    "last_failed_ms": _last_ms(connection, row.id, "failed"),
                    **ended.get(row.id, {}),
                },
            )
            for row in targets
        )  # fmt: skip
    return NotificationFigures(int(rules[0]), int(rules[1]), found)


def _waiting(connection: sa.Connection) -> dict[int, dict[str, Any]]:
    """By target, of the messages that are to be sent: how many, since when, what the last said."""
    query = (
        sa.select(_message.c.target_id, _message.c.made_ms, _message.c.sentence)
        .where(_message.c.state.in_(("waiting", "sending")))
        .order_by(_message.c.id)
    )
    found: dict[int, dict[str, Any]] = {}
    for target_id, made_ms, sentence in connection.execute(query):
        mine = found.setdefault(
            target_id, {"waiting": 0, "waiting_since_ms": made_ms, "sentence": None}
        )
        mine["waiting"] += 1
        mine["sentence"] = sentence or mine["sentence"]
    return found


def _events(connection: sa.Connection) -> dict[int, int]:
    """By target, how many events are in no message yet."""
    table = schema.notification_delivery
    query = (
        sa.select(table.c.target_id, sa.func.count())
        .where(table.c.state == "waiting")
        .group_by(table.c.target_id)
    )
    return {int(target_id): int(count) for target_id, count in connection.execute(query)}


def _ended(connection: sa.Connection, now_ms: int) -> dict[int, dict[str, Any]]:
    """By target, how many messages ended in the last day by state, and when the last was sent and
    the last failed, of those states that there are.
    """
    # They are tried for a day.
    made = _message.c.made_ms >= now_ms - 3 * DAY_MS
    query = (
        sa.select(
            _message.c.target_id,
            _message.c.state,
            sa.func.count(),
            sa.func.max(_message.c.ended_ms),
        )
        .where(made, _message.c.ended_ms >= now_ms - DAY_MS)
        .where(_message.c.state.in_(("sent", "failed", "unknown")))
        .group_by(_message.c.target_id, _message.c.state)
    )
    found: dict[int, dict[str, Any]] = {}
    for target_id, state, count, last_ms in connection.execute(query):
        mine = found.setdefault(target_id, {})
        mine[state] = count
        if state != "unknown":
            mine[f"last_{state}_ms"] = last_ms
    return found


def _last_ms(connection: sa.Connection, target_id: int, state: str) -> int | None:
    """When the newest message to a target that is in a state came to be so."""
    query = (
        sa.select(_message.c.ended_ms)
        .where(_message.c.state == state, _message.c.target_id == target_id)
        .order_by(_message.c.id.desc())
        .limit(1)
    )
    found: int | None = connection.scalar(query)
    return found
