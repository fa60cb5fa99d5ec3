"""Errors under /embed/: a short sentence in a box of the same look, with the right status."""

from flask import Response, render_template, request

from app.errors import InvalidField
from app.web.embed.drawing import framed
from app.web.embed.parameters import USUAL_REFRESH_S, Look, read_look

_REFRESH_S = 60


def box(status: int, sentence: str) -> Response:
    """`sentence` as the view would have been, in the wrapper that was asked for. A frame asks
    again, slowly: what is wrong may be put right.
    """
    try:
        look = read_look(request.args)
    except InvalidField:
        wrapper = request.args.get("as", "fragment")
        look = Look(wrapper if wrapper == "frame" else "fragment", "", USUAL_REFRESH_S, "", ())
    html = render_template("embed/error.html", status=status, sentence=sentence, theme=look.theme)
    if look.wrapper == "frame":
        look = Look("frame", look.theme, max(_REFRESH_S, look.refresh_s), look.font, look.colours)
        html = framed("npvirt", html, look, live=True)
    response = Response(html, status, mimetype="text/html")
    response.headers["Cache-Control"] = "no-store"
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="npvirt embed"'
    return response
