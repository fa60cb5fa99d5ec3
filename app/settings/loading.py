"""Reading the settings from the environment and a TOML file, and that they go together.

Environment variables `NPVIRT_…` and the same keys in the file (`NPVIRT_CONFIG`, default
`npvirt.toml` in the working directory when there is one) fill them; the environment wins. A
malformed or unknown one stops the start with a sentence. Reads no other file, opens nothing.
"""

import os
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.errors import SettingsError
from app.settings.declared import SETTINGS, Settings

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
