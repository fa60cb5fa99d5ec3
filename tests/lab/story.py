"""What happens to two lab hosts while npvirt looks at them: a story that the history must tell.

Owns the events and when each of them happened; what must be read of them is in
tests/test_history_over_lab.py, which can stretch the same over an hour.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import stock
from tests.lab.fleet import Member, fleet, register
from tests.panel import Panel, panel

CRASHED, RESIZED = "db-01", "web-01"
# A restart that takes no longer than a minute is not told in the list of changes.
_AWAY_S = 62.0
KIB_PER_MIB = 1024


@dataclass
class Story:
    """When what happened, in seconds since 1970; `away` is when npvirt itself was not there."""

    members: list[Member]
    marks: dict[str, float] = field(default_factory=dict)

    def uuid(self, host: int, name: str) -> str:
        """The UUID of a guest of a host, the hosts counted from 0."""
        return stock.uuid_of(self.members[host].host, name)

    def mark(self, what: str) -> None:
        """It is now."""
        self.marks[what] = time.time()


@contextmanager
def told(data: Path, *, pause_s: float, scan_s: float) -> Iterator[tuple[Story, Panel]]:
    """The story once it is over, and the panel that saw it, which runs on."""

    def prepare(environ: dict[str, str]) -> None:
        register(members, environ)

    with fleet(2) as members:
        story = Story(members)
        every = f"{scan_s:g}"
        with panel(data, prepare=prepare, NPVIRT_SCAN_SECONDS=every) as running:
            _seen(running, members)
            story.mark("begun")
            time.sleep(pause_s)
            _crash(story, running)
            time.sleep(pause_s)
            _resize(story, running)
            time.sleep(pause_s)
            _stop_a_host(story, running, pause_s)
            time.sleep(pause_s)
        story.mark("npvirt stopped")
        time.sleep(max(pause_s, _AWAY_S + 5 * scan_s))
        story.mark("npvirt started")
        with panel(data, NPVIRT_SCAN_SECONDS=every) as again:
            newest = story.marks["npvirt started"]
            again.until(lambda: _all_scanned_since(again, members, newest))
            time.sleep(pause_s)
            story.mark("ended")
            yield story, again


def _seen(running: Panel, members: list[Member]) -> None:
    running.until(lambda: _all_scanned_since(running, members, 0.0))


def _all_scanned_since(running: Panel, members: list[Member], since: float) -> bool:
    scans = running.get("/api/v1/domains")["scans"]
    oldest = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
    return len(scans) == len(members) and all(
        scan["ok"] and scan["at"] > oldest for scan in scans.values()
    )


def _crash(story: Story, running: Panel) -> None:
    """The process of a guest is killed."""
    story.members[0].host.run(f"pkill -9 -f guest={CRASHED},")
    story.mark("crashed")
    _until_state(running, story.uuid(0, CRASHED), "shutoff")


def _resize(story: Story, running: Panel) -> None:
    """A guest is stopped, given another CPU and more memory, and started."""
    host, name = story.members[0].host, RESIZED
    story.mark("resized")
    host.virsh("destroy", name)
    _until_state(running, story.uuid(0, name), "shutoff")
    host.virsh("setvcpus", name, "2", "--config", "--maximum")
    host.virsh("setvcpus", name, "2", "--config")
    host.virsh("setmaxmem", name, str(32 * KIB_PER_MIB), "--config")
    host.virsh("setmem", name, str(32 * KIB_PER_MIB), "--config")
    host.virsh("start", name)
    running.until(lambda: _domain(running, story.uuid(0, name))["vcpus"] == 2)


def _stop_a_host(story: Story, running: Panel, pause_s: float) -> None:
    """The libvirtd of the second host is not there for a while; its guests run on."""
    host = story.members[1].host
    story.mark("host stopped")
    host.stop_libvirtd()
    try:
        running.until(lambda: not running.get("/api/v1/domains")["scans"][host.name]["ok"])
        time.sleep(pause_s)
    finally:
        story.mark("host started")
        host.start_libvirtd()
    running.until(lambda: running.get("/api/v1/domains")["scans"][host.name]["ok"])


def _until_state(running: Panel, uuid: str, state: str) -> None:
    running.until(lambda: _domain(running, uuid)["state"] == state)


def _domain(running: Panel, uuid: str) -> dict[str, object]:
    (found,) = [item for item in running.items("domains") if item["uuid"] == uuid]
    return dict(found)
