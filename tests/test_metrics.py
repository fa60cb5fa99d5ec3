"""The fleet at /metrics: what the JSON interface tells, in numbers, as Prometheus reads them.

Planted to see it fail: samples of what is not known any more, a counter declared a gauge, a text
that is kept over a scan, nanoseconds for seconds.
"""

import json
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
from msgspec.structs import fields
from prometheus_client import parser as plain_parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from app.clock import now_ms
from app.connection import Connection
from app.errors import VirtError
from app.inventory import (
    Device,
    DeviceSample,
    Disk,
    Domain,
    DomainSample,
    Host,
    HostSample,
    Nic,
    Scan,
    Share,
)
from app.store.hosts import add_host, list_hosts, set_enabled
from app.store.record import Recorder
from app.virt.session import Session
from app.web.fleet_metrics import FLEET_METRICS
from app.web.openmetrics import sample_name, unit_of
from tests.fleet_support import KNOWN_MS, domain_uuid, make_domain, scan_again, scan_whole_host
from tests.signing import bearer
from tests.web_support import HOSTILE, Web, make_web

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN = "text/plain; version=0.0.4; charset=utf-8"
# What Prometheus 2.42 and 3.5 send.
ACCEPTS = (
    (
        "application/openmetrics-text;version=1.0.0,"
        "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    ),
    (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;"
        "escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    ),
)


@pytest.fixture(scope="module")
def still(filled_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web over the larger fleet, for tests that change nothing of it."""
    data = shutil.copytree(filled_data, tmp_path_factory.mktemp("still") / "var")
    made = make_web(data, NPVIRT_TIMEZONE="UTC")
    yield made
    made.store.close()


Labels = frozenset[tuple[str, str]]
Samples = Mapping[tuple[str, Labels], float]


def scrape(web: Web, headers: Mapping[str, str] | None = None) -> str:
    answer = web.client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.text


def read(text: str) -> Samples:
    """The samples by name and labels; none is told twice."""
    told = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(dict(told)) == len(told)
    return dict(told)


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def told_of(samples: Samples, prefix: str, **labels: str) -> set[str]:
    """The names of what is told of whatever has these labels."""
    return {
        name for (name, has) in samples if name.startswith(prefix) and has >= set(labels.items())
    }


def items(web: Web, kind: str) -> Iterator[dict[str, Any]]:
    yield from json.loads(web.text(f"/api/v1/{kind}?per_page=1000"))["items"]


# --- what is told ---------------------------------------------------------------------------


def test_every_metric_of_the_table_is_told_with_its_type_and_unit(empty_web: Web) -> None:
    scan_whole_host(empty_web.store, 10**9)
    text = scrape(empty_web)
    families = {one.name: one for one in text_string_to_metric_families(text)}
    for metric in FLEET_METRICS:
        family = families[metric.name]
        assert (family.type, family.unit) == (metric.type, unit_of(metric.name))
        assert family.documentation == metric.help
        names = {sample.name for sample in family.samples}
        assert names == {sample_name(metric.name, metric.type)}
    assert len({metric.name for metric in FLEET_METRICS}) == len(FLEET_METRICS)
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1


def test_what_libvirt_counts_is_a_counter_and_nothing_else_is() -> None:
    counters = {metric.name for metric in FLEET_METRICS if metric.type == "counter"}
    assert counters == {
        *(f"libvirt_host_cpu_{mode}_seconds" for mode in ("user", "system", "iowait", "idle")),
        "libvirt_domain_info_cpu_time_seconds",
        *(
            f"libvirt_domain_block_stats_{way}_{what}"
            for way in ("read", "write")
            for what in ("bytes", "requests")
        ),
        *(
            f"libvirt_domain_interface_stats_{way}_{what}"
            for way in ("receive", "transmit")
            for what in ("bytes", "packets", "errors", "drops")
        ),
    }


def test_counters_are_told_as_libvirt_counts_them(empty_web: Web) -> None:
    scan_whole_host(empty_web.store, 10**9)
    samples = read(scrape(empty_web))
    names = {"host": "kvm-09", "domain": make_domain(9, 0).name, "uuid": domain_uuid(9, 0)}
    place = {one.name: n for n, one in enumerate(fields(DomainSample))}
    for name, column in (
        ("block_stats_read_bytes", "disk_read_bytes"),
        ("block_stats_write_requests", "disk_write_requests"),
        ("interface_stats_receive_packets", "net_rx_packets"),
        ("interface_stats_transmit_drops", "net_tx_drops"),
        ("interface_stats_receive_errors", "net_rx_errors"),
    ):
        # Which of its two disks counted what is not known; it has one NIC.
        device = {} if name.startswith("block") else {"device": make_domain(9, 0).nics[0].mac}
        told = of(samples, f"libvirt_domain_{name}_total", **names, **device)
        assert told == 10**9 + place[column], name
    told = of(samples, "libvirt_domain_info_cpu_time_seconds_total", **names)
    assert told == pytest.approx(1 + place["cpu_time_ns"] / 1e9)
    idle = [one.name for one in fields(HostSample)].index("cpu_idle_ns")
    told = of(samples, "libvirt_host_cpu_idle_seconds_total", host="kvm-09")
    assert told == pytest.approx((10**9 + idle) / 1e9)


def test_the_figures_are_those_of_the_json_interface(still: Web) -> None:
    samples = read(scrape(still))
    compared = 0
    for kind, label, pairs in (
        ("domains", "domain", (
            ("libvirt_domain_info_memory_usage_bytes", "memory_bytes"),
            ("libvirt_domain_info_maximum_memory_bytes", "max_memory_bytes"),
            ("libvirt_domain_info_virtual_cpus", "vcpus"),
            ("libvirt_domain_info_cpu_time_seconds_total", "cpu_seconds"),
            ("libvirt_domain_memory_stats_used_bytes", "memory_used_bytes"),
        )),
        ("pools", "pool", (
            ("libvirt_pool_info_capacity_bytes", "capacity_bytes"),
            ("libvirt_pool_info_allocation_bytes", "allocation_bytes"),
            ("libvirt_pool_info_available_bytes", "available_bytes"),
            ("libvirt_pool_info_volumes_capacity_bytes", "volumes_capacity_bytes"),
            ("libvirt_pool_info_volumes", "volume_count"),
        )),
        ("hosts", "", (
            ("libvirt_host_cpus", "cpus"),
            ("libvirt_host_memory_used_bytes", "memory_used_bytes"),
        )),
    ):  # fmt: skip
        for item in items(still, kind):
            names = {"host": item["host"]}
            if label:
                names |= {label: item["name"], "uuid": item["uuid"]}
            for name, field in pairs:
                assert of(samples, name, **names) == item[field], (name, names)
                compared += item[field] is not None
    assert compared > 2 * 24 * 3


def test_states_are_told_as_words_with_their_reason_and_as_libvirts_number(still: Web) -> None:
    samples = read(scrape(still))
    numbers = {"running": 1, "paused": 3, "shutoff": 5, "crashed": 6, "pmsuspended": 7}
    found = set()
    for item in items(still, "domains"):
        if item["state"] is None:
            continue
        names = {"host": item["host"], "domain": item["name"], "uuid": item["uuid"]}
        state = {"state": item["state"]}
        if item["state_reason"] is not None:
            state["reason"] = item["state_reason"]
        assert of(samples, "libvirt_domain_info_state", **names, **state) == 1
        number = of(samples, "libvirt_domain_info_vstate", **names)
        assert number == numbers.get(item["state"], number)
        found.add((item["state"], item["state_reason"]))
    assert ("paused", "io-error") in found
    assert told_of(samples, "libvirt_pool_info_state", state="inaccessible")
    assert told_of(samples, "libvirt_network_info_state", state="active")


# --- disks and NICs ---------------------------------------------------------------------------

UUID = "00000000-0000-4000-8000-000000000001"
MAC, OTHER_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"


Devices = Mapping[str, tuple[Share, int | None]]


def told_of_devices(web: Web, devices: Devices, run: int = 3) -> dict[str, float]:
    """What the disks (of which a domain tells that they read 100 bytes) and the NICs (that got 7)
    are told to have counted, after one more scan; `devices` with their shares and own counts.
    """
    known = next((one for one in list_hosts(web.store) if one.slug == "kvm-01"), None)
    record = known or add_host(web.store, "kvm-01", Connection())
    disks = tuple(Disk(name[5:]) for name in devices if name.startswith("disk:"))
    nics = tuple(Nic(name[4:], "network") for name in devices if name.startswith("nic:"))
    Recorder(web.store, record, KNOWN_MS).record(
        Scan(
            now_ms(), 1, ok=True, host=Host(uri="qemu:///system"),
            domains={UUID: Domain(UUID, "web", "running", id=3, disks=disks, nics=nics)},
            domain_samples={UUID: DomainSample(disk_read_bytes=100, net_rx_bytes=7)},
            devices={
                f"{UUID}/{name}": Device(UUID, name, share, run)
                for name, (share, _) in devices.items()
            },
            device_samples={
                f"{UUID}/{name}": DeviceSample(disk_read_bytes=count, net_rx_bytes=count)
                for name, (_, count) in devices.items()
                if count is not None
            },
        )
    )  # fmt: skip
    sorts = {
        "libvirt_domain_block_stats_read_bytes_total": "disk",
        "libvirt_domain_interface_stats_receive_bytes_total": "nic",
    }
    return {
        f"{sorts[name]} {dict(labels).get('device', '')}".strip(): value
        for (name, labels), value in read(scrape(web)).items()
        if name in sorts
    }


def test_each_disk_and_nic_is_told_by_its_own_name(empty_web: Web) -> None:
    alone: Devices = {"disk:vda": ("whole", None), f"nic:{MAC}": ("whole", None)}
    assert told_of_devices(empty_web, alone) == {"disk vda": 100, f"nic {MAC}": 7}
    # Another was put in and did nothing so far, which is known.
    idle: Devices = {**alone, "disk:vdb": ("nothing", None)}
    assert told_of_devices(empty_web, idle) == {"disk vda": 100, "disk vdb": 0, f"nic {MAC}": 7}
    # Both work, so each has a count of its own; and the one that is left goes on with its own.
    own: Devices = {
        "disk:vda": ("own", 61), "disk:vdb": ("own", 39), f"nic:{MAC}": ("own", 5),
        f"nic:{OTHER_MAC}": ("own", 2),
    }  # fmt: skip
    assert told_of_devices(empty_web, own) == {
        "disk vda": 61, "disk vdb": 39, f"nic {MAC}": 5, f"nic {OTHER_MAC}": 2,
    }  # fmt: skip
    # One was too busy to tell.
    assert told_of_devices(empty_web, {**own, "disk:vdb": ("own", None)})["disk vda"] == 61


def test_what_nobody_knows_whose_it_is_is_the_domains(empty_web: Web) -> None:
    own: Devices = {
        "disk:vda": ("own", 61), "disk:vdb": ("own", 39), f"nic:{MAC}": ("own", 5),
        f"nic:{OTHER_MAC}": ("own", 2),
    }  # fmt: skip
    # They were told of when the domain ran another time.
    assert told_of_devices(empty_web, own, run=2) == {"disk": 100, "nic": 7}


# --- what is not ----------------------------------------------------------------------------


def test_of_a_host_that_does_not_answer_only_that_is_told(fleet_web: Web) -> None:
    samples = read(scrape(fleet_web))
    assert of(samples, "libvirt_up", host="kvm-01") == 1
    assert of(samples, "libvirt_up", host="kvm-06") == 0
    assert told_of(samples, "libvirt_", host="kvm-06") == {"libvirt_up"}
    assert of(samples, "npvirt_host_known", host="kvm-06") == 0
    # It answers again, and everything is back; another falls silent, and all of it goes.
    scan_again(fleet_web, 2, 900)
    scan_again(fleet_web, 0, 900, ok=False, problem="timeout")
    samples = read(scrape(fleet_web))
    assert len(told_of(samples, "libvirt_", host="kvm-06")) > 30
    assert told_of(samples, "libvirt_", host="kvm-01") == {"libvirt_up"}


def test_a_host_that_nobody_looks_at_is_neither_up_nor_down(fleet_web: Web) -> None:
    add_host(fleet_web.store, "new", Connection())
    set_enabled(fleet_web.store, "kvm-01", enabled=False)
    samples = read(scrape(fleet_web))
    for slug in ("kvm-01", "new"):
        assert not told_of(samples, "libvirt_", host=slug)
    assert of(samples, "npvirt_host_enabled", host="kvm-01") == 0


def test_what_is_unknown_is_absent_and_never_zero(still: Web) -> None:
    samples = read(scrape(still))
    shutoff = next(one for one in items(still, "domains") if one["state"] == "shutoff")
    told = told_of(samples, "libvirt_domain_", host=shutoff["host"], uuid=shutoff["uuid"])
    assert told == {
        "libvirt_domain_info_meta", "libvirt_domain_info_state", "libvirt_domain_info_vstate",
        "libvirt_domain_info_virtual_cpus", "libvirt_domain_info_maximum_memory_bytes",
        "libvirt_domain_info_memory_usage_bytes",
    }  # fmt: skip
    inactive = next(one for one in items(still, "pools") if one["state"] == "inactive")
    told = told_of(samples, "libvirt_pool_", host=inactive["host"], uuid=inactive["uuid"])
    assert told == {"libvirt_pool_info_state"}
    # One that runs, of which the driver does not tell what its NIC dropped.
    running = next(one for one in items(still, "domains") if one["state"] == "running")
    told = told_of(samples, "libvirt_domain_", host=running["host"], uuid=running["uuid"])
    assert "libvirt_domain_interface_stats_receive_bytes_total" in told
    assert "libvirt_domain_interface_stats_receive_drops_total" not in told


def test_a_hostile_name_is_a_label_like_any_other(still: Web) -> None:
    names = {"host": "kvm-01", "domain": HOSTILE}
    for text, parse in (
        (scrape(still), text_string_to_metric_families),
        (scrape(still, {"Accept": "text/plain"}), plain_parser.text_string_to_metric_families),
    ):
        found = [
            sample
            for family in parse(text)
            for sample in family.samples
            if sample.name == "libvirt_domain_info_vstate"
            and names.items() <= sample.labels.items()
        ]
        assert len(found) == 1


# --- who asks, and how ----------------------------------------------------------------------


def test_a_token_for_some_hosts_tells_of_those_alone(still: Web) -> None:
    whole = read(scrape(still, bearer(still.store, "viewer")))
    some = read(scrape(still, bearer(still.store, "viewer", ["kvm-02"])))
    hosts = {value for _, labels in some for name, value in labels if name == "host"}
    assert hosts == {"kvm-02"}
    libvirt = {key for key in whole if key[0].startswith("libvirt_")}
    assert {key for key in some if key[0].startswith("libvirt_")} == {
        key for key in libvirt if ("host", "kvm-02") in key[1]
    }


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        *((accept, OPENMETRICS) for accept in ACCEPTS),
        ("", OPENMETRICS), ("*/*", OPENMETRICS), ("application/json", OPENMETRICS),
        ("text/plain;version=0.0.4", PLAIN), ("text/plain", PLAIN),
        ("application/openmetrics-text;q=0.4, text/plain;q=0.5", PLAIN),
    ],
)  # fmt: skip
def test_the_format_is_the_one_that_is_asked_for(
    still: Web, accept: str, content_type: str
) -> None:
    answer = still.client.get("/metrics", headers={"Accept": accept} if accept else {})
    assert answer.content_type == content_type
    assert "Accept" in answer.headers["Vary"]
    is_plain = content_type == PLAIN
    assert answer.text.endswith("# EOF\n") is not is_plain
    assert ("# UNIT " in answer.text) is not is_plain
    assert answer.content_length == len(answer.data)


def test_whoever_takes_gzip_gets_the_same_packed(still: Web) -> None:
    for accept in ("text/plain", "application/openmetrics-text"):
        plain = still.client.get("/metrics", headers={"Accept": accept})
        assert "Content-Encoding" not in plain.headers
        for _ in range(2):
            packed = still.client.get(
                "/metrics", headers={"Accept": accept, "Accept-Encoding": "gzip"}
            )
            assert packed.headers["Content-Encoding"] == "gzip"
            assert "Accept-Encoding" in packed.headers["Vary"]
            assert packed.content_length == len(packed.data) < len(plain.data) / 4
            # In one member, since not every reader looks for a second.
            reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
            text = reader.decompress(packed.data).decode()
            assert reader.eof
            assert not reader.unused_data
            assert told_lines(text) == told_lines(plain.text)
            assert text.splitlines()[-1] == plain.text.splitlines()[-1]


def told_lines(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.startswith("libvirt_")}


def test_both_formats_tell_the_same(still: Web) -> None:
    told = told_lines(scrape(still))
    assert told == told_lines(scrape(still, {"Accept": "text/plain"}))
    assert len(told) > 500


def test_a_scrape_asks_no_host_and_tells_of_a_scan_at_once(
    fleet_web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object, **__: object) -> NoReturn:
        calls.append(1)
        raise VirtError("unreachable", "Nobody is let through.", problem="refused")

    calls: list[int] = []
    monkeypatch.setattr(Session, "open", opened)
    name = "libvirt_host_cpu_idle_seconds_total"
    before = of(read(scrape(fleet_web)), name, host="kvm-01")
    assert of(read(scrape(fleet_web)), name, host="kvm-01") == before
    scan_again(fleet_web, 0, 1800)
    assert of(read(scrape(fleet_web)), name, host="kvm-01") == 75 * 1800 // 60
    assert before == 75 * 720 // 60
    assert not calls


def test_metrics_of_npvirt_itself_keep_their_names(still: Web) -> None:
    samples = read(scrape(still))
    for name in (
        "npvirt_scheduler_ok", "npvirt_collecting", "npvirt_store_ok",
        "npvirt_store_dropped_scans_total", "npvirt_streams", "npvirt_process_cpu_seconds_total",
    ):  # fmt: skip
        assert of(samples, name) is not None, name
    last_day = told_of(samples, "npvirt_host_last_day_scans", host="kvm-01", outcome="ok")
    assert last_day == {"npvirt_host_last_day_scans"}
