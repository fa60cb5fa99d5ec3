"""The texts of messages: what a webhook gets as JSON, and what a mail says. Pure.

The same message makes the same bytes whenever it is made. Names come from hosts and may hold
anything: no control character gets out, and in what chats show as text nothing that they take
for markup or for somebody to be called.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from app.clock import rfc3339, utc
from app.notification.values import Event, Message, sort_of

_LINE_MAX = 300
_SUBJECT_MAX = 180
_TEXT_LINES = 20
# What chats take for links, mentions and code; the nearest that is none stands for it.
_CHAT = str.maketrans({"<": "‹", ">": "›", "@": "＠", "[": "(", "]": ")", "`": "'", "&": "＆"})


class Context(Struct, frozen=True):
    """What messages say besides their events: where npvirt is, and the zone of their times (None:
    the server's).
    """

    address: str
    zone: tzinfo | None = None


def plain(text: str) -> str:
    """One line without characters that do something instead of being seen."""
    shown = (
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(one)[0] == "C" else one
        for one in " ".join(text.split())
    )  # fmt: skip
    line = "".join(shown)
    return line if len(line) <= _LINE_MAX else f"{line[: _LINE_MAX - 1]}…"


def subject_of(events: Sequence[Event]) -> str:
    """What a message about some events is called, at most a line."""
    if len(events) == 1:
        text = events[0].title
    else:
        worst = next((one for one in events if one.severity == "critical"), events[0])
        text = f"{len(events)} notifications: {worst.title} …"
    return text if len(text) <= _SUBJECT_MAX else f"{text[: _SUBJECT_MAX - 1]}…"


def address_of(event: Event) -> str:
    """Where npvirt shows what an event is about, as a local address."""
    if event.kind == "report":
        return f"/capacity/reports/{event.key}"
    if event.host is None:
        return "/changes"
    base = f"/hosts/{event.host}"
    page = {"domain": "domains", "pool": "pools"}.get(event.kind)
    if page is not None:
        return f"{base}/{page}/{quote(event.key, safe='')}"
    return base if event.kind == "host" else f"/changes?host={event.host}"


def chat_text(message: Message, events: Sequence[Event], context: Context) -> str:
    """What a chat shows: the subject, and a line for each of some events."""
    if message.kind != "alert":
        return message.subject.translate(_CHAT)
    lines = [] if len(events) == 1 else [message.subject.translate(_CHAT)]
    for event in events[:_TEXT_LINES]:
        said = f"{event.title}. {event.text}".translate(_CHAT).strip()
        lines.append(f"{_mark(event)} {said} {context.address}{address_of(event)}")
    if len(events) > _TEXT_LINES:
        lines.append(f"… and {len(events) - _TEXT_LINES} more: {context.address}/notifications")
    return "\n".join(lines)


def json_body(message: Message, events: Sequence[Event], context: Context) -> bytes:
    """What a webhook gets; docs/notifications.md says what each member means."""
    body = {
        "id": message.uid,
        "type": f"npvirt.{message.kind}",
        "timestamp": rfc3339(message.made_ms),
        "subject": message.subject,
        "text": chat_text(message, events, context),
        "npvirt": context.address,
        "target": message.target,
        "events": [event_item(event, context.address) for event in events],
    }
    return msgspec.json.encode(body)


def event_item(event: Event, address: str) -> dict[str, Any]:
    """An event as JSON says it; `address` is put before its own."""
    return {
        "id": event.uid,
        "at": rfc3339(event.at_ms),
        "since": None if event.since_ms is None else rfc3339(event.since_ms),
        "what": event.what,
        "severity": event.severity,
        "rule": event.rule,
        "rule_id": event.rule_id,
        "rule_kind": event.rule_kind,
        "host": event.host,
        "kind": event.kind,
        "key": event.key,
        "name": event.name,
        "title": event.title,
        "text": event.text,
        "alert_id": event.alert_id,
        "change_id": event.change_id,
        "url": f"{address}{address_of(event)}",
    }


def mail(
    message: Message, events: Sequence[Event], context: Context, sender: str, addresses: str,
    details: Mapping[str, Sequence[str]] | None = None,
) -> EmailMessage:  # fmt: skip
    """What goes out as mail: plain text, never more than one line in a header. `details` are
    lines that stand under an event, by its `uid`.
    """
    made = EmailMessage(policy=SMTP)
    made["Subject"] = f"[npvirt] {plain(message.subject)}"
    made["From"] = sender
    made["To"] = addresses
    made["Date"] = format_datetime(utc(message.made_ms))
    # The same at every try, so that a mail server knows a second one for what it is.
    made["Message-ID"] = f"<{message.uid}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content("\n".join(_mail_lines(message, events, context, details or {})) + "\n")
    return made


def _mail_lines(
    message: Message, events: Sequence[Event], context: Context,
    details: Mapping[str, Sequence[str]],
) -> list[str]:  # fmt: skip
    lines: list[str] = []
    if message.kind != "alert":
        lines += [plain(message.subject), ""]
    elif len(events) > 1:
        lines += [f"{len(events)} notifications, the oldest first.", ""]
    for event in events:
        lines.append(f"{_mark(event)} {event.title}")
        if event.text:
            lines.append(f"  {event.text}")
        at = utc(event.at_ms if event.since_ms is None else event.since_ms)
        local = at.astimezone(context.zone).strftime("%Y-%m-%d %H:%M:%S %z")
        lines += [f"  {local} · {event.severity} · rule “{event.rule}”",
                  f"  {context.address}{address_of(event)}", ""]  # fmt: skip
        if event.uid in details:
            lines += [*(f"  {plain(one)}".rstrip() for one in details[event.uid]), ""]
    return [*lines, "-- ", f"npvirt · {context.address}/notifications · {message.uid}"]


def _mark(event: Event) -> str:
    """How bad an event is, in a sign that needs no colour."""
    if event.what == "ended":
        return "✔"
    return {"critical": "✖", "warning": "▲", "info": "•"}[event.severity]


def rule_says(kind: str, threshold: int | None) -> str:
    """A kind of rule with its threshold, in a few words."""
    sort = sort_of(kind)
    if sort is None:
        return kind
    units = {"minutes": "for {} min", "percent": "{} %", "days": "within {} days"}
    if not sort.field or threshold is None:
        return sort.label
    words = units[sort.field].format(threshold)
    return f"Pool above {words}" if kind == "pool-full" else f"{sort.label} {words}"
