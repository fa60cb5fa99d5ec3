"""What happened between two facts, in words: every word on its own, and what is no change."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from app.inventory import (
    KINDS,
    Definition,
    DhcpRange,
    Disk,
    Domain,
    Fact,
    Graphics,
    Guest,
    Host,
    Interface,
    KindName,
    Lease,
    Network,
    Nic,
    Pool,
    Snapshot,
    Volume,
)
from app.store.differences import Difference, differences, saved_differences

VM = Domain(uuid="u", name="web", state="running", state_reason="booted", id=3)
POOL = Pool(uuid="p", name="images", state="running")
NET = Network(uuid="n", name="default", state="active")
HOST = Host(uri="test:///default")
VOLUME = Volume(pool_uuid="p", name="a")
PORT = Interface(name="eth0", state="active")
KIND_OF: dict[type[Fact], KindName] = {kind.fact: kind.name for kind in KINDS}


def told(old: Fact, **changed: Any) -> list[Difference]:
    return differences(KIND_OF[type(old)], old, replace(old, **changed))


def words(old: Fact, **changed: Any) -> list[str]:
    return [one.what for one in told(old, **changed)]


OFF = replace(VM, state="shutoff", state_reason=None, id=None)
PAUSED = replace(VM, state="paused", state_reason="user")


@pytest.mark.parametrize(
    ("old", "state", "reason", "what"),
    [
        (VM, "shutoff", "shutdown", "stopped"),
        (VM, "shutoff", "destroyed", "stopped"),
        (VM, "shutoff", "failed", "stopped"),
        (VM, "shutoff", "crashed", "crashed"),
        (VM, "crashed", "panicked", "crashed"),
        (VM, "paused", "user", "paused"),
        (VM, "paused", "io-error", "paused"),
        (VM, "paused", "crashed", "crashed"),
        (VM, "pmsuspended", None, "asleep"),
        (OFF, "running", "booted", "started"),
        (OFF, "paused", "user", "started"),
        (OFF, "crashed", "panicked", "crashed"),
        (PAUSED, "running", "unpaused", "resumed"),
        (PAUSED, "shutoff", "destroyed", "stopped"),
        (replace(VM, state="pmsuspended"), "running", "event-wakeup", "woken"),
        (replace(VM, state="crashed"), "shutoff", "destroyed", "stopped"),
    ],
)
def test_a_turn_of_a_domains_state_has_one_word(
    old: Domain, state: str, reason: str | None, what: str
) -> None:
    runs = state not in ("shutoff", "crashed")
    (one,) = told(old, state=state, state_reason=reason, id=old.id or 4 if runs else None)
    assert (one.what, one.field, one.old) == (what, "state", old.state)
    assert one.new == ("paused" if (what, state) == ("started", "paused") else reason)


@pytest.mark.parametrize(
    ("old", "changed"),
    [
        (VM, {"state": "blocked"}),
        (VM, {"state": "shutdown"}),
        (VM, {"state": "nostate"}),
        (VM, {"state": "paused", "state_reason": "saving"}),
        (replace(VM, state="paused", state_reason="migrating"), {"state": "running"}),
        (VM, {"state_reason": "unpaused"}),
        (replace(VM, state="crashed"), {"state": "shutoff", "state_reason": "crashed"}),
        (VM, {"autostart": True}),
        (VM, {"memory_bytes": 5}),
        (VM, {"snapshots": None}),
        (VM, {"guest": Guest(hostname="web")}),
        (VM, {"agent": "connected"}),
        (VM, {"disks": (Disk("vda"),), "damaged": "Its XML is not valid UTF-8."}),
        (replace(VM, graphics=(Graphics("vnc"),)), {"graphics": (Graphics("vnc", 5900),)}),
        (replace(VM, nics=(Nic("m", "network"),)),
         {"nics": (Nic("m", "network", target="vnet0"),)}),
        (replace(VM, disks=(Disk("vda", source="/a"),)),
         {"disks": (Disk("vda", source="/a", pool="p", volume="a", backing=("/b",)),)}),
        (NET, {"leases": (Lease("m", "10.0.0.2", None, 5),)}),
        (PORT, {"addresses": ("10.0.0.1/24",), "ports": ("vnet0",)}),
        (HOST, {"libvirt_version": "9.0.0", "frequency_mhz": 5}),
    ],
)  # fmt: skip
def test_what_comes_and_goes_by_itself_or_becomes_known_is_no_change(
    old: Fact, changed: dict[str, Any]
) -> None:
    assert words(old, **changed) == []


FULL = replace(
    VM, memory_bytes=1, max_memory_bytes=2, vcpus=1, max_vcpus=2, autostart=False,
    persistent=True, managed_save=False, snapshots=(Snapshot("a", current=True), Snapshot("b")),
    disks=(Disk("vda", source="/a"), Disk("sda", "cdrom")), nics=(Nic("m", "network", "default"),),
    graphics=(Graphics("vnc"),),
)  # fmt: skip
DISKS, NICS, TAKEN = FULL.disks, FULL.nics, FULL.snapshots or ()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"id": 9}, [("restarted", None, None, "booted")]),
        ({"name": "www"}, [("renamed", None, "web", "www")]),
        ({"title": "T"}, [("title", None, None, "T")]),
        ({"description": "D"}, [("description", None, None, "D")]),
        ({"autostart": True}, [("autostart-on", None, None, None)]),
        ({"persistent": False}, [("made-transient", None, None, None)]),
        ({"managed_save": True}, [("saved-state", None, None, None)]),
        ({"memory_bytes": 2}, [("memory", None, "1", "2")]),
        ({"max_memory_bytes": 4}, [("max-memory", None, "2", "4")]),
        ({"vcpus": 2}, [("vcpus", None, "1", "2")]),
        ({"max_vcpus": 4}, [("max-vcpus", None, "2", "4")]),
        ({"disks": (*DISKS, Disk("vdb", source="/b"))}, [("disk-added", "vdb", None, "/b")]),
        ({"disks": DISKS[1:]}, [("disk-removed", "vda", "/a", None)]),
        ({"disks": (DISKS[0], Disk("sda", "cdrom", source="/i"))},
         [("disk-changed", "sda", None, "/i")]),
        ({"nics": (*NICS, Nic("n", "bridge", "br0"))}, [("nic-added", "n", None, "bridge br0")]),
        ({"nics": ()}, [("nic-removed", "m", "network default", None)]),
        ({"nics": (Nic("m", "network", "lab"),)},
         [("nic-changed", "m", "network default", "network lab")]),
        ({"graphics": (Graphics("spice"),)}, [("graphics", None, "vnc", "spice")]),
        ({"snapshots": (*TAKEN, Snapshot("c"))}, [("snapshot-taken", "c", None, None)]),
        ({"snapshots": TAKEN[:1]}, [("snapshot-deleted", "b", None, None)]),
        ({"snapshots": (Snapshot("a"), Snapshot("b", current=True))},
         [("snapshot-reverted", "b", None, None)]),
        ({"state": "shutoff", "state_reason": "saved", "managed_save": True, "id": None},
         [("stopped", None, "running", "saved")]),
    ],
)  # fmt: skip
def test_what_changes_of_a_domain_is_named_with_its_values(
    changed: dict[str, Any], expected: list[tuple[str, str | None, str | None, str | None]]
) -> None:
    assert [(one.what, one.part, one.old, one.new) for one in told(FULL, **changed)] == expected


def test_memory_and_its_limit_that_go_together_are_one_change() -> None:
    both = replace(VM, memory_bytes=1, max_memory_bytes=1)
    assert words(both, memory_bytes=2, max_memory_bytes=2) == ["memory"]
    assert words(both, memory_bytes=2, max_memory_bytes=3) == ["memory", "max-memory"]


@pytest.mark.parametrize(
    ("old", "changed", "expected"),
    [
        (replace(HOST, libvirt_version="9.0.0"), {"libvirt_version": "10.0.0"},
         ["libvirt-upgraded"]),
        (replace(HOST, libvirt_version="9.10.0"), {"libvirt_version": "9.9.0"},
         ["libvirt-downgraded"]),
        (replace(HOST, hypervisor_version="7.2.0"), {"hypervisor_version": "8.2.0"},
         ["hypervisor-upgraded"]),
        (replace(HOST, memory_bytes=1, cpus=4, cpus_online=4, processor="a", hostname="h"),
         {"memory_bytes": 2, "cpus": 8, "cpus_online": 6, "processor": "b", "hostname": "i"},
         ["renamed", "memory", "cpus", "cpus-online", "processor"]),
        (POOL, {"state": "inactive"}, ["stopped"]),
        (replace(POOL, state="inactive"), {"state": "running"}, ["started"]),
        (POOL, {"state": "degraded"}, ["degraded"]),
        (POOL, {"state": "inaccessible"}, ["inaccessible"]),
        (replace(POOL, state="degraded"), {"state": "running"}, ["recovered"]),
        (replace(POOL, autostart=True, target="/a"), {"autostart": False, "target": "/b"},
         ["autostart-off", "target"]),
        (replace(VOLUME, capacity_bytes=1), {"capacity_bytes": 2}, ["resized"]),
        (replace(NET, state="inactive"), {"state": "active"}, ["started"]),
        (NET, {"state": "inactive", "forward": "nat"}, ["stopped", "forward"]),
        (NET, {"addresses": ("10.0.0.1/24",), "dhcp": (DhcpRange("10.0.0.2", "10.0.0.9"),)},
         ["addresses", "dhcp"]),
        (PORT, {"state": "inactive"}, ["down"]),
        (replace(PORT, state="inactive", mtu=1500), {"state": "active", "mtu": 9000},
         ["up", "mtu"]),
    ],
)  # fmt: skip
def test_what_changes_of_hosts_storage_and_networks_is_named(
    old: Fact, changed: dict[str, Any], expected: list[str]
) -> None:
    assert words(old, **changed) == expected


SAVED = """<domain>
  <description>
  &lt;memory unit='KiB'>9&lt;/memory>
  </description>
  <memory unit='KiB'>{most}</memory>
  <currentMemory unit='KiB'>{memory}</currentMemory>
  <vcpu placement='static'{current}>{vcpus}</vcpu>
</domain>"""


def saved(most: int = 1024, memory: int = 1024, vcpus: int = 4, current: str = "") -> Definition:
    text = SAVED.format(most=most, memory=memory, vcpus=vcpus, current=current)
    return Definition("<domain id='1'/>", text)


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (saved(), []),
        (saved(2048, 2048), [("saved-memory", "1048576", "2097152")]),
        (saved(4096, 2048), [("saved-max-memory", "1048576", "4194304"),
                             ("saved-memory", "1048576", "2097152")]),
        (saved(vcpus=8), [("saved-max-vcpus", "4", "8")]),
        (saved(current=" current='2'"), [("saved-vcpus", None, "2")]),
        (replace(saved(2048), live_xml=None), []),
        (Definition("<domain id='1'/>", None), []),
    ],
)  # fmt: skip
def test_the_size_that_a_running_domain_has_only_when_it_starts_again_is_told(
    new: Definition, expected: list[tuple[str, str | None, str | None]]
) -> None:
    found = saved_differences(saved(), new)
    assert [(one.what, one.old, one.new) for one in found] == expected


def test_what_came_or_went() -> None:
    assert differences("domain", None, VM) == [Difference("created", new="running")]
    assert differences("domain", VM, None) == [Difference("deleted", old="running")]
    assert differences("volume", None, VOLUME) == [Difference("created")]
    assert differences("definition", None, Definition("x")) == []
    assert differences("domain", None, None) == []


def test_a_long_text_of_a_host_is_cut() -> None:
    (one,) = told(VM, description="x" * 5000)
    assert one.new == "x" * 299 + "…"


STATES = st.sampled_from(
    ["running", "paused", "shutoff", "crashed", "active", "inactive", "pmsuspended"]
)
FACTS: dict[KindName, st.SearchStrategy[Any]] = {
    kind.name: st.builds(
        kind.fact,
        **{
            field.encode_name: STATES if field.encode_name == "state" else ...
            for field in fields(kind.fact)
        },
    )
    for kind in KINDS
}


@given(st.sampled_from(sorted(FACTS)).flatmap(lambda kind: st.tuples(st.just(kind), FACTS[kind])))
def test_equal_facts_do_not_differ(pair: tuple[KindName, Any]) -> None:
    kind, fact = pair
    assert differences(kind, fact, replace(fact)) == []


@given(
    st.sampled_from(sorted(FACTS)).flatmap(
        lambda kind: st.tuples(st.just(kind), FACTS[kind], FACTS[kind])
    )
)
def test_every_difference_names_a_field_that_differs(three: tuple[KindName, Any, Any]) -> None:
    kind, old, new = three
    for one in differences(kind, old, new):
        assert getattr(old, one.field) != getattr(new, one.field)


def test_the_facts_that_are_made_up_differ_in_more_than_their_names() -> None:
    made: set[str] = set()
    whole = FACTS["domain"].map(lambda fact: replace(fact, damaged=None))

    @settings(derandomize=True, max_examples=300, database=None)
    @given(whole, whole)
    def compare(old: Any, new: Any) -> None:
        made.update(one.what for one in differences("domain", old, new))

    compare()
    assert {"renamed", "memory", "disk-removed", "nic-added", "stopped"} <= made
