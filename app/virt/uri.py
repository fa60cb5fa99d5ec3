"""The one builder of libvirt URIs, from checked fields. Pure.

A libvirt URI is a program: its query can make libvirt run commands, read files and dial other
hosts. So no text from outside is ever a URI, and no URI for libvirt carries anything but a driver
and a path of a closed list, and the address of a relay of npvirt's own (app/virt/relay.py).
"""

from urllib.parse import quote

from msgspec import Struct

from app.connection import DEFAULT_PORTS, Connection, check_connection


class RelayAddress(Struct, frozen=True):
    """Where libvirt finds the relay: a Unix socket, or a port of 127.0.0.1."""

    socket: str | None = None
    port: int | None = None


def libvirt_uri(connection: Connection, relay: RelayAddress | None) -> str:
    """What libvirt is asked to open; `relay` is None for the embedded test driver alone.

    Raises InvalidField for fields that are not valid.
    """
    checked = check_connection(connection)
    if checked.transport == "embedded":
        return embedded_uri(checked)
    if relay is None:
        raise ValueError("only the embedded driver is opened without a relay")
    path = "/default" if checked.driver == "test" else f"/{checked.path}"
    if relay.port is not None:
        return f"{checked.driver}+tcp://127.0.0.1:{relay.port}{path}"
    return f"{checked.driver}+unix://{path}?socket={quote(relay.socket or '', safe='/')}"


def embedded_uri(connection: Connection) -> str:
    """The test driver in this process: its default world, or the one of a node file."""
    if connection.path == "default":
        return "test:///default"
    return f"test://{quote(connection.path, safe='/')}"


def display_uri(connection: Connection) -> str:
    """The URI that people know such a connection by; made to be read, never opened."""
    if connection.transport == "embedded":
        return embedded_uri(connection)
    path = "default" if connection.driver == "test" else connection.path
    if connection.transport == "unix":
        where = f"?socket={quote(connection.socket, safe='/')}" if connection.socket else ""
        return f"{connection.driver}:///{path}{where}"
    host = f"[{connection.host}]" if ":" in (connection.host or "") else connection.host
    user = f"{connection.user}@" if connection.user else ""
    default = connection.port in (None, DEFAULT_PORTS[connection.transport])
    port = "" if default else f":{connection.port}"
    return f"{connection.driver}+{connection.transport}://{user}{host}{port}/{path}"
