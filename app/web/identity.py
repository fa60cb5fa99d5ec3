"""Who asks: a session cookie, a bearer token, or the header of a trusted proxy.

The signed cookie holds the session's random text and the CSRF seed, nothing else; the truth is
in the store. What was looked up holds until somebody commits, so a check costs a look at the
store's version. Knows no page.
"""

import hmac
import threading
from collections import OrderedDict
from typing import cast

from flask import Flask, current_app, g, request, session
from msgspec import Struct

from app import clock
from app.access import Principal, Role
from app.errors import InvalidField, NotFound
from app.services import services
from app.store.engine import Store
from app.store.sessions import Signed, note_use, signed_in
from app.store.tokens import bearer, token_of
from app.store.users import check_user_name, get_user

_KEY = "npvirt-identities"
_COOKIE = "sid"
_KEPT = 256

PROXY_SECRET_HEADER = "X-Npvirt-Proxy-Secret"  # noqa: S105 (a header's name)
PROXY_USER_HEADER = "X-Remote-User"


class _Found(Struct, frozen=True):
    version: int
    until_ms: int
    principal: Principal


class _Identities:
    """What was looked up, by secret; thread-safe and bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[str, _Found] = OrderedDict()

    def get(self, secret: str, version: int, now_ms: int) -> Principal | None:
        with self._lock:
            found = self._found.get(secret)
        if found is None or found.version != version or now_ms >= found.until_ms:
            return None
        return found.principal

    def put(self, secret: str, found: _Found) -> None:
        with self._lock:
            self._found[secret] = found
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)


def attach_identities(app: Flask) -> None:
    """Give `app` its memory of who is who."""
    app.extensions[_KEY] = _Identities()


def identify() -> Principal | None:
    """Who makes this request; None for nobody. Raises StoreError."""
    header = request.headers.get("Authorization")
    found = _of_token(header) if header is not None else _of_proxy() or _of_session()
    g.npvirt_principal = found
    return found


def principal() -> Principal:
    """Who makes this request, on a route that is not open to all."""
    found = cast(Principal | None, g.get("npvirt_principal"))
    assert found is not None
    return found


def maybe_principal() -> Principal | None:
    """Who makes this request, if anybody; also before that was asked."""
    return cast(Principal | None, g.get("npvirt_principal"))


def may(role: Role) -> bool:
    """Whether who asks has that role."""
    found = maybe_principal()
    return found is not None and found.may(role)


def is_by_token() -> bool:
    """Whether this request carries a token: no browser adds one by itself."""
    return "Authorization" in request.headers


def remember(secret: str) -> None:
    """Begin the browser's part of a session; nothing of an earlier one stays."""
    session.clear()
    session[_COOKIE] = secret


def forget() -> None:
    """End the browser's part of a session."""
    session.clear()


def peer() -> str:
    """The address that this request comes from, as far as proxies are trusted."""
    return request.remote_addr or "unknown"


def _of_token(header: str) -> Principal | None:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer":
        return None
    store, now_ms = services().store, clock.now_ms()
    kept = _identities().get(text, store.version(), now_ms)
    if kept is not None:
        return kept
    token = token_of(store, text.strip())
    if token is None:
        return None
    found = bearer(token)
    until_ms = now_ms + 300_000 if token.expires_at_ms is None else token.expires_at_ms
    _identities().put(text, _Found(store.version(), min(until_ms, now_ms + 300_000), found))
    return found


def _of_session() -> Principal | None:
    secret = session.get(_COOKIE)
    if not isinstance(secret, str):
        return None
    store, now_ms = services().store, clock.now_ms()
    kept = _identities().get(secret, store.version(), now_ms)
    if kept is not None:
        return kept
    signed = signed_in(store, secret)
    if signed is None:
        return None
    _note(store, signed)
    # Looked up again every few minutes, so that its use is written down.
    until_ms = min(signed.until_ms, now_ms + 300_000)
    _identities().put(secret, _Found(store.version(), until_ms, signed.principal))
    return signed.principal


def _note(store: Store, signed: Signed) -> None:
    if request.path.startswith("/ui/") and request.args.get("have"):
        # A page left open refreshes itself; that is not its user being there.
        return
    note_use(store, signed)


def _of_proxy() -> Principal | None:
    """The user that a reverse proxy names, if it is the one that is trusted."""
    settings = services().settings
    if not settings.proxy_auth_secret or PROXY_USER_HEADER not in request.headers:
        return None
    given = request.headers.get(PROXY_SECRET_HEADER, "")
    if _socket_peer() != settings.proxy_auth_peer:
        return None
    if not hmac.compare_digest(given.encode(), settings.proxy_auth_secret.encode()):
        return None
    try:
        user = get_user(services().store, check_user_name(request.headers[PROXY_USER_HEADER]))
    except (InvalidField, NotFound):
        return None
    if user.disabled:
        return None
    return Principal("user", user.name, user.role, user.host_ids, user.id)


def _socket_peer() -> str:
    """The address of the connection itself, whatever X-Forwarded-For says."""
    original = request.environ.get("werkzeug.proxy_fix.orig", {})
    address = original.get("REMOTE_ADDR") or request.environ.get("REMOTE_ADDR") or ""
    return str(address)


def _identities() -> _Identities:
    return cast(_Identities, current_app.extensions[_KEY])
