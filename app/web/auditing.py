"""What this application writes into the audit besides the acts on hosts: sign-ins, changes of
users, tokens and hosts, and every refusal.
"""

from collections.abc import Mapping
from typing import Any

from flask import current_app, request

from app.access import Principal
from app.services import services
from app.store.audit import Attempt, Outcome, note
from app.store.hosts import host_ids_named
from app.web.identity import maybe_principal, peer

_NOBODY = Principal("user", "", "viewer")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


def audit(
    action: str,
    kind: str,
    name: str = "",
    *,
    who: Principal | None = None,
    host: str = "",
    parameters: Mapping[str, Any] | None = None,
    outcome: Outcome = "ok",
    sentence: str = "",
) -> None:
    """Write down what the one who asks (or `who`) did to npvirt itself. Raises StoreError."""
    attempt = Attempt(
        principal=who or maybe_principal() or _NOBODY,
        peer=peer(),
        action=action,
        kind=kind,
        host_id=_host_id(host),
        host=host,
        name=name,
        parameters=parameters or {},
    )
    note(services().store, attempt, outcome, sentence)


def audit_refusal(sentence: str) -> None:
    """Write down that an unsafe request of somebody signed in was refused."""
    if request.method in _SAFE or request.endpoint is None:
        return
    named = request.view_args or {}
    function = current_app.view_functions[request.endpoint]
    action = getattr(function, "npvirt_action", None)
    plain = request.endpoint.rpartition(".")[2].replace("_", "-")
    host = str(named.get("slug", ""))
    attempt = Attempt(
        principal=maybe_principal() or _NOBODY,
        peer=peer(),
        action=action.audit_name if action else plain,
        kind=action.kind if action else "npvirt",
        host_id=_host_id(host),
        host=host,
        key=str(named.get("key", named.get("uuid", ""))),
        name=str(named.get("name", "")),
    )
    note(services().store, attempt, "refused", sentence)


def _host_id(slug: str) -> int | None:
    if not slug:
        return None
    # Of several that had this name the newest one is meant.
    return max(host_ids_named(services().store, slug), default=None)
