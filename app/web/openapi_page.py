"""The OpenAPI document of the API, as JSON."""

import msgspec
from flask import Blueprint, Response

from app.web.openapi import document
from app.web.operations import operation
from app.web.permission import needs
from app.web.shapes import npvirt as shapes

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/api/v1/openapi.json")
@needs("viewer")
@operation("npvirt", shapes.OpenApi)
def as_json() -> Response:
    """This document: what the API answers and takes, as OpenAPI 3.1."""
    return Response(msgspec.json.encode(document()), mimetype="application/json")
