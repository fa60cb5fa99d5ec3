"""SSH as npvirt uses it: its own key, the hosts' keys, and the one set of options for ssh.

npvirt starts ssh itself, with nobody's configuration, agent or terminal: ssh never asks, never
learns a host key by itself, and never runs anything but what stands here.
"""

import base64
import contextlib
import fcntl
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.virt.problems import problem, ssh_error

_KEY_TYPES = "ed25519,ecdsa,rsa"
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
    directory = data / "ssh"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "id_ed25519"
    public = path.with_suffix(".pub")
    with _locked(directory / ".lock"):
        if not path.exists() or not public.exists():
            path.unlink(missing_ok=True)
            comment = f"npvirt@{socket.gethostname()}"
            _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return OwnKey(str(path), public.read_text(encoding="utf-8").strip())


def fetch_host_keys(host: str, port: int) -> tuple[HostKey, ...]:
    """The keys that the SSH server at `host` shows; raises VirtError when it shows none."""
    command = ["ssh-keyscan", "-T", str(_SCAN_S), "-p", str(port), "-t", _KEY_TYPES, "--", host]
    output = _run(command, may_fail=True)
    keys = []
    for text in output.splitlines():
        words = text.split()
        if len(words) >= 3 and not text.startswith("#"):
            keys.append(HostKey(words[1], f"{words[1]} {words[2]}", fingerprint(words[2])))
    if not keys:
        raise problem("not-ssh", Connection(transport="ssh", host=host, port=port))
    return tuple(sorted(set(keys), key=lambda key: _KEY_TYPES.find(key.type.split("-")[1][:5])))


def fingerprint(key: str) -> str:
    """The SHA-256 fingerprint of a base64 key, as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def known_keys(known_hosts: Path, host: str, port: int) -> tuple[str, ...]:
    """The keys ("type base64") that the file holds for the host."""
    if not known_hosts.exists():
        return ()
    command = ["ssh-keygen", "-F", _known_as(host, port), "-f", str(known_hosts)]
    lines = _run(command, may_fail=True).splitlines()
    return tuple(" ".join(line.split()[1:3]) for line in lines if line and line[0] != "#")


def trust(
    known_hosts: Path, host: str, port: int, keys: Iterable[HostKey], *, replace: bool
) -> None:
    """Add the host's keys to the file (0600), as a whole or not at all; with `replace` instead
    of what it holds for that host.
    """
    known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(known_hosts.with_name(f".{known_hosts.name}.lock")):
        known = set(known_keys(known_hosts, host, port))
        old = known_hosts.read_text(encoding="utf-8") if known_hosts.exists() else ""
        kept = [line for line in old.splitlines() if not (replace and _is_for(line, known))]
        added = [f"{_known_as(host, port)} {key.line}" for key in keys]
        building = known_hosts.with_name(f".{known_hosts.name}.{os.getpid()}")
        descriptor = os.open(building, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in (*kept, *added)))
        building.rename(known_hosts)


def _is_for(line: str, known: set[str]) -> bool:
    return " ".join(line.split()[1:3]) in known


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
        arguments += ["-i", endpoint.key_file]
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
    path = Path(endpoint.key_file or "")
    connection = endpoint.connection
    try:
        mode = path.stat().st_mode
        with path.open("rb"):
            pass
    except OSError as error:
        raise problem("key-file-missing", connection, str(error), str(path)) from None
    if mode & 0o077:
        raise problem("key-too-open", connection, path=str(path))


def classify(endpoint: Endpoint, text: str) -> VirtError | None:
    """What ssh's words mean; a refused key that needs a passphrase is told apart."""
    key_file = endpoint.key_file or ""
    error = ssh_error(endpoint.connection, text, key_file, endpoint.known_hosts_file or "")
    if error is not None and error.problem == "key-refused" and _is_encrypted(key_file):
        return problem("key-encrypted", endpoint.connection, text, key_file)
    return error


def _is_encrypted(key_file: str) -> bool:
    command = ["ssh-keygen", "-y", "-P", "", "-f", key_file]
    with contextlib.suppress(FileNotFoundError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode != 0 and "passphrase" in done.stderr
    return False


def _known_as(host: str, port: int) -> str:
    return host if port == 22 else f"[{host}]:{port}"


def _quoted(path: str) -> str:
    """A path within an ssh option, where spaces separate and % stands for something."""
    return '"' + path.replace("%", "%%").replace('"', '\\"') + '"'


def _run(command: list[str], *, may_fail: bool = False) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=4 * _SCAN_S,
            env=environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise problem("ssh-missing") from None
    except subprocess.TimeoutExpired:
        return ""
    if done.returncode and not may_fail:
        raise VirtError("failed", f"{command[0]} failed.", detail=done.stderr)
    return done.stdout


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
