"""Errors under /embed/: a short sentence in a box of the same look, with the right status."""

from flask import Response, render_template, request
from msgspec.structs import replace

from app.errors import InvalidField
from app.language import bare_gettext
from app.web.embed.drawing import framed
from app.web.embed.parameters import USUAL_REFRESH_S, Look, locale_asked, read_look
from app.web.languages import drawn_in
from app.web.locales import language_of

_REFRESH_S = 60


def box(status: int, sentence: str) -> Response:
    """`sentence` as the view would have been, in the wrapper that was asked for, and its language
    where it is marked. A frame asks again, slowly: what is wrong may be put right.
    """
    try:
        look = read_look(request.args)
    except InvalidField:
        wrapper = request.args.get("as", "fragment")
        locale = locale_asked(request.args)
        look = Look(
            wrapper if wrapper == "frame" else "fragment", "", USUAL_REFRESH_S, "", (), locale
        )
    with drawn_in(look.locale):
        html = render_template(
            "embed/error.html", status=status, sentence=bare_gettext(sentence), theme=look.theme,
            language=language_of(look.locale),
        )  # fmt: skip
    if look.wrapper == "frame":
        look = replace(look, refresh_s=max(_REFRESH_S, look.refresh_s))
        html = framed("npvirt", html, look, live=True)
    response = Response(html, status, mimetype="text/html")
    response.headers["Cache-Control"] = "no-store"
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="npvirt embed"'
    return response
