"""The moment that a page is drawn for: `?at=` read in one place.

Pure: is handed the time. No `at` means now, and only then does a page refresh itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.clock import rfc3339
from app.errors import InvalidField

# A plus sign in a query string arrives as a space.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+ -]\d\d:\d\d)")
_EPOCH = re.compile(r"\d{1,11}(\.\d{1,3})?")
_HOW = "Give the moment as RFC 3339 with a zone, such as 2026-05-01T09:30Z, or as epoch seconds."


@dataclass(frozen=True)
class Moment:
    """`at_ms` None is now; otherwise milliseconds since 1970 UTC."""

    at_ms: int | None = None

    @property
    def past(self) -> bool:
        """Whether a moment was asked for."""
        return self.at_ms is not None

    @property
    def text(self) -> str:
        """The moment as `at` takes it; empty for now."""
        return "" if self.at_ms is None else rfc3339(self.at_ms)

    @property
    def query(self) -> str:
        """What a link appends that has no other parameter: "?at=…" or nothing."""
        return f"?at={self.text}" if self.past else ""

    @property
    def also(self) -> str:
        """What a link appends after other parameters: "&at=…" or nothing."""
        return f"&at={self.text}" if self.past else ""


LIVE = Moment()


def moment(arguments: Mapping[str, str], now_ms: int) -> Moment:
    """The moment that the query string asks for; raises InvalidField naming `at`."""
    text = arguments.get("at")
    if text is None:
        return LIVE
    at_ms = _parse(text)
    if at_ms > now_ms:
        raise InvalidField("at", "The moment lies in the future; nothing has been seen there yet.")
    return Moment(at_ms)


def _parse(text: str) -> int:
    if _EPOCH.fullmatch(text):
        return round(float(text) * 1000)
    if not _RFC3339.fullmatch(text):
        raise InvalidField("at", _HOW)
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
        return round(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidField("at", _HOW) from None
