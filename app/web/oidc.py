"""Signing in by OpenID Connect: the code flow with PKCE, state and nonce, by Authlib.

The provider says who it is and in which groups; the settings say which role a group gives. Only
this module imports Authlib (the extra `oidc`), and only where the settings name a provider. What
the provider says wrong, or does not say at all, is a sentence on the sign-in page.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, request, session

from app.access import ROLES, Principal, Role
from app.errors import Conflict, InvalidField, NotFound, SettingsError
from app.services import services
from app.settings import Settings
from app.store.users import arrive, check_user_name
from app.web.auditing import audit
from app.web.guard import local_path
from app.web.identity import maybe_principal
from app.web.permission import open_to_all
from app.web.signin import begin, go, refused, set_provider_label

log = logging.getLogger(__name__)

blueprint = Blueprint("oidc", __name__)

_KEY = "npvirt-oidc"
_NEXT = "oidc_next"
_DISCOVERY = "/.well-known/openid-configuration"
_TIMEOUT_S = 10
# Signatures by a private key alone: with HS256 the client's secret could make a token, and "none"
# is none.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")


class _Refused(Exception):
    """Why somebody could not sign in, as a sentence."""


def attach_oidc(app: Flask, settings: Settings) -> None:
    """Give `app` its provider, if the settings name one; raises SettingsError."""
    app.extensions[_KEY] = None
    if not settings.oidc_issuer:
        return
    try:
        from authlib.integrations.flask_client import OAuth
    except ImportError:
        raise SettingsError(
            "NPVIRT_OIDC_ISSUER is set, but Authlib is not installed. Install npvirt with its "
            "extra: pip install 'npvirt[oidc]'."
        ) from None
    oauth = OAuth(app)
    app.extensions[_KEY] = oauth.register(
        "provider",
        client_id=settings.oidc_client_id,
        client_secret=_secret(settings),
        server_metadata_url=settings.oidc_issuer.rstrip("/") + _DISCOVERY,
        client_kwargs={
            "scope": settings.oidc_scope,
            "code_challenge_method": "S256",
            "default_timeout": _TIMEOUT_S,
        },
    )
    set_provider_label(app, settings.oidc_label)


@blueprint.get("/login/oidc")
@open_to_all
def leave() -> Response:
    """Send the browser to the provider; it comes back to `arrived`."""
    client, wanted = _client(), local_path(request.args.get("next", "/"))
    if maybe_principal() is not None:
        return go(wanted)
    # Of sign-ins that were begun and left; the cookie has no room for many.
    for name in [name for name in session if name.startswith("_state_")]:
        del session[name]
    session[_NEXT] = wanted
    try:
        return cast(Response, _asking(lambda: client.authorize_redirect(_back(), **_known(client))))
    except _Refused as reason:
        return refused(wanted, str(reason), 502)


@blueprint.get("/login/oidc/callback")
@open_to_all
def arrived() -> Response:
    """Begin a session for whom the provider vouches."""
    client, wanted = _client(), local_path(str(session.pop(_NEXT, "/")))
    name = ""
    try:
        claims = _asking(lambda: _claims(client))
        name = _name(claims)
        groups = _groups(claims)
        role = role_of(groups, services().settings.oidc_roles)
        if role is None and services().settings.oidc_roles:
            raise _Refused("None of your groups has a role in npvirt. Ask its admin.")
        user = arrive(services().store, name, _subject(claims), role)
    except (_Refused, Conflict, NotFound, InvalidField) as reason:
        who = Principal("user", name, "viewer")
        audit("sign-in", "session", who=who, parameters={"by": "OpenID Connect"},
              outcome="refused", sentence=str(reason))  # fmt: skip
        return refused(wanted, str(reason), 403)
    return begin(user, wanted, how="OpenID Connect")


def role_of(groups: Iterable[str], roles: Mapping[str, Role]) -> Role | None:
    """The highest role that one of `groups` gives; "*" is in the settings for everybody."""
    given = [roles[group] for group in (*groups, "*") if group in roles]
    return max(given, key=ROLES.index, default=None)


def _client() -> Any:
    client = current_app.extensions[_KEY]
    if client is None:
        raise NotFound("This npvirt has no sign-in by OpenID Connect.")
    return client


def _asking(ask: Any) -> Any:
    """What `ask` returns; whatever goes wrong with the provider is _Refused."""
    from authlib.common.errors import AuthlibBaseError
    from joserfc.errors import JoseError
    from requests import RequestException

    try:
        return ask()
    except RequestException as error:
        log.warning("OpenID Connect: %s", error)
        raise _Refused("The sign-in server does not answer as it should. Try again.") from None
    except AuthlibBaseError as error:
        log.warning("OpenID Connect: %s", error)
        denied = error.error == "access_denied"
        raise _Refused(
            "The sign-in server refused." if denied else "This sign-in did not work. Begin again."
        ) from None
    except (JoseError, ValueError, KeyError, RuntimeError, TypeError) as error:
        # An answer that is no OpenID Connect, wherever Authlib stumbles over it.
        log.warning("OpenID Connect: %s: %s", type(error).__name__, error)
        raise _Refused("The sign-in server’s answer makes no sense to npvirt.") from None


def _known(client: Any) -> dict[str, Any]:
    """Read what the provider says of itself, and hold it to what is configured."""
    metadata = client.load_server_metadata()
    # RFC 8414 wants them equal; people leave out a last slash.
    if str(metadata.get("issuer")).rstrip("/") != services().settings.oidc_issuer.rstrip("/"):
        raise _Refused("The sign-in server calls itself by another name than NPVIRT_OIDC_ISSUER.")
    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    metadata["id_token_signing_alg_values_supported"] = [
        name for name in offered if name in _ALGORITHMS
    ]
    return {}


def _claims(client: Any) -> Mapping[str, Any]:
    """The checked claims of the ID token, completed by the userinfo endpoint where it has some."""
    _known(client)
    token = client.authorize_access_token()
    claims = token.get("userinfo")
    if not claims:
        raise _Refused("The sign-in server sent no ID token.")
    settings = services().settings
    wanted = {settings.oidc_name_claim, *([settings.oidc_groups_claim] * bool(settings.oidc_roles))}
    if wanted <= claims.keys() or not client.load_server_metadata().get("userinfo_endpoint"):
        return cast(Mapping[str, Any], claims)
    more = client.userinfo(token=token)
    if more.get("sub") != claims["sub"]:
        raise _Refused("The sign-in server speaks of two different users.")
    return {**more, **claims}


def _name(claims: Mapping[str, Any]) -> str:
    claim = services().settings.oidc_name_claim
    name = claims.get(claim)
    if not isinstance(name, str) or not name:
        raise _Refused(f"The sign-in server does not tell your name (“{claim}”).")
    return check_user_name(name.lower())


def _groups(claims: Mapping[str, Any]) -> list[str]:
    groups = claims.get(services().settings.oidc_groups_claim, [])
    if isinstance(groups, str):
        return [groups]
    return [group for group in groups if isinstance(group, str)] if isinstance(groups, list) else []


def _subject(claims: Mapping[str, Any]) -> str:
    """Who it is for good: names may be given to somebody else, a subject is not."""
    return f"{claims['iss']} {claims['sub']}"


def _back() -> str:
    base = services().settings.public_url or request.host_url.removesuffix("/")
    return f"{base}/login/oidc/callback"


def _secret(settings: Settings) -> str | None:
    if settings.oidc_client_secret_file is None:
        return None
    try:
        return Path(settings.oidc_client_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"NPVIRT_OIDC_CLIENT_SECRET_FILE cannot be read: {reason}.") from None
