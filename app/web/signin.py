"""Signing in and out, and the first user by the link that the first start prints.

Wrong tries are slowed down per account and per address. Every try is in the audit. `next` leads
to an address of npvirt's own, or home.
"""

import hmac
import math
import secrets
from typing import cast

from flask import Blueprint, Flask, Response, current_app, flash, redirect, request

from app import clock
from app.access import Principal
from app.errors import Conflict, InvalidField, NotFound
from app.services import services
from app.settings import Settings
from app.store.sessions import begin_session, end_session
from app.store.users import User, add_user, has_users, matching_user
from app.web.auditing import audit
from app.web.guard import local_path
from app.web.identity import forget, maybe_principal, peer, remember
from app.web.page import bare_page
from app.web.permission import needs, open_to_all
from app.web.slowdown import Slowdown

blueprint = Blueprint("signin", __name__)

_KEY = "npvirt-signin"
_WRONG = "Name or password is wrong."


class _SignIn:
    """What this process remembers: the secret of the set-up link, and wrong tries."""

    def __init__(self) -> None:
        self.setup_secret = secrets.token_urlsafe(24)
        self.slowdown = Slowdown()
        # What the button to the provider of OpenID Connect says; "" for none.
        self.provider_label = ""


def attach_signin(app: Flask) -> None:
    """Give `app` its memory of tries and its one-time link."""
    app.extensions[_KEY] = _SignIn()


def set_provider_label(app: Flask, label: str) -> None:
    """Have the sign-in page lead to a provider of OpenID Connect, too."""
    cast(_SignIn, app.extensions[_KEY]).provider_label = label


def setup_link(app: Flask, settings: Settings) -> str:
    """The link that makes the first user; it works while there is none."""
    base = settings.public_url or f"http://{settings.bind}"
    return f"{base}/setup/{cast(_SignIn, app.extensions[_KEY]).setup_secret}"


@blueprint.get("/login")
@open_to_all
def login() -> Response:
    """The form to sign in; who is signed in already goes on."""
    wanted = local_path(request.args.get("next", "/"))
    if maybe_principal() is not None:
        return go(wanted)
    return _form(wanted)


@blueprint.post("/login")
@open_to_all
def sign_in() -> Response:
    """Begin a session for the right name and password."""
    wanted = local_path(request.form.get("next", "/"))
    name = request.form.get("name", "").strip().lower()[:200]
    password = request.form.get("password", "")[:2000]
    keys = (f"account {name}", f"peer {peer()}")
    slowdown, now_s = _memory().slowdown, clock.monotonic_s()
    wait_s = slowdown.wait_s(keys, now_s)
    if wait_s > 0:
        return _wait(wanted, name, wait_s)
    user = matching_user(services().store, name, password)
    if user is None:
        slowdown.wrong(keys, now_s)
        who = Principal("user", name, "viewer")
        audit("sign-in", "session", who=who, outcome="refused", sentence=_WRONG)
        wait_s = slowdown.wait_s(keys, clock.monotonic_s())
        return _wait(wanted, name, wait_s) if wait_s > 0 else _form(wanted, name, _WRONG, 401)
    slowdown.right(keys[0])
    return begin(user, wanted)


def begin(user: User, wanted: str, how: str = "password") -> Response:
    """Begin a session for `user` in this browser and go on to `wanted`."""
    secret = begin_session(services().store, user, peer(), request.headers.get("User-Agent", ""))
    remember(secret)
    who = Principal("user", user.name, user.role, user.host_ids, user.id)
    audit("sign-in", "session", who=who, parameters={"by": how})
    return go(wanted)


def refused(wanted: str, sentence: str, status: int) -> Response:
    """The sign-in page, saying why another way to sign in led nowhere."""
    return _form(wanted, sentence=sentence, status=status)


@blueprint.post("/logout")
@needs("viewer")
def sign_out() -> Response:
    """End this browser's session."""
    who = maybe_principal()
    if who is not None and who.session_id is not None:
        end_session(services().store, who.session_id)
        audit("sign-out", "session")
    forget()
    if request.headers.get("HX-Request") == "true":
        return Response(status=204, headers={"HX-Redirect": "/login"})
    return go("/login")


@blueprint.get("/setup/<secret>")
@open_to_all
def setup(secret: str) -> Response:
    """The form for the first admin, by the link that npvirt printed when it started."""
    _check_link(secret)
    return bare_page("account/setup.html", "Set up npvirt", name="admin", errors={}, secret=secret)


@blueprint.post("/setup/<secret>")
@open_to_all
def set_up(secret: str) -> Response:
    """Make the first admin and sign them in."""
    _check_link(secret)
    name = request.form.get("name", "").strip().lower()
    password, again = request.form.get("password", ""), request.form.get("again", "")
    try:
        if password != again:
            raise InvalidField("again", "The two passwords differ.")
        user = add_user(services().store, name, "admin", password, first=True)
    except InvalidField as error:
        return bare_page(
            "account/setup.html", "Set up npvirt", status=422, name=name,
            errors={error.field: error.sentence}, secret=secret,
        )  # fmt: skip
    except Conflict:
        return go("/login")
    audit("user-add", "user", user.name, who=Principal("user", user.name, "admin"),
          parameters={"role": "admin", "first": True})  # fmt: skip
    flash(f"Welcome, {user.name}. You are this npvirt’s first admin.")
    return begin(user, "/", how="set-up link")


def _check_link(secret: str) -> None:
    known = _memory().setup_secret
    right = hmac.compare_digest(secret.encode(), known.encode())
    if not right or has_users(services().store):
        raise NotFound("This link is not valid (any more). Sign in instead.")


def _form(wanted: str, name: str = "", sentence: str = "", status: int = 200) -> Response:
    first = not has_users(services().store)
    return bare_page(
        "account/login.html", "Sign in", status=status, wanted=wanted, name=name,
        sentence=sentence, first=first, place=request.host,
        provider_label=_memory().provider_label,
    )  # fmt: skip


def _wait(wanted: str, name: str, wait_s: float) -> Response:
    seconds = math.ceil(wait_s)
    response = _form(wanted, name, f"{_WRONG} You can try again in {seconds} s.", 429)
    response.headers["Retry-After"] = str(seconds)
    return response


def _memory() -> _SignIn:
    return cast(_SignIn, current_app.extensions[_KEY])


def go(address: str) -> Response:
    """Send the browser to `address`."""
    return redirect(address, 303)  # type: ignore[return-value]  # werkzeug's own Response class
