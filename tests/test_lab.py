"""The lab: real hosts that come and go without a trace."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.lab import stock
from tests.lab.host import LabHost, Options


def traces(root: Path) -> list[str]:
    """Processes and mounts that have to do with a lab host's directory."""
    found = [line for line in Path("/proc/mounts").read_text().splitlines() if str(root) in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(root) in command:
            found.append(command)
    return found


def test_a_host_with_guests_and_a_network_leaves_nothing(lab: None) -> None:
    host = LabHost("lab-trace", Options(ssh=True))
    with host:
        stock.add_networks(host)
        stock.add_guests(host, None, names=("web-01",))
        assert "running" in host.virsh("domstate", "web-01")
        assert traces(host.root)
        assert Path(f"/sys/class/net/{host.slot.veth}").exists()
    assert traces(host.root) == []
    assert not host.root.exists()
    assert not Path(f"/sys/class/net/{host.slot.veth}").exists()


def test_a_killed_program_takes_its_hosts_along(lab: None) -> None:
    program = (
        "import time; from tests.lab.host import LabHost\n"
        "host = LabHost('lab-killed'); host.start(); print(host.root, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        root = Path(child.stdout.readline().strip())
        assert traces(root)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    end = time.monotonic() + 20
    while traces(root) and time.monotonic() < end:
        time.sleep(0.05)
    left = traces(root)
    # What a killed program cannot do is to remove its directory.
    subprocess.run(["rm", "-rf", root], check=True)
    assert left == []


def test_hosts_have_names_addresses_and_uuids_of_their_own(lab: None) -> None:
    with LabHost("lab-one") as one, LabHost("lab-two") as two:
        assert one.virsh("hostname").strip() == "lab-one"
        assert two.virsh("hostname").strip() == "lab-two"
        assert one.uuid in one.virsh("capabilities")
        assert two.uuid in two.virsh("capabilities")
        assert one.ip4 != two.ip4
