"""A real `npvirt serve` that proofs start, watch and kill; it runs in a process group of its own.

Time that a process stood in the queue for a processor is not its own: on a busy machine it is
taken off, as the kernel counted it (/proc/…/schedstat).
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.clock import now_ms
from tests.faults.weighing import NOTHING_KEPT, Scales
from tests.lab.host import die_with_parent
from tests.panel import Panel
from tests.ports import free_port

_START_S = 120.0


@dataclass(frozen=True)
class Use:
    """What a process holds at a moment."""

    threads: int
    files: int
    memory_bytes: int


class Server:
    """Starts npvirt again and again on one port over one data directory."""

    def __init__(
        self, data: Path, settings: Mapping[str, str], plant: str = "", *, weighed: bool = False
    ) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # As where npvirt is installed: it is compiled once, not anew at each start.
        left_out = ("NPVIRT_", "PYTHONDONTWRITEBYTECODE")
        own = {name: text for name, text in os.environ.items() if not name.startswith(left_out)}
        self.environ = {
            **own, "PYTHONFAULTHANDLER": "1",
            "NPVIRT_DATA": str(data), "NPVIRT_BIND": f"127.0.0.1:{self.port}", **settings,
        }  # fmt: skip
        self.scales = Scales(data.with_name(f"{data.name}-scales"))
        if weighed:
            plant = plant or "none"
            self.environ |= {"SCALES": str(data.with_name(f"{data.name}-scales")), **NOTHING_KEPT}
        program = ["-m", "tests.faults.planted", plant] if plant else ["-m", "app.cli"]
        self._command = [sys.executable, *program, "serve"]
        self.said = data.with_name(f"{data.name}-said")
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        # The wall clock at its last start.
        self.started_ms = 0

    def start(self) -> None:
        """Start it, and return at once."""
        self.started_ms = now_ms()
        with self.said.open("ab") as said:
            self._process = subprocess.Popen(
                self._command, env=self.environ, stdin=subprocess.DEVNULL, stdout=said,
                stderr=said, start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        self._started_s = time.monotonic()

    def until_served(self) -> tuple[float, float]:
        """Wait until it answers; seconds since it was started, in all and of its own. Raises
        RuntimeError with what it said when it ended instead.
        """
        while not self.answers():
            took_s = time.monotonic() - self._started_s
            assert self._process is not None
            if self._process.poll() is not None or took_s > _START_S:
                raise RuntimeError(f"npvirt does not serve: {self.last_words()}")
            time.sleep(0.01)
        took_s = time.monotonic() - self._started_s
        return took_s, max(
            0.0, took_s - sum(sum(_queued_s(process).values()) for process in self._tree())
        )

    def answers(self) -> bool:
        """Whether /healthz answers well."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """Kill all of it with SIGKILL, at once, and wait for its end."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._wait_for_the_port()

    def stop(self) -> None:
        """End it as people do, or by force when that takes too long."""
        process = self._process
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            self.kill()

    @property
    def worker(self) -> int:
        """The process that serves and scans."""
        assert self._process is not None
        children = self._children(self._process.pid)
        return children[0] if children else self._process.pid

    def use(self) -> Use:
        """What the worker holds now."""
        root = Path(f"/proc/{self.worker}")
        status = (root / "status").read_text()
        threads = int(status.split("Threads:")[1].split()[0])
        memory = int(status.split("VmRSS:")[1].split()[0]) * 1024
        return Use(threads, len(list((root / "fd").iterdir())), memory)

    def queue(self) -> "Queue":
        """What the worker's threads wait for a processor from now on."""
        return Queue(self.worker)

    def panel(self, token: str) -> Panel:
        """It as others ask it, over HTTP."""
        assert self._process is not None
        return Panel(self.url, self._process, self.environ, token)

    def last_words(self) -> str:
        """The end of what it said, and where in Python it was if it died of a signal."""
        said = self.said.read_text(errors="replace")
        died = said.find("Current thread 0x")
        return said[-1500:] if died < 0 else said[died : died + 1500]

    def _tree(self) -> Iterator[int]:
        assert self._process is not None
        yield self._process.pid
        yield from self._children(self._process.pid)

    @staticmethod
    def _children(process: int) -> list[int]:
        try:
            text = Path(f"/proc/{process}/task/{process}/children").read_text()
        except OSError:
            return []
        return [int(child) for child in text.split()]

    def _wait_for_the_port(self) -> None:
        """Its children are gone a moment after their group was killed."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)):
                    return
            time.sleep(0.005)


class Queue:
    """How long the threads of a process have stood in the queue for a processor since this was
    made. One of them at a time computes, so that no more than this of any delay is the machine's.
    """

    def __init__(self, process: int) -> None:
        self._process = process
        self._before_s = _queued_s(process)

    def waited_s(self) -> float:
        """All threads together; what those waited that ended meanwhile nobody knows any more."""
        return sum(
            now_s - self._before_s.get(thread, 0.0)
            for thread, now_s in _queued_s(self._process).items()
        )


def _queued_s(process: int) -> dict[str, float]:
    """How long each thread has stood in the queue for a processor."""
    found = {}
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError, IndexError):
                found[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return found
