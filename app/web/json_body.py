"""JSON bodies: of requests, read into a declared type, and of answers."""

from typing import TypeVar

import msgspec
from flask import Response, request

from app.errors import InvalidField

T = TypeVar("T")


def read_json(wanted: type[T]) -> T:
    """The body of the request as a `wanted`; raises InvalidField naming `body`."""
    try:
        return msgspec.json.decode(request.get_data(), type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidField("body", f"The body is not as it should be: {error}.") from None


def json_answer(body: object, status: int = 200) -> Response:
    """`body` as JSON."""
    return Response(msgspec.json.encode(body), status, mimetype="application/json")
