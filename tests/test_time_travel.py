"""Time travel: every address at a past moment, what became of things since, two moments compared,
and the ways from one moment to another.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.clock import now_ms, rfc3339
from app.connection import Connection
from app.errors import InvalidField
from app.inventory import Domain, Scan
from app.store.density import density, gaps_between
from app.store.engine import Store
from app.store.history import fleet
from app.store.hosts import HostRecord, add_host, remove_host, set_enabled
from app.store.record import Recorder
from app.web.comparing import compare
from app.web.moment import typed_moment
from app.web.ribbon import SPANS, labels, window
from app.web.when import Zone
from tests.fleet_support import (
    HOSTS,
    domain_uuid,
    make_domain,
    network_uuid,
    pool_uuid,
    scan_again,
)
from tests.made_once import open_store
from tests.storing import BASE_MS, a_host, a_store
from tests.web_support import GIB, Web

__all__ = ["a_store"]

BERLIN = Zone("Europe/Berlin")
KEPT = domain_uuid(0, 0)
DELETED = domain_uuid(0, 1)
MOVED = domain_uuid(0, 2)
GROWN = domain_uuid(0, 3)
CRASHED = domain_uuid(1, 0)


def moment_of(web: Web) -> str:
    """A moment between the last two scans of the fleet."""
    return rfc3339((fleet(web.store, None).as_of_ms or 0) - 30_000)


def changed(web: Web) -> None:
    """One more look at two hosts, after a deletion, a move, a resize and a crash."""
    here = {domain_uuid(0, n): make_domain(0, n) for n in range(24)}
    there = {domain_uuid(1, n): make_domain(1, n) for n in range(24)}
    del here[DELETED]
    there[MOVED] = replace(here.pop(MOVED), id=777)
    here[GROWN] = replace(here[GROWN], vcpus=6, memory_bytes=12 * GIB)
    there[CRASHED] = replace(there[CRASHED], state="crashed", state_reason="panicked", id=None)
    scan_again(web, 0, 780, domains=here)
    scan_again(web, 1, 780, domains=there)
    # A look counts from when it was over.
    time.sleep(0.8)


# --- the past stays the same -----------------------------------------------------------------

# They speak of the present, each in a part of its own.
_PRESENT = re.compile("/ui/(ribbon|since/|jobs)|/actions/|/menu$|/add$|/edit$|/uri$|/embed-tokens")
_VALUES = {
    "slug": "kvm-01", "kind": "domains", "key": KEPT, "name": "x", "action": "start",
}  # fmt: skip
_UUIDS = {"domains": KEPT, "pools": pool_uuid(0, 0), "networks": network_uuid(0)}


def addresses(web: Web) -> Iterator[str]:
    """Every GET address of parts, JSON and CSV that takes a moment."""
    for rule in web.app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or not rule.rule.startswith(("/ui/", "/api/")):
            continue
        if _PRESENT.search(rule.rule):
            continue
        kind = next((one for one in _UUIDS if f"/{one}/" in rule.rule), "domains")
        values = {**_VALUES, "uuid": _UUIDS[kind]}
        if set(rule.arguments) - set(values):
            continue
        built = rule.build({name: values[name] for name in rule.arguments}, append_unknown=False)
        if built is not None:
            yield str(built[1])


def answers_at(web: Web, at: str) -> dict[str, bytes]:
    """What answers at a moment, as it is and as CSV."""
    found = {}
    for address in addresses(web):
        extra = f"&with={rfc3339(now_ms() - 90_000)}" if address.endswith("/compare") else ""
        for form in ("", "&format=csv"):
            answer = web.client.get(f"{address}?at={at}{extra}{form}")
            if answer.status_code == 200:
                found[f"{address}{extra}{form}"] = answer.data
    return found


def test_the_past_is_byte_for_byte_the_same_after_new_scans(fleet_web: Web) -> None:
    at = moment_of(fleet_web)
    before = answers_at(fleet_web, at)
    must = {"/ui/overview", "/ui/hosts", "/ui/hosts/kvm-01", "/ui/domains", "/ui/pools",
            "/ui/networks", f"/ui/hosts/kvm-01/domains/{KEPT}", "/api/v1/domains",
            "/api/v1/domains&format=csv", "/api/v1/overview", "/api/v1/audit"}  # fmt: skip
    assert must <= set(before)
    changed(fleet_web)
    set_enabled(fleet_web.store, "kvm-02", enabled=False)
    remove_host(fleet_web.store, "kvm-06")
    again = {
        address: fleet_web.client.get(
            address.replace("&", f"?at={at}&", 1) if "&" in address else f"{address}?at={at}"
        ).data
        for address in before
    }
    assert [address for address in before if before[address] != again[address]] == []


def test_what_was_deleted_is_still_there_in_the_past(fleet_web: Web) -> None:
    at = moment_of(fleet_web)
    changed(fleet_web)
    remove_host(fleet_web.store, "kvm-06")
    assert "app-02" in fleet_web.text(f"/hosts/kvm-01/domains/{DELETED}?at={at}")
    fleet_web.text(f"/hosts/kvm-06?at={at}")
    fleet_web.text(f"/hosts/kvm-06/pools/{pool_uuid(2, 0)}?at={at}")
    assert len(json.loads(fleet_web.text(f"/api/v1/hosts?at={at}"))["items"]) == len(HOSTS)


PAGES = ("/", "/hosts", "/hosts/kvm-01", "/domains", "/domains?flag=running", "/pools",
         "/networks", f"/hosts/kvm-01/domains/{KEPT}", f"/hosts/kvm-01/pools/{pool_uuid(0, 0)}",
         "/audit", "/changes")  # fmt: skip


@pytest.mark.parametrize("address", [
    *(page for page in PAGES if page not in ("/audit", "/changes")),
    f"/hosts/kvm-01/domains/{KEPT}/devices/disk:vda",
    f"/hosts/kvm-01/domains/{KEPT}/devices/nic:52:54:00:00:00:00",
    f"/series?kind=domain&host=kvm-01&id={KEPT}",
])  # fmt: skip
def test_the_past_is_marked_as_such(fleet_web: Web, address: str) -> None:
    at = moment_of(fleet_web)
    page = fleet_web.text(f"{address}{'&' if '?' in address else '?'}at={at}")
    assert '<span class="tag past">as of ' in page
    assert page.count('id="past-note"') == 1
    live = fleet_web.text(address)
    assert "tag past" not in live
    assert "past-note" not in live


@pytest.mark.parametrize("address", PAGES)
def test_the_past_offers_no_action_and_its_links_stay(fleet_web: Web, address: str) -> None:
    at = moment_of(fleet_web)
    page = fleet_web.text(f"{address}{'&' if '?' in address else '?'}at={at}")
    assert 'class="past"' in page
    main = page.split("<main", 1)[1].split("</main>", 1)[0]
    assert "every " not in "".join(re.findall(r'hx-trigger="([^"]*)"', main))
    assert not re.search(r'hx-post|formaction|method="post"', main)
    # What is there as a sign that it is off cannot be pressed.
    buttons = re.findall(r'<a role="button"[^>]*>', main)
    assert all('aria-disabled="true"' in one and "href" not in one for one in buttons)
    frame = re.sub(r'<section class="ribbon".*?</section>', "", page, flags=re.S)
    own = (
        "/account",
        "/users",
        "/tokens",
        "/embed-tokens",
        "/store",
        "/health",
        "/help",
        "/notifications",
        "/static/",
    )
    links = [link for link in re.findall(r'<a [^>]*href="(/[^"]*)"', frame)
             if not link.startswith(own)]  # fmt: skip
    assert len(links) > 5
    encoded = at.replace(":", "%3A")
    assert [link for link in links if f"at={at}" not in link and f"at={encoded}" not in link] == []
    forms = re.findall(r'<form[^>]*method="get".*?</form>', frame, flags=re.S)
    assert all('name="at"' in form for form in forms)


# --- what became of it -----------------------------------------------------------------------


def since(web: Web, address: str, at: str) -> dict[str, str]:
    """What the cells of a page are filled with, by the end of their ids."""
    html = web.text(f"/ui/since{address}{'&' if '?' in address else '?'}at={at}")
    found = re.findall(r'hx-target="#since-([^"]+)".*?>(?:<span[^>]*>)?(.*?)</hx-partial>', html)
    return {key: re.sub("<[^>]+>", "", text) for key, text in found}


def test_every_row_says_what_became_of_it(fleet_web: Web) -> None:
    at = moment_of(fleet_web)
    changed(fleet_web)
    cells = since(fleet_web, "/domains", at)
    # The fleet's looks may have been before midnight.
    clock = r"(\d\d:\d\d|\d\d? [A-Z][a-z]{2})"
    assert cells[f"kvm-01-{KEPT}"] == "same"
    assert re.fullmatch(f"Deleted {clock}", cells[f"kvm-01-{DELETED}"])
    assert re.fullmatch(f"Moved to kvm-02, {clock}", cells[f"kvm-01-{MOVED}"])
    assert re.fullmatch(f"vCPU 4 → 6, {clock}, and 1 more", cells[f"kvm-01-{GROWN}"])
    assert re.fullmatch(f"Crashed {clock}", cells[f"kvm-02-{CRASHED}"])
    assert re.fullmatch(f"Unknown since {clock}", cells[f"kvm-06-{domain_uuid(2, 0)}"])
    assert "3 of 72" not in cells["note"]
    assert "4 of 72 VMs differ from now" in cells["note"]
    page = fleet_web.text(f"/domains?at={at}")
    assert all(f'id="since-{key}"' in page for key in cells if key not in ("note", "acts"))
    # Without script it stands below, in short.
    link = re.search(r'<noscript>.*?href="([^"]+)"', page)
    assert link is not None
    plain = fleet_web.text(link[1].replace("&amp;", "&")).split("plain-since")[1]
    assert "Deleted" in plain
    assert "same" not in plain


@pytest.mark.parametrize("address", ["/hosts", "/pools", "/networks", "/overview"])
def test_the_other_lists_say_it_too(fleet_web: Web, address: str) -> None:
    cells = since(fleet_web, address, moment_of(fleet_web))
    assert "as it was" in cells["note"]
    page = fleet_web.text(f"{address.replace('/overview', '/')}?at={moment_of(fleet_web)}")
    assert all(f'id="since-{key}"' in page for key in cells)


def test_the_page_of_one_object_says_what_became_of_it(fleet_web: Web) -> None:
    at = moment_of(fleet_web)
    changed(fleet_web)
    html = fleet_web.text(f"/ui/since/hosts/kvm-01/domains/{MOVED}?at={at}")
    assert "Moved to kvm-02" in html
    assert f'href="/hosts/kvm-02/domains/{MOVED}"' in html
    html = fleet_web.text(f"/ui/since/hosts/kvm-01/domains/{DELETED}?at={at}")
    assert "Deleted" in html
    assert "See it now" not in html


def test_a_limited_reader_is_told_nothing_of_other_hosts(fleet_web: Web) -> None:
    at = moment_of(fleet_web)
    changed(fleet_web)
    fleet_web.sign_in("limited", "viewer", ["kvm-01"])
    cells = since(fleet_web, "/domains", at)
    assert len([key for key in cells if key.startswith("kvm-")]) == 24
    assert cells[f"kvm-01-{MOVED}"].startswith("Moved to another host")
    assert "kvm-02" not in fleet_web.text(f"/domains?at={at}")
    body = json.loads(fleet_web.text(f"/api/v1/compare?at={at}"))
    assert {item["host"] for item in body["items"]} == {"kvm-01"}


def test_only_what_changed_is_shown_and_stays_what_it_was(fleet_web: Web) -> None:
    at = moment_of(fleet_web)
    changed(fleet_web)
    html = fleet_web.text(f"/ui/since/domains?at={at}")
    only = re.search(r'id="only-changed" href="([^"]+)"', html)
    assert only is not None
    address = only[1].replace("&amp;", "&")
    page = fleet_web.text(address)
    assert len(re.findall(r'<tr id="vm-', page)) == 4
    assert f'id="vm-kvm-01-{GROWN}"' in page
    assert "differs=" in re.findall(r'id="sort-1" href="([^"]+)"', page)[0]
    part = fleet_web.client.get(f"/ui{address}").data
    scan_again(fleet_web, 0, 840)
    assert fleet_web.client.get(f"/ui{address}").data == part
    assert "narrows a past moment" in fleet_web.text("/domains?differs=1000", 422)


# --- two moments -----------------------------------------------------------------------------


def test_two_moments_are_compared(fleet_web: Web) -> None:
    at = moment_of(fleet_web)
    changed(fleet_web)
    body = json.loads(fleet_web.text(f"/api/v1/compare?at={at}"))
    assert body["at"] == at
    assert body["with"] is None
    counts = body["counts"]["domain"]
    assert (counts["then"], counts["now"]) == (72, 71)
    assert [counts[what] for what in ("created", "deleted", "moved", "changed")] == [0, 1, 1, 2]
    items: dict[str, Any] = {item["key"]: item for item in body["items"]}
    assert [one["what"] for one in items[GROWN]["differences"]] == ["memory", "vcpus"]
    assert items[MOVED]["now"] == {"host": "kvm-02", "state": "running"}
    assert items[DELETED]["now"] is None
    csv = fleet_web.text(f"/api/v1/compare?at={at}&format=csv")
    assert f"domain,kvm-01,{GROWN},build-06,changed,,vcpus,,4,6,running,running" in csv
    page = fleet_web.client.get(f"/compare?at={at}", follow_redirects=True).text
    assert "vCPU 4 → 6" in page
    assert f"/hosts/kvm-01/domains/{DELETED}?at={at}" in page


def test_the_page_of_a_comparison_names_both_moments(fleet_web: Web) -> None:
    at = moment_of(fleet_web)
    answer = fleet_web.client.get(f"/compare?at={at}")
    assert answer.status_code == 303
    assert "with=2" in answer.headers["Location"]
    assert "Choose two moments" in fleet_web.text("/compare")
    typed = fleet_web.client.get("/compare?then=2026-05-01+09:30&until=")
    assert typed.headers["Location"].startswith("/compare?at=2026-05-01T09%3A30%3A00Z")
    assert "Write date and time" in fleet_web.text("/compare?then=soon", 422)
    fleet_web.text("/api/v1/compare", 422)
    fleet_web.text(f"/api/v1/compare?at={at}&with=2999-01-01T00:00Z", 422)


def test_a_comparison_speaks_of_two_moments_and_not_of_now(fleet_web: Web) -> None:
    """Whenever its address is opened: the second moment is past by then."""
    at = moment_of(fleet_web)
    changed(fleet_web)
    again = replace(make_domain(0, 12), id=99)
    kept = [make_domain(0, place) for place in range(12)]
    scan_again(fleet_web, 0, 840, domains={one.uuid: one for one in (*kept, again)})
    time.sleep(0.8)
    page = fleet_web.client.get(f"/compare?at={at}", follow_redirects=True).text
    main = page.split('id="page"', 1)[1].split("</main>", 1)[0]
    assert "First → second" in main
    text = " ".join(re.sub("<[^>]+>", "", main).split())
    assert " now" not in text
    assert "72 → " in text
    assert "Running → Running" not in text
    assert "Running at the first and the second moment" in text
    assert "none → " not in text
    assert f"/hosts/kvm-01/domains/{again.uuid}?at={at}" in main


def test_nothing_differs_from_itself(fleet_web: Web) -> None:
    now = fleet(fleet_web.store, None)
    found = compare(now, now)
    assert {fate.what for fates in found.fates.values() for fate in fates} == {"unknown"}
    assert not any(fate.differs for fates in found.fates.values() for fate in fates)


def test_what_belongs_to_a_removed_host_is_not_called_deleted(fleet_web: Web) -> None:
    then = fleet(fleet_web.store, now_ms() - 30_000)
    remove_host(fleet_web.store, "kvm-06")
    found = compare(then, fleet(fleet_web.store, None))
    assert {fate.what for fate in found.fates["domain"]} == {"unwatched"}
    assert len(found.fates["domain"]) == 24


# --- what is gone ----------------------------------------------------------------------------


def test_a_page_of_what_is_gone_leads_to_when_it_was_there(fleet_web: Web) -> None:
    changed(fleet_web)
    page = fleet_web.text(f"/hosts/kvm-01/domains/{DELETED}", 404)
    assert "It was last seen" in page
    link = re.search(r'href="(/hosts/kvm-01/domains/[^"]+\?at=[^"]+)"', page)
    assert link is not None
    assert "app-02" in fleet_web.text(link[1])
    page = fleet_web.text(f"/hosts/kvm-01/domains/{MOVED}", 404)
    assert "is on kvm-02" in page
    problem = json.loads(fleet_web.text(f"/api/v1/hosts/kvm-01/domains/{DELETED}", 404))
    assert problem["elsewhere"][0]["address"].startswith(f"/api/v1/hosts/kvm-01/domains/{DELETED}")
    early = fleet_web.text(f"/hosts/kvm-01/domains/{KEPT}?at=2020-01-01T00:00Z", 404)
    assert "It was first seen" in early
    remove_host(fleet_web.store, "kvm-06")
    assert "It was last seen" in fleet_web.text("/hosts/kvm-06", 404)
    fleet_web.sign_in("limited", "viewer", ["kvm-02"])
    assert "last seen" not in fleet_web.text(f"/hosts/kvm-01/domains/{DELETED}", 404)


# --- the ways to a moment --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("2026-05-01 09:30", "2026-05-01T07:30:00Z"), ("2026-05-01T09:30", "2026-05-01T07:30:00Z"),
        ("2026-05-01", "2026-04-30T22:00:00Z"), ("09:30", "2026-05-12T07:30:00Z"),
        ("23:59", "2026-05-11T21:59:00Z"), ("2026-05-01T07:30Z", "2026-05-01T07:30:00Z"),
        (" 2026-5-1 9:30:15 ", "2026-05-01T07:30:15Z"),
        # There twice: the first of the two.
        ("2025-10-26 02:30", "2025-10-26T00:30:00Z"),
    ],
)  # fmt: skip
def test_a_typed_time_is_of_the_pages_zone(typed: str, found: str) -> None:
    now = BASE_MS + 11 * 86_400_000  # 12 May 2026, 11:30 in Berlin
    assert typed_moment(typed, BERLIN, now).text == found


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "Write date"), ("soon", "Write date"), ("2026-13-01 00:00", "no such date"),
        ("2026-02-30", "no such date"), ("25:00", "no such date"), ("2026-03-29 02:30", "skipped"),
        ("2026-06-01", "future"), ("1969-01-01", "Write date"), ("٢٠٢٦-٠٥-٠١", "Write date"),
    ],
)  # fmt: skip
def test_a_bad_time_is_refused_with_what_is_wrong(typed: str, says: str) -> None:
    with pytest.raises(InvalidField, match=says):
        typed_moment(typed, BERLIN, BASE_MS + 11 * 86_400_000)


@given(st.text(max_size=30))
def test_a_text_is_a_time_or_refused_as_one(text: str) -> None:
    with contextlib.suppress(InvalidField):
        assert (typed_moment(text, BERLIN, BASE_MS).at_ms or 0) <= BASE_MS


def test_the_form_leads_to_the_same_page_at_the_typed_time(fleet_web: Web) -> None:
    def go(page: str, time: str) -> Any:
        return fleet_web.client.get("/go", query_string={"page": page, "time": time})

    answer = go("/domains?flag=running&at=2020-01-01T00:00Z&span=week", "2026-05-01 09:30")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/domains?flag=running&at=2026-05-01T09:30:00Z"
    assert go("//evil.test/x", "2026-05-01").headers["Location"].startswith("/x?at=")
    assert go("https://evil.test/", "2026-05-01").headers["Location"].startswith("/?at=")
    assert go("javascript:alert(1)", "2026-05-01").headers["Location"].startswith("/?at=")
    page = go("/domains", '"><script>')
    assert page.status_code == 422
    assert "Write date and time as" in page.text
    assert "<script>" not in page.text.split("<main")[1]


def test_the_ribbon_leads_to_other_moments_of_the_same_page(fleet_web: Web) -> None:
    page = fleet_web.text(f"/domains?flag=running&at={moment_of(fleet_web)}")
    ribbon = page.split('<section class="ribbon"')[1].split("</section>")[0]
    assert 'id="back-to-live" href="/domains?flag=running"' in ribbon
    assert ribbon.count('href="/domains?flag=running&amp;at=') == 5  # two steps, three spans
    assert "&amp;span=week" in ribbon
    assert "every 15s" not in ribbon
    live = fleet_web.text("/domains").split('<section class="ribbon"')[1].split("</section>")[0]
    assert 'type="range"' in live
    assert "span" in fleet_web.text("/domains?span=year", 422)


def test_a_step_leads_from_change_to_change(fleet_web: Web) -> None:
    changed(fleet_web)
    page = fleet_web.text("/domains")
    seen: list[str] = []
    while (link := re.search(r'id="previous-change" href="([^"]+)"', page)) and len(seen) < 9:
        seen.append(link[1].replace("&amp;", "&"))
        page = fleet_web.text(seen[-1])
    # The last changes of two hosts, that one became unreachable, and that all three were added.
    assert len(seen) == 4
    link = re.search(r'id="next-change" href="([^"]+)"', page)
    assert link is not None
    assert link[1].replace("&amp;", "&") == seen[-2]


@given(
    st.sampled_from(list(SPANS.values())),
    st.integers(min_value=0, max_value=4_000 * 86_400_000),
    st.integers(min_value=1_600_000_000_000, max_value=1_900_000_000_000),
)
def test_the_moment_is_always_on_the_ribbon(span: Any, age_ms: int, now: int) -> None:
    start, end = window(span, now - age_ms, now)
    assert start <= now - age_ms < end
    assert end - start == span.ms
    assert start % span.bucket_ms == 0
    assert (end - now <= span.bucket_ms) or age_ms > span.ms // 2


def a_scan(at_ms: int, *, ok: bool = True) -> Scan:
    return Scan(at_ms=at_ms, took_ms=10, ok=ok)


def looked(store: Store, record: HostRecord, minutes: list[int]) -> None:
    recorder = Recorder(store, record, 60_000)
    for minute in minutes:
        recorder.record(a_scan(BASE_MS + minute * 60_000))


def test_gaps_are_found_whatever_lies_between(a_store: Store) -> None:
    looked(a_store, a_host(a_store, "kvm-01"), [*range(60), *range(90, 120)])
    second = a_host(a_store, "kvm-02")
    looked(a_store, second, [*range(20), *range(70, 80)])

    def gaps(host_ids: frozenset[int] | None, until: int = 120) -> list[tuple[float, float]]:
        to_ms = BASE_MS + until * 60_000
        with a_store.reading() as connection:
            found = gaps_between(connection, BASE_MS, to_ms, 240_000, host_ids)
        return [((a - BASE_MS) / 60_000, (b - BASE_MS) / 60_000) for a, b in found]

    assert gaps(None) == [(59, 70), (79, 90)]
    assert gaps(frozenset((second.id,))) == [(19, 70), (79, 120)]
    assert gaps(None, 150) == [(59, 70), (79, 90), (119, 150)]
    assert gaps(frozenset()) == [(0, 120)]


@given(st.lists(st.integers(min_value=0, max_value=400), max_size=60, unique=True),
       st.integers(min_value=1, max_value=50))  # fmt: skip
def test_gaps_are_those_of_a_plain_walk(times: list[int], longest: int) -> None:
    store = _scratch()
    with store.writing() as writing:
        writing.exec_driver_sql("DELETE FROM scan")
        for at in times:
            writing.exec_driver_sql(
                "INSERT INTO scan (host_id, at_ms, took_ms, ok, clock_stepped, interval_ms, "
                f"listed, sampled, changes) VALUES (1, {at}, 1, 1, 0, 1, 0, 0, 0)"
            )
    edges = [100, *sorted(at for at in times if 100 < at < 300), 300]
    before = [at for at in times if 100 - longest < at <= 100]
    edges[0] = max(before, default=100)
    expected = [(max(a, 100), b) for a, b in pairwise(edges) if b - a > longest]
    with store.reading() as connection:
        assert gaps_between(connection, 100, 300, longest, None) == expected


_made: list[Store] = []


def _scratch() -> Store:
    """One store for all examples."""
    if not _made:
        import tempfile

        _made.append(open_store(Path(tempfile.mkdtemp()) / "npvirt.sqlite"))
        add_host(_made[0], "kvm-01", Connection())
    return _made[0]


def test_the_ribbon_counts_changes_and_troubles(a_store: Store) -> None:
    record = a_host(a_store, "kvm-01")
    recorder = Recorder(a_store, record, 60_000)
    domain = Domain(uuid=domain_uuid(0, 0), name="web", state="running", id=1)
    for minute, state in enumerate(["running", "running", "crashed", "crashed", "shutoff"]):
        seen = replace(domain, state=state, id=1 if state == "running" else None)
        scan = replace(a_scan(BASE_MS + minute * 600_000), domains={domain.uuid: seen})
        recorder.record(scan)
    found = density(
        a_store, BASE_MS, BASE_MS + 3_600_000, 6, longest_ms=700_000,
        until_ms=BASE_MS + 3_600_000,
    )  # fmt: skip
    assert found.troubles == (0, 0, 1, 0, 0, 0)
    assert found.changes[2] >= 1
    assert found.changes[1] == found.changes[3] == 0
    assert found.gaps == ((BASE_MS + 2_400_000, BASE_MS + 3_600_000),)


def test_labels_have_no_hour_twice_where_clocks_go_back() -> None:
    end = 1_761_480_000_000  # 26 October 2025, 12:00 UTC, clocks went back at 01:00 UTC
    for span in SPANS.values():
        found = list(labels(end - span.ms, end, end + 1, span, BERLIN))
        texts = [label.text for label in found]
        assert len(texts) == len(set(texts)) > 4
        places = [float(label.x) for label in found]
        assert places == sorted(places)
