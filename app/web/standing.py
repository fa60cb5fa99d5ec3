"""Whether somebody whose request goes on (a stream of events) still is who they were.

A request is checked once, at its beginning; what stays open is checked again and again by the
proof that it began with. Holds no secret: a session's id, a token's digest, a user's name.
"""

from collections.abc import Collection, Mapping
from typing import Literal

from flask import request
from msgspec import Struct

from app.access import Principal
from app.errors import NotFound
from app.store.engine import Store
from app.store.sessions import digest_of, still_signed_in
from app.store.tokens import still_working
from app.store.users import get_user
from app.web.identity import principal


class Proof(Struct, frozen=True):
    """By what somebody is known: the id of a session, the digest of a token, or the name that a
    trusted proxy gave.
    """

    kind: Literal["session", "token", "proxy"]
    key: str


def proof() -> Proof:
    """By what the one who makes this request is known."""
    who = principal()
    if who.session_id is not None:
        return Proof("session", str(who.session_id))
    if who.kind == "token":
        _, _, text = request.headers["Authorization"].partition(" ")
        return Proof("token", digest_of(text.strip()))
    return Proof("proxy", who.name)


def still(store: Store, proofs: Collection[Proof]) -> Mapping[Proof, Principal]:
    """Who is still known by these proofs, and as whom; raises StoreError."""
    sessions = still_signed_in(store, [int(one.key) for one in proofs if one.kind == "session"])
    tokens = still_working(store, [one.key for one in proofs if one.kind == "token"])
    found = {Proof("session", str(key)): who for key, who in sessions.items()}
    found |= {Proof("token", key): who for key, who in tokens.items()}
    for one in proofs:
        if one.kind == "proxy":
            found |= _of_proxy(store, one)
    return found


def _of_proxy(store: Store, one: Proof) -> Mapping[Proof, Principal]:
    try:
        user = get_user(store, one.key)
    except NotFound:
        return {}
    who = Principal("user", user.name, user.role, user.host_ids, user.id)
    return {} if user.disabled else {one: who}
