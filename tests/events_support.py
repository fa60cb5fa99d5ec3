"""Objects of libvirt's test driver whose events are followed, and what follows them into a store.

The driver's events work at once; its world "default" is one for all connections of a process, so
each test makes objects of its own.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import libvirt
import pytest

from app.collect.partial import Gathered, PartialLooks
from app.collect.scanner import Scanner
from app.connection import Connection
from app.inventory import Told
from app.store.changes import Change, Wanted, latest
from app.store.engine import Store
from app.store.history import fleet
from app.store.hosts import add_host
from app.virt import events
from tests.made_once import open_store

DEMO = Connection(driver="test", transport="embedded", path="default")


class World:
    """The test driver's shared world, with objects of this test alone."""

    def __init__(self) -> None:
        self.connection = libvirt.open("test:///default")
        self.name = f"events-{uuid4().hex[:8]}"
        self.uuid = str(uuid4())

    def define(self, *, title: str = "first", uuid: str | None = None) -> libvirt.virDomain:
        """Define the test's domain."""
        return self.connection.defineXML(
            f"<domain type='test'><name>{self.name}</name><uuid>{uuid or self.uuid}</uuid>"
            f"<title>{title}</title><memory>8192</memory><vcpu>1</vcpu>"
            "<os><type arch='x86_64'>hvm</type></os></domain>"
        )

    def pool(self) -> libvirt.virStoragePool:
        """Define a pool."""
        return self.connection.storagePoolDefineXML(
            f"<pool type='dir'><name>{self.name}</name><uuid>{self.uuid}</uuid>"
            f"<target><path>/{self.name}</path></target></pool>"
        )

    def network(self) -> libvirt.virNetwork:
        """Define a network."""
        return self.connection.networkDefineXML(
            f"<network><name>{self.name}</name><uuid>{self.uuid}</uuid></network>"
        )

    def clear(self) -> None:
        """Leave nothing of the test's behind."""
        for listed in ("listAllDomains", "listAllStoragePools", "listAllNetworks"):
            for one in getattr(self.connection, listed)():
                if one.name() == self.name:
                    if one.isActive():
                        one.destroy()
                    if one.name() in self._names(listed):
                        _undefine(one)
        self.connection.close()

    def _names(self, listed: str) -> list[str]:
        return [one.name() for one in getattr(self.connection, listed)()]


def _undefine(one: Any) -> None:
    if isinstance(one, libvirt.virDomain):
        one.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
    else:
        one.undefine()


@pytest.fixture
def world() -> Iterator[World]:
    events.start_loop()
    made = World()
    yield made
    made.clear()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "npvirt.sqlite")
    yield opened
    opened.close()


class Watched:
    """A host that is scanned when a test says so, and looked at when libvirt tells."""

    def __init__(self, store: Store, tmp_path: Path, connection: Connection = DEMO) -> None:
        self.store = store
        self.scanner = Scanner(store, tmp_path, add_host(store, "h", connection), 60_000)
        self.looks = 0
        self.rescans = 0
        self.told: list[Told] = []
        self.lost: list[str] = []
        self.partial = PartialLooks("look-h", self._look_at, self._rescan)
        self.scanner.listen(self._tell, self.lost.append)

    def scan(self, **more: object) -> None:
        """One whole scan."""
        self.scanner.scan(next_at_ms=lambda ok: None, **more)  # type: ignore[arg-type]

    def state(self, uuid: str, kind: str = "domain") -> str | None:
        """How an object stands in the store; None: it is not there."""
        seen = getattr(fleet(self.store, None), kind)("h", uuid)
        return None if seen is None else seen.fact.state

    def changes(self, key: str) -> list[Change]:
        """What the list of changes tells of an object, the oldest first."""
        return latest(self.store, Wanted(key=key), 100)[::-1]

    def close(self) -> None:
        self.partial.stop()
        assert self.partial.join(10)
        self.scanner.close()

    def _tell(self, one: Told) -> None:
        self.told.append(one)
        self.partial.tell(one)

    def _look_at(self, gathered: Gathered) -> bool:
        self.looks += 1
        return self.scanner.look_at(gathered)

    def _rescan(self) -> None:
        self.rescans += 1


@pytest.fixture
def watched(store: Store, tmp_path: Path) -> Iterator[Watched]:
    made = Watched(store, tmp_path)
    yield made
    made.close()


def counted(store: Store, table: str) -> int:
    with store.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())
