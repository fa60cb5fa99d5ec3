"""The API's own description: whole, valid, and true of what is answered."""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from werkzeug.test import TestResponse

from app.store.history import fleet
from app.web.openapi import document, rules
from app.web.operations import operation_of
from tests.signing import bearer
from tests.test_api import IMAGES, NET, WEB, Api
from tests.web_support import make_web

# What an address and its query name, so that there is something to answer.
_PATH = {"host": "kvm-01", "key": "disk:vda", "job_id": "1"}
_UUID = {"domains": WEB, "pools": IMAGES, "networks": NET}
_QUERY = {
    "/api/v1/series": f"host=kvm-01&domain={WEB}&metric=cpu",
    "/api/v1/series/stack": "host=kvm-01&metric=cpu",
    "/api/v1/compare": "at={past}",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    web = make_web(tmp_path_factory.mktemp("openapi") / "var", NPVIRT_TIMEZONE="UTC")
    yield Api(web)
    web.store.close()


@pytest.fixture(scope="module")
def told(api: Api) -> dict[str, Any]:
    return document(api.web.app)


def _getting(told: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in told["paths"].items():
        if "get" in methods:
            yield path, methods["get"]


def _address(api: Api, path: str, operation: dict[str, Any], slug: str = "kvm-01") -> str:
    values = {**_PATH, "host": slug, "uuid": WEB}
    for folder, uuid in _UUID.items():
        if f"/{folder}/" in path:
            values["uuid"] = uuid
    if path.endswith("/snapshots"):
        values["key"] = WEB
    if "/volumes/" in path:
        mine = [seen for seen in fleet(api.web.store, None).volumes if seen.host == slug]
        values["key"] = str(mine[0].entity_id)
    if "change_id" in path:
        values["change_id"] = api.json("changes")["items"][-1]["id"]
    named = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
    address = path.format(**{name: values.get(name, "1") for name in named})
    query = _QUERY.get(path, "").format(past=api.at_ms / 1000 + 5)
    return f"{address}?{query}" if query else address


def _get(api: Api, address: str, **headers: str) -> TestResponse:
    return api.web.client.get(address, headers={k.replace("_", "-"): v for k, v in headers.items()})


def _also(address: str, more: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{more}"


def test_every_route_of_the_api_says_what_it_answers_and_takes(api: Api) -> None:
    told = document(api.web.app)["paths"]
    app = api.web.app
    silent = [rule.rule for rule, _ in rules(app) if operation_of(app, rule.endpoint) is None]
    assert silent == [], "Declare them with @operation, see app/web/operations.py."
    assert sum(len(methods) for methods in told.values()) == len(list(rules(app)))


def test_the_document_is_valid(told: dict[str, Any]) -> None:
    assert told["openapi"] == "3.1.0"
    OPENAPI_31_VALIDATOR.validate(told)
    for schema in told["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    ids = [one["operationId"] for path in told["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids))
    bare = [re.sub(r"\{\w+\}", "{}", path) for path in told["paths"]]
    assert len(bare) == len(set(bare)), "Two addresses differ by the name of a parameter alone."
    for path, methods in told["paths"].items():
        for method, one in methods.items():
            assert one["summary"], (path, method)
            assert all(parameter["description"] for parameter in one["parameters"]), path
            assert {"400", "401", "422", "503"} <= set(one["responses"]), (path, method)


def test_the_document_is_for_viewers_and_for_nobody_else(api: Api, told: dict[str, Any]) -> None:
    answer = _get(api, "/api/v1/openapi.json")
    assert answer.get_json() == told
    nobody = api.web.app.test_client()
    assert nobody.get("/api/v1/openapi.json").status_code == 401
    headers = bearer(api.web.store, "viewer")
    assert nobody.get("/api/v1/openapi.json", headers=headers).get_json() == told


def _strict(schema: Any) -> Any:
    """The schema with nothing allowed that it does not name."""
    if isinstance(schema, dict):
        made = {name: _strict(part) for name, part in schema.items()}
        if "properties" in made and "additionalProperties" not in made:
            made["additionalProperties"] = False
        return made
    return [_strict(part) for part in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("slug", ["kvm-01", "kvm-02"])
def test_every_answer_is_as_it_is_described(api: Api, told: dict[str, Any], slug: str) -> None:
    components = _strict(deepcopy(told["components"]))
    api.web.sign_in()
    checked = 0
    for path, operation in _getting(told):
        described = operation["responses"]["200"]["content"]["application/json"]["schema"]
        validator = jsonschema_rs.validator_for({**_strict(described), "components": components})
        plain = _address(api, path, operation, slug)
        for address in (plain, _also(plain, f"at={api.at_ms / 1000 + 5}")):
            takes = {one["name"] for one in operation["parameters"]}
            answer = _get(api, address)
            if address != plain and ("at" not in takes or "at=" in plain):
                continue
            if answer.status_code == 404 and path.endswith(("_id}", "{month}")):
                continue
            assert answer.status_code == 200, (address, answer.text)
            wrong = list(validator.iter_errors(answer.get_json()))
            assert wrong == [], (address, [(e.instance_path, e.message) for e in wrong[:5]])
            checked += 1
    assert checked > 30


def test_every_get_has_an_etag_and_answers_304(api: Api, told: dict[str, Any]) -> None:
    for path, operation in _getting(told):
        address = _address(api, path, operation)
        answer = _get(api, address)
        if answer.status_code == 404:
            continue
        assert answer.headers["ETag"], address
        head = api.web.client.head(address)
        assert (head.status_code, head.data) == (200, b""), address
        # These tell of the very second in which they are asked.
        if "/series" not in path and path != "/api/v1/health":
            again = _get(api, address, If_None_Match=answer.headers["ETag"])
            assert (again.status_code, again.data) == (304, b""), address


def test_what_is_not_described_is_not_taken(api: Api, told: dict[str, Any]) -> None:
    for path, operation in _getting(told):
        address = _address(api, path, operation)
        answer = _get(api, _also(address, "colour=red"))
        assert answer.status_code == 422, address
        assert answer.get_json()["invalid"][0]["name"] == "colour", address
        once = [one for one in operation["parameters"] if one["schema"].get("type") != "array"]
        for one in [one for one in once if one["in"] == "query"][:1]:
            name = one["name"]
            twice = _get(api, _also(address, f"{name}=1&{name}=1"))
            assert twice.get_json()["invalid"][0]["name"] == name, address


def test_every_list_is_a_file_as_well(api: Api, told: dict[str, Any]) -> None:
    lists = 0
    for path, operation in _getting(told):
        if "text/csv" not in operation["responses"]["200"]["content"]:
            continue
        answer = _get(api, _also(_address(api, path, operation), "format=csv"))
        assert answer.mimetype == "text/csv", path
        lists += 1
    assert lists >= 12


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/xml", 406), ("text/csv", 406), ("*/*", 200), ("application/*", 200),
     ("text/html,application/json;q=0.5", 200), ("application/json;q=0", 406)],
)  # fmt: skip
def test_who_wants_another_kind_of_answer_is_told(api: Api, accept: str, status: int) -> None:
    answer = _get(api, "/api/v1/hosts", Accept=accept)
    assert answer.status_code == status
    if status == 406:
        assert answer.mimetype == "application/problem+json"
        assert "application/json" in answer.get_json()["detail"]
    assert _get(api, "/api/v1/hosts?format=csv", Accept="text/csv").status_code == 200


def test_a_method_that_an_address_does_not_take_is_a_405_that_says_which_it_does(api: Api) -> None:
    token = api.web.token()
    headers = {"Origin": "http://localhost", "X-CSRF-Token": token}
    answer = api.web.client.put("/api/v1/hosts/kvm-01/scan", headers=headers)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert answer.mimetype == "application/problem+json"


def test_the_past_is_not_acted_on(api: Api, told: dict[str, Any]) -> None:
    headers = bearer(api.web.store, "admin")
    nobody = api.web.app.test_client()
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            if method == "get":
                continue
            address = _also(_address(api, path, operation), "at=0")
            answer = nobody.open(address, method=method.upper(), headers=headers)
            assert answer.status_code == 409, (path, answer.text)
