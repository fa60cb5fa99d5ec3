"""Filters, counts, search, order and pages of lists."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from werkzeug.datastructures import MultiDict

from app.errors import InvalidField
from app.inventory import (
    DOMAIN_STATES,
    FLAG_GROUPS,
    Domain,
    DomainSample,
    Guest,
    GuestAddress,
    Lease,
    Network,
    Nic,
    Pool,
    PoolSample,
)
from app.store.history import Fleet, Seen
from app.web.flags import flags_of
from app.web.kinds import DOMAINS, INTERFACES, POOLS, domain_list, plain_list
from app.web.listing import Kind, Query, address, natural, read_query

HOSTS = {"kvm-01", "kvm-02"}
DomainSeen = Seen[Domain, DomainSample]


def seen(name: str, state: str = "running", host: str = "kvm-01", **more: Any) -> DomainSeen:
    given = ("known", "sample", "previous", "elapsed_ms")
    extra: dict[str, Any] = {key: more.pop(key) for key in given if key in more}
    domain = Domain(uuid=f"uuid-{name}", name=name, state=state, **more)
    return Seen(host, domain.uuid, 1, domain, 1000, 1000, **({"known": True} | extra))


def fleet(*domains: DomainSeen, **more: Any) -> Fleet:
    return Fleet(None, 1000, (), domains, **more)


def names(query: Query, *domains: DomainSeen, **more: Any) -> list[str]:
    return [one.fact.name for one in domain_list(fleet(*domains, **more), query).found.items]


def read(text: str, kind: Kind[Any] = DOMAINS, *, strict: bool = False) -> Query:
    pairs = (pair.partition("=") for pair in text.split("&") if pair)
    arguments = MultiDict((name, value) for name, _, value in pairs)
    return read_query(arguments, kind, HOSTS, strict=strict)


# --- asking ---


def test_a_query_is_read_with_its_repeated_parameters_in_the_declared_order() -> None:
    query = read(
        "host=kvm-02&flag=autostart&flag=running&state=paused&q= Web &sort=-cpu&page=2&per_page=7"
    )
    assert query == Query(
        ("kvm-02",), ("paused",), ("running", "autostart"), "Web", "-cpu", 2, 7
    )  # fmt: skip


def test_nothing_asked_is_everything_by_name_a_hundred_at_a_time() -> None:
    assert read("") == Query()
    assert (Query().sort, Query().page, Query().per_page) == ("name", 1, 100)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("colour=red", "colour"),
        ("host=kvm-09", "host"),
        ("host=Not a slug", "host"),
        ("flag=awake", "flag"),
        ("state=RUNNING", "state"),
        ("sort=uuid;drop", "sort"),
        ("sort=--name", "sort"),
        ("sort=-", "sort"),
        ("sort=name&sort=cpu", "sort"),
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=1.0", "page"),
        ("page=٣", "page"),
        ("page=9999999999999999999999", "page"),
        ("per_page=1001", "per_page"),
        ("per_page=all", "per_page"),
        ("q=" + "x" * 201, "q"),
        ("q=a&q=b", "q"),
    ],
)
def test_a_bad_parameter_is_refused_and_named(text: str, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(text)
    assert refused.value.field == field
    assert refused.value.sentence.endswith(".")


def test_an_empty_value_is_what_a_form_sends_for_any_and_a_fault_where_scripts_ask() -> None:
    assert read("host=&state=&flag=&q=&sort=&page=") == Query()
    for name in ("host", "state", "flag", "sort", "page", "per_page"):
        with pytest.raises(InvalidField) as refused:
            read(f"{name}=", strict=True)
        assert refused.value.field == name
    assert read("q=", strict=True) == Query()


def test_a_list_takes_only_what_its_kind_has() -> None:
    assert read("state=degraded&sort=-used", POOLS).states == ("degraded",)
    with pytest.raises(InvalidField):
        read("flag=running", POOLS)
    with pytest.raises(InvalidField):
        read("state=running", INTERFACES)


def test_an_address_says_what_is_not_the_default_and_reads_back_as_the_same_query() -> None:
    query = Query(("kvm-01",), ("paused",), ("running",), "a b&c", "-cpu", 3, 50)
    made = address("/domains", query, DOMAINS, "2026-05-01T09:30:00Z")
    assert made.startswith("/domains?host=kvm-01&state=paused&flag=running&q=a+b%26c&sort=-cpu")
    assert made.endswith("&page=3&per_page=50&at=2026-05-01T09%3A30%3A00Z")
    assert address("/domains", Query(), DOMAINS) == "/domains"


def test_toggling_a_flag_adds_it_or_takes_it_away_and_goes_to_the_first_page() -> None:
    query = Query(flags=("running",), page=4)
    assert query.toggled("paused") == Query(flags=("running", "paused"))
    assert query.toggled("running") == Query()


# --- flags ---


def test_the_flags_of_a_domain_are_libvirts() -> None:
    full = seen(
        "a", id=3, persistent=True, managed_save=False, autostart=True, has_snapshot=True,
        has_checkpoint=False,
    )  # fmt: skip
    assert flags_of(full) == {
        "active", "running", "persistent", "no-managed-save", "autostart", "snapshot",
        "no-checkpoint",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "flag"),
    [
        ("nostate", "other"), ("running", "running"), ("blocked", "other"), ("paused", "paused"),
        ("shutdown", "other"), ("shutoff", "shutoff"), ("crashed", "other"),
        ("pmsuspended", "other"),
    ],
)  # fmt: skip
def test_every_state_is_in_one_flag_of_the_state_group(state: str, flag: str) -> None:
    assert flags_of(seen("a", state)) & set(FLAG_GROUPS["state"]) == {flag}


def test_a_domain_with_an_id_is_active_whatever_its_state() -> None:
    assert "active" in flags_of(seen("a", "crashed", id=7))
    assert "inactive" in flags_of(seen("a", "crashed"))


def test_what_a_host_cannot_tell_is_in_neither_flag_of_the_pair() -> None:
    assert flags_of(seen("a")) == {"active", "running"}


def test_a_domain_of_a_silent_host_is_in_no_group() -> None:
    assert flags_of(seen("a", known=False, persistent=True)) == set()


# --- choosing ---

SOME = (
    seen("on", autostart=True, persistent=True),
    seen("off", "shutoff", autostart=True, persistent=True),
    seen("idle", "paused", autostart=False, persistent=False),
    seen("sick", "crashed", autostart=False, persistent=True, host="kvm-02"),
    seen("lost", autostart=True, persistent=True, host="kvm-02", known=False),
)


def test_flags_widen_within_a_group_and_narrow_between_groups() -> None:
    assert names(Query(flags=("running", "paused")), *SOME) == ["idle", "on"]
    assert names(Query(flags=("running", "shutoff", "autostart")), *SOME) == ["off", "on"]
    assert names(Query(flags=("paused", "autostart")), *SOME) == []
    assert names(Query(flags=("autostart", "no-autostart")), *SOME) == ["idle", "off", "on", "sick"]


def test_states_and_hosts_are_filters_of_their_own() -> None:
    assert names(Query(states=("crashed", "paused")), *SOME) == ["idle", "sick"]
    assert names(Query(hosts=("kvm-02",)), *SOME) == ["lost", "sick"]
    assert names(Query(hosts=("kvm-02",), states=("running",)), *SOME) == []


def test_a_count_is_what_choosing_that_flag_would_leave() -> None:
    counts = domain_list(fleet(*SOME), Query(flags=("running", "autostart"))).counts
    assert counts["running"] == 1
    assert counts["shutoff"] == 1
    assert counts["paused"] == 0
    assert counts["autostart"] == 1
    assert counts["no-autostart"] == 0
    assert counts["unknown"] == 1


def test_counts_name_every_flag_and_every_state() -> None:
    counts = domain_list(fleet(*SOME), Query()).counts
    flags = {flag for group in FLAG_GROUPS.values() for flag in group}
    assert set(counts) == flags | set(DOMAIN_STATES) | {"unknown"}
    assert (counts["crashed"], counts["other"], counts["blocked"]) == (1, 1, 0)


domains = st.lists(
    st.builds(
        seen,
        name=st.sampled_from(["a", "b", "vm-1", "vm-10"]),
        state=st.sampled_from(DOMAIN_STATES),
        host=st.sampled_from(sorted(HOSTS)),
        known=st.booleans(),
        autostart=st.none() | st.booleans(),
        persistent=st.none() | st.booleans(),
        has_snapshot=st.none() | st.booleans(),
    ),
    max_size=25,
)
ALL_FLAGS = [flag for group in FLAG_GROUPS.values() for flag in group]
queries = st.builds(
    Query,
    hosts=st.sampled_from([(), ("kvm-01",)]),
    states=st.sampled_from([(), ("running",), ("paused", "crashed")]),
    flags=st.lists(st.sampled_from(ALL_FLAGS), max_size=4, unique=True).map(tuple),
    text=st.sampled_from(["", "vm"]),
)


@given(domains, queries)
def test_the_list_is_what_a_plain_reading_of_the_rules_selects(
    made: list[DomainSeen], query: Query
) -> None:
    def wanted(one: DomainSeen) -> bool:
        groups = [set(group) & set(query.flags) for group in FLAG_GROUPS.values()]
        return (
            (not query.hosts or one.host in query.hosts)
            and (not query.states or (one.known and one.fact.state in query.states))
            and all(not group or group & flags_of(one) for group in groups)
            and query.text in one.fact.name
        )

    found = domain_list(fleet(*made), query).found
    assert found.total == sum(map(wanted, made))
    assert sorted(map(id, found.items)) == sorted(id(one) for one in made if wanted(one))


@given(domains, queries, st.sampled_from(ALL_FLAGS))
def test_each_count_is_the_length_of_the_list_that_its_flag_alone_would_give(
    made: list[DomainSeen], query: Query, flag: str
) -> None:
    group = next(flags for flags in FLAG_GROUPS.values() if flag in flags)
    others = tuple(one for one in query.flags if one not in group)
    states = () if group == FLAG_GROUPS["state"] else query.states
    alone = replace(query, flags=(*others, flag), states=states)
    counts = domain_list(fleet(*made), query).counts
    assert counts[flag] == domain_list(fleet(*made), alone).found.total


# --- searching ---


def test_the_search_looks_through_names_titles_uuids_and_addresses_without_heed_to_case() -> None:
    guest = Guest("web.example", None, (GuestAddress("eth0", None, ("192.0.2.7/24",)),))
    one = seen("Web-01", title="Shop front", nics=(Nic("52:54:00:AB:cd:ef", "bridge"),),
               guest=guest)  # fmt: skip
    other = seen("db")
    for text in ("web-01", "SHOP", "uuid-web", "52:54:00:ab", "52-54-00-ab", "192.0.2.7",
                 "web.EXAMPLE", "front 192.0.2", "  front   shop "):  # fmt: skip
        assert names(Query(text=text), one, other) == ["Web-01"], text
    assert names(Query(text="front db"), one, other) == []
    assert names(Query(text="01\nshop"), one, other) == ["Web-01"]


def test_the_search_finds_a_domain_by_the_address_that_a_network_leased_to_it() -> None:
    lease = Lease("52:54:00:00:00:01", "10.1.2.3")
    network = Seen(
        "kvm-01", "n", 9, Network("n", "default", "active", leases=(lease,)), 0, 0, known=True
    )
    mine = seen("mine", nics=(Nic("52:54:00:00:00:01", "network"),))
    twin = seen("twin", nics=(Nic("52:54:00:00:00:01", "network"),), host="kvm-02")
    assert names(Query(text="10.1.2.3"), mine, twin, networks=(network,)) == ["mine"]


def test_characters_of_patterns_and_markup_are_searched_as_they_are() -> None:
    odd = seen("100%_[a]<b>.*")
    for text in ("%", "_", "[a]", "<b>", ".*"):
        assert names(Query(text=text), odd, seen("plain")) == [odd.fact.name], text


# --- order and pages ---


def test_names_sort_as_people_count_and_without_heed_to_case() -> None:
    made = [seen(name) for name in ("vm-10", "VM-2", "vm-1", "alpha", "9", "10")]
    assert names(Query(), *made) == ["9", "10", "alpha", "vm-1", "VM-2", "vm-10"]
    assert names(Query(sort="-name"), *made) == ["vm-10", "VM-2", "vm-1", "alpha", "10", "9"]


@given(st.text(), st.text())
def test_any_two_names_can_be_compared(one: str, other: str) -> None:
    assert (natural(one) <= natural(other)) or (natural(other) <= natural(one))


def test_equal_values_stay_in_the_order_of_names_in_both_directions() -> None:
    made = [seen("b", vcpus=2), seen("c", vcpus=4), seen("a", vcpus=2)]
    assert names(Query(sort="vcpus"), *made) == ["a", "b", "c"]
    assert names(Query(sort="-vcpus"), *made) == ["c", "a", "b"]


def test_the_unknown_comes_last_in_both_directions() -> None:
    made = [seen("lost", vcpus=8, known=False), seen("none"), seen("two", vcpus=2),
            seen("four", vcpus=4)]  # fmt: skip
    assert names(Query(sort="vcpus"), *made) == ["two", "four", "lost", "none"]
    assert names(Query(sort="-vcpus"), *made) == ["four", "two", "lost", "none"]


def test_every_sort_key_sorts_by_what_it_says() -> None:
    nothing = DomainSample(cpu_time_ns=0, disk_read_bytes=0, net_rx_bytes=0)
    little = DomainSample(cpu_time_ns=1, disk_read_bytes=1, net_rx_bytes=1)
    much = DomainSample(cpu_time_ns=9, disk_read_bytes=9, net_rx_bytes=9)
    times: dict[str, Any] = {"previous": nothing, "elapsed_ms": 1000}
    low = seen("z", vcpus=1, memory_bytes=1, sample=little, **times)
    high = seen("a", "crashed", "kvm-02", vcpus=2, memory_bytes=2, sample=much, **times)
    for key in ("state", "host", "vcpus", "memory", "cpu", "disk", "net"):
        assert names(Query(sort=key), high, low) == ["z", "a"], key
        assert names(Query(sort=f"-{key}"), high, low) == ["a", "z"], key


def test_a_basis_keeps_the_order_of_its_values_while_the_list_shows_the_new_ones() -> None:
    then = fleet(seen("a", vcpus=1), seen("b", vcpus=2))
    now = fleet(seen("a", vcpus=9), seen("b", vcpus=2), seen("new", vcpus=5))
    found = domain_list(now, Query(sort="vcpus"), then).found.items
    assert [(one.fact.name, one.fact.vcpus) for one in found] == [("a", 9), ("b", 2), ("new", 5)]


def test_pages_cut_the_list_and_lie_empty_beyond_its_end() -> None:
    made = [seen(f"vm-{number}") for number in range(5)]
    assert names(Query(per_page=2), *made) == ["vm-0", "vm-1"]
    assert names(Query(per_page=2, page=3), *made) == ["vm-4"]
    beyond = domain_list(fleet(*made), Query(per_page=2, page=4)).found
    assert (beyond.items, beyond.total) == ([], 5)


def test_pools_count_their_states_and_sort_by_how_full_they_are() -> None:
    def pool(name: str, state: str, used: int | None, *, known: bool = True) -> Seen[Any, Any]:
        sample = PoolSample(capacity_bytes=100, allocation_bytes=used)
        fact = Pool(f"uuid-{name}", name, state)
        return Seen("kvm-01", fact.uuid, 1, fact, 0, 0, known=known, sample=sample)

    pools = [pool("a", "running", 10), pool("b", "running", 90), pool("c", "inactive", None),
             pool("d", "running", 99, known=False)]  # fmt: skip
    found, counts = plain_list(pools, POOLS, Query(sort="-used"))
    assert [one.fact.name for one in found.items] == ["b", "a", "c", "d"]
    assert counts == {
        "inactive": 1, "building": 0, "running": 2, "degraded": 0, "inaccessible": 0, "unknown": 1,
    }  # fmt: skip
