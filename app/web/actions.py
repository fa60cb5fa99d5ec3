"""The addresses of every action: a page or dialog that asks (GET), and what does it (POST).

Made from the registry, the same for forms and for JSON under /api/v1. A GET only asks. What
libvirt says is an outcome, so it is a 200; only npvirt's own refusals are 4xx.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import msgspec
from flask import Blueprint, Response, flash, redirect, render_template, request
from flask_wtf.csrf import generate_csrf

from app.actions.plan import Ask, StateConflict
from app.actions.registry import ACTIONS, PLURALS, Action
from app.actions.run import Done
from app.errors import Conflict, InvalidField, NotFound
from app.services import services
from app.store.history import Fleet
from app.web.action_schema import operation_of_action
from app.web.action_words import Question, question, said, title_of
from app.web.addresses import split_address
from app.web.api.items import Items
from app.web.errors import problem
from app.web.finding import find_domain, find_network, find_pool
from app.web.identity import is_by_token, may, peer, principal
from app.web.moment import LIVE
from app.web.operations import declare
from app.web.page import framed
from app.web.permission import needs
from app.web.scope import seen_fleet

blueprint = Blueprint("actions", __name__)

_JSON_MAX_BYTES = 64 * 1024
_NAVIGATION = {"domain": "domains", "snapshot": "domains", "network": "networks"}


def addresses(action: Action) -> str:
    """The path of an action, without its prefix."""
    host, plural = "/hosts/<slug>", PLURALS[action.kind]
    if action.creates:
        return {
            "pool": f"{host}/pools", "network": f"{host}/networks",
            "volume": f"{host}/pools/<key>/volumes",
            "snapshot": f"{host}/domains/<key>/snapshots",
        }[action.kind]  # fmt: skip
    if action.kind == "snapshot":
        return f"{host}/domains/<key>/snapshots/<name>/actions/{action.name}"
    return f"{host}/{plural}/<key>/actions/{action.name}"


def asking_address(action: Action) -> str:
    """The path of the page that asks about an action, without its prefix."""
    return f"{addresses(action)}/add" if action.creates else addresses(action)


def _register(action: Action) -> None:
    """Add the routes of one action."""

    def asking(slug: str, key: str = "", name: str = "") -> Response:
        return _asking(action, slug, key, name)

    def doing(slug: str, key: str = "", name: str = "") -> Response:
        return _doing(action, slug, key, name)

    def doing_json(slug: str, key: str = "", name: str = "") -> Response:
        return _doing_json(action, slug, key, name)

    declare(doing_json, operation_of_action(action))
    own, ask = addresses(action), asking_address(action)
    declared: tuple[tuple[str, str, Callable[..., Response], str], ...] = (
        (ask, "ask", asking, "GET"),
        (f"/ui{ask}", "dialog", asking, "GET"),
        (own, "do", doing, "POST"),
        (f"/api/v1{own}", "api", doing_json, "POST"),
    )
    for path, part, function, method in declared:
        function.npvirt_action = action  # type: ignore[attr-defined]  # read by the audit
        blueprint.add_url_rule(
            path,
            f"{part}-{action.audit_name}",
            needs(action.role, any_size=action.transfer == "up")(function),
            methods=[method],
        )


def _asking(action: Action, slug: str, key: str, name: str) -> Response:
    """Ask what the action needs to know; changes nothing."""
    asked = question(action, seen_fleet(None), slug, key, name)
    return _ask(asked, {}, {})


def _ask(
    asked: Question, given: Mapping[str, Any], errors: Mapping[str, str], status: int = 200
) -> Response:
    html = render_template(
        "actions/dialog.html",
        asked=asked,
        given=given,
        errors=errors,
        request_id=str(uuid4()),
        csrf=generate_csrf(),
        moment=LIVE,
        dialog=_in_dialog(),
    )
    if _in_dialog():
        return Response(html, status, mimetype="text/html")
    nav = _NAVIGATION.get(asked.action.kind, "storage")
    return framed(html, nav, title_of(asked), status=status)


def _in_dialog() -> bool:
    return request.headers.get("HX-Request") == "true"


def _doing(action: Action, slug: str, key: str, name: str) -> Response:
    """Do it as a form asks, and say what came of it."""
    _refuse_past()
    if action.transfer == "down":
        return _download(action, slug, key)
    given = {field: request.form.get(field) for field in request.form if field != "csrf_token"}
    given.pop("from", None)
    if not given.get("request_id"):
        raise InvalidField("request_id", "This page is too old; reload it and try again.")
    # A box that is not ticked is not sent at all.
    ask = Ask(principal(), peer(), action, slug, key, given, name)
    try:
        done = _perform(ask)
    except (InvalidField, Conflict) as error:
        return _not_done(ask, error)
    return _done(ask, done)


def _perform(ask: Ask) -> Done:
    performer = services().performer
    if ask.action.transfer == "up":
        length = request.content_length
        if length is None:
            raise InvalidField("file", "Say how long the file is (Content-Length).")
        return performer.upload(ask, request.stream.read, length)
    return performer.perform(ask)


def _not_done(ask: Ask, error: InvalidField | Conflict) -> Response:
    """Say why nothing was done: in the dialog that asked, else in the corner or on a page."""
    sentence = str(error)
    field = error.field if isinstance(error, InvalidField) else ""
    status = 422 if field else 409
    from_dialog = request.form.get("from") == "dialog"
    if from_dialog or (field and not _in_dialog()):
        asked = question(ask.action, seen_fleet(None), ask.host, ask.key, ask.name)
        return _ask(asked, ask.given, {field: sentence}, status)
    raise error


def _done(ask: Ask, done: Done) -> Response:
    words = said(ask, done, admin=may("admin"))
    address = _address_of(ask, done)
    if not _in_dialog():
        flash(words.text, "message" if words.good else "error")
        return redirect(address, 303)  # type: ignore[return-value]  # werkzeug's own Response
    if _is_gone(ask, done) and _looks_at(ask):
        flash(words.text)
        return Response(status=204, headers={"HX-Redirect": address})
    html = render_template("actions/said.html", words=words, moment=LIVE)
    response = Response(html, 200, mimetype="text/html")
    events: dict[str, Any] = {"acted": {}, "refresh": {"target": "body"}}
    response.headers["HX-Trigger"] = msgspec.json.encode(events).decode()
    return response


def _is_gone(ask: Ask, done: Done) -> bool:
    """Whether the action left no such object."""
    return ask.action.name == "undefine" and done.outcome == "ok"


def _looks_at(ask: Ask) -> bool:
    """Whether the asker's page is the object's own."""
    shown = split_address(request.headers.get("HX-Current-URL", "")).path
    return shown == f"/hosts/{ask.host}/{PLURALS[ask.action.kind]}/{ask.key}"


def _address_of(ask: Ask, done: Done) -> str:
    """The page on which the outcome of an action can be seen."""
    kind, gone = ask.action.kind, _is_gone(ask, done)
    host = f"/hosts/{ask.host}"
    if kind in ("domain", "snapshot"):
        return f"/domains?host={ask.host}" if gone else f"{host}/domains/{ask.key}"
    if kind == "pool":
        return f"/pools?host={ask.host}" if gone else f"{host}/pools/{done.key}"
    if kind == "network":
        return f"/networks?host={ask.host}"
    if ask.action.creates:
        return f"{host}/pools/{ask.key}"
    volume = _volume(seen_fleet(None), ask)
    return f"{host}/pools/{volume.fact.pool_uuid}" if volume else f"/pools?host={ask.host}"


def _volume(seen: Fleet, ask: Ask) -> Any:
    same = (one for one in seen.volumes if str(one.entity_id) == ask.key and one.host == ask.host)
    return next(same, None)


# --- JSON ------------------------------------------------------------------------------------


def _doing_json(action: Action, slug: str, key: str, name: str) -> Response:
    """Do it as a program asks; the object as it is afterwards."""
    _refuse_past()
    if action.transfer == "down":
        return _download(action, slug, key)
    ask = Ask(principal(), peer(), action, slug, key, _body(action), name)
    if not is_by_token() and not ask.given.get("request_id"):
        raise InvalidField("request_id", "A page must send a request id, a UUID.")
    try:
        done = _perform(ask)
    except StateConflict as error:
        return problem(409, str(error), state=error.state)
    entry = {"id": done.audit_id, "outcome": done.outcome, "sentence": done.sentence or None}
    if done.outcome is None:
        url = f"/api/v1/jobs/{done.audit_id}"
        body = {"job": {"id": done.audit_id, "url": url}, "audit": entry}
        answer = Response(msgspec.json.encode(body), 202, mimetype="application/json")
        answer.headers["Location"] = url
        return answer
    body = {"item": _item(ask, done), "audit": entry}
    return Response(msgspec.json.encode(body), 200, mimetype="application/json")


def _body(action: Action) -> Mapping[str, Any]:
    """The fields of the request: its JSON object; of an upload, the query string."""
    if action.transfer == "up":
        return request.args.to_dict()
    body = request.get_data()
    if not body:
        return {}
    if len(body) > _JSON_MAX_BYTES:
        raise InvalidField("body", "This is more than an action takes.")
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidField("body", "The body must be a JSON object.") from None


def _item(ask: Ask, done: Done) -> Any:
    """The object as read again; None when it is gone."""
    seen = seen_fleet(None)
    items = Items(seen)
    try:
        match ask.action.kind:
            case "domain" | "snapshot":
                return items.domain(find_domain(seen, ask.host, ask.key))
            case "pool":
                return items.pool(find_pool(seen, ask.host, done.key))
            case "network":
                return items.network(find_network(seen, ask.host, done.key))
    except NotFound:
        return None
    if ask.action.creates:
        made = (
            one
            for one in seen.volumes
            if one.host == ask.host
            and one.fact.pool_uuid == ask.key.lower()
            and one.fact.name == done.key
        )
        volume = next(made, None)
    else:
        volume = _volume(seen, ask)
    return items.volume(volume) if volume is not None else None


def _download(action: Action, slug: str, key: str) -> Response:
    """A volume's content as a stream; its end is the outcome in the audit."""
    as_json = request.path.startswith("/api/")
    given = dict(_body(action)) if as_json else request.form.to_dict()
    given.pop("csrf_token", None)
    given.pop("from", None)
    ask = Ask(principal(), peer(), action, slug, key, given)
    volume = _volume(seen_fleet(None), ask)
    pieces = services().performer.download(ask)
    response = Response(pieces, 200, mimetype="application/octet-stream")
    name = volume.fact.name if volume is not None else "volume"
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    response.headers["Content-Disposition"] = f'attachment; filename="{plain}"'
    return response


def _refuse_past() -> None:
    if "at" in request.args:
        raise Conflict("The past cannot be changed; go back to live first.")


for _action in ACTIONS:
    _register(_action)

__all__ = ("addresses", "asking_address", "blueprint")
