"""Dismissing findings of the capacity review, with a note, and undoing that: form and JSON.

What is dismissed is the finding as it stands: where its facts changed since the page was drawn,
it is refused. Nothing here reaches a host.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Blueprint, Response, flash, redirect, render_template, request
from flask_wtf.csrf import generate_csrf
from msgspec import Struct

from app import clock
from app.capacity.reclaim import FINDING_KINDS, Finding, FindingKind
from app.errors import Conflict, InvalidField, NotFound
from app.language import gettext
from app.services import services
from app.store.dismissals import Dismissal, dismiss, undo_dismissal
from app.web import capacity_words as words
from app.web.acting import answer_said
from app.web.action_words import Said
from app.web.api.capacity import finding_item
from app.web.auditing import audit
from app.web.capacity_review import findings
from app.web.host_page import find_host
from app.web.identity import principal
from app.web.json_body import json_answer, read_json
from app.web.languages import asked_language, drawn_in, in_language
from app.web.moment import LIVE
from app.web.operations import operation
from app.web.page import framed
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.shapes import capacity as shapes

blueprint = Blueprint("dismissing", __name__)

_AUDIT_KIND = "finding"


class DismissFinding(Struct, forbid_unknown_fields=True):
    """Which finding is dismissed, as `reclaim` of the review tells it, and why."""

    kind: FindingKind
    key: str
    facts_digest: str
    note: str


class UndoDismissal(Struct, forbid_unknown_fields=True):
    """Which finding is to be told again."""

    kind: FindingKind
    key: str


# --- pages -----------------------------------------------------------------------------------


@blueprint.get("/hosts/<slug>/findings/dismiss")
@blueprint.get("/ui/hosts/<slug>/findings/dismiss")
@needs("operator")
def asking(slug: str) -> Response:
    """Ask why; changes nothing."""
    find_host(seen_fleet(None), slug)
    kind, key = request.args.get("kind", ""), request.args.get("key", "")
    language = asked_language(request.args)
    with drawn_in(language):
        found, _ = _found(slug, kind, key)
    return _ask(found, "", {}, language)


@blueprint.post("/hosts/<slug>/findings/dismiss")
@needs("operator")
def dismissed(slug: str) -> Response:
    """Dismiss the finding that the form names."""
    _refuse_past()
    language = asked_language(request.args)
    given = {name: request.form.get(name, "") for name in ("kind", "key", "facts_digest", "note")}
    try:
        with drawn_in(language):
            one, _ = _dismiss(
                slug, given["kind"], given["key"], given["facts_digest"], given["note"]
            )
    except InvalidField as error:
        if error.field != "note":
            raise
        found, _ = _found(slug, given["kind"], given["key"])
        return _ask(found, given["note"], {"note": error.sentence}, language, 422)
    with drawn_in(language):
        return _done(gettext("%(subject)s is dismissed.", subject=one.subject), language)


@blueprint.post("/hosts/<slug>/findings/undo-dismiss")
@needs("operator")
def undone(slug: str) -> Response:
    """Have the finding told again that the address names."""
    _refuse_past()
    kind, key = request.args.get("kind", ""), request.args.get("key", "")
    language = asked_language(request.args)
    with drawn_in(language):
        _undo(slug, kind, key)
        return _done(gettext("The finding counts again."), language)


def _ask(
    one: Finding, note: str, errors: Mapping[str, str], language: str, status: int = 200
) -> Response:
    dialog = request.headers.get("HX-Request") == "true"
    with drawn_in(language):
        html = render_template(
            "capacity/dismiss.html", one=one, says=words.finding_says(one, clock.now_ms()),
            note=note, errors=errors, csrf=generate_csrf(), moment=LIVE, dialog=dialog,
            language=language, asks=in_language("", language),
        )  # fmt: skip
        title = gettext("Dismiss %(subject)s", subject=one.subject)
    if dialog:
        return Response(html, status, mimetype="text/html")
    return framed(html, "capacity", title, status=status, language=language)


def _done(text: str, language: str) -> Response:
    if request.headers.get("HX-Request") != "true":
        flash(text)
        return redirect(in_language("/capacity", language), 303)  # type: ignore[return-value]  # werkzeug's own Response
    response = answer_said(Said(True, text, "", stays=False))
    events: dict[str, Any] = {"acted": {}, "refresh": {"target": "body"}}
    response.headers["HX-Trigger"] = msgspec.json.encode(events).decode()
    return response


# --- JSON ------------------------------------------------------------------------------------


@blueprint.post("/api/v1/hosts/<slug>/findings/dismiss")
@needs("operator")
@operation("fleet", shapes.FindingDismissed, body=DismissFinding)
def dismissed_by_json(slug: str) -> Response:
    """Dismiss a finding of the capacity review, with a note.

    It stays dismissed until the facts that it rests on change, or somebody undoes it.
    """
    _refuse_past()
    body = read_json(DismissFinding)
    one, dismissal = _dismiss(slug, body.kind, body.key, body.facts_digest, body.note)
    return json_answer({"item": finding_item(one, dismissal)})


@blueprint.post("/api/v1/hosts/<slug>/findings/undo-dismiss")
@needs("operator")
@operation("fleet", shapes.FindingUndone, body=UndoDismissal)
def undone_by_json(slug: str) -> Response:
    """Have a finding that was dismissed told again; null where its reason has gone since."""
    _refuse_past()
    body = read_json(UndoDismissal)
    one = _undo(slug, body.kind, body.key)
    return json_answer({"item": None if one is None else finding_item(one, None)})


# --- both ------------------------------------------------------------------------------------


def _dismiss(
    slug: str, kind: str, key: str, facts_digest: str, note: str
) -> tuple[Finding, Dismissal]:
    """Dismiss a finding as it was seen. Raises NotFound, InvalidField, Conflict, StoreError."""
    host_id = find_host(seen_fleet(None), slug).record.id
    one, _ = _found(slug, kind, key)
    if one.facts_digest != facts_digest:
        raise Conflict(gettext("The facts of this finding have changed since; look at it again."))
    wanted = Dismissal(
        slug, kind, key, facts_digest, note.strip(), principal().who, clock.now_ms()
    )  # fmt: skip
    dismiss(services().store, host_id, wanted)
    told = {"finding": kind, "key": key, "note": wanted.note}
    audit("finding-dismiss", _AUDIT_KIND, one.subject, host=slug, parameters=told)
    return one, wanted


def _undo(slug: str, kind: str, key: str) -> Finding | None:
    """Undo it; the finding, None where its reason has gone since. Raises NotFound, InvalidField,
    StoreError.
    """
    host_id = find_host(seen_fleet(None), slug).record.id
    one: Finding | None
    try:
        one, _ = _found(slug, kind, key)
    except NotFound:
        one = None
    undo_dismissal(services().store, host_id, kind, key, clock.now_ms())
    told = {"finding": kind, "key": key}
    subject = "" if one is None else one.subject
    audit("finding-undo-dismiss", _AUDIT_KIND, subject, host=slug, parameters=told)
    return one


def _found(slug: str, kind: str, key: str) -> tuple[Finding, Dismissal | None]:
    """The finding as it is now, and how it is dismissed. Raises NotFound, InvalidField."""
    if kind not in FINDING_KINDS:
        raise InvalidField("kind", f"Give one of {', '.join(FINDING_KINDS)}.")
    for one, dismissal in findings(LIVE):
        if (one.host, one.kind, one.key) == (slug, kind, key):
            return one, dismissal
    raise NotFound(gettext("There is no such finding any more."))


def _refuse_past() -> None:
    if "at" in request.args:
        raise Conflict("The past cannot be changed; go back to live first.")
