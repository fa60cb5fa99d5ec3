"""What was told and what was sent, as JSON and CSV. Both are searched by the store itself.

Everybody sees the events of the hosts in their scope; messages are about all hosts, so they are
for who sees all. Speaks of the present alone.
"""

from typing import Any, NamedTuple

from flask import Response, request
from werkzeug.datastructures import MultiDict

from app.errors import InvalidField
from app.notification.values import MESSAGE_STATES, SEVERITIES, Event, Message
from app.services import services
from app.store.notification_log import (
    Alert,
    WantedEvents,
    WantedMessages,
    deliveries,
    events,
    events_of_alerts,
    messages,
    open_alerts,
)
from app.web.api import blueprint
from app.web.api.answers import check_parameters, known_hosts
from app.web.api.declared import row_query
from app.web.api.rows import csv_file
from app.web.identity import may, principal
from app.web.json_body import json_answer
from app.web.listing import Kind, Query, read_query
from app.web.notification_items import (
    EVENT_COLUMNS,
    MESSAGE_COLUMNS,
    alert_item,
    message_item,
    told_item,
)
from app.web.operations import HOST, operation, words
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.shapes import notifications as shapes

_CSV_MOST = 100_000
# The store searches and sorts them.
EVENTS: Kind[Any] = Kind(texts=lambda row: (), sorts={"at": lambda row: None}, default_sort="-at")
MESSAGES: Kind[Any] = Kind(
    texts=lambda row: (), sorts={"made": lambda row: None}, states=MESSAGE_STATES,
    default_sort="-made",
)  # fmt: skip


class EventsAsked(NamedTuple):
    """What a query asks for of the events."""

    query: Query
    severities: tuple[str, ...]


class EventsFound(NamedTuple):
    """A page of events, how many fit, and how many of these by severity, whichever is wanted."""

    events: list[Event]
    total: int
    counts: dict[str, int]


class MessagesFound(NamedTuple):
    """A page of messages, how many fit, and how many of these by state, whichever is wanted."""

    messages: list[Message]
    total: int
    counts: dict[str, int]


@blueprint.get("/api/v1/notifications")
@needs("viewer")
@operation(
    "notifications", shapes.Notifications, HOST,
    words("severity", "Of one of these severities.", SEVERITIES, many=True), *row_query(EVENTS),
    csv=True,
)  # fmt: skip
def notifications() -> Response:
    """What was told of hosts in one's scope, newest first, and what is so right now. As CSV: what
    was told.
    """
    as_csv, everything = _form()
    asked = asked_events(strict=True)
    found = found_events(asked, everything=everything)
    became = deliveries(services().store, [event.id for event in found.events])
    items = [told_item(event, became.get(event.id, [])) for event in found.events]
    if as_csv:
        return csv_file(items, EVENT_COLUMNS, "notifications")
    answer = {
        "items": items,
        "total": found.total,
        "page": asked.query.page,
        "counts": found.counts,
        "alerts": [alert_item(alert, began) for alert, began in current_alerts()],
    }
    return json_answer(answer)


@blueprint.get("/api/v1/notifications/messages")
@needs("viewer", everywhere=True)
@operation("notifications", shapes.NotificationMessages, *row_query(MESSAGES), csv=True)
def sent_notifications() -> Response:
    """What was sent to targets of notifications or is to be, newest first."""
    as_csv, everything = _form()
    query = asked_messages(strict=True)
    found = found_messages(query, everything=everything)
    items = [message_item(message, admin=may("admin")) for message in found.messages]
    if as_csv:
        return csv_file(items, MESSAGE_COLUMNS, "messages")
    return json_answer(
        {"items": items, "total": found.total, "page": query.page, "counts": found.counts}
    )


def asked_events(*, strict: bool) -> EventsAsked:
    """What this request asks for; raises InvalidField. An empty value means “not given” unless
    `strict`.
    """
    check_parameters(EVENTS.parameters | {"severity", "format"})
    arguments = MultiDict(request.args)
    severities = [one for one in arguments.poplist("severity") if one or strict]
    if not {*severities} <= {*SEVERITIES}:
        raise InvalidField("severity", f"The severity is one of {', '.join(SEVERITIES)}.")
    query = read_query(arguments, EVENTS, known_hosts(seen_fleet(None)), strict=strict)
    return EventsAsked(query, tuple(one for one in SEVERITIES if one in severities))


def found_events(asked: EventsAsked, *, everything: bool = False) -> EventsFound:
    """The page, or everything that fits."""
    query = asked.query
    wanted = WantedEvents(principal().host_ids, query.hosts, asked.severities, query.text)
    limit, offset = _window(query, everything=everything)
    found, counts = events(
        services().store, wanted, limit=limit, offset=offset, oldest_first=not query.descending
    )
    counts = {word: counts.get(word, 0) for word in SEVERITIES}
    return EventsFound(found, sum(counts[one] for one in asked.severities or SEVERITIES), counts)


def current_alerts() -> list[tuple[Alert, Event | None]]:
    """What is so right now, the oldest first, each with the words in which it was told."""
    store = services().store
    alerts = open_alerts(store, principal().host_ids)
    began = events_of_alerts(store, [alert.id for alert in alerts])
    return [(alert, began.get(alert.id)) for alert in alerts]


def asked_messages(*, strict: bool) -> Query:
    """What this request asks for; raises InvalidField. An empty value means “not given” unless
    `strict`.
    """
    check_parameters(MESSAGES.parameters | {"format"})
    return read_query(request.args, MESSAGES, (), strict=strict)


def found_messages(query: Query, *, everything: bool = False) -> MessagesFound:
    """The page, or everything that fits."""
    limit, offset = _window(query, everything=everything)
    found, counts = messages(
        services().store, WantedMessages(query.states, query.text), limit=limit, offset=offset,
        oldest_first=not query.descending,
    )  # fmt: skip
    counts = {word: counts.get(word, 0) for word in MESSAGE_STATES}
    return MessagesFound(found, sum(counts[one] for one in query.states or MESSAGE_STATES), counts)


def _window(query: Query, *, everything: bool) -> tuple[int, int]:
    """How many, and how many come before."""
    return (_CSV_MOST, 0) if everything else (query.per_page, (query.page - 1) * query.per_page)


def _form() -> tuple[bool, bool]:
    """Whether a file is asked for, and whether of everything; raises InvalidField."""
    form = request.args.get("format", "json")
    if form not in ("json", "csv"):
        raise InvalidField("format", "The format is json or csv.")
    as_csv = form == "csv"
    return as_csv, as_csv and not {"page", "per_page"} & set(request.args)
