"""What was told and what is so right now, and the log of what was sent, as pages.

Everybody sees the events of the hosts in their scope; messages are about all hosts, so they are
for who sees all. Speaks of the present alone; app/web/api/notifications has the same as JSON.
"""

from typing import NamedTuple

from flask import Blueprint, Response

from app import clock
from app.notification.texts import address_of
from app.notification.values import SEVERITIES, Event, Message
from app.services import services
from app.store.notification_log import Delivery, deliveries
from app.web.api.notifications import (
    EVENTS,
    MESSAGES,
    asked_events,
    asked_messages,
    current_alerts,
    found_events,
    found_messages,
)
from app.web.identity import may, principal
from app.web.list_page import Choice, host_choices
from app.web.notification_items import outcome
from app.web.page import form_page, pages
from app.web.permission import needs
from app.web.row_page import Head, Listed
from app.web.scope import seen_fleet
from app.web.when import When

blueprint = Blueprint("notifications", __name__)

_EVENT_HEADS = (
    Head("When", sort="at", largest_first=True), Head("What"), Head("Rule", "p2"),
    Head("Severity", "p3"), Head("To", "p2"),
)  # fmt: skip
_MESSAGE_HEADS = (
    Head("Made", sort="made", largest_first=True), Head("Message"), Head("To", "p2"),
    Head("Outcome"), Head("Tries", "num p3"), Head("Took", "num p3"),
)  # fmt: skip
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
    asked = asked_events(strict=False)
    found = found_events(asked)
    became = deliveries(services().store, [event.id for event in found.events])
    also = tuple(("severity", one) for one in asked.severities)
    listed = Listed("/notifications", asked.query, EVENTS, found.total, also=also)
    chosen = asked.severities[0] if asked.severities else ""
    return form_page(
        "notifications/list.html", "", "Notifications", listed=listed,
        columns=listed.columns(_EVENT_HEADS),
        alerts=[_row(began, []) for _, began in current_alerts() if began is not None],
        rows=[_row(event, became.get(event.id, [])) for event in found.events],
        hosts=host_choices(seen_fleet(None), asked.query.host),
        severities=[
            Choice("", "Any severity", not chosen),
            *(Choice(one, f"{one} ({found.counts[one]})", one == chosen) for one in SEVERITIES),
        ],
        all_hosts=principal().host_ids is None,
    )  # fmt: skip


@blueprint.get("/notifications/messages")
@needs("viewer", everywhere=True)
def message_page() -> Response:
    """What was sent or is to be, newest first."""
    query = asked_messages(strict=False)
    found = found_messages(query)
    zone, now_ms = pages().zone, clock.now_ms()
    rows = [
        {
            "message": message,
            "made": zone.when(message.made_ms, now_ms),
            "next": zone.maybe(message.next_ms, now_ms),
            "look": OUTCOMES[message.state],
            "detail": message.detail if may("admin") else None,
            "took": _took(message),
        }
        for message in found.messages
    ]
    listed = Listed("/notifications/messages", query, MESSAGES, found.total, found.counts)
    return form_page(
        "notifications/messages.html", "", "Sent notifications", rows=rows, listed=listed,
        columns=listed.columns(_MESSAGE_HEADS),
        words={state: look[2] for state, look in OUTCOMES.items()},
    )  # fmt: skip


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
