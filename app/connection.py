"""How a host is reached: typed fields, checked by one closed alphabet.

Does no I/O and knows no URI (app/virt/uri.py builds it): the web form, the command line and the
store all share these fields and rules. Nobody may hand npvirt a raw URI or a query parameter.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from pathlib import PurePosixPath
from typing import Literal

from msgspec import Struct

from app.errors import InvalidField

Transport = Literal["unix", "ssh", "tls", "tcp", "embedded"]
CredentialKind = Literal["ssh-key", "known-hosts", "pki", "sasl"]

TRANSPORTS: tuple[Transport, ...] = ("unix", "ssh", "tls", "tcp")
DRIVERS = ("qemu", "test")
PATHS = ("system", "session")
DEFAULT_PORTS: Mapping[str, int] = {"ssh": 22, "tls": 16514, "tcp": 16509}
DEFAULT_ALLOWED_ROOT = "/var/lib/libvirt"

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
# /hosts/add is the form for a new host.
_TAKEN_SLUGS = ("add",)
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_NUMBER_LIKE = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)")
_CREDENTIAL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Connection(Struct, frozen=True):
    """The typed connection fields of one host.

    `driver` qemu or test; `transport` "embedded" only with the test driver (in this process).
    `path` is system or session, or for the embedded test driver "default" or an absolute node
    file. `host` has no brackets; `port` None means the transport's default; `socket` None means
    the driver's default socket. The last four name credentials.
    """

    driver: str = "qemu"
    transport: Transport = "unix"
    path: str = "system"
    host: str | None = None
    port: int | None = None
    user: str | None = None
    socket: str | None = None
    key: str | None = None
    known_hosts: str | None = None
    pki: str | None = None
    sasl: str | None = None
    read_only: bool = False
    allowed_roots: tuple[str, ...] = (DEFAULT_ALLOWED_ROOT,)


class Endpoint(Struct, frozen=True):
    """A connection with its credentials resolved to files, ready to be opened."""

    connection: Connection
    key_file: str | None = None
    known_hosts_file: str | None = None
    pki_directory: str | None = None
    sasl_user: str | None = None
    sasl_password_file: str | None = None


def check_slug(text: str, field: str = "name") -> str:
    """`text` if it may name a host; raises InvalidField."""
    if not _SLUG.fullmatch(text):
        raise InvalidField(
            field,
            "A name is 1 to 32 lower-case letters, digits and hyphens, "
            "and begins with a letter or digit.",
        )
    if text in _TAKEN_SLUGS:
        raise InvalidField(field, f"“{text}” is an address of npvirt’s own; choose another name.")
    return text


def check_credential_name(text: str, field: str) -> str:
    """`text` if it may name a credential; raises InvalidField."""
    if not _CREDENTIAL.fullmatch(text):
        raise InvalidField(
            field, "A credential's name is lower-case letters, digits, dots and hyphens."
        )
    return text


def check_host(text: str, field: str = "host") -> str:
    """`text` as a host name or IP literal without brackets; raises InvalidField."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ip_address(bare)
    except ValueError:
        return _check_host_name(bare, field)
    if isinstance(address, IPv6Address) and address.scope_id:
        raise InvalidField(field, "An IPv6 address with a zone (%…) is not supported.")
    return str(address)


def _check_host_name(text: str, field: str) -> str:
    if not text:
        raise InvalidField(field, "Give the host's name or IP address.")
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidField(
            field, "This is neither an IP address nor a host name (letters, digits, - and .)."
        )
    if _NUMBER_LIKE.fullmatch(labels[-1]):
        raise InvalidField(field, "A number is not a host name; write the IP address in full.")
    return text


def check_port(text: str, field: str = "port") -> int | None:
    """`text` as a port, None when empty; raises InvalidField."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise InvalidField(field, "A port is a number from 1 to 65535.")
    return int(text)


def check_user(text: str, field: str = "user") -> str | None:
    """`text` as a login name, None when empty; raises InvalidField."""
    if not text:
        return None
    if not _USER.fullmatch(text):
        raise InvalidField(
            field,
            "A user name is up to 32 lower-case letters, digits, _ and -, "
            "and begins with a letter or _.",
        )
    return text


def check_absolute_path(text: str, field: str) -> str:
    """`text` as a normalised absolute path; raises InvalidField."""
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or any(ord(c) < 32 for c in text):
        raise InvalidField(field, "Give an absolute path without “..”.")
    if len(text.encode()) > 4096:
        raise InvalidField(field, "This path is too long.")
    return str(path)


def check_socket_from_browser(text: str, directories: tuple[str, ...]) -> str:
    """A socket path that a browser may name: under libvirt's own run directories or one of
    `directories` (the setting); raises InvalidField.
    """
    path = PurePosixPath(check_absolute_path(text, "socket"))
    allowed = path.is_relative_to("/run/libvirt") or path.match("/run/user/*/libvirt/*")
    if not allowed and not any(path.is_relative_to(entry) for entry in directories):
        raise InvalidField(
            "socket",
            "From the browser a socket must lie under /run/libvirt or /run/user/…/libvirt, or in "
            "a directory that NPVIRT_SOCKET_DIRS names.",
        )
    return str(path)


def check_connection(connection: Connection) -> Connection:
    """The connection with its fields checked against each other; raises InvalidField."""
    if connection.driver not in DRIVERS:
        raise InvalidField("driver", "The driver is qemu or test.")
    if connection.transport == "embedded":
        return _check_embedded(connection)
    if connection.transport not in TRANSPORTS:
        raise InvalidField("transport", "The transport is unix, ssh, tls or tcp.")
    if connection.path not in PATHS:
        raise InvalidField("path", "The path is system or session.")
    if connection.transport == "unix":
        if connection.host or connection.port or connection.user:
            raise InvalidField("host", "A Unix socket takes no host, port or user.")
        return connection
    if not connection.host:
        raise InvalidField("host", "Give the host's name or IP address.")
    return _check_belongings(connection)


def _check_belongings(connection: Connection) -> Connection:
    transport = connection.transport
    if transport != "ssh" and (connection.user or connection.key or connection.known_hosts):
        raise InvalidField("user", "A login user, key and known hosts belong to SSH alone.")
    if transport != "tls" and connection.pki:
        raise InvalidField("pki", "A certificate directory belongs to TLS alone.")
    if transport not in ("tls", "tcp") and connection.sasl:
        raise InvalidField("sasl", "A SASL user belongs to TLS or TCP.")
    if transport in ("tls", "tcp") and connection.socket:
        raise InvalidField("socket", "A socket path belongs to Unix and SSH connections.")
    return connection


def _check_embedded(connection: Connection) -> Connection:
    if connection.driver != "test":
        raise InvalidField("transport", "Choose how to reach the host: socket, SSH, TLS or TCP.")
    if connection.path != "default" and not PurePosixPath(connection.path).is_absolute():
        raise InvalidField("path", "The test driver's path is “default” or an absolute file.")
    return connection


def told(connection: Connection) -> dict[str, str | bool]:
    """What the audit says of a way to a host; nothing in it is secret."""
    return {"reached_by": describe(connection), "read_only": connection.read_only}


def describe(connection: Connection) -> str:
    """The way to the host in a few words, for people: "SSH to root@kvm-01:2222"."""
    if connection.transport == "embedded":
        return f"embedded demo host test:///{connection.path.lstrip('/')}"
    if connection.transport == "unix":
        where = connection.socket or f"default {connection.path} socket"
        return f"Unix socket, {where}"
    host = f"[{connection.host}]" if ":" in (connection.host or "") else connection.host
    login = f"{connection.user}@" if connection.user else ""
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.transport.upper()} to {login}{host}{port}"
