"""Whatever is sent to the API, as whichever role, with one host down: never a server error.

Schemathesis makes the requests from a description that is built here from the URL map and the
registry of actions; half of what it sends names things that are there.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from werkzeug.routing import Rule

from app.access import ROLES
from app.actions.registry import ACTIONS, Action
from app.inventory import DOMAIN_STATES, NETWORK_STATES, POOL_STATES
from app.store.engine import Store
from app.store.tokens import add_token
from tests.panel import Panel, panel
from tests.read_support import RUNNING, domain_xml, pool_xml, uuid_of, write_node
from tests.web_support import make_web

EXAMPLES = 8
_QUERY = ("host", "q", "state", "flag", "sort", "page", "per_page", "at", "format", "outcome",
          "kind", "what", "key", "from", "to", "x")  # fmt: skip
_THERE: dict[str, list[Any]] = {
    "slug": ["demo", "dead", "nowhere"],
    "uuid": [uuid_of("web"), uuid_of("images")],
    "key": [uuid_of("web"), uuid_of("images"), "1", "2", "3"],
    "name": ["first"],
    "job_id": [1, 2, 99],
    "action": ["start", "suspend", "undefine"],
    "token_id": [1, 99],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    """A panel over a host of the test driver and one that refuses every connection."""
    directory = tmp_path_factory.mktemp("fuzz")
    node = write_node(directory, domain_xml("web", state=RUNNING), pool_xml("images", ["a", "b"]))

    def prepare(environ: dict[str, str]) -> None:
        _npvirt(environ, "host", "add", "demo", "--driver", "test", "--path", str(node))
        _npvirt(environ, "host", "add", "dead", "--tcp", "127.0.0.1:1")

    with panel(
        directory / "var", prepare=prepare, NPVIRT_ALLOW_TEST_FILES="1", NPVIRT_SCAN_SECONDS="2"
    ) as made:
        made.until(lambda: len(made.get("/api/v1/domains")["scans"]) == 2)
        made.until(lambda: made.items("volumes"))
        yield made


def _npvirt(environ: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "app.cli", *arguments]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)


def _mostly(there: list[Any]) -> dict[str, Any]:
    """One of these, or anything."""
    return {"anyOf": [{"enum": there}, {"enum": there}, {"type": "string", "minLength": 1}]}


def _anything(*there: Any) -> dict[str, Any]:
    return {"anyOf": [{"enum": list(there)}, {"enum": list(there)}, {}]}


def _body(action: Action | None) -> dict[str, Any]:
    states = [*DOMAIN_STATES, *POOL_STATES, *NETWORK_STATES]
    properties: dict[str, Any] = {
        "expect_state": _anything(*states),
        "request_id": _anything("11111111-2222-4333-8444-555555555555"),
        "confirm": _anything("web", "images", "a"),
    }
    for parameter in action.parameters if action else ():
        words = [word for word, _ in parameter.choices]
        properties[parameter.name] = _anything(*words, "1 MiB", True, "/var/lib/libvirt/x", "n")
    return {"content": {"application/json": {"schema": {
        "anyOf": [{"type": "object", "properties": properties, "required": ["expect_state"]},
                  {"type": "object", "properties": properties}, {}]}}}}  # fmt: skip


def _operation(rule: Rule, method: str, function: Any) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _mostly(_THERE[name])}
        for name in sorted(rule.arguments)
    ]
    if method == "GET":
        parameters += [
            {"name": name, "in": "query", "schema": {"type": "string"}} for name in _QUERY
        ]
    made: dict[str, Any] = {"parameters": parameters, "responses": {"default": {"description": ""}}}
    if method == "POST":
        made["requestBody"] = _body(getattr(function, "npvirt_action", None))
    return made


def _described(app: Flask) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/api/v1/"):
            continue
        path = rule.rule.replace("<int:", "<").replace("<", "{").replace(">", "}")
        for method in set(rule.methods or ()) - {"HEAD", "OPTIONS"}:
            function = app.view_functions[rule.endpoint]
            paths.setdefault(path, {})[method.lower()] = _operation(rule, method, function)
    return {"openapi": "3.1.0", "info": {"title": "npvirt", "version": "1"}, "paths": paths}


@pytest.mark.parametrize("role", ROLES)
def test_nothing_that_is_sent_is_a_server_error(running: Panel, role: str, tmp_path: Path) -> None:
    web = make_web(tmp_path / "var")
    schema = schemathesis.openapi.from_dict(_described(web.app))
    web.store.close()
    store = Store.open(Path(running.environ["NPVIRT_DATA"]) / "npvirt.sqlite")
    token = add_token(store, f"fuzz-{role}", role, created_by="a test")
    store.close()
    headers = {"Authorization": f"Bearer {token}"}
    statuses: dict[int, int] = {}
    operations = 0

    for found in schema.get_all_operations():
        operations += 1
        operation = found.ok()  # type: ignore[union-attr]  # a description that is not valid fails

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            answer = case.call(base_url=running.url, headers=headers, timeout=60)
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            assert answer.status_code < 500, (case.method, case.formatted_path, answer.text)
            if answer.status_code >= 400:
                kind = answer.headers["content-type"][0]
                assert kind.startswith("application/problem+json"), (case.formatted_path, kind)

        send()
    assert operations > len(ACTIONS) + 15
    assert sum(statuses.values()) > operations * 2
    # What was sent did get somewhere, and the roles did make a difference.
    assert statuses.get(200, 0) > 20, statuses
    assert (statuses.get(403, 0) > 0) == (role != "admin"), statuses
    assert running.get("/readyz")
