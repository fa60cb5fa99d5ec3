"""What stands around the actions: the menu of an object, and many at once.

Draws from the store; only the bulk POST may wait for hosts.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from flask import Blueprint, Response, request
from msgspec import Struct

from app.actions.perform import Performer
from app.actions.plan import Ask
from app.actions.registry import BY_NAME, PLURALS, Action, ObjectKind
from app.errors import Conflict, InvalidField, NotFound, StoreError
from app.services import services
from app.web.action_buttons import menu
from app.web.action_words import Said
from app.web.finding import find_domain, find_network, find_pool
from app.web.format import plural
from app.web.identity import may, peer, principal
from app.web.json_body import read_json
from app.web.operations import operation
from app.web.page import render_part
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.shapes import acting as shapes

blueprint = Blueprint("acting", __name__)

_AT_ONCE = 8
_MOST = 200
BULK = ("start", "shutdown", "reboot", "suspend", "resume", "managedsave", "destroy")


# --- menus -----------------------------------------------------------------------------------


@blueprint.get("/ui/hosts/<slug>/domains/<key>/menu")
@needs("operator")
def domain_menu(slug: str, key: str) -> Response:
    """Everything that can be done to a domain."""
    seen = find_domain(seen_fleet(None), slug, key)
    return _menu("domain", seen.fact, seen.fact.state if seen.known else None, slug, seen.key)


@blueprint.get("/ui/hosts/<slug>/pools/<key>/menu")
@needs("operator")
def pool_menu(slug: str, key: str) -> Response:
    """Everything that can be done to a storage pool."""
    seen = find_pool(seen_fleet(None), slug, key)
    return _menu("pool", seen.fact, seen.fact.state if seen.known else None, slug, seen.key)


@blueprint.get("/ui/hosts/<slug>/networks/<key>/menu")
@needs("operator")
def network_menu(slug: str, key: str) -> Response:
    """Everything that can be done to a network."""
    seen = find_network(seen_fleet(None), slug, key)
    return _menu("network", seen.fact, seen.fact.state if seen.known else None, slug, seen.key)


@blueprint.get("/ui/hosts/<slug>/volumes/<key>/menu")
@needs("operator")
def volume_menu(slug: str, key: str) -> Response:
    """Everything that can be done to a volume."""
    fleet = seen_fleet(None)
    same = (one for one in fleet.volumes if one.host == slug and str(one.entity_id) == key)
    seen = next(same, None)
    if seen is None:
        raise NotFound(f"{slug} has no volume {key[:40]}.")
    pool = find_pool(fleet, slug, seen.fact.pool_uuid)
    return _menu("volume", seen.fact, pool.fact.state if pool.known else None, slug, key)


@blueprint.get("/ui/hosts/<slug>/domains/<key>/snapshots/<name>/menu")
@needs("operator")
def snapshot_menu(slug: str, key: str, name: str) -> Response:
    """Everything that can be done to a snapshot."""
    seen = find_domain(seen_fleet(None), slug, key)
    base = f"/hosts/{slug}/domains/{seen.key}/snapshots/{name}"
    state = seen.fact.state if seen.known else None
    buttons = menu("snapshot", None, state, base, may)
    return _part("actions/menu.html", buttons=buttons)


def _menu(kind: ObjectKind, fact: Any, state: str | None, slug: str, key: str) -> Response:
    buttons = menu(kind, fact, state, f"/hosts/{slug}/{PLURALS[kind]}/{key}", may)
    return _part("actions/menu.html", buttons=buttons)


# --- many at once ----------------------------------------------------------------------------


class One(Struct, frozen=True):
    """One object of many: what was asked of it and what came of it."""

    host: str
    key: str
    name: str
    outcome: str
    sentence: str
    audit_id: int | None


@blueprint.get("/ui/domains/actions/<action>")
@needs("operator")
def ask_bulk(action: str) -> Response:
    """Ask once for all that are selected."""
    chosen = _bulk_action(action)
    picked = [_picked(text) for text in request.args.getlist("object")[:_MOST]]
    fleet = seen_fleet(None)
    named = [
        (slug, key, state, find_domain(fleet, slug, key).fact.name) for slug, key, state in picked
    ]
    return _part("actions/bulk.html", action=chosen, picked=named)


@blueprint.post("/domains/actions/<action>")
@needs("operator")
def do_bulk(action: str) -> Response:
    """Do it to each; one outcome for each."""
    chosen = _bulk_action(action)
    picked = [_picked(text) for text in request.form.getlist("object")]
    request_id = request.form.get("request_id", "")
    if not request_id:
        raise InvalidField("request_id", "This page is too old; reload it and try again.")
    found = _each(chosen, picked, request_id, request.form.get("confirm", ""))
    return _bulk_answer(chosen, found)


@blueprint.post("/api/v1/domains/actions/<action>")
@needs("operator")
@operation(
    "actions", shapes.ManyDone, body=shapes.WantedMany, path={"action": {"enum": list(BULK)}}
)
def do_bulk_json(action: str) -> Response:
    """Do something to many VMs at once. Each has an outcome of its own."""
    chosen = _bulk_action(action)
    body = read_json(shapes.WantedMany)
    picked = [(one.host, one.uuid, one.expect_state) for one in body.items]
    found = _each(chosen, picked, body.request_id, body.confirm)
    items = [
        {
            "host": one.host,
            "uuid": one.key,
            "name": one.name or None,
            "audit": {"id": one.audit_id, "outcome": one.outcome or None, "sentence": one.sentence},
        }
        for one in found
    ]
    return Response(msgspec.json.encode({"items": items}), 200, mimetype="application/json")


def _bulk_action(name: str) -> Action:
    if name not in BULK:
        raise NotFound(f"There is no action “{name[:40]}” on many VMs at once.")
    return BY_NAME["domain", name]


def _picked(text: str) -> tuple[str, str, str]:
    """Host, UUID and state out of `/hosts/kvm-01/domains/UUID running`; raises InvalidField."""
    path, _, state = text.partition(" ")
    parts = path.split("/")
    if len(parts) != 5 or (parts[1], parts[3]) != ("hosts", "domains"):
        raise InvalidField("object", "This is no VM of a list.")
    return parts[2], parts[4], state


def _each(
    action: Action, picked: list[tuple[str, str, str]], request_id: str, confirm: str
) -> list[One]:
    if not 1 <= len(picked) <= _MOST:
        raise InvalidField("object", f"Choose 1 to {_MOST} VMs.")
    if "at" in request.args:
        raise Conflict("The past cannot be changed; go back to live first.")
    who, where = principal(), peer()
    fleet = seen_fleet(None)
    performer = services().performer

    def one(entry: tuple[str, str, str]) -> One:
        slug, key, state = entry
        seen = fleet.domain(slug, key.lower())
        if seen is None:
            return One(slug, key, "", "refused", "There is no such VM.", None)
        given = {"expect_state": state, "request_id": request_id}
        if action.confirm == "name" and confirm == str(len(picked)):
            # Typed once for all: how many there are.
            given["confirm"] = seen.fact.name
        return _one(performer, Ask(who, where, action, slug, key, given), seen.fact.name)

    with ThreadPoolExecutor(_AT_ONCE, "npvirt-bulk") as pool:
        return list(pool.map(one, picked))


def _one(performer: Performer, ask: Ask, name: str) -> One:
    try:
        done = performer.perform(ask)
    except (InvalidField, Conflict, NotFound) as error:
        return One(ask.host, ask.key, name, "refused", str(error), None)
    except StoreError as error:
        return One(ask.host, ask.key, name, "failed", str(error), None)
    return One(ask.host, ask.key, name, done.outcome or "", done.sentence, done.audit_id)


def _bulk_answer(action: Action, found: list[One]) -> Response:
    bad = [one for one in found if one.outcome not in ("ok", "")]
    label = action.label.removesuffix("…")
    title = f"{label}: {len(found) - len(bad)} of {plural(len(found), 'VM')}"
    words = Said(not bad, title, "" if bad else "Done.", stays=bool(bad))
    response = _part("actions/bulk_said.html", words=words, bad=bad)
    events: dict[str, Any] = {"acted": {}, "refresh": {"target": "body"}}
    response.headers["HX-Trigger"] = msgspec.json.encode(events).decode()
    return response


def answer_said(words: Said) -> Response:
    """`words` in the corner."""
    return _part("actions/said.html", words=words)


def _part(template: str, **context: object) -> Response:
    return Response(render_part(template, **context), 200, mimetype="text/html")
