"""Two npvirt processes on one store: one collects, both serve, and the death of the one that
collects has the other take over; real processes, over a real host. That it does at its very next
tick is shown in test_collector.py, where ticks are counted.

Planted to see it fail: a lock that is taken whoever holds it (both scan), and a second process
that does not try for it again (nobody takes over).
"""

import json
import os
import signal
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.collect.leadership import Leadership
from app.store import schema
from app.store.engine import Store
from tests.acting_support import HOST, Acting
from tests.lab.fleet import Member, register
from tests.lab.host import LabHost
from tests.panel import Panel, panel

TICK_S = 1.0


@pytest.fixture(scope="module")
def host(lab: None) -> Iterator[LabHost]:
    """A host with a pool that is not started."""
    with LabHost(HOST) as made:
        made.virsh("pool-define-as", "data", "dir", "--target", "/var/lib/libvirt/data")
        made.virsh("pool-build", "data")
        yield made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "var"


def one_more(data: Path, host: LabHost | None = None) -> Any:
    """Another npvirt on that store; the first one adds the host."""
    members = [] if host is None else [Member(host, ("--socket", host.socket))]
    seconds = f"{TICK_S:g}"
    return panel(data, prepare=lambda env: register(members, env), NPVIRT_SCAN_SECONDS=seconds)


def collects(running: Panel) -> bool:
    """Whether it says that it collects, be it late with its ticks or not."""
    try:
        told = running.get("/healthz")
    except urllib.error.HTTPError as red:
        with red:
            told = json.load(red)
    return bool(told["collecting"])


def scanned(data: Path) -> list[int]:
    """The labels of the good scans so far."""
    store = Store(data / "npvirt.sqlite")
    try:
        with store.reading() as connection:
            query = sa.select(schema.scan.c.at_ms).where(schema.scan.c.ok == 1)
            return list(connection.scalars(query.order_by(schema.scan.c.at_ms)))
    finally:
        store.close()


def kill_all_of(running: Panel, worker: int) -> None:
    """Kill a panel's two processes, the one that would start another one first."""
    os.kill(running.process.pid, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    running.process.wait()


def flip(acting: Acting) -> None:
    """Start and stop the pool through this panel; each answer shows what became of it, and so
    does the list right after.
    """
    assert acting.act("pools", "data", "start")["state"] == "running"
    assert acting.act("pools", "data", "destroy", confirm="data")["state"] == "inactive"


def test_one_collects_and_the_other_takes_over_when_it_is_killed(host: LabHost, data: Path) -> None:
    with one_more(data, host) as first:
        first.until(lambda: collects(first) and first.items("pools"))
        with one_more(data) as second:
            second.until(lambda: second.get("/healthz")["ok"])
            leader = Leadership(data).holder()
            assert leader is not None
            assert not collects(second)
            said = f"Process {leader.pid} on "
            second.until(lambda: said in second.get("/healthz")["sentence"])
            # Both serve, one scans: not twice as often as planned.
            begun_s, before = time.monotonic(), len(scanned(data))
            time.sleep(4 * TICK_S)
            more = len(scanned(data)) - before
            assert more <= (time.monotonic() - begun_s) / TICK_S + 2
            first.until(lambda: len(scanned(data)) > before)
            assert [pool["name"] for pool in second.items("pools")] == ["data"]
            told = second.get("/api/v1/health")
            assert told["collector"]["pid"] == leader.pid
            assert told["collector"]["this_process"] is False
            # Through the one that does not collect: it acts itself, and has the other look again.
            flip(Acting(second, host))

            kill_all_of(first, leader.pid)
            second.until(lambda: collects(second))
            count = len(scanned(data))
            second.until(lambda: len(scanned(data)) > count + 1)
            holder = Leadership(data).holder()
            assert holder is not None
            assert holder.pid != leader.pid
            flip(Acting(second, host))
            labels = scanned(data)
            assert labels == sorted(set(labels))
            second.until(lambda: second.get("/api/v1/health")["hosts"][0]["condition"] == "ok")


def test_nobody_takes_over_from_one_that_is_only_stopped_and_the_other_says_so(
    host: LabHost, data: Path
) -> None:
    with one_more(data, host) as first:
        first.until(lambda: collects(first) and first.items("pools"))
        leader = Leadership(data).holder()
        assert leader is not None
        with one_more(data) as second:
            second.until(lambda: second.get("/healthz")["ok"])
            os.kill(leader.pid, signal.SIGSTOP)
            try:
                second.until(lambda: second.get("/api/v1/health")["collector"]["late"])
                told = second.get("/api/v1/health")
                assert told["ok"] is False
                assert told["collector"]["pid"] == leader.pid
                assert told["collector"]["tick_age_seconds"] > 2 * TICK_S
                assert any(
                    f"Process {leader.pid} " in one and "has not ticked for" in one
                    for one in told["troubles"]
                )
                # Asked to have a host scanned it says that nobody does, and serves on.
                answer = Acting(second, host).post("scan", {})
                assert answer.status != 202, answer
                time.sleep(3 * TICK_S)
                assert not collects(second)
                assert [pool["name"] for pool in second.items("pools")] == ["data"]
            finally:
                os.kill(leader.pid, signal.SIGCONT)
            second.until(lambda: second.get("/api/v1/health")["collector"]["late"] is False)
            first.until(lambda: collects(first))
            assert not collects(second)
            count = len(scanned(data))
            first.until(lambda: len(scanned(data)) > count + 1)
