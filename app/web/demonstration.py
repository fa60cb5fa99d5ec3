"""Signing in to a demonstration: the link that `npvirt demo` prints makes one its only user.

Registered where everything is made up, and nowhere else. The link holds a secret of this process,
so that only who sees its terminal can use it.
"""

import hmac
import secrets
from typing import cast

from flask import Blueprint, Flask, Response, current_app

from app.errors import NotFound
from app.services import services
from app.settings import Settings
from app.store.users import add_user, get_user
from app.web.permission import open_to_all
from app.web.signin import begin

blueprint = Blueprint("demonstration", __name__)

_KEY = "npvirt-demonstration"
_USER = "demo"


def attach_demonstration(app: Flask) -> None:
    """Give `app` the secret of its link."""
    app.extensions[_KEY] = secrets.token_urlsafe(24)


def demonstration_link(app: Flask, settings: Settings) -> str:
    """The link that signs in; it works as long as this process runs."""
    return f"http://{settings.bind}/demo/{cast(str, app.extensions[_KEY])}"


@blueprint.get("/demo/<secret>")
@open_to_all
def sign_in(secret: str) -> Response:
    """Begin a session of the demonstration's user, an admin of a made-up fleet."""
    known = cast(str, current_app.extensions[_KEY])
    if not hmac.compare_digest(secret.encode(), known.encode()):
        raise NotFound("This link is from another start. npvirt demo prints a new one each time.")
    store = services().store
    try:
        user = get_user(store, _USER)
    except NotFound:
        user = add_user(store, _USER, "admin", None)
    return begin(user, "/", how="demonstration link")
