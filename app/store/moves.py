"""Moves: a domain that vanishes on one host and appears on another is the same, not a new one.

The two halves are seen by two scans, in either order, each telling what it can: "deleted" here,
"created" there. When the second one is written, two rows tell the move, one for either host, and
both halves are marked as replaced from then on. So a list as of a moment between the two goes on
saying what was known then.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.clock import HOUR_MS
from app.store import schema

MOVED, MOVED_AWAY = "moved", "moved-away"
# It may be taken from one host and brought to another by hand.
_APART_MS = 15 * 60_000
# While it moves both hosts have it; the memory of a busy one takes its time.
_BOTH_MS = 24 * HOUR_MS
_AWAY, _HERE = ("deleted", "stopped"), ("created", "started")


def note_moves(connection: sa.Connection, rows: Sequence[Any]) -> None:
    """Find the other halves of those of the rows just written that may be half of a move; rows
    have the columns of the table as attributes.
    """
    for row in rows:
        if row.kind == "domain" and _is_half(row):
            found = _halves(connection, row)
            if found is not None:
                _join(connection, *found)


def _is_half(row: Any) -> bool:
    """Started or stopped alone is no move; because of a migration it is."""
    return row.what in ("deleted", "created") or (
        row.what in ("stopped", "started") and row.new == "migrated"
    )


def _halves(connection: sa.Connection, row: Any) -> tuple[Any, Any] | None:
    """The row itself, as it is written, and the nearest half on another host: away, here."""
    table = schema.change
    mine = connection.execute(
        sa.select(table).where(
            table.c.entity_id == row.entity_id,
            table.c.at_ms == row.at_ms,
            table.c.what == row.what,
            table.c.replaced_ms.is_(None),
        )
    ).first()
    twins = _twins(connection, row)
    if mine is None or not twins:
        return None
    away = row.what in _AWAY
    others = connection.execute(
        sa.select(table).where(
            table.c.entity_id.in_(twins),
            table.c.at_ms.between(row.at_ms - _BOTH_MS, row.at_ms + _BOTH_MS),
            table.c.what.in_(_HERE if away else _AWAY),
            table.c.replaced_ms.is_(None),
        )
    ).all()
    pairs = [(mine, other) if away else (other, mine) for other in others if _is_half(other)]
    fitting = [pair for pair in pairs if _fits(*pair)]
    return min(fitting, key=lambda pair: abs(pair[0].at_ms - pair[1].at_ms), default=None)


def _twins(connection: sa.Connection, row: Any) -> Sequence[int]:
    """The same domain on other hosts."""
    host, entity = schema.host, schema.entity
    # With the hosts by name, the index by host, kind and key serves.
    hosts = sa.select(host.c.id).where(host.c.id != row.host_id)
    return connection.scalars(
        sa.select(entity.c.id).where(
            entity.c.host_id.in_(hosts), entity.c.kind == "domain", entity.c.key == row.key
        )
    ).all()


def _fits(away: Any, here: Any) -> bool:
    """Whether the two can be one move, as far as is known when each happened."""
    here_from = here.at_ms if here.after_ms is None else here.after_ms
    if here_from <= away.at_ms:
        # Both hosts had it, or it may have been so.
        away_from = away.at_ms if away.after_ms is None else away.after_ms
        return bool(away_from - here.at_ms <= _BOTH_MS)
    return bool(here_from - away.at_ms <= _APART_MS)


def _join(connection: sa.Connection, away: Any, here: Any) -> None:
    table = schema.change
    at_ms = max(away.at_ms, here.at_ms)
    known = [half.after_ms for half in (away, here) if half.after_ms is not None]
    after_ms = max((ms for ms in known if ms < at_ms), default=None)
    same: Mapping[str, Any] = {
        "at_ms": at_ms, "after_ms": after_ms, "kind": "domain", "key": here.key,
        "name": here.name, "old_revision_id": away.old_revision_id,
        "new_revision_id": here.new_revision_id,
    }  # fmt: skip
    moved = {"what": MOVED, "host_id": here.host_id, "entity_id": here.entity_id}
    left = {"what": MOVED_AWAY, "host_id": away.host_id, "entity_id": away.entity_id}
    connection.execute(
        sa.insert(table),
        [
            {**same, **moved, "peer_host_id": away.host_id},
            {**same, **left, "peer_host_id": here.host_id},
        ],
    )
    connection.execute(
        sa.update(table).where(table.c.id.in_((away.id, here.id))).values(replaced_ms=at_ms)
    )
