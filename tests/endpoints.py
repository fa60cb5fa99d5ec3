"""The ways to the lab's hosts, as endpoints, and what tests of them share."""

import os
import subprocess
from pathlib import Path
from typing import Any

from app.connection import Connection, Endpoint
from app.virt.session import Session
from tests.lab.host import LabHost

__all__ = ["children", "make_key", "opened", "over_socket", "over_ssh", "over_tcp", "over_tls"]


def over_socket(host: LabHost, **fields: Any) -> Endpoint:
    return Endpoint(Connection(**{"socket": host.socket, **fields}))


def over_ssh(
    lab_host: LabHost, known_hosts: Path, *, key: Path | None = None, **fields: Any
) -> Endpoint:
    """`known_hosts` is made to trust the host unless it is there already."""
    if not known_hosts.exists():
        lab_host.known_hosts(known_hosts)
    connection = Connection(**{"transport": "ssh", "host": lab_host.ip4, "user": "root", **fields})
    return Endpoint(
        connection, key_file=str(key or lab_host.user_key), known_hosts_file=str(known_hosts)
    )


def over_tls(lab_host: LabHost, pki: Path, **fields: Any) -> Endpoint:
    connection = Connection(**{"transport": "tls", "host": lab_host.ip4, **fields})
    return Endpoint(connection, pki_directory=str(pki))


def over_tcp(
    lab_host: LabHost, *, user: str | None = None, password: Path | None = None, **fields: Any
) -> Endpoint:
    sasl = None if user is None else "sasl"
    connection = Connection(**{"transport": "tcp", "host": lab_host.ip4, "sasl": sasl, **fields})
    return Endpoint(
        connection, sasl_user=user, sasl_password_file=str(password) if password else None
    )


def opened(endpoint: Endpoint, *, read_only: bool = False, deadline_s: float = 10.0) -> Session:
    return Session.open(endpoint, read_only=read_only, deadline_s=deadline_s)


def make_key(path: Path, passphrase: str = "") -> Path:
    """A new SSH key that nobody trusts."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test"]
    subprocess.run([*command, "-f", str(path)], check=True)
    return path


def children(name: str) -> list[int]:
    """The processes of that name that this process started, the unreaped included."""
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,comm="],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    rows = [line.split(None, 1) for line in listed.splitlines()]
    return [int(pid) for pid, command in rows if command.split()[0] == name]
