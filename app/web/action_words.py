"""What npvirt says about an action: before it (what it means for this very object, with names and
counts) and after it (what was done, or was not, and what is awaited). Pure, over one fleet.
"""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from app.actions.parameters import Parameter
from app.actions.plan import Ask
from app.actions.registry import NOUNS, PLURALS, Action, why_not
from app.actions.run import Done
from app.errors import NotFound
from app.inventory import Domain
from app.store.usage import Usage
from app.store.views import Fleet, HostView
from app.web.finding import find_domain, find_network, find_pool
from app.web.format import plural
from app.web.host_page import find_host

_NAMES_SHOWN = 3


class Question(Struct, frozen=True):
    """What is asked before an action: about which object, in which state, with which effects.

    `typed` is the name to type ("" for none; `typed_if` the parameters that call for it).
    `impossible` says why it cannot be done now.
    """

    action: Action
    host: str
    name: str
    address: str
    back: str
    state: str
    says: str
    effects: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    typed: str
    typed_if: tuple[str, ...]
    impossible: str

    @property
    def verb(self) -> str:
        """What the button says."""
        return self.action.label.removesuffix("…")


class Said(Struct, frozen=True):
    """What is said after an action. `stays`: until it is closed. `detail`: libvirt's own words."""

    good: bool
    title: str
    more: str
    stays: bool
    detail: str = ""
    job: int | None = None

    @property
    def text(self) -> str:
        """Everything in one line."""
        return f"{self.title}. {self.more}".strip() if self.more else f"{self.title}."


def title_of(asked: Question) -> str:
    """The title of a question: the verb, the object, its host."""
    if asked.action.creates:
        return f"{asked.verb} on {asked.host}"
    return f"{asked.verb}: {asked.name} on {asked.host}"


def question(action: Action, seen: Fleet, slug: str, key: str, name: str = "") -> Question:
    """What to ask about `action`; raises NotFound."""
    fact, state, label = _object(action, seen, slug, key, name)
    host = find_host(seen, slug)
    reason = "" if action.creates and action.kind in ("pool", "network") else (
        why_not(action, state, fact) or ""
    )  # fmt: skip
    if host.record.connection.read_only:
        reason = f"{slug} is read-only in npvirt."
    typed = action.confirm == "name"
    typed_if: tuple[str, ...] = ()
    if action.name == "destroy" and action.kind == "domain":
        typed = state != "crashed"
    if action.name == "undefine" and action.kind == "domain":
        typed_if = _undefine_loses(fact)
        typed = bool(typed_if)
    own = f"/hosts/{slug}"
    return Question(
        action=action,
        host=slug,
        name=label,
        address=_address(action, slug, key, name),
        back=_back(action, own, key, fact),
        state=state or "",
        says=action.says,
        effects=tuple(_effects(action, seen, slug, key, fact)),
        parameters=_known_types(_parameters(action, fact), host),
        typed=label if typed else "",
        typed_if=typed_if,
        impossible=reason,
    )


def said(ask: Ask, done: Done, *, admin: bool) -> Said:
    """What to say of an action that was asked for."""
    label, name = ask.action.label.removesuffix("…"), done.name
    if done.outcome is None:
        return Said(True, f"{label}: {name}", "It goes on; its progress is shown below.",
                    stays=False, job=done.audit_id)  # fmt: skip
    if done.outcome == "ok":
        title, more = _ok_words(ask, label, name)
        return Said(True, title, more, stays=False)
    if done.outcome == "unknown":
        title = f"{label} {name}: whether it was done is not known"
        return Said(False, title, done.sentence, stays=True)
    return Said(False, f"{label} {name}: not done", done.sentence, stays=True)


def _ok_words(ask: Ask, label: str, name: str) -> tuple[str, str]:
    if ask.action.kind == "domain" and ask.action.name == "shutdown":
        return f"{name} was asked to shut down", "It is up to the guest how long that takes."
    if ask.action.kind == "domain" and ask.action.name == "reboot":
        return f"{name} was asked to restart", "It is up to the guest how long that takes."
    return f"{label}: {name}", "Done."


def _object(
    action: Action, seen: Fleet, slug: str, key: str, name: str
) -> tuple[Any, str | None, str]:
    """The fact, the state (None: its host does not answer) and the name of what is acted on."""
    kind = action.kind
    if action.creates and kind in ("pool", "network"):
        find_host(seen, slug)
        return None, None, NOUNS[kind]
    if kind in ("domain", "snapshot"):
        domain = find_domain(seen, slug, key)
        state = domain.fact.state if domain.known else None
        return domain.fact, state, name or domain.fact.name
    if kind == "network":
        network = find_network(seen, slug, key)
        return network.fact, network.fact.state if network.known else None, network.fact.name
    if kind == "pool" or action.creates:
        pool = find_pool(seen, slug, key)
        return pool.fact, pool.fact.state if pool.known else None, pool.fact.name
    volume = next(
        (one for one in seen.volumes if str(one.entity_id) == key and one.host == slug), None
    )
    if volume is None:
        raise NotFound(f"{slug} has no volume {key[:40]}.")
    pool = find_pool(seen, slug, volume.fact.pool_uuid)
    return volume.fact, pool.fact.state if pool.known else None, volume.fact.name


def _address(action: Action, slug: str, key: str, name: str) -> str:
    plural_word = PLURALS[action.kind]
    host = f"/hosts/{slug}"
    if action.creates:
        parent = {"volume": f"/pools/{key}", "snapshot": f"/domains/{key}"}.get(action.kind, "")
        return f"{host}{parent}/{plural_word}"
    if action.kind == "snapshot":
        return f"{host}/domains/{key}/snapshots/{name}/actions/{action.name}"
    return f"{host}/{plural_word}/{key}/actions/{action.name}"


def _back(action: Action, own: str, key: str, fact: Any) -> str:
    if action.kind in ("domain", "snapshot"):
        return f"{own}/domains/{key}"
    if action.kind == "network":
        return "/networks"
    if action.kind == "volume":
        return f"{own}/pools/{key if action.creates else fact.pool_uuid}"
    return own if action.creates else f"{own}/pools/{key}"


def _undefine_loses(fact: Any) -> tuple[str, ...]:
    """The parameters of undefine that lose something this VM has."""
    if not isinstance(fact, Domain):
        return ()
    has = {
        "managed_save": fact.managed_save is not False,
        "snapshots": fact.has_snapshot is not False,
        "nvram": fact.nvram is not False,
    }
    return tuple(name for name, there in has.items() if there)


def _parameters(action: Action, fact: Any) -> tuple[Parameter, ...]:
    """What to ask for; what this object has nothing of is not asked."""
    if action.name == "undefine" and isinstance(fact, Domain):
        shown = _undefine_loses(fact)
        return tuple(one for one in action.parameters if one.name in shown)
    return action.parameters


def _known_types(parameters: tuple[Parameter, ...], host: HostView) -> tuple[Parameter, ...]:
    """The parameters with only those types of pools that the host's libvirt knows."""
    known = host.seen.fact.pool_types if host.seen is not None else None
    if known is None:
        return parameters
    return tuple(
        replace(one, choices=tuple(pair for pair in one.choices if pair[0] in known))
        if one.name == "type"
        else one
        for one in parameters
    )


def _effects(action: Action, seen: Fleet, slug: str, key: str, fact: Any) -> Iterable[str]:
    if action.kind == "pool" and action.name in ("destroy", "undefine"):
        yield from _pool_users(seen, slug, key, action.name)
    if action.kind == "volume" and not action.creates:
        volume = next(one for one in seen.volumes if str(one.entity_id) == key)
        usage = Usage(seen, (slug,))
        users = sorted({user.name for user in usage.users(volume)})
        if users:
            word = "uses" if len(users) == 1 else "use"
            yield f"{plural(len(users), 'VM')} {word} it: {_some(users)}."
        overlays = usage.overlays(volume)
        if overlays:
            yield f"{plural(overlays, 'image')} on top of it would be lost as well."
    if action.kind == "network" and action.name in ("destroy", "undefine"):
        names = sorted(
            one.fact.name
            for one in seen.domains
            if one.host == slug
            and any(nic.type == "network" and nic.source == fact.name for nic in one.fact.nics)
        )
        if names:
            yield f"{plural(len(names), 'VM')} on it: {_some(names)}."
    if action.kind == "domain" and action.name == "start" and fact.managed_save:
        yield "It has a saved state, so it goes on where it was saved."


def _pool_users(seen: Fleet, slug: str, key: str, name: str) -> Iterable[str]:
    usage = Usage(seen, (slug,))
    users: dict[str, bool] = {}
    states = {one.key: one.fact.state for one in seen.domains if one.host == slug}
    for volume in seen.volumes:
        if volume.host == slug and volume.fact.pool_uuid == key.lower():
            for user in usage.users(volume):
                users[user.name] = states.get(user.uuid) not in ("shutoff", "crashed", None)
    running = sorted(one for one, runs in users.items() if runs)
    off = sorted(one for one, runs in users.items() if not runs)
    if name == "undefine":
        if users:
            word = "has" if len(users) == 1 else "have"
            yield f"{plural(len(users), 'VM')} {word} disks in it: {_some(sorted(users))}."
        return
    if running:
        word = "keeps" if len(running) == 1 else "keep"
        yield f"{plural(len(running), 'running VM')} ({_some(running)}) {word} the disks open."
    if off:
        yield f"{plural(len(off), 'shut-off VM')} ({_some(off)}) cannot start."
    yield "npvirt cannot see its size; charts will show a gap."


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
