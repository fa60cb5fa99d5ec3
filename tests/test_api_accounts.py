"""Users, sessions and tokens by the API: as their pages do it, and in the audit."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.store.audit import Wanted, records
from app.store.users import get_user
from tests.signing import bearer
from tests.web_support import Web


def _ask(web: Web, method: str, path: str, body: Any = None, role: str = "admin") -> TestResponse:
    nobody = web.app.test_client()
    headers = bearer(web.store, role)
    return nobody.open(f"/api/v1/{path}", method=method, json=body, headers=headers)


def _audited(web: Web) -> list[str]:
    found, _ = records(web.store, Wanted(), limit=20)
    return [one.action for one in found]


def test_who_asks_is_told_who_that_is(empty_web: Web) -> None:
    told = _ask(empty_web, "GET", "account", role="viewer").get_json()
    assert (told["kind"], told["role"], told["hosts"], told["sessions"]) == (
        "token", "viewer", None, [],
    )  # fmt: skip
    own = empty_web.client.get("/api/v1/account").get_json()
    assert (own["name"], [one["user"] for one in own["sessions"]]) == ("ada", ["ada"])


def test_a_user_is_added_changed_and_kept_out(web: Web) -> None:
    wanted = {"name": "bob", "role": "operator", "password": "correct horse", "hosts": ["kvm-01"]}
    answer = _ask(web, "POST", "users", wanted)
    assert answer.status_code == 201
    item = answer.get_json()["item"]
    assert (item["role"], item["hosts"], item["has_password"]) == ("operator", ["kvm-01"], True)
    assert "correct horse" not in answer.text
    changed = _ask(web, "PATCH", "users/bob", {"role": "viewer"}).get_json()["item"]
    assert (changed["role"], changed["hosts"]) == ("viewer", None)
    assert _ask(web, "PATCH", "users/bob", {"disabled": True}).get_json()["item"]["disabled"]
    assert _ask(web, "PATCH", "users/bob", {"password": "another horse"}).status_code == 200
    assert {"ada", "bob"} <= {one["name"] for one in _ask(web, "GET", "users").get_json()["items"]}
    assert _audited(web)[:4] == ["user-passwd", "user-disable", "user-role", "user-add"]


def test_a_bad_change_of_a_user_changes_nothing(web: Web) -> None:
    _ask(web, "POST", "users", {"name": "bob", "role": "viewer"})
    before = get_user(web.store, "bob")
    for body, status in (
        ({}, 422),
        ({"role": "admin", "disabled": True}, 422),
        ({"disabled": True, "hosts": ["kvm-01"]}, 422),
        ({"role": "king"}, 422),
        ({"password": "short"}, 422),
        ({"colour": "red"}, 422),
        ({"role": "viewer", "hosts": ["nowhere"]}, 422),
    ):
        answer = _ask(web, "PATCH", "users/bob", body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.mimetype == "application/problem+json"
    assert get_user(web.store, "bob") == before
    assert _ask(web, "PATCH", "users/nobody", {"role": "viewer"}).status_code == 404
    assert _ask(web, "POST", "users", {"name": "bob", "role": "viewer"}).status_code == 409


def test_the_last_admin_stays(web: Web) -> None:
    assert _ask(web, "PATCH", "users/ada", {"disabled": True}).status_code == 409
    assert not get_user(web.store, "ada").disabled


def test_a_token_is_made_works_is_listed_and_revoked(empty_web: Web) -> None:
    wanted = {"name": "robot", "role": "viewer", "expires_at": "2126-05-01T09:30Z"}
    made = _ask(empty_web, "POST", "tokens", wanted)
    assert made.status_code == 201
    text = made.get_json()["token"]
    headers = {"Authorization": f"Bearer {text}"}
    nobody = empty_web.app.test_client()
    assert nobody.get("/api/v1/account", headers=headers).get_json()["name"] == "robot"
    listed = _ask(empty_web, "GET", "tokens")
    assert text not in listed.text
    robot = next(one for one in listed.get_json()["items"] if one["name"] == "robot")
    assert (robot["works"], robot["expires_at"]) == (True, "2126-05-01T09:30:00Z")
    assert _ask(empty_web, "DELETE", "tokens/robot").status_code == 204
    assert nobody.get("/api/v1/account", headers=headers).status_code == 401
    assert _ask(empty_web, "DELETE", "tokens/robot").status_code == 404
    assert _audited(empty_web)[:2] == ["token-revoke", "token-add"]


def test_a_session_is_listed_and_ended(empty_web: Web) -> None:
    (session,) = _ask(empty_web, "GET", "sessions").get_json()["items"]
    assert session["user"] == "ada"
    assert _ask(empty_web, "DELETE", f"sessions/{session['id']}").status_code == 204
    assert empty_web.client.get("/api/v1/account").status_code == 401


def test_users_are_searched_narrowed_sorted_paged_and_a_file(web: Web) -> None:
    for name in ("bob", "eve", "mallory"):
        _ask(web, "POST", "users", {"name": name, "role": "viewer"})
    _ask(web, "PATCH", "users/eve", {"disabled": True})
    told = _ask(web, "GET", "users?per_page=2&page=2").get_json()
    assert ([one["name"] for one in told["items"]], told["total"], told["page"]) == (
        ["eve", "mallory"], 4, 2,
    )  # fmt: skip
    assert told["counts"] == {"enabled": 3, "disabled": 1}
    disabled = _ask(web, "GET", "users?state=disabled").get_json()
    assert ([one["name"] for one in disabled["items"]], disabled["counts"]["enabled"]) == (
        ["eve"],
        3,
    )
    newest = _ask(web, "GET", "users?sort=-created&per_page=1").get_json()["items"]
    assert newest[0]["name"] == "mallory"
    assert _ask(web, "GET", "users?q=mall").get_json()["total"] == 1
    lines = _ask(web, "GET", "users?q=viewer&format=csv").text.splitlines()
    assert (len(lines), lines[0].split(",")[:2]) == (4, ["name", "role"])


@pytest.mark.parametrize("path", ["users", "sessions", "tokens", "embed-tokens", "credentials"])
def test_each_list_has_pages_and_says_what_it_does_not_take(empty_web: Web, path: str) -> None:
    told = _ask(empty_web, "GET", path).get_json()
    assert (set(told), told["page"]) == ({"items", "total", "page", "counts"}, 1)
    beyond = _ask(empty_web, "GET", f"{path}?page=99").get_json()
    assert (beyond["items"], beyond["total"] >= told["total"]) == ([], True)
    for query in ("host=kvm-01", "at=0", "sort=colour", "per_page=0", "state=odd", "format=xml"):
        assert _ask(empty_web, "GET", f"{path}?{query}").status_code == 422, query
    assert _ask(empty_web, "GET", f"{path}?format=csv").mimetype == "text/csv"


def test_tokens_are_counted_by_whether_they_work(empty_web: Web) -> None:
    for name in ("one", "two"):
        _ask(empty_web, "POST", "tokens", {"name": name, "role": "viewer"})
    _ask(empty_web, "DELETE", "tokens/two")
    told = _ask(empty_web, "GET", "tokens?state=revoked").get_json()
    assert [one["name"] for one in told["items"]] == ["two"]
    counts = told["counts"]
    # Who asks has tokens as well.
    assert (counts["working"] > 1, counts["expired"], counts["revoked"]) == (True, 0, 1)


def test_accounts_are_for_admins_of_all_hosts(web: Web) -> None:
    limited = bearer(web.store, "admin", ["kvm-01"])
    for path in ("users", "sessions", "tokens"):
        assert _ask(web, "GET", path, role="operator").status_code == 403
        nobody = web.app.test_client()
        assert nobody.get(f"/api/v1/{path}", headers=limited).status_code == 403
