"""npvirt's settings, declared once: name, default, meaning, reader.

Environment variables `NPVIRT_…` and the same keys in a TOML file (`NPVIRT_CONFIG`, default
`npvirt.toml` in the working directory when there is one) fill them; the environment wins. A
malformed or unknown one stops the start with a sentence. Reads no other file, opens nothing.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.access import ROLES, Role, check_role
from app.errors import SettingsError

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


@dataclass(frozen=True)
class Settings:
    """All settings, read and checked. Durations carry their unit in the name."""

    data: Path
    database_url: str
    bind: Bind
    scan_seconds: float
    log: str
    allowed_hosts: tuple[str, ...]
    socket_dirs: tuple[str, ...]
    timezone: str
    keep_recent_s: int
    keep_1m_s: int
    keep_10m_s: int
    keep_1h_s: int
    keep_daily_s: int
    keep_audit_s: int
    backup_dir: Path | None
    backup_at: time | None
    backup_keep: int
    public_url: str
    proxy_hops: int
    insecure_http: bool
    proxy_auth_secret: str
    proxy_auth_peer: str
    syslog: str
    streams_user: int
    streams_total: int
    oidc_issuer: str
    oidc_client_id: str
    oidc_client_secret_file: Path | None
    oidc_scope: str
    oidc_name_claim: str
    oidc_groups_claim: str
    oidc_roles: Mapping[str, Role]
    oidc_label: str
    smtp_server: Place | None
    smtp_security: str
    smtp_user: str
    smtp_password_file: Path | None
    smtp_from: str
    allow_test_files: bool


@dataclass(frozen=True)
class Setting:
    """One declared setting: `default` is the text that would be written."""

    name: str
    attribute: str
    default: str
    help: str
    read: Callable[[str], object]


def _directory(text: str) -> Path:
    if not text:
        raise ValueError("must name a directory")
    return Path(text).absolute()


def _database_url(text: str) -> str:
    if text and not text.startswith("sqlite:///"):
        raise ValueError("must be a sqlite:/// URL")
    return text


def _bind(text: str) -> Bind:
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


def _scan_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError("must be a number of seconds") from None
    if not 1 <= seconds <= 86_400:
        raise ValueError("must lie between 1 and 86400 seconds")
    return seconds


def _log(text: str) -> str:
    levels = ("debug", "info", "warning", "error")
    if text.lower() not in levels:
        raise ValueError(f"must be one of {', '.join(levels)}")
    return text.lower()


def _names(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def _directories(text: str) -> tuple[str, ...]:
    directories = _names(text.replace(":", ","))
    if not all(Path(entry).is_absolute() for entry in directories):
        raise ValueError("must list absolute directories")
    return directories


def _timezone(text: str) -> str:
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


def _for_ever(text: str) -> int:
    # Every entry's digest covers the one before it: an audit without its beginning proves nothing.
    if text != "0":
        raise ValueError("must be 0, for ever: the audit is a chain, and is kept whole")
    return 0


def _time_of_day(text: str) -> time | None:
    if not text:
        return None
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError("must be a time of day such as 03:30, or nothing for no backups")
    return time.fromisoformat(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise ValueError("must be a number from 1 to 1000")
    return int(text)


def _public_url(text: str) -> str:
    if not text:
        return ""
    parts = urlsplit(text)
    plain = not (parts.query or parts.fragment or parts.username) and parts.path in ("", "/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError("must be an address such as https://npvirt.example.net")
    return text.rstrip("/").lower()


def _hops(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 10):
        raise ValueError("must be a number from 0 to 10")
    return int(text)


def _streams(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 10_000 and len(text) < 6):
        raise ValueError("must be a number from 0 to 10000")
    return int(text)


def _secret(text: str) -> str:
    if text and len(text) < _SECRET_MIN:
        raise ValueError(f"must have at least {_SECRET_MIN} characters")
    return text


def _address(text: str) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise ValueError("must be an IP address") from None


def _place(text: str) -> Place | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[0-9A-Za-z.:_-]{1,253}", host) or not _is_port(port):
        raise ValueError("must be HOST:PORT, for example mail.example.net:587")
    return Place(host, int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= 65535


def _security(text: str) -> str:
    if text not in ("starttls", "tls", "none"):
        raise ValueError("must be starttls, tls or none")
    return text


def _mail_address(text: str) -> str:
    if text and not re.fullmatch(r"[!-?A-~]{1,64}@[0-9A-Za-z.-]{1,253}", text):
        raise ValueError("must be a mail address such as npvirt@example.net")
    return text


def _syslog(text: str) -> str:
    host, colon, port = text.rpartition(":")
    is_place = bool(host and colon and port.isdecimal() and 1 <= int(port) <= 65535)
    if text and not text.startswith("/") and not is_place:
        raise ValueError("must be a socket's path such as /dev/log, or HOST:PORT")
    return text


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_local)
    if text and not (is_safe and parts.hostname and not parts.query and not parts.fragment):
        raise ValueError("must be an address such as https://login.example.net/realms/staff")
    return text


def _file(text: str) -> Path | None:
    if text and not Path(text).is_absolute():
        raise ValueError("must be an absolute path")
    return Path(text) if text else None


def _word(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def _roles(text: str) -> Mapping[str, Role]:
    found: dict[str, Role] = {}
    for entry in _names(text):
        group, equals, role = entry.rpartition("=")
        if not (equals and group.strip()) or role.strip() not in ROLES:
            raise ValueError(f"must list GROUP=ROLE; a role is {', '.join(ROLES)}")
        found[group.strip()] = check_role(role.strip())
    return found


def _switch(text: str) -> bool:
    if text.lower() not in ("0", "1", "true", "false", "yes", "no"):
        raise ValueError("must be 1 or 0")
    return text.lower() in ("1", "true", "yes")


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "NPVIRT_DATA",
        "data",
        "./var",
        "directory of the store, keys and secrets",
        _directory,
    ),
    Setting(
        "NPVIRT_DATABASE_URL",
        "database_url",
        "",
        "the store; default: npvirt.sqlite in NPVIRT_DATA",
        _database_url,
    ),
    Setting(
        "NPVIRT_BIND",
        "bind",
        "127.0.0.1:8040",
        "address and port to listen on",
        _bind,
    ),
    Setting(
        "NPVIRT_SCAN_SECONDS",
        "scan_seconds",
        "60",
        "time between two scans of a host",
        _scan_seconds,
    ),
    Setting(
        "NPVIRT_LOG",
        "log",
        "info",
        "debug, info, warning or error",
        _log,
    ),
    Setting(
        "NPVIRT_ALLOWED_HOSTS",
        "allowed_hosts",
        "",
        "further names that the Host header may carry, comma-separated",
        _names,
    ),
    Setting(
        "NPVIRT_SOCKET_DIRS",
        "socket_dirs",
        "",
        "further directories of libvirt sockets that the browser may name",
        _directories,
    ),
    Setting(
        "NPVIRT_TIMEZONE",
        "timezone",
        "",
        "zone of the times on the pages; default: the server's",
        _timezone,
    ),
    Setting(
        "NPVIRT_KEEP_RECENT",
        "keep_recent_s",
        "48h",
        "how long every scan's measurements are kept as they are",
        duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_1M",
        "keep_1m_s",
        "14d",
        "how long measurements are kept by the minute, and every scan",
        duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_10M",
        "keep_10m_s",
        "90d",
        "how long measurements are kept by ten minutes",
        duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_1H",
        "keep_1h_s",
        "730d",
        "how long measurements are kept by the hour",
        duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_DAILY",
        "keep_daily_s",
        "10y",
        "how long measurements are kept by the day",
        duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_AUDIT",
        "keep_audit_s",
        "0",
        "how long the audit is kept: 0, for ever, is all that its chain allows",
        _for_ever,
    ),
    Setting(
        "NPVIRT_BACKUP_DIR",
        "backup_dir",
        "",
        "where the store is backed up every day; default: backups in NPVIRT_DATA",
        _file,
    ),
    Setting(
        "NPVIRT_BACKUP_AT",
        "backup_at",
        "03:30",
        "at what time of NPVIRT_TIMEZONE; empty: npvirt makes no backups by itself",
        _time_of_day,
    ),
    Setting(
        "NPVIRT_BACKUP_KEEP",
        "backup_keep",
        "7",
        "how many backups are kept",
        _count,
    ),
    Setting(
        "NPVIRT_PUBLIC_URL",
        "public_url",
        "",
        "the address that browsers use, where a proxy stands before npvirt",
        _public_url,
    ),
    Setting(
        "NPVIRT_INSECURE_HTTP",
        "insecure_http",
        "0",
        "1 lets NPVIRT_BIND leave loopback without HTTPS in front",
        _switch,
    ),
    Setting(
        "NPVIRT_PROXY_HOPS",
        "proxy_hops",
        "0",
        "how many proxies before npvirt write X-Forwarded-For",
        _hops,
    ),
    Setting(
        "NPVIRT_PROXY_AUTH_SECRET",
        "proxy_auth_secret",
        "",
        "what a proxy that signs users in sends as X-Npvirt-Proxy-Secret",
        _secret,
    ),
    Setting(
        "NPVIRT_PROXY_AUTH_PEER",
        "proxy_auth_peer",
        "",
        "the address of that proxy; it names the user in X-Remote-User",
        _address,
    ),
    Setting(
        "NPVIRT_SYSLOG",
        "syslog",
        "",
        "where the audit goes too: a socket (/dev/log) or HOST:PORT (UDP)",
        _syslog,
    ),
    Setting(
        "NPVIRT_STREAMS_USER",
        "streams_user",
        "8",
        "how many open pages of one user or token are told of changes; further ones ask",
        _streams,
    ),
    Setting(
        "NPVIRT_STREAMS_TOTAL",
        "streams_total",
        "200",
        "how many open pages are told of changes in all; 0: none, all of them ask",
        _streams,
    ),
    Setting(
        "NPVIRT_OIDC_ISSUER",
        "oidc_issuer",
        "",
        "the provider of sign-in by OpenID Connect (needs the extra oidc)",
        _issuer,
    ),
    Setting(
        "NPVIRT_OIDC_CLIENT_ID",
        "oidc_client_id",
        "npvirt",
        "npvirt's name at that provider",
        _word,
    ),
    Setting(
        "NPVIRT_OIDC_CLIENT_SECRET_FILE",
        "oidc_client_secret_file",
        "",
        "a file with npvirt's secret at that provider; without one npvirt is a public client",
        _file,
    ),
    Setting(
        "NPVIRT_OIDC_SCOPE",
        "oidc_scope",
        "openid profile email",
        "what npvirt asks the provider for; some need groups as well",
        _word,
    ),
    Setting(
        "NPVIRT_OIDC_NAME_CLAIM",
        "oidc_name_claim",
        "preferred_username",
        "the claim that names the user",
        _word,
    ),
    Setting(
        "NPVIRT_OIDC_GROUPS_CLAIM",
        "oidc_groups_claim",
        "groups",
        "the claim that lists their groups",
        _word,
    ),
    Setting(
        "NPVIRT_OIDC_ROLES",
        "oidc_roles",
        "",
        "GROUP=ROLE, comma-separated, * for everybody; empty: users are added by an admin first",
        _roles,
    ),
    Setting(
        "NPVIRT_OIDC_LABEL",
        "oidc_label",
        "Sign in with OpenID Connect",
        "what the button says",
        _word,
    ),
    Setting(
        "NPVIRT_SMTP_SERVER",
        "smtp_server",
        "",
        "HOST:PORT of the mail server for notifications; empty: no mail",
        _place,
    ),
    Setting(
        "NPVIRT_SMTP_SECURITY",
        "smtp_security",
        "starttls",
        "how the way there is encrypted: starttls, tls or none",
        _security,
    ),
    Setting(
        "NPVIRT_SMTP_USER",
        "smtp_user",
        "",
        "npvirt's name at the mail server; empty: it signs in with none",
        str.strip,
    ),
    Setting(
        "NPVIRT_SMTP_PASSWORD_FILE",
        "smtp_password_file",
        "",
        "a file with its password there",
        _file,
    ),
    Setting(
        "NPVIRT_SMTP_FROM",
        "smtp_from",
        "",
        "the address that npvirt's mail comes from",
        _mail_address,
    ),
    Setting(
        "NPVIRT_ALLOW_TEST_FILES",
        "allow_test_files",
        "0",
        "allow the test driver to read node files",
        _switch,
    ),
)

_CONFIG = "NPVIRT_CONFIG"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ` (default: the process's) and the TOML file.

    Raises SettingsError with a sentence that names the setting.
    """
    environ = os.environ if environ is None else environ
    known = {setting.name for setting in SETTINGS}
    texts = _from_file(environ, known)
    for name in environ:
        if name.startswith("NPVIRT_") and name != _CONFIG and name not in known:
            raise SettingsError(f"{name} is not a setting of npvirt.")
    texts.update({name: environ[name] for name in known if name in environ})
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        try:
            values[setting.attribute] = setting.read(texts.get(setting.name, setting.default))
        except ValueError as error:
            raise SettingsError(f"{setting.name} {error}.") from None
    settings = Settings(**values)
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    is_https = settings.public_url.startswith("https:")
    if not (settings.bind.is_loopback or is_https or settings.insecure_http):
        raise SettingsError(
            f"NPVIRT_BIND is {settings.bind}, where others can listen in. Put HTTPS before npvirt "
            "and name its address in NPVIRT_PUBLIC_URL, or set NPVIRT_INSECURE_HTTP=1."
        )
    if bool(settings.proxy_auth_secret) != bool(settings.proxy_auth_peer):
        raise SettingsError(
            "NPVIRT_PROXY_AUTH_SECRET and NPVIRT_PROXY_AUTH_PEER work together only; set both."
        )
    _check_mail(settings)
    _check_lengths(settings)


def _check_mail(settings: Settings) -> None:
    server = settings.smtp_server
    if server is not None and not settings.smtp_from:
        raise SettingsError("NPVIRT_SMTP_SERVER needs NPVIRT_SMTP_FROM: whom mail comes from.")
    if bool(settings.smtp_user) != (settings.smtp_password_file is not None):
        raise SettingsError(
            "NPVIRT_SMTP_USER and NPVIRT_SMTP_PASSWORD_FILE work together only; set both."
        )
    is_local = server is not None and server.host in ("localhost", "127.0.0.1", "::1")
    if settings.smtp_user and settings.smtp_security == "none" and not is_local:
        raise SettingsError(
            "NPVIRT_SMTP_SECURITY=none would send the password of NPVIRT_SMTP_USER in the clear."
        )


def _check_lengths(settings: Settings) -> None:
    """The coarser the tier, the longer it is kept: else there were times of which nothing is."""
    lengths = (
        ("NPVIRT_KEEP_RECENT", settings.keep_recent_s),
        ("NPVIRT_KEEP_1M", settings.keep_1m_s),
        ("NPVIRT_KEEP_10M", settings.keep_10m_s),
        ("NPVIRT_KEEP_1H", settings.keep_1h_s),
        ("NPVIRT_KEEP_DAILY", settings.keep_daily_s),
    )
    for (finer, short_s), (coarser, long_s) in pairwise(lengths):
        if long_s <= short_s:
            raise SettingsError(
                f"{coarser} ({_told(long_s)}) must be longer than {finer} ({_told(short_s)})."
            )


def _told(seconds: int) -> str:
    hours = seconds // 3600
    return f"{hours} h" if hours % 24 else f"{hours // 24} d"


def _from_file(environ: Mapping[str, str], known: set[str]) -> dict[str, str]:
    named = environ.get(_CONFIG)
    path = Path(named or "npvirt.toml")
    if not path.exists():
        if named:
            raise SettingsError(f"{_CONFIG} names {path}, which does not exist.")
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}.") from None
    for name in table:
        if name not in known:
            raise SettingsError(f"{name} in {path} is not a setting of npvirt.")
    return {name: _as_text(name, value) for name, value in table.items()}


def _as_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return ",".join(value)
    raise SettingsError(f"{name} must be a text, a number or a list of texts.")
