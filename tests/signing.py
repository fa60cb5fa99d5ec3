"""Users for tests and their browsers' cookies, without typing a password."""

from collections.abc import Sequence
from secrets import token_urlsafe

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from app.errors import NotFound
from app.services import Services
from app.store.engine import Store
from app.store.sessions import begin_session
from app.store.tokens import add_token
from app.store.users import User, add_user, get_user

COOKIE = "npvirt"


def a_user(store: Store, name: str = "ada", role: str = "admin", hosts: Sequence[str] = ()) -> User:
    """The user of that name, added (without a password) when there is none."""
    try:
        return get_user(store, name)
    except NotFound:
        return add_user(store, name, role, None, hosts=hosts)


def session_cookie(app: Flask, user: User) -> str:
    """The cookie of a new session of `user`."""
    services: Services = app.extensions["npvirt"]
    secret = begin_session(services.store, user, "127.0.0.1", "a test")
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    cookie = serializer.dumps({"sid": secret})
    return cookie if isinstance(cookie, str) else cookie.decode()


def bearer(store: Store, role: str = "operator", hosts: Sequence[str] = ()) -> dict[str, str]:
    """The header of a new token."""
    name = f"token-{token_urlsafe(6).lower()}".replace("_", "-")
    text = add_token(store, name, role, created_by="a test", hosts=hosts)
    return {"Authorization": f"Bearer {text}"}
