"""Notifications of two real npvirt processes on one store, over libvirt's own test driver, the one
that tells killed in mid-send. Nothing is told twice, nothing is lost.
"""

import json
import os
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.collect.leadership import Leadership
from tests.notification_support import Receiver, Request, receiver
from tests.panel import NPVIRT, Panel, panel

# The VM of the driver's own host, which every process has one of.
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def one_more(directory: Path) -> Any:
    """Another npvirt on the store in that directory, over a host of the test driver."""

    def prepare(environ: dict[str, str]) -> None:
        if not (directory / "var").exists():
            command = ["host", "add", "demo", "--driver", "test"]
            subprocess.run([*NPVIRT, *command], env=environ, check=True, stdout=subprocess.DEVNULL)

    return panel(
        directory / "var", prepare=prepare, NPVIRT_ALLOW_TEST_FILES="1", NPVIRT_SCAN_SECONDS="1"
    )


def post(running: Panel, path: str, body: Any) -> Any:
    data = json.dumps(body).encode()
    asked = urllib.request.Request(running.url + path, data, running.headers, method="POST")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)


def act(running: Panel, name: str, expected: str) -> None:
    """Do something to the VM, which is told as a change."""
    path = f"/api/v1/hosts/demo/domains/{UUID}/actions/{name}"
    assert post(running, path, {"expect_state": expected})["audit"]["outcome"] == "ok"


def states(running: Panel) -> list[str]:
    """What became of the first three messages."""
    told = running.get("/api/v1/notifications/messages")["items"]
    return [one["state"] for one in reversed(told)][:3]


def test_killed_in_mid_send_it_sends_nothing_twice_and_loses_nothing(
    tmp_path: Path, hook: Receiver
) -> None:
    release = threading.Event()

    def hold(_: Request) -> int | None:
        release.wait(120)
        return None

    with one_more(tmp_path) as first:
        first.until(lambda: first.items("domains"))
        url = "/api/v1/notifications"
        target = post(first, f"{url}/targets", {"name": "t", "kind": "webhook", "url": hook.url})
        rule = {"name": "r", "kind": "change", "what": ["paused", "resumed"], "pause_minutes": 0,
                "targets": [target["item"]["id"]]}  # fmt: skip
        post(first, f"{url}/rules", rule)
        with one_more(tmp_path) as second:
            second.until(lambda: second.get("/healthz")["ok"])
            act(first, "suspend", "running")
            first.until(lambda: len(hook.requests) == 1)
            # What goes out now is in mid-send when all of the first one dies.
            hook.answer = hold
            act(first, "resume", "paused")
            first.until(lambda: len(hook.requests) == 2)
            leader = Leadership(tmp_path / "var").holder()
            assert leader is not None
            os.kill(first.process.pid, signal.SIGKILL)
            os.kill(leader.pid, signal.SIGKILL)
            first.process.wait()
            hook.answer = lambda _: 200
            release.set()
            second.until(lambda: len(hook.requests) >= 3)
            # The one that took over tells what happens from now on.
            act(second, "suspend", "running")
            second.until(lambda: len(hook.events()) >= 3)
            # What the receiver has taken its sender has yet to write down.
            second.until(lambda: states(second) == ["sent", "unknown", "sent"])
    titles = ["VM test on demo: paused", "VM test on demo: resumed", "VM test on demo: paused"]
    assert hook.titles() == titles
    assert len({event["id"] for event in hook.events()}) == 3
    assert [message["type"] for message in hook.messages] == [
        "npvirt.alert", "npvirt.alert", "npvirt.unsure", "npvirt.alert",
    ]  # fmt: skip
