"""The page of the store: what is kept, what it takes, and what other lengths would."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from app.clock import monotonic_s
from app.store import holdings as holdings_module
from app.store import schema
from app.store.holdings import Holdings, holdings
from app.web.store_page import _length
from tests.test_cold_past import Story
from tests.web_support import Web, make_web


@pytest.fixture
def full_web(tmp_path: Path) -> Iterator[Web]:
    """The web over twelve days of two hosts, put together and thinned out."""
    made = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC", NPVIRT_SCAN_SECONDS="1200")
    story = Story(made.store)
    story.go_on(12)
    story.keep_up(retain=True)
    yield made
    made.store.close()


def survey(web: Web) -> Holdings:
    return holdings(web.store, 1200)


def test_the_estimates_are_near_what_is_there(full_web: Web) -> None:
    found = survey(full_web)
    with full_web.store.reading() as connection:
        tier = schema.chunk.c.id.op(">>")(30).op("&")(3)
        length = sa.func.sum(sa.func.length(schema.chunk.c.body))
        rows = connection.execute(sa.select(tier, length).group_by(tier)).all()
        frames = connection.exec_driver_sql("SELECT sum(length(body)) FROM keyframe").scalar()
    for number, size in rows:
        assert found.tier_bytes(("1m", "10m", "1h")[number]) == pytest.approx(1.06 * size, rel=0.05)
    assert found.tier_bytes("keyframes") == pytest.approx(1.06 * (frames or 0), rel=0.15)
    assert all(
        part.measured for part in found.parts if part.tier != "recent" and part.kind != "device"
    )
    assert sum(part.size_bytes for part in found.parts) < found.file_bytes
    assert found.from_ms["recent"] is not None
    assert found.from_ms["1m"] is not None
    assert found.from_ms["1m"] < found.from_ms["recent"]


def test_each_series_costs_its_share_of_its_chunks(full_web: Web) -> None:
    found = survey(full_web)
    for kind in ("host", "domain", "pool"):
        whole = next(p for p in found.parts if p.kind == kind and p.tier == "1h")
        costs = [cost.bytes_per_day["1h"] for cost in found.costs if cost.kind == kind]
        assert sum(costs) == pytest.approx(whole.object_day_bytes)
    labels = {label for cost in found.costs for label in cost.metrics}
    assert {"CPU", "Memory used", "Capacity", "Allocated"} <= labels


def test_the_page_says_what_is_kept_and_what_it_takes(full_web: Web) -> None:
    page = full_web.text("/store")
    for words in ("What is kept", "By ten minutes", "NPVIRT_KEEP_1M", "What a metric costs"):
        assert words in page
    assert 'value="48h"' in page
    assert 'value="730d"' in page or 'value="2y"' in page
    assert 'href="/store"' in full_web.text("/help")
    assert 'href="/store"' in full_web.text("/domains")


def test_other_lengths_and_fleets_are_estimated(full_web: Web) -> None:
    as_set = json.loads(full_web.text("/api/v1/store"))
    longer = json.loads(full_web.text("/api/v1/store?keep_1m=28d"))
    tier = {one["tier"]: one for one in as_set["tiers"]}
    other = {one["tier"]: one for one in longer["tiers"]}
    assert other["1m"]["estimate_bytes"] == pytest.approx(2 * tier["1m"]["estimate_bytes"], abs=2)
    assert other["1h"]["estimate_bytes"] == tier["1h"]["estimate_bytes"]
    assert tier["1m"]["keep_seconds"] == 14 * 86_400
    assert as_set["estimate"]["objects"] == {"hosts": 2, "domains": 2, "pools": 2, "volumes": 2}
    many = json.loads(full_web.text("/api/v1/store?domains=1000"))
    assert many["estimate"]["bytes"] > 100 * as_set["estimate"]["bytes"] / 10
    page = full_web.text("/store?keep_1m=28d")
    assert "That takes about" in page
    assert 'value="28d"' in page


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("keep_1m=soon", "keep_1m", "“By the minute” must be a number of hours"),
        ("keep_1m=1h", "keep_1m", "must be kept longer than"),
        ("domains=-1", "domains", "“VMs” must be a number"),
        ("hosts=9999999", "hosts", "“Hosts” must be a number"),
        ("colour=red", "colour", "takes no parameter"),
    ],
)
def test_what_is_no_length_is_refused_with_a_sentence(
    full_web: Web, query: str, field: str, words: str
) -> None:
    answer = full_web.client.get(f"/api/v1/store?{query}")
    assert answer.status_code == 422
    assert words in answer.get_json()["detail"]
    if field != "colour":
        page = full_web.text(f"/store?{query}", 422)
        assert words in page
        assert 'aria-invalid="true"' in page


def test_before_anything_is_compacted_typical_figures_are_told(web: Web) -> None:
    found = json.loads(web.text("/api/v1/store"))
    assert found["estimate"]["bytes"] > 0
    assert found["metrics"] == []
    assert "typical figures" in web.text("/store")


def test_an_empty_store_has_a_page(empty_web: Web) -> None:
    assert "nothing yet" in empty_web.text("/store")
    assert json.loads(empty_web.text("/api/v1/store"))["first_at"] is None


def test_who_reads_some_hosts_is_not_told_how_much_there_is_on_all(full_web: Web) -> None:
    """Counts are of the whole store, and a size divided by what one object takes is a count."""
    full_web.sign_in("eve", "viewer", ["kvm-01"])
    for address in ("/store", "/api/v1/store"):
        refused = full_web.client.get(address)
        assert refused.status_code == 403
        assert "for all hosts" in refused.text
    for address in ("/help", "/domains"):
        assert 'href="/store"' not in full_web.text(address)
    full_web.sign_in("ada", "viewer")
    assert json.loads(full_web.text("/api/v1/store"))["counts"]["hosts"] == 2


def test_what_is_left_is_not_known_where_the_estimates_exceed_the_file(full_web: Web) -> None:
    found = survey(full_web)
    assert found.rest_bytes == found.file_bytes - found.free_bytes - sum(
        part.size_bytes for part in found.parts
    )
    most = replace(found.parts[0], size_bytes=found.file_bytes)
    too_much = replace(found, parts=(most, *found.parts[1:]))
    assert too_much.rest_bytes is None
    # As of a minute ago at most, the answer is remembered: this one, from here on.
    holdings_module._known[full_web.store] = (monotonic_s(), too_much)
    assert json.loads(full_web.text("/api/v1/store"))["rest_bytes"] is None
    page = full_web.text("/store")
    assert "Inventory, changes, scans, audit –" in page
    assert 'class="rest" x=' not in page


def test_lengths_are_told_as_a_setting_would() -> None:
    assert [_length(hours * 3600) for hours in (5, 48, 72, 24 * 14, 24 * 365)] == [
        "5h", "48h", "3d", "14d", "1y",
    ]  # fmt: skip
