"""How errors are said: a page for people, problem JSON (RFC 9457) for the API, a message that
htmx puts into the corner for a part of a page. Every one is a sentence; none shows a traceback.
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from app.errors import Conflict, InvalidField, NotFound, StoreError, VirtError
from app.language import N_, gettext
from app.web.embed.apart import is_embed
from app.web.embed.saying import box
from app.web.gone import Elsewhere, elsewhere
from app.web.languages import drawn_in, language_of_errors
from app.web.moment import LIVE
from app.web.page import framed

log = logging.getLogger(__name__)

_SENTENCES = {
    400: N_("npvirt did not understand this request."),
    403: N_("npvirt refused this request."),
    404: N_("There is nothing at this address."),
    405: N_("This address does not take requests of this kind."),
    413: N_("This request is larger than npvirt accepts."),
}
# In words of ours, or as HTTP calls it where pages are drawn in other languages.
_TITLES = {404: N_("Not found"), 409: N_("Conflict"), 422: N_("Unprocessable Entity")}
_BROKEN = N_("Something went wrong inside npvirt. Its log says what.")


def register_errors(app: Flask) -> None:
    """Answer every error of `app` in the form that its asker reads."""
    app.register_error_handler(InvalidField, _invalid)
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(Conflict, lambda error: answer(409, str(error)))
    app.register_error_handler(StoreError, _store)
    app.register_error_handler(VirtError, lambda error: answer(502, error.sentence))
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def problem(status: int, sentence: str, **more: object) -> Response:
    """RFC 9457 problem JSON; `more` are its further members."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": sentence, **more}
    return Response(msgspec.json.encode(body), status, mimetype="application/problem+json")


def answer(
    status: int,
    sentence: str,
    field: str | None = None,
    places: Sequence[Elsewhere] = (),
) -> Response:
    """`sentence` in the form that this request's asker reads; `places` are where to look
    instead.
    """
    if is_embed(request.path):
        return box(status, sentence)
    if _wants_json():
        more: dict[str, object] = {}
        if field is not None:
            more["invalid"] = [{"name": field, "reason": sentence}]
        if places:
            more["elsewhere"] = places
        return problem(status, sentence, **more)
    if request.headers.get("HX-Request") == "true":
        html = render_template("errors/toast.html", sentence=sentence)
        return Response(html, status, mimetype="text/html")
    language = language_of_errors()
    with drawn_in(language):
        title = gettext(_TITLES.get(status) or HTTPStatus(status).phrase)
        html = render_template(
            "errors/page.html",
            status=status,
            title=title,
            sentence=sentence,
            moment=LIVE,
            places=places,
        )
    # The ribbon reads the store, which may be what is broken.
    return framed(html, "", title, status=status, ribbon=status < 500, language=language)


def _wants_json() -> bool:
    return request.path.startswith("/api/") or request.path in ("/healthz", "/readyz")


def _not_found(error: NotFound) -> Response:
    return answer(404, str(error), places=elsewhere())


def _invalid(error: InvalidField) -> Response:
    return answer(422, error.sentence, error.field)


def _store(error: StoreError) -> Response:
    log.error("%s %s: %s", request.method, request.path, error)
    return answer(503, str(error))


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return Response(status=status, headers=dict(error.get_headers()))
    own = type(error).description
    said = error.description if error.description and error.description != own else None
    made = answer(status, said or _SENTENCES.get(status, HTTPStatus(status).description or _BROKEN))
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            made.headers[name] = value
    return made


def _unforeseen(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return answer(500, _BROKEN)
