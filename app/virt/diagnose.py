"""The connection test: walks the way to a host step by step and says, in words, where it ends.

Uses the very functions that a session is opened with, one at a time. Changes nothing on the host
and trusts nothing. Every step has its deadline; the whole takes at most some twenty seconds.
"""

import contextlib
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from app import clock
from app.connection import DEFAULT_PORTS, Connection, Endpoint
from app.errors import VirtError
from app.virt import dial, ssh
from app.virt.deadline import Deadline
from app.virt.problems import problem
from app.virt.session import Session
from app.virt.ssh import HostKey
from app.virt.tls import start_tls

_STEP_S = 6.0

# Per transport: the steps in order, by name and label.
_WALKS: dict[str, tuple[tuple[str, str], ...]] = {
    "embedded": (),
    "unix": (("socket", "Socket answers"),),
    "ssh": (
        ("name", "Name resolves"),
        ("port", "Port {port} answers"),
        ("host-key", "SSH host key"),
        ("login", "Login as {user}"),
    ),
    "tls": (
        ("name", "Name resolves"),
        ("port", "Port {port} answers"),
        ("certificate", "Certificates"),
    ),
    "tcp": (("name", "Name resolves"), ("port", "Port {port} answers")),
}
_LAST = (
    ("libvirt", "libvirt answers"),
    ("permissions", "Allowed to {wish}"),
    ("sysinfo", "SMBIOS"),
)


class Step(Struct, frozen=True):
    """One step; `ok` None: not tried, or not decisive. `next` says what to do about it."""

    name: str
    label: str
    ok: bool | None
    took_ms: int
    message: str
    next: str = ""
    problem: str | None = None


class Diagnosis(Struct, frozen=True):
    """The outcome: the steps, and in one sentence what it comes to. `host_keys` are the keys
    that the host shows where its key is the trouble; counts are None where not reached.
    """

    ok: bool
    steps: tuple[Step, ...]
    sentence: str
    took_ms: int
    next_step: str = ""
    problem: str | None = None
    detail: str = ""
    host_keys: tuple[HostKey, ...] = ()
    domains: int | None = None
    pools: int | None = None
    cpus: int | None = None
    memory_bytes: int | None = None


def diagnose(endpoint: Endpoint) -> Diagnosis:
    """Walk the way that `endpoint` describes; never raises for what it finds."""
    started_s = clock.monotonic_s()
    walk = _Walk(endpoint)
    try:
        walk.go()
    except VirtError as error:
        return walk.failed(error, clock.took_ms(started_s))
    finally:
        walk.close()
    return walk.arrived(clock.took_ms(started_s))


class _Walk:
    """One walk: what was found on the steps so far is what the next ones stand on."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._fields = endpoint.connection
        self._steps: list[Step] = []
        self._addresses: list[tuple[int, str]] = []
        self._open: list[socket.socket] = []
        self._session: Session | None = None
        self._found: dict[str, int] = {}
        port = self._fields.port or DEFAULT_PORTS.get(self._fields.transport, 0)
        wish = "read" if self._fields.read_only else "read and act"
        user = self._fields.user or "npvirt’s user"
        names = (*_WALKS[self._fields.transport], *_LAST)
        self._plan = [
            (name, label.format(port=port, wish=wish, user=user)) for name, label in names
        ]

    def go(self) -> None:
        """Take every step; raises VirtError at the first that fails."""
        deeds: dict[str, Callable[[], tuple[bool | None, str]]] = {
            "socket": self._socket, "name": self._name, "port": self._port,
            "host-key": self._host_key, "login": self._login, "certificate": self._certificate,
            "libvirt": self._libvirt, "permissions": self._permissions, "sysinfo": self._sysinfo,
        }  # fmt: skip
        for name, label in self._plan:
            started_s = clock.monotonic_s()
            try:
                ok, message = deeds[name]()
            except TimeoutError as error:
                raise problem("timeout", self._fields, str(error)) from None
            self._steps.append(Step(name, label, ok, clock.took_ms(started_s), message))

    def failed(self, error: VirtError, took_ms: int) -> Diagnosis:
        """The diagnosis when a step failed: the rest was not tried."""
        name, label = self._plan[len(self._steps)]
        words = {"unknown-host-key": "unknown", "changed-host-key": "changed"}
        message = words.get(error.problem, error.sentence)
        self._steps.append(
            Step(name, label, ok=False, took_ms=0, message=message, next=error.next_step,
                 problem=error.problem)
        )  # fmt: skip
        for rest, rest_label in self._plan[len(self._steps) :]:
            self._steps.append(Step(rest, rest_label, ok=None, took_ms=0, message="not tried"))
        return Diagnosis(
            ok=False, steps=tuple(self._steps), sentence=error.sentence, took_ms=took_ms,
            next_step=error.next_step, problem=error.problem, detail=error.detail,
            host_keys=self._shown_keys(error),
        )  # fmt: skip

    def arrived(self, took_ms: int) -> Diagnosis:
        """The diagnosis when every decisive step went well."""
        counts = (("VMs", "domains"), ("pools", "pools"), ("CPUs", "cpus"))
        known = [f"{self._found[key]} {word}" for word, key in counts if key in self._found]
        return Diagnosis(
            ok=True, steps=tuple(self._steps), took_ms=took_ms,
            sentence=f"Connected in {took_ms / 1000:.1f} s: {', '.join(known)}.",
            domains=self._found.get("domains"), pools=self._found.get("pools"),
            cpus=self._found.get("cpus"), memory_bytes=self._found.get("memory_bytes"),
        )  # fmt: skip

    def close(self) -> None:
        """Close whatever the walk opened."""
        if self._session is not None:
            self._session.close()
        for stream in self._open:
            stream.close()

    # --- the steps, each: (ok, message), or VirtError --------------------------------------

    def _socket(self) -> tuple[bool, str]:
        path = dial.socket_path(self._fields, read_only=self._fields.read_only)
        self._open.append(
            dial.connect_unix(self._fields, Deadline(_STEP_S), read_only=self._fields.read_only)
        )
        return True, path

    def _name(self) -> tuple[bool, str]:
        self._addresses = dial.resolve_name(self._fields, Deadline(_STEP_S))
        return True, self._addresses[0][1]

    def _port(self) -> tuple[bool, str]:
        started_s = clock.monotonic_s()
        stream = dial.connect_tcp(self._fields, self._addresses, Deadline(_STEP_S))
        self._open.append(stream)
        if self._fields.transport == "ssh":
            _expect_ssh(self._fields, stream)
        return True, f"{clock.took_ms(started_s)} ms"

    def _host_key(self) -> tuple[bool, str]:
        host, port = self._fields.host or "", self._fields.port or DEFAULT_PORTS["ssh"]
        known = ssh.known_keys(Path(self._endpoint.known_hosts_file or ""), host, port)
        shown = ssh.fetch_host_keys(host, port)
        if not known:
            raise problem("unknown-host-key", self._fields)
        trusted = [key for key in shown if key.line in known]
        if not trusted:
            raise problem("changed-host-key", self._fields)
        return True, trusted[0].fingerprint

    def _login(self) -> tuple[bool, str]:
        ssh.check_key_file(self._endpoint)
        command = [*ssh.options(self._endpoint), "true"]
        try:
            done = subprocess.run(
                command, capture_output=True, check=False, timeout=2 * _STEP_S,
                env=ssh.environment(), stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError:
            raise problem("ssh-missing", self._fields) from None
        except subprocess.TimeoutExpired:
            raise problem("no-answer", self._fields) from None
        if done.returncode == 255:
            said = done.stderr.decode(errors="replace")
            raise ssh.classify(self._endpoint, said) or problem("lost", self._fields, said)
        return True, "key accepted"

    def _certificate(self) -> tuple[bool, str]:
        self._open.append(start_tls(self._endpoint, self._open.pop(), Deadline(_STEP_S)))
        return True, "both accepted"

    def _libvirt(self) -> tuple[bool, str]:
        session = Session.open(self._endpoint, read_only=self._fields.read_only, deadline_s=_STEP_S)
        self._session = session
        session.call_deadline_s = _STEP_S
        libvirt = session.connection
        version = _version(session.call(libvirt.getLibVersion))
        info: list[Any] = session.call(libvirt.getInfo)
        self._found |= {"cpus": int(info[2]), "memory_bytes": int(info[1]) * 1024**2}
        return True, f"{version}, {session.call(libvirt.getType)}"

    def _permissions(self) -> tuple[bool | None, str]:
        session = self._session
        if session is None:
            return None, "not tried"
        try:
            self._found["domains"] = len(session.call(session.connection.listAllDomains, 0))
            self._found["pools"] = len(session.call(session.connection.listAllStoragePools, 0))
        except VirtError as error:
            if error.failure in ("denied", "unreachable", "timeout"):
                raise
            return None, error.sentence
        return True, "read only, as chosen" if self._fields.read_only else "yes"

    def _sysinfo(self) -> tuple[bool | None, str]:
        session = self._session
        if session is None:
            return None, "not tried"
        try:
            session.call(session.connection.getSysinfo, 0)
        except VirtError as error:
            if error.failure in ("unreachable", "timeout"):
                raise
            denied = error.failure == "denied"
            return None, "not permitted" if denied else "not available on this host"
        return True, "available"

    def _shown_keys(self, error: VirtError) -> tuple[HostKey, ...]:
        if error.problem not in ("unknown-host-key", "changed-host-key"):
            return ()
        with contextlib.suppress(VirtError):
            port = self._fields.port or DEFAULT_PORTS["ssh"]
            return ssh.fetch_host_keys(self._fields.host or "", port)
        return ()


def _expect_ssh(fields: Connection, stream: socket.socket) -> None:
    """An SSH server speaks first, and says so (RFC 4253, 4.2)."""
    try:
        banner = stream.recv(4)
    except TimeoutError:
        raise problem("no-answer", fields, "connected, but no SSH banner came") from None
    except OSError as error:
        raise problem("not-ssh", fields, str(error)) from None
    if banner != b"SSH-":
        raise problem("not-ssh", fields, repr(banner))


def _version(number: int) -> str:
    """Libvirt's 1000000·major + 1000·minor + release, as text."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
