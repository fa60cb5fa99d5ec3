"""The JSON interface: what scripts rely on, to the letter of the contract."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from msgspec.structs import replace
from werkzeug.test import TestResponse

from app.clock import now_ms, rfc3339
from app.connection import Connection
from app.inventory import (
    DOMAIN_STATES,
    FLAG_GROUPS,
    Definition,
    DhcpRange,
    Disk,
    Domain,
    DomainSample,
    Graphics,
    Guest,
    GuestAddress,
    Interface,
    Lease,
    Network,
    Nic,
    Pool,
    PoolSample,
    Scan,
    Volume,
    VolumeSample,
)
from app.store.hosts import add_host, remove_host, set_enabled
from app.store.record import Recorder
from tests.signing import bearer
from tests.web_support import (
    GIB,
    HOSTILE,
    INTERVAL_MS,
    ORIGIN,
    Web,
    host_facts,
    host_sample,
    make_web,
)

WEB, DB, OFF = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
IMAGES, OLD = (f"00000000-0000-4000-9000-00000000000{n}" for n in (1, 2))
NET = "00000000-0000-4000-a000-000000000001"
LISTS = ("hosts", "domains", "pools", "volumes", "networks", "interfaces")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


class Api:
    """Two hosts with everything on them; kvm-02 stopped answering after two scans."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.at_ms = now_ms() - INTERVAL_MS
        self._recorders: dict[str, Recorder] = {}
        for slug in ("kvm-01", "kvm-02"):
            record = add_host(web.store, slug, Connection(transport="ssh", host=f"{slug}.test"))
            with web.store.writing() as writing:
                writing.exec_driver_sql(f"UPDATE host SET created_at_ms = {self.at_ms - 10**6}")
            self._recorders[slug] = Recorder(web.store, record, INTERVAL_MS)
            facts = host_facts(record)
            for step in (0, 1):
                self.record(slug, replace(everything(self.at_ms + step * 10_000, step), host=facts))
        failed = Scan(self.at_ms + 20_000, 5000, ok=False, problem="timeout", sentence="No answer.")
        self.record("kvm-02", failed)

    def record(self, slug: str, scan: Scan) -> None:
        self._recorders[slug].record(scan)

    def get(self, address: str, status: int = 200, etag: str = "") -> TestResponse:
        headers = {"If-None-Match": etag} if etag else {}
        answer = self.web.client.get(f"/api/v1/{address}", headers=headers)
        assert answer.status_code == status, answer.text
        return answer

    def json(self, address: str) -> Any:
        return self.get(address).get_json()

    def problem(self, address: str, status: int = 422) -> Any:
        answer = self.get(address, status)
        assert answer.mimetype == "application/problem+json"
        body = answer.get_json()
        assert body["status"] == status
        assert body["detail"].endswith(".")
        return body


def everything(at_ms: int, step: int) -> Scan:
    """A scan with one of each; `step` moves the counters on."""
    guest = Guest("web.test", "Debian 12", (GuestAddress("eth0", None, ("192.0.2.7/24",)),))
    web = Domain(
        WEB, HOSTILE, "running", "booted", id=4, title="=cmd()", persistent=True, autostart=True,
        managed_save=False, has_snapshot=True, has_checkpoint=False, memory_bytes=2 * GIB,
        max_memory_bytes=4 * GIB, vcpus=2, max_vcpus=4, disks=(Disk("vda", pool="images",
        volume="web.qcow2", source="/images/web.qcow2", backing=("/images/base.qcow2",)),),
        nics=(Nic("52:54:00:00:00:01", "network", "default"),),
        graphics=(Graphics("vnc", 5901, None, "127.0.0.1"),), agent="connected", guest=guest,
    )  # fmt: skip
    db = Domain(DB, "db-2", "paused", "io-error", id=5, persistent=False, autostart=False)
    off = Domain(OFF, "db-10", "shutoff", "destroyed", persistent=True, autostart=False,
                 vcpus=8)  # fmt: skip
    sample = DomainSample(
        cpu_time_ns=step * 5 * 10**9, memory_bytes=2 * GIB, memory_usable_bytes=GIB,
        disk_read_bytes=step * 1000, net_tx_bytes=5 - step,
    )  # fmt: skip
    lease = Lease("52:54:00:00:00:01", "192.168.122.7", "web", 1_777_627_800_000)
    return Scan(
        at_ms, 300, ok=True, host_sample=host_sample(25 * step, 75 * step),
        domains={one.uuid: one for one in (web, db, off)},
        domain_samples={WEB: sample, DB: DomainSample()},
        definitions={WEB: Definition("<domain id='4'/>", "<domain/>")},
        pools={
            IMAGES: Pool(IMAGES, "images", "running", autostart=True, type="dir"),
            OLD: Pool(OLD, "old", "inactive", autostart=False),
        },
        pool_samples={IMAGES: PoolSample(100 * GIB, 40 * GIB, 60 * GIB, 130 * GIB, 2)},
        volumes={IMAGES: {
            "web.qcow2": Volume(IMAGES, "web.qcow2", "/images/web.qcow2", "file", "qcow2",
                                20 * GIB, "/images/base.qcow2"),
            "base.qcow2": Volume(IMAGES, "base.qcow2", "/images/base.qcow2", "file", "qcow2",
                                 10 * GIB),
        }},
        volume_samples={(IMAGES, "web.qcow2"): VolumeSample(3 * GIB)},
        volumes_measured=True,
        networks={NET: Network(NET, "default", "active", True, True, "virbr0", "nat", None,
                               ("192.168.122.1/24",), (DhcpRange("a", "b"),), (lease,))},
        interfaces={"eth0": Interface("eth0", "active", "52:54:00:aa:bb:cc", "ethernet", 1500)},
    )  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    web = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC")
    yield Api(web)
    web.store.close()


# --- lists ---


@pytest.mark.parametrize("name", LISTS)
def test_every_list_has_the_shape_of_the_contract(api: Api, name: str) -> None:
    body = api.json(name)
    assert set(body) == {"items", "total", "page", "counts", "as_of", "scans"}
    assert body["total"] == len(body["items"]) > 0
    assert body["page"] == 1
    assert TIME.fullmatch(body["as_of"])
    assert body["scans"] == {
        "kvm-01": {"at": rfc3339(api.at_ms + 10_000), "ok": True, "missing": []},
        "kvm-02": {"at": rfc3339(api.at_ms + 20_000), "ok": False, "missing": []},
    }


@pytest.mark.parametrize("name", LISTS)
def test_items_of_one_list_have_the_same_keys_whether_known_or_not(api: Api, name: str) -> None:
    items = api.json(name)["items"]
    assert {item["host"] for item in items} == {"kvm-01", "kvm-02"}
    assert len({frozenset(item) for item in items}) == 1


def test_a_domain_says_what_the_contract_promises(api: Api) -> None:
    domain = api.json("domains?host=kvm-01&q=cmd")["items"][0]
    promised = {
        "host": "kvm-01", "uuid": WEB, "name": HOSTILE, "id": 4, "state": "running",
        "state_reason": "booted", "memory_bytes": 2 * GIB, "max_memory_bytes": 4 * GIB, "vcpus": 2,
        "cpu_seconds": 5.0, "autostart": True, "persistent": True,
        "url": f"/hosts/kvm-01/domains/{WEB}",
    }  # fmt: skip
    assert {key: domain[key] for key in promised} == promised
    assert domain["graphics"] == [
        {"type": "vnc", "port": 5901, "tls_port": None, "listen": "127.0.0.1"}
    ]
    assert domain["addresses"] == ["192.0.2.7", "192.168.122.7"]
    assert domain["memory_used_bytes"] == GIB
    assert (domain["unknown_since"], domain["last"]) == (None, None)


def test_rates_are_per_second_and_a_counter_that_fell_has_none(api: Api) -> None:
    domain = api.json("domains?host=kvm-01&flag=running")["items"][0]
    assert domain["cpu"] == 0.25
    assert domain["disk_read_bytes_per_second"] == 100
    assert domain["net_tx_bytes_per_second"] is None
    assert domain["disk_write_bytes_per_second"] is None


def test_an_object_of_a_silent_host_is_null_but_for_its_names_and_says_what_was_last(
    api: Api,
) -> None:
    domain = api.json(f"hosts/kvm-02/domains/{WEB}")
    since = rfc3339(api.at_ms + 10_000)
    assert domain["unknown_since"] == since
    names = {"host", "uuid", "name", "url", "unknown_since", "last", "as_of", "scans"}
    assert all(value is None for key, value in domain.items() if key not in names)
    assert domain["last"]["at"] == since
    assert domain["last"]["state"] == "running"
    assert domain["last"]["memory_bytes"] == 2 * GIB
    assert domain["last"]["live_xml"] == "<domain id='4'/>"


@pytest.mark.parametrize("name", ["pools", "volumes", "networks", "interfaces"])
def test_every_kind_has_a_last_when_its_host_is_silent(api: Api, name: str) -> None:
    item = api.json(f"{name}?host=kvm-02")["items"][0]
    assert item["last"]["at"] == item["unknown_since"]
    assert "state" not in item or (item["state"] is None and item["last"]["state"])


def test_a_pool_says_its_sizes_and_an_inactive_one_that_they_are_unknown(api: Api) -> None:
    images, old = api.json("pools?host=kvm-01")["items"]
    assert (images["state"], images["autostart"]) == ("running", True)
    assert images["capacity_bytes"] == 100 * GIB
    assert (images["allocation_bytes"], images["available_bytes"]) == (40 * GIB, 60 * GIB)
    assert (old["state"], old["capacity_bytes"], old["available_bytes"]) == ("inactive", None, None)


def test_a_volume_names_its_pool_its_users_and_what_stands_on_it(api: Api) -> None:
    base, web = api.json("volumes?host=kvm-01")["items"]
    assert isinstance(base["id"], int)
    assert (base["pool_uuid"], base["pool"]) == (IMAGES, "images")
    assert (base["used_by"], base["backing_file_of"]) == ([], 1)
    assert web["used_by"] == [{"uuid": WEB, "name": HOSTILE, "target": "vda"}]
    assert (web["capacity_bytes"], web["allocation_bytes"]) == (20 * GIB, 3 * GIB)
    assert base["allocation_bytes"] is None


def test_a_network_has_its_leases_with_times_in_words(api: Api) -> None:
    network = api.json(f"hosts/kvm-01/networks/{NET}")
    assert (network["state"], network["bridge"], network["forward"]) == ("active", "virbr0", "nat")
    assert network["leases"][0]["expires_at"] == "2026-05-01T09:30:00Z"
    assert network["dhcp"] == [{"start": "a", "end": "b"}]


def test_a_pool_on_its_own_comes_with_its_volumes(api: Api) -> None:
    pool = api.json(f"hosts/kvm-01/pools/{IMAGES}")
    assert [volume["name"] for volume in pool["volumes"]] == ["base.qcow2", "web.qcow2"]
    assert set(pool["scans"]) == {"kvm-01"}


def test_a_domain_on_its_own_comes_with_its_xml(api: Api) -> None:
    domain = api.json(f"hosts/kvm-01/domains/{WEB}")
    assert (domain["live_xml"], domain["inactive_xml"]) == ("<domain id='4'/>", "<domain/>")
    other = api.json(f"hosts/kvm-01/domains/{OFF.upper()}")
    assert (other["live_xml"], other["inactive_xml"]) == (None, None)


def test_a_host_on_its_own_has_its_hardware(api: Api) -> None:
    host = api.json("hosts/kvm-01")
    assert (host["host"], host["state"], host["condition"]) == ("kvm-01", "ok", "ok")
    assert (host["cpus"], host["domains"], host["running_domains"]) == (4, 3, 1)
    assert host["sysinfo"][0]["kind"] == "bios"
    silent = api.json("hosts/kvm-02")
    assert (silent["state"], silent["memory_bytes"], silent["sysinfo"]) == (None, None, None)
    assert silent["condition"] == "unknown"
    assert silent["sentence"] == "No answer."
    assert silent["last"]["sysinfo"][0]["kind"] == "bios"
    assert silent["last"]["cpus"] == 4


def test_the_overview_counts_only_what_is_known(api: Api) -> None:
    overview = api.json("overview")
    assert overview["hosts"] == {
        "total": 2, "answering": 1, "partial": 0, "unknown": 1, "waiting": 0, "disabled": 0,
    }  # fmt: skip
    assert overview["domains"]["total"] == 6
    assert overview["domains"]["counts"]["running"] == 1
    assert overview["domains"]["counts"]["unknown"] == 3
    assert overview["cpu"] == 0.25
    assert overview["memory_total_bytes"] == 16 * GIB
    assert overview["pools"]["capacity_bytes"] == 100 * GIB
    assert {matter["kind"] for matter in overview["attention"]} == {"unknown", "paused"}


# --- asking ---


def test_filters_search_order_and_pages_work_on_the_list(api: Api) -> None:
    def names(query: str) -> list[str]:
        return [item["name"] for item in api.json(f"domains?host=kvm-01&{query}")["items"]]

    assert names("flag=paused&flag=shutoff") == ["db-2", "db-10"]
    assert names("flag=paused&flag=persistent") == []
    assert names("state=shutoff") == ["db-10"]
    assert names("q=52:54:00") == [HOSTILE]
    assert names("q=192.168.122.7") == [HOSTILE]
    assert names("sort=-name") == ["db-10", "db-2", HOSTILE]
    assert names("per_page=1&page=2&sort=name") == ["db-2"]
    assert api.json("domains?per_page=1&page=2")["page"] == 2
    assert api.json("domains?page=9")["items"] == []


def test_counts_of_domains_name_every_flag_and_state(api: Api) -> None:
    counts = api.json("domains")["counts"]
    flags = {flag for group in FLAG_GROUPS.values() for flag in group}
    assert set(counts) == flags | set(DOMAIN_STATES) | {"unknown"}
    assert (counts["running"], counts["no-autostart"], counts["unknown"]) == (1, 2, 3)


def test_a_host_filter_narrows_the_scans_too(api: Api) -> None:
    assert set(api.json("pools?host=kvm-01")["scans"]) == {"kvm-01"}


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("domains?colour=red", "colour"),
        ("domains?host=nowhere", "host"),
        ("domains?host=", "host"),
        ("domains?flag=awake", "flag"),
        ("domains?state=Running", "state"),
        ("domains?sort=size", "sort"),
        ("domains?page=0", "page"),
        ("domains?per_page=1001", "per_page"),
        ("domains?format=xml", "format"),
        ("domains?at=2026-05-01T09:30", "at"),
        ("domains?at=2999-01-01T00:00Z", "at"),
        ("domains?at=0&at=1", "at"),
        ("pools?flag=running", "flag"),
        ("volumes?state=running", "state"),
        ("overview?host=kvm-01", "host"),
        ("hosts/kvm-01?format=csv", "format"),
        ("domains?have=x", "have"),
    ],
)
def test_a_bad_parameter_is_a_problem_that_names_it(api: Api, address: str, field: str) -> None:
    assert [entry["name"] for entry in api.problem(address)["invalid"]] == [field]


@pytest.mark.parametrize(
    "address",
    [
        "hosts/nowhere",
        f"hosts/nowhere/domains/{WEB}",
        "hosts/kvm-01/domains/nothing",
        f"hosts/kvm-01/pools/{WEB}",
        f"hosts/kvm-01/networks/{WEB}",
        "nothing",
        "hosts/kvm-01/domains/%3Cscript%3E",
    ],
)
def test_what_is_not_there_is_a_problem_and_no_page(api: Api, address: str) -> None:
    api.problem(address, 404)


def test_a_get_changes_nothing_and_other_methods_are_refused(api: Api) -> None:
    version = api.web.store.version()
    for name in LISTS:
        api.get(name)
    assert api.web.store.version() == version
    refused = api.web.client.delete(
        "/api/v1/domains", headers=ORIGIN | {"X-CSRF-Token": api.web.token()}
    )
    assert refused.status_code == 405
    assert refused.mimetype == "application/problem+json"


# --- time ---


@pytest.mark.parametrize("name", [*LISTS, "overview", "hosts/kvm-01", f"hosts/kvm-01/pools/{OLD}"])
def test_a_past_moment_answers_the_same_bytes_after_new_scans_and_edits(
    api: Api, name: str
) -> None:
    address = f"{name}?at={rfc3339(api.at_ms + 15_000)}"
    before = api.get(address).data
    api.record("kvm-01", replace(everything(api.at_ms + 30_000, 2), domains={}, pools={}))
    set_enabled(api.web.store, "kvm-01", False)
    assert api.get(address).data == before


def test_the_past_is_what_was_seen_then(api: Api) -> None:
    then = api.json(f"domains?at={rfc3339(api.at_ms + 15_000)}")
    assert then["counts"]["unknown"] == 0
    assert then["counts"]["running"] == 2
    assert then["as_of"] == rfc3339(api.at_ms + 10_000)
    first = api.json(f"hosts/kvm-01/domains/{WEB}?at={(api.at_ms + 5000) / 1000:.3f}")
    assert (first["state"], first["cpu"], first["cpu_seconds"]) == ("running", None, 0.0)


@pytest.mark.parametrize("name", LISTS)
def test_before_the_first_scan_there_is_nothing_and_no_time(api: Api, name: str) -> None:
    body = api.json(f"{name}?at=1000")
    assert (body["items"], body["total"], body["as_of"], body["scans"]) == ([], 0, None, {})
    assert api.json(f"{name}?at=1000&host=kvm-01")["items"] == []


def test_a_removed_host_leaves_the_present_and_stays_in_the_past(api: Api) -> None:
    remove_host(api.web.store, "kvm-01")
    assert {item["host"] for item in api.json("domains")["items"]} == {"kvm-02"}
    past = api.json(f"domains?at={rfc3339(api.at_ms + 15_000)}&host=kvm-01")
    assert past["total"] == 3


# --- bytes ---


def test_an_unchanged_list_answers_304_and_a_changed_one_anew(api: Api) -> None:
    first = api.get("domains")
    etag = first.headers["ETag"]
    assert api.get("domains", 304, etag).data == b""
    api.record("kvm-01", everything(api.at_ms + 30_000, 3))
    assert api.get("domains", etag=etag).headers["ETag"] != etag


def test_no_answer_may_be_kept_by_others_or_taken_for_a_page(api: Api) -> None:
    answer = api.get("domains")
    assert answer.mimetype == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-store"


# --- CSV ---


def rows(answer: TestResponse) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.data.decode(), newline="")))


@pytest.mark.parametrize("name", LISTS)
def test_every_list_is_csv_too_with_the_same_objects(api: Api, name: str) -> None:
    answer = api.get(f"{name}?format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="npvirt-{name}.csv"'
    items = api.json(name)["items"]
    assert [row["host"] for row in rows(answer)] == [item["host"] for item in items]


def test_csv_says_nothing_where_nothing_is_known_and_defuses_formulas(api: Api) -> None:
    web, lost = rows(api.get("domains?format=csv&q=cmd"))
    assert web["name"] == HOSTILE
    assert web["title"] == "'=cmd()"
    assert (web["state"], web["vcpus"], web["autostart"]) == ("running", "2", "true")
    assert web["graphics"] == "vnc 5901 127.0.0.1"
    assert web["damaged"] == ""
    assert (lost["host"], lost["state"], lost["vcpus"]) == ("kvm-02", "", "")
    assert lost["last_state"] == "running"


def test_csv_holds_all_that_match_unless_a_page_is_asked_for(api: Api) -> None:
    many = {f"u{number}": Domain(f"u{number}", f"vm-{number}", "shutoff") for number in range(150)}
    api.record("kvm-01", replace(everything(api.at_ms + 30_000, 2), domains=many))
    assert len(rows(api.get("domains?format=csv&host=kvm-01"))) == 150
    assert len(rows(api.get("domains?format=csv&host=kvm-01&per_page=20&page=8"))) == 10


def test_csv_of_the_past_stays_the_same(api: Api) -> None:
    address = f"domains?format=csv&at={rfc3339(api.at_ms + 15_000)}"
    before = api.get(address).data
    api.record("kvm-01", everything(api.at_ms + 30_000, 2))
    assert api.get(address).data == before


# --- asking for a scan, health ---


def scan(api: Api, slug: str, query: str = "") -> TestResponse:
    # A script: no cookie, no Origin, but a token.
    return api.web.app.test_client().post(
        f"/api/v1/hosts/{slug}/scan{query}", headers=bearer(api.web.store)
    )


def test_a_scan_is_refused_where_nobody_would_do_it(api: Api) -> None:
    assert scan(api, "nowhere").status_code == 404
    assert scan(api, "kvm-01", "?at=5").status_code == 409
    answer = scan(api, "kvm-01")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    set_enabled(api.web.store, "kvm-01", False)
    assert scan(api, "kvm-01").status_code == 409


def wait_for(happened: Callable[[], bool]) -> None:
    """Until it did, at most half a minute."""
    for _ in range(600):
        if happened():
            return
        Event().wait(0.05)
    pytest.fail("It did not happen within half a minute.")


def test_a_scan_that_is_asked_for_is_accepted_and_comes(tmp_path: Path) -> None:
    web = make_web(tmp_path / "var")
    connection = Connection(driver="test", transport="embedded", path="default")
    add_host(web.store, "demo", connection)
    web.collector.start()
    try:
        wait_for(lambda: web.collector.scan_now("demo"))
        answer = web.app.test_client().post("/api/v1/hosts/demo/scan", headers=bearer(web.store))
        assert answer.status_code == 202
        assert answer.get_json() == {"host": "demo", "asked": True, "url": "/api/v1/hosts/demo"}
        wait_for(lambda: web.client.get("/api/v1/domains").get_json()["total"] == 1)
        item = web.client.get("/api/v1/domains").get_json()["items"][0]
        assert (item["host"], item["name"], item["state"]) == ("demo", "test", "running")
        health = web.client.get("/healthz")
        assert (health.status_code, health.get_json()["ok"]) == (200, True)
    finally:
        web.collector.stop()
        web.store.close()


def test_healthz_is_red_while_no_schedule_runs_and_readyz_tells_of_the_store(api: Api) -> None:
    health = api.web.client.get("/healthz")
    assert (health.status_code, health.get_json()["ok"]) == (503, False)
    assert api.web.client.get("/readyz").get_json() == {"ok": True}
