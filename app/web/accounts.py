"""Accounts in the browser: everybody's own (password, sessions), and for admins of all hosts the
users and all sessions. Every change is in the audit.
"""

from typing import Any

from flask import Blueprint, Response, flash, redirect, request

from app import clock
from app.access import ROLES
from app.errors import Conflict, InvalidField, NotFound
from app.services import services
from app.store.hosts import list_hosts
from app.store.sessions import end_session, list_sessions
from app.store.users import (
    add_user,
    matching_user,
    set_disabled,
    set_password,
    set_role,
)
from app.web.api.accounts import SESSIONS, USERS, session_rows, user_rows
from app.web.auditing import audit
from app.web.identity import principal
from app.web.page import form_page, pages
from app.web.permission import needs
from app.web.row_page import Head, list_rows

blueprint = Blueprint("accounts", __name__)

_USER_HEADS = (
    Head("Name", sort="name"), Head("Role"), Head("Hosts", "p2"),
    Head("Signed in", "p2", "signed-in", largest_first=True),
)  # fmt: skip
_SESSION_HEADS = (
    Head("User", sort="user"), Head("Last seen", "", "seen", largest_first=True),
    Head("Since", "p2", "created", largest_first=True), Head("From"), Head("With", "p2"),
)  # fmt: skip


# --- one's own -------------------------------------------------------------------------------


@blueprint.get("/account")
@needs("viewer")
def own() -> Response:
    """Who one is, one's password and sessions."""
    return _own({})


@blueprint.post("/account/password")
@needs("viewer")
def change_password() -> Response:
    """Change one's own password, knowing the present one; other sessions end."""
    who = principal()
    if who.kind != "user" or who.session_id is None:
        raise Conflict("Only who signed in with a password has one to change.")
    given = request.form
    try:
        if matching_user(services().store, who.name, given.get("present", "")) is None:
            raise InvalidField("present", "This is not your present password.")
        if given.get("password", "") != given.get("again", ""):
            raise InvalidField("again", "The two passwords differ.")
        set_password(
            services().store, who.name, given.get("password", ""), keep_session=who.session_id
        )
    except InvalidField as error:
        audit("user-passwd", "user", who.name, outcome="refused", sentence=error.sentence)
        return _own({error.field: error.sentence}, 422)
    audit("user-passwd", "user", who.name)
    return _go("/account", "Your password is changed. Your other sessions are over.")


@blueprint.post("/account/sessions/<int:session_id>/end")
@needs("viewer")
def end_own(session_id: int) -> Response:
    """End one of one's own sessions."""
    who = principal()
    if who.user_id is None:
        raise NotFound("There is no such session (any more).")
    end_session(services().store, session_id, who.user_id)
    audit("session-end", "session", str(session_id))
    return _go("/account", "The session is over.")


def _own(errors: dict[str, str], status: int = 200) -> Response:
    who = principal()
    sessions = list_sessions(services().store, who.user_id) if who.user_id is not None else []
    return form_page(
        "account/own.html", "", "Your account", status=status, who=who, errors=errors,
        sessions=[_session(one) for one in sessions], hosts=host_names(who.host_ids),
    )  # fmt: skip


# --- users and sessions ----------------------------------------------------------------------


@blueprint.get("/users")
@needs("admin", everywhere=True)
def users() -> Response:
    """All users, and the form to add one."""
    return _users({}, {})


@blueprint.post("/users")
@needs("admin", everywhere=True)
def added() -> Response:
    """Add a user."""
    given = request.form
    name, role = given.get("name", "").strip().lower(), given.get("role", "")
    hosts = given.getlist("host")
    password = given.get("password", "") or None
    try:
        add_user(services().store, name, role, password, hosts=hosts)
    except InvalidField as error:
        return _users({error.field: error.sentence}, given.to_dict(), 422)
    except Conflict as error:
        return _users({"name": str(error)}, given.to_dict(), 422)
    audit("user-add", "user", name, parameters={"role": role, "hosts": hosts})
    return _go("/users", f"{name} is added as {role}.")


@blueprint.post("/users/<name>/role")
@needs("admin", everywhere=True)
def change_role(name: str) -> Response:
    """Give a user another role and other hosts; their sessions end."""
    role, hosts = request.form.get("role", ""), request.form.getlist("host")
    set_role(services().store, name, role, hosts=hosts)
    audit("user-role", "user", name, parameters={"role": role, "hosts": hosts})
    return _go("/users", f"{name} is {role} now; their sessions are over.")


@blueprint.post("/users/<name>/password")
@needs("admin", everywhere=True)
def give_password(name: str) -> Response:
    """Give a user a new password; their sessions end."""
    try:
        set_password(services().store, name, request.form.get("password", ""))
    except InvalidField as error:
        flash(error.sentence, "error")
        return _redirect("/users")
    audit("user-passwd", "user", name)
    return _go("/users", f"{name} has a new password; their sessions are over.")


@blueprint.post("/users/<name>/disable")
@needs("admin", everywhere=True)
def disable(name: str) -> Response:
    """Keep a user from signing in; their sessions end."""
    set_disabled(services().store, name, True)
    audit("user-disable", "user", name)
    return _go("/users", f"{name} cannot sign in any more.")


@blueprint.post("/users/<name>/enable")
@needs("admin", everywhere=True)
def enable(name: str) -> Response:
    """Let a disabled user sign in again."""
    set_disabled(services().store, name, False)
    audit("user-enable", "user", name)
    return _go("/users", f"{name} can sign in again.")


@blueprint.get("/sessions")
@needs("admin", everywhere=True)
def sessions() -> Response:
    """The sessions of all users."""
    found, listed = list_rows("/sessions", session_rows(), SESSIONS)
    return form_page(
        "account/sessions.html", "", "Sessions", sessions=[_session(one) for one in found],
        listed=listed, columns=listed.columns(_SESSION_HEADS),
    )  # fmt: skip


@blueprint.post("/sessions/<int:session_id>/end")
@needs("admin", everywhere=True)
def end_any(session_id: int) -> Response:
    """End anybody's session."""
    end_session(services().store, session_id)
    audit("session-end", "session", str(session_id))
    return _go("/sessions", "The session is over.")


def _users(errors: dict[str, str], given: dict[str, str], status: int = 200) -> Response:
    store, zone, now_ms = services().store, pages().zone, clock.now_ms()
    found, listed = list_rows("/users", user_rows(), USERS)
    rows = [
        {
            "user": one,
            "hosts": host_names(one.host_ids),
            "signed_in": zone.maybe(one.signed_in_at_ms, now_ms),
        }
        for one in found
    ]
    return form_page(
        "account/users.html", "", "Users", status=status, rows=rows, roles=ROLES,
        slugs=[record.slug for record in list_hosts(store)], errors=errors, given=given,
        me=principal().name, listed=listed, columns=listed.columns(_USER_HEADS),
    )  # fmt: skip


# --- shared ----------------------------------------------------------------------------------


def browser(agent: str) -> str:
    """What a User-Agent header says in a few words, such as "Firefox on Linux"."""
    programs = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"),
                ("Safari/", "Safari"), ("curl/", "curl"))  # fmt: skip
    systems = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Mac OS", "macOS"),
               ("Windows", "Windows"), ("Linux", "Linux"))  # fmt: skip
    program = next((name for mark, name in programs if mark in agent), "")
    system = next((name for mark, name in systems if mark in agent), "")
    return " on ".join(filter(None, (program, system))) or "something else"


def _session(one: Any) -> dict[str, Any]:
    zone, now_ms = pages().zone, clock.now_ms()
    return {
        "id": one.id,
        "user": one.user,
        "role": one.role,
        "peer": one.peer,
        "agent": one.agent,
        "browser": browser(one.agent),
        "created": zone.when(one.created_at_ms, now_ms),
        "seen": zone.when(one.seen_at_ms, now_ms),
        "is_own": one.id == principal().session_id,
    }


def host_names(host_ids: frozenset[int] | None) -> list[str] | None:
    """The names of the hosts of a scope, in order; None where it is of all."""
    if host_ids is None:
        return None
    return [one.slug for one in list_hosts(services().store) if one.id in host_ids]


def _go(address: str, text: str) -> Response:
    flash(text)
    return _redirect(address)


def _redirect(address: str) -> Response:
    return redirect(address, 303)  # type: ignore[return-value]  # werkzeug's own Response class
