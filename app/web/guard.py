"""What every request must pass and every answer must carry.

In this order: the Host header, who asks, origin and CSRF token of unsafe requests, whether the
host is in their scope, whether their role is enough. Size limits, security headers, and the key
that signs the session cookie. Knows no page.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from flask import Flask, Response, request
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import BadRequest, Forbidden
from werkzeug.middleware.proxy_fix import ProxyFix

from app.access import Principal
from app.errors import NotFound
from app.services import services
from app.settings import Settings
from app.store.hosts import host_ids_named
from app.web.addresses import split_address
from app.web.embed.apart import Sessions, is_embed
from app.web.embed.apart import finish as finish_embed
from app.web.errors import problem
from app.web.identity import identify, is_by_token
from app.web.permission import Needs, needed_by

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
_FORM_PARTS = 2_000
_NEXT_MAX = 2_000

# What is answered without a session where no route matches: nothing tells what is there.
_OPEN_PREFIX = "/static/"
_LIKE_A_PROGRAM = ("/api/", "/metrics")

OnRefusal = Callable[[str], None]

csrf = CSRFProtect()


def protect(app: Flask, settings: Settings, on_refusal: OnRefusal) -> None:
    """Put the checks and headers of this module around every request of `app`. `on_refusal` is
    told why somebody who is signed in was refused.
    """
    app.config.update(
        SECRET_KEY=session_key(settings.data),
        SESSION_COOKIE_NAME="npvirt",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.public_url.startswith("https:"),
        MAX_CONTENT_LENGTH=_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=_BODY_BYTES,
        MAX_FORM_PARTS=_FORM_PARTS,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_HEADERS=["X-CSRF-Token"],
        WTF_CSRF_SSL_STRICT=False,
    )
    app.session_interface = Sessions()
    csrf.init_app(app)
    names = trusted_names(settings)

    if settings.proxy_hops:
        hops = settings.proxy_hops
        proxied = ProxyFix(app.wsgi_app, x_for=hops, x_proto=0)
        app.wsgi_app = proxied  # type: ignore[method-assign]  # Flask has it wrapped this way
    origins = (settings.public_url,) if settings.public_url else ()

    def check() -> Response | None:
        _check_host(names)
        if is_embed(request.path):
            # Nobody is signed in there, and nothing is changed.
            return None
        who = identify()
        needed = _needed(app)
        if needed.role is not None and who is None:
            return _sign_in_first()
        if needed.any_size:
            request.max_content_length = request.content_length
        if request.method not in _SAFE:
            _check_origin(origins)
            _check_token()
        if needed.role is not None and who is not None:
            _check_scope(who)
            refusal = needed.refusal(who)
            if refusal is not None:
                on_refusal(refusal)
                raise Forbidden(refusal)
        return None

    app.before_request(check)
    app.after_request(_finish)


def trusted_names(settings: Settings) -> tuple[str, ...]:
    """The names that the Host header may carry, whatever the port: loopback's own, the address
    that is bound, and what NPVIRT_ALLOWED_HOSTS adds.
    """
    extra = [name.strip("[]").lower() for name in settings.allowed_hosts]
    if settings.public_url:
        extra.append(urlsplit(settings.public_url).hostname or "")
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


def _needed(app: Flask) -> Needs:
    """What this request asks of who asks."""
    if request.endpoint is not None:
        return needed_by(app, request.endpoint)
    return Needs(None if request.path.startswith(_OPEN_PREFIX) else "viewer")


def _sign_in_first() -> Response:
    """What somebody without a session or token gets, in the form that they read."""
    if request.path.startswith(_LIKE_A_PROGRAM):
        answer = problem(401, "This needs a token: Authorization: Bearer npt_…")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="npvirt"'
        return answer
    here = request.full_path if request.query_string else request.path
    if request.headers.get("HX-Request") == "true":
        shown = request.headers.get("HX-Current-URL", "")
        address = login_address(split_address(shown)._replace(scheme="", netloc="").geturl())
        return Response(status=401, headers={"HX-Redirect": address})
    wanted = here if request.method in _SAFE and not here.startswith("/ui/") else "/"
    return Response(status=303, headers={"Location": login_address(wanted)})


def login_address(wanted: str) -> str:
    """The address of the sign-in that leads to `wanted` afterwards."""
    return f"/login?next={quote(local_path(wanted), safe='/')}"


def local_path(text: str) -> str:
    """`text` if it is an address of npvirt's own without its name, else "/"."""
    is_local = text.startswith("/") and not text.startswith(("//", "/\\"))
    plain = all(32 < ord(character) < 127 for character in text) and "\\" not in text
    return text if is_local and plain and len(text) <= _NEXT_MAX else "/"


def _check_scope(who: Principal) -> None:
    """A host that is not theirs is not there: NotFound, as for a host that never was. One that had
    the name before is there to be looked at; what is asked for concerns the one that has it now.
    """
    slug = (request.view_args or {}).get("slug")
    if slug is None or who.host_ids is None:
        return
    ids = host_ids_named(services().store, slug, now_only=request.method not in _SAFE)
    if not ids & who.host_ids:
        raise NotFound(f"There is no host {slug[:40]}.")


def _check_origin(origins: tuple[str, ...]) -> None:
    """Refuse what another site sends. Scripts send neither header, and no cookie."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        allowed = site in ("same-origin", "none")
    elif origin is not None:
        allowed = origin in (origins or (request.host_url.removesuffix("/"),))
    else:
        allowed = not request.cookies
    if not allowed:
        raise Forbidden("This request came from another site, so npvirt refused it.")


def _check_token() -> None:
    if is_by_token():
        # No browser adds this header by itself, so nobody can be made to send it.
        return
    try:
        csrf.protect()
    except CSRFError:
        raise Forbidden(
            "The page was too old, or the request did not come from it. Reload the page and try "
            "again; nothing was changed."
        ) from None


def _finish(response: Response) -> Response:
    if is_embed(request.path):
        finish_embed(response)
        return response
    response.headers.update(HEADERS)
    if request.endpoint == "static" and "v" in request.args and response.status_code < 400:
        response.headers["Cache-Control"] = _YEAR
    elif request.endpoint == "static":
        response.headers["Cache-Control"] = "private, no-cache"
    else:
        response.headers["Cache-Control"] = "private, no-store"
    return response
