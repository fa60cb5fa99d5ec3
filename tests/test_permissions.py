"""Who may ask what: every route, every method, every role, from the URL map of the running app.

What each route should need is said here a second time, by hand, from the contract; a new route
that is not said here fails. No refused request reaches libvirt, and each is in the audit.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app.actions.registry import ACTIONS, Action
from app.clock import now_ms, rfc3339
from app.errors import VirtError
from app.store.audit import Wanted, records
from app.virt.session import Session
from app.web.actions import addresses
from tests.signing import bearer
from tests.web_support import Web

# The contract's own words ("Actions", "Roles"), by audit name; all else is for admins.
_OPERATOR = frozenset(
    ("start", "shutdown", "reboot", "suspend", "resume", "managedsave", "autostart",
     "dompmwakeup", "pool-start", "pool-refresh", "snapshot-create", "reset", "destroy",
     "snapshot-revert", "snapshot-delete")
)  # fmt: skip
_OPEN = frozenset(
    ("/login", "/login/oidc", "/login/oidc/callback", "/setup/<secret>", "/healthz", "/readyz",
     "/static/<path:filename>", "/embed/<name>", "/embed/theme.css", "/embed/v1/<view>")
)  # fmt: skip
# What tells of the whole fleet: of all hosts or of nothing.
_EVERYWHERE = frozenset(
    ("/store", "/notifications/messages", "/notifications/rules",
     "/notifications/rules/<int:rule_id>", "/capacity/reports", "/capacity/reports/<month>")
)  # fmt: skip
# What viewers read and admins change, at the same address.
_CHANGED_BY_ADMINS = frozenset(("/notifications/rules", "/notifications/rules/<int:rule_id>"))
_VIEWER = frozenset(
    ("/", "/account", "/account/password", "/account/sessions/<int:session_id>/end", "/audit",
     "/capacity", "/capacity/reports", "/capacity/reports/<month>",
     "/changes", "/compare", "/domains", "/events", "/go", "/health", "/help", "/help/api",
     "/hosts", "/hosts/<slug>", "/hosts/<slug>/domains",
     "/hosts/<slug>/domains/<uuid>", "/hosts/<slug>/domains/<uuid>/devices/<key>",
     "/hosts/<slug>/pools/<uuid>", "/hosts/<slug>/networks/<uuid>",
     "/interfaces", "/jobs", "/logout", "/metrics", "/networks", "/notifications",
     "/notifications/messages", "/openapi.json", "/overview", "/pools", "/ribbon",
     "/attention", "/hosts/<slug>/domains/<key>/snapshots", "/hosts/<slug>/volumes/<key>",
     "/gaps", "/scans", "/series", "/store", "/trouble",
     "/series/stack", "/volumes")
)  # fmt: skip
_OPERATOR_ROUTES = frozenset(
    ("/changes/<int:change_id>", "/changes/<int:change_id>/definition",
     "/domains/actions/<action>", "/hosts/<slug>/scan",
     "/hosts/<slug>/findings/dismiss", "/hosts/<slug>/findings/undo-dismiss",
     "/jobs/<int:job_id>/cancel",
     "/hosts/<slug>/domains/<key>/menu", "/hosts/<slug>/pools/<key>/menu",
     "/hosts/<slug>/networks/<key>/menu", "/hosts/<slug>/volumes/<key>/menu",
     "/hosts/<slug>/domains/<key>/snapshots/<name>/menu")
)  # fmt: skip
_ADMIN_EVERYWHERE = frozenset(
    ("/hosts/add", "/hosts/uri", "/hosts/<slug>/edit", "/hosts/<slug>/enable",
     "/hosts/<slug>/disable", "/hosts/<slug>/read-only", "/hosts/<slug>/remove", "/users",
     "/users/<name>/role", "/users/<name>/password", "/users/<name>/disable",
     "/users/<name>/enable", "/sessions/<int:session_id>/end", "/tokens", "/tokens/<name>/revoke",
     "/notifications/rules/add", "/notifications/rules/<int:rule_id>/edit",
     "/notifications/rules/<int:rule_id>/remove", "/notifications/targets",
     "/notifications/targets/add", "/notifications/targets/<int:target_id>",
     "/notifications/targets/<int:target_id>/edit",
     "/notifications/targets/<int:target_id>/remove",
     "/notifications/targets/<int:target_id>/test",
     "/hosts/<slug>/connection", "/hosts/<slug>/test", "/hosts/<slug>/trust",
     "/connection-tests", "/credentials", "/users/<name>", "/sessions",
     "/sessions/<int:session_id>", "/tokens/<name>")
)  # fmt: skip
_ADMIN_ROUTES = frozenset(
    (
        "/embed-tokens",
        "/embed-tokens/<int:token_id>",
        "/embed-tokens/<int:token_id>/revoke",
        "/embed-tokens/new",
        "/embed-tokens/preview",
    )
)
# What only some methods of an address of the API need.
_ADMIN_METHODS = frozenset(
    (("/api/v1/hosts", "POST"), ("/api/v1/hosts/<slug>", "PATCH"),
     ("/api/v1/hosts/<slug>", "DELETE"))
)  # fmt: skip
# What an address needs to be told to answer.
_TOLD = {
    "/api/v1/series": "?host=kvm-02&kind=host&metric=cpu",
    "/api/v1/series/stack": "?host=kvm-02&metric=cpu",
    "/series": "?host=kvm-02&kind=host",
    "/ui/series": "?host=kvm-02&kind=host",
}
_RANK = {"nobody": 0, "viewer": 1, "operator": 2, "limited": 3, "admin": 3}
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
_KEYS = {
    "uuid": "00000001-0000-4000-8000-000000000001", "key": "00000001-0000-4000-8000-000000000001",
    "name": "nothing", "action": "suspend", "secret": "nothing", "filename": "nothing.css",
    "job_id": "1", "session_id": "999", "rule_id": "999", "target_id": "999", "change_id": "1",
    "view": "domains", "token_id": "999", "month": "2026-10",
}  # fmt: skip


class _Calls:
    """How often anybody set out for libvirt."""

    count = 0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> _Calls:
    counted = _Calls()

    def open_(*_: Any, **__: Any) -> Session:
        counted.count += 1
        raise VirtError("unreachable", "The test lets nobody through.", problem="refused")

    monkeypatch.setattr(Session, "open", open_)
    return counted


def _plain(rule: Rule) -> str:
    plain = rule.rule.removeprefix("/ui").removeprefix("/api/v1")
    # What became of what a page shows is for whom the page is for.
    return plain.removeprefix("/since") or "/"


def _action(rule: Rule) -> Action | None:
    plain = _plain(rule)
    for action in ACTIONS:
        own = addresses(action)
        if plain == own and "POST" in (rule.methods or ()):
            return action
        if plain in (own, f"{own}/add") and (action.creates or "/actions/" in own):
            return action
    return None


def _needed(rule: Rule) -> int:
    """The rank that the contract asks for; 0: nobody in particular."""
    plain = _plain(rule)
    if _is_for_admins_everywhere(rule):
        return 3
    if rule.rule == "/api/v1/jobs/<int:job_id>":
        return 2 if "DELETE" in (rule.methods or ()) else 1
    if plain in _OPEN:
        return 0
    if plain in _CHANGED_BY_ADMINS:
        return 1 if "GET" in (rule.methods or ()) else 3
    action = _action(rule)
    if action is not None and (plain not in _VIEWER or "POST" in (rule.methods or ())):
        return 2 if action.audit_name in _OPERATOR else 3
    for rank, names in ((1, _VIEWER), (2, _OPERATOR_ROUTES), (3, _ADMIN_ROUTES),
                        (3, _ADMIN_EVERYWHERE)):  # fmt: skip
        if plain in names:
            return rank
    raise AssertionError(f"Say here who may use {rule.rule}.")


def _is_for_admins_everywhere(rule: Rule) -> bool:
    methods = rule.methods or ()
    return _plain(rule) in _ADMIN_EVERYWHERE or any(
        (rule.rule, method) in _ADMIN_METHODS for method in methods
    )


def _rules(web: Web) -> Iterator[Rule]:
    yield from sorted(web.app.url_map.iter_rules(), key=lambda rule: rule.rule)


def _matching(web: Web, address: str, method: str) -> Rule | None:
    """The rule that answers; None where the address does not take the method."""
    try:
        rule, _ = web.app.url_map.bind("localhost").match(address, method, return_rule=True)
    except MethodNotAllowed:
        return None
    return rule


def _address(rule: Rule, slug: str) -> str:
    values = {name: _KEYS[name] if name != "slug" else slug for name in rule.arguments}
    built = rule.build(values, append_unknown=False)
    assert built is not None
    return str(built[1])


def _ask(web: Web, method: str, address: str, headers: dict[str, str]) -> TestResponse:
    return web.client.open(address, method=method, headers=headers)


def _sign_in(web: Web, who: str) -> dict[str, str]:
    """Be that one; what unsafe requests carry so that nothing but the role can refuse them."""
    if who == "nobody":
        web.sign_out()
        return {"Origin": "http://localhost"}
    role, hosts = ("admin", ["kvm-02"]) if who == "limited" else (who, [])
    web.sign_in(f"the-{who}", role, hosts)
    return {"Origin": "http://localhost", "X-CSRF-Token": web.token()}


def _is_sent_to_sign_in(answer: TestResponse) -> bool:
    to_login = str(answer.headers.get("Location", "")).startswith("/login?next=")
    return answer.status_code == 401 or (answer.status_code == 303 and to_login)


@pytest.mark.parametrize("who", list(_RANK))
def test_every_cell_of_role_route_and_method(web: Web, calls: _Calls, who: str) -> None:
    checked = refusals = 0
    headers = _sign_in(web, who)
    for path, first in {rule.rule: rule for rule in _rules(web)}.items():
        for method in _METHODS:
            matched = _matching(web, _address(first, "kvm-01"), method)
            known, rule = matched is not None, matched or first
            needed = _needed(rule)
            may = _RANK[who] >= needed
            in_scope = who != "limited" or "slug" not in rule.arguments
            everywhere = _plain(rule) in _EVERYWHERE or _is_for_admins_everywhere(rule)
            # What would change something is asked for a host that is not there.
            slug = "nowhere" if may and method in _UNSAFE and who != "limited" else "kvm-01"
            answer = _ask(web, method, _address(first, slug), headers)
            cell = (who, method, path, answer.status_code)
            checked += 1
            # Nothing collects here, and no server lends its connections: these two say so.
            assert answer.status_code < 500 or path in ("/healthz", "/events"), cell
            if known and rule.rule in _OPEN:
                # A wrong password and an embed without a token are a 401 as well, but of their own.
                assert path in ("/login", "/embed/v1/<view>") or not _is_sent_to_sign_in(answer), (
                    cell
                )
                continue
            if who == "nobody":
                assert _is_sent_to_sign_in(answer) or path in _OPEN, cell
                continue
            if not known:
                assert answer.status_code == 405 or (method in _UNSAFE), cell
                assert answer.status_code in (403, 404, 405), cell
                continue
            if not in_scope:
                assert answer.status_code == 404, cell
            elif not may or (who == "limited" and everywhere):
                assert answer.status_code == 403, cell
                assert "This needs" in answer.text or method == "HEAD", cell
                refusals += method in _UNSAFE
            else:
                assert answer.status_code not in (401, 403), cell
            if path == "/logout" and method == "POST":
                headers = _sign_in(web, who)
    assert checked > 1_000
    assert calls.count == 0
    _, refused = records(web.store, Wanted(outcome="refused", text="needs"), limit=1)
    audited, total = records(web.store, Wanted(outcome="refused"), limit=1000)
    by_role = [one for one in audited if (one.sentence or "").startswith("This needs")]
    assert len(by_role) == refusals, (len(by_role), refusals, refused, total)


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_a_token_may_what_its_role_may(web: Web, calls: _Calls, role: str) -> None:
    headers = bearer(web.store, role)
    web.sign_out()
    for rule in _rules(web):
        if not rule.rule.startswith("/api/v1/"):
            continue
        for method in set(rule.methods or ()) - {"HEAD", "OPTIONS"}:
            may = _RANK[role] >= _needed(rule)
            slug = "nowhere" if may else "kvm-01"
            answer = _ask(web, method, _address(rule, slug), headers)
            assert (answer.status_code == 403) != may, (role, method, rule.rule, answer.text)
    assert calls.count == 0


def test_who_may_does_set_out_for_libvirt(web: Web, calls: _Calls) -> None:
    """The count above is no blind one: what is allowed is counted."""
    path = f"/api/v1/hosts/kvm-01/domains/{_KEYS['uuid']}/actions/suspend"
    body = {"expect_state": "running"}
    web.sign_out()
    assert web.client.post(path, json=body, headers=bearer(web.store, "viewer")).status_code == 403
    assert calls.count == 0
    answer = web.client.post(path, json=body, headers=bearer(web.store, "operator"))
    assert answer.status_code == 200
    assert answer.get_json()["audit"]["outcome"] == "failed"
    assert calls.count == 1


def test_a_limited_reader_sees_nothing_of_other_hosts(web: Web) -> None:
    web.sign_in("limited", "viewer", ["kvm-02"])
    for rule in _rules(web):
        if "GET" not in (rule.methods or ()) or rule.arguments or rule.rule in _OPEN:
            continue
        past = (
            f"?at={rfc3339(now_ms() - 30_000)}"
            if rule.rule.startswith(("/ui/since/", "/api/v1/compare"))
            else ""
        )
        answer = web.client.get(rule.rule + (past or _TOLD.get(rule.rule, "")))
        if answer.status_code != 200:
            assert answer.status_code == (503 if rule.rule == "/events" else 403), rule.rule
            continue
        for hidden in ("kvm-01", "kvm-03", "vm-1-1", "10.0.0.3"):
            assert hidden not in answer.text, (rule.rule, hidden)
    assert "kvm-02" in web.text("/hosts")


def test_a_host_that_is_out_of_scope_answers_as_one_that_never_was(web: Web) -> None:
    web.sign_in("limited", "viewer", ["kvm-02"])
    hidden, never = (web.client.get(f"/hosts/{slug}") for slug in ("kvm-01", "kvm-77"))
    assert hidden.status_code == never.status_code == 404
    assert hidden.text.replace("kvm-01", "kvm-77") == never.text


def test_a_route_that_says_nothing_stops_the_start(web: Web) -> None:
    from app.web.permission import check_declared

    web.app.view_functions["forgotten"] = lambda: ""
    web.app.url_map.add(Rule("/forgotten", endpoint="forgotten"))
    with pytest.raises(RuntimeError, match="/forgotten does not say who may use it"):
        check_declared(web.app)
