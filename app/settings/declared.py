"""The settings, declared once: name, default, meaning, reader."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time
from pathlib import Path

from app.access import Role
from app.settings import values
from app.settings.values import Bind, Place


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


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "NPVIRT_DATA",
        "data",
        "./var",
        "directory of the store, keys and secrets",
        values.directory,
    ),
    Setting(
        "NPVIRT_DATABASE_URL",
        "database_url",
        "",
        "the store; default: npvirt.sqlite in NPVIRT_DATA",
        values.database_url,
    ),
    Setting(
        "NPVIRT_BIND",
        "bind",
        "127.0.0.1:8040",
        "address and port to listen on",
        values.bind,
    ),
    Setting(
        "NPVIRT_SCAN_SECONDS",
        "scan_seconds",
        "60",
        "time between two scans of a host",
        values.scan_seconds,
    ),
    Setting(
        "NPVIRT_LOG",
        "log",
        "info",
        "debug, info, warning or error",
        values.log,
    ),
    Setting(
        "NPVIRT_ALLOWED_HOSTS",
        "allowed_hosts",
        "",
        "further names that the Host header may carry, comma-separated",
        values.names,
    ),
    Setting(
        "NPVIRT_SOCKET_DIRS",
        "socket_dirs",
        "",
        "further directories of libvirt sockets that the browser may name",
        values.directories,
    ),
    Setting(
        "NPVIRT_TIMEZONE",
        "timezone",
        "",
        "zone of the times on the pages; default: the server's",
        values.timezone,
    ),
    Setting(
        "NPVIRT_KEEP_RECENT",
        "keep_recent_s",
        "48h",
        "how long every scan's measurements are kept as they are",
        values.duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_1M",
        "keep_1m_s",
        "14d",
        "how long measurements are kept by the minute, and every scan",
        values.duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_10M",
        "keep_10m_s",
        "90d",
        "how long measurements are kept by ten minutes",
        values.duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_1H",
        "keep_1h_s",
        "730d",
        "how long measurements are kept by the hour",
        values.duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_DAILY",
        "keep_daily_s",
        "10y",
        "how long measurements are kept by the day",
        values.duration_s,
    ),
    Setting(
        "NPVIRT_KEEP_AUDIT",
        "keep_audit_s",
        "0",
        "how long the audit is kept: 0, for ever, is all that its chain allows",
        values.for_ever,
    ),
    Setting(
        "NPVIRT_BACKUP_DIR",
        "backup_dir",
        "",
        "where the store is backed up every day; default: backups in NPVIRT_DATA",
        values.file,
    ),
    Setting(
        "NPVIRT_BACKUP_AT",
        "backup_at",
        "03:30",
        "at what time of NPVIRT_TIMEZONE; empty: npvirt makes no backups by itself",
        values.time_of_day,
    ),
    Setting(
        "NPVIRT_BACKUP_KEEP",
        "backup_keep",
        "7",
        "how many backups are kept",
        values.count,
    ),
    Setting(
        "NPVIRT_PUBLIC_URL",
        "public_url",
        "",
        "the address that browsers use, where a proxy stands before npvirt",
        values.public_url,
    ),
    Setting(
        "NPVIRT_INSECURE_HTTP",
        "insecure_http",
        "0",
        "1 lets NPVIRT_BIND leave loopback without HTTPS in front",
        values.switch,
    ),
    Setting(
        "NPVIRT_PROXY_HOPS",
        "proxy_hops",
        "0",
        "how many proxies before npvirt write X-Forwarded-For",
        values.hops,
    ),
    Setting(
        "NPVIRT_PROXY_AUTH_SECRET",
        "proxy_auth_secret",
        "",
        "what a proxy that signs users in sends as X-Npvirt-Proxy-Secret",
        values.secret,
    ),
    Setting(
        "NPVIRT_PROXY_AUTH_PEER",
        "proxy_auth_peer",
        "",
        "the address of that proxy; it names the user in X-Remote-User",
        values.address,
    ),
    Setting(
        "NPVIRT_SYSLOG",
        "syslog",
        "",
        "where the audit goes too: a socket (/dev/log) or HOST:PORT (UDP)",
        values.syslog,
    ),
    Setting(
        "NPVIRT_STREAMS_USER",
        "streams_user",
        "8",
        "how many open pages of one user or token are told of changes; further ones ask",
        values.streams,
    ),
    Setting(
        "NPVIRT_STREAMS_TOTAL",
        "streams_total",
        "200",
        "how many open pages are told of changes in all; 0: none, all of them ask",
        values.streams,
    ),
    Setting(
        "NPVIRT_OIDC_ISSUER",
        "oidc_issuer",
        "",
        "the provider of sign-in by OpenID Connect (needs the extra oidc)",
        values.issuer,
    ),
    Setting(
        "NPVIRT_OIDC_CLIENT_ID",
        "oidc_client_id",
        "npvirt",
        "npvirt's name at that provider",
        values.word,
    ),
    Setting(
        "NPVIRT_OIDC_CLIENT_SECRET_FILE",
        "oidc_client_secret_file",
        "",
        "a file with npvirt's secret at that provider; without one npvirt is a public client",
        values.file,
    ),
    Setting(
        "NPVIRT_OIDC_SCOPE",
        "oidc_scope",
        "openid profile email",
        "what npvirt asks the provider for; some need groups as well",
        values.word,
    ),
    Setting(
        "NPVIRT_OIDC_NAME_CLAIM",
        "oidc_name_claim",
        "preferred_username",
        "the claim that names the user",
        values.word,
    ),
    Setting(
        "NPVIRT_OIDC_GROUPS_CLAIM",
        "oidc_groups_claim",
        "groups",
        "the claim that lists their groups",
        values.word,
    ),
    Setting(
        "NPVIRT_OIDC_ROLES",
        "oidc_roles",
        "",
        "GROUP=ROLE, comma-separated, * for everybody; empty: users are added by an admin first",
        values.roles,
    ),
    Setting(
        "NPVIRT_OIDC_LABEL",
        "oidc_label",
        "Sign in with OpenID Connect",
        "what the button says",
        values.word,
    ),
    Setting(
        "NPVIRT_SMTP_SERVER",
        "smtp_server",
        "",
        "HOST:PORT of the mail server for notifications; empty: no mail",
        values.place,
    ),
    Setting(
        "NPVIRT_SMTP_SECURITY",
        "smtp_security",
        "starttls",
        "how the way there is encrypted: starttls, tls or none",
        values.security,
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
        values.file,
    ),
    Setting(
        "NPVIRT_SMTP_FROM",
        "smtp_from",
        "",
        "the address that npvirt's mail comes from",
        values.mail_address,
    ),
    Setting(
        "NPVIRT_ALLOW_TEST_FILES",
        "allow_test_files",
        "0",
        "allow the test driver to read node files",
        values.switch,
    ),
)
