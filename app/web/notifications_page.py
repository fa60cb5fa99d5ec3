"""What was told and what is so right now, and the log of what was sent, as pages and as JSON.

Everybody sees the events of the hosts in their scope; messages are about all hosts, so they are
for who sees all. Speaks of the present alone.
"""

from typing import NamedTuple

import msgspec
from flask import Blueprint, Response, request

from app import clock
from app.csv import to_csv
from app.errors import InvalidField
from app.notification.texts import address_of
from app.notification.values import MESSAGE_STATES, Event, Message
from app.services import services
from app.store.notification_log import Delivery, deliveries, events, events_of_alerts, open_alerts
from app.store.notification_messages import messages
from app.web.api.answers import check_parameters
from app.web.api.items import Item
from app.web.identity import may, principal
from app.web.notification_items import (
    EVENT_COLUMNS,
    MESSAGE_COLUMNS,
    alert_item,
    message_item,
    outcome,
    told_item,
)
from app.web.operations import number, operation, words
from app.web.page import form_page, pages
from app.web.permission import needs
from app.web.shapes import notifications as shapes
from app.web.when import When

blueprint = Blueprint("notifications", __name__)

_PER_PAGE, _MOST = 50, 1000
_CSV_MOST = 100_000
_PAGES_MOST = 1_000_000
_PAGING = (
    number("page", "Which page.", _PAGES_MOST, 1),
    number("per_page", "How many of them.", _MOST, 100),
)
_STATE = words("state", "In this state.", MESSAGE_STATES)
# outcome -> class of .st, icon, word
OUTCOMES = {
    "sent": ("run", "check", "sent"),
    "waiting": ("stop", "build", "not taken yet"),
    "sending": ("stop", "build", "being sent"),
    "failed": ("crash", "x", "failed"),
    "unknown": ("unk", "unk", "not known"),
    "held": ("idle", "hold", "held"),
    "kept-back": ("off", "off", "kept back"),
}
_LOOKS = {
    "critical": ("crash", "bad-t"), "warning": ("warn", "warn-t"), "info": ("info", "t2"),
}  # fmt: skip


class Paging(NamedTuple):
    """Which page of a list is asked for."""

    page: int
    per_page: int

    @property
    def offset(self) -> int:
        """How many come before it."""
        return (self.page - 1) * self.per_page


class Outcome(NamedTuple):
    """What became of an event for one target."""

    target: str
    css: str
    icon: str
    word: str
    title: str


class Row(NamedTuple):
    """An event in the list."""

    id: int
    at: When
    icon: str
    css: str
    title: str
    text: str
    rule: str
    severity: str
    address: str
    outcomes: list[Outcome]


@blueprint.get("/notifications")
@needs("viewer")
def page() -> Response:
    """What is so right now, and what was told, newest first."""
    check_parameters(("page",))
    asked = read_paging(_PER_PAGE)
    scope, store = principal().host_ids, services().store
    alerts = open_alerts(store, scope)
    began = events_of_alerts(store, [alert.id for alert in alerts])
    found, total = events(store, scope, limit=asked.per_page, offset=asked.offset)
    became = deliveries(store, [event.id for event in found])
    return form_page(
        "notifications/list.html", "", "Notifications",
        alerts=[_row(began[alert.id], []) for alert in alerts if alert.id in began],
        rows=[_row(event, became.get(event.id, [])) for event in found],
        total=total, pager=pager("/notifications", asked, total, len(found)),
        all_hosts=scope is None,
    )  # fmt: skip


@blueprint.get("/api/v1/notifications")
@needs("viewer")
@operation("notifications", shapes.Notifications, *_PAGING, csv=True)
def as_json() -> Response:
    """What was told of hosts in one's scope, newest first, and what is so right now. As CSV: what
    was told.
    """
    asked, as_csv = _asked()
    scope, store = principal().host_ids, services().store
    found, total = events(store, scope, limit=asked.per_page, offset=asked.offset)
    became = deliveries(store, [event.id for event in found])
    items = [told_item(event, became.get(event.id, [])) for event in found]
    if as_csv:
        return _csv(items, EVENT_COLUMNS, "notifications")
    alerts = open_alerts(store, scope)
    began = events_of_alerts(store, [alert.id for alert in alerts])
    current = [alert_item(alert, began.get(alert.id)) for alert in alerts]
    return answered({"items": items, "total": total, "page": asked.page, "alerts": current})


@blueprint.get("/notifications/messages")
@needs("viewer", everywhere=True)
def message_page() -> Response:
    """What was sent or is to be, newest first."""
    check_parameters(("page", "state"))
    asked, state = read_paging(_PER_PAGE), _state()
    store, zone, now_ms = services().store, pages().zone, clock.now_ms()
    found, total = messages(store, limit=asked.per_page, offset=asked.offset, state=state)
    rows = [
        {
            "message": message,
            "made": zone.when(message.made_ms, now_ms),
            "next": zone.maybe(message.next_ms, now_ms),
            "look": OUTCOMES[message.state],
            "detail": message.detail if may("admin") else None,
            "took": _took(message),
        }
        for message in found
    ]
    address = f"/notifications/messages?state={state}" if state else "/notifications/messages"
    return form_page(
        "notifications/messages.html", "", "Sent notifications", rows=rows, total=total,
        states=[(name, OUTCOMES[name][2], name == state) for name in MESSAGE_STATES],
        pager=pager(address, asked, total, len(found)),
    )  # fmt: skip


@blueprint.get("/api/v1/notifications/messages")
@needs("viewer", everywhere=True)
@operation("notifications", shapes.NotificationMessages, *_PAGING, _STATE, csv=True)
def sent_notifications() -> Response:
    """What was sent to targets of notifications or is to be, newest first."""
    asked, as_csv = _asked()
    store = services().store
    found, total = messages(store, limit=asked.per_page, offset=asked.offset, state=_state())
    items = [message_item(message, admin=may("admin")) for message in found]
    if as_csv:
        return _csv(items, MESSAGE_COLUMNS, "messages")
    return answered({"items": items, "total": total, "page": asked.page})


def answered(body: object, status: int = 200) -> Response:
    """JSON."""
    return Response(msgspec.json.encode(body), status, mimetype="application/json")


def read_paging(per_page: int) -> Paging:
    """The page that the query asks for; raises InvalidField."""
    return Paging(_number("page", 1, _PAGES_MOST), _number("per_page", per_page, _MOST))


def pager(address: str, asked: Paging, total: int, shown: int) -> dict[str, object]:
    """What stands under a list of several pages."""
    joined = f"{address}{'&' if '?' in address else '?'}page="
    last = asked.offset + shown
    return {
        "text": f"{asked.offset + 1} – {last} of {total}" if shown else f"0 of {total}",
        "previous": f"{joined}{asked.page - 1}" if asked.page > 1 else "",
        "following": f"{joined}{asked.page + 1}" if last < total and shown else "",
    }


def _asked() -> tuple[Paging, bool]:
    form = request.args.get("format", "json")
    if form not in ("json", "csv"):
        raise InvalidField("format", "The format is json or csv.")
    if form == "csv" and not {"page", "per_page"} & set(request.args):
        return Paging(1, _CSV_MOST), True
    return read_paging(100), form == "csv"


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name, "")
    if not text and not (name in request.args and request.path.startswith("/api/")):
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 7 and 1 <= int(text) <= most):
        raise InvalidField(name, f"{name} is a whole number from 1 to {most}.")
    return int(text)


def _state() -> str:
    state = request.args.get("state", "")
    strict = "state" in request.args and request.path.startswith("/api/")
    if (state or strict) and state not in MESSAGE_STATES:
        raise InvalidField("state", f"The state is one of {', '.join(MESSAGE_STATES)}.")
    return state


def _csv(items: list[Item], columns: tuple[str, ...], name: str) -> Response:
    response = Response(to_csv(items, columns), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="npvirt-{name}.csv"'
    return response


def _row(event: Event, became: list[Delivery]) -> Row:
    icon, css = _LOOKS[event.severity]
    if event.what == "ended":
        icon, css = "check", "ok-t"
    at_ms = event.at_ms if event.what == "ended" or event.since_ms is None else event.since_ms
    return Row(
        event.id, pages().zone.when(at_ms, clock.now_ms()), icon, css, event.title, event.text,
        event.rule, event.severity, address_of(event), [_outcome(one) for one in became],
    )  # fmt: skip


def _outcome(one: Delivery) -> Outcome:
    state = outcome(one)
    css, icon, word = OUTCOMES[state]
    said = one.sentence or ""
    if state == "held":
        said = f"Not before {pages().zone.stamp(one.due_ms)}."
    return Outcome(one.target or "a target that was removed", css, icon, word, said)


def _took(message: Message) -> str:
    return "" if message.took_ms is None else f"{message.took_ms} ms"
