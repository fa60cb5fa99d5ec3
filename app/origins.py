"""Origins of web pages as browsers write them: scheme, host and port, nothing else. Pure."""

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from app.errors import InvalidField

_ORIGIN_MAX = 300
_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?")
_HOW = "An origin is what a page’s address begins with, such as https://intranet.example:8443."


def check_origin(text: str, field: str = "origins") -> str:
    """`text` as browsers send it in the header Origin: lower case, without the port that the
    scheme has anyway. Raises InvalidField for one with a path, a wildcard or a user.
    """
    text = text.strip().lower()
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{IPv6Address(host).compressed}]"
        host = host if host.startswith("[") else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        raise InvalidField(field, _HOW) from None
    plain = parts.scheme in _PORTS and parts.path in ("", "/") and "@" not in parts.netloc
    named = host.startswith("[") or _NAME.fullmatch(host) is not None
    rest = parts.query or parts.fragment or len(text) > _ORIGIN_MAX or port == 0
    if not plain or not named or rest or "?" in text or "#" in text:
        raise InvalidField(field, _HOW)
    shown = "" if port is None or port == _PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{shown}"
