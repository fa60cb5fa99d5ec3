"""SSH as npvirt uses it: its own key, the hosts' keys, and the one set of options for ssh.

npvirt starts ssh itself, with nobody's configuration, agent or terminal: ssh never asks, never
learns a host key by itself, and never runs anything but what stands here.
"""

import base64
import contextlib
import fcntl
import hashlib
import itertools
import os
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from app.connection import DEFAULT_PORTS, Connection, Endpoint
from app.errors import VirtError
from app.virt.classify import keyscan_error, ssh_error
from app.virt.problems import problem

_KEY_TYPES = ("ed25519", "ecdsa", "rsa")
_FOUND = re.compile(r"# Host .* found: line ([0-9]+).*")
_SCAN_S = 5


class OwnKey(Struct, frozen=True):
    """npvirt's own key: where its private half is, and the line of its public half."""

    path: str
    public: str


class HostKey(Struct, frozen=True):
    """A key that an SSH server shows; `line` is type and key as in a known_hosts file."""

    type: str
    line: str
    fingerprint: str


def own_key(data: Path) -> OwnKey:
    """Npvirt's own ed25519 key in the data directory, made at first need; raises VirtError."""
    path = data / "ssh" / "id_ed25519"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        with _locked(path.parent / ".lock"):
            if not path.exists():
                _make_key(path)
            # From the private half each time: that is the one hosts were told to trust.
            return OwnKey(str(path), _run(["ssh-keygen", "-y", "-f", str(path)]).strip())
    except OSError as error:
        raise VirtError(
            "failed", f"npvirt cannot keep its SSH key in {path.parent}.", problem="own-key",
            detail=str(error), next_step="Check that npvirt's data directory is writable.",
        ) from None  # fmt: skip


def _make_key(path: Path) -> None:
    building = path.with_name(f".{path.name}.{os.getpid()}")
    building.unlink(missing_ok=True)
    comment = f"npvirt@{socket.gethostname()}"
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(building)])
    building.with_name(f"{building.name}.pub").rename(path.with_suffix(".pub"))
    building.rename(path)


def fetch_host_keys(
    host: str, port: int, *, deadline_s: float = 2 * _SCAN_S
) -> tuple[HostKey, ...]:
    """The keys that the SSH server at `host` shows, best first; raises VirtError when none."""
    seconds = str(max(1, min(_SCAN_S, round(deadline_s))))
    command = ["ssh-keyscan", "-T", seconds, "-p", str(port), "-t", ",".join(_KEY_TYPES)]
    connection = Connection(transport="ssh", host=host, port=port)
    done = _finished([*command, "--", host], deadline_s)
    if done is None:
        raise problem("timeout", connection)
    keys = {
        HostKey(words[1], f"{words[1]} {words[2]}", fingerprint(words[2]))
        for words in map(str.split, done.stdout.splitlines())
        if len(words) == 3 and words[0] != "#"
    }
    if not keys:
        raise keyscan_error(connection, done.stderr)
    return tuple(sorted(keys, key=_rank))


def _rank(key: HostKey) -> tuple[int, str]:
    kinds = [number for number, kind in enumerate(_KEY_TYPES) if kind in key.type]
    return (kinds[0] if kinds else len(_KEY_TYPES), key.line)


def fingerprint(key: str) -> str:
    """The SHA-256 fingerprint of a base64 key, as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class KnownKey(Struct, frozen=True):
    """A line of a known_hosts file that is about some host: its number from 1, the key ("type
    base64"), and "@cert-authority", "@revoked" or "" for an ordinary one.
    """

    number: int
    line: str
    marker: str


def known_keys(known_hosts: Path, host: str, port: int) -> tuple[KnownKey, ...]:
    """What the file holds for the host; raises VirtError when it cannot be read."""
    if not known_hosts.exists():
        return ()
    command = ["ssh-keygen", "-F", _known_as(host, port), "-f", str(known_hosts)]
    lines = _run(command, may_fail=True).splitlines()
    found = []
    for told, text in itertools.pairwise(lines):
        number = _FOUND.fullmatch(told)
        words = text.split()
        if number and len(words) >= 3:
            marker = words.pop(0) if words[0].startswith("@") else ""
            found.append(KnownKey(int(number[1]), " ".join(words[1:3]), marker))
    return tuple(found)


def trust(
    known_hosts: Path, host: str, port: int, keys: Iterable[HostKey], *, replace: bool
) -> None:
    """Add the host's keys to the file (0600), as a whole or not at all; with `replace` instead
    of what it holds for that host. Raises VirtError.
    """
    try:
        known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(known_hosts.with_name(f".{known_hosts.name}.lock")):
            known = known_keys(known_hosts, host, port)
            old = known_hosts.read_text(encoding="utf-8") if known_hosts.exists() else ""
            gone = {key.number for key in known} if replace else set()
            kept = [line for number, line in enumerate(old.splitlines(), 1) if number not in gone]
            there = set() if replace else {key.line for key in known}
            name = _known_as(host, port)
            added = [f"{name} {key.line}" for key in keys if key.line not in there]
            _write_whole(known_hosts, "".join(f"{line}\n" for line in (*kept, *added)))
    except (OSError, UnicodeDecodeError) as error:
        raise VirtError(
            "failed", f"The file of trusted host keys {known_hosts} cannot be changed.",
            problem="known-hosts", detail=str(error),
            next_step="Check that npvirt's user may write there.",
        ) from None  # fmt: skip


def _write_whole(path: Path, text: str) -> None:
    building = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(building, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    building.rename(path)


def options(endpoint: Endpoint) -> list[str]:
    """The arguments of ssh up to the remote command: everything said, nothing looked up."""
    connection = endpoint.connection
    settings = {
        "BatchMode": "yes", "StrictHostKeyChecking": "yes", "IdentitiesOnly": "yes",
        "IdentityAgent": "none", "UserKnownHostsFile": _quoted(endpoint.known_hosts_file or ""),
        "GlobalKnownHostsFile": "/dev/null", "UpdateHostKeys": "no", "ConnectTimeout": "5",
        "ControlMaster": "no", "ControlPath": "none", "ForwardAgent": "no", "ForwardX11": "no",
        "PermitLocalCommand": "no", "ProxyCommand": "none", "ServerAliveInterval": "15",
        "PreferredAuthentications": "publickey", "LogLevel": "ERROR",
    }  # fmt: skip
    arguments = ["ssh", "-F", "/dev/null", "-T", "-e", "none"]
    for name, value in settings.items():
        arguments += ["-o", f"{name}={value}"]
    if endpoint.key_file:
        arguments += ["-o", f"IdentityFile={_quoted(endpoint.key_file)}"]
    if connection.user:
        arguments += ["-l", connection.user]
    if connection.port:
        arguments += ["-p", str(connection.port)]
    return [*arguments, "--", connection.host or ""]


def environment() -> dict[str, str]:
    """The environment of ssh: its messages in English, no agent."""
    return {"LANG": "C", "LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}


def check_key_file(endpoint: Endpoint) -> None:
    """Refuse a key file that ssh would not use, for the reason it has; raises VirtError."""
    path = Path(endpoint.key_file or "id_ed25519")
    connection = endpoint.connection
    try:
        status = path.stat()
        with path.open("rb"):
            pass
    except OSError as error:
        raise problem("key-file-missing", connection, str(error), str(path)) from None
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        raise problem("key-too-open", connection, path=str(path))


def classify(endpoint: Endpoint, text: str) -> VirtError | None:
    """What ssh's words mean; a refused key that needs a passphrase is told apart."""
    key_file = endpoint.key_file or ""
    error = ssh_error(endpoint.connection, text, key_file, endpoint.known_hosts_file or "")
    doubtful = error is not None and error.problem in ("key-refused", "key-invalid")
    if doubtful and _is_encrypted(key_file):
        return problem("key-encrypted", endpoint.connection, text, key_file)
    return error


def _is_encrypted(key_file: str) -> bool:
    done = _finished(["ssh-keygen", "-y", "-P", "", "-f", key_file], _SCAN_S)
    return done is not None and done.returncode != 0 and "passphrase" in done.stderr


def _known_as(host: str, port: int) -> str:
    # Lower case, as ssh itself asks for it.
    return host.lower() if port == DEFAULT_PORTS["ssh"] else f"[{host.lower()}]:{port}"


def _quoted(path: str) -> str:
    """A path within an ssh option, where spaces separate and % stands for something."""
    return '"' + path.replace("%", "%%").replace('"', '\\"') + '"'


def _run(command: list[str], *, may_fail: bool = False) -> str:
    done = _finished(command, 4 * _SCAN_S)
    if done is None or (done.returncode and not may_fail):
        raise VirtError("failed", f"{command[0]} failed.", detail=done.stderr if done else "")
    return done.stdout


def _finished(command: list[str], deadline_s: float) -> subprocess.CompletedProcess[str] | None:
    """What the program did; None when it took too long. Raises VirtError without ssh here."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False,
            timeout=deadline_s, env=environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise problem("ssh-missing") from None
    except subprocess.TimeoutExpired:
        return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
