"""Which actions an object offers: the buttons on its page and row, and the menu with all of them.

Pure. What is not possible stays there with its reason. What the reader's role does not allow is
not offered at all.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from app.access import Role
from app.actions.registry import ACTIONS, BY_NAME, PLURALS, Action, ObjectKind, actions_of, why_not
from app.inventory import Domain

May = Callable[[Role], bool]

# What the row and the head of a page offer first, by state.
_FIRST: dict[tuple[str, str], str] = {
    ("domain", "running"): "shutdown", ("domain", "blocked"): "shutdown",
    ("domain", "shutoff"): "start", ("domain", "crashed"): "start", ("domain", "paused"): "resume",
    ("domain", "pmsuspended"): "dompmwakeup", ("domain", "shutdown"): "destroy",
    ("pool", "inactive"): "start", ("pool", "running"): "refresh", ("pool", "degraded"): "refresh",
    ("pool", "inaccessible"): "refresh",
    ("network", "inactive"): "start", ("network", "active"): "destroy",
}  # fmt: skip
# What goes without saying while it is not possible: a VM that runs is not to be started.
_UNSAID = ("start", "resume", "dompmwakeup", "managedsave-remove")
# What the head of a domain's page shows as buttons, where it is possible.
_HEAD = ("start", "resume", "dompmwakeup", "shutdown", "reboot", "suspend")


class Button(Struct, frozen=True):
    """One offer. `ask` is where it asks first ("" for what is done at once by `post`); `values`
    are sent along. `why_not` says why it is not possible now.
    """

    name: str
    label: str
    icon: str
    says: str
    ask: str
    post: str
    values: str
    danger: bool
    why_not: str


def first_of(kind: ObjectKind, state: str | None) -> Action | None:
    """The action that an object in this state offers first."""
    return BY_NAME.get((kind, _FIRST.get((kind, state or ""), "")))


def menu(kind: ObjectKind, fact: Any, state: str | None, base: str, may: May) -> list[Button]:
    """Everything that can be done to an object at `base`, what loses data last."""
    found: list[Button] = []
    for action in actions_of(kind):
        unsaid = kind == "domain" and action.name in _UNSAID
        if may(action.role) and not (unsaid and state and why_not(action, state, fact)):
            found += _offers(action, fact, state, base)
    if kind == "domain" and may(BY_NAME["snapshot", "create"].role):
        found.append(_new(BY_NAME["snapshot", "create"], fact, state, base))
    return sorted(found, key=lambda one: one.danger)


def head(kind: ObjectKind, fact: Any, state: str | None, base: str, may: May) -> list[Button]:
    """The few that stand as buttons on an object's page."""
    offers = [one for one in menu(kind, fact, state, base, may) if not one.why_not]
    if kind == "domain":
        return [one for name in _HEAD for one in offers if one.name == name]
    first = first_of(kind, state)
    return [one for one in offers if first is not None and one.name == first.name]


def new_things(kind: ObjectKind, base: str, may: May) -> Sequence[Button]:
    """The actions that make something of `kind` in what is at `base`."""
    return [
        _new(action, None, "running", base)
        for action in ACTIONS
        if action.kind == kind and action.creates and may(action.role)
    ]


def _offers(action: Action, fact: Any, state: str | None, base: str) -> Iterator[Button]:
    if action.name == "autostart":
        yield _switch(action, fact, state, base)
        return
    yield _button(action, fact, state, base, action.label, action.hint)
    if action.kind == "domain" and action.name == "start":
        says = "The vCPUs wait for “Resume”."
        yield _button(action, fact, state, base, "Start paused", says, paused="1")


def _switch(action: Action, fact: Any, state: str | None, base: str) -> Button:
    on = getattr(fact, "autostart", None) is True
    label = f"Start with host: {'on' if on else 'off'}"
    says = "Turn it off." if on else "Turn it on."
    made = _button(action, fact, state, base, label, says, enabled="0" if on else "1")
    # Nothing happens now and one press takes it back, so it is not asked about.
    return replace(made, ask="")


def _button(
    action: Action, fact: Any, state: str | None, base: str, label: str, says: str, **values: str
) -> Button:
    if isinstance(fact, Domain) and action.name == "start" and fact.managed_save and not values:
        label, says = "Restore", "Goes on where it was saved."
    own = f"{base}/actions/{action.name}"
    sent = {"expect_state": state or "", **values}
    return Button(
        name=action.name if not values or action.name == "autostart" else f"{action.name}-paused",
        label=label,
        icon=action.icon,
        says=says,
        ask=own if action.asks else "",
        post=own,
        values=msgspec.json.encode(sent).decode(),
        danger=action.loses,
        why_not=why_not(action, state, fact) or "",
    )


def _new(action: Action, fact: Any, state: str | None, base: str) -> Button:
    reason = "" if fact is None else why_not(action, state, fact) or ""
    return Button(
        f"{action.kind}-{action.name}", action.label, action.icon, action.hint,
        f"{base}/{PLURALS[action.kind]}/add", "", "", False, reason,
    )  # fmt: skip
