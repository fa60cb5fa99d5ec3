"""The description of the API: as an OpenAPI document, and as a page to read."""

import msgspec
from flask import Blueprint, Response, render_template, request

from app.services import services
from app.web.kept import Rendered
from app.web.moment import LIVE
from app.web.openapi import document
from app.web.operations import operation
from app.web.page import framed, pages
from app.web.permission import needs
from app.web.reference import groups, shapes
from app.web.shapes import npvirt

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/api/v1/openapi.json")
@needs("viewer")
@operation("npvirt", npvirt.OpenApi)
def as_json() -> Response:
    """This document: what the API answers and takes, as OpenAPI 3.1."""
    return Response(msgspec.json.encode(document()), mimetype="application/json")


@blueprint.get("/help/api")
@needs("viewer")
def page() -> Response:
    """The same to read."""
    base = services().settings.public_url or request.host_url.removesuffix("/")

    def make() -> Rendered:
        told = document()
        html = render_template(
            "reference.html", moment=LIVE, base=base, groups=groups(told), shapes=shapes(told)
        )
        return Rendered(html.encode(), "")

    found = pages().kept.get(("reference", base), pages(), make)
    return framed(found.body.decode(), "", "The API")
