"""The audit's second way out: every entry as a line to syslog, where NPVIRT_SYSLOG names one.

It never holds an action up: a syslog that cannot be reached is told in the log once, and again
when it failed anew after it had worked. The store keeps the entries either way.
"""

import logging
from collections.abc import Mapping
from logging.handlers import SysLogHandler
from typing import Any

import msgspec

from app.errors import SettingsError
from app.store.engine import Store

log = logging.getLogger(__name__)

# What is worth a line and is not empty; the digest lets the line be found in the store.
_TOLD = (
    "id", "intent_id", "who", "role", "peer", "action", "kind", "host", "key", "name",
    "parameters", "request_id", "outcome", "sentence", "took_ms", "digest",
)  # fmt: skip


def attach_syslog(store: Store, place: str) -> None:
    """Have every audit entry of `store` go to `place` as well: a socket's path, or HOST:PORT by
    UDP; "" for nowhere. Raises SettingsError for a host that has no address.
    """
    if place:
        store.audit_listener = _Sender(place)


def line_of(entry: Mapping[str, Any]) -> str:
    """One entry as one line: JSON in ASCII, so that nothing in a name can begin another line."""
    told = {name: entry[name] for name in _TOLD if entry[name] not in (None, "")}
    text = msgspec.json.encode(told).decode()
    return "audit " + "".join(c if 32 <= ord(c) < 127 else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


class _Sender:
    def __init__(self, place: str) -> None:
        host, _, port = place.rpartition(":")
        address = place if place.startswith("/") else (host.strip("[]"), int(port))
        try:
            self._handler = _Handler(address, facility=SysLogHandler.LOG_AUTH)
        except OSError as error:
            raise SettingsError(f"NPVIRT_SYSLOG names {place}: {error.strerror}.") from None
        self._handler.ident = "npvirt: "

    def send(self, entry: Mapping[str, Any]) -> None:
        bad = entry["outcome"] in ("failed", "unknown", "refused")
        level = logging.WARNING if bad else logging.INFO
        record = logging.LogRecord("npvirt", level, "", 0, "%s", (line_of(entry),), None)
        self._handler.failed = False
        self._handler.emit(record)
        self._handler.say(not self._handler.failed)

    def close(self) -> None:
        self._handler.close()


class _Handler(SysLogHandler):
    """The standard one, which tells a failure as a sentence instead of a traceback."""

    failed = False
    _works: bool | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (its name)
        """Note that a line did not leave."""
        self.failed = True

    def say(self, works: bool) -> None:
        """Tell the log when syslog stops taking lines, and when it takes them again."""
        if works != self._works and (not works or self._works is not None):
            text = "takes the audit again" if works else "does not take the audit"
            log.warning("The syslog that NPVIRT_SYSLOG names %s.", text)
        self._works = works
