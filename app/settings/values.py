"""What a setting may be: one reader for each sort of text.

Each gives the value, or raises ValueError with what is wrong, as the end of a sentence that begins
with the setting's name. They read no file and open nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.access import ROLES, Role, check_role

_SECRET_MIN = 16


@dataclass(frozen=True)
class Bind:
    """Where the server listens; `host` has no brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback


@dataclass(frozen=True)
class Place:
    """Where a server of somebody else's listens; `host` is a name or an address."""

    host: str
    port: int


def directory(text: str) -> Path:
    """A directory, absolute."""
    if not text:
        raise ValueError("must name a directory")
    return Path(text).absolute()


def database_url(text: str) -> str:
    """A store's address; "" for the default."""
    if text and not text.startswith("sqlite:///"):
        raise ValueError("must be a sqlite:/// URL")
    return text


def bind(text: str) -> Bind:
    """An address and a port."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError("must be ADDRESS:PORT, for example 127.0.0.1:8040 or [::1]:8040")
    host = host.removeprefix("[").removesuffix("]")
    if host != "localhost":
        try:
            ip_address(host)
        except ValueError:
            raise ValueError("must begin with an IP address or localhost") from None
    return Bind(host, int(port))


def scan_seconds(text: str) -> float:
    """Seconds from 1 to a day."""
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError("must be a number of seconds") from None
    if not 1 <= seconds <= 86_400:
        raise ValueError("must lie between 1 and 86400 seconds")
    return seconds


def log(text: str) -> str:
    """A level of the log."""
    levels = ("debug", "info", "warning", "error")
    if text.lower() not in levels:
        raise ValueError(f"must be one of {', '.join(levels)}")
    return text.lower()


def names(text: str) -> tuple[str, ...]:
    """A list, parted by commas."""
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def directories(text: str) -> tuple[str, ...]:
    """A list of absolute directories, parted by colons or commas."""
    directories = names(text.replace(":", ","))
    if not all(Path(entry).is_absolute() for entry in directories):
        raise ValueError("must list absolute directories")
    return directories


def timezone(text: str) -> str:
    """The name of a time zone; "" for none."""
    if text:
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("must be a time zone such as Europe/Berlin") from None
    return text


_DURATION = re.compile(r"([0-9]{1,6})([hdwy])")
_UNIT_S = {"h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_LONGEST_S = 100 * _UNIT_S["y"]


def duration_s(text: str) -> int:
    """Seconds of a length such as "48h"; raises ValueError with what is wrong."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError("must be a number of hours, days, weeks or years: 48h, 14d, 6w or 2y")
    seconds = int(found[1]) * _UNIT_S[found[2]]
    if not _UNIT_S["h"] <= seconds <= _LONGEST_S:
        raise ValueError("must lie between 1h and 100y")
    return seconds


def for_ever(text: str) -> int:
    """0, which is for ever."""
    # Every entry's digest covers the one before it: an audit without its beginning proves nothing.
    if text != "0":
        raise ValueError("must be 0, for ever: the audit is a chain, and is kept whole")
    return 0


def time_of_day(text: str) -> time | None:
    """A time of day; None for ""."""
    if not text:
        return None
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError("must be a time of day such as 03:30, or nothing for no backups")
    return time.fromisoformat(text)


def count(text: str) -> int:
    """A number from 1 to 1000."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise ValueError("must be a number from 1 to 1000")
    return int(text)


def public_url(text: str) -> str:
    """An address without a path; "" for none."""
    if not text:
        return ""
    parts = urlsplit(text)
    plain = not (parts.query or parts.fragment or parts.username) and parts.path in ("", "/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError("must be an address such as https://npvirt.example.net")
    return text.rstrip("/").lower()


def hops(text: str) -> int:
    """A number from 0 to 10."""
    if not (text.isascii() and text.isdigit() and int(text) <= 10):
        raise ValueError("must be a number from 0 to 10")
    return int(text)


def streams(text: str) -> int:
    """A number from 0 to 10000."""
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 10_000 and len(text) < 6):
        raise ValueError("must be a number from 0 to 10000")
    return int(text)


def secret(text: str) -> str:
    """A text that is long enough to be one; "" for none."""
    if text and len(text) < _SECRET_MIN:
        raise ValueError(f"must have at least {_SECRET_MIN} characters")
    return text


def address(text: str) -> str:
    """An IP address; "" for none."""
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise ValueError("must be an IP address") from None


def place(text: str) -> Place | None:
    """A host and a port; None for ""."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[0-9A-Za-z.:_-]{1,253}", host) or not _is_port(port):
        raise ValueError("must be HOST:PORT, for example mail.example.net:587")
    return Place(host, int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= 65535


def security(text: str) -> str:
    """How a mail server is spoken to."""
    if text not in ("starttls", "tls", "none"):
        raise ValueError("must be starttls, tls or none")
    return text


def mail_address(text: str) -> str:
    """A mail address; "" for none."""
    if text and not re.fullmatch(r"[!-?A-~]{1,64}@[0-9A-Za-z.-]{1,253}", text):
        raise ValueError("must be a mail address such as npvirt@example.net")
    return text


def syslog(text: str) -> str:
    """A socket's path, or a host and a port; "" for none."""
    host, colon, port = text.rpartition(":")
    is_place = bool(host and colon and port.isdecimal() and 1 <= int(port) <= 65535)
    if text and not text.startswith("/") and not is_place:
        raise ValueError("must be a socket's path such as /dev/log, or HOST:PORT")
    return text


def issuer(text: str) -> str:
    """The address of an OIDC provider; "" for none."""
    parts = urlsplit(text)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_local)
    if text and not (is_safe and parts.hostname and not parts.query and not parts.fragment):
        raise ValueError("must be an address such as https://login.example.net/realms/staff")
    return text


def file(text: str) -> Path | None:
    """An absolute path; None for ""."""
    if text and not Path(text).is_absolute():
        raise ValueError("must be an absolute path")
    return Path(text) if text else None


def word(text: str) -> str:
    """A text that is not empty."""
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def roles(text: str) -> Mapping[str, Role]:
    """Roles by group."""
    found: dict[str, Role] = {}
    for entry in names(text):
        group, equals, role = entry.rpartition("=")
        if not (equals and group.strip()) or role.strip() not in ROLES:
            raise ValueError(f"must list GROUP=ROLE; a role is {', '.join(ROLES)}")
        found[group.strip()] = check_role(role.strip())
    return found


def switch(text: str) -> bool:
    """Whether something is on."""
    if text.lower() not in ("0", "1", "true", "false", "yes", "no"):
        raise ValueError("must be 1 or 0")
    return text.lower() in ("1", "true", "yes")
