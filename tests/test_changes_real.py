"""What real hosts do, told as changes: libvirt's test driver, and a libvirtd with QEMU."""

import time
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from app.errors import VirtError
from app.inventory import Scan
from app.store.changes import Change, Wanted, changes, definitions
from app.store.engine import Store
from app.store.record import Recorder
from app.virt.read import Reader
from app.virt.session import Session
from tests.lab.guest import disk_xml as lab_disk_xml
from tests.lab.guest import tiny_guest_xml
from tests.lab.host import LabHost, lab_unavailable
from tests.read_support import (
    NETWORK,
    RUNNING,
    disk_xml,
    domain_xml,
    opened,
    pool_xml,
    uuid_of,
    write_node,
)
from tests.storing import BASE_MS, a_host, a_store
from tests.test_read_real import admin, open_session

__all__ = ["a_store"]

UUID = "5b7fbc12-2b7a-4f0c-9d5d-3f3d5a6d0001"
OTHER = "5b7fbc12-2b7a-4f0c-9d5d-3f3d5a6d0002"


class Watch:
    """A host that is scanned and told, scan by scan."""

    def __init__(self, store: Store, session: Session) -> None:
        self.store, self.session = store, session
        self._reader = Reader(open_writable=None)
        self._recorder = Recorder(store, a_host(store, "kvm-01"), 1000)
        self._at_ms = BASE_MS
        self.scan()

    def scan(self) -> Scan:
        self._at_ms += 1000
        seen = self._reader.scan(self.session, at_ms=self._at_ms, uri="x", everything=True)
        self._recorder.record(seen)
        return seen

    def told(self) -> list[Change]:
        """What one more scan tells, the oldest first."""
        _, before = changes(self.store, Wanted(), limit=0)
        self.scan()
        found, total = changes(self.store, Wanted(), limit=50)
        return found[: total - before][::-1]

    def words(self) -> list[tuple[str, str, str | None]]:
        return [(one.what, one.name, one.new) for one in self.told()]


@pytest.fixture
def driver(a_store: Store, tmp_path: Path) -> Iterator[tuple[Watch, libvirt.virConnect]]:
    node = write_node(
        tmp_path, NETWORK, domain_xml("web", state=RUNNING, devices=disk_xml("/images/web")),
        domain_xml("db"), pool_xml("images", ["web"]),
    )  # fmt: skip
    with opened(node) as session:
        yield Watch(a_store, session), session.connection


def test_what_is_done_to_libvirts_test_driver_is_told(
    driver: tuple[Watch, libvirt.virConnect],
) -> None:
    watch, host = driver
    assert watch.words() == []
    web, db = (host.lookupByUUIDString(uuid_of(name)) for name in ("web", "db"))
    web.destroy()
    db.create()
    assert set(watch.words()) == {("stopped", "web", "destroyed"), ("started", "db", "booted")}
    db.suspend()
    assert watch.words() == [("paused", "db", "user")]
    db.resume()
    db.setVcpus(2)
    assert {one[:2] for one in watch.words()} == {("resumed", "db"), ("vcpus", "db")}
    web.setAutostart(1)
    assert watch.words() == [("autostart-on", "web", None)]
    host.defineXML(domain_xml("new"))
    assert watch.words() == [("created", "new", "shutoff")]
    web.undefine()
    assert watch.words() == [("deleted", "web", None)]
    pool = host.storagePoolLookupByName("images")
    pool.createXML("<volume><name>more</name><capacity>1024</capacity></volume>")
    assert watch.words() == [("created", "more", None)]
    pool.destroy()
    assert watch.words() == [("stopped", "images", "inactive")]
    pool.create()
    assert watch.words() == [("started", "images", "running")]
    host.networkLookupByName("default").destroy()
    assert watch.words() == [("stopped", "default", "inactive")]


@pytest.fixture(scope="module")
def lab_host() -> Iterator[LabHost]:
    reason = lab_unavailable()
    if reason is not None:
        pytest.skip(reason)
    with LabHost("changing") as host:
        yield host


def test_what_becomes_of_a_real_guest_is_told(a_store: Store, lab_host: LabHost) -> None:
    host = lab_host
    disk = host.root / "lib/images/data.raw"
    disk.parent.mkdir(parents=True, exist_ok=True)
    disk.write_bytes(b"\0" * 1024 * 1024)
    session = open_session(host, read_only=True)
    with admin(host) as connection:
        watch = Watch(a_store, session)
        xml = tiny_guest_xml("web", UUID, network="", vcpus=2, memory_mib=64)
        guest = connection.defineXML(xml.replace("<vcpu>2<", "<vcpu current='1'>2<"))
        assert watch.words() == [("created", "web", "shutoff")]
        guest.create()
        assert watch.words() == [("started", "web", "booted")]
        config, live = libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE
        guest.setVcpusFlags(2, config)
        (saved,) = watch.told()
        assert (saved.what, saved.name, saved.old) == ("saved-vcpus", "web", "1")
        before, after = definitions(a_store, saved)
        assert before is not None
        assert after is not None
        assert "current='1'" in (before.inactive_xml or "")
        assert "current='1'" not in (after.inactive_xml or "")
        assert before.live_xml == after.live_xml
        guest.attachDeviceFlags(lab_disk_xml(disk, "vdb", "raw"), live | config)
        (added,) = watch.told()
        assert (added.what, added.part, added.new) == ("disk-added", "vdb", str(disk))
        with_disk = definitions(a_store, added)[1]
        assert with_disk is not None
        assert "vdb" in (with_disk.inactive_xml or "")
        guest.suspend()
        assert watch.words() == [("paused", "web", "user")]
        guest.resume()
        assert watch.words() == [("resumed", "web", "unpaused")]
        host.run("kill -9 $(cat /run/libvirt/qemu/web.pid)")
        told = _until_told(watch, "crashed")
        assert [one.new for one in told if one.what == "crashed"] == ["crashed"]
        # What was only saved holds now.
        assert {one.what for one in told} == {"crashed", "vcpus"}
        guest.setMaxMemory(128 * 1024)
        assert [one[0] for one in watch.words()] == ["max-memory"]
        guest.undefine()
        assert watch.words() == [("deleted", "web", None)]
    session.close()


def _until_told(watch: Watch, what: str) -> list[Change]:
    """Everything that is told until `what` is."""
    found: list[Change] = []
    for _ in range(100):
        found += watch.told()
        if what in [one.what for one in found]:
            return found
        time.sleep(0.1)
    pytest.fail(f"{what} was not told, only {found}")


def test_a_libvirtd_that_is_restarted_deletes_nobody(a_store: Store, lab_host: LabHost) -> None:
    session = open_session(lab_host, read_only=True)
    with admin(lab_host) as connection:
        connection.defineXML(tiny_guest_xml("stays", OTHER, network=""))
        watch = Watch(a_store, session)
    lab_host.stop_libvirtd()
    with pytest.raises(VirtError):
        watch.scan()
    lab_host.start_libvirtd()
    watch.session = open_session(lab_host, read_only=True)
    assert watch.words() == []
    watch.session.close()
    with admin(lab_host) as connection:
        connection.lookupByUUIDString(OTHER).undefine()
