"""Reaching a host: one function per transport, each step with its deadline.

The result is an open stream to the host's libvirt, which a relay then offers to libvirt here.
"""

import contextlib
import os
import queue
import shlex
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.connection import DEFAULT_PORTS, Connection, Endpoint
from app.virt import ssh
from app.virt.classify import socket_error
from app.virt.deadline import Deadline
from app.virt.problems import problem
from app.virt.tls import start_tls

_CONNECT_S = 5.0
_NAME_S = 5.0
_MOST_SAID = 65_536
_SOCKET_NAMES = ("virtqemud-sock", "libvirt-sock")


@dataclass
class Upstream:
    """An open stream to a host's libvirt. `finish` ends what carries it; `said` is what the
    carrier (ssh) had to say, once it has ended; `path` the local socket that was reached.
    """

    stream: socket.socket
    finish: Callable[[], None] | None = None
    said: Callable[[], str] | None = None
    path: str = ""


def dial(endpoint: Endpoint, deadline: Deadline, *, read_only: bool) -> Upstream:
    """Reach the host; raises VirtError."""
    connection = endpoint.connection
    if connection.transport == "unix":
        path = socket_path(connection, read_only=read_only)
        return Upstream(connect_unix(connection, path, deadline), path=path)
    if connection.transport == "ssh":
        return start_ssh(endpoint, remote_command(connection, read_only=read_only))
    plain = connect_tcp(connection, resolve_name(connection, deadline), deadline)
    if connection.transport == "tls":
        try:
            return Upstream(start_tls(endpoint, plain, deadline))
        except BaseException:
            plain.close()
            raise
    return Upstream(plain)


def socket_path(connection: Connection, *, read_only: bool) -> str:
    """The Unix socket of this machine's libvirt that `connection` means."""
    if connection.socket is not None:
        return connection.socket
    if connection.path == "session":
        runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
        paths = [f"{runtime}/libvirt/{name}" for name in _SOCKET_NAMES]
    else:
        paths = [f"/run/libvirt/{name}" for name in _SOCKET_NAMES]
    path = next((path for path in paths if Path(path).exists()), paths[-1])
    with_less = f"{path}-ro"
    if read_only and not os.access(path, os.W_OK) and os.access(with_less, os.W_OK):
        return with_less
    return path


def connect_unix(connection: Connection, path: str, deadline: Deadline) -> socket.socket:
    """A stream to the local socket; raises VirtError."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        stream.settimeout(deadline.left_s(_CONNECT_S))
        stream.connect(path)
    except OSError as error:
        stream.close()
        if error.errno is None and "too long" in str(error):
            raise problem("path-too-long", connection, path=path) from None
        raise socket_error(connection, error, path) from None
    return stream


def resolve_name(connection: Connection, deadline: Deadline) -> list[tuple[int, str]]:
    """The addresses of the host as (family, address); raises VirtError.

    In a thread of its own, because the C library's look-up knows no deadline.
    """
    answers: queue.SimpleQueue[list[tuple[int, str]] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(connection.host, None, type=socket.SOCK_STREAM)
            answers.put([(int(entry[0]), str(entry[4][0])) for entry in found])
        except UnicodeError as error:
            answers.put(OSError(str(error)))
        except OSError as error:
            answers.put(error)

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left_s(_NAME_S))
    except (queue.Empty, TimeoutError):
        raise problem("name-not-found", connection, "the name service did not answer") from None
    if isinstance(answer, OSError):
        raise problem("name-not-found", connection, str(answer)) from None
    return list(dict.fromkeys(answer))


def connect_tcp(
    connection: Connection, addresses: list[tuple[int, str]], deadline: Deadline
) -> socket.socket:
    """A stream to the first address that answers; raises VirtError for the last one's reason."""
    port = connection.port or DEFAULT_PORTS[connection.transport]
    failed: OSError = TimeoutError("no address")
    for family, address in addresses:
        stream = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            stream.settimeout(deadline.left_s(_CONNECT_S))
            stream.connect((address, port))
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            stream.close()
            failed = error
        else:
            return stream
    raise socket_error(connection, failed)


def remote_command(connection: Connection, *, read_only: bool) -> str:
    """What runs on the far side of ssh: libvirt's helper, or nc on libvirt's socket.

    The order and nc's -q are those of libvirt's own client (virnetclient.c); every word comes
    from a closed list or a checked path, quoted.
    """
    flag = "-r " if read_only else ""
    path = "default" if connection.driver == "test" else connection.path
    helper = f"exec virt-ssh-helper {flag}{shlex.quote(f'{connection.driver}:///{path}')}"
    suffix = "-ro" if read_only else ""
    if connection.socket:
        sockets, helper_first = shlex.quote(connection.socket), ""
        lacking = "no nc for a socket path"
    else:
        base = (
            '"${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/libvirt'
            if path == "session"
            else '"/run/libvirt'
        )
        sockets = " ".join(f'{base}/{name}{suffix}"' for name in _SOCKET_NAMES)
        lacking = "neither virt-ssh-helper nor nc"
        helper_first = f"if command -v virt-ssh-helper >/dev/null 2>&1; then {helper}; fi; "
    script = (
        f"{helper_first}"
        "if ! command -v nc >/dev/null 2>&1; then "
        f'echo "{lacking}" >&2; exit 127; fi; '
        f'for s in {sockets}; do if [ -S "$s" ]; then break; fi; done; '
        "if nc -q 2>&1 | grep -q 'requires an argument'; then q=-q0; else q=; fi; "
        'exec nc $q -U "$s"'
    )
    return f"sh -c {shlex.quote(script)}"


def start_ssh(endpoint: Endpoint, command: str) -> Upstream:
    """Ssh running `command` on the host, its input and output as one stream; raises VirtError."""
    ssh.check_key_file(endpoint)
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            [*ssh.options(endpoint), command],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
            env=ssh.environment(),
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        ours.close()
        raise problem("ssh-missing", endpoint.connection, str(error)) from None
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        carrier = _Carrier(process)
    except RuntimeError:
        ours.close()
        raise
    return Upstream(ours, carrier.finish, carrier.said)


class _Carrier:
    """A running ssh: keeps the end of what it says, and reaps it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._said = bytearray()
        self._thread = threading.Thread(target=self._listen, name="ssh-said", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # No more threads for a moment; nobody else would end it, and reap it.
            self.finish()
            if process.stderr is not None:
                process.stderr.close()
            raise

    def finish(self) -> None:
        """End ssh, however it stands."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        """What ssh and the far side said; waits a moment for ssh to end by itself."""
        self._thread.join(1.0)
        return self._said.decode(errors="replace")

    def _listen(self) -> None:
        stderr = self._process.stderr
        if stderr is None:
            return
        with stderr:
            while block := os.read(stderr.fileno(), 4096):
                self._said += block[: _MOST_SAID - len(self._said)]
