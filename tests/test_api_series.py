"""`/api/v1/series`: what was measured over time, to the letter of the contract."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.clock import now_ms, rfc3339
from app.connection import Connection
from app.inventory import (
    Domain,
    DomainSample,
    HostSample,
    Pool,
    PoolSample,
    Scan,
    Volume,
    VolumeSample,
)
from app.store.hosts import add_host
from app.store.record import Recorder
from tests.signing import bearer
from tests.web_support import Web, host_facts, make_web

UUID = "00000000-0000-4000-8000-000000000001"
POOL = "00000000-0000-4000-9000-000000000001"
MINUTE_MS = 60_000
SCANS = 30


class Measured:
    """Half an hour of one host, a scan a minute; the domain uses half of its two vCPUs."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.record = add_host(web.store, "kvm-01", Connection())
        self.recorder = Recorder(web.store, self.record, MINUTE_MS)
        self.facts = host_facts(self.record)
        self.first_ms = now_ms() // 1000 * 1000 - SCANS * MINUTE_MS
        with web.store.writing() as writing:
            writing.exec_driver_sql(f"UPDATE host SET created_at_ms = {self.first_ms - 1}")
        for place in range(SCANS):
            self.scan(place)

    def scan(self, place: int) -> None:
        self.recorder.record(
            Scan(
                at_ms=self.first_ms + place * MINUTE_MS, took_ms=20, ok=True, host=self.facts,
                host_sample=HostSample(cpu_user_ns=place * 10**9, cpu_system_ns=0),
                domains={UUID: Domain(UUID, "web", "running", id=1, vcpus=2)},
                domain_samples={
                    UUID: DomainSample(
                        cpu_time_ns=place * 60 * 10**9, memory_bytes=1 << 30,
                        disk_read_bytes=place * 6_000_000,
                    )
                },
                pools={POOL: Pool(POOL, "images", "running")},
                pool_samples={POOL: PoolSample(100, 40, 60)},
                volumes={POOL: {"a.raw": Volume(POOL, "a.raw")}},
                volume_samples={(POOL, "a.raw"): VolumeSample(7)},
                volumes_measured=True,
            )
        )  # fmt: skip

    def get(self, query: str, headers: dict[str, str] | None = None) -> Any:
        return self.web.client.get(f"/api/v1/series?{query}", headers=headers or {})

    def json(self, query: str) -> Any:
        answer = self.get(query)
        assert answer.status_code == 200, answer.text
        return answer.get_json()


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Measured]:
    web = make_web(tmp_path / "var")
    yield Measured(web)
    web.store.close()


def test_columns_are_parallel_and_in_seconds(measured: Measured) -> None:
    told = measured.json(f"host=kvm-01&domain={UUID}&metric=cpu&points=2000")
    assert len(told["t"]) == len(told["avg"]) == len(told["min"]) == len(told["max"]) == SCANS
    assert told["t"][0] == measured.first_ms // 1000
    assert (told["tier"], told["step_seconds"]) == ("raw", 60)
    assert told["avg"][0] is None
    assert told["avg"][1:] == pytest.approx([0.5] * (SCANS - 1))
    (series,) = told["series"]
    assert (series["metric"], series["unit"]) == ("cpu", "ratio")
    assert series["avg"] == told["avg"]


def test_several_metrics_come_with_one_axis(measured: Measured) -> None:
    told = measured.json(
        f"host=kvm-01&kind=domain&id={UUID}&metric=disk_read_bytes&metric=memory_bytes"
    )
    assert [one["metric"] for one in told["series"]] == ["disk_read_bytes", "memory_bytes"]
    assert told["avg"] == told["series"][0]["avg"]
    seen = [value for value in told["avg"] if value is not None]
    assert seen == pytest.approx([100_000.0] * len(seen))
    assert {value for value in told["series"][1]["avg"] if value is not None} == {1 << 30}


def test_hosts_pools_and_volumes_have_series_too(measured: Measured) -> None:
    (volume,) = measured.web.client.get("/api/v1/volumes").get_json()["items"]
    for query, value in (
        ("kind=host&metric=cpu_user", 1 / 60 / 3),
        (f"kind=pool&id={POOL}&metric=available_bytes", 60),
        (f"kind=volume&id={volume['id']}&metric=allocation_bytes", 7),
    ):
        told = measured.json(f"host=kvm-01&{query}")
        seen = [one for one in told["avg"] if one is not None]
        assert seen == pytest.approx([value] * len(seen)), query
        assert seen, query


def test_what_was_not_seen_is_null_and_a_gap(measured: Measured) -> None:
    told = measured.json(
        f"host=kvm-01&domain={UUID}&metric=cpu&from={measured.first_ms // 1000 - 7200}&points=200"
    )
    assert told["gaps"] == [[measured.first_ms // 1000 - 7200, measured.first_ms // 1000]]
    before = [v for t, v in zip(told["t"], told["avg"], strict=True) if t < told["gaps"][0][1] - 60]
    assert set(before) <= {None}


def test_the_past_is_not_told_what_came_after_it(measured: Measured) -> None:
    at_ms = measured.first_ms + 10 * MINUTE_MS + 1
    query = f"host=kvm-01&domain={UUID}&metric=cpu&at={rfc3339(at_ms)}"
    first = measured.get(query)
    assert max(first.get_json()["t"]) <= at_ms / 1000
    measured.scan(SCANS)
    assert measured.get(query).data == first.data


def test_an_object_that_is_gone_keeps_its_series(measured: Measured) -> None:
    measured.recorder.record(
        Scan(
            at_ms=now_ms(),
            took_ms=1,
            ok=True,
            host=measured.facts,
            domains={},
            domain_samples={},
        )
    )
    assert measured.web.client.get(f"/hosts/kvm-01/domains/{UUID}").status_code == 404
    begin, end = measured.first_ms // 1000, measured.first_ms // 1000 + 600
    told = measured.json(f"host=kvm-01&domain={UUID}&metric=cpu&from={begin}&to={end}")
    assert any(told["avg"])


def test_an_unchanged_series_answers_304(measured: Measured) -> None:
    query = f"host=kvm-01&domain={UUID}&metric=cpu&to={measured.first_ms // 1000 + 600}"
    first = measured.get(query)
    again = measured.get(query, {"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def test_csv_has_a_line_for_each_point(measured: Measured) -> None:
    query = f"host=kvm-01&domain={UUID}&metric=cpu&metric=memory_bytes&points=2000"
    told, answer = measured.json(query), measured.get(f"{query}&format=csv")
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == len(told["t"])
    assert rows[0]["cpu_avg"] == ""
    assert float(rows[1]["cpu_avg"]) == pytest.approx(0.5)
    assert rows[0]["time"] == rfc3339(measured.first_ms)
    assert list(rows[0]) == [
        "time", "cpu_avg", "cpu_min", "cpu_max",
        "memory_bytes_avg", "memory_bytes_min", "memory_bytes_max",
    ]  # fmt: skip


BASE = f"host=kvm-01&domain={UUID}&metric=cpu"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (f"domain={UUID}&metric=cpu", "host"),
        (f"host=kvm-01&domain={UUID}", "metric"),
        (f"host=kvm-01&domain={UUID}&metric=temperature", "metric"),
        (f"host=kvm-01&domain={UUID}&metric=cpu&metric=cpu", "metric"),
        ("host=kvm-01&kind=network&id=x&metric=cpu", "kind"),
        ("host=kvm-01&kind=host&id=x&metric=cpu", "id"),
        ("host=kvm-01&kind=domain&metric=cpu", "id"),
        (f"{BASE}&kind=domain", "domain"),
        (f"{BASE}&points=0", "points"),
        (f"{BASE}&points=2001", "points"),
        (f"{BASE}&points=many", "points"),
        (f"{BASE}&from=yesterday", "from"),
        (f"{BASE}&from=2026-05-01T09:30", "from"),
        (f"{BASE}&to=2026-13-01T09:30Z", "to"),
        (f"{BASE}&from=1000&to=1000", "from"),
        (f"{BASE}&from=2000&to=1000", "from"),
        (f"{BASE}&from=1", "from"),
        (f"{BASE}&from=99999999990&to=99999999999", "from"),
        (f"{BASE}&at=99999999999", "at"),
        (f"{BASE}&format=xml", "format"),
        (f"{BASE}&width=3", "width"),
        (f"{BASE}&host=kvm-01", "host"),
    ],
)
def test_a_bad_parameter_is_a_problem_that_names_it(
    measured: Measured, query: str, field: str
) -> None:
    answer = measured.get(query)
    assert answer.status_code == 422, answer.text
    assert [one["name"] for one in answer.get_json()["invalid"]] == [field]


@pytest.mark.parametrize(
    "query",
    [
        f"host=kvm-99&domain={UUID}&metric=cpu",
        f"host=kvm-01&domain={POOL}&metric=cpu",
        "host=kvm-01&kind=volume&id=99999&metric=allocation_bytes",
        "host=kvm-01&kind=volume&id=zero&metric=allocation_bytes",
        f"host=kvm-01&kind=pool&id={UUID}&metric=capacity_bytes",
    ],
)
def test_what_is_not_there_is_not_found(measured: Measured, query: str) -> None:
    assert measured.get(query).status_code == 404


def test_a_host_out_of_scope_is_not_there(measured: Measured) -> None:
    add_host(measured.web.store, "kvm-02", Connection())
    headers = bearer(measured.web.store, "viewer", ["kvm-02"])
    answer = measured.web.app.test_client().get(f"/api/v1/series?{BASE}", headers=headers)
    assert answer.status_code == 404


def test_the_fleet_is_the_sum_of_its_hosts(measured: Measured) -> None:
    add_host(measured.web.store, "kvm-02", Connection())
    told = measured.json("kind=fleet&metric=cpu&metric=running_domains&metric=capacity_bytes")
    by_name = {one["metric"]: one["avg"] for one in told["series"]}
    assert told["hosts_total"] == 2
    assert max(told["hosts_counted"]) == 1
    busy = [value for value in by_name["cpu"] if value is not None]
    assert busy
    assert busy == pytest.approx([1 / 60 / 3] * len(busy))
    assert {value for value in by_name["capacity_bytes"] if value is not None} == {100}
    assert set(by_name["running_domains"]) == {None}
    assert (
        "running_domains_avg" in measured.get("kind=fleet&metric=running_domains&format=csv").text
    )


def test_where_a_host_was_not_seen_the_sum_is_unknown_and_that_of_the_others_beside_it(
    measured: Measured,
) -> None:
    add_host(measured.web.store, "kvm-02", Connection())
    since_ms = measured.first_ms + 20 * MINUTE_MS
    with measured.web.store.writing() as writing:
        writing.exec_driver_sql(f"UPDATE host SET created_at_ms = {since_ms} WHERE slug = 'kvm-02'")
    query = (
        f"kind=fleet&metric=capacity_bytes&points=400"
        f"&from={measured.first_ms // 1000}&to={since_ms // 1000 + 480}"
    )
    told = measured.json(query)
    (series,) = told["series"]
    step = told["step_seconds"]
    assert step == 120
    known = [1 if at + step <= since_ms / 1000 else 2 for at in told["t"]]
    assert told["hosts_known"] == known
    assert series["avg"] == told["avg"] == [100 if one == 1 else None for one in known]
    # Of a step that has just begun it may be that nobody was looked at yet.
    assert set(series["avg_counted"][:-1]) == {100}
    ((begin, end, counted, of),) = told["partial"]
    assert (counted, of) == (1, 2)
    assert since_ms / 1000 - step <= begin <= since_ms / 1000
    assert end == told["to"]
    assert told["gaps"] == []
    head, *lines = measured.get(f"{query}&format=csv").text.splitlines()
    assert head.split(",") == [
        "time", "capacity_bytes_avg", "capacity_bytes_avg_counted", "hosts_counted", "hosts_known",
    ]  # fmt: skip
    assert lines[0].split(",")[1:] == ["100.0", "100.0", "1", "1"]
    assert lines[-2].split(",")[1:] == ["", "100.0", "1", "2"]
    ends = f"from={measured.first_ms // 1000}&to={since_ms // 1000 + 480}"
    page = measured.web.text(f"/series?kind=fleet&{ends}")
    assert "100 B on 1 of 2 hosts" in page


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=fleet", "metric"),
        ("kind=fleet&metric=temperature", "metric"),
        ("kind=fleet&metric=cpu&host=kvm-01", "host"),
    ],
)
def test_a_bad_question_about_the_fleet_is_named(
    measured: Measured, query: str, field: str
) -> None:
    answer = measured.get(query)
    assert answer.status_code == 422
    assert [one["name"] for one in answer.get_json()["invalid"]] == [field]


def test_what_the_domains_of_a_host_take_of_it(measured: Measured) -> None:
    address = "/api/v1/series/stack?host=kvm-01&metric=cpu"
    told = measured.web.client.get(address).get_json()
    (one,) = told["series"]
    assert (one["key"], one["label"], one["unit"]) == (UUID, "web", "cpus")
    seen = [value for value in one["avg"] if value is not None]
    assert seen == pytest.approx([1.0] * len(seen))
    assert measured.web.client.get(f"{address}&metric=memory_bytes").status_code == 422
    assert measured.web.client.get("/api/v1/series/stack?host=kvm-01").status_code == 422
    assert measured.web.client.get("/api/v1/series/stack?host=no&metric=cpu").status_code == 404


def test_the_greatest_are_told_one_by_one_and_the_others_together(measured: Measured) -> None:
    uuids = [f"00000000-0000-4000-8000-0000000001{n:02d}" for n in range(12)]
    for place in (SCANS, SCANS + 1, SCANS + 2):
        measured.recorder.record(
            Scan(
                at_ms=measured.first_ms + place * MINUTE_MS, took_ms=1, ok=True,
                host=measured.facts,
                domains={u: Domain(u, u[-3:], "running", id=1, vcpus=1) for u in uuids},
                domain_samples={
                    u: DomainSample(memory_bytes=n << 20, memory_rss_bytes=n << 20)
                    for n, u in enumerate(uuids)
                },
            )
        )  # fmt: skip
    at = rfc3339(measured.first_ms + (SCANS - 1) * MINUTE_MS)
    end = measured.first_ms // 1000 + (SCANS + 4) * 60
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.clock.now_ms", lambda: end * 1000)
        told = measured.web.client.get(
            f"/api/v1/series/stack?host=kvm-01&metric=memory_rss_bytes&from={at}&to={end}"
        ).get_json()
    assert [one["label"] for one in told["series"]][:2] == ["111", "110"]
    assert [one["key"] for one in told["series"]][-1] == "others"
    assert len(told["series"]) == 9
    assert max(v for v in told["series"][-1]["avg"] if v) == (0 + 1 + 2 + 3) << 20
