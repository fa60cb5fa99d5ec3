"""Times as programs write them: RFC 3339 with a zone, or epoch seconds. Pure."""

import re
from datetime import datetime

from app.errors import InvalidField
from app.language import N_, gettext

# A plus sign in a query string arrives as a space.
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+ -]\d\d:\d\d)")
_EPOCH = re.compile(r"\d{1,11}(\.\d{1,3})?")
_HOW = N_(
    "Give the moment as RFC 3339 with a zone, such as 2026-05-01T09:30Z, or as epoch seconds."
)


def parse_moment(name: str, text: str) -> int:
    """The milliseconds that the parameter `name` spells; raises InvalidField naming it."""
    if _EPOCH.fullmatch(text):
        return round(float(text) * 1000)
    if not RFC3339.fullmatch(text):
        raise InvalidField(name, gettext(_HOW))
    try:
        at_ms = round(datetime.fromisoformat(text.replace(" ", "+")).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidField(name, gettext(_HOW)) from None
    if at_ms < 0:
        raise InvalidField(
            name, gettext("Times begin in 1970 here; nothing has been seen before that.")
        )
    return at_ms
