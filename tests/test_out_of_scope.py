"""Readers of some hosts try every address for what is on another: two hosts of libvirt's own test
driver, one of them out of scope and full of hostile names, with a past, a move and twins.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app.clock import now_ms, rfc3339
from app.collect.once import scan_once
from app.connection import Connection
from app.store import schema
from app.store.history import fleet
from app.store.hosts import add_host, list_hosts, remove_host
from tests.read_support import RUNNING, disk_xml, domain_xml, pool_xml, uuid_of
from tests.web_support import Web, make_web

SEEN, VEILED = "seen-01", "veiled-01"
# In every name of the veiled host; nothing that it is part of may be answered.
MARK = "zq7x"
HOSTILE = f"{MARK}<img src=x onerror=alert(1)>'\"&=1+1 %2e%2e ?at=0#"
MOVED, TWIN = uuid_of("moved"), uuid_of("twin")
MOVED_TITLE = "A title that is no secret"
NIC = "<interface type='network'><mac address='52:54:00:{0}'/><source network='{1}'/></interface>"


def _network(name: str, place: int) -> str:
    return (
        f"<network><name>{name}</name><uuid>{uuid_of(name)}</uuid><bridge name='vb{place}'/>"
        f"<ip address='192.168.{place}.1' netmask='255.255.255.0'/></network>"
    )


def _interface(name: str, place: int) -> str:
    return (
        f"<interface type='ethernet' name='{name}'><start mode='onboot'/>"
        f"<mac address='AA:BB:CC:00:00:{place:02d}'/></interface>"
    )


def _node(path: Path, *parts: str) -> None:
    path.write_text(f"<node>{''.join(parts)}</node>", encoding="utf-8")


def _write(seen: Path, veiled: Path, *, later: bool) -> None:
    """What is on the two hosts, before and after a VM moved and others changed."""
    hostile = escape(HOSTILE)
    moved = domain_xml("moved", uuid=MOVED, state=RUNNING, title=MOVED_TITLE)
    own = domain_xml(
        "own", state=RUNNING, devices=disk_xml("/images/own.qcow2") + NIC.format("00:00:01", "lan")
    )
    _node(
        seen,
        own,
        moved if later else "",
        # A twin of one over there: the same UUID and the same place, but of another name.
        domain_xml("twin", uuid=TWIN, title="later" if later else "before"),
        pool_xml("images", ["own.qcow2"]),
        _network("lan", 7),
        _interface("eth7", 7),
    )
    devices = disk_xml(f"/images/{escape(MARK)}.qcow2") + NIC.format("00:00:02", hostile)
    _node(
        veiled,
        domain_xml(f"{MARK}-one", state=RUNNING, devices=devices, title=hostile),
        domain_xml(f"{MARK}-twin", uuid=TWIN, title=f"{MARK} {later}", devices=devices),
        "" if later else moved,
        domain_xml(f"{MARK}-new" if later else f"{MARK}-gone", title=hostile),
        pool_xml("images", [f"{MARK}.qcow2", *([f"{MARK}-2.qcow2"] if later else [])]),
        pool_xml(f"{MARK}-pool", [hostile]),
        _network(hostile, 8),
        _interface(f"{MARK}0", 8),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    directory = tmp_path_factory.mktemp("scopes")
    web = make_web(directory / "var", NPVIRT_TIMEZONE="UTC", NPVIRT_ALLOW_TEST_FILES="1")
    paths = {slug: directory / f"{slug}.xml" for slug in (SEEN, VEILED)}
    for slug, path in paths.items():
        add_host(web.store, slug, Connection(driver="test", transport="embedded", path=str(path)))
    for later in (False, False, True, True):
        _write(*paths.values(), later=later)
        done = scan_once(web.settings, web.store, list_hosts(web.store))
        assert [one.sentence for one in done if not one.ok and one.counts["domains"] is None] == []
        time.sleep(0.6)
        web.__dict__.setdefault("times", []).append(now_ms())
    yield web
    web.store.close()


@pytest.fixture
def web(made: Web) -> Web:
    return made


def _past(web: Web) -> str:
    """A moment before the move."""
    return rfc3339(web.__dict__["times"][1])


@pytest.fixture(params=["viewer", "operator", "admin"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _limited(web: Web, role: str) -> None:
    web.sign_in(f"limited-{role}", role, [SEEN])


class Keys:
    """What is on a host, as addresses name it."""

    def __init__(self, web: Web, slug: str) -> None:
        seen = fleet(web.store, None)
        of: dict[str, Sequence[Any]] = {
            "domain": seen.domains, "pool": seen.pools, "network": seen.networks,
            "volume": seen.volumes,
        }  # fmt: skip
        found = {kind: [one for one in all_ if one.host == slug] for kind, all_ in of.items()}
        self.uuids = {
            kind: [one.key for one in found[kind]] for kind in ("domain", "pool", "network")
        }
        self.volumes = [str(one.entity_id) for one in found["volume"]]
        self.devices = [
            *(f"disk:{disk.target}" for one in found["domain"] for disk in one.fact.disks),
            *(f"nic:{nic.mac}" for one in found["domain"] for nic in one.fact.nics),
        ]


def _getting(web: Web) -> Iterator[Rule]:
    for rule in sorted(web.app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if "GET" in (rule.methods or ()) and rule.endpoint != "static":
            yield rule


def _named(web: Web, rule: Rule, slug: str, keys: Keys) -> Iterator[str]:
    """The addresses of a rule for everything on a host."""
    kind = next((k for k in ("domain", "pool", "network", "volume") if f"/{k}s/<" in rule.rule), "")
    objects = keys.volumes if kind == "volume" else keys.uuids.get(kind, ["x"])
    inner = keys.devices if "/devices/" in rule.rule else ["x"]
    for one in objects or ["x"]:
        for key in inner:
            values: dict[str, Any] = {
                "slug": slug, "uuid": one, "key": key if "/devices/" in rule.rule else one,
                "name": "x", "action": "suspend", "job_id": 1, "change_id": 1, "secret": "x",
                "session_id": 1, "rule_id": 1, "target_id": 1, "view": "domains", "token_id": 1,
                "month": "2026-10",
            }  # fmt: skip
            built = rule.build({k: values[k] for k in rule.arguments}, append_unknown=False)
            assert built is not None
            yield str(built[1])


def _variants(web: Web, address: str) -> Iterator[str]:
    at = _past(web)
    yield address
    for query in (f"at={at}", "format=csv", f"at={at}&format=csv", "at=0", f"since=1&at={at}",
                  f"differs={rfc3339(now_ms() - 1000)}&at={at}", "range=1h", "per_page=1000",
                  f"with={rfc3339(now_ms() - 1000)}&at={at}"):  # fmt: skip
        yield f"{address}?{query}"


def _secrets(web: Web) -> list[str]:
    """Whatever names something of the veiled host alone."""
    own, other = Keys(web, SEEN), Keys(web, VEILED)
    mine = {*own.uuids["domain"], *own.uuids["pool"], *own.uuids["network"]}
    theirs = {*other.uuids["domain"], *other.uuids["pool"], *other.uuids["network"]}
    return [MARK, VEILED, "192.168.8.1", "52:54:00:00:00:02", *(theirs - mine)]


def _plain(answer: TestResponse) -> str:
    """The body without what is another with every session, or of the audit with every asking."""
    text = answer.text
    if answer.request.path == "/api/v1/audit":
        text = re.sub(r'("as_of":")[^"]*', r"\1", text)
    return re.sub(r'(X-CSRF-Token": ?"|name="csrf_token" value=")[^"]*', r"\1", text)


def _leaks(answer: TestResponse, secrets: list[str]) -> list[str]:
    text = answer.text + "".join(f"{name}: {value}\n" for name, value in answer.headers)
    return [secret for secret in secrets if secret in text]


def test_the_hosts_are_as_they_are_meant_to_be(web: Web) -> None:
    """Nothing below would find anything if there were nothing to be found."""
    web.sign_in("ada", "admin")
    body = json.loads(web.text("/api/v1/domains"))
    assert {one["host"] for one in body["items"]} == {SEEN, VEILED}
    assert any(one["name"] == HOSTILE for one in json.loads(web.text("/api/v1/networks"))["items"])
    changes = json.loads(web.text("/api/v1/changes?per_page=1000"))["items"]
    assert {"moved", "created", "deleted"} <= {one["what"] for one in changes}
    moved = next(one for one in changes if one["what"] == "moved")
    assert (moved["old"], moved["new"]) == (VEILED, SEEN)
    past = json.loads(web.text(f"/api/v1/domains?at={_past(web)}"))["items"]
    assert {one["host"] for one in past if one["uuid"] == MOVED} == {VEILED}


def test_no_address_tells_of_the_other_host(web: Web, role: str) -> None:
    secrets, keys = _secrets(web), Keys(web, SEEN)
    _limited(web, role)
    asked, told = 0, 0
    for rule in _getting(web):
        for plain in dict.fromkeys(_named(web, rule, SEEN, keys)):
            for address in _variants(web, plain):
                answer = web.client.get(address)
                # Nothing collects here, and this is no web server that lets streams be.
                assert answer.status_code < 500 or rule.rule in ("/healthz", "/events"), address
                assert _leaks(answer, secrets) == [], (role, address)
                asked, told = asked + 1, told + (answer.status_code == 200)
    assert asked > 500
    assert told > 150


def test_every_address_on_the_other_host_is_not_there(web: Web, role: str) -> None:
    keys = Keys(web, VEILED)
    _limited(web, role)
    asked = 0
    for rule in _getting(web):
        if "slug" not in rule.arguments:
            continue
        for plain in dict.fromkeys(_named(web, rule, VEILED, keys)):
            for address in (plain, f"{plain}?at={_past(web)}&format=csv"):
                answer = web.client.get(address)
                assert answer.status_code == 404, (role, address, answer.status_code)
                assert answer.text.count(VEILED) <= 3, address
                asked += 1
        never = web.client.get(address.replace(VEILED, "nobody-77"))
        # The ribbon goes with the time: it is the one of before, or of afterwards.
        around = (answer, web.client.get(address))
        told = [_plain(one).replace(VEILED, "nobody-77") for one in around]
        assert _plain(never) in told, address
    assert asked > 100


def test_what_is_over_there_is_not_to_be_had_by_way_of_the_own_host(web: Web, role: str) -> None:
    own, other = Keys(web, SEEN), Keys(web, VEILED)
    shared = {*own.uuids["domain"], *own.uuids["pool"], *own.uuids["network"], *own.volumes}
    secrets = [MARK, VEILED, "192.168.8.1"]
    _limited(web, role)
    asked = 0
    for rule in _getting(web):
        if "slug" not in rule.arguments or not {"uuid", "key"} & set(rule.arguments):
            continue
        for plain in dict.fromkeys(_named(web, rule, SEEN, other)):
            if any(f"/{key}" in plain for key in shared):
                continue
            for address in (plain, f"{plain}?at={_past(web)}&format=csv"):
                answer = web.client.get(address)
                assert answer.status_code in (403, 404, 422), (role, address)
                body = answer.text
                assert not any(secret in body for secret in secrets), (role, address)
                asked += 1
    assert asked > 50


_QUESTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/api/v1/series", {"kind": "host", "metric": "cpu"}),
    ("/api/v1/series", {"domain": uuid_of(f"{MARK}-one"), "metric": "cpu"}),
    ("/api/v1/series", {"domain": TWIN, "metric": "cpu"}),
    ("/api/v1/series", {"kind": "domain", "id": TWIN, "device": "disk:vda",
                        "metric": "disk_read_bytes"}),
    ("/api/v1/series", {"kind": "pool", "id": uuid_of("images"), "metric": "capacity_bytes"}),
    ("/api/v1/series/stack", {"metric": "cpu"}),
    ("/series", {"kind": "host"}), ("/ui/series", {"kind": "domain", "id": TWIN}),
    ("/api/v1/domains", {}), ("/api/v1/pools", {}), ("/api/v1/networks", {}),
    ("/api/v1/interfaces", {}), ("/api/v1/volumes", {}), ("/domains", {}), ("/pools", {}),
    ("/networks", {}), ("/api/v1/changes", {}), ("/changes", {}), ("/ui/changes", {}),
    ("/api/v1/audit", {}), ("/audit", {}), ("/api/v1/scans", {}), ("/api/v1/gaps", {}),
)  # fmt: skip


@pytest.mark.parametrize(("path", "given"), _QUESTIONS)
def test_to_name_the_other_host_is_to_name_nobody(
    web: Web, path: str, given: dict[str, str]
) -> None:
    _limited(web, "viewer")
    for moment in ({}, {"at": _past(web)}):
        answers = [
            web.client.get(f"{path}?{urlencode({**given, 'host': slug, **moment})}")
            for slug in (VEILED, "nobody-77")
        ]
        hidden, never = answers
        assert hidden.status_code == never.status_code
        assert _plain(hidden).replace(VEILED, "nobody-77") == _plain(never)


@pytest.mark.parametrize(
    "path", ["/api/v1/domains", "/api/v1/pools", "/api/v1/volumes", "/api/v1/networks",
             "/api/v1/interfaces", "/api/v1/changes", "/api/v1/audit"]
)  # fmt: skip
def test_no_search_finds_what_is_over_there(web: Web, path: str) -> None:
    """Not even that it is there: the answer to a word of it is that to any other."""
    words = [MARK, VEILED, "veiled", quote(HOSTILE[:60]), "192.168.8", "52:54:00:00:00:02",
             uuid_of(f"{MARK}-one")]  # fmt: skip
    web.sign_in("ada", "admin")
    assert any(json.loads(web.text(f"{path}?q={word}"))["total"] for word in words) or (
        path.endswith("/audit")
    )
    _limited(web, "viewer")
    for word in words:
        for moment in ("", f"&at={_past(web)}"):
            body = json.loads(web.text(f"{path}?q={word}{moment}"))
            assert (body["total"], body["items"]) == (0, []), (path, word)
    if path.endswith("changes"):
        for key in (uuid_of(f"{MARK}-one"), uuid_of(f"{MARK}-pool"), f"{uuid_of('images')}/{MARK}"):
            assert json.loads(web.text(f"{path}?key={key}"))["total"] == 0


def test_no_change_of_the_other_host_is_there_by_its_number(web: Web) -> None:
    with web.store.reading() as connection:
        rows = connection.execute(schema.change.select()).all()
    by_slug = {record.slug: record.id for record in list_hosts(web.store)}
    theirs = [row.id for row in rows if row.host_id == by_slug[VEILED]]
    mine = [row.id for row in rows if row.host_id == by_slug[SEEN] and row.replaced_ms is None]
    assert len(theirs) > 3
    assert len(mine) > 1
    _limited(web, "operator")
    for number in theirs:
        for address in (f"/changes/{number}", f"/ui/changes/{number}",
                        f"/changes/{number}/definition?of=saved&when=after",
                        f"/changes/{number}?at={_past(web)}"):  # fmt: skip
            answer = web.client.get(address)
            never = web.client.get(address.replace(f"/{number}", "/999999"))
            assert (answer.status_code, never.status_code) == (404, 404), address
            assert _plain(answer).replace(f"/{number}", "/999999") == _plain(never)
    for number in mine:
        answer = web.client.get(f"/changes/{number}")
        assert answer.status_code == 200
        assert _leaks(answer, [MARK, VEILED]) == []


def test_a_move_from_there_names_neither_the_host_nor_that_it_was_there_before(web: Web) -> None:
    _limited(web, "viewer")
    (moved,) = [
        one for one in json.loads(web.text("/api/v1/changes"))["items"] if one["what"] == "moved"
    ]
    assert (moved["old"], moved["new"]) == (None, SEEN)
    page = web.text(f"/hosts/{SEEN}/domains/{MOVED}")
    assert VEILED not in page
    compared = json.loads(web.text(f"/api/v1/compare?at={_past(web)}"))
    (item,) = [one for one in compared["items"] if one["key"] == MOVED]
    assert (item["what"], item["then"]) == ("created", None)


def test_nothing_is_done_over_there(web: Web) -> None:
    _limited(web, "admin")
    keys = Keys(web, VEILED)
    token = {"Origin": "http://localhost", "X-CSRF-Token": web.token()}
    asked = 0
    for rule in sorted(web.app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if "POST" not in (rule.methods or ()) or "slug" not in rule.arguments:
            continue
        for address in dict.fromkeys(_named(web, rule, VEILED, keys)):
            answer = web.client.post(address, headers=token, data={"request_id": TWIN})
            assert answer.status_code == 404, (address, answer.status_code)
            asked += 1
    assert asked > 50
    items = [{"host": VEILED, "uuid": TWIN, "expect_state": "shutoff"}]
    answer = web.client.post(
        "/api/v1/domains/actions/start", headers=token, json={"items": items, "request_id": MOVED}
    )
    (told,) = answer.get_json()["items"]
    assert (told["name"], told["audit"]["outcome"]) == (None, "refused")


def test_a_name_that_was_theirs_gives_no_power_over_the_host_that_has_it_now(
    tmp_path: Path,
) -> None:
    """A host was removed and another one got its name: who was let see the first sees its past."""
    web = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC", NPVIRT_ALLOW_TEST_FILES="1")
    first, second = tmp_path / "first.xml", tmp_path / "second.xml"
    _write(first, second, later=False)
    for number, path in enumerate((first, second)):
        if number:
            remove_host(web.store, SEEN)
        add_host(web.store, SEEN, Connection(driver="test", transport="embedded", path=str(path)))
        scan_once(web.settings, web.store, list_hosts(web.store))
        if not number:
            web.sign_in("limited", "admin", [SEEN])
            # A look counts from when it was over.
            time.sleep(0.6)
    headers = {"Origin": "http://localhost", "X-CSRF-Token": web.token()}
    uuid = uuid_of(f"{MARK}-one")
    for address in (f"/hosts/{SEEN}/scan", f"/api/v1/hosts/{SEEN}/scan",
                    f"/api/v1/hosts/{SEEN}/domains/{uuid}/actions/suspend",
                    f"/hosts/{SEEN}/domains/{uuid}/actions/suspend",
                    f"/api/v1/hosts/{SEEN}/pools"):  # fmt: skip
        body = {"expect_state": "running", "request_id": TWIN}
        answer = web.client.post(address, headers=headers, json=body)
        assert answer.status_code == 404, (address, answer.text)
        assert MARK not in answer.text
    for address in (f"/hosts/{SEEN}", f"/api/v1/hosts/{SEEN}/domains/{uuid}", "/api/v1/domains",
                    f"/api/v1/hosts/{SEEN}"):  # fmt: skip
        assert MARK not in web.client.get(address).text
    assert [one["name"] for one in json.loads(web.text("/api/v1/hosts"))["items"]] == []
    web.store.close()
