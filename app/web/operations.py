"""Operations of the API, declared on the functions that answer them.

A declaration says what an operation answers and takes. From it alone come the OpenAPI document
(app/web/openapi.py), the reference page, and what is refused before the function is called: query
parameters that are not declared, or given more than once; an Accept header that nothing here
satisfies. Who may use it is said by `needs` (app/web/permission.py), what it is for by the
function's docstring. A route below /api/v1 without a declaration fails a test.

To add one: declare the answer as a `Shape` (app/web/shapes), and write

    @blueprint.get("/api/v1/jobs")
    @needs("viewer")
    @operation("actions", shapes.Jobs)
    def list_jobs() -> Response: ...
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, cast, get_args

from flask import Flask, Response, current_app, request
from msgspec import Struct, field
from werkzeug.exceptions import NotAcceptable

from app.errors import Conflict, InvalidField

F = TypeVar("F", bound=Callable[..., Any])
Group = Literal["fleet", "history", "actions", "registry", "accounts", "embeds", "notifications",
                "npvirt"]  # fmt: skip
GROUPS: tuple[Group, ...] = get_args(Group)
JSON, CSV, BYTES = "application/json", "text/csv", "application/octet-stream"

_ATTRIBUTE = "npvirt_operation"
_SAFE = ("GET", "HEAD")
_ONCE_ONLY = "{} can be given once only."


class Query(Struct, frozen=True):
    """A query parameter. `schema` is the JSON Schema of one value; `many`: it may be repeated."""

    name: str
    says: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    many: bool = False


class Operation(Struct, frozen=True):
    """What one function answers and takes.

    `answer` is the type of its JSON (None: no body), `csv` whether it answers `format=csv`, too.
    `media`: what it answers instead of JSON. `body` is the type of a JSON body, or its JSON Schema;
    `body_media` what is sent instead of JSON. `statuses` are further answers with their types,
    `refusals` further statuses that come as problem JSON. `summary` and `says` stand in for the
    docstring.
    """

    group: Group
    answer: Any
    query: tuple[Query, ...] = ()
    body: Any = None
    status: int = 200
    csv: bool = False
    media: str = JSON
    body_media: str = JSON
    body_required: bool = True
    # Of what the address holds, where there is more to say than for all of that name.
    path: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    statuses: Mapping[int, Any] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()
    summary: str = ""
    says: str = ""

    @property
    def parameters(self) -> tuple[Query, ...]:
        """All query parameters."""
        return (*self.query, FORMAT) if self.csv else self.query


def operation(group: Group, answer: Any, *query: Query, **more: Any) -> Callable[[F], F]:
    """Declare what a function of the API answers and takes; `more` are fields of Operation."""
    declared = Operation(group, answer, query, **more)

    def decorate(function: F) -> F:
        declare(function, declared)
        return function

    return decorate


def declare(function: Callable[..., Any], declared: Operation) -> None:
    """Declare what a function answers and takes that is made by another."""
    setattr(function, _ATTRIBUTE, declared)


def operation_of(app: Flask, endpoint: str) -> Operation | None:
    """What an endpoint declares; None where it declares nothing."""
    return cast(Operation | None, getattr(app.view_functions.get(endpoint), _ATTRIBUTE, None))


# --- query parameters that many operations have --------------------------------------------------


def words(name: str, says: str, allowed: tuple[str, ...], **more: Any) -> Query:
    """A parameter that is one of some words."""
    return Query(name, says, {"type": "string", "enum": list(allowed)}, **more)


def number(name: str, says: str, most: int, default: int, least: int = 1) -> Query:
    """A parameter that is a whole number."""
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return Query(name, says, schema)


def time(name: str, says: str, **more: Any) -> Query:
    """A parameter that is a moment."""
    schema = {"type": "string", "examples": ["2026-05-01T09:30:00Z", "1777627800"]}
    return Query(name, f"{says} RFC 3339 with a zone, or epoch seconds.", schema, **more)


HOST = Query(
    "host", "Of this host.", {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,31}$"}, many=True
)
AT = time("at", "The moment that is looked from; the present if not given.")
FORMAT = words("format", "JSON, or a file of comma-separated values.", ("json", "csv"))


# --- what is seen to before and after ------------------------------------------------------------


def attach_operations(app: Flask) -> None:
    """Refuse what an operation does not take, and give every answer to a GET an ETag."""
    app.before_request(_check)
    app.after_request(_with_etag)


def _check() -> None:
    found = None if request.endpoint is None else operation_of(current_app, request.endpoint)
    if found is None or not request.path.startswith("/api/"):
        return
    if request.method not in _SAFE and "at" in request.args:
        raise Conflict("The past cannot be changed; go back to live first.")
    many = {one.name: one.many for one in found.parameters}
    for name, values in request.args.lists():
        if name not in many:
            raise InvalidField(name[:40], f"This address takes no parameter “{name[:40]}”.")
        if len(values) > 1 and not many[name]:
            raise InvalidField(name, _ONCE_ONLY.format(name))
    made = CSV if found.csv and request.args.get("format") == "csv" else found.media
    if "Accept" in request.headers and not request.accept_mimetypes[made]:
        raise NotAcceptable(f"This address answers {made}, which the Accept header rules out.")


def _with_etag(response: Response) -> Response:
    """304 where the reader has it already."""
    is_read = request.method in _SAFE and request.path.startswith("/api/")
    if not is_read or response.status_code != 200 or response.is_streamed:
        return response
    if "ETag" not in response.headers:
        response.set_etag(hashlib.blake2b(response.get_data(), digest_size=8).hexdigest())
    return cast(Response, response.make_conditional(request))
