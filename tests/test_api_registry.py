"""The registry of hosts by the API: as its forms do it, and in the audit. Tests of connections are
real ones, to this machine.
"""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.store.audit import Wanted, records
from app.store.credentials import add_credential
from app.store.hosts import get_host, list_hosts
from tests.signing import bearer
from tests.web_support import HOSTILE, Web

SSH = {"transport": "ssh", "host": "kvm-09.test", "port": 2222, "user": "ops"}


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine on which nothing listens, kept free for the test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def _ask(web: Web, method: str, path: str, body: Any = None) -> TestResponse:
    nobody = web.app.test_client()
    headers = bearer(web.store, "admin")
    return nobody.open(f"/api/v1/{path}", method=method, json=body, headers=headers)


def _audited(web: Web) -> list[str]:
    found, _ = records(web.store, Wanted(), limit=20)
    return [one.action for one in found]


def test_a_host_is_added_changed_and_removed(web: Web) -> None:
    made = _ask(web, "POST", "hosts", {"name": "kvm-09", "connection": SSH})
    assert made.status_code == 201
    told = made.get_json()
    assert (told["host"], told["enabled"]) == ("kvm-09", True)
    assert {key: told["connection"][key] for key in SSH} == SSH
    assert _ask(web, "GET", "hosts/kvm-09/connection").get_json() == told
    other = {"transport": "tls", "host": "::1"}
    changed = _ask(web, "PUT", "hosts/kvm-09/connection", other).get_json()["connection"]
    assert (changed["transport"], changed["host"], changed["user"]) == ("tls", "::1", None)
    assert _ask(web, "PATCH", "hosts/kvm-09", {"enabled": False}).get_json()["enabled"] is False
    assert _ask(web, "PATCH", "hosts/kvm-09", {"read_only": True}).status_code == 200
    assert get_host(web.store, "kvm-09").connection.read_only
    renamed = _ask(web, "PATCH", "hosts/kvm-09", {"name": "kvm-10"}).get_json()
    assert renamed["url"] == "/hosts/kvm-10"
    assert _ask(web, "DELETE", "hosts/kvm-10").status_code == 204
    assert "kvm-10" not in {one.slug for one in list_hosts(web.store)}
    assert _audited(web)[:6] == [
        "host-remove", "host-rename", "host-edit", "host-disable", "host-edit", "host-add",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "connection", "field"),
    [
        ("Upper", SSH, "name"),
        ("add", SSH, "name"),
        ("kvm-09", {"transport": "embedded"}, "transport"),
        ("kvm-09", {"transport": "ssh"}, "host"),
        ("kvm-09", SSH | {"host": "-oProxyCommand=x"}, "host"),
        ("kvm-09", SSH | {"host": HOSTILE}, "host"),
        ("kvm-09", SSH | {"port": 65536}, "port"),
        ("kvm-09", SSH | {"key": "no-such-key"}, "key"),
        ("kvm-09", {"transport": "unix", "socket": "/tmp/x"}, "socket"),
        ("kvm-09", SSH | {"uri": "qemu:///system"}, "body"),
        ("kvm-09", SSH | {"port": "22"}, "body"),
    ],
)
def test_what_cannot_be_reached_so_is_refused_and_nothing_changes(
    web: Web, name: str, connection: dict[str, Any], field: str
) -> None:
    before = list_hosts(web.store)
    answer = _ask(web, "POST", "hosts", {"name": name, "connection": connection})
    assert answer.status_code == 422
    assert answer.get_json()["invalid"][0]["name"] == field
    assert list_hosts(web.store) == before


def test_a_change_of_a_host_is_one_change(web: Web) -> None:
    for body in ({}, {"enabled": True, "read_only": True}, {"name": "Upper"}, {"colour": "red"}):
        assert _ask(web, "PATCH", "hosts/kvm-01", body).status_code == 422
    assert _ask(web, "PATCH", "hosts/kvm-01", {"name": "kvm-02"}).status_code == 409
    assert _ask(web, "PATCH", "hosts/nowhere", {"enabled": True}).status_code == 404
    assert _ask(web, "POST", "hosts", {"name": "kvm-01", "connection": SSH}).status_code == 409
    assert _ask(web, "DELETE", "hosts/nowhere").status_code == 404


def test_a_test_says_step_by_step_what_fails(web: Web, closed_port: int) -> None:
    there = {"transport": "tcp", "host": "127.0.0.1", "port": closed_port}
    told = _ask(web, "POST", "connection-tests", there).get_json()
    assert not told["ok"]
    assert told["sentence"].endswith(".")
    assert any(step["ok"] is False and step["message"] for step in told["steps"])
    _ask(web, "PUT", "hosts/kvm-03/connection", there)
    again = _ask(web, "POST", "hosts/kvm-03/test").get_json()
    assert [step["name"] for step in again["steps"]] == [step["name"] for step in told["steps"]]
    assert _ask(web, "POST", "hosts/kvm-03/trust", {"fingerprints": []}).status_code == 409


def test_credentials_are_told_by_name_alone(web: Web) -> None:
    add_credential(
        web.store, web.settings.data, "lab", "sasl", username="ops", password="a secret"
    )  # fmt: skip
    answer = _ask(web, "GET", "credentials")
    (one,) = answer.get_json()["items"]
    assert one == {"name": "lab", "kind": "sasl", "username": "ops"}
    assert "a secret" not in answer.text
    with_it = {"transport": "tcp", "host": "kvm-09.test", "sasl": "lab"}
    made = _ask(web, "POST", "hosts", {"name": "kvm-09", "connection": with_it})
    assert made.get_json()["connection"]["sasl"] == "lab"
