"""What is done about a connection outside scans: test it, trust a host key, show npvirt's key.

The edges (web, cli) come here because they may not import `app/virt`. Every function here may
take seconds; none takes longer than its deadlines.
"""

from collections.abc import Collection
from pathlib import Path

from app.connection import DEFAULT_PORTS, Connection
from app.errors import Conflict
from app.settings import Settings
from app.store.credentials import resolve
from app.store.engine import Store
from app.virt import ssh
from app.virt.diagnose import Diagnosis, diagnose
from app.virt.ssh import HostKey
from app.virt.uri import display_uri

__all__ = [
    "Diagnosis",
    "HostKey",
    "display_uri",
    "host_keys",
    "own_public_key",
    "test_connection",
    "trust",
]


def test_connection(settings: Settings, store: Store, connection: Connection) -> Diagnosis:
    """Walk the way to the host step by step; never raises for what it finds there."""
    if connection.transport == "ssh" and connection.key is None:
        ssh.own_key(settings.data)
    return diagnose(resolve(store, settings.data, connection))


def own_public_key(settings: Settings) -> str:
    """The public half of npvirt's own SSH key, made at first need, as one line."""
    return ssh.own_key(settings.data).public


def host_keys(connection: Connection) -> tuple[HostKey, ...]:
    """The keys that the SSH server of `connection` shows now; raises VirtError."""
    return ssh.fetch_host_keys(connection.host or "", connection.port or DEFAULT_PORTS["ssh"])


def trust(
    settings: Settings, store: Store, connection: Connection, fingerprints: Collection[str]
) -> None:
    """Remember the host's keys that have one of `fingerprints`, as a person compared them.

    The keys are fetched again, so what is trusted is what the host shows and the person saw.
    Raises Conflict when it shows none of them any more, VirtError when it does not answer.
    """
    keys = [key for key in host_keys(connection) if key.fingerprint in fingerprints]
    if not keys:
        raise Conflict("The host now shows another key than the one compared; nothing was trusted.")
    endpoint = resolve(store, settings.data, connection)
    port = connection.port or DEFAULT_PORTS["ssh"]
    ssh.trust(
        Path(endpoint.known_hosts_file or ""), connection.host or "", port, keys, replace=True
    )
