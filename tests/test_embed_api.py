"""Tokens of embeds by JSON: made, listed, ended, by whom, and what the audit says of it."""

import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.clock import DAY_MS, now_ms, rfc3339
from app.store.audit import Wanted, records
from tests.embed_support import PAGE, ask, web, web_of_module
from tests.fleet_support import domain_uuid, filled_data
from tests.signing import bearer
from tests.web_support import Web

__all__ = ["filled_data", "web", "web_of_module"]

PATH = "/api/v1/embed-tokens"


@pytest.fixture(scope="module")
def admin(web_of_module: Web) -> dict[str, str]:
    return bearer(web_of_module.store, "admin")


def _body(**changes: Any) -> dict[str, Any]:
    body = {
        "view": "domains", "filters": {"host": ["kvm-01"]}, "origins": [PAGE], "note": "Staff page",
        "expires_at": rfc3339(now_ms() + DAY_MS),
    }  # fmt: skip
    return {name: value for name, value in {**body, **changes}.items() if value is not ...}


def _make(web: Web, headers: dict[str, str], **changes: Any) -> TestResponse:
    return web.client.post(PATH, json=_body(**changes), headers=headers)


def test_a_token_is_made_shown_once_listed_and_ended(web: Web, admin: dict[str, str]) -> None:
    answer = _make(web, admin)
    assert answer.status_code == 201, answer.text
    told = answer.get_json()
    text, item = told["token"], told["item"]
    assert (item["view"], item["filters"], item["origins"]) == (
        "domains", {"host": ["kvm-01"]}, [PAGE],
    )  # fmt: skip
    assert item["created_by"].startswith("token:")
    assert (item["used_at"], item["revoked_at"], item["hint"]) == (None, None, text[-4:])
    ask(web, "domains", text).close()
    listed = web.client.get(PATH, headers=admin)
    assert text not in listed.text
    (found,) = [one for one in listed.get_json()["items"] if one["id"] == item["id"]]
    assert found["used_at"] is not None
    assert web.client.delete(f"{PATH}/{item['id']}", headers=admin).status_code == 204
    assert ask(web, "domains", text).status_code == 401
    assert web.client.delete(f"{PATH}/{item['id']}", headers=admin).status_code == 404
    audited, _ = records(web.store, Wanted(text="embed-token"), limit=10)
    mine = [one for one in audited if one.name == str(item["id"])]
    assert {one.action for one in mine} == {"embed-token-add", "embed-token-revoke"}
    assert text not in json.dumps([str(one) for one in audited])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"view": "nothing"}, "view"),
        ({"view": ...}, "body"),
        ({"surplus": 1}, "body"),
        ({"filters": {"name": ["a"]}}, "name"),
        ({"filters": {"host": ["kvm-77"]}}, "host"),
        ({"filters": {"host": "kvm-01"}}, "body"),
        ({"filters": {"flag": ["nonsense"]}}, "flag"),
        ({"filters": {"sort": ["name", "-name"]}}, "sort"),
        ({"filters": {"q": ["x" * 500]}}, "q"),
        ({"view": "chart", "filters": {}}, "kind"),
        ({"view": "chart", "filters": {"kind": ["host"], "host": ["kvm-77"]}}, "host"),
        ({"view": "chart", "filters": {"kind": ["host"], "host": ["kvm-01"], "chart": ["x"]}},
         "chart"),
        ({"view": "chart", "filters": {"kind": ["host"], "host": ["kvm-01"], "metric": ["x"]}},
         "metric"),
        ({"view": "chart", "filters": {"kind": ["host"], "host": ["kvm-01"], "range": ["2y"]}},
         "range"),
        ({"view": "gauge", "filters": {"kind": ["domain"], "host": ["kvm-01"],
                                       "id": [domain_uuid(0, 99)]}}, "id"),
        ({"view": "gauge", "filters": {"kind": ["fleet"]}}, "kind"),
        ({"view": "gauge", "filters": {"kind": ["host"], "host": ["kvm-01"], "metric": ["space"]}},
         "metric"),
        ({"origins": ["intranet.example"]}, "origins"),
        ({"origins": [f"https://a{n}.example" for n in range(21)]}, "origins"),
        ({"expires_at": ...}, "body"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": 1}, "expires_at"),
        ({"expires_at": rfc3339(now_ms() + 400 * DAY_MS)}, "expires_at"),
        ({"note": "x" * 201}, "note"),
    ],
)  # fmt: skip
def test_what_is_bad_is_named_and_makes_nothing(
    web: Web, admin: dict[str, str], changes: dict[str, Any], field: str
) -> None:
    before = web.client.get(PATH, headers=admin).get_json()["total"]
    answer = _make(web, admin, **changes)
    assert answer.status_code == 422, answer.text
    assert [one["name"] for one in answer.get_json()["invalid"]] == [field]
    assert web.client.get(PATH, headers=admin).get_json()["total"] == before


def test_tokens_are_for_admins_to_make(web: Web, admin: dict[str, str]) -> None:
    number = _make(web, admin).get_json()["item"]["id"]
    for role in ("viewer", "operator"):
        headers = bearer(web.store, role)
        for answer in (_make(web, headers), web.client.get(PATH, headers=headers),
                       web.client.delete(f"{PATH}/{number}", headers=headers)):  # fmt: skip
            assert answer.status_code == 403
    assert _make(web, {}).status_code == 401


def test_an_admin_of_some_hosts_makes_and_ends_their_own(web: Web, admin: dict[str, str]) -> None:
    limited = bearer(web.store, "admin", ["kvm-02"])
    theirs = _make(web, admin).get_json()["item"]["id"]
    assert _make(web, limited).status_code == 422
    own = _make(web, limited, filters={"host": ["kvm-02"]}).get_json()["item"]["id"]
    listed = web.client.get(PATH, headers=limited).get_json()["items"]
    assert [one["id"] for one in listed] == [own]
    assert web.client.delete(f"{PATH}/{theirs}", headers=limited).status_code == 404
    assert web.client.delete(f"{PATH}/{own}", headers=limited).status_code == 204


def test_a_session_makes_none_without_its_page(web: Web) -> None:
    web.sign_in()
    answer = web.client.post(PATH, json=_body(), headers={"Origin": "http://localhost"})
    assert answer.status_code == 403
