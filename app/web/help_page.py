"""What can be done, from the registry: the in-app help and the table of the README."""

from collections.abc import Iterator
from typing import NamedTuple

from flask import Blueprint, Response

from app.actions.registry import ACTIONS, NOUNS, Action
from app.web.actions import addresses
from app.web.identity import principal
from app.web.page import form_page
from app.web.permission import needs

blueprint = Blueprint("help", __name__)


class Line(NamedTuple):
    """One action as a row of a table."""

    kind: str
    label: str
    name: str
    role: str
    asks: str
    says: str
    states: str
    address: str
    parameters: str


@blueprint.get("/help")
@needs("viewer")
def actions() -> Response:
    """Every action, with what it means, who may do it, and its address in the API."""
    who = principal()
    return form_page(
        "help.html", "", "What can be done", lines=list(lines()), role=who.role,
        all_hosts=who.host_ids is None,
    )  # fmt: skip


def lines() -> Iterator[Line]:
    """Every action of the registry."""
    for action in ACTIONS:
        yield Line(
            kind=NOUNS[action.kind],
            label=action.label.removesuffix("…"),
            name=action.audit_name,
            role=action.role,
            asks={"no": "no", "ask": "yes", "name": "yes, by name"}[action.confirm],
            says=action.says,
            states=", ".join(action.states or ()) or "any",
            address=addresses(action).removeprefix("/hosts/<slug>"),
            parameters=", ".join(_parameters(action)),
        )


def readme_table() -> str:
    """The rows of the README's table, in Markdown."""
    head = "| on | action | `name` | role | asks first |\n|---|---|---|---|---|"
    rows = (f"| {one.kind} | {one.label} | `{one.name}` | {one.role} | {one.asks} |"
            for one in lines())  # fmt: skip
    return "\n".join((head, *rows))


def _parameters(action: Action) -> Iterator[str]:
    for parameter in action.parameters:
        yield parameter.name if parameter.required else f"[{parameter.name}]"
