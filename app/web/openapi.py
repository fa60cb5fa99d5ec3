"""The API's own description, OpenAPI 3.1, made from what its routes declare.

apispec puts the document together and minds its references; msgspec makes the JSON Schemas of
the declared types. (Libraries that validate requests as well want to answer in their own words,
and bring a second library of types; here the views' own sentences stay.) Made once a process.
"""

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, cast

import msgspec
from apispec import APISpec
from flask import Flask, current_app
from werkzeug.routing import Rule

from app import __version__
from app.web.operations import BYTES, CSV, GROUPS, JSON, Group, Operation, operation_of
from app.web.permission import Needs, needed_by
from app.web.shapes.common import Problem

PREFIX = "/api/v1/"
_KEY = "npvirt-openapi"
_REF = "#/components/schemas/{name}"
_TAGS: Mapping[Group, str] = {
    "fleet": "The fleet: hosts and what is on them, now or at a moment.",
    "history": "What was measured, and what happened.",
    "actions": "Acting on hosts, and the long work that this begins.",
    "registry": "Which hosts npvirt watches, and how it reaches them.",
    "accounts": "Users, their sessions, and tokens.",
    "embeds": "Pieces for other pages.",
    "notifications": "Who is told what.",
    "npvirt": "npvirt itself: its audit, its health, its store.",
}
_UUID = {"type": "string", "format": "uuid"}
# What the names in addresses are called in the document, and what they are.
_PATH: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "slug": ("host", "The host's name.",
             {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,31}$"}),
    "uuid": ("uuid", "libvirt's UUID of the object.", _UUID),
    "key": ("key", "libvirt's UUID; of a volume npvirt's id; of a device disk: or nic: and more.",
            {"type": "string"}),
    "name": ("name", "The name.", {"type": "string"}),
    "action": ("action", "What to do.", {"type": "string"}),
    "month": ("month", "A month, as 2026-10.",
              {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}),
}  # fmt: skip
_NUMBER = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
_SAYS: Mapping[int, str] = {
    400: "The request is none that npvirt understands.",
    401: "There is no token or session, or not any more.",
    403: "The role or its hosts are not enough.",
    404: "There is no such thing (for who asks).",
    406: "The Accept header rules out what this address answers.",
    409: "Not possible as things stand: another state, another action under way, the past.",
    413: "The body is too large.",
    422: "A parameter or field is not valid; `invalid` names it. Nothing was done.",
    502: "The host did not do what it was asked.",
    503: "The store cannot be read or written at the moment, or nobody collects.",
}  # fmt: skip
_INFO = """The same answers as the pages. Times are RFC 3339 UTC; units are in the names; \
unknown is `null`, never 0. Errors are problem JSON (RFC 9457). Every `GET` has an ETag: ask again \
with `If-None-Match`, and an unchanged answer is a 304."""


def document(app: Flask | None = None) -> dict[str, Any]:
    """The whole document."""
    found = current_app if app is None else app
    if _KEY not in found.extensions:
        found.extensions[_KEY] = _Maker(found).made()
    return cast(dict[str, Any], found.extensions[_KEY])


def rules(app: Flask) -> Iterator[tuple[Rule, str]]:
    """The routes of the API, each with each of its methods."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.rule.startswith(PREFIX):
            for method in sorted(set(rule.methods or ()) - {"HEAD", "OPTIONS"}):
                yield rule, method


class _Maker:
    """Makes the document of one application."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._spec = APISpec(
            title="npvirt",
            version=__version__,
            openapi_version="3.1.0",
            info={"description": _INFO, "license": {"name": "MIT", "identifier": "MIT"}},
            security=[{"token": []}],
        )
        self._declared = [
            (rule, method, found)
            for rule, method in rules(app)
            if (found := operation_of(app, rule.endpoint)) is not None
        ]
        self._answers: dict[Any, dict[str, Any]] = {}
        self._bodies: dict[Any, dict[str, Any]] = {}

    def made(self) -> dict[str, Any]:
        self._make_schemas()
        for group in GROUPS:
            if any(found.group == group for _, _, found in self._declared):
                self._spec.tag({"name": group, "description": _TAGS[group]})
        self._spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
        for status, says in _SAYS.items():
            content = {"application/problem+json": {"schema": self._answers[Problem]}}
            answer = {"description": says, "content": content}
            self._spec.components.response(_name(status), answer)
        for rule, method, found in self._declared:
            made = self._operation(rule, method, found)
            self._spec.path(path=_path(rule), operations={method.lower(): made})
        return self._spec.to_dict()

    def _make_schemas(self) -> None:
        answers: list[Any] = [Problem]
        bodies: list[Any] = []
        for _, _, found in self._declared:
            for one in (found.answer, *found.statuses.values()):
                answers += one if isinstance(one, tuple) else [] if one is None else [one]
            if found.body is not None and not isinstance(found.body, dict):
                bodies.append(found.body)
        for types, made, finish in (
            (answers, self._answers, _as_answered),
            (bodies, self._bodies, _plain),
        ):
            unique = list(dict.fromkeys(types))
            roots, components = msgspec.json.schema_components(unique, ref_template=_REF)
            made.update(zip(unique, roots, strict=True))
            for name, schema in components.items():
                self._spec.components.schema(name, finish(schema))

    def _operation(self, rule: Rule, method: str, found: Operation) -> dict[str, Any]:
        needs = needed_by(self._app, rule.endpoint)
        summary, says = _words(found, self._app.view_functions[rule.endpoint])
        made: dict[str, Any] = {
            "operationId": _id(rule.endpoint),
            "tags": [found.group],
            "summary": summary,
            "description": f"{says} {_who(needs)}".strip(),
            "x-role": needs.role,
            "parameters": [*_in_path(rule, found), *_in_query(found)],
            "responses": self._responses(rule, method, found, needs),
        }
        if found.body_media != JSON:
            made["requestBody"] = _raw(found.body_media)
        elif found.body is not None:
            schema = found.body if isinstance(found.body, dict) else self._bodies[found.body]
            content = {JSON: {"schema": schema}}
            made["requestBody"] = {"required": found.body_required, "content": content}
        return made

    def _responses(self, rule: Rule, method: str, found: Operation, needs: Needs) -> dict[str, Any]:
        answered: dict[str, Any] = {}
        for status, answer in {found.status: found.answer, **found.statuses}.items():
            content = self._content(answer, found.media if status == found.status else JSON)
            if found.csv and status == found.status:
                content[CSV] = {"schema": {"type": "string"}}
            answered[str(status)] = {
                "description": HTTPStatus(status).phrase,
                **({"content": content} if content else {}),
            }
        if method == "GET":
            answered["304"] = {"description": "Unchanged since the ETag of If-None-Match."}
        for status in _refusals(rule, method, found, needs):
            answered[str(status)] = _name(status)
        return answered

    def _content(self, answer: Any, media: str) -> dict[str, Any]:
        if media != JSON:
            return dict(_raw(media)["content"])
        if answer is None:
            return {}
        several = answer if isinstance(answer, tuple) else (answer,)
        schemas = [self._answers[one] for one in several]
        return {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}


def _refusals(rule: Rule, method: str, found: Operation, needs: Needs) -> list[int]:
    """The statuses with which an operation refuses."""
    statuses = {400, 401, 406, 422, 503, *found.refusals}
    if rule.arguments:
        statuses.add(404)
    if method != "GET":
        statuses |= {403, 409, 413}
    if needs.role != "viewer" or needs.everywhere:
        statuses.add(403)
    return sorted(statuses)


def _plain(schema: Any) -> Any:
    """The schema without `items: false`, which apispec takes for a reference; that a tuple has no
    more items is said by maxItems as well.
    """
    if isinstance(schema, dict):
        return {
            name: _plain(part)
            for name, part in schema.items()
            if not (name == "items" and part is False)
        }
    return [_plain(part) for part in schema] if isinstance(schema, list) else schema


def _as_answered(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of what is sent: a field that could be left out when it is made never is."""
    schema = _plain(schema)
    if "properties" not in schema:
        return schema
    plain, always = {}, set(schema.get("required", ()))
    for name, value in schema["properties"].items():
        if "default" in value:
            always.add(name)
        plain[name] = {key: part for key, part in value.items() if key != "default"}
    return {**schema, "properties": plain, "required": sorted(always)}


def _id(endpoint: str) -> str:
    """What a client may call the operation: of an action, its name in the audit."""
    module, _, function = endpoint.rpartition(".")
    plain = module if function == "as_json" else function.removeprefix("api-")
    return plain.replace("_", "-")


def _path(rule: Rule) -> str:
    """The address as OpenAPI writes it."""
    parts = []
    for part in rule.rule.split("/"):
        if part.startswith("<"):
            name = part.strip("<>").rpartition(":")[2]
            part = f"{{{_PATH[name][0] if name in _PATH else name}}}"
        parts.append(part)
    return "/".join(parts)


def _in_path(rule: Rule, found: Operation) -> Iterator[dict[str, Any]]:
    for name in sorted(rule.arguments - set(rule.defaults or ())):
        called, says, schema = _PATH.get(name, (name, "npvirt's number of it.", _NUMBER))
        yield {"name": called, "in": "path", "required": True, "description": says,
               "schema": dict(found.path.get(name, schema))}  # fmt: skip


def _in_query(found: Operation) -> Iterator[dict[str, Any]]:
    for one in found.parameters:
        schema = {"type": "array", "items": dict(one.schema)} if one.many else dict(one.schema)
        yield {"name": one.name, "in": "query", "required": one.required, "description": one.says,
               "schema": schema}  # fmt: skip


def _raw(media: str) -> dict[str, Any]:
    schema = {"type": "string", "contentMediaType": media} if media != BYTES else {}
    return {"required": True, "content": {media: {"schema": schema}}}


def _name(status: int) -> str:
    """How a refusal is called among the components."""
    return HTTPStatus(status).phrase.replace(" ", "")


@cache
def _first_sentence(text: str) -> tuple[str, str]:
    plain = " ".join(text.split())
    first, dot, rest = plain.partition(". ")
    return (f"{first}.", rest) if dot else (plain, "")


def _words(found: Operation, function: Any) -> tuple[str, str]:
    """Summary and description: what is declared, else the docstring."""
    if found.summary:
        return found.summary, found.says
    summary, rest = _first_sentence(inspect.getdoc(function) or "")
    return summary.removesuffix("."), found.says or rest


def _who(needs: Needs) -> str:
    where = " for all hosts" if needs.everywhere else ""
    return f"Needs the role {needs.role}{where}."
