"""What an action is to be done to, found in the store and checked before any host is asked.

A `Plan` is whole: whoever has one may call libvirt. Raises InvalidField, NotFound, Conflict.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from app.access import Principal
from app.actions.parameters import check_under, read_parameters
from app.actions.registry import NOUNS, Action, must_type
from app.errors import Conflict, InvalidField, NotFound
from app.inventory import DOMAIN_STATES, NETWORK_STATES, POOL_STATES, Domain
from app.store.audit import Attempt
from app.store.engine import Store
from app.store.history import Fleet, fleet
from app.store.hosts import HostRecord
from app.virt.verbs import Target

_STATES: Mapping[str, tuple[str, ...]] = {
    "domain": DOMAIN_STATES, "snapshot": DOMAIN_STATES, "pool": POOL_STATES,
    "volume": POOL_STATES, "network": NETWORK_STATES,
}  # fmt: skip
# What belongs to the request and not to the action.
_REQUEST = ("expect_state", "request_id", "confirm")
_UUID_LENGTH = 36


class Ask(Struct, frozen=True):
    """An action as it was asked for. `key` is the UUID of the domain, pool or network, npvirt's
    id of a volume, and for something new what it is made in; `name` is a snapshot's. `given`
    holds the fields of the request's body.
    """

    principal: Principal
    peer: str
    action: Action
    host: str
    key: str
    given: Mapping[str, Any]
    name: str = ""


class StateConflict(Conflict):
    """The object is no longer in the state that was expected; `state` is the one that it is in."""

    def __init__(self, sentence: str, state: str | None) -> None:
        super().__init__(sentence)
        self.state = state


class Plan(Struct, frozen=True):
    """An action that may be done. `again` names what is to be read anew afterwards."""

    ask: Ask
    record: HostRecord
    target: Target
    name: str
    expect_state: str | None
    parameters: dict[str, Any]
    attempt: Attempt
    again: tuple[tuple[str, str], ...]
    seen: Fleet

    @property
    def lock_key(self) -> str:
        """What no two actions may do at a time."""
        kind = "domain" if self.target.kind == "snapshot" else str(self.target.kind)
        name = self.target.name if self.target.kind == "volume" else ""
        if self.ask.action.creates:
            kind, name = f"new {self.target.kind}", str(self.parameters.get("name") or "")
        return f"{self.record.id}/{kind}/{self.target.uuid}/{name}"


class _Found(Struct, frozen=True):
    target: Target
    name: str
    fact: Any
    again: tuple[tuple[str, str], ...]


def attempt_of(ask: Ask, record: HostRecord | None, name: str = "", **more: Any) -> Attempt:
    """What the audit says of `ask`; `more` are its checked parameters and request id."""
    return Attempt(
        principal=ask.principal,
        peer=ask.peer,
        action=ask.action.audit_name,
        kind=ask.action.kind,
        host_id=None if record is None else record.id,
        host=ask.host,
        key=ask.key,
        name=name or ask.name,
        parameters=more.get("parameters", {}),
        request_id=more.get("request_id"),
    )


def make_plan(store: Store, ask: Ask) -> Plan:
    """Find the object and check the request; raises InvalidField, NotFound, Conflict."""
    seen = fleet(store, None)
    view = seen.host(ask.host)
    # The host that has the name now; another one that had it may have been in their scope.
    if view is None or not ask.principal.sees(view.record.id):
        raise NotFound(f"There is no host {ask.host[:40]}.")
    record, action = view.record, ask.action
    found = _FINDERS[_where(action)](seen, ask)
    expect_state = _expected(ask)
    parameters = read_parameters(action.parameters, ask.given, _REQUEST)
    _check_paths(action, parameters, record)
    request_id = _request_id(ask.given.get("request_id"))
    _check_name(ask, found, expect_state, parameters)
    if record.connection.read_only:
        raise Conflict(f"{ask.host} is read-only in npvirt: it only looks there.")
    if not record.enabled:
        raise Conflict(f"{ask.host} is disabled in npvirt. Enable it first.")
    attempt = attempt_of(
        ask,
        record,
        found.name,
        parameters={name: value for name, value in parameters.items() if value is not None},
        request_id=request_id,
    )
    return Plan(
        ask, record, found.target, found.name, expect_state, parameters, attempt, found.again, seen
    )


def _where(action: Action) -> str:
    """What the address of an action names."""
    if not action.creates:
        return action.kind
    return {"pool": "host", "network": "host", "volume": "pool", "snapshot": "domain"}[action.kind]


def _of_host(seen: Fleet, ask: Ask) -> _Found:
    name = str(ask.given.get("name") or "")[:64]
    return _Found(Target(ask.action.kind, ""), name, None, ())


def _of_domain(seen: Fleet, ask: Ask) -> _Found:
    found = seen.domain(ask.host, _uuid(ask))
    if found is None:
        raise _nothing(ask)
    name = found.fact.name
    return _Found(Target(ask.action.kind, found.key), name, found.fact, (("domain", found.key),))


def _of_snapshot(seen: Fleet, ask: Ask) -> _Found:
    found = _of_domain(seen, ask)
    return _Found(Target("snapshot", found.target.uuid, ask.name), ask.name, None, found.again)


def _of_pool(seen: Fleet, ask: Ask) -> _Found:
    found = seen.pool(ask.host, _uuid(ask))
    if found is None:
        raise _nothing(ask)
    name = found.fact.name
    return _Found(Target(ask.action.kind, found.key), name, found.fact, (("pool", found.key),))


def _of_network(seen: Fleet, ask: Ask) -> _Found:
    found = seen.network(ask.host, _uuid(ask))
    if found is None:
        raise _nothing(ask)
    name = found.fact.name
    return _Found(Target("network", found.key), name, found.fact, (("network", found.key),))


def _of_volume(seen: Fleet, ask: Ask) -> _Found:
    number = int(ask.key) if ask.key.isascii() and ask.key.isdigit() else -1
    for found in seen.volumes:
        if found.entity_id == number and found.host == ask.host:
            fact = found.fact
            target = Target("volume", fact.pool_uuid, fact.name)
            return _Found(target, fact.name, fact, (("pool", fact.pool_uuid),))
    raise _nothing(ask)


_FINDERS = {
    "host": _of_host, "domain": _of_domain, "snapshot": _of_snapshot, "pool": _of_pool,
    "network": _of_network, "volume": _of_volume,
}  # fmt: skip


def _uuid(ask: Ask) -> str:
    return ask.key.lower()[:_UUID_LENGTH]


def _nothing(ask: Ask) -> NotFound:
    kind = ask.action.kind
    return NotFound(f"{ask.host} has no {NOUNS[kind]} {ask.key[:40]}.")


def _expected(ask: Ask) -> str | None:
    """The state that the asker saw; a volume has none of its own, so its pool's may be told."""
    action, text = ask.action, ask.given.get("expect_state")
    words = _STATES[action.kind]
    if text is None or text == "":
        if action.creates or action.kind in ("volume", "snapshot"):
            return None
        raise InvalidField("expect_state", f"Say in which state it is: {', '.join(words)}.")
    if text not in words:
        raise InvalidField("expect_state", f"A state is one of: {', '.join(words)}.")
    return str(text)


def _request_id(text: Any) -> str | None:
    if text is None or text == "":
        return None
    plain = isinstance(text, str) and len(text) == _UUID_LENGTH
    if not plain or not all(c in "0123456789abcdef-" for c in text.lower()):
        raise InvalidField("request_id", "A request id is a UUID.")
    return str(text).lower()


def _check_paths(action: Action, parameters: dict[str, Any], record: HostRecord) -> None:
    for parameter in action.parameters:
        if parameter.kind == "path" and parameters[parameter.name] is not None:
            path, roots = parameters[parameter.name], record.connection.allowed_roots
            parameters[parameter.name] = check_under(path, roots, parameter.name)


def _check_name(
    ask: Ask, found: _Found, expect_state: str | None, parameters: Mapping[str, Any]
) -> None:
    fact = found.fact
    if isinstance(fact, Domain) and expect_state is not None:
        # What is typed follows from what the asker saw; whether it is still so is asked later.
        fact = replace(fact, state=expect_state)
    if must_type(ask.action, fact, parameters) and ask.given.get("confirm") != found.name:
        noun = NOUNS[ask.action.kind]
        raise InvalidField("confirm", f"Type the {noun}’s name to confirm.")
