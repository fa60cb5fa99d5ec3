"""A host's CPU and memory counters: what libvirt's binding tells, by one call each."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import libvirt
import pytest

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.virt.read.look import Look
from app.virt.read.node_stats import NodeStats, cpu_stats, memory_stats
from app.virt.read.rotation import Rotation
from app.virt.session import Session
from tests.lab.host import LabHost, lab_unavailable
from tests.read_support import Faults, opened, write_node

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
