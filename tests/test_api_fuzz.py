"""Whatever is sent to the API, as whichever role, with one host down: never a server error, and
never an answer that its own description does not tell of.

Schemathesis makes the requests from the document that npvirt serves; most of what it puts into
addresses names things that are there. It also makes requests that the document rules out.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from app.access import ROLES
from app.actions.registry import ACTIONS
from app.collect.once import scan_once
from app.connection import Connection
from app.store.audit import Wanted, records
from app.store.history import fleet
from app.store.hosts import add_host, list_hosts
from app.store.notification_rules import RuleDraft, add_rule
from app.store.notification_targets import WebhookSecret, add_target, new_key
from app.web.openapi import document
from tests.read_support import RUNNING, domain_xml, pool_xml, uuid_of, write_node
from tests.signing import bearer
from tests.web_support import Web, make_web

# As the least role that may, as a higher one, as one that may not; of what is ruled out.
EXAMPLES, MORE, REFUSED, RULED_OUT = 5, 2, 1, 2
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
]  # fmt: skip
_SETTINGS = partial(
    settings, deadline=None, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
# These would set out for whatever host is made up.
_SET_OUT = frozenset(("test-connection", "test-host", "trust"))
_UUIDS = {"domains": uuid_of("web"), "pools": uuid_of("images")}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The panel that is fuzzed: what is done to it stays done."""
    with _panel(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


@contextmanager
def _panel(directory: Path) -> Iterator[Web]:
    """A panel over a host of the test driver and one that refuses every connection."""
    node = write_node(directory, domain_xml("web", state=RUNNING), pool_xml("images", ["a", "b"]))
    made = make_web(directory / "var", NPVIRT_ALLOW_TEST_FILES="1", NPVIRT_TIMEZONE="UTC")
    demo = Connection(driver="test", transport="embedded", path=str(node))
    add_host(made.store, "demo", demo)
    for slug in ("dead", "spare"):
        add_host(made.store, slug, Connection(transport="tcp", host="127.0.0.1", port=1))
    scan_once(made.settings, made.store, list_hosts(made.store))
    nowhere = WebhookSecret("http://127.0.0.1:1/", new_key())
    address = "http://127.0.0.1:1"
    add_target(made.store, made.settings.data, "t", "webhook", address, "ada", secret=nowhere)
    add_rule(made.store, RuleDraft("r", "domain-crashed", target_ids=(1,)), "ada")
    with pytest.MonkeyPatch.context() as patch:
        # A collector's threads draw from the `random` that Hypothesis minds, so none runs here:
        # what is asked of it is taken note of, and what is there stays as it was seen.
        patch.setattr(made.collector, "scan_now", lambda slug: True)
        patch.setattr(made.collector, "look_again", lambda slug, objects: True)
        yield made
    made.store.close()


def _there(web: Web, operation: Any) -> dict[str, Any]:
    """What the names in an address stand for so that it is there."""
    path, raw = operation.path, operation.definition.raw
    folder = path.split("/")[5] if path.count("/") > 4 else ""
    key = _UUIDS.get(folder, uuid_of("web"))
    if folder == "volumes":
        key = str(fleet(web.store, None).volumes[0].entity_id)
    # The registry may lose its host.
    slug = "spare" if raw["tags"] == ["registry"] else "demo"
    return {
        "host": slug, "uuid": key, "key": key, "name": "first", "job_id": 1, "rule_id": 1,
        "target_id": 1,
    }  # fmt: skip


def _operations(web: Web) -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(deepcopy(document(web.app)))
    schema.app = web.app
    for found in schema.get_all_operations():
        # A description that is not valid has none.
        yield found.ok()  # type: ignore[union-attr]


def _send(
    web: Web, operation: Any, examples: int, headers: dict[str, str], checks: list[Any]
) -> list[int]:
    """The statuses of requests that fit the description of an operation; two of three are of
    something that is there.
    """
    statuses: list[int] = []
    there = _there(web, operation)

    @_SETTINGS(max_examples=examples)
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        if len(statuses) % 3:
            names = set(case.path_parameters or ()) & set(there)
            case.path_parameters.update({name: there[name] for name in names})
        answer = case.call(base_url="http://localhost", headers=headers)
        statuses.append(answer.status_code)
        case.validate_response(answer, checks=checks)

    send()
    return statuses


@pytest.mark.parametrize("role", ROLES)
def test_nothing_that_is_sent_is_answered_otherwise_than_described(web: Web, role: str) -> None:
    headers = bearer(web.store, role)
    statuses: Counter[int] = Counter()
    operations = 0
    for operation in _operations(web):
        operations += 1
        needed = operation.definition.raw["x-role"]
        may = ROLES.index(role) >= ROLES.index(needed)
        if may and operation.definition.raw["operationId"] in _SET_OUT:
            continue
        examples = REFUSED if not may else EXAMPLES if role == needed else MORE
        found = _send(web, operation, examples, headers, CHECKS)
        assert may or set(found) <= {403, 404}, operation.label
        statuses.update(found)
    assert operations > len(ACTIONS) + 15
    assert statuses.total() > operations
    # What was sent did get somewhere, and the roles did make a difference.
    assert statuses[200] > 20, statuses
    assert (statuses[403] > 0) == (role != "admin"), statuses


def test_what_the_description_rules_out_is_refused(web: Web) -> None:
    headers = bearer(web.store, "admin")
    statuses: Counter[int] = Counter()
    # What is made of an address may be another one, which has answers of its own.
    checks = [not_a_server_error, negative_data_rejection]
    for operation in _operations(web):
        if operation.method != "get":
            continue

        @_SETTINGS(max_examples=RULED_OUT)
        @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        def send(case: Any) -> None:
            answer = case.call(base_url="http://localhost", headers=headers)
            statuses[answer.status_code] += 1
            case.validate_response(answer, checks=checks)

        send()
    assert statuses[422] + statuses[404] > 15, statuses


def test_a_download_that_cannot_begin_is_refused_and_its_outcome_is_kept(tmp_path: Path) -> None:
    with _panel(tmp_path) as web:
        volume = fleet(web.store, None).volumes[0]
        path = f"/api/v1/hosts/demo/volumes/{volume.entity_id}/actions/download"
        nobody = web.app.test_client()
        for _ in range(2):
            answer = nobody.post(path, json={}, headers=bearer(web.store, "admin"))
            assert answer.status_code == 409
            assert answer.get_json()["detail"].startswith("Nothing was fetched:")
        record, _ = records(web.store, Wanted(action="vol-download"), limit=1)
        assert record[0].outcome == "failed"
