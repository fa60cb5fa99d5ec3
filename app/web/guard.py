"""What every request must pass and every answer must carry.

Host header, origin and CSRF token of unsafe requests, size limits, security headers, and the key
that signs the session cookie (which holds nothing but the CSRF seed). Knows no page.
"""

import contextlib
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import BadRequest, Forbidden

from app.settings import Settings

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_YEAR = "public, max-age=31536000, immutable"
_BODY_BYTES = 64 * 1024
_FORM_PARTS = 100

csrf = CSRFProtect()


def protect(app: Flask, settings: Settings) -> None:
    """Put the checks and headers of this module around every request of `app`."""
    app.config.update(
        SECRET_KEY=session_key(settings.data),
        SESSION_COOKIE_NAME="npvirt",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=_BODY_BYTES,
        MAX_FORM_PARTS=_FORM_PARTS,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_HEADERS=["X-CSRF-Token"],
        WTF_CSRF_SSL_STRICT=False,
    )
    csrf.init_app(app)
    names = trusted_names(settings)

    def check() -> None:
        _check_host(names)
        if request.method not in _SAFE:
            _check_origin()
            _check_token()

    app.before_request(check)
    app.after_request(_finish)


def trusted_names(settings: Settings) -> tuple[str, ...]:
    """The names that the Host header may carry, whatever the port: loopback's own, the address
    that is bound, and what NPVIRT_ALLOWED_HOSTS adds.
    """
    extra = (name.strip("[]").lower() for name in settings.allowed_hosts)
    return ("localhost", "127.0.0.1", "::1", settings.bind.host, *extra)


def session_key(data: Path) -> str:
    """The key that signs the session cookie: made at first need, 0600, the same for every
    process of this data directory.
    """
    directory = data / "secrets"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "session-key"
    made = directory / f".session-key.{secrets.token_hex(8)}"
    if not path.exists():
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        # link(), not rename(): of two processes that start at once, the first one's key stays.
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
        made.unlink()
    return path.read_text(encoding="ascii")


def _check_host(names: tuple[str, ...]) -> None:
    if _host_name(request.headers.get("Host", "")) not in names:
        raise BadRequest(
            "npvirt does not serve under this name. Use the address that it was started with, or "
            "add the name to NPVIRT_ALLOWED_HOSTS."
        )


def _host_name(header: str) -> str | None:
    """The name in a Host header, without port and brackets; None where it is not one."""
    # Werkzeug's own check cannot be given an IPv6 address.
    try:
        parts = urlsplit(f"//{header}")
        is_plain = parts.netloc == header and "@" not in header and (parts.port or 1) > 0
    except ValueError:
        return None
    return parts.hostname if is_plain else None


def _check_origin() -> None:
    """Refuse what another site sends. Scripts send neither header, and no cookie."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        allowed = site in ("same-origin", "none")
    elif origin is not None:
        allowed = origin == request.host_url.removesuffix("/")
    else:
        allowed = not request.cookies
    if not allowed:
        raise Forbidden("This request came from another site, so npvirt refused it.")


def _check_token() -> None:
    if _is_script():
        return
    try:
        csrf.protect()
    except CSRFError:
        raise Forbidden(
            "The page was too old, or the request did not come from it. Reload the page and try "
            "again; nothing was changed."
        ) from None


def _is_script() -> bool:
    """Whether this is an API call of a program: no browser sends one without these headers."""
    marks = ("Origin", "Sec-Fetch-Site", "Cookie")
    return request.path.startswith("/api/") and not any(mark in request.headers for mark in marks)


def _finish(response: Response) -> Response:
    response.headers.update(HEADERS)
    if request.endpoint == "static" and "v" in request.args and response.status_code < 400:
        response.headers["Cache-Control"] = _YEAR
    elif request.endpoint == "static" or "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "private, no-cache"
    return response
