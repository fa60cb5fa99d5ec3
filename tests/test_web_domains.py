"""The list of domains and one domain, as a browser gets them."""

import re
from html import unescape

import pytest

from app.clock import now_ms, rfc3339
from app.connection import Connection
from app.inventory import FLAG_GROUPS, DomainSample
from app.store.hosts import HostRecord, add_host, get_host
from tests.fleet_support import domain_uuid, make_domain, make_scan, scan_again
from tests.web_support import Web

FLAGS = tuple(flag for group in FLAG_GROUPS.values() for flag in group)
RUNNING = f"/hosts/kvm-01/domains/{domain_uuid(0, 0)}"
LOST = f"/hosts/kvm-06/domains/{domain_uuid(2, 6)}"
ADDRESSES = ("/domains", "/domains?flag=running&sort=-cpu", "/domains?q=app&per_page=2",
             RUNNING, LOST)  # fmt: skip


def rows(text: str) -> list[tuple[str, str]]:
    """(host, UUID) of the rows, in order."""
    return re.findall(r'<tr id="vm-(kvm-\d\d)-([0-9a-f-]{36})"', text)


def row(text: str, host: int, place: int) -> str:
    """The row of one domain."""
    wanted = f'id="vm-{("kvm-01", "kvm-02", "kvm-06")[host]}-{domain_uuid(host, place)}"'
    return text.split(wanted, 1)[1].split("</tr>", 1)[0]


def shown(text: str) -> str:
    """What a reader sees of some HTML."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("past", [False, True])
def test_a_page_holds_its_own_part_byte_for_byte(fleet_web: Web, address: str, past: bool) -> None:
    moment = f"{'&' if '?' in address else '?'}at={rfc3339(now_ms() - 30_000)}" if past else ""
    part = fleet_web.client.get(f"/ui{address}{moment}").data
    assert part in fleet_web.client.get(address + moment).data
    assert len(part) > 2000


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_part_is_not_sent_again_until_something_changed(fleet_web: Web, address: str) -> None:
    poll = poll_of(fleet_web.text(f"/ui{address}"))
    if "sorted=" in poll:
        # The first answer keeps the order from then on; that alone changes its address.
        poll = poll_of(fleet_web.text(poll))
    assert fleet_web.client.get(poll).status_code == 204
    # Counters of so long ahead that no rate can come out as before, however long the test waited.
    scan_again(fleet_web, 2 if "kvm-06" in address else 0, 90_000)
    assert fleet_web.client.get(poll).status_code == 200


def poll_of(part: str) -> str:
    """The address that the part asks for again."""
    found = re.search(r'hx-get="([^"]+)"', part)
    assert found is not None
    return unescape(found[1])


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_past_does_not_ask_again_and_its_links_stay_there(fleet_web: Web, address: str) -> None:
    at = rfc3339(now_ms() - 30_000)
    page = fleet_web.text(f"{address}{'&' if '?' in address else '?'}at={at}")
    main = page.split("<main", 1)[1].split("</main>", 1)[0]
    assert "every 5s" not in main
    links = [unescape(link) for link in re.findall(r'href="(/[^"]*)"', main)]
    links = [link for link in links if not link.startswith("/static/")]
    assert links
    assert [link for link in links if at.replace(":", "%3A") not in link and at not in link] == []


def test_a_past_list_is_the_same_after_new_scans(fleet_web: Web) -> None:
    address = f"/ui/domains?sort=-cpu&at={rfc3339(now_ms() - 30_000)}"
    before = fleet_web.client.get(address).data
    scan_again(fleet_web, 0, 1500, domains={domain_uuid(0, 9): make_domain(0, 9)})
    assert fleet_web.client.get(address).data == before


# --- the list -------------------------------------------------------------------------------


def test_every_domain_of_every_host_is_listed_by_name(fleet_web: Web) -> None:
    found = rows(fleet_web.text("/domains"))
    assert len(found) == len(set(found)) == 72
    assert {host for host, _ in found} == {"kvm-01", "kvm-02", "kvm-06"}


def test_a_row_tells_state_memory_processor_rates_and_port(fleet_web: Web) -> None:
    text = shown(row(fleet_web.text("/domains"), 0, 1))
    assert "Running" in text
    assert "4.68 / 6 GiB" in text
    assert "80 %" in text
    assert "0.4 / 0.9" in text
    assert ":5901" in text


def test_memory_of_a_running_domain_that_nobody_measured_is_unknown(fleet_web: Web) -> None:
    off = row(fleet_web.text("/domains?per_page=1000"), 0, 4)
    assert "Shut off" in off
    assert '<svg class="meter" aria-hidden="true"></svg>' in off
    domains = {domain_uuid(0, place): make_domain(0, place) for place in (1, 4)}
    bare = DomainSample(cpu_time_ns=10**15)
    scan_again(fleet_web, 0, 90_000, domains=domains, domain_samples={domain_uuid(0, 1): bare})
    page = fleet_web.text("/domains?per_page=1000")
    running = row(page, 0, 1)
    assert "Running" in running
    assert '<svg class="meter unk"' in running
    assert "– / 6 GiB" in shown(running)
    assert '<svg class="meter unk"' not in row(page, 0, 4)
    one = shown(fleet_web.text(f"/hosts/kvm-01/domains/{domain_uuid(0, 1)}"))
    assert "Memory – / 6 GiB" in one
    assert "Memory – /" not in shown(fleet_web.text(f"/hosts/kvm-01/domains/{domain_uuid(0, 4)}"))


def test_all_sixteen_flags_are_offered_with_their_counts(fleet_web: Web) -> None:
    page = fleet_web.text("/domains")
    counts = {
        flag: int(re.search(rf'id="by-{flag}"[^>]*>[^<]*<span class="n">(\d+)', page)[1])  # type: ignore[index]
        for flag in FLAGS
    }
    assert len(counts) == 16
    for one, other in (("active", "inactive"), ("persistent", "transient"),
                       ("autostart", "no-autostart"), ("snapshot", "no-snapshot")):  # fmt: skip
        assert counts[one] + counts[other] == 48, one
    assert counts["checkpoint"] + counts["no-checkpoint"] == 24  # kvm-02 cannot tell
    assert "24 unknown" in page
    assert "until kvm-06 answers" in page


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_shows_as_many_as_it_counts_and_none_of_a_silent_host(
    fleet_web: Web, flag: str
) -> None:
    page = fleet_web.text(f"/domains?flag={flag}")
    counted = re.search(rf'id="by-{flag}"[^>]*aria-current[^>]*>[^<]*<span class="n">(\d+)', page)
    assert counted is not None
    found = rows(page)
    assert len(found) == int(counted[1]) > 0
    assert "kvm-06" not in {host for host, _ in found}


def test_a_press_on_a_chosen_flag_takes_it_away_again(fleet_web: Web) -> None:
    page = fleet_web.text("/domains?flag=running&flag=autostart&q=app")
    link = re.search(r'id="by-running" href="([^"]+)"', page)
    assert link is not None
    assert unescape(link[1]) == "/domains?flag=autostart&q=app"


def test_a_silent_host_is_unknown_and_its_last_values_are_not_shown_as_present(
    fleet_web: Web,
) -> None:
    text = row(fleet_web.text("/domains?host=kvm-06"), 2, 1)
    assert "Unknown" in text
    assert "since" in text
    assert "was running" in text
    assert 'class="meter unk"' in text
    assert "? / 6 GiB" in text
    assert "<rect" not in text


@pytest.mark.parametrize(
    "text", ["52:54:00:00:00:03", "52-54-00-00-00-03", "10.20.4.3", "guest-3.example",
             domain_uuid(0, 3)]
)  # fmt: skip
def test_a_search_finds_by_address_and_uuid(fleet_web: Web, text: str) -> None:
    assert ("kvm-01", domain_uuid(0, 3)) in rows(fleet_web.text(f"/domains?q={text}&host=kvm-01"))


def test_a_search_finds_by_title_and_by_a_leased_address(fleet_web: Web) -> None:
    assert {uuid for _, uuid in rows(fleet_web.text("/domains?q=LEDGER"))} == {
        domain_uuid(host, 1) for host in range(3)
    }
    assert rows(fleet_web.text("/domains?q=192.168.122.12")) == [("kvm-01", domain_uuid(0, 2))]


def test_a_search_without_hits_names_the_filters_and_offers_to_clear_them(fleet_web: Web) -> None:
    page = fleet_web.text("/domains?q=nowhere&flag=transient&host=kvm-01")
    assert "No VM matches" in page
    for word in ("host kvm-01", "transient", "“nowhere”"):
        assert word in shown(page)
    assert re.search(r'<a class="btn" href="/domains">Clear filters</a>', page)


def test_pages_follow_each_other_and_keep_the_filters(fleet_web: Web) -> None:
    seen: list[tuple[str, str]] = []
    address = "/domains?per_page=20&host=kvm-01"
    while address:
        page = fleet_web.text(address)
        seen += rows(page)
        following = re.search(r'id="next" href="([^"]+)"', page)
        address = unescape(following[1]) if following else ""
    assert len(seen) == len(set(seen)) == 24
    assert "There is no such page" in fleet_web.text("/domains?page=9")


def test_the_head_of_the_sorted_column_says_its_direction(fleet_web: Web) -> None:
    page = fleet_web.text("/domains?sort=-cpu")
    assert page.count("aria-sort") == 1
    assert re.search(r'aria-sort="descending"><a[^>]*>CPU', page)
    shares = [int(n) for n in re.findall(r'<span class="v">(\d+) %</span>', page)]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) > 10


def test_a_table_that_refreshes_keeps_its_order_and_shows_new_values(fleet_web: Web) -> None:
    part = fleet_web.text("/ui/domains?sort=-cpu&host=kvm-01")
    before = rows(part)
    # Everybody stood still but the one that was the least busy.
    samples = make_scan(0, _record(fleet_web), now_ms(), 24, 720).domain_samples
    assert samples is not None
    scan_again(fleet_web, 0, 720, domain_samples=dict(samples))
    refreshed = fleet_web.text(poll_of(part))
    assert refreshed != part
    assert rows(refreshed) == before
    assert rows(fleet_web.text("/ui/domains?sort=-cpu&host=kvm-01")) != before


def _record(web: Web) -> HostRecord:
    return get_host(web.store, "kvm-01")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("flag=sleeping", "flag"), ("state=asleep", "state"), ("host=nowhere", "host"),
        ("sort=colour", "sort"), ("page=0", "page"), ("page=two", "page"),
        ("per_page=1001", "per_page"), ("q=" + "x" * 300, "search"), ("sorted=now", "sorted"),
        ("colour=red", "colour"), ("at=tomorrow", "moment"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "/ui"])
def test_a_bad_parameter_is_refused_with_a_sentence_that_names_it(
    fleet_web: Web, query: str, names: str, prefix: str
) -> None:
    text = shown(fleet_web.text(f"{prefix}/domains?{query}", 422))
    assert names in text


def test_empty_fields_of_the_form_ask_for_nothing(fleet_web: Web) -> None:
    assert len(rows(fleet_web.text("/domains?q=&host=&state="))) == 72


def test_the_filters_address_is_put_into_the_browser(fleet_web: Web) -> None:
    asked = {"HX-Request": "true"}
    answer = fleet_web.client.get("/ui/domains?q=app&host=&state=running", headers=asked)
    assert answer.headers["HX-Replace-Url"] == "/domains?q=app&state=running"
    poll = poll_of(answer.text)
    again = fleet_web.client.get(poll, headers=asked)
    assert "HX-Replace-Url" not in again.headers


def test_the_list_is_offered_and_answered_as_csv(fleet_web: Web) -> None:
    page = fleet_web.text("/domains?flag=paused&host=kvm-01")
    link = re.search(r'href="([^"]+)" download', page)
    assert link is not None
    answer = fleet_web.client.get(unescape(link[1]))
    assert answer.mimetype == "text/csv"
    assert answer.text.count("\r\n") == 3
    assert fleet_web.client.get("/domains?flag=paused&host=kvm-01&format=csv").data == answer.data


def test_before_the_first_scan_nothing_had_been_seen(fleet_web: Web) -> None:
    assert "Nothing had been seen yet" in fleet_web.text("/domains?at=2020-01-01T00:00Z")
    assert rows(fleet_web.text("/domains?host=kvm-01&at=2020-01-01T00:00Z")) == []


def test_without_hosts_the_page_says_how_to_add_one(empty_web: Web) -> None:
    assert "No hosts yet" in empty_web.text("/domains")
    add_host(empty_web.store, "kvm-01", Connection())
    assert "No VMs" in empty_web.text("/domains")


# --- one domain -----------------------------------------------------------------------------


def test_one_domain_shows_its_figures_devices_and_definitions(fleet_web: Web) -> None:
    text = shown(fleet_web.text(RUNNING))
    for said in (
        "app-01", "Running booted", "1.9 / 2 GiB", "VNC :5900", "127.0.0.1:5900", "vm-0.qcow2",
        "1 backing file", "/var/lib/libvirt/images/base.qcow2", "2 / 20 GiB", "52:54:00:00:00:00",
        "network default", "guest-0.example", "Debian GNU/Linux 12", "10.20.4.0/24",
        "192.168.122.10", "persistent", domain_uuid(0, 0),
    ):  # fmt: skip
        assert said in text, said


def test_disks_lead_to_their_pool_and_nics_to_their_network(fleet_web: Web) -> None:
    page = fleet_web.text(RUNNING)
    links = re.findall(r'href="(/[^"]+)"', page.split("<main", 1)[1])
    for link in {link for link in links if not link.startswith("/static/")}:
        fleet_web.text(unescape(link))
    assert any("/pools/" in link for link in links)
    assert "/networks?host=kvm-01" in links


def test_a_changed_definition_is_said_with_what_a_start_would_change(fleet_web: Web) -> None:
    assert "16 GiB now, 24 GiB saved" in shown(fleet_web.text(RUNNING)).replace(" ,", ",")
    other = f"/hosts/kvm-01/domains/{domain_uuid(0, 1)}"
    assert "saved definition differs" not in fleet_web.text(other)


def test_xml_from_a_host_is_only_ever_text(fleet_web: Web) -> None:
    page = fleet_web.text(RUNNING)
    xml = page.split('id="xml-live-text"', 1)[1].split(">", 1)[1].split("</pre>", 1)[0]
    assert "<" not in xml
    assert unescape(xml).startswith("<domain type='kvm'>")
    assert unescape(unescape(xml)).count("</pre><script>") == 1


def test_a_domain_of_a_silent_host_is_shown_as_last_seen(fleet_web: Web) -> None:
    text = shown(fleet_web.text(LOST))
    assert "Unknown since" in text
    assert "was paused, I/O error" in text
    assert "does not mean that it is down" in text
    assert "did not answer in time" in text


@pytest.mark.parametrize(
    "address",
    [
        f"/hosts/kvm-01/domains/{domain_uuid(1, 0)}", "/hosts/kvm-01/domains/app-01",
        f"/hosts/nowhere/domains/{domain_uuid(0, 0)}", "/hosts/nowhere/domains?q=app-01",
        "/hosts/kvm-01/domains?q=nobody", "/hosts/kvm-01/domains?q=99999",
        f"{RUNNING}?at=2020-01-01T00:00Z",
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_404_that_says_what(fleet_web: Web, address: str) -> None:
    assert "has no" in (page := fleet_web.text(address, 404)) or "There is no host" in page


@pytest.mark.parametrize("text", ["1", "app-01", domain_uuid(0, 0), domain_uuid(0, 0).upper()])
def test_a_domain_is_looked_up_by_id_name_or_uuid(fleet_web: Web, text: str) -> None:
    answer = fleet_web.client.get(f"/hosts/kvm-01/domains?q={text}")
    assert answer.status_code == 302
    assert answer.headers["Location"] == RUNNING


def test_a_look_up_without_a_question_shows_the_hosts_domains(fleet_web: Web) -> None:
    answer = fleet_web.client.get("/hosts/kvm-01/domains")
    assert answer.headers["Location"] == "/domains?host=kvm-01"


# --- hostile values -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["/domains", f"/hosts/kvm-01/domains/{domain_uuid(0, 2)}",
     f"/hosts/kvm-01/domains/{domain_uuid(0, 15)}", "/domains?q=%3C/b%3E%3Cscript%3E"],
)  # fmt: skip
def test_names_from_a_host_are_only_ever_text(fleet_web: Web, address: str) -> None:
    page = fleet_web.text(address)
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert not re.search(r"<[a-z][^>]*\son[a-z]+=", page)
    assert not re.search(r"<[a-z][^>]*\sstyle=", page)


def test_a_name_keeps_its_direction_to_itself(fleet_web: Web) -> None:
    body = fleet_web.text("/ui/domains")
    assert "\u202e" in body
    for before in body.split("\u202e")[:-1]:
        in_element = before.rfind("<bdi>") > before.rfind("</bdi>")
        # An attribute takes no element, but the characters that isolate.
        assert in_element or before.rfind("\u2068") > before.rfind("\u2069")
