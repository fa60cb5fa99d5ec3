"""The connection options of `host add` and `host edit`, from text to checked fields."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from app.connection import (
    Connection,
    CredentialKind,
    check_absolute_path,
    check_connection,
    check_host,
    check_port,
    check_user,
)
from app.errors import InvalidField
from app.settings import Settings
from app.store.credentials import GivenFiles

_DEFAULT_SOCKET = "\0default"


@dataclass(frozen=True)
class HostOptions:
    """The options as given; None where an option was not given."""

    socket: str | None
    ssh: str | None
    tls: str | None
    tcp: str | None
    driver: str | None
    path: str | None
    key: str | None
    known_hosts: str | None
    pki: str | None
    sasl_user: str | None
    sasl_password_file: str | None
    read_only: bool | None
    allow_root: tuple[str, ...]

    def given_files(self) -> GivenFiles:
        """The files named on the command line; raises InvalidField when one cannot be read."""
        named: tuple[tuple[CredentialKind, str | None], ...] = (
            ("ssh-key", self.key),
            ("known-hosts", self.known_hosts),
            ("pki", self.pki),
        )
        files = tuple((kind, str(Path(path).absolute())) for kind, path in named if path)
        return GivenFiles(files, self.sasl_user, read_password(self.sasl_password_file))


def with_connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to `command` and hand them over as one HostOptions, `options`."""

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        options = HostOptions(
            **{field.name: given.pop(field.name) for field in fields(HostOptions)}
        )
        command(**given, options=options)

    for decorate in reversed(_OPTIONS):
        wrapped = decorate(wrapped)
    return wrapped


_OPTIONS = (
    click.option(
        "--socket",
        is_flag=False,
        flag_value=_DEFAULT_SOCKET,
        metavar="[PATH]",
        help="By Unix socket on this machine; without PATH libvirt's own.",
    ),
    click.option("--ssh", metavar="[USER@]HOST[:PORT]", help="By SSH."),
    click.option("--tls", metavar="HOST[:PORT]", help="By TLS with certificates."),
    click.option("--tcp", metavar="HOST[:PORT]", help="By TCP; plain unless SASL encrypts."),
    click.option(
        "--driver", type=click.Choice(["qemu", "test"]), help="libvirt's driver; default qemu."
    ),
    click.option(
        "--path", metavar="system|session", help="Which libvirt of the host; default system."
    ),
    click.option("--key", metavar="FILE", help="SSH private key; default npvirt's own."),
    click.option("--known-hosts", metavar="FILE", help="SSH known hosts; default npvirt's own."),
    click.option(
        "--pki", metavar="DIR", help="Directory of cacert.pem, clientcert.pem, clientkey.pem."
    ),
    click.option("--sasl-user", metavar="U", help="SASL user, with TCP or TLS."),
    click.option("--sasl-password-file", metavar="F", help="File that holds the SASL password."),
    click.option("--read-only/--read-write", default=None, help="Never act on this host."),
    click.option(
        "--allow-root",
        metavar="DIR",
        multiple=True,
        help="Where pools and dumps of that host may be; repeatable.",
    ),
)


def connection_from(options: HostOptions, base: Connection, settings: Settings) -> Connection:
    """The fields of `base` changed by the given options, checked; raises InvalidField."""
    ways = {"socket": options.socket, "ssh": options.ssh, "tls": options.tls, "tcp": options.tcp}
    given = {name: text for name, text in ways.items() if text is not None}
    if len(given) > 1:
        raise InvalidField("--" + list(given)[1], "Give one of --socket, --ssh, --tls and --tcp.")
    changed = replace(base, **_plain_fields(options))
    if given:
        changed = _with_way(changed, *next(iter(given.items())), settings)
    elif base == Connection():
        changed = _without_way(changed, options, settings)
    return check_connection(changed)


def _plain_fields(options: HostOptions) -> Mapping[str, Any]:
    changes: dict[str, Any] = {}
    if options.driver is not None:
        changes["driver"] = options.driver
    if options.path is not None:
        changes["path"] = options.path
    if options.read_only is not None:
        changes["read_only"] = options.read_only
    if options.allow_root:
        changes["allowed_roots"] = tuple(
            check_absolute_path(root, "--allow-root") for root in options.allow_root
        )
    return changes


def _with_way(connection: Connection, way: str, text: str, settings: Settings) -> Connection:
    """`connection` reached another way: what belonged to the old way is dropped."""
    bare = replace(
        connection, host=None, port=None, user=None, socket=None,
        key=None, known_hosts=None, pki=None, sasl=None,
    )  # fmt: skip
    if way == "socket":
        return _by_socket(bare, text, settings)
    user, host, port = split_address(text, "--" + way, with_user=way == "ssh")
    return replace(bare, transport=way, host=host, port=port, user=user)


def _by_socket(connection: Connection, text: str, settings: Settings) -> Connection:
    if text == _DEFAULT_SOCKET:
        if connection.driver == "test":
            return replace(connection, transport="embedded", path="default")
        return replace(connection, transport="unix")
    path = check_absolute_path(str(Path(text).absolute()), "--socket")
    if connection.driver == "test" and Path(path).is_file():
        return _test_file(connection, path, settings)
    return replace(connection, transport="unix", socket=path)


def _without_way(connection: Connection, options: HostOptions, settings: Settings) -> Connection:
    """`host add` without a way: fine for the embedded test driver, else a question."""
    if connection.driver != "test":
        raise InvalidField("--socket", "Give one of --socket, --ssh, --tls and --tcp.")
    if options.path in (None, "default", "system"):
        return replace(connection, transport="embedded", path="default")
    return _test_file(connection, options.path or "", settings)


def _test_file(connection: Connection, path: str, settings: Settings) -> Connection:
    if not settings.allow_test_files:
        raise InvalidField(
            "--path", "The test driver reads files only with NPVIRT_ALLOW_TEST_FILES=1."
        )
    checked = check_absolute_path(path, "--path")
    return replace(connection, transport="embedded", path=checked)


def split_address(text: str, field: str, *, with_user: bool) -> tuple[str | None, str, int | None]:
    """`[USER@]HOST[:PORT]` as user, host without brackets, and port; raises InvalidField."""
    user, at, rest = text.rpartition("@") if with_user else ("", "", text)
    if rest.startswith("["):
        host, bracket, port = rest.partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise InvalidField(field, "Write an IPv6 address as [::1] or [::1]:22.")
        host, port_text = host + bracket, port.removeprefix(":")
        missing_port = port == ":"
    else:
        host, colon, port_text = rest.partition(":")
        missing_port = bool(colon) and not port_text
    if missing_port or (at and not user):
        raise InvalidField(
            field, "Write it as [USER@]HOST[:PORT]." if with_user else "Write it as HOST[:PORT]."
        )
    return check_user(user, field), check_host(host, field), check_port(port_text, field)


def read_password(path: str | None, option: str = "--sasl-password-file") -> str | None:
    """The one line of the file `path`, None without one; raises InvalidField."""
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidField(option, f"{path} cannot be read: {error}.") from None
    password = text.removesuffix("\n")
    if not password or "\n" in password or "\0" in password:
        raise InvalidField(option, f"{path} must hold one line, the password.")
    return password
