"""The connection test: walks the way to a host step by step and says, in words, where it ends.

Uses the very functions that a session is opened with, one at a time. Changes nothing on the host
and trusts nothing. Every step has its deadline; the whole takes at most some twenty seconds.
"""

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
_WALK_S = 20.0

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
        self._shown: tuple[HostKey, ...] = ()
        self._stream: socket.socket | None = None
        self._deadline = Deadline(_WALK_S)
        self._begun_s = clock.monotonic_s()
        self._advice: VirtError | None = None
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
            self._begun_s = clock.monotonic_s()
            before = self._advice
            try:
                ok, message = deeds[name]()
            except TimeoutError as error:
                raise problem("timeout", self._fields, str(error)) from None
            advice = self._advice if self._advice is not before else None
            self._steps.append(
                Step(
                    name, label, ok, clock.took_ms(self._begun_s), message,
                    next=advice.next_step if advice else "",
                    problem=advice.problem if advice else None,
                )
            )  # fmt: skip

    def failed(self, error: VirtError, took_ms: int) -> Diagnosis:
        """The diagnosis when a step failed: the rest was not tried."""
        name, label = self._plan[len(self._steps)]
        words = {"unknown-host-key": "unknown", "changed-host-key": "changed"}
        message = words.get(error.problem, error.sentence)
        self._steps.append(
            Step(name, label, ok=False, took_ms=clock.took_ms(self._begun_s), message=message,
                 next=error.next_step, problem=error.problem)
        )  # fmt: skip
        for rest, rest_label in self._plan[len(self._steps) :]:
            self._steps.append(Step(rest, rest_label, ok=None, took_ms=0, message="not tried"))
        return Diagnosis(
            ok=False, steps=tuple(self._steps), sentence=error.sentence, took_ms=took_ms,
            next_step=error.next_step, problem=error.problem, detail=error.detail,
            host_keys=self._shown if "host-key" in error.problem else (),
        )  # fmt: skip

    def arrived(self, took_ms: int) -> Diagnosis:
        """The diagnosis when every decisive step went well."""
        counts = (("VMs", "domains"), ("pools", "pools"), ("CPUs", "cpus"))
        known = [f"{self._found[key]} {word}" for word, key in counts if key in self._found]
        return Diagnosis(
            ok=True, steps=tuple(self._steps), took_ms=took_ms,
            sentence=f"Connected in {took_ms / 1000:.1f} s: {', '.join(known)}.",
            next_step=self._advice.next_step if self._advice else "",
            domains=self._found.get("domains"), pools=self._found.get("pools"),
            cpus=self._found.get("cpus"), memory_bytes=self._found.get("memory_bytes"),
        )  # fmt: skip

    def close(self) -> None:
        """Close whatever the walk opened."""
        if self._session is not None:
            self._session.close()
        if self._stream is not None:
            self._stream.close()

    def _left_s(self) -> float:
        return self._deadline.left_s(_STEP_S)

    # --- the steps, each: (ok, message), or VirtError --------------------------------------

    def _socket(self) -> tuple[bool, str]:
        path = dial.socket_path(self._fields, read_only=self._fields.read_only)
        dial.connect_unix(self._fields, path, Deadline(self._left_s())).close()
        return True, path

    def _name(self) -> tuple[bool, str]:
        self._addresses = dial.resolve_name(self._fields, Deadline(self._left_s()))
        return True, self._addresses[0][1]

    def _port(self) -> tuple[bool, str]:
        started_s = clock.monotonic_s()
        self._stream = dial.connect_tcp(self._fields, self._addresses, Deadline(self._left_s()))
        answered_ms = clock.took_ms(started_s)
        if self._fields.transport == "ssh":
            _expect_ssh(self._fields, self._stream)
        if self._fields.transport != "tls":
            self._stream.close()
        return True, f"{answered_ms} ms"

    def _host_key(self) -> tuple[bool | None, str]:
        host, port = self._fields.host or "", self._fields.port or DEFAULT_PORTS["ssh"]
        file = Path(self._endpoint.known_hosts_file or "known_hosts")
        # As ssh does: a key known without a port will do for every port.
        default = DEFAULT_PORTS["ssh"]
        known = ssh.known_keys(file, host, port) or ssh.known_keys(file, host, default)
        self._shown = ssh.fetch_host_keys(host, port, deadline_s=self._left_s())
        if not known:
            raise problem("unknown-host-key", self._fields)
        if any(key.marker for key in known):
            return None, "by the rules in known_hosts; the login decides"
        lines = {key.line for key in known}
        trusted = [key for key in self._shown if key.line in lines]
        if not trusted:
            raise problem("changed-host-key", self._fields)
        return True, trusted[0].fingerprint

    def _login(self) -> tuple[bool, str]:
        ssh.check_key_file(self._endpoint)
        command = [*ssh.options(self._endpoint), "true"]
        try:
            done = subprocess.run(
                command, capture_output=True, check=False, timeout=self._left_s(),
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

    def _certificate(self) -> tuple[bool | None, str]:
        if self._stream is None:
            return None, "not tried"
        self._stream = start_tls(self._endpoint, self._stream, Deadline(self._left_s()))
        # Closed here already, because a host has only so many places for clients.
        self._stream.close()
        return True, "both accepted"

    def _libvirt(self) -> tuple[bool, str]:
        read_only = self._fields.read_only
        session = Session.open(self._endpoint, read_only=read_only, deadline_s=self._left_s())
        self._session = session
        libvirt = session.connection
        kind, library = self._ask(libvirt.getType), _version(self._ask(libvirt.getLibVersion))
        info: list[Any] = self._ask(libvirt.getInfo)
        self._found |= {"cpus": int(info[2]), "memory_bytes": int(info[1]) * 1024**2}
        try:
            hypervisor = _version(self._ask(libvirt.getVersion, patient=True))
        except VirtError:
            if not session.alive:
                raise
            # The driver is there, but not the program that it drives.
            return True, f"{library}, {kind}"
        return True, f"{library}, {kind} {hypervisor}"

    def _ask(self, function: Callable[..., Any], *arguments: Any, patient: bool = False) -> Any:
        """What libvirt answers to one call, within a step's time; or, for what takes a libvirt
        that just started some seconds to find out, within all that is left of the walk's.
        """
        session = self._known_session()
        session.call_deadline_s = self._deadline.left_s() if patient else self._left_s()
        return session.call(function, *arguments)

    def _permissions(self) -> tuple[bool | None, str]:
        session = self._known_session()
        try:
            self._found["domains"] = len(self._ask(session.connection.listAllDomains, 0))
            self._found["pools"] = len(self._ask(session.connection.listAllStoragePools, 0))
        except VirtError as error:
            if error.failure == "denied" or not session.alive:
                raise
            self._advice = error
            return None, error.sentence
        if self._fields.read_only:
            return True, "read only, as chosen"
        return self._may_act(session)

    def _may_act(self, session: Session) -> tuple[bool | None, str]:
        """Ask for something harmless that libvirt answers to those alone who may act."""
        try:
            self._ask(session.connection.getDomainCapabilities, patient=True)
        except VirtError as error:
            if not session.alive:
                raise
            if error.failure == "denied":
                self._advice = problem("read-only", self._fields, error.detail)
                return None, "may look, but not act"
        return True, "yes"

    def _sysinfo(self) -> tuple[bool | None, str]:
        session = self._known_session()
        try:
            self._ask(session.connection.getSysinfo, 0)
        except VirtError as error:
            if not session.alive:
                raise
            denied = error.failure == "denied"
            return None, "not permitted" if denied else "not available on this host"
        return True, "available"

    def _known_session(self) -> Session:
        if self._session is None:
            raise problem("lost", self._fields)
        return self._session


def _expect_ssh(fields: Connection, stream: socket.socket) -> None:
    """An SSH server speaks first, and says so (RFC 4253, 4.2)."""
    try:
        banner = stream.recv(4)
    except TimeoutError:
        raise problem("silent", fields, "no SSH banner came") from None
    except OSError as error:
        raise problem("not-ssh", fields, str(error)) from None
    if banner != b"SSH-":
        raise problem("not-ssh", fields, repr(banner))


def _version(number: int) -> str:
    """Libvirt's 1000000·major + 1000·minor + release, as text."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
