"""Going to another moment: the ribbon of a page, and the form in which a time is typed.

The form is a plain GET that leads to the page it came from, at the moment that was typed.
"""

from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Response, redirect, request

from app import clock
from app.errors import InvalidField
from app.web.addresses import split_address
from app.web.guard import local_path
from app.web.kept import Rendered
from app.web.moment import LIVE, typed_moment
from app.web.page import form_page, pages, part_response, placed_ribbon, ribbon_part
from app.web.permission import needs

blueprint = Blueprint("travel", __name__)

_MAX = 60


@blueprint.get("/ui/ribbon")
@needs("viewer")
def ribbon() -> Response:
    """The ribbon of the present, for the page that asks."""
    band = ribbon_part(LIVE)
    address = present_of(request.headers.get("HX-Current-URL", "/"))
    return part_response(Rendered(placed_ribbon(band, address), band.digest))


@blueprint.get("/go")
@needs("viewer")
def go() -> Response:
    """To the page `page` at the time that was typed; a bad one is said beside the field."""
    page = present_of(request.args.get("page", "/"))
    typed = request.args.get("time", "")[:_MAX]
    now_ms = clock.now_ms()
    try:
        if "time" not in request.args:
            return _form(page, "", "", 200)
        address = typed_moment(typed, pages().zone, now_ms).of(page)
    except InvalidField as error:
        if request.headers.get("HX-Request") == "true":
            return Response(error.sentence, 422, mimetype="text/plain")
        return _form(page, typed, error.sentence, 422)
    if request.headers.get("HX-Request") == "true":
        return Response(status=204, headers={"HX-Redirect": address})
    return redirect(address, 303)  # type: ignore[return-value]  # werkzeug's own Response class


def _form(page: str, typed: str, sentence: str, status: int) -> Response:
    zone_text = pages().zone.name(clock.now_ms())
    return form_page(
        "travel/go.html", "", "Go to a moment", status=status, page=page, typed=typed,
        sentence=sentence, zone_text=zone_text,
    )  # fmt: skip


def present_of(shown: str) -> str:
    """The address of the present of the page that a browser shows: without its moment."""
    parts = split_address(shown)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    left = [(name, value) for name, value in pairs if name not in ("at", "span", "sorted", "since")]
    return local_path(f"{parts.path or '/'}?{urlencode(left)}".removesuffix("?"))
