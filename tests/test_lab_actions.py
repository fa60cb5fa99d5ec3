"""Every action on a real libvirtd, as programs ask for them, and the truth of what came of it."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.actions.registry import ACTIONS
from tests.acting_support import HOST, ROOT, Acting, acting
from tests.lab import stock
from tests.lab.fleet import Member, register
from tests.panel import panel

pytestmark = pytest.mark.xdist_group("lab-actions")

_DONE: set[str] = set()


def does(*actions: str) -> pytest.MarkDecorator:
    """Say which actions a test does, by their names in the audit."""
    _DONE.update(actions)
    return pytest.mark.does(*actions)


@pytest.fixture(scope="module")
def acted(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acting]:
    with acting(tmp_path_factory.mktemp("panel") / "var") as made:
        yield made


@pytest.fixture(autouse=True)
def _as_it_says(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that says what it does has done so when it ends, by the audit."""
    mark = request.node.get_closest_marker("does")
    if mark is None:
        yield
        return
    acted: Acting = request.getfixturevalue("acted")
    before = {one["id"] for one in _records(acted, outcome="ok")}
    yield
    after = [one for one in _records(acted, outcome="ok") if one["id"] not in before]
    assert set(mark.args) <= {one["action"] for one in after}


@pytest.fixture
def web(acted: Acting) -> Iterator[str]:
    """The VM web-01, running at the beginning and defined at the end."""
    _running(acted, "web-01")
    yield "web-01"
    _running(acted, "web-01")


def _running(acted: Acting, name: str) -> None:
    state = acted.item("domains", name)["state"]
    if state == "paused":
        acted.act("domains", name, "resume")
    elif state != "running":
        acted.act("domains", name, "start")


_HELPER = "/usr/lib/libvirt/libvirt_iohelper"


@contextmanager
def _held_saving(acted: Acting, name: str) -> Iterator[Any]:
    """A running VM that, when it is saved meanwhile, is not done before the end of the block: what
    writes its memory to the file waits until then. There is more memory than fits into the pipe to
    it (16 MiB of zeros do), or QEMU would be done at once, with nothing left to be stopped.
    """
    stock.add_guests(acted.host, None, names=(name,), memory_mib=256)
    item = acted.running(name)
    waiting = f"waiting-{name}"
    (acted.host.root / "lib" / waiting).write_text(
        f"#!/bin/sh\nwhile [ ! -e {ROOT}/go-on-{name} ]; do sleep 0.1; done\n"
        f'exec {ROOT}/iohelper "$@"\n', encoding="ascii",
    )  # fmt: skip
    acted.host.run(
        f"cp {_HELPER} {ROOT}/iohelper && chmod 755 {ROOT}/{waiting} && "
        f"mount --bind {ROOT}/{waiting} {_HELPER}"
    )
    try:
        yield item
    finally:
        acted.host.run(f"umount -l {_HELPER} && touch {ROOT}/go-on-{name}")


def _gone(acted: Acting, name: str) -> None:
    """Take away the VM, whatever became of it."""
    acted.host.run(f"virsh destroy {name}; virsh undefine {name} --managed-save; true")
    acted.panel.until(lambda: acted.item("domains", name) is None)


def _kill_whole(pid: int) -> None:
    """Kill a process and all below it at once."""
    found = [pid]
    for one in found:
        children = Path(f"/proc/{one}/task/{one}/children").read_text(encoding="ascii")
        found += [int(child) for child in children.split()]
    for one in found:
        os.kill(one, signal.SIGKILL)


def _state(acted: Acting, name: str) -> str:
    """What libvirt itself says."""
    return acted.host.virsh("domstate", name).strip()


def _records(acted: Acting, **wanted: str) -> list[Any]:
    query = "&".join(f"{name}={text}" for name, text in wanted.items())
    found: list[Any] = acted.panel.get(f"/api/v1/audit?per_page=1000&{query}")["items"]
    return found


# --- every action ----------------------------------------------------------------------------


@does("suspend", "resume", "reset", "reboot", "inject-nmi", "destroy", "start")
def test_the_power_of_a_vm(acted: Acting, web: str) -> None:
    assert acted.act("domains", web, "suspend")["state"] == "paused"
    assert _state(acted, web) == "paused"
    assert acted.act("domains", web, "resume")["state"] == "running"
    for action in ("reset", "reboot", "inject-nmi"):
        assert acted.act("domains", web, action)["state"] == "running"
    assert acted.act("domains", web, "destroy", confirm=web)["state"] == "shutoff"
    assert _state(acted, web) == "shut off"
    assert acted.act("domains", web, "start", paused=True)["state"] == "paused"
    assert acted.act("domains", web, "resume")["state"] == "running"


@does("shutdown")
def test_a_guest_that_ignores_the_shutdown_was_asked_and_still_runs(
    acted: Acting, web: str
) -> None:
    before = acted.item("domains", web)["shutdown_asked_at"]
    item = acted.act("domains", web, "shutdown", mode="acpi")
    assert item["state"] == "running"
    assert item["shutdown_asked_at"] is not None
    assert item["shutdown_asked_at"] != before
    acted.act("domains", web, "destroy", confirm=web)
    assert acted.act("domains", web, "start")["shutdown_asked_at"] is None


def test_an_agent_that_is_not_there_is_a_failure_in_words(acted: Acting, web: str) -> None:
    answer = acted.try_to("domains", web, "shutdown", mode="agent")
    assert answer.status == 200
    assert answer.outcome == "failed"
    assert answer.body["audit"]["sentence"]
    assert answer.body["item"]["state"] == "running"


@does("managedsave", "managedsave-remove")
def test_a_saved_state_is_made_restored_and_dropped(acted: Acting, web: str) -> None:
    item = acted.act("domains", web, "managedsave")
    assert (item["state"], item["managed_save"]) == ("shutoff", True)
    item = acted.act("domains", web, "start")
    assert (item["state"], item["managed_save"]) == ("running", False)
    acted.act("domains", web, "managedsave")
    item = acted.act("domains", web, "managedsave-remove")
    assert (item["state"], item["managed_save"]) == ("shutoff", False)


@does("autostart")
def test_starting_with_the_host_is_turned_on_and_off(acted: Acting, web: str) -> None:
    for enabled in (False, True):
        assert acted.act("domains", web, "autostart", enabled=enabled)["autostart"] is enabled


@does("dump")
def test_memory_is_dumped_under_the_allowed_roots_alone(acted: Acting, web: str) -> None:
    acted.act("domains", web, "dump", path=f"{ROOT}/web-01.dump")
    assert int(acted.host.run(f"stat -c %s {ROOT}/web-01.dump")) > 1 << 20
    for path in ("/etc/dump", f"{ROOT}/../dump", "dump"):
        answer = acted.try_to("domains", web, "dump", path=path)
        assert answer.status == 422, path
    acted.host.run(f"test ! -e {ROOT}/../dump -a ! -e /etc/dump")


@does("snapshot-create", "snapshot-revert", "snapshot-delete")
def test_snapshots_are_taken_reverted_to_and_deleted_as_a_tree(acted: Acting, web: str) -> None:
    uuid = acted.item("domains", web)["uuid"]
    path = f"domains/{uuid}/snapshots"
    acted.make(path, expect_state="running", name="first", description="the first")
    acted.make(path, expect_state="running", name="second")
    found = {one["name"]: one for one in acted.item("domains", web)["snapshots"]}
    assert found["second"]["parent"] == "first"
    assert found["second"]["current"]
    assert found["first"]["description"] == "the first"
    acted.act("domains", web, "destroy", confirm=web)
    state = acted.item("domains", web)["state"]
    missing = acted.post(f"{path}/first/actions/revert", {"expect_state": state, "confirm": "no"})
    assert missing.status == 422
    revert = {"expect_state": state, "confirm": "first"}
    acted.well_done(acted.post(f"{path}/first/actions/revert", revert))
    item = acted.item("domains", web)
    assert item["state"] == "running"
    assert {one["name"] for one in item["snapshots"] if one["current"]} == {"first"}
    delete = {"expect_state": "running", "children": True}
    acted.well_done(acted.post(f"{path}/first/actions/delete", delete))
    assert acted.item("domains", web)["snapshots"] == []


@does("undefine")
def test_undefine_keeps_the_disks_and_wants_the_name_where_something_is_lost(
    acted: Acting,
) -> None:
    stock.add_guests(acted.host, acted.host.root / "lib/images", names=("web-09",))
    acted.running("web-09")
    acted.act("domains", "web-09", "managedsave")
    assert acted.try_to("domains", "web-09", "undefine", managed_save=True).status == 422
    refused = acted.try_to("domains", "web-09", "undefine")
    assert refused.outcome == "failed"
    assert acted.item("domains", "web-09") is not None
    gone = acted.try_to("domains", "web-09", "undefine", managed_save=True, confirm="web-09")
    assert gone.outcome == "ok"
    assert gone.body["item"] is None
    assert acted.item("domains", "web-09") is None


@does(
    "pool-define",
    "pool-build",
    "pool-start",
    "pool-autostart",
    "pool-refresh",
    "pool-destroy",
    "pool-undefine",
)
def test_a_pool_from_its_definition_to_its_end(acted: Acting) -> None:
    outside = acted.post("pools", {"name": "new", "type": "dir", "target": "/srv/new"})
    assert outside.status == 422
    assert "--allow-root" in outside.body["detail"]
    acted.make("pools", name="new", type="dir", target=f"{ROOT}/new")
    assert acted.act("pools", "new", "build")["state"] == "inactive"
    assert acted.act("pools", "new", "start")["state"] == "running"
    assert acted.act("pools", "new", "autostart", enabled=True)["autostart"] is True
    acted.host.run(f"truncate -s 1M {ROOT}/new/by-hand.raw")
    acted.act("pools", "new", "refresh")
    assert acted.item("volumes", "by-hand.raw")["capacity_bytes"] == 1 << 20
    assert acted.act("pools", "new", "destroy")["state"] == "inactive"
    assert acted.act("pools", "new", "undefine") is None
    acted.host.run(f"test -e {ROOT}/new/by-hand.raw")


@does(
    "vol-create", "vol-resize", "vol-upload", "vol-clone", "vol-download", "vol-wipe", "vol-delete"
)
def test_a_volume_from_its_creation_to_its_end(acted: Acting) -> None:
    pool = acted.item("pools", "images")["uuid"]
    acted.make(f"pools/{pool}/volumes", name="v1", capacity_bytes="2 MiB", format="raw",
               allocation_bytes="2 MiB", expect_state="running")  # fmt: skip
    assert acted.act("volumes", "v1", "resize", capacity_bytes=4 << 20)["capacity_bytes"] == 4 << 20
    volume = f"/api/v1/hosts/{HOST}/volumes/{acted.item('volumes', 'v1')['id']}/actions"
    content = bytes(range(256)) * 4096
    sent = acted.send("POST", f"{volume}/upload?request_id={uuid4()}", content,
                      content_type="application/octet-stream")  # fmt: skip
    acted.well_done(sent)
    acted.act("volumes", "v1", "clone", name="v2")
    copy = f"/api/v1/hosts/{HOST}/volumes/{acted.item('volumes', 'v2')['id']}/actions/download"
    fetched = acted.send("POST", copy, b"{}").body
    assert fetched[: len(content)] == content
    assert len(fetched) == 4 << 20
    acted.act("volumes", "v1", "wipe", confirm="v1")
    assert acted.send("POST", f"{volume}/download", b"{}").body == bytes(4 << 20)
    assert acted.try_to("volumes", "v1", "delete", confirm="v2").status == 422
    for name in ("v1", "v2"):
        assert acted.act("volumes", name, "delete", confirm=name) is None
    acted.host.run(f"test ! -e {ROOT}/images/v1")


@pytest.mark.parametrize("action", ["delete", "wipe"])
def test_a_volume_in_use_is_not_destroyed(acted: Acting, action: str) -> None:
    for name in ("db-01.qcow2", "base.qcow2"):
        answer = acted.try_to("volumes", name, action, confirm=name)
        assert answer.status == 409
        assert "db-01" in answer.body["detail"]
        acted.host.run(f"test -s {ROOT}/images/{name}")


@does("net-define", "net-start", "net-autostart", "net-destroy", "net-undefine")
def test_a_network_from_its_definition_to_its_end(acted: Acting) -> None:
    acted.make(
        "networks", name="lan", forward="nat", address="192.168.150.1/24", domain_name="lan.test",
        dhcp_start="192.168.150.10", dhcp_end="192.168.150.99",
    )  # fmt: skip
    assert acted.act("networks", "lan", "start")["state"] == "active"
    assert acted.act("networks", "lan", "autostart", enabled=True)["autostart"] is True
    assert acted.act("networks", "lan", "destroy")["state"] == "inactive"
    assert acted.act("networks", "lan", "undefine") is None


@does("dompmwakeup")
def test_a_sleeping_guest_is_woken(acted: Acting) -> None:
    stock.add_talking_guest(acted.host)
    acted.panel.until(lambda: acted.item("domains", "talking"))

    def asleep() -> bool:
        try:
            acted.host.virsh("dompmsuspend", "talking", "mem")
        except RuntimeError:
            time.sleep(0.5)
            return False
        return True

    acted.panel.until(asleep, 300)
    acted.panel.until(lambda: acted.item("domains", "talking")["state"] == "pmsuspended")
    assert acted.act("domains", "talking", "dompmwakeup")["state"] == "running"
    acted.act("domains", "talking", "destroy", confirm="talking")


# --- the truth of the outcome ------------------------------------------------------------------


def test_another_state_than_expected_is_a_conflict_that_changes_nothing(
    acted: Acting, web: str
) -> None:
    uuid = acted.item("domains", web)["uuid"]
    acted.host.virsh("suspend", web)
    answer = acted.post(f"domains/{uuid}/actions/suspend", {"expect_state": "running"})
    assert answer.status == 409
    assert answer.body["state"] == "paused"
    assert _state(acted, web) == "paused"
    acted.panel.until(lambda: acted.item("domains", web)["state"] == "paused")


def test_what_is_gone_is_told_as_gone(acted: Acting) -> None:
    stock.add_guests(acted.host, None, names=("web-08",))
    uuid = acted.panel.until(lambda: acted.item("domains", "web-08"))["uuid"]
    acted.host.virsh("destroy", "web-08")
    acted.host.virsh("undefine", "web-08")
    answer = acted.post(f"domains/{uuid}/actions/suspend", {"expect_state": "running"})
    assert answer.status in (404, 409)
    acted.panel.until(lambda: acted.item("domains", "web-08") is None)


def test_fifty_clicks_with_one_request_id_are_one_action(acted: Acting, web: str) -> None:
    uuid, request_id = acted.item("domains", web)["uuid"], str(uuid4())
    body = {"expect_state": "running", "request_id": request_id}
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda _: acted.post(f"domains/{uuid}/actions/suspend", body), range(50))
        )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["audit"]["id"] for answer in answers}) == 1
    assert {answer.outcome for answer in answers} == {"ok"}
    found = [one for one in _records(acted, key=uuid) if one["request_id"] == request_id]
    assert len(found) == 1
    assert _state(acted, web) == "paused"


def test_fifty_resets_of_one_vm_never_overlap_and_each_is_in_the_audit(
    acted: Acting, web: str
) -> None:
    uuid = acted.item("domains", web)["uuid"]
    before = len(_records(acted, key=uuid, action="reset"))
    started = threading.Barrier(50)

    def click(_: int) -> Any:
        started.wait(30)
        body = {"expect_state": "running", "request_id": str(uuid4())}
        return acted.post(f"domains/{uuid}/actions/reset", body)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(click, range(50)))
    counts = {status: sum(a.status == status for a in answers) for status in (200, 409)}
    assert sum(counts.values()) == 50
    assert counts[200] >= 1
    records = _records(acted, key=uuid, action="reset")
    assert len(records) - before == 50
    records = records[: len(records) - before]
    assert sum(one["outcome"] == "refused" for one in records) == counts[409]
    done = sorted((o["at"], o["ended_at"]) for o in records if o["outcome"] == "ok")
    assert len(done) == counts[200]
    for (_, ended), (begun, _) in pairwise(done):
        assert ended <= begun


def test_a_host_that_stops_answering_in_mid_action_leaves_an_unknown(
    acted: Acting, web: str
) -> None:
    acted.act("domains", web, "suspend")
    uuid = acted.item("domains", web)["uuid"]
    acted.host.kill("STOP")
    try:
        answer = acted.post(f"domains/{uuid}/actions/resume", {"expect_state": "paused"})
    finally:
        acted.host.kill("CONT")
    assert answer.status == 200
    # Nothing had been sent: not even how it stands was answered.
    assert answer.outcome == "failed"
    assert "Nothing was sent" in answer.body["audit"]["sentence"]
    acted.panel.until(lambda: acted.item("domains", web)["state"] == "paused")


def test_a_job_tells_its_progress_and_is_cancelled(acted: Acting) -> None:
    with _held_saving(acted, "web-07") as item:
        answer = acted.try_to("domains", "web-07", "managedsave")
        assert answer.status == 202, answer
        url = answer.body["job"]["url"]
        path = f"domains/{item['uuid']}/actions/suspend"
        assert acted.post(path, {"expect_state": item["state"]}).status == 409
        # Once it tells of bytes QEMU is at it; an abort that comes before that is forgotten.
        job = acted.panel.until(
            lambda: (job := acted.panel.get(url)) and job["total_bytes"] and job
        )
        assert (job["state"], job["stoppable"]) == ("running", True)
        assert job["total_bytes"] > 256 << 20
        assert acted.send("DELETE", url).status in (200, 202)
        assert acted.panel.get(url)["state"] == "stopping"
    assert acted.outcome(answer) == "failed"
    assert "cancelled" in acted.panel.get(url)["sentence"]
    assert _state(acted, "web-07") == "running"
    assert acted.item("domains", "web-07")["state"] == "running"
    assert acted.send("DELETE", url).status == 409
    _gone(acted, "web-07")


def test_a_libvirtd_that_dies_in_mid_action_leaves_an_unknown(acted: Acting) -> None:
    with _held_saving(acted, "web-06"):
        answer = acted.try_to("domains", "web-06", "managedsave")
        assert answer.status == 202, answer
        acted.host.kill("KILL")
        try:
            assert acted.outcome(answer) == "unknown"
        finally:
            acted.host.start_libvirtd()
    (record,) = _records(acted, action="managedsave", outcome="unknown")
    assert "not known" in record["sentence"]
    acted.panel.until(lambda: acted.panel.get("/api/v1/domains")["scans"][HOST]["ok"])
    _gone(acted, "web-06")


def test_npvirt_killed_in_mid_action_explains_it_after_its_restart(
    acted: Acting, tmp_path: Path
) -> None:
    member = Member(acted.host, ("--socket", acted.host.socket))
    data = tmp_path / "var"
    prepare = partial(register, [member])
    with (
        _held_saving(acted, "web-05"),
        panel(data, prepare=prepare, NPVIRT_SCAN_SECONDS="2") as first,
    ):
        other = Acting(first, acted.host)
        first.until(lambda: other.item("domains", "web-05"))
        answer = other.try_to("domains", "web-05", "managedsave")
        assert answer.status == 202, answer
        _kill_whole(first.process.pid)
    with panel(data, NPVIRT_SCAN_SECONDS="2") as second:
        other = Acting(second, acted.host)
        (record,) = second.get("/api/v1/audit?action=managedsave")["items"]
        assert record["outcome"] == "unknown"
        assert "npvirt ended before libvirt answered" in record["sentence"]
        # And what libvirt made of it is seen soon, as for any change.
        second.until(lambda: other.item("domains", "web-05")["state"] == "shutoff")
    _gone(acted, "web-05")


def test_many_at_once_have_an_outcome_each(acted: Acting, web: str) -> None:
    db, off = (acted.item("domains", name) for name in ("db-01", "old-crm"))
    wanted = [acted.item("domains", web), db, off]
    body = {
        "request_id": str(uuid4()),
        "items": [
            {"host": HOST, "uuid": one["uuid"], "expect_state": one["state"]} for one in wanted
        ],
    }
    answer = acted.send("POST", "/api/v1/domains/actions/suspend", json.dumps(body).encode())
    assert answer.status == 200, answer
    outcomes = {one["uuid"]: one["audit"]["outcome"] for one in answer.body["items"]}
    assert outcomes[wanted[0]["uuid"]] == "ok"
    assert outcomes[db["uuid"]] == "ok"
    assert outcomes[off["uuid"]] == "refused"
    acted.act("domains", "db-01", "resume")


def test_no_action_is_forgotten_here() -> None:
    """What `does` names at a test has been done when that test ends; here: it names them all."""
    assert {action.audit_name for action in ACTIONS} == _DONE
