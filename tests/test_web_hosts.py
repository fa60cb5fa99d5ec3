"""The overview, the list of hosts and one host: what they say, and what they say is not known."""

import re
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.clock import now_ms, rfc3339
from app.inventory import HostSample, NumaCell, SysinfoSection
from app.metrics import host_memory_used_bytes
from app.store.history import fleet
from app.store.hosts import get_host, list_hosts
from app.store.record import Recorder
from app.web.attention import attention
from app.web.figures import (
    capacity,
    cpu_share,
    number_and_unit,
    shares,
    size,
    size_of,
    warning,
)
from app.web.hardware import hardware, memory_mismatch
from app.web.host_page import cpu_nodes, fact_lines, find_host, memory_bar, ranges
from app.web.host_rows import host_rows
from app.web.overview import (
    cpu_total,
    domains_total,
    hosts_total,
    memory_total,
    pool_rows,
    storage_total,
)
from app.web.sparks import NO_SPARK
from app.web.when import Zone
from tests.web_support import GIB, HOSTILE, INTERVAL_MS, Web, a_scan, host_facts, host_sample

UTC = Zone("UTC")
T = TypeVar("T")


def known(value: T | None) -> T:
    assert value is not None
    return value


def scan_again(web: Web, slug: str, **changes: object) -> None:
    record = get_host(web.store, slug)
    recorder = Recorder(web.store, record, INTERVAL_MS)
    recorder.record(replace(a_scan(record, now_ms()), **changes))


# --- totals -----------------------------------------------------------------------------------


def test_a_silent_host_is_in_no_total_and_every_total_says_so(web: Web) -> None:
    seen = fleet(web.store, None)
    assert (hosts_total(seen).big, hosts_total(seen).small) == ("2", "of 3 reachable")
    assert "1 unknown · kvm-03" in hosts_total(seen).below
    domains = domains_total(seen)
    assert (domains.big, domains.small) == ("2", "running · 9")
    assert "3 unknown" in domains.below
    assert "2 crashed" in domains.below
    assert known(cpu_total(seen)).big == "25 %"
    assert known(cpu_total(seen)).small == "avg, 2 of 3 hosts"
    assert "kvm-03 not counted" in known(memory_total(seen)).below
    assert known(storage_total(seen)).small == "of 200 GiB"
    assert "1 pool not counted" in known(storage_total(seen)).below
    assert "260 GiB promised · 130 %" in known(storage_total(seen)).below


def test_totals_without_any_figure_are_not_zero(empty_web: Web) -> None:
    seen = fleet(empty_web.store, None)
    assert cpu_total(seen) is None
    assert memory_total(seen) is None
    assert storage_total(seen) is None


def test_the_overview_without_hosts_invites_to_add_one(empty_web: Web) -> None:
    page = empty_web.text("/")
    assert "No hosts yet" in page
    assert 'href="/hosts/add"' in page
    assert "nothing to scan" in page
    assert "npvirt host add" in page


def test_a_moment_before_the_first_scan_says_that_nothing_was_seen(web: Web) -> None:
    page = web.text("/?at=1000000000")
    assert "Nothing had been seen yet" in page
    assert "Add host" not in page


def test_what_needs_attention_comes_worst_first(web: Web) -> None:
    items = attention(fleet(web.store, None), UTC).items
    assert [item.kind for item in items] == [
        "crashed", "crashed", "unknown", "full", "filling", "partial",
    ]  # fmt: skip
    silent = items[2]
    assert silent.subject == "kvm-03"
    assert "Its 3 VMs may well be running" in silent.text
    assert items[3].verb == "is 93 % full"
    assert "leases" in items[5].text


def test_a_silent_hosts_crash_is_not_claimed_to_be_present(web: Web) -> None:
    found = attention(fleet(web.store, None), UTC).items
    assert not [item for item in found if item.kind == "crashed" and "kvm-03" in item.text]


def test_a_domain_paused_by_an_io_error_needs_attention(web: Web) -> None:
    record = get_host(web.store, "kvm-01")
    domains = dict(a_scan(record, 0).domains or {})
    uuid = next(iter(domains))
    domains[uuid] = replace(domains[uuid], state="paused", state_reason="io-error")
    scan_again(web, "kvm-01", domains=domains)
    kinds = {item.kind for item in attention(fleet(web.store, None), UTC).items}
    assert "paused" in kinds
    assert "paused: I/O error" in web.text("/")


def test_pools_are_listed_fullest_first_and_unreadable_ones_last(web: Web) -> None:
    rows = pool_rows(fleet(web.store, None))
    assert [row.percent for row in rows] == [93, 88, None]
    assert rows[2].last_percent == 40
    assert "last known 40 %" in web.text("/")


# --- the list ---------------------------------------------------------------------------------


def test_a_silent_host_shows_since_when_and_what_was_last_known(web: Web) -> None:
    page = web.text("/hosts")
    row = page.split('id="host-kvm-03"')[1].split("</tr>")[0]
    assert "unknown since" in row
    # Its only sample tells memory, but no CPU use.
    assert "last known 8 / 16 GiB" in row
    assert '<svg class="meter unk"' in row
    assert "1/3 ?" in row


def test_hosts_stand_in_the_order_of_their_names(web: Web) -> None:
    rows = host_rows(fleet(web.store, None), UTC, None, lambda view: NO_SPARK)
    assert [row.slug for row in rows] == ["kvm-01", "kvm-02", "kvm-03"]
    assert [row.condition for row in rows] == ["ok", "partial", "unknown"]
    assert (rows[0].cpu, rows[0].memory_text, rows[0].vms) == (25, "8 / 16 GiB", "1/3")


# --- one host ---------------------------------------------------------------------------------


def test_a_host_shows_its_facts_memory_map_and_hardware(web: Web) -> None:
    page = web.text("/hosts/kvm-01")
    for text in (
        "kvm-01.test", "9.0.0", "7.2.22", "x86_64", "2.45 GHz", "1 socket × 2 cores × 2 threads",
        "3 online, 1 offline", "16 GiB", "SeaBIOS", "DIMM_A1", "1 of 2 slots filled", "Good scan",
        "Scan now", "Edit connection",
    ):  # fmt: skip
        assert text in page, text
    assert page.count('title="CPU 3: offline"') == 1


def test_what_a_host_does_not_tell_is_not_available_with_the_reason(web: Web) -> None:
    page = web.text("/hosts/kvm-02")
    assert "This host has no SMBIOS tables." in page
    assert "not available" in page
    assert "The last scan could not read everything" in page


def test_a_silent_host_is_unknown_and_not_said_to_be_down(web: Web) -> None:
    page = web.text("/hosts/kvm-03")
    assert "does not mean that it is down" in page
    assert "Its 3 VMs may be running normally" in page
    assert "kvm-03 did not answer in time." in page
    assert "recv: &lt;Connection timed out&gt;" in page
    assert "nc -vz 10.0.0.3 16509" in page
    assert "was running" in page
    assert "Retry now" in page
    assert "Scan now" not in page
    assert not re.search(r"\b0 %", page)


def test_facts_that_are_none_are_never_zero(web: Web) -> None:
    host = find_host(fleet(web.store, None), "kvm-03")
    bare = host_facts(get_host(web.store, "kvm-03"))
    empty = type(bare)(uri="qemu:///system", not_available=(("hostname", "It would not say."),))
    lines = {line.label: line for line in fact_lines(empty, host)}
    assert lines["Hostname"].reason == "It would not say."
    assert all(line.value == "" for label, line in lines.items() if label != "URI")


def test_a_connection_is_said_to_be_encrypted_by_what_npvirt_itself_knows(web: Web) -> None:
    said = {}
    for host in fleet(web.store, None).hosts:
        facts = replace(host_facts(host.record), encrypted=False)
        lines = {line.label: line.value for line in fact_lines(facts, host)}
        said[host.slug] = lines["Secure connection"]
    assert said == {"kvm-01": "encrypted (SSH)", "kvm-02": "encrypted (TLS)", "kvm-03": "no"}


def test_a_host_that_was_never_scanned_says_so(empty_web: Web) -> None:
    empty_web.post(
        "/hosts/add",
        {"name": "new", "transport": "unix", "path": "system", "read_only": "no", "do": "force"},
    )
    page = empty_web.text("/hosts/new")
    assert "Nothing has been seen of this host yet" in page
    assert "waiting for its first scan" in empty_web.text("/hosts")


# --- buttons ----------------------------------------------------------------------------------


def test_disabling_and_enabling_change_what_is_watched(web: Web) -> None:
    assert web.post("/hosts/kvm-01/disable").status_code == 303
    assert "Disabled" in web.text("/hosts/kvm-01")
    assert ">Enable" in web.text("/hosts/kvm-01")
    assert "1 disabled" in web.text("/")
    refused = web.post("/hosts/kvm-01/scan", htmx=True)
    assert refused.status_code == 409
    assert "is disabled" in refused.text
    web.post("/hosts/kvm-01/enable")
    assert get_host(web.store, "kvm-01").enabled


def test_read_only_is_a_switch(web: Web) -> None:
    web.post("/hosts/kvm-01/read-only", {"read_only": "yes"})
    assert get_host(web.store, "kvm-01").connection.read_only
    assert "read-only</span>" in web.text("/hosts/kvm-01")
    web.post("/hosts/kvm-01/read-only", {"read_only": "no"})
    assert not get_host(web.store, "kvm-01").connection.read_only
    assert web.post("/hosts/kvm-01/read-only", {"read_only": "perhaps"}).status_code == 422


def test_a_removed_host_is_gone_now_and_there_in_the_past(web: Web) -> None:
    at = rfc3339(now_ms() - 1_000)
    answer = web.post("/hosts/kvm-01/remove")
    assert answer.headers["Location"] == "/hosts"
    assert "its history stays" in web.text("/hosts")
    assert [host.slug for host in list_hosts(web.store)] == ["kvm-02", "kvm-03"]
    assert web.client.get("/hosts/kvm-01").status_code == 404
    assert "kvm-01.test" in web.text(f"/hosts/kvm-01?at={at}")


def test_asking_for_a_scan_without_a_collector_says_that_nobody_will(web: Web) -> None:
    answer = web.post("/hosts/kvm-01/scan", htmx=True)
    assert answer.status_code == 409
    assert "No npvirt process is collecting" in answer.text
    assert answer.text.startswith("<hx-partial")


@pytest.mark.parametrize("deed", ["scan", "enable", "disable", "read-only", "remove"])
def test_a_deed_on_a_host_that_is_not_there_is_a_404(web: Web, deed: str) -> None:
    before = web.store.version()
    assert web.post(f"/hosts/never/{deed}", {"read_only": "yes"}).status_code == 404
    assert web.store.version() == before


# --- figures ----------------------------------------------------------------------------------

COUNTER = st.integers(min_value=0, max_value=2**63 - 1) | st.none()
SAMPLES = st.builds(
    HostSample,
    cpu_user_ns=COUNTER,
    cpu_system_ns=COUNTER,
    cpu_iowait_ns=COUNTER,
    cpu_idle_ns=COUNTER,
    memory_total_bytes=COUNTER,
    memory_free_bytes=COUNTER,
    memory_cached_bytes=COUNTER,
)


@given(SAMPLES, SAMPLES)
def test_a_cpu_share_is_between_nothing_and_all_or_unknown(
    sample: HostSample, previous: HostSample
) -> None:
    share = cpu_share(sample, previous)
    assert share is None or 0 <= share <= 1
    used = host_memory_used_bytes(sample)
    assert used is None or 0 <= used <= (sample.memory_total_bytes or 0)


def test_a_restarted_counter_makes_no_share() -> None:
    assert cpu_share(host_sample(10, 10), host_sample(20, 20)) is None
    assert cpu_share(host_sample(10, 10), host_sample(10, 10)) is None
    assert cpu_share(host_sample(10, 10), None) is None


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "–"), (0, "0 B"), (1000, "1000 B"), (1024, "1 KiB"), (16 * GIB, "16 GiB"),
     (1003 * GIB, "1003 GiB"), (2_000 * GIB, "1.95 TiB"), (29_800 * GIB, "29.1 TiB")],
)  # fmt: skip
def test_sizes_carry_three_figures_and_a_unit(count: int | None, text: str) -> None:
    assert size(count) == text


def test_what_is_small_beside_its_whole_keeps_its_own_unit() -> None:
    assert number_and_unit(GIB, 1500 * GIB) == ("1 GiB", "of 1.46 TiB")
    assert number_and_unit(1884 * GIB, 2621 * GIB) == ("1.84", "of 2.56 TiB")
    assert size_of(1024**2, 24 * GIB) == "1 MiB / 24 GiB"
    assert size_of(0, 24 * GIB) == "0 / 24 GiB"


def test_a_pair_stands_in_the_unit_of_the_whole() -> None:
    assert size_of(512 * 1024**2, 2 * GIB) == "0.5 / 2 GiB"
    assert size_of(None, 2 * GIB) == "– / 2 GiB"
    assert size_of(None, None) == "–"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1e12)), max_size=6))
def test_shares_fill_the_bar_and_hide_none(parts: list[tuple[str, float]]) -> None:
    made = shares(parts)
    assert len(made) == sum(value > 0 for _, value in parts)
    assert all(float(part.width) > 0.9 for part in made)
    if made:
        assert 99 < float(made[-1].x) + float(made[-1].width) < 101


def test_a_capacity_bar_is_scaled_by_what_is_largest() -> None:
    assert capacity(50, 100, 200) == {"used": "25", "size": "50", "promised": "100"}
    assert capacity(None, 100, 200)["used"] is None
    assert [warning(value) for value in (None, 84, 85, 91, 92, 200)] == [
        "", "", "warn", "warn", "bad", "bad",
    ]  # fmt: skip


def test_cpu_numbers_are_written_as_ranges() -> None:
    assert ranges((0, 1, 2, 8, 10, 11)) == "0–2, 8, 10–11"
    assert ranges(()) == ""


@given(st.sets(st.integers(0, 300)))
def test_ranges_name_every_cpu_once(cpus: set[int]) -> None:
    named = set()
    for text in filter(None, ranges(sorted(cpus)).split(", ")):
        first, _, last = text.partition("–")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == cpus


def test_a_host_without_a_map_shows_its_cpus_as_unknown(web: Web) -> None:
    facts = host_facts(get_host(web.store, "kvm-01"))
    bare = replace(facts, cpu_map=None, numa=())
    (node,) = cpu_nodes(bare)
    assert node.cells == ((0, None), (1, None), (2, None), (3, None))
    assert cpu_nodes(replace(bare, cpus=None)) == []
    many = replace(facts, numa=(NumaCell(0, None, (0, 2)), NumaCell(1, None, (1, 3))))
    assert [node.range for node in cpu_nodes(many)] == ["CPU 0, 2", "CPU 1, 3"]


def test_memory_is_divided_only_as_far_as_it_is_known() -> None:
    assert memory_bar(HostSample(), []) is None
    bar = memory_bar(host_sample(0, 0), [])
    assert [word for _, word, _ in known(bar).legend] == ["VMs", "host", "cache, buffers", "free"]


def test_smbios_is_grouped_and_its_memory_summed() -> None:
    full = SysinfoSection("memory_device", (("size", "64 GB"), ("locator", "A1")))
    small = SysinfoSection("memory_device", (("size", "512 MB"), ("serial_number", HOSTILE)))
    none = SysinfoSection("memory_device", (("size", "No Module Installed"),))
    board = SysinfoSection("baseBoard", (("manufacturer", "Not Specified"), ("serialNumber", "")))
    found = hardware((board, full, small, none))
    assert [section.title for section in found.sections] == ["Base board"]
    assert found.sections[0].summary == ""
    assert found.sections[0].tables == (
        (("Manufacturer", "Not Specified"), ("Serial number", "–")),
    )
    assert [device.slot for device in found.devices] == ["A1", "Slot 2", "Slot 3"]
    assert [device.size for device in found.devices] == ["64 GiB", "512 MiB", "empty"]
    assert found.memory_bytes == 64 * GIB + 512 * 1024**2
    assert found.memory_summary.startswith("2 of 3 slots filled")


@given(st.lists(st.builds(
    SysinfoSection,
    st.sampled_from(["bios", "memory_device", "processor", "oemStrings", "x"]),
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=12))).map(tuple),
), max_size=6))  # fmt: skip
def test_no_firmware_breaks_the_page(tables: list[SysinfoSection]) -> None:
    hardware(tables)


def test_firmware_and_libvirt_may_differ_by_a_little() -> None:
    assert memory_mismatch(512 * GIB, 503 * GIB) == ""
    assert memory_mismatch(None, 503 * GIB) == ""
    assert "Firmware lists 384 GiB, libvirt reports 512 GiB." in memory_mismatch(
        384 * GIB, 512 * GIB
    )
