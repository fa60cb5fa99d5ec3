"""The audit: two entries per attempt, a chain that shows tampering, a page, JSON and CSV."""

import csv
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access import COMMAND_LINE, Principal
from app.clock import now_ms, rfc3339
from app.moments import parse_moment
from app.store.audit import (
    Attempt,
    Wanted,
    conclude,
    first_broken,
    get_record,
    intend,
    note,
    open_intents,
    records,
)
from app.store.engine import Store
from tests.command_support import Npvirt
from tests.made_once import open_store
from tests.signing import bearer
from tests.web_support import HOSTILE, Web


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(tmp_path / "npvirt.sqlite")
    yield made
    made.close()


def _attempt(action: str = "reset", **more: object) -> Attempt:
    values = {"host_id": 1, "host": "kvm-01", "key": "k", "name": "web-01", **more}
    who = Principal("user", "ada", "admin")
    return Attempt(who, "10.0.0.9", action, "domain", **values)  # type: ignore[arg-type]  # a test


def test_intent_and_outcome_are_two_entries_and_one_record(store: Store) -> None:
    intent_id = intend(store, _attempt(parameters={"mode": "acpi"}, request_id="r1"))
    assert intent_id == 1
    (going_on,) = open_intents(store)
    assert going_on.outcome is None
    conclude(store, 1, "failed", "It did not work.", detail="libvirt's words", took_ms=7)
    (record,), total = records(store, Wanted(), limit=10)
    assert total == 1
    assert (record.outcome, record.sentence, record.took_ms) == ("failed", "It did not work.", 7)
    assert record.parameters == {"mode": "acpi"}
    assert open_intents(store) == []
    assert first_broken(store) == (2, None)


def test_an_outcome_is_written_once(store: Store) -> None:
    intend(store, _attempt())
    conclude(store, 1, "ok")
    conclude(store, 1, "failed", "Later.")
    record = get_record(store, 1)
    assert record is not None
    assert record.outcome == "ok"
    assert first_broken(store) == (2, None)


def test_the_same_request_is_intended_once_per_object_and_action(store: Store) -> None:
    assert intend(store, _attempt(request_id="r1")) == 1
    assert intend(store, _attempt(request_id="r1")) is None
    assert intend(store, _attempt("suspend", request_id="r1")) is not None
    assert intend(store, _attempt(key="other", request_id="r1")) is not None


def test_entries_of_many_threads_are_one_chain(store: Store) -> None:
    def write() -> None:
        for _ in range(10):
            number = intend(store, _attempt())
            assert number is not None
            conclude(store, number, "ok")

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first_broken(store) == (160, None)


_COLUMNS = (
    "at_ms", "who", "role", "peer", "action", "kind", "host", "key", "name", "parameters",
    "outcome", "sentence", "detail", "took_ms", "intent_id", "digest",
)  # fmt: skip


@pytest.mark.parametrize("column", _COLUMNS)
def test_every_altered_column_is_found(store: Store, column: str) -> None:
    for _ in range(3):
        note(store, _attempt(), "ok", "x")
    value = "9" if column in ("at_ms", "took_ms", "intent_id") else "'altered'"
    with store.writing() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = 1")
        connection.exec_driver_sql(f"UPDATE audit SET {column} = {value} WHERE id = 2")
        if column == "intent_id":
            connection.exec_driver_sql("UPDATE audit SET intent_id = 1 WHERE id = 2")
    assert first_broken(store) == (2, 2)


@pytest.mark.parametrize("gone", [1, 2])
def test_an_entry_that_was_taken_out_is_found(store: Store, gone: int) -> None:
    for _ in range(3):
        note(store, _attempt(), "ok")
    with store.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM audit WHERE id = {gone}")
    assert first_broken(store)[1] == gone + 1


def test_two_entries_that_changed_places_are_found(store: Store) -> None:
    for name in ("a", "b", "c"):
        note(store, _attempt(name=name), "ok")
    with store.writing() as connection:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            connection.exec_driver_sql(f"UPDATE audit SET id = {new} WHERE id = {old}")
    assert first_broken(store)[1] == 2


def test_the_doctor_tells_of_an_altered_audit(tmp_path: Path) -> None:
    npvirt = Npvirt(tmp_path)
    npvirt("host", "add", "demo", "--driver", "test")
    npvirt("host", "disable", "demo")
    assert "audit" in npvirt("doctor")
    store = open_store(tmp_path / "var/npvirt.sqlite")
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE audit SET who = 'eve' WHERE id = 1")
    store.close()
    assert "entry 1" in npvirt("doctor", status=1)


def test_every_change_by_the_command_line_is_in_it(tmp_path: Path) -> None:
    npvirt = Npvirt(tmp_path)
    password, secret = tmp_path / "password", "correct horse battery"
    password.write_text(secret)
    file = ("--password-file", str(password))
    npvirt("host", "add", "demo", "--driver", "test")
    npvirt("host", "edit", "demo", "--name", "other", "--read-only")
    npvirt("host", "disable", "other")
    npvirt("host", "enable", "other")
    npvirt("credential", "add", "s1", "--kind", "sasl", "--sasl-user", "fred",
           "--sasl-password-file", str(password))  # fmt: skip
    npvirt("credential", "remove", "s1")
    npvirt("user", "add", "grace", "--role", "viewer", *file)
    npvirt("user", "passwd", "grace", *file)
    npvirt("user", "role", "grace", "--role", "operator", "--host", "other")
    npvirt("user", "disable", "grace")
    npvirt("user", "enable", "grace")
    token = npvirt("token", "add", "t1", "--role", "viewer", "--expires", "9d").strip()
    npvirt("token", "revoke", "t1")
    npvirt("host", "remove", "other")
    store = open_store(tmp_path / "var/npvirt.sqlite")
    found, _ = records(store, Wanted(), limit=100)
    store.close()
    assert [record.action for record in reversed(found)] == [
        "host-add", "host-edit", "host-rename", "host-disable", "host-enable", "credential-add",
        "credential-remove", "user-add", "user-passwd", "user-role", "user-disable", "user-enable",
        "token-add", "token-revoke", "host-remove",
    ]  # fmt: skip
    assert {record.who for record in found} == {COMMAND_LINE.who}
    for hidden in (secret, token):
        assert hidden not in str(found)


# --- page, JSON, CSV -----------------------------------------------------------------------------


def _fill(web: Web) -> None:
    note(web.store, _attempt("reset", name=HOSTILE), "failed", "No.", detail="libvirt's own words")
    note(web.store, _attempt("start", host_id=2, host="kvm-02"), "ok")
    note(web.store, Attempt(COMMAND_LINE, "", "user-add", "user", name="grace"), "ok")


def test_the_page_shows_and_narrows(web: Web) -> None:
    _fill(web)
    page = web.text("/audit")
    assert "<script>alert" not in page
    for word in ("reset", "start", "user-add", "libvirt&#39;s own words"):
        assert word in page, word
    only = web.text("/audit?action=start")
    assert "vm-1-1" not in only
    assert web.client.get("/api/v1/audit?outcome=failed").get_json()["total"] == 1
    assert web.client.get("/api/v1/audit?q=grace").get_json()["total"] == 1
    assert web.client.get("/api/v1/audit?host=kvm-02").get_json()["items"][0]["action"] == "start"
    assert web.client.get("/api/v1/audit?outcome=maybe").status_code == 422


def test_the_records_are_counted_sorted_and_paged(web: Web) -> None:
    _fill(web)
    told = web.client.get("/api/v1/audit?outcome=failed").get_json()
    assert (told["total"], told["page"]) == (1, 1)
    assert told["counts"] == {"ok": 2, "failed": 1, "unknown": 0, "refused": 0, "open": 0}
    assert set(told["scans"]) == {"kvm-01", "kvm-02", "kvm-03"}
    oldest = web.client.get("/api/v1/audit?sort=at&per_page=2").get_json()
    assert [one["action"] for one in oldest["items"]] == ["reset", "start"]
    second = web.client.get("/api/v1/audit?sort=at&per_page=2&page=2").get_json()["items"]
    assert [one["action"] for one in second] == ["user-add"]
    assert web.client.get("/api/v1/audit?sort=who").status_code == 422
    assert len(web.text("/api/v1/audit?format=csv&per_page=2").splitlines()) == 3


def test_at_a_moment_what_was_going_on_has_no_outcome_yet(web: Web) -> None:
    number = intend(web.store, _attempt())
    assert number is not None
    asked = get_record(web.store, number)
    assert asked is not None
    with web.store.writing() as connection:
        connection.exec_driver_sql(f"UPDATE audit SET at_ms = at_ms - 5000 WHERE id = {number}")
    conclude(web.store, number, "ok")
    at = f"at={(asked.at_ms - 1000) / 1000}"
    then = web.client.get(f"/api/v1/audit?{at}").get_json()
    assert ([one["outcome"] for one in then["items"]], then["counts"]["open"]) == ([None], 1)
    assert web.client.get(f"/api/v1/audit?outcome=ok&{at}").get_json()["items"] == []
    assert web.client.get(f"/api/v1/audit?outcome=open&{at}").get_json()["total"] == 1
    assert web.client.get("/api/v1/audit").get_json()["counts"]["open"] == 0


def test_the_records_are_as_of_now_or_of_the_moment_not_of_the_last_scan(web: Web) -> None:
    # Later than any scan.
    before_ms = now_ms()
    _fill(web)
    answer = web.client.get("/api/v1/audit")
    assert parse_moment("as_of", answer.get_json()["as_of"]) >= before_ms
    # Nothing but the time of asking is another one.
    etag = {"If-None-Match": answer.headers["ETag"]}
    assert web.client.get("/api/v1/audit", headers=etag).status_code == 304
    _fill(web)
    assert web.client.get("/api/v1/audit", headers=etag).status_code == 200
    at = rfc3339(before_ms - 1)
    assert web.client.get(f"/api/v1/audit?at={at}").get_json()["as_of"] == at


def test_who_sees_what_follows_their_scope_and_role(web: Web) -> None:
    _fill(web)
    limited = bearer(web.store, "viewer", ["kvm-02"])
    web.sign_out()
    items = web.client.get("/api/v1/audit", headers=limited).get_json()["items"]
    assert [item["host"] for item in items] == ["kvm-02"]
    everywhere = bearer(web.store, "operator")
    answer = web.client.get("/api/v1/audit", headers=everywhere)
    assert {item["action"] for item in answer.get_json()["items"]} == {"reset", "start"}
    assert "own words" not in answer.text


def test_csv_defuses_formulas(web: Web) -> None:
    note(web.store, _attempt(name="=1+1"), "ok")
    answer = web.client.get("/api/v1/audit?format=csv")
    assert answer.mimetype == "text/csv"
    (row,) = list(csv.DictReader(io.StringIO(answer.text)))
    assert row["name"] == "'=1+1"


def test_nothing_in_the_web_changes_or_deletes_it(web: Web) -> None:
    rules = [rule for rule in web.app.url_map.iter_rules() if "audit" in rule.rule]
    assert rules
    assert {method for rule in rules for method in rule.methods or ()} <= {"GET", "HEAD", "OPTIONS"}


@given(st.text(max_size=300), st.text(max_size=300), st.dictionaries(st.text(), st.text()))
def test_whatever_was_asked_fits_the_chain(
    tmp_path_factory: pytest.TempPathFactory, name: str, sentence: str, given_: dict[str, str]
) -> None:
    store = open_store(tmp_path_factory.mktemp("audit") / "npvirt.sqlite")
    try:
        clean = {key.encode(errors="ignore").decode(): "x" for key in given_}
        plain = name.encode(errors="ignore").decode()
        note(store, _attempt(name=plain, parameters=clean), "ok", sentence.encode(
            errors="ignore").decode())  # fmt: skip
        assert first_broken(store) == (1, None)
    finally:
        store.close()
