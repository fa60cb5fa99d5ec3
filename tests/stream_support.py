"""A reader of /events, as a script would be one: its messages, as they come."""

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.waiting import until


@dataclass
class Message:
    """One event: its name, its id and its data."""

    event: str
    id: str
    data: Any


@dataclass
class Listening:
    """A stream that is read by a thread of its own, until it ends."""

    status: int
    headers: Mapping[str, str]
    body: str = ""
    messages: list[Message] = field(default_factory=list)
    comments: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def changed(self) -> dict[str, set[str]]:
        """All kinds that were told, by host."""
        told: dict[str, set[str]] = {}
        for message in list(self.messages):
            if message.event == "changed":
                for host, kinds in message.data["hosts"].items():
                    told.setdefault(host, set()).update(kinds)
        return told

    def is_told_everything(self) -> bool:
        """Whether it was told that anything may have changed."""
        return any(m.event == "changed" and m.data["everything"] for m in list(self.messages))


@contextmanager
def listening(
    url: str, headers: Mapping[str, str], *, last: str | None = None
) -> Iterator[Listening]:
    """The stream at `url`/events, read until the block ends; a refusal is there as its status."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=90)
    sent = {**headers, **({} if last is None else {"Last-Event-ID": last})}
    try:
        connection.request("GET", "/events", headers=sent)
        answer = connection.getresponse()
        found = Listening(answer.status, dict(answer.getheaders()))
        if answer.status != 200:
            found.body = answer.read().decode()
            yield found
            return
        sock = connection.sock
        thread = threading.Thread(target=_read, args=(answer, found), daemon=True)
        thread.start()
        until(lambda: found.messages or found.ended.is_set())
        try:
            yield found
        finally:
            if sock is not None and not found.ended.is_set():
                sock.shutdown(2)
            thread.join(60)
    finally:
        connection.close()


def _read(answer: http.client.HTTPResponse, found: Listening) -> None:
    fields: dict[str, str] = {}
    try:
        while line := answer.readline():
            text = line.decode().rstrip("\n")
            if text.startswith(":"):
                found.comments += 1
            elif text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "event" in fields:
                data = json.loads(fields["data"])
                found.messages.append(Message(fields["event"], fields.get("id", ""), data))
                fields = {}
            else:
                fields = {}
    except (OSError, http.client.HTTPException, ValueError):
        pass
    finally:
        found.ended.set()
