"""A host's CPU and memory counters: what libvirt's binding tells, by one call each."""

import socket
import struct
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import libvirt
import pytest

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.virt.read import Reader
from app.virt.read.look import Look
from app.virt.read.node_stats import NodeStats, cpu_stats, memory_stats
from app.virt.read.rotation import Rotation
from app.virt.session import Session
from tests.faults.daemon import SessionDaemon, unavailable
from tests.lab.host import LabHost, lab_unavailable
from tests.read_support import URI, Faults, opened, write_node

needs_lab = pytest.mark.skipif(lab_unavailable() is not None, reason=lab_unavailable() or "")


def _look(session: Session) -> Look:
    return Look(session, Rotation(0), at_ms=1, now_s=0.0, everything=False)


@pytest.fixture(scope="module")
def lab() -> Iterator[Session]:
    """A session on a real libvirtd."""
    with LabHost("node-stats") as host:
        session = Session.open(Endpoint(Connection(socket=host.socket)), read_only=True)
        yield session
        session.close()


@needs_lab
def test_the_counters_are_those_of_the_binding(lab: Session) -> None:
    look, connection = _look(lab), lab.connection
    cpu, memory = NodeStats(cpu_stats), NodeStats(memory_stats)
    for _ in range(2):
        before = connection.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
        found = cpu.read(look)
        after = connection.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
        assert list(found) == list(before) == ["kernel", "user", "idle", "iowait"]
        for name in ("kernel", "user", "idle"):
            assert before[name] <= found[name] <= after[name]
        told = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
        kept = memory.read(look)
        assert kept.keys() == told.keys() == {"total", "free", "buffers", "cached"}
        assert kept["total"] == told["total"]


@needs_lab
def test_from_the_second_reading_on_it_is_one_call(lab: Session) -> None:
    look = _look(lab)
    for ask in (cpu_stats, memory_stats):
        stats, counts = NodeStats(ask), [cast(int, lab.rpc_count)]
        for _ in range(3):
            stats.read(look)
            counts.append(cast(int, lab.rpc_count))
        assert [after - before for before, after in pairwise(counts)] == [2, 1, 1]


@needs_lab
@pytest.mark.parametrize("ask", [cpu_stats, memory_stats])
def test_another_number_than_the_hosts_is_an_error_and_asked_for_anew(
    lab: Session, ask: Any
) -> None:
    look, stats = _look(lab), NodeStats(ask)
    whole = stats.read(look)
    stats._count += 1
    with pytest.raises(VirtError):
        stats.read(look)
    assert stats.read(look).keys() == whole.keys()


def test_a_driver_without_them_says_so_as_the_binding_does(tmp_path: Path) -> None:
    with opened(write_node(tmp_path)) as session:
        with pytest.raises(VirtError) as caught:
            NodeStats(memory_stats).read(_look(session))
        assert caught.value.failure == "unsupported"
        with pytest.raises(libvirt.libvirtError) as theirs:
            session.connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
        with pytest.raises(libvirt.libvirtError) as ours:
            memory_stats(session.connection, 0)
        assert ours.value.get_error_code() == theirs.value.get_error_code()
        assert str(ours.value) == str(theirs.value)


def test_after_a_failure_the_counters_are_read_again(tmp_path: Path) -> None:
    with opened(write_node(tmp_path)) as session:
        faults, stats = Faults(session), NodeStats(cpu_stats)
        look = _look(faults.session)
        whole = stats.read(look)
        faults.fail("cpu_stats", VirtError("failed", "It did not work."))
        with pytest.raises(VirtError):
            stats.read(look)
        faults.heal()
        assert stats.read(look).keys() == whole.keys()
        assert whole


class Liar:
    """A host's address at which every count of its counters is told as another."""

    # Of libvirt's remote protocol: its program, an answer, and the calls that tell such a count.
    PROGRAM, ANSWER, PROCEDURES = 0x20008086, 1, (227, 228)

    def __init__(self, upstream: int, count: int) -> None:
        self.told = 0
        self._upstream, self._count = upstream, count
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """To be called once who called has hung up."""
        self._thread.join(30.0)
        self._listener.close()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._upstream)) as server:
            asking = threading.Thread(target=self._ask, args=(client, server), daemon=True)
            asking.start()
            with client.makefile("wb") as out, server.makefile("rb") as answers:
                while head := answers.read(28):
                    out.write(self._altered(head, answers.read(int.from_bytes(head[:4]) - 28)))
                    out.flush()
            asking.join(30.0)

    @staticmethod
    def _ask(client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(65_536):
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)

    def _altered(self, head: bytes, body: bytes) -> bytes:
        _, program, _, procedure, kind, _, _ = struct.unpack(">IIIIiII", head)
        is_of_counters = (program, kind) == (self.PROGRAM, self.ANSWER)
        # No counter follows, and then how many there are.
        is_count = len(body) == 8 and body[:4] == bytes(4)
        if is_of_counters and procedure in self.PROCEDURES and is_count:
            self.told += 1
            body = body[:4] + struct.pack(">i", self._count)
        return head + body


@pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
@pytest.mark.parametrize("count", [-1, 2**31 - 1])
def test_a_host_that_lies_about_how_many_there_are_loses_its_counters_alone(count: int) -> None:
    """Room for as many as it claims would be all memory there is."""
    with SessionDaemon() as daemon:
        liar = Liar(daemon.port, count)
        way = Connection(driver="test", transport="tcp", host="127.0.0.1", port=liar.port)
        session = Session.open(Endpoint(way), read_only=True)
        try:
            scan = Reader(open_writable=None).scan(session, at_ms=1, uri=URI)
        finally:
            session.close()
            liar.close()
    assert liar.told > 0
    assert scan.domains
    assert scan.host_sample is not None
    assert scan.host_sample.cpu_user_ns is None
    reasons = {one.part: one.reason for one in scan.missing}
    assert str(count) in reasons["host CPU"]


def test_of_a_connection_that_was_closed_it_says_so_as_the_binding_does(tmp_path: Path) -> None:
    with opened(write_node(tmp_path)) as session:
        connection = session.connection
    for ask in (cpu_stats, memory_stats):
        with pytest.raises(libvirt.libvirtError, match="invalid connection pointer"):
            ask(connection, 0)
