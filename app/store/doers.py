"""Who did it: the audit's actions that explain a change, found when a list is read.

An action explains a change if it can have that effect, was asked for on that object after the
last scan that did not show the change (or, where a guest takes its time, not long before), and
did not fail as far as was known at the moment that is looked from.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from app.store import schema

# npvirt: asked for here; outside: nobody here did; scan: nobody needs to have done it.
By = Literal["npvirt", "outside", "scan"]

_SLOW_MS = 15 * 60_000
# Two clocks: a change is told at its scan's beginning, an action when it was asked for.
_SLACK_MS = 2_000
# So long libvirt may take to do what it was asked for: as long as it is waited for, and some.
_DOING_MS = 30_000
_MANY = 400

_UP = ("start", "snapshot-revert", "create")
_BY_ACTION: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("domain", "created"): ("define", "create", "clone", "import"),
    ("domain", "deleted"): ("undefine", "destroy", "shutdown", "managedsave"),
    ("domain", "started"): _UP,
    ("domain", "restarted"): (*_UP, "reboot", "reset", "destroy", "shutdown"),
    ("domain", "stopped"): ("shutdown", "destroy", "managedsave", "snapshot-revert", "reboot"),
    ("domain", "crashed"): ("inject-nmi", "reset", "destroy"),
    ("domain", "paused"): ("suspend", "snapshot-revert", "snapshot-create", "dump"),
    ("domain", "resumed"): ("resume", "snapshot-revert", "snapshot-create", "reset"),
    ("domain", "woken"): ("dompmwakeup",),
    ("domain", "saved-state"): ("managedsave",),
    ("domain", "saved-state-dropped"): ("managedsave-remove", "start"),
    ("domain", "autostart-on"): ("autostart",),
    ("domain", "autostart-off"): ("autostart",),
    ("domain", "snapshot-taken"): ("snapshot-create",),
    ("domain", "snapshot-deleted"): ("snapshot-delete",),
    ("domain", "snapshot-reverted"): ("snapshot-revert",),
    ("domain", "disk-changed"): ("snapshot-create", "snapshot-revert", "snapshot-delete"),
    ("domain", "definition-changed"): ("snapshot-create", "snapshot-revert"),
    ("domain", "moved"): ("migrate",),
    ("domain", "moved-away"): ("migrate",),
    ("pool", "created"): ("pool-define",),
    ("pool", "deleted"): ("pool-undefine",),
    ("pool", "started"): ("pool-start",),
    ("pool", "stopped"): ("pool-destroy",),
    ("pool", "building"): ("pool-build",),
    ("pool", "autostart-on"): ("pool-autostart",),
    ("pool", "autostart-off"): ("pool-autostart",),
    ("volume", "created"): ("vol-create", "vol-clone", "vol-upload"),
    ("volume", "deleted"): ("vol-delete",),
    ("volume", "resized"): ("vol-resize", "vol-upload"),
    ("volume", "format"): ("vol-upload",),
    ("network", "created"): ("net-define",),
    ("network", "deleted"): ("net-undefine",),
    ("network", "started"): ("net-start",),
    ("network", "stopped"): ("net-destroy",),
    ("network", "autostart-on"): ("net-autostart",),
    ("network", "autostart-off"): ("net-autostart",),
    ("host", "added"): ("host-add", "host-enable"),
}
_SLOW = frozenset(("shutdown", "reboot", "managedsave", "dump", "snapshot-create", "migrate",
                   "vol-create", "vol-clone", "vol-upload", "vol-delete", "host-add"))  # fmt: skip
_ITSELF = frozenset(
    ("crashed", "unreachable", "back", "no-scans", "added", "degraded", "inaccessible",
     "recovered", "asleep")
)  # fmt: skip


def by(change: Any) -> By:
    """Who is behind a change that the audit does not explain."""
    if change.kind in ("host", "npvirt") or change.what in _ITSELF:
        return "scan"
    if change.what == "paused" and change.new not in ("user", None):
        return "scan"
    return "outside"


def find(
    connection: sa.Connection, changes: Sequence[Any], as_of_ms: int | None
) -> Mapping[int, Mapping[str, Any]]:
    """What the audit knows of these changes, by their ids: the fields `by`, `who`, `audit_id`."""
    asking = [one for one in changes if (one.kind, one.what) in _BY_ACTION and one.host_id]
    found: dict[int, Mapping[str, Any]] = {}
    for start in range(0, len(asking), _MANY):
        some = asking[start : start + _MANY]
        entries = _entries(connection, some, as_of_ms)
        for one in some:
            fitting = [entry for entry in entries.get(one.host_id, ()) if _explains(entry, one)]
            if fitting:
                doer = max(fitting, key=lambda entry: int(entry.id))
                found[one.id] = {"by": "npvirt", "who": doer.who, "audit_id": doer.id}
    return found


def _entries(
    connection: sa.Connection, changes: Sequence[Any], as_of_ms: int | None
) -> Mapping[int, list[Any]]:
    """The attempts of the time of the changes on their objects that did not fail, by host."""
    table, ended = schema.audit, schema.audit.alias("ended")
    keys = {key for one in changes for key in _keys(one)}
    until_ms = max(one.at_ms for one in changes) + _SLACK_MS
    known = ended.c.intent_id == table.c.id
    if as_of_ms is not None:
        until_ms = min(until_ms, as_of_ms)
        known = sa.and_(known, ended.c.at_ms <= as_of_ms)
    from_ms = min(one.at_ms if one.after_ms is None else one.after_ms for one in changes)
    outcome = sa.func.coalesce(ended.c.outcome, table.c.outcome, "unknown")
    query = (
        sa.select(table.c.id, table.c.at_ms, table.c.who, table.c.action, table.c.host_id,
                  table.c.key, table.c.name, table.c.parameters)
        .outerjoin(ended, known)
        .where(table.c.intent_id.is_(None), outcome.in_(("ok", "unknown")))
        .where(table.c.host_id.in_({one.host_id for one in changes}), table.c.key.in_(keys))
        .where(table.c.at_ms.between(from_ms - _SLOW_MS, until_ms))
        .order_by(table.c.id)
    )  # fmt: skip
    found: dict[int, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.host_id, []).append(row)
    return found


def _keys(change: Any) -> tuple[str, ...]:
    """The keys by which the audit may know the object: a new one is made in another."""
    if change.kind == "volume":
        return (str(change.entity_id), change.key.split("/", 1)[0])
    return (change.key, "") if change.what in ("created", "added") else (change.key,)


def _explains(entry: Any, change: Any) -> bool:
    if entry.action not in _BY_ACTION[(change.kind, change.what)]:
        return False
    if entry.key not in _keys(change):
        return False
    from_ms = change.at_ms if change.after_ms is None else change.after_ms
    if entry.action in _SLOW:
        from_ms -= _SLOW_MS
    else:
        # Of one that libvirt told of, the very time is known; it was asked for before.
        from_ms -= _DOING_MS if change.after_ms == change.at_ms else _SLACK_MS
    if not from_ms <= entry.at_ms <= change.at_ms + _SLACK_MS:
        return False
    if change.what == "created":
        return bool(change.name) and change.name in (entry.name, _new_name(entry))
    return True


def _new_name(entry: Any) -> str | None:
    named = msgspec.json.decode(entry.parameters).get("name")
    return named if isinstance(named, str) else None
