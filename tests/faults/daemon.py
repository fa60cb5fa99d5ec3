"""Session daemons: libvirtd of one user alone, its test driver behind real RPC on a port of
127.0.0.1. Touches no libvirt of the machine's: where root starts it, it runs as nobody, since
libvirtd takes root's for the one of the system.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import libvirt

from tests.lab.host import await_answer, die_with_parent
from tests.ports import free_port

# Without a handler of its own libvirt prints that nobody answers yet.
libvirt.registerErrorHandler(lambda _context, _error: None, None)

LIBVIRTD = "/usr/sbin/libvirtd"
_NOBODY = 65_534
_CONF = """listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
listen_addr = "127.0.0.1"
tcp_port = "{port}"
max_clients = 1000
max_anonymous_clients = 1000
max_queued_clients = 1000
min_workers = 10
max_workers = 100
max_client_requests = 5
unix_sock_dir = "{root}/run"
log_outputs = "4:stderr"
"""


def unavailable() -> str | None:
    """Why no session daemon can run here, in a sentence, or None."""
    if shutil.which(LIBVIRTD) is None:
        return f"There is no {LIBVIRTD}; install libvirt-daemon."
    return None


class SessionDaemon:
    """A daemon; `start`, `kill` and use it in a `with`. Its world is anew after each start."""

    def __init__(self, domains: int = 1) -> None:
        self._domains = domains
        self.port = free_port()
        self._root = Path(tempfile.mkdtemp(prefix="npvirt-daemon-"))
        self._process: subprocess.Popen[bytes] | None = None
        # The world of the test driver lasts as long as somebody is connected to it.
        self._connection: libvirt.virConnect | None = None
        for name in ("run", "config", "cache"):
            (self._root / name).mkdir(mode=0o700)
        for path in (self._root, *self._root.iterdir()):
            if os.geteuid() == 0:
                os.chown(path, _NOBODY, _NOBODY)
        conf = _CONF.format(port=self.port, root=self._root)
        (self._root / "libvirtd.conf").write_text(conf)

    def __enter__(self) -> "SessionDaemon":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def uri(self) -> str:
        """Where its test driver is."""
        return f"test+tcp://127.0.0.1:{self.port}/default"

    @property
    def is_alive(self) -> bool:
        """Whether it runs, or stands still."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, wait until it answers, and make its domains; raises RuntimeError."""
        environ = {
            **os.environ,
            "HOME": str(self._root),
            "XDG_RUNTIME_DIR": f"{self._root}/run",
            "XDG_CONFIG_HOME": f"{self._root}/config",
            "XDG_CACHE_HOME": f"{self._root}/cache",
            "LC_ALL": "C",
        }
        with (self._root / "said").open("ab") as said:
            self._process = subprocess.Popen(
                [LIBVIRTD, "-l", "-f", f"{self._root}/libvirtd.conf", "-p", f"{self._root}/pid"],
                env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True, preexec_fn=_as_nobody,
            )  # fmt: skip
        await_answer(self._process, self._made, self._root / "said")

    def kill(self, number: signal.Signals) -> None:
        """Send it a signal; of one that ends it, its end is waited for."""
        assert self._process is not None
        self._process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._process.wait()

    def stop(self) -> None:
        """End it and remove every trace."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None
        self._connection = None
        shutil.rmtree(self._root, ignore_errors=True)

    def _made(self) -> bool:
        try:
            connection = self._connection = libvirt.open(self.uri)
        except libvirt.libvirtError:
            return False
        for number in range(1, self._domains):
            connection.defineXML(
                f"<domain type='test'><name>vm-{number}</name><memory>65536</memory>"
                f"<uuid>00000000-0000-4000-8000-{number:012d}</uuid>"
                "<vcpu>1</vcpu><os><type>hvm</type></os></domain>"
            ).create()
        return True


def _as_nobody() -> None:
    """To run in the child before it executes."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    die_with_parent()
