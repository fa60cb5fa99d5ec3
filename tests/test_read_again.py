"""One scan after another: what stays the same object, what is read again, and when."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from app.errors import VirtError
from app.inventory import Scan
from app.virt.read import Reader
from app.virt.read.snapshot_counts import MOST_ASKED
from app.virt.session import Session
from tests.read_support import (
    INTERFACES,
    NETWORK,
    RUNNING,
    URI,
    Clock,
    Faults,
    disk_xml,
    domain_xml,
    opened,
    pool_xml,
    uuid_of,
    write_node,
)

MINUTE_S = 60.0


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A host with something of every kind."""
    return write_node(
        tmp_path,
        NETWORK,
        INTERFACES,
        domain_xml("up", state=RUNNING, devices=disk_xml("/images/a.qcow2")),
        domain_xml("down"),
        pool_xml("images", ["a.qcow2"]),
    )


class Looks:
    """One reader with a clock in the test's hand."""

    def __init__(self, session: Session) -> None:
        self.clock = Clock()
        self.faults = Faults(session)
        self.reader = Reader(open_writable=None, monotonic_s=self.clock)
        self.at_ms = 0

    def look(
        self,
        after_s: float = MINUTE_S,
        *,
        everything: bool = False,
        vouched: Collection[str] = (),
        again: Collection[tuple[str, str]] = (),
    ) -> Scan:
        """The scan after `after_s` more; `faults.calls` holds its calls alone."""
        self.clock.now_s += after_s
        self.at_ms += 1
        self.faults.calls.clear()
        return self.reader.scan(
            self.faults.session,
            at_ms=self.at_ms,
            uri=URI,
            everything=everything,
            vouched=vouched,
            again=again,
        )


def test_nothing_changed_gives_the_very_same_objects(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        first = looks.look()
        for _ in range(40):
            again = looks.look()
            assert again.host is first.host
            for kind in ("domains", "pools", "networks", "interfaces"):
                before, now = getattr(first, kind), getattr(again, kind)
                assert list(now) == list(before)
                assert all(now[key] is before[key] for key in before)
            assert again.volumes[uuid_of("images")] is first.volumes[uuid_of("images")]


def test_no_steady_scan_takes_more_than_sixteen_calls(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        looks.look()
        steady = []
        for _ in range(60):
            scan = looks.look(5.0)
            measured = looks.faults.calls.count("listAllVolumes") + len(scan.volume_samples)
            if not scan.definitions and measured == 1:
                steady.append(scan.rpc_count)
    # The test driver's domains are measured one by one; here that is one call.
    assert len(steady) > 50
    assert all(count is not None and count <= 16 for count in steady)


def test_every_definition_is_read_within_a_quarter_of_an_hour(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        looks.look()
        read_s = {uuid_of(name): looks.clock.now_s for name in ("up", "down")}
        for _ in range(60):
            for uuid in looks.look().definitions:
                read_s[uuid] = looks.clock.now_s
            assert all(looks.clock.now_s - then <= 15 * MINUTE_S for then in read_s.values())


def test_an_edited_title_is_seen_within_a_quarter_of_an_hour(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        looks.look()
        session.connection.defineXML(domain_xml("down", title="new title"))
        titles = []
        for _ in range(15):
            scan = looks.look()
            assert scan.domains is not None
            titles.append(scan.domains[uuid_of("down")].title)
    assert titles[0] == "down"
    assert titles[-1] == "new title"


def test_a_started_domain_is_read_again_at_once(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        looks.look()
        session.connection.lookupByName("down").create()
        scan = looks.look()
    assert set(scan.definitions) == {uuid_of("down")}
    assert scan.definitions[uuid_of("down")].live_xml
    assert scan.domains is not None
    assert (scan.domains[uuid_of("down")].state, scan.domains[uuid_of("down")].id) == ("running", 2)


def test_a_domain_that_becomes_transient_and_then_ends_is_followed(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        looks.look()
        handle = session.connection.lookupByName("up")
        handle.undefine()
        looks.look()
        transient = looks.look(2 * MINUTE_S)
        handle.destroy()
        gone = looks.look()
    assert transient.domains is not None
    assert transient.domains[uuid_of("up")].persistent is False
    assert transient.definitions[uuid_of("up")].inactive_xml is None
    assert gone.domains is not None
    assert set(gone.domains) == {uuid_of("down")}


def test_a_managed_save_is_seen_at_once_and_its_removal_soon(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        looks.look()
        handle = session.connection.lookupByName("up")
        handle.managedSave()
        saved = looks.look(5.0)
        handle.managedSaveRemove()
        removed = looks.look(2 * MINUTE_S)
    assert saved.domains is not None
    assert removed.domains is not None
    assert saved.domains[uuid_of("up")].managed_save is True
    assert removed.domains[uuid_of("up")].managed_save is False


def test_changed_memory_of_a_running_domain_is_seen_at_once(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        looks.look()
        session.connection.lookupByName("up").setMemory(150_000)
        scan = looks.look()
    assert set(scan.definitions) == {uuid_of("up")}
    assert scan.domains is not None
    assert scan.domains[uuid_of("up")].memory_bytes == 150_000 << 10


def test_a_new_volume_is_looked_at_at_once_and_a_deleted_one_is_gone(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        looks.look()
        pool = session.connection.storagePoolLookupByName("images")
        pool.createXML("<volume><name>new.img</name><capacity>4096</capacity></volume>")
        grown = looks.look(5.0)
        pool.storageVolLookupByName("a.qcow2").delete(0)
        shrunk = looks.look(5.0)
    images = uuid_of("images")
    assert set(grown.volumes[images]) == {"a.qcow2", "new.img"}
    assert set(grown.volume_samples) == {(images, "new.img")}
    assert not grown.volumes_measured
    assert set(shrunk.volumes[images]) == {"new.img"}
    assert shrunk.domains is not None
    assert shrunk.domains[uuid_of("up")].disks[0].volume is None


def test_a_new_network_or_pool_is_persistent_from_its_first_look(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        looks.look()
        network = session.connection.networkDefineXML("<network><name>new</name></network>")
        xml = "<pool type='dir'><name>new</name><target><path>/new</path></target></pool>"
        pool = session.connection.storagePoolDefineXML(xml, 0)
        pool.setAutostart(1)
        network.setAutostart(1)
        scan = looks.look()
    assert scan.networks is not None
    assert scan.pools is not None
    for fact in (scan.networks[network.UUIDString()], scan.pools[pool.UUIDString()]):
        assert fact.persistent is True
        assert fact.autostart is True


def test_all_volumes_are_measured_together_every_five_minutes(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        measured = [looks.look().volumes_measured for _ in range(11)]
    assert measured == [True, *([False] * 4), True, *([False] * 4), True]


def test_everything_reads_all_anew_and_keeps_what_is_equal(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        first = looks.look()
        looks.look()
        scan = looks.look(everything=True)
        calls = set(looks.faults.calls)
    assert set(scan.definitions) == {uuid_of("up"), uuid_of("down")}
    assert scan.volumes_measured
    assert {"getCapabilities", "getSysinfo", "getCPUMap", "listAllInterfaces"} <= calls
    assert first.domains is not None
    assert scan.domains is not None
    assert all(scan.domains[uuid] is first.domains[uuid] for uuid in first.domains)


def test_after_a_reconnect_all_is_read_anew_on_the_new_connection(node: Path) -> None:
    clock = Clock()
    reader = Reader(open_writable=None, monotonic_s=clock)
    with opened(node) as session:
        first = reader.scan(session, at_ms=1, uri=URI)
    reader.forget()
    with opened(node) as session:
        second = reader.scan(session, at_ms=2, uri=URI)
    assert set(second.definitions) == set(first.definitions)
    assert second.missing == ()
    assert second.interfaces == first.interfaces
    assert second.domains is not None
    assert first.domains is not None
    assert all(second.domains[uuid] is first.domains[uuid] for uuid in first.domains)


def test_a_scan_counts_its_calls(node: Path) -> None:
    with opened(node) as session:
        looks = Looks(session)
        scan = looks.look()
        assert scan.rpc_count == looks.faults.rpc_count
        assert len(looks.faults.calls) > 10


# --- where libvirt would have told -----------------------------------------------------------

ALL = ("domain", "pool", "network")
LISTS = ("getAllDomainStats", "listAllStoragePools", "listAllNetworks")
# By the same methods it is asked at every scan which of them start with the host.
ALWAYS = Counter(("listAllStoragePools", "listAllNetworks"))


@pytest.fixture
def idle(tmp_path: Path) -> Path:
    """A host on which nothing runs."""
    return write_node(tmp_path, NETWORK, domain_xml("down"), pool_xml("images", ["a.qcow2"]))


def listed(looks: Looks) -> set[str]:
    return (Counter(looks.faults.calls) - ALWAYS).keys() & set(LISTS)


def test_what_libvirt_vouches_for_is_listed_every_five_minutes_and_else_the_same(
    idle: Path,
) -> None:
    with opened(idle) as session:
        looks = Looks(session)
        first = looks.look(vouched=ALL)
        assert listed(looks) == set(LISTS)
        times = dict.fromkeys(LISTS, 0)
        for _ in range(20):
            scan = looks.look(vouched=ALL)
            if not scan.definitions:
                assert scan.domains == first.domains
            assert first.networks == scan.networks
            assert first.pools == scan.pools
            for name in listed(looks):
                times[name] += 1
    # At the fifth of every five minutes, and the inactive domains' memory and which pools and
    # networks are persistent by the same methods.
    assert 4 <= times["getAllDomainStats"] <= 8
    assert 4 <= times["listAllStoragePools"] <= 9
    assert 4 <= times["listAllNetworks"] <= 9


def test_an_idle_scan_that_libvirt_vouches_for_takes_ten_calls_at_most(idle: Path) -> None:
    with opened(idle) as session:
        looks = Looks(session)
        looks.look(vouched=ALL)
        looks.look(vouched=ALL)
        counts = [looks.look(5.0, vouched=ALL).rpc_count for _ in range(10)]
    assert all(count is not None and count <= 10 for count in counts), counts


def test_what_libvirt_tells_nothing_of_is_seen_by_the_next_scan_all_the_same(idle: Path) -> None:
    with opened(idle) as session:
        looks = Looks(session)
        looks.look(vouched=ALL)
        looks.look(5.0, vouched=ALL)
        domain = session.connection.lookupByName("down")
        domain.setAutostart(1)
        domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>")
        pool = session.connection.storagePoolLookupByName("images")
        pool.createXML("<volume><name>new.img</name><capacity>4096</capacity></volume>")
        scan = looks.look(5.0, vouched=ALL)
    assert scan.domains is not None
    fact = scan.domains[uuid_of("down")]
    assert (fact.autostart, fact.has_snapshot) == (True, True)
    assert set(scan.volumes[uuid_of("images")]) == {"a.qcow2", "new.img"}


def test_what_was_told_of_is_listed_again(idle: Path) -> None:
    with opened(idle) as session:
        looks = Looks(session)
        looks.look(vouched=ALL)
        session.connection.lookupByName("down").create()
        scan = looks.look(5.0, vouched=ALL, again=[("domain", uuid_of("down"))])
        assert scan.domains is not None
        assert scan.domains[uuid_of("down")].state == "running"
        assert scan.domain_samples is not None
        assert uuid_of("down") in scan.domain_samples


def test_an_event_that_got_lost_is_made_up_for_within_five_minutes(idle: Path) -> None:
    with opened(idle) as session:
        looks = Looks(session)
        looks.look(vouched=ALL)
        session.connection.lookupByName("down").create()
        scan = looks.look(5.0, vouched=ALL)
        assert scan.domains is not None
        assert scan.domains[uuid_of("down")].state == "shutoff"
        scan = looks.look(5 * MINUTE_S, vouched=ALL)
        assert scan.domains is not None
        assert scan.domains[uuid_of("down")].state == "running"


def test_after_a_reconnect_nobody_vouches_for_anything(idle: Path) -> None:
    clock = Clock()
    reader = Reader(open_writable=None, monotonic_s=clock)
    with opened(idle) as session:
        reader.scan(session, at_ms=1, uri=URI, vouched=ALL)
    reader.forget()
    with opened(idle) as session:
        session.connection.lookupByName("down").create()
        scan = reader.scan(session, at_ms=2, uri=URI, vouched=ALL)
    assert scan.domains is not None
    assert scan.domains[uuid_of("down")].state == "running"


@pytest.mark.parametrize("vouched", [(), ALL])
def test_what_libvirt_tells_nothing_of_is_seen_by_the_next_scan(
    node: Path, vouched: tuple[str, ...]
) -> None:
    with opened(node) as session:
        looks, connection = Looks(session), session.connection
        looks.look()
        pool, domain = connection.storagePoolLookupByName("images"), connection.lookupByName("down")
        network = connection.networkLookupByName("default")
        for on in (1, 0):
            for one in (pool, network, domain):
                one.setAutostart(on)
            scan = looks.look(5.0, vouched=vouched)
            for facts, one in (
                (scan.pools, pool), (scan.networks, network), (scan.domains, domain),
            ):  # fmt: skip
                assert facts is not None
                assert facts[one.UUIDString()].autostart is bool(on)


def _snapshots(scan: Scan, name: str) -> list[str]:
    assert scan.domains is not None
    return [one.name for one in scan.domains[uuid_of(name)].snapshots or ()]


def test_a_further_snapshot_and_one_that_is_gone_are_seen_by_the_next_scan(node: Path) -> None:
    with opened(node) as session:
        looks, domain = Looks(session), session.connection.lookupByName("down")
        looks.look()
        for number in range(3):
            text = f"<domainsnapshot><name>s{number}</name></domainsnapshot>"
            domain.snapshotCreateXML(text, 0)
            scan = looks.look(5.0, vouched=ALL)
            assert _snapshots(scan, "down") == [f"s{one}" for one in range(number + 1)]
        steady = looks.look(5.0, vouched=ALL)
        assert not steady.definitions
        domain.snapshotLookupByName("s1").delete()
        assert _snapshots(looks.look(5.0, vouched=ALL), "down") == ["s0", "s2"]


def test_the_snapshots_of_very_many_domains_are_counted_a_few_in_each_scan(tmp_path: Path) -> None:
    names = [f"vm-{number:02}" for number in range(20)]
    with opened(write_node(tmp_path, *(domain_xml(name) for name in names))) as session:
        domains = [session.connection.lookupByName(name) for name in names]
        for domain in domains:
            domain.snapshotCreateXML("<domainsnapshot><name>first</name></domainsnapshot>", 0)
        looks = Looks(session)
        looks.look()
        for domain in domains:
            domain.snapshotCreateXML("<domainsnapshot><name>second</name></domainsnapshot>", 0)
        seen = []
        for _ in range(3):
            scan = looks.look(5.0, vouched=ALL)
            assert looks.faults.calls.count("snapshotNum") == MOST_ASKED
            seen.append(sum(len(_snapshots(scan, name)) == 2 for name in names))
        assert seen == [8, 16, 20]


def test_a_number_of_snapshots_that_cannot_be_had_is_named_and_changes_nothing(
    node: Path,
) -> None:
    with opened(node) as session:
        looks, domain = Looks(session), session.connection.lookupByName("down")
        domain.snapshotCreateXML("<domainsnapshot><name>first</name></domainsnapshot>", 0)
        looks.look()
        looks.faults.fail("snapshotNum", VirtError("failed", "It did not work."))
        scan = looks.look(5.0)
        assert [entry.part for entry in scan.missing] == ["domain snapshots"]
        assert _snapshots(scan, "down") == ["first"]
