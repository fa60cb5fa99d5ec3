"""Charts as the server says them: the stretch of time, bad input, marks, the table, sparklines."""

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.clock import now_ms
from app.connection import Connection
from app.errors import InvalidField
from app.metrics import METRIC_BY_NAME
from app.store.hosts import add_host
from app.store.record import Recorder
from app.web.charts import (
    DOMAIN_MORE,
    HOST_CHARTS,
    HOST_MORE,
    POOL_CHARTS,
    RANGES,
    domain_charts,
    offsets,
    read_stretch,
    title,
)
from app.web.moment import LIVE, Moment
from app.web.sparks import HEIGHT, WIDTH, spark
from app.web.when import Zone
from tests.web_support import INTERVAL_MS, Web, a_scan, host_sample

BERLIN = Zone("Europe/Berlin")
# 2026-05-12 14:07 in Berlin.
NOW_MS = 1_778_587_620_000
HOUR_MS = 3_600_000


def test_every_chart_shows_metrics_that_are_declared_in_its_unit() -> None:
    for kind, charts in (
        ("domain", (*domain_charts(2), *DOMAIN_MORE)),
        ("host", (*HOST_CHARTS, *HOST_MORE)),
        ("pool", POOL_CHARTS),
    ):
        for chart in charts:
            for line in chart.lines:
                assert METRIC_BY_NAME[kind, line.metric].unit == chart.unit, (kind, line)


@pytest.mark.parametrize("name", list(RANGES))
def test_a_named_range_of_the_present_names_no_time(name: str) -> None:
    stretch = read_stretch({"range": name}, LIVE, BERLIN, NOW_MS)
    assert (stretch.from_ms, stretch.to_ms) == (None, None)
    assert stretch.window(NOW_MS) == (NOW_MS - RANGES[name].seconds * 1000, NOW_MS)
    assert title(stretch, LIVE, BERLIN) == f"Last {RANGES[name].label}"


def test_without_a_word_it_is_the_last_24_hours() -> None:
    assert read_stretch({}, LIVE, BERLIN, NOW_MS).seconds == 86_400


def test_at_a_past_moment_a_range_ends_there() -> None:
    at = Moment(NOW_MS - 48 * HOUR_MS)
    stretch = read_stretch({"range": "6h"}, at, BERLIN, NOW_MS)
    assert stretch.to_ms == at.at_ms
    assert stretch.from_ms == NOW_MS - 54 * HOUR_MS
    assert title(stretch, at, BERLIN) == "6 hours until 10 May 2026, 14:07"


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2026-05-11 21:05", "2026-05-12 03:10"),
        ("2026-05-11T19:05Z", "2026-05-12T01:10:00Z"),
        ("1778526300", "1778548200"),
    ],
)
def test_a_free_range_is_typed_in_the_page_s_zone_or_given_exactly(begin: str, end: str) -> None:
    stretch = read_stretch({"from": begin, "to": end}, LIVE, BERLIN, NOW_MS)
    assert stretch.range is None
    assert stretch.window(0) == (1_778_526_300_000, 1_778_548_200_000)
    assert title(stretch, LIVE, BERLIN) == "11 May 2026, 21:05 – 12 May 2026, 03:10"


def test_a_free_range_ends_at_the_moment_shown_at_the_latest() -> None:
    at = Moment(1_778_540_000_000)
    asked = {"from": "2026-05-11 21:05", "to": "2026-05-12 03:10"}
    assert read_stretch(asked, at, BERLIN, NOW_MS).to_ms == at.at_ms


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"range": "25h"}, "range"),
        ({"range": ""}, "range"),
        ({"range": "6h", "from": "2026-05-11 21:05", "to": "2026-05-12"}, "range"),
        ({"from": "2026-05-11 21:05"}, "to"),
        ({"to": "2026-05-11 21:05"}, "from"),
        ({"from": "yesterday", "to": "2026-05-12"}, "from"),
        ({"from": "2026-05-12 03:10", "to": "2026-05-11 21:05"}, "from"),
        ({"from": "2026-05-12 03:10", "to": "2026-05-12 03:10"}, "from"),
        ({"from": "2026-05-11", "to": "2031-01-01"}, "to"),
        ({"from": "1778526300", "to": "9999999999"}, "to"),
        ({"from": "1980-01-01", "to": "2026-05-12"}, "from"),
        ({"from": "2026-05-11", "to": "-1"}, "to"),
    ],
)
def test_a_bad_range_is_refused_by_name(arguments: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read_stretch(arguments, LIVE, BERLIN, NOW_MS)
    assert refused.value.field == field


def test_the_browser_is_told_when_the_zone_s_offset_turns() -> None:
    year = read_stretch({"range": "1y"}, LIVE, BERLIN, NOW_MS)
    # Winter time began on 26 October 2025 at 01:00 UTC, summer time on 29 March 2026.
    assert offsets(year, NOW_MS, BERLIN) == "0:120 1761440400:60 1774746000:120"
    assert offsets(read_stretch({}, LIVE, BERLIN, NOW_MS), NOW_MS, BERLIN) == "0:120"
    assert offsets(year, NOW_MS, Zone("UTC")) == "0:0"


@given(st.lists(st.none() | st.floats(0, 5), min_size=0, max_size=60))
def test_a_sparkline_stays_in_its_picture_and_hides_no_hole(values: list[float | None]) -> None:
    drawn = spark(values)
    known = [value for value in values if value is not None]
    if not known or len(values) < 2:
        assert drawn == ("", "", "")
        return
    assert set("".join(drawn)) <= set("MlhHVz0123456789 -")
    assert bool(drawn.gap) == bool(drawn.area) == (None in values)
    assert drawn.line.count("M") == sum(
        a is None and b is not None for a, b in pairwise([None, *values])
    )
    assert drawn.gap.count("M") == sum(
        a is not None and b is None for a, b in pairwise([0.0, *values])
    )
    for x, y in _places(drawn.line):
        assert -4 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def _places(path: str) -> Iterator[tuple[int, int]]:
    """Where the relative steps of a path lead."""
    for piece in path.split("M")[1:]:
        start, _, steps = piece.replace("H0", "").partition("l")
        x, y = map(int, start.replace("h1", "").split())
        yield x, y
        x = max(x, 0)
        numbers = list(map(int, re.findall(r"-?[0-9]+", steps.partition("H")[0])))
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = x + dx, y + dy
            yield x, y


def test_a_sparkline_is_hatched_where_nobody_looked_alone() -> None:
    values, seen = [0.1, None, None, 0.2], [1.0, 1.0, None, 1.0]
    assert spark(values, seen).gap.count("M") == 1
    assert spark(values, [1.0] * 4).gap == ""
    assert spark(values, [1.0] * 4).area != ""


DOMAIN = "kind=domain&host=kvm-01&id=00000001-0000-4000-8000-000000000001"


def test_a_page_holds_the_very_panel_that_its_refresh_returns(web: Web) -> None:
    for page in (
        "/hosts/kvm-01",
        "/hosts/kvm-01/domains/00000001-0000-4000-8000-000000000001",
        "/hosts/kvm-01/pools/00000001-0000-4000-9000-000000000001",
    ):
        for query in ("", "?range=7d", "?from=2026-05-01+09:30&to=2026-05-02"):
            part = web.text(f"/ui{page}{query}")
            assert 'data-charts data-subject="kind=' in part
            assert part in web.text(page + query)
            web.text(f"{page}?range=8d", 422)
            web.text(f"/ui{page}?from=2026-05-01", 422)


def test_the_ranges_are_links_that_keep_the_moment(web: Web) -> None:
    page = "/hosts/kvm-01/domains/00000001-0000-4000-8000-000000000001"
    text = web.text(page)
    for name in RANGES:
        assert f'href="{page}?range={name}"' in text
    at_ms = now_ms() - 30_000
    past = web.text(f"{page}?range=6h&at={at_ms / 1000:.3f}")
    assert f"{page}?range=7d&amp;at=" in past
    assert f'data-to="{at_ms // 1000}"' in past


def test_the_values_stand_in_a_table_that_needs_no_script(web: Web) -> None:
    panel = web.text("/hosts/kvm-01/domains/00000001-0000-4000-8000-000000000001")
    assert f'href="/series?{DOMAIN.replace("&", "&amp;")}"' in panel
    text = web.text(f"/series?{DOMAIN}&range=1h")
    assert "<td" in text
    assert "no scans" in text
    assert web.text(f"/ui/series?{DOMAIN}&range=1h") in text
    assert "2 GiB" in text


def test_the_table_leads_to_the_same_as_csv(web: Web) -> None:
    text = web.text(f"/series?{DOMAIN}&range=1h")
    address = text.split('class="btn" href="/api/v1/series?')[1].split('"')[0]
    answer = web.client.get(f"/api/v1/series?{address.replace('&amp;', '&')}")
    assert answer.status_code == 200
    assert answer.mimetype == "text/csv"
    assert answer.text.startswith("time,cpu_avg,cpu_min,cpu_max,memory_used_bytes_avg")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("kind=network&host=kvm-01&id=x", 422),
        ("host=kvm-01", 422),
        (f"{DOMAIN}&range=2h", 422),
        (f"{DOMAIN}&colour=red", 422),
        ("kind=domain&host=kvm-01&id=00000001-0000-4000-8000-00000000ffff", 404),
        ("kind=host&host=nowhere", 404),
    ],
)
def test_a_table_of_nothing_says_so(web: Web, query: str, status: int) -> None:
    web.text(f"/series?{query}", status)


def test_no_table_shows_a_host_out_of_scope(web: Web) -> None:
    web.sign_in("limited", "viewer", ["kvm-02"])
    web.text(f"/series?{DOMAIN}", 404)
    assert "kvm-01" not in web.text("/series?kind=fleet&range=1h")
    assert web.text("/series?kind=host&host=kvm-02&range=1h")


def test_the_fleet_has_a_table_as_well(web: Web) -> None:
    assert 'href="/series?kind=fleet"' in web.text("/")
    text = web.text("/series?kind=fleet&range=1h")
    assert "all hosts have" in text
    assert "no scans" in text


def test_tables_draw_what_was_measured_of_the_last_day(empty_web: Web) -> None:
    web = empty_web
    addresses = ("/domains", "/hosts", "/", "/pools")
    record = add_host(web.store, "kvm-02", Connection(transport="tls", host="kvm-02.test"))
    recorder = Recorder(web.store, record, INTERVAL_MS)
    for minutes in range(180, -1, -5):
        busy_s = 60 * (200 - minutes)
        scan = a_scan(record, now_ms() - minutes * 60_000)
        cpu = {uuid: replace(one, cpu_time_ns=busy_s * 10**9)
               for uuid, one in (scan.domain_samples or {}).items()}  # fmt: skip
        sample = host_sample(busy_s=busy_s, idle_s=busy_s)
        recorder.record(replace(scan, host_sample=sample, domain_samples=cpu))
    for address in addresses:
        text = web.text(address)
        assert text.count('<svg class="spark') == 1, address
        # Nobody looked before that, and it is not said that nothing was done.
        assert '<path class="gap" d="M0 0H' in text, address


def test_a_device_has_its_own_page_with_facts_charts_and_table(web: Web) -> None:
    base = "/hosts/kvm-01/domains/00000001-0000-4000-8000-000000000001"
    page = f"{base}/devices/disk:vda"
    assert f'href="{page}"' in web.text(base)
    text = web.text(page)
    assert web.text(f"/ui{page}") in text
    assert "device=disk%3Avda" in text
    assert "<dt>Target</dt><dd><bdi>vda</bdi></dd>" in text
    item = web.client.get(f"/api/v1{page}").json
    assert item is not None
    assert item["device"] == "disk:vda"
    assert item["is"]["target"] == "vda"
    table = web.text(f"/series?{DOMAIN}&device=disk:vda&range=1h")
    assert "Disk operations" in table
    assert "Packets" not in table
    for missing in ("disk:vdz", "nic:vda", "disk:", "vda"):
        web.text(f"{base}/devices/{missing}", 404)
        web.text(f"/series?{DOMAIN}&device={missing}", 404 if missing else 200)
    web.sign_in("limited", "viewer", ["kvm-02"])
    web.text(page, 404)
