"""Which domains were asked to shut down and have not obeyed yet: derived from the audit.

A guest may take its time or refuse, so that it was asked is no state of libvirt's and none is
kept. It holds while the domain runs with the id that it had, until something else is done to it.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from app.clock import HOUR_MS
from app.store import schema
from app.store.views import Fleet

# Nobody waits longer for a guest.
_LONGEST_MS = 24 * HOUR_MS
_ENDING = ("shutdown", "reboot", "reset", "destroy", "managedsave", "start")
_RUNS = ("running", "blocked", "paused")


def shutdowns(connection: sa.Connection, at_ms: int) -> Mapping[tuple[int, str], tuple[int, int]]:
    """Per host id and UUID: when it was asked, and the id that it ran with, as of a moment."""
    asked = {"since_ms": at_ms - _LONGEST_MS, "at_ms": at_ms}
    found: dict[tuple[int, str], tuple[int, int]] = {}
    for row in connection.execute(_shutdowns_query(), asked):
        found.pop((row.host_id, row.key), None)
        domain_id = msgspec.json.decode(row.parameters).get("domain_id")
        if row.action == "shutdown" and isinstance(domain_id, int):
            found[(row.host_id, row.key)] = (row.at_ms, domain_id)
    return found


@cache
def _shutdowns_query() -> sa.Select[Any]:
    """Put together once: that costs more than running it."""
    table = schema.audit
    ended = table.alias("ended")
    at_ms: sa.BindParameter[int] = sa.bindparam("at_ms")
    return (
        sa.select(table.c.host_id, table.c.key, table.c.action, table.c.at_ms, table.c.parameters)
        .join(ended, ended.c.intent_id == table.c.id)
        .where(table.c.at_ms > sa.bindparam("since_ms"), ended.c.at_ms <= at_ms)
        .where(table.c.kind == "domain", table.c.action.in_(_ENDING))
        .where(ended.c.outcome.in_(("ok", "unknown")))
        .order_by(table.c.id)
    )


def still_running(
    fleet: Fleet, asked: Mapping[tuple[int, str], tuple[int, int]]
) -> Mapping[tuple[str, str], int]:
    """When domains were asked that still run as they did then, by host and UUID."""
    if not asked:
        return {}
    slugs = {view.record.id: view.slug for view in fleet.hosts}
    found = {}
    for (host_id, uuid), (asked_ms, domain_id) in asked.items():
        seen = fleet.domain(slugs.get(host_id, ""), uuid)
        if seen is not None and seen.fact.id == domain_id and seen.fact.state in _RUNS:
            found[(seen.host, seen.key)] = asked_ms
    return found
