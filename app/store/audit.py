"""The audit: who asked for what, on which object, from where, and what came of it. Append-only.

An attempt is two entries: the intent, committed before libvirt is called, and its outcome, linked
by id; a refusal is one. They are shown as one record. Every entry carries a digest of itself and
of the entry before it, so that what was altered or taken out of the middle is found
(`first_broken`). Entries are written durably: not even a loss of power takes them back.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace

from app import clock
from app.access import Principal
from app.store import schema
from app.store.engine import Store

Outcome = Literal["ok", "failed", "unknown", "refused"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "failed", "unknown", "refused")

_SIGNED = (
    "id", "intent_id", "at_ms", "who", "role", "peer", "action", "kind", "host_id", "host", "key",
    "name", "parameters", "request_id", "outcome", "sentence", "detail", "took_ms",
)  # fmt: skip
_TEXT_MAX = 4096


class Attempt(Struct, frozen=True):
    """What somebody asks for. `parameters` hold no secret; `key` is empty for what is no object
    of a host (users, tokens, settings of a host).
    """

    principal: Principal
    peer: str
    action: str
    kind: str
    host_id: int | None = None
    host: str = ""
    key: str = ""
    name: str = ""
    parameters: Mapping[str, Any] = {}
    request_id: str | None = None


class Record(Struct, frozen=True):
    """An attempt and what came of it. `outcome` None: it is not over. `ended_at_ms` None as well
    then; `at_ms` is when it was asked.
    """

    id: int
    at_ms: int
    who: str
    role: str
    peer: str
    action: str
    kind: str
    host_id: int | None
    host: str
    key: str
    name: str
    parameters: Mapping[str, Any]
    request_id: str | None
    outcome: Outcome | None
    sentence: str | None
    detail: str | None
    took_ms: int | None
    ended_at_ms: int | None


class Wanted(Struct, frozen=True):
    """Which records to list; empty fields narrow nothing. Times are of the asking."""

    who: str = ""
    action: str = ""
    host_ids: frozenset[int] | None = None
    host: str = ""
    key: str = ""
    outcome: str = ""
    text: str = ""
    from_ms: int | None = None
    until_ms: int | None = None
    # Only what was done to hosts and what is on them.
    of_hosts: bool = False
    # What came of it as far as it was known then; None: now.
    as_of_ms: int | None = None


def intend(store: Store, attempt: Attempt) -> int | None:
    """Commit the intent and return its id; None when the very same request was made before."""
    with store.writing(durable=True) as connection:
        if attempt.request_id is not None and _asked(connection, attempt) is not None:
            return None
        entry = _append(connection, _values(attempt) | {"request_id": attempt.request_id})
    return _told(store, entry)


def conclude(
    store: Store,
    intent_id: int,
    outcome: Outcome,
    sentence: str = "",
    *,
    detail: str = "",
    took_ms: int | None = None,
) -> None:
    """Commit what came of an intent; does nothing when that is known already."""
    table = schema.audit
    with store.writing(durable=True) as connection:
        if connection.execute(sa.select(table.c.id).where(table.c.intent_id == intent_id)).first():
            return
        intent = connection.execute(sa.select(table).where(table.c.id == intent_id)).one()
        same = ("who", "role", "peer", "action", "kind", "host_id", "host", "key", "name",
                "parameters")  # fmt: skip
        values = {name: getattr(intent, name) for name in same}
        entry = _append(
            connection,
            values | {"intent_id": intent_id} | _ending(outcome, sentence, detail, took_ms),
        )
    _told(store, entry)


def note(
    store: Store,
    attempt: Attempt,
    outcome: Outcome,
    sentence: str = "",
    *,
    detail: str = "",
    took_ms: int | None = None,
) -> int:
    """Commit an attempt that is over, as one entry: a refusal, or what npvirt did to itself."""
    with store.writing(durable=True) as connection:
        entry = _append(connection, _values(attempt) | _ending(outcome, sentence, detail, took_ms))
    return _told(store, entry)


def append_past(
    connection: sa.Connection,
    attempt: Attempt,
    at_ms: int,
    outcome: Outcome,
    sentence: str,
    took_ms: int,
) -> None:
    """Write an attempt of a made-up past and its outcome, in a transaction of the caller's."""
    asked = _values(attempt) | {"at_ms": at_ms}
    intent = _append(connection, asked)
    ended = {"at_ms": at_ms + took_ms, "intent_id": intent["id"]}
    _append(connection, asked | _ending(outcome, sentence, "", took_ms) | ended)


def asked_before(store: Store, attempt: Attempt) -> int | None:
    """The intent of the very same request on the same object, if there was one."""
    if attempt.request_id is None:
        return None
    with store.reading() as connection:
        return _asked(connection, attempt)


def open_intents(store: Store) -> list[Record]:
    """The intents whose outcome is not known, oldest first."""
    with store.reading() as connection:
        query = _joined().where(_END.c.id.is_(None), schema.audit.c.outcome.is_(None))
        return [_record(row) for row in connection.execute(query.order_by(schema.audit.c.id))]


def get_record(store: Store, record_id: int) -> Record | None:
    """The record of that id."""
    with store.reading() as connection:
        row = connection.execute(_joined().where(schema.audit.c.id == record_id)).one_or_none()
    return None if row is None else _record(row)


def records(
    store: Store, wanted: Wanted, *, limit: int, offset: int = 0, oldest_first: bool = False
) -> tuple[list[Record], int]:
    """The records that fit, newest first, and how many there are in all."""
    number = schema.audit.c.id
    fitting = _joined(wanted.as_of_ms).where(*_conditions(wanted))
    ordered = fitting.order_by(number if oldest_first else number.desc())
    query = ordered.limit(limit).offset(offset)
    counted = sa.select(sa.func.count()).select_from(fitting.subquery())
    with store.reading() as connection:
        found = [_record(row) for row in connection.execute(query)]
        return found, int(connection.scalar(counted) or 0)


def count_by_outcome(store: Store, wanted: Wanted) -> dict[str, int]:
    """How many records fit of each outcome, whichever is wanted; "open" are those that go on."""
    every = replace(wanted, outcome="")
    outcome = sa.func.coalesce(_END.c.outcome, schema.audit.c.outcome, "open")
    query = _joined(wanted.as_of_ms).where(*_conditions(every)).group_by(outcome)
    counted = query.with_only_columns(outcome, sa.func.count(), maintain_column_froms=True)
    with store.reading() as connection:
        found = {str(word): int(count) for word, count in connection.execute(counted)}
    return {word: found.get(word, 0) for word in (*OUTCOMES, "open")}


def first_broken(store: Store) -> tuple[int, int | None]:
    """How many entries there are, and the id of the first that does not fit the chain."""
    count, before = 0, ""
    with store.reading() as connection:
        rows = connection.execution_options(yield_per=1000).execute(
            sa.select(schema.audit).order_by(schema.audit.c.id)
        )
        for count, row in enumerate(rows, 1):
            if row.id != count or row.digest != _digest(before, dict(row._mapping)):
                return count, int(row.id)
            before = row.digest
    return count, None


def _told(store: Store, entry: Mapping[str, Any]) -> int:
    """Pass a committed entry on to whoever listens; its id."""
    if store.audit_listener is not None:
        store.audit_listener.send(entry)
    return int(entry["id"])


def _append(connection: sa.Connection, values: dict[str, Any]) -> dict[str, Any]:
    """Write an entry at the end of the chain; the writer's lock is held, so nobody else does."""
    table = schema.audit
    last = connection.execute(
        sa.select(table.c.id, table.c.digest).order_by(table.c.id.desc()).limit(1)
    ).one_or_none()
    row: dict[str, Any] = dict.fromkeys(_SIGNED)
    row |= values
    row["id"] = 1 if last is None else last.id + 1
    row["at_ms"] = values.get("at_ms", clock.now_ms())
    row["digest"] = _digest("" if last is None else last.digest, row)
    connection.execute(sa.insert(table).values(row))
    return row


def _digest(before: str, row: Mapping[str, Any]) -> str:
    body = msgspec.json.encode([before, *(row[name] for name in _SIGNED)])
    return hashlib.sha256(body).hexdigest()


def _values(attempt: Attempt) -> dict[str, Any]:
    principal = attempt.principal
    return {
        "who": principal.who,
        "role": principal.role,
        "peer": attempt.peer,
        "action": attempt.action,
        "kind": attempt.kind,
        "host_id": attempt.host_id,
        "host": attempt.host,
        "key": attempt.key,
        "name": attempt.name[:_TEXT_MAX],
        "parameters": msgspec.json.encode(attempt.parameters, order="sorted").decode(),
    }


def _ending(
    outcome: Outcome, sentence: str, detail: str, took_ms: int | None
) -> dict[str, str | int | None]:
    return {
        "outcome": outcome,
        "sentence": sentence[:_TEXT_MAX] or None,
        "detail": detail[:_TEXT_MAX] or None,
        "took_ms": took_ms,
    }


def _asked(connection: sa.Connection, attempt: Attempt) -> int | None:
    table = schema.audit
    return connection.scalar(
        sa.select(table.c.id).where(
            table.c.host_id == attempt.host_id,
            table.c.kind == attempt.kind,
            table.c.key == attempt.key,
            table.c.action == attempt.action,
            table.c.request_id == attempt.request_id,
        )
    )


_END = schema.audit.alias("ended")


def _joined(as_of_ms: int | None = None) -> sa.Select[Any]:
    """Records: entries that are no outcome of another, with their outcome if it is known, or was
    known at a moment.
    """
    table, ended = schema.audit, _END
    its_end = ended.c.intent_id == table.c.id
    if as_of_ms is not None:
        its_end = sa.and_(its_end, ended.c.at_ms <= as_of_ms)
    return (
        sa.select(
            table,
            ended.c.at_ms.label("ended_at_ms"),
            ended.c.outcome.label("ended_outcome"),
            ended.c.sentence.label("ended_sentence"),
            ended.c.detail.label("ended_detail"),
            ended.c.took_ms.label("ended_took_ms"),
        )
        .outerjoin(ended, its_end)
        .where(table.c.intent_id.is_(None))
    )


def _conditions(wanted: Wanted) -> Iterator[sa.ColumnElement[bool]]:
    table, ended = schema.audit, _END
    for column, value in (("who", wanted.who), ("action", wanted.action), ("host", wanted.host),
                          ("key", wanted.key)):  # fmt: skip
        if value:
            yield table.c[column] == value
    if wanted.host_ids is not None:
        yield table.c.host_id.in_(wanted.host_ids)
    if wanted.of_hosts:
        yield table.c.host_id.is_not(None)
    if wanted.outcome == "open":
        yield sa.and_(table.c.outcome.is_(None), ended.c.outcome.is_(None))
    elif wanted.outcome:
        yield sa.func.coalesce(ended.c.outcome, table.c.outcome) == wanted.outcome
    if wanted.text:
        columns: Collection[str] = ("who", "action", "host", "key", "name", "parameters", "peer")
        yield sa.or_(*(table.c[name].contains(wanted.text, autoescape=True) for name in columns))
    if wanted.from_ms is not None:
        yield table.c.at_ms >= wanted.from_ms
    if wanted.until_ms is not None:
        yield table.c.at_ms <= wanted.until_ms


def _record(row: Any) -> Record:
    over = row.outcome is not None
    return Record(
        id=row.id, at_ms=row.at_ms, who=row.who, role=row.role, peer=row.peer, action=row.action,
        kind=row.kind, host_id=row.host_id, host=row.host, key=row.key, name=row.name,
        parameters=msgspec.json.decode(row.parameters), request_id=row.request_id,
        outcome=row.outcome if over else row.ended_outcome,
        sentence=row.sentence if over else row.ended_sentence,
        detail=row.detail if over else row.ended_detail,
        took_ms=row.took_ms if over else row.ended_took_ms,
        ended_at_ms=row.at_ms if over else row.ended_at_ms,
    )  # fmt: skip
