"""What the API declares of each action: the JSON Schema of its body, and what it answers.

Made from the registry; pure.
"""

from collections.abc import Mapping
from typing import Any

from app.actions.parameters import Parameter
from app.actions.registry import NOUNS, Action
from app.inventory import DOMAIN_STATES, NETWORK_STATES, POOL_STATES
from app.web.operations import BYTES, JSON, Operation, Query
from app.web.shapes import acting

_DONE = {
    "domain": acting.DomainDone, "snapshot": acting.DomainDone, "pool": acting.PoolDone,
    "volume": acting.VolumeDone, "network": acting.NetworkDone,
}  # fmt: skip
_STATES = {
    "domain": DOMAIN_STATES, "snapshot": DOMAIN_STATES, "pool": POOL_STATES,
    "volume": POOL_STATES, "network": NETWORK_STATES,
}  # fmt: skip
_FLAG = {
    "anyOf": [
        {"type": "boolean"},
        {"type": "string", "pattern": "^(?i:1|0|true|false|yes|no|on|off)$"},
        {"type": "null"},
    ]
}
_SIZE = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
        {"type": "string", "examples": ["20 GiB"]},
    ]
}


def operation_of_action(action: Action) -> Operation:
    """The declaration of the operation that does `action`."""
    label = action.label.removesuffix("…")
    noun = "" if NOUNS[action.kind].lower() in label.lower() else f" ({NOUNS[action.kind]})"
    body = body_of(action)
    is_upload, is_download = action.transfer == "up", action.transfer == "down"
    return Operation(
        "actions",
        None if is_download else _DONE[action.kind],
        tuple(_as_query(body)) if is_upload else (),
        body=None if is_upload else body,
        body_required="required" in body,
        body_media=BYTES if is_upload else JSON,
        media=BYTES if is_download else JSON,
        statuses={} if is_download else {202: acting.Begun},
        refusals=(404, 409),
        summary=f"{label}{noun}",
        says=_says(action),
    )


def body_of(action: Action) -> dict[str, Any]:
    """The JSON Schema of the body."""
    state = {"type": "string", "enum": list(_STATES[action.kind])}
    told: dict[str, Any] = {
        "expect_state": {**state, "description": _expected(action)},
        "request_id": {
            "type": "string", "format": "uuid",
            "description": "Your own: the same one on the same object is done once.",
        },
        "confirm": {"type": "string", "description": "The object's name, where it must be typed."},
        **{one.name: _parameter(one) for one in action.parameters},
    }  # fmt: skip
    required = [one.name for one in action.parameters if one.required]
    if not action.creates and action.kind not in ("volume", "snapshot"):
        required.insert(0, "expect_state")
    made: dict[str, Any] = {
        "type": "object", "properties": told, "additionalProperties": False,
    }  # fmt: skip
    example = {name: _example(action, name) for name in required}
    return {**made, "required": required, "examples": [example]} if required else made


def _example(action: Action, name: str) -> Any:
    if name == "expect_state":
        return (action.states or _STATES[action.kind])[0]
    one = next(one for one in action.parameters if one.name == name)
    kinds: Mapping[str, Any] = {
        "flag": True, "size": "20 GiB", "path": "/var/lib/libvirt/dump/web.core",
    }  # fmt: skip
    return one.default or kinds.get(one.kind, "new")


def _expected(action: Action) -> str:
    of = {"volume": "its pool", "snapshot": "its VM"}.get(action.kind, "it")
    return f"The state that you saw {of} in; if it is another by now, nothing is done."


def _says(action: Action) -> str:
    confirm = {"no": "", "ask": "", "name": " The object's name must be given as `confirm`"
               " where data would be lost."}[action.confirm]  # fmt: skip
    states = f" Possible while it is {', '.join(action.states)}." if action.states else ""
    return f"{action.says}{states}{confirm}"


def _parameter(one: Parameter) -> dict[str, Any]:
    made: dict[str, Any] = {"description": f"{one.label}. {one.help}".strip()}
    if one.kind == "flag":
        return {**made, **_FLAG}
    if one.kind == "size":
        return {**made, **_SIZE}
    if one.choices:
        return {**made, "type": "string", "enum": [word for word, _ in one.choices]}
    return {**made, "type": "string", "maxLength": 1024}


def _as_query(body: Mapping[str, Any]) -> list[Query]:
    """The fields of a body as query parameters, for what has data as its body."""
    return [
        Query(name, schema["description"], {k: v for k, v in schema.items() if k != "description"},
              required=name in body.get("required", ()))
        for name, schema in body["properties"].items()
    ]  # fmt: skip
