"""What keeps /embed/ apart from the rest of npvirt: no session there, and headers of its own.

Other sites' pages may read what a token of theirs lets them: CORS for exact origins, never with
credentials; frames for exact origins. A page of an origin that no token names reads nothing.
"""

from collections.abc import Iterable

from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.exceptions import HTTPException

from app.errors import StoreError
from app.web.embed.asking import asker, named_origins

PREFIX = "/embed/"
# What the two versions of htmx and npvirt.js send along.
_ALLOWED = (
    "Accept, Authorization, X-Npvirt-Token, If-None-Match, HX-Request, HX-Request-Type, HX-Source, "
    "HX-Target, HX-Current-URL, HX-Boosted, HX-Trigger, HX-Trigger-Name, HX-Prompt, HX-PTag, "
    "HX-History-Restore-Request"
)
_PREFLIGHT_S = 600
# A header has an end.
_MOST_FRAMING = 100
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_FRAME = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


class Sessions(SecureCookieSessionInterface):
    """Sessions as everywhere, save under /embed/: there is none, whatever cookie is sent."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """An empty session under /embed/."""
        if is_embed(request.path):
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Send no cookie under /embed/."""
        if not is_embed(request.path):
            super().save_session(app, session, response)


def is_embed(path: str) -> bool:
    """Whether a request's path is one of embeds."""
    return path.startswith(PREFIX)


def finish(response: Response) -> None:
    """Give an answer under /embed/ the headers that it carries."""
    headers = response.headers
    headers["X-Content-Type-Options"] = "nosniff"
    # The address may hold the token.
    headers["Referrer-Policy"] = "no-referrer"
    headers.setdefault("Cache-Control", "private, no-cache")
    if "Access-Control-Allow-Origin" not in headers:
        _allow_origin(response)
    if request.args.get("as") == "frame":
        # Errors, too: a frame without its sentence would be a blank.
        headers["Content-Security-Policy"] = " ".join((_FRAME, *_framing()))
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    else:
        headers["Content-Security-Policy"] = _NOTHING
        headers["X-Frame-Options"] = "DENY"
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")


def preflight() -> Response:
    """The answer to a browser that asks whether a page may ask. The token is not in such a request
    when it travels in a header, so pages of every origin that a token names may.
    """
    response = Response(status=204)
    origin = request.headers.get("Origin")
    if origin is not None and origin in named_origins():
        response.headers.update(
            {
                "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
                "Access-Control-Allow-Headers": _ALLOWED,
                "Access-Control-Max-Age": str(_PREFLIGHT_S),
            }
        )
    return response


def _allow_origin(response: Response) -> None:
    response.vary.update(("Origin", "Authorization", "X-Npvirt-Token"))
    origin = request.headers.get("Origin")
    try:
        known = origin is not None and origin in named_origins()
    except StoreError:
        # What is told then is that the store cannot be read, and to nobody else's page.
        known = False
    if known:
        response.headers["Access-Control-Allow-Origin"] = origin or ""
        response.headers["Access-Control-Expose-Headers"] = "ETag, Retry-After"


def _framing() -> Iterable[str]:
    """The origins whose pages may frame this answer, besides npvirt's own. With a token that was
    never made these are all that tokens name: what they see is that sentence.
    """
    try:
        found = asker()
        return found.token.origins if found is not None else sorted(named_origins())[:_MOST_FRAMING]
    except (StoreError, HTTPException):
        return ()
