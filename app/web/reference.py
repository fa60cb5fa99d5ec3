"""The OpenAPI document as something to read: operations by group, and the shapes they name.

Pure: takes the document alone, so that nothing is said that it does not say.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

_METHODS = ("get", "post", "put", "patch", "delete")
_REF = "#/components/schemas/"
_MANY_WORDS = 16
_EXAMPLES = {"host": "$HOST", "uuid": "$UUID", "key": "$KEY", "id": "$UUID",
             "at": "2026-05-01T09:30Z", "name": "before-update", "action": "shutdown",
             "metric": "cpu"}  # fmt: skip


class Type(NamedTuple):
    """What a value is, in words; `shape` is the one that it is made of, or ""."""

    text: str
    shape: str = ""


class Field(NamedTuple):
    """A parameter, or a field of a shape or of a body."""

    name: str
    type: Type
    says: str
    required: bool


class Answer(NamedTuple):
    """What is answered with a status."""

    status: str
    says: str
    types: tuple[Type, ...]
    media: tuple[str, ...]


class Entry(NamedTuple):
    """One operation."""

    id: str
    method: str
    path: str
    summary: str
    says: str
    role: str
    fields: tuple[Field, ...]
    body: tuple[Field, ...]
    answers: tuple[Answer, ...]
    refusals: str
    curl: str


class Group(NamedTuple):
    """Operations that belong together."""

    name: str
    title: str
    says: str
    entries: tuple[Entry, ...]


class ShapeTold(NamedTuple):
    """A JSON object of the answers."""

    name: str
    says: str
    fields: tuple[Field, ...]


def groups(told: Mapping[str, Any]) -> list[Group]:
    """Every operation of the document, by group, in its order."""
    entries: dict[str, list[Entry]] = {tag["name"]: [] for tag in told["tags"]}
    for path, methods in told["paths"].items():
        for method in _METHODS:
            if method in methods:
                operation = methods[method]
                entries[operation["tags"][0]].append(_entry(told, path, method, operation))
    return [
        Group(tag["name"], _title(tag["name"]), tag["description"], tuple(entries[tag["name"]]))
        for tag in told["tags"]
    ]  # fmt: skip


def _title(name: str) -> str:
    return name if name == "npvirt" else name.capitalize()


def shapes(told: Mapping[str, Any]) -> list[ShapeTold]:
    """Every JSON object that answers are made of, by name."""
    return [
        ShapeTold(name, schema.get("description", ""), tuple(_fields(schema)))
        for name, schema in sorted(told["components"]["schemas"].items())
    ]


def _entry(told: Mapping[str, Any], path: str, method: str, made: Mapping[str, Any]) -> Entry:
    body = made.get("requestBody", {}).get("content", {})
    schema = _resolved(told, next(iter(body.values()))["schema"]) if body else {}
    answers = tuple(_answers(made["responses"]))
    return Entry(
        made["operationId"],
        method.upper(),
        path,
        made["summary"],
        made["description"],
        made["x-role"],
        tuple(
            Field(one["name"], type_of(one["schema"]), one["description"], one["required"])
            for one in made["parameters"]
        ),
        tuple(_fields(schema)),
        answers,
        ", ".join(status for status in made["responses"] if status >= "400"),
        _curl(path, method, made, schema, next(iter(body), "")),
    )


def _answers(responses: Mapping[str, Any]) -> Iterator[Answer]:
    for status, one in responses.items():
        if status >= "300":
            continue
        content = one.get("content", {})
        json = content.get("application/json", {}).get("schema")
        several = json.get("anyOf", [json]) if json else ()
        yield Answer(
            status, one["description"], tuple(map(type_of, several)), tuple(content)
        )  # fmt: skip


def _resolved(told: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").removeprefix(_REF)
    return told["components"]["schemas"][name] if name else schema


def _fields(schema: Mapping[str, Any]) -> Iterator[Field]:
    required = schema.get("required", ())
    for name, part in schema.get("properties", {}).items():
        yield Field(name, type_of(part), part.get("description", ""), name in required)


def type_of(schema: Mapping[str, Any]) -> Type:
    """What a JSON Schema allows, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return Type(name, name)
    if "anyOf" in schema:
        return _one_of([type_of(part) for part in schema["anyOf"]])
    if "enum" in schema:
        words = ["null" if word is None else str(word) for word in schema["enum"]]
        more = f" and {len(words) - _MANY_WORDS} more" if len(words) > _MANY_WORDS else ""
        return Type(" | ".join(words[:_MANY_WORDS]) + more)
    if schema.get("type") == "array":
        inner = type_of(schema.get("items", {}))
        return Type(f"list of {inner.text}", inner.shape)
    if isinstance(schema.get("additionalProperties"), dict):
        inner = type_of(schema["additionalProperties"])
        return Type(f"{inner.text} by name", inner.shape)
    return Type(_plain(schema))


def _one_of(types: list[Type]) -> Type:
    texts = list(dict.fromkeys(one.text for one in types))
    shape = next((one.shape for one in types if one.shape), "")
    return Type(" or ".join(sorted(texts, key=lambda text: text == "null")), shape)


def _plain(schema: Mapping[str, Any]) -> str:
    word = {"date-time": "time", "uuid": "UUID"}.get(schema.get("format", ""))
    text = word or str(schema.get("type", "anything"))
    least, most = schema.get("minimum"), schema.get("maximum")
    if most is not None and most < 2**53:
        text += f", {least} to {most}"
    return text


# --- examples ------------------------------------------------------------------------------------


def _curl(
    path: str, method: str, made: Mapping[str, Any], schema: Mapping[str, Any], media: str
) -> str:
    """How a shell asks for it."""
    address = re.sub(r"\{(\w+)\}", lambda found: _EXAMPLES.get(found[1], "1"), path)
    asked = "&".join(
        f"{one['name']}={_example(one['name'], one['schema'])}"
        for one in made["parameters"]
        if one["in"] == "query" and one["required"]
    )
    words = ["curl", *(() if method == "get" else ("-X", method.upper()))]
    words.append('-H "Authorization: Bearer $TOKEN"')
    if media == "application/json":
        words.append("-H 'Content-Type: application/json'")
        words.append(f"-d '{msgspec.json.encode(_body(schema)).decode()}'")
    elif media:
        words.append("--data-binary @FILE")
    words.append(f'"$NPVIRT{address}{"?" if asked else ""}{asked}"')
    return " ".join(words)


def _body(schema: Mapping[str, Any]) -> Any:
    if schema.get("examples"):
        return schema["examples"][0]
    properties = schema.get("properties", {})
    return {name: _example(name, properties[name]) for name in schema.get("required", ())}


def _example(name: str, schema: Mapping[str, Any]) -> Any:
    if name in _EXAMPLES:
        return _EXAMPLES[name]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("examples"):
        return schema["examples"][0]
    empty = {"array": [], "object": {}, "integer": 1, "boolean": True}
    return empty.get(schema.get("type", ""), "…")
