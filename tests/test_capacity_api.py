"""The capacity review over HTTP: JSON and CSV of every table, of now and of a past moment, to
readers of some hosts, and what is refused.
"""

import csv
import io
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from app.capacity.periods import day_text
from app.clock import DAY_MS, now_ms, rfc3339
from app.demo.plan import Plan
from app.demo.planted import FILLING, IDLE, ORPHANS
from app.store.dismissals import Dismissal, dismiss
from app.store.hosts import get_host
from app.web.api.capacity import TABLES
from app.web.capacity_review import BYS
from tests.demo_support import demo_web
from tests.web_support import Web

GIB = 1 << 30
CAPACITY = "/api/v1/capacity"
pytestmark = pytest.mark.xdist_group("capacity")


@pytest.fixture(scope="module")
def panel(
    demo_data: tuple[Path, Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Web, Plan]]:
    """The web over a copy of the small fleet; twenty-four days of it."""
    data, plan = demo_data
    made = demo_web(shutil.copytree(data, tmp_path_factory.mktemp("capacity") / "var"), plan)
    yield made, plan
    made.store.close()


def _get(web: Web, query: str = "") -> dict[str, Any]:
    answer = web.client.get(f"{CAPACITY}?{query}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.get_json()
    return told


def _pools(web: Web, query: str = "") -> list[dict[str, Any]]:
    answer = web.client.get(f"/api/v1/pools?{query}")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.get_json()["items"]
    return items


def test_lists_of_pools_tell_when_each_is_full_now_and_then_or_why_not(
    panel: tuple[Web, Plan],
) -> None:
    web, plan = panel
    for days, refusal in ((1, None), (14, "too-short")):
        at = f"at={rfc3339(plan.end_ms - days * DAY_MS)}"
        outlook = {one["pool"]: one for one in _get(web, at)["outlook"] if one["pool"]}
        listed = {one["uuid"]: one for one in _pools(web, at)}
        told = [(uuid, listed[uuid]["full_at"], listed[uuid]["refusal"]) for uuid in outlook]
        assert told == [(uuid, one["full_at"], one["refusal"]) for uuid, one in outlook.items()]
        assert refusal in {one["refusal"] for one in listed.values()}
        text = web.text(f"/api/v1/pools?format=csv&{at}")
        rows = {row["uuid"]: row for row in csv.DictReader(io.StringIO(text))}
        assert [(rows[uuid]["full_at"], rows[uuid]["refusal"]) for uuid in outlook] == [
            (when or "", why or "") for _, when, why in told
        ]
        one = next(one for one in listed.values() if one["refusal"] == refusal)
        alone = web.client.get(f"/api/v1/hosts/{one['host']}/pools/{one['uuid']}?{at}").get_json()
        assert (alone["full_at"], alone["refusal"]) == (one["full_at"], refusal)


def test_the_review_tells_what_is_full_when_and_what_can_be_taken_back(
    panel: tuple[Web, Plan],
) -> None:
    web, plan = panel
    told = _get(web, "days=3")
    (pool,) = [one for one in told["outlook"] if one["names"] == ["kvm-02/fast-nvme"]]
    assert pool["limit"] == FILLING.capacity_bytes
    assert pool["forecast"]["per_day"] == pytest.approx(FILLING.bytes_per_day, rel=0.01)
    assert len(pool["forecast"]["bands"]) == 3
    expected_ms = plan.end_ms + FILLING.full_in_days * DAY_MS
    assert rfc3339(int(expected_ms - DAY_MS / 4)) < pool["full_at"]
    assert pool["full_at"] < rfc3339(int(expected_ms + DAY_MS / 4))
    (listed,) = [one for one in _pools(web) if one["uuid"] == pool["pool"]]
    assert listed["refusal"] is None
    # The list is as of the newest scan, the review as of now: midnight may lie between them.
    apart = datetime.fromisoformat(listed["full_at"]) - datetime.fromisoformat(pool["full_at"])
    assert abs(apart) < timedelta(hours=1)
    unused = {one["subject"] for one in told["reclaim"] if one["kind"] == "unused-volume"}
    assert unused == {f"{one.pool}/{one.name}" for one in ORPHANS}
    assert told["freed"]["count"] == len(told["reclaim"])
    assert told["period"]["cut"] == []
    assert {one["host"] for one in told["overcommit"]} == {"kvm-01", "kvm-02", "kvm-03"}
    assert told["placement"] is None


def test_it_is_told_where_a_domain_fits(panel: tuple[Web, Plan]) -> None:
    told = _get(panel[0], f"vcpus=2&memory_bytes={4 * GIB}&disk_bytes={20 * GIB}&count=3")
    placement = told["placement"]
    assert placement["wish"]["count"] == 3
    assert {fit["host"] for fit in placement["fits"]} == {"kvm-01", "kvm-02", "kvm-03"}
    assert placement["placed"] == sum(fit["placed"] for fit in placement["fits"])


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_csv_too(panel: tuple[Web, Plan], table: str) -> None:
    answer = panel[0].client.get(
        f"{CAPACITY}?format=csv&table={table}&vcpus=1&memory_bytes={GIB}&by=host&compare_to="
        f"{day_text(panel[1].end_ms // DAY_MS - 1)}"
    )
    assert answer.status_code == 200
    assert answer.mimetype == "text/csv"
    assert f"npvirt-capacity-{table}.csv" in answer.headers["Content-Disposition"]
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert lines
    assert all(None not in line.values() and None not in line for line in lines)


def test_of_a_past_moment_it_is_the_same_whenever_it_is_asked_for(
    panel: tuple[Web, Plan],
) -> None:
    web, plan = panel
    address = f"{CAPACITY}?at={rfc3339(plan.end_ms - 3 * DAY_MS)}"
    before = web.client.get(address).data
    scanner = web.collector._scanner(get_host(web.store, "kvm-01"), 60_000)
    scanner.scan(everything=False, again=(), next_at_ms=lambda ok: None)
    assert web.client.get(address).data == before
    then = _get(web, f"at={rfc3339(plan.end_ms - 100 * DAY_MS)}")
    assert (then["outlook"][0]["refusal"], then["history_from"]) == ("no-history", None)
    assert then["overcommit"] == then["reclaim"] == []


def test_a_finding_that_was_dismissed_says_so_and_frees_nothing(panel: tuple[Web, Plan]) -> None:
    web, _ = panel
    before = _get(web)
    one = next(item for item in before["reclaim"] if item["kind"] == "unused-volume")
    record = get_host(web.store, one["host"])
    dismissal = Dismissal(
        one["host"], one["kind"], one["key"], one["facts_digest"], "For the auditors.", "ada",
        now_ms(),
    )  # fmt: skip
    dismiss(web.store, record.id, replace(dismissal, facts_digest="other"))
    assert _get(web)["freed"] == before["freed"]
    dismiss(web.store, record.id, dismissal)
    after = _get(web)
    (told,) = [item for item in after["reclaim"] if item["dismissed"] is not None]
    assert told["key"] == one["key"]
    assert told["dismissed"]["note"] == "For the auditors."
    assert after["freed"]["count"] == before["freed"]["count"] - 1


def test_a_reader_of_one_host_is_told_of_that_alone(panel: tuple[Web, Plan]) -> None:
    web, _ = panel
    web.sign_in("limited", "viewer", ["kvm-03"])
    told = web.text(f"{CAPACITY}?vcpus=1&memory_bytes={GIB}&by=host")
    web.sign_in()
    assert "kvm-03" in told
    assert "kvm-01" not in told
    assert "kvm-02" not in told


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("from=2026-13-01", "from"), ("to=yesterday", "to"),
        ("from=2020-05-02&to=2020-05-01", "to"),
        ("compare_from=2999-01-01", "compare_from"), ("compare_to=2001-01-01", "compare_to"),
        ("compare_from=2020-05-02&compare_to=2020-05-01", "compare_to"),
        ("compare_to=1", "compare_to"),
        ("from=2999-01-01&to=2999-02-01", "from"), ("from=2001-01-01&to=2001-02-01", "to"),
        ("by=moon", "by"), ("owner=nobody", "owner"), ("vcpus=0", "vcpus"), ("vcpus=-1", "vcpus"),
        ("vcpus=1&count=1001", "count"), ("memory_bytes=1e9", "memory_bytes"),
        ("vcpus=1&disk_bytes=99999999999999999999", "disk_bytes"), ("days=731", "days"),
        ("format=xml", "format"), ("table=moon&format=csv", "table"),
        ("at=2999-01-01T00:00Z", "at"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_sentence(
    panel: tuple[Web, Plan], query: str, name: str
) -> None:
    answer = panel[0].client.get(f"{CAPACITY}?{query}")
    assert answer.status_code == 422
    assert [one["name"] for one in answer.get_json()["invalid"]] == [name]
    assert answer.get_json()["detail"].endswith(".")


@pytest.mark.parametrize("path", [CAPACITY, "/ui/capacity"])
def test_on_the_first_day_no_period_is_too_long_or_too_far_away(web: Web, path: str) -> None:
    for query in (
        "to=0001-01-01", "compare_to=0001-01-01", "compare_from=0001-01-01&compare_to=0001-01-02",
        "from=9999-12-31", "compare_from=9999-12-31",
    ):  # fmt: skip
        answer = web.client.get(f"{path}?{query}")
        assert answer.status_code == 422, query
    every = "from=0001-01-01&to=9999-12-31"
    ever = f"{every}&compare_{every.replace('&', '&compare_')}&by=pool"
    assert web.client.get(f"{path}?{ever}").status_code == 200
    told = _get(web, ever)
    assert told["period"]["cut"] == ["future", "history"]
    assert told["comparison"]["period"]["cut"] == ["future", "history"]
    assert len({one["period"] for one in told["growth"]}) <= 28
    assert "no whole day was measured yet" in web.text(f"/ui/capacity?{ever}")


def test_idle_domains_are_not_told_before_they_were_seen_long_enough(
    panel: tuple[Web, Plan],
) -> None:
    told = _get(panel[0])
    assert not [one for one in told["reclaim"] if one["subject"] in IDLE]


def test_two_periods_stand_side_by_side(panel: tuple[Web, Plan]) -> None:
    web, plan = panel
    # As of the last moment that was measured: midnight may have passed since.
    at, today = f"at={rfc3339(plan.end_ms)}", plan.end_ms // DAY_MS
    spans = [(day_text(today - 13), day_text(today - 7)), (day_text(today - 6), day_text(today))]
    both = "{}&compare_from={}&compare_to={}&from={}&to={}".format(at, *spans[0], *spans[1])
    for by in BYS:
        told = _get(web, f"{both}&by={by}")["comparison"]
        assert told["period"] == {"from": spans[0][0], "to": spans[0][1], "cut": []}
        assert told["groups"] or by == "owner"
        # Each side is what is told of its period alone.
        for which, (first, last) in zip(("first", "second"), spans, strict=True):
            alone = f"{at}&compare_from={first}&compare_to={last}&from={first}&to={last}&by={by}"
            expected = {
                one["group"]: one["second"] for one in _get(web, alone)["comparison"]["groups"]
            }
            for group in told["groups"]:
                one = group[which]
                if group["group"] in expected:
                    assert one == expected[group["group"]]
                else:
                    assert (one["created"], one["allocated_bytes"]) == (0, None)
    (fleet,) = _get(web, both)["comparison"]["groups"]
    assert fleet["second"]["allocated_bytes"] > 6 * FILLING.bytes_per_day
    assert fleet["second"]["partial"]
    assert not fleet["first"]["partial"]
    # One end alone: as many days.
    assert (
        _get(web, both.replace("compare_to", "x").replace(f"x={spans[0][1]}&", ""))["comparison"]
        == (_get(web, both)["comparison"])
    )
    # Of a past moment, what was known then.
    then = both.replace(at, f"at={rfc3339((today - 20) * DAY_MS)}")
    assert web.client.get(f"{CAPACITY}?{then}").status_code == 422
    assert _get(web)["comparison"] is None
    lines = list(csv.DictReader(io.StringIO(
        web.client.get(f"{CAPACITY}?{both}&by=host&format=csv&table=comparison").text
    )))  # fmt: skip
    assert [line["group"] for line in lines] == ["kvm-01", "kvm-02", "kvm-03"]
    assert lines[1]["second_allocated_bytes"] != lines[1]["first_allocated_bytes"]


def test_growth_is_told_by_owner(panel: tuple[Web, Plan]) -> None:
    told = _get(panel[0], "by=owner&owner={owner} ")
    assert all(row["allocated_bytes"] is None for row in told["growth"])
    assert sum(row["created"] for row in told["growth"]) == sum(
        row["created"] for row in _get(panel[0])["growth"]
    )
