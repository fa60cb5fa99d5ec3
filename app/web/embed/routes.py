"""The routes of embeds: a view in its wrapper, and what browsers ask before they ask for it."""

from functools import partial

from flask import Response, request

from app.errors import NotFound
from app.language import gettext
from app.web.embed import blueprint
from app.web.embed.apart import preflight
from app.web.embed.asking import admitted, note_use
from app.web.embed.drawing import base_address, drawn
from app.web.embed.parameters import locale_asked
from app.web.embed.sending import send
from app.web.embed.views import VIEWS
from app.web.languages import drawn_in
from app.web.permission import open_to_all


@blueprint.get("/embed/v1/<view>", provide_automatic_options=False)
@open_to_all
def show(view: str) -> Response:
    """A view, as far as the token lets it be seen."""
    # Refusals, too, are in the language that is asked for.
    with drawn_in(locale_asked(request.args)):
        wanted = VIEWS.get(view)
        if wanted is None:
            raise NotFound(gettext("There is no view “%(view)s”.", view=view[:40]))
        found = admitted(wanted, base_address())
        response = send(drawn(wanted, found), request)
    write = note_use(found)
    if write is not None:
        # Nobody waits for it: the answer was sent.
        response.call_on_close(partial(write))
    return response


@blueprint.route("/embed/v1/<view>", methods=["OPTIONS"], provide_automatic_options=False)
@open_to_all
def may_ask(view: str) -> Response:
    """Whether a page of another site may ask for a view."""
    return preflight()
