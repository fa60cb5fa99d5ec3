"""Users, sessions and tokens as JSON: the same as their pages, with the same audit."""

from flask import Response

from app import clock
from app.clock import rfc3339
from app.errors import InvalidField
from app.moments import parse_moment
from app.services import services
from app.store.hosts import list_hosts
from app.store.sessions import Session, end_session, list_sessions
from app.store.tokens import Token, add_token, list_tokens, revoke_token
from app.store.users import (
    User,
    add_user,
    get_user,
    list_users,
    set_disabled,
    set_password,
    set_role,
)
from app.web.api import blueprint
from app.web.api.declared import row_query
from app.web.api.items import time_or_none
from app.web.api.rows import TOKEN_STATES, Row, RowFact, answer_rows, columns_of, token_state
from app.web.auditing import audit
from app.web.identity import principal
from app.web.json_body import json_answer, read_json
from app.web.listing import Kind, by_name
from app.web.operations import operation
from app.web.permission import needs
from app.web.shapes import accounts as shapes

USERS: Kind[Row] = Kind(
    texts=lambda row: (row.of.name, row.of.role, row.of.source),
    sorts={"name": by_name, "created": lambda row: row.of.created_at_ms,
           "signed-in": lambda row: row.of.signed_in_at_ms},
    states=("enabled", "disabled"),
)  # fmt: skip
SESSIONS: Kind[Row] = Kind(
    texts=lambda row: (row.of.user, row.of.role, row.of.peer, row.of.agent),
    sorts={"user": by_name, "created": lambda row: (row.of.created_at_ms, row.of.id),
           "seen": lambda row: (row.of.seen_at_ms, row.of.id)},
    default_sort="-seen",
)  # fmt: skip
TOKENS: Kind[Row] = Kind(
    texts=lambda row: (row.of.name, row.of.role, row.of.created_by),
    sorts={"name": by_name, "created": lambda row: row.of.created_at_ms,
           "expires": lambda row: row.of.expires_at_ms, "used": lambda row: row.of.used_at_ms},
    states=TOKEN_STATES,
)  # fmt: skip


@blueprint.get("/api/v1/account")
@needs("viewer")
@operation("accounts", shapes.Account)
def account() -> Response:
    """Who asks, with which role and for which hosts."""
    who = principal()
    sessions = [] if who.user_id is None else list_sessions(services().store, who.user_id)
    told: shapes.Account = {
        "kind": who.kind,
        "name": who.name,
        "role": who.role,
        "hosts": _hosts(who.host_ids),
        "sessions": [_session(one) for one in sessions],
    }
    return json_answer(told)


# --- users and sessions --------------------------------------------------------------------------


@blueprint.get("/api/v1/users")
@needs("admin", everywhere=True)
@operation("accounts", shapes.UserList, *row_query(USERS), csv=True)
def users() -> Response:
    """Users, by name, disabled ones too."""
    return answer_rows(user_rows(), USERS, _user, "users", columns_of(shapes.User))


def user_rows() -> list[Row]:
    """All users."""
    return [
        Row(one, one.name, RowFact(one.name, "disabled" if one.disabled else "enabled"))
        for one in list_users(services().store)
    ]


@blueprint.post("/api/v1/users")
@needs("admin", everywhere=True)
@operation(
    "accounts", shapes.UserAlone, body=shapes.UserWanted, status=201
)  # fmt: skip
def add_a_user() -> Response:
    """Add a user."""
    given = read_json(shapes.UserWanted)
    user = add_user(
        services().store, given.name, given.role, given.password, hosts=given.hosts
    )  # fmt: skip
    audit("user-add", "user", user.name, parameters={"role": user.role, "hosts": given.hosts})
    return json_answer({"item": _user(user)}, 201)


@blueprint.patch("/api/v1/users/<name>")
@needs("admin", everywhere=True)
@operation("accounts", shapes.UserAlone, body=shapes.UserChange)
def change_user(name: str) -> Response:
    """Change a user's role and hosts, or their password, or whether they may sign in. Their
    sessions end.
    """
    given, store = read_json(shapes.UserChange), services().store
    wanted = (given.role, given.password, given.disabled)
    if sum(one is not None for one in wanted) != 1:
        raise InvalidField("body", "Give one of role (with hosts), password and disabled.")
    if given.hosts and given.role is None:
        raise InvalidField("hosts", "Hosts are given along with the role.")
    if given.role is not None:
        set_role(store, name, given.role, hosts=given.hosts)
        told = {"role": given.role, "hosts": given.hosts}
        audit("user-role", "user", name, parameters=told)
    elif given.password is not None:
        set_password(store, name, given.password)
        audit("user-passwd", "user", name)
    elif given.disabled is not None:
        set_disabled(store, name, given.disabled)
        audit("user-disable" if given.disabled else "user-enable", "user", name)
    return json_answer({"item": _user(get_user(store, name))})


@blueprint.get("/api/v1/sessions")
@needs("admin", everywhere=True)
@operation("accounts", shapes.SessionList, *row_query(SESSIONS), csv=True)
def sessions() -> Response:
    """The sessions of all users, last used first."""
    columns = columns_of(shapes.Session)
    return answer_rows(session_rows(), SESSIONS, _session, "sessions", columns)


def session_rows() -> list[Row]:
    """The sessions of all users."""
    return [Row(one, str(one.id), RowFact(one.user)) for one in list_sessions(services().store)]


@blueprint.delete("/api/v1/sessions/<int:session_id>")
@needs("admin", everywhere=True)
@operation("accounts", None, status=204)
def end_a_session(session_id: int) -> Response:
    """End a session."""
    end_session(services().store, session_id)
    audit("session-end", "session", str(session_id))
    return Response(status=204)


# --- tokens --------------------------------------------------------------------------------------


@blueprint.get("/api/v1/tokens")
@needs("admin", everywhere=True)
@operation("accounts", shapes.TokenList, *row_query(TOKENS), csv=True)
def tokens() -> Response:
    """Tokens of the API, by name, revoked and expired ones too."""
    return answer_rows(token_rows(), TOKENS, _token, "tokens", columns_of(shapes.Token))


def token_rows() -> list[Row]:
    """All tokens of the API."""
    now_ms = clock.now_ms()
    return [
        Row(one, one.name, RowFact(one.name, _token_state(one, now_ms)))
        for one in list_tokens(services().store)
    ]


@blueprint.post("/api/v1/tokens")
@needs("admin", everywhere=True)
@operation(
    "accounts", shapes.TokenMade, body=shapes.TokenWanted, status=201
)  # fmt: skip
def add_a_token() -> Response:
    """Make a token of the API. Its text is in this answer alone."""
    given, store = read_json(shapes.TokenWanted), services().store
    expires = given.expires_at
    expires_ms = None if expires is None else parse_moment("expires_at", str(expires))
    text = add_token(
        store, given.name, given.role, created_by=principal().who, expires_at_ms=expires_ms,
        hosts=given.hosts,
    )  # fmt: skip
    told = {"role": given.role, "hosts": given.hosts, "expires_at_ms": expires_ms}
    audit("token-add", "token", given.name, parameters=told)
    made = next(one for one in list_tokens(store) if one.name == given.name)
    return json_answer({"item": _token(made), "token": text}, 201)


@blueprint.delete("/api/v1/tokens/<name>")
@needs("admin", everywhere=True)
@operation("accounts", None, status=204)
def revoke_a_token(name: str) -> Response:
    """Have a token work no more."""
    revoke_token(services().store, name)
    audit("token-revoke", "token", name)
    return Response(status=204)


# --- items ---------------------------------------------------------------------------------------


def _user(user: User) -> shapes.User:
    return {
        "name": user.name,
        "role": user.role,
        "hosts": _hosts(user.host_ids),
        "source": user.source,
        "disabled": user.disabled,
        "has_password": user.has_password,
        "created_at": rfc3339(user.created_at_ms),
        "signed_in_at": time_or_none(user.signed_in_at_ms),
    }


def _session(session: Session) -> shapes.Session:
    return {
        "id": session.id,
        "user": session.user,
        "role": session.role,
        "peer": session.peer,
        "agent": session.agent,
        "created_at": rfc3339(session.created_at_ms),
        "seen_at": rfc3339(session.seen_at_ms),
        "expires_at": rfc3339(session.expires_at_ms),
    }


def _token(token: Token) -> shapes.Token:
    return {
        "name": token.name,
        "role": token.role,
        "hosts": _hosts(token.host_ids),
        "created_by": token.created_by,
        "created_at": rfc3339(token.created_at_ms),
        "expires_at": time_or_none(token.expires_at_ms),
        "revoked_at": time_or_none(token.revoked_at_ms),
        "used_at": time_or_none(token.used_at_ms),
        "works": token.works(clock.now_ms()),
    }


def _token_state(token: Token, now_ms: int) -> str:
    revoked = token.revoked_at_ms is not None
    return token_state(revoked=revoked, expired=not revoked and not token.works(now_ms))


def _hosts(host_ids: frozenset[int] | None) -> list[str] | None:
    """The names of the hosts of a scope."""
    if host_ids is None:
        return None
    return [one.slug for one in list_hosts(services().store) if one.id in host_ids]
