"""The capacity reports that are kept, one of each month. Reads and writes them.

A report and the events that tell of it are written in one transaction, and a month has one report:
whoever comes second, after a restart or in another process, writes nothing.
"""

from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.capacity.evidence import Evidence
from app.capacity.periods import Period, month_after, month_before
from app.capacity.report import Dismissed, FindingKey, Report
from app.clock import DAY_MS
from app.errors import NotFound, StoreError
from app.language import gettext
from app.store import schema
from app.store.capacity import evidence
from app.store.dismissals import dismissals
from app.store.engine import Store
from app.store.known_days import DONE_AFTER_MS
from app.store.notification_events import Told, record_within
from app.store.notification_rules import rules_within
from app.store.tiers import day_number

_DAYS = 800
_table = schema.capacity_report


class Kept(Struct, frozen=True):
    """A report that is kept: of which month, as known at `at_ms`, made at `made_ms`."""

    month: str
    at_ms: int
    made_ms: int


class Subject(Struct, frozen=True):
    """What messages say of a report: what it is called, and the gist of it."""

    title: str
    text: str


def month_due(store: Store, now_ms: int) -> Period | None:
    """The month whose report is to be made: the one after that of the newest report or, where
    there is none, the last one. None: it is not over, or nothing was measured by its end.
    """
    with store.reading() as connection:
        newest: str | None = connection.scalar(sa.select(sa.func.max(_table.c.month)))
        days = schema.dailies["host"]
        first: str | None = connection.scalar(sa.select(sa.func.min(days.c.day)))
        # A clock that runs ahead must not end a month of which nothing was seen.
        scanned: int | None = connection.scalar(sa.select(sa.func.max(schema.scan.c.at_ms)))
    if first is None or scanned is None:
        return None
    last = month_before(min(now_ms - DONE_AFTER_MS, scanned) // DAY_MS)
    due = last if newest is None else month_after(newest)
    return due if due.end_day <= last.end_day and day_number(first) < due.end_day else None


def known_at_end(store: Store, of: Period) -> tuple[Evidence, dict[FindingKey, Dismissed]]:
    """What was known when a month ended, with the findings dismissed then. Raises StoreError."""
    at_ms = of.end_day * DAY_MS
    dismissed = {
        key: Dismissed(one.at_ms, one.who, one.note)
        for key, one in dismissals(store, at_ms).items()
    }
    # Nobody makes the report before the month's last day is put together.
    return evidence(store, at_ms, days=_DAYS, every_day=True), dismissed


def keep_report(store: Store, report: Report, subject: Subject, now_ms: int) -> bool:
    """Keep a report and have the rules tell of it that are for that; False where its month has one
    already. Raises StoreError.
    """
    with store.writing(durable=True) as connection:
        same = sa.select(_table.c.id).where(_table.c.month == report.month)
        if connection.scalar(same) is not None:
            return False
        values = {
            "month": report.month, "at_ms": report.at_ms, "made_ms": now_ms,
            "body": msgspec.json.encode(report).decode(),
        }  # fmt: skip
        connection.execute(sa.insert(_table).values(values))
        told = [
            Told(
                rule, "happened", None, None, "report", report.month, report.month, subject.title,
                subject.text, report.at_ms,
            )
            for rule in rules_within(connection)
            if rule.kind == "capacity-report"
        ]  # fmt: skip
        record_within(connection, told, now_ms)
    return True


def list_reports(store: Store, moment_ms: int | None) -> list[Kept]:
    """Which reports there were at a moment (None: now), the newest month first."""
    query = sa.select(_table.c.month, _table.c.at_ms, _table.c.made_ms)
    with store.reading() as connection:
        rows = connection.execute(_until(query, moment_ms).order_by(_table.c.month.desc()))
        return [Kept(row.month, row.at_ms, row.made_ms) for row in rows]


def get_report(store: Store, month: str, moment_ms: int | None) -> tuple[Kept, Report]:
    """The report of a month, if it was there at a moment; raises NotFound, StoreError."""
    query = sa.select(_table).where(_table.c.month == month)
    with store.reading() as connection:
        row = connection.execute(_until(query, moment_ms)).one_or_none()
    if row is None:
        raise NotFound(gettext("There is no report of that month."))
    try:
        report = msgspec.json.decode(row.body, type=Report)
    except msgspec.MsgspecError:
        sentence = f"The store is damaged: the capacity report of {row.month} cannot be read."
        raise StoreError(sentence, problem="damaged") from None
    return Kept(row.month, row.at_ms, row.made_ms), report


def forget_reports(connection: sa.Connection, before_ms: int) -> None:
    """Delete the reports of months that ended before a time."""
    connection.execute(sa.delete(_table).where(_table.c.at_ms < before_ms))


def _until(query: sa.Select[Any], moment_ms: int | None) -> sa.Select[Any]:
    return query if moment_ms is None else query.where(_table.c.made_ms <= moment_ms)
