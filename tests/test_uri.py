"""URIs come from checked fields alone, and carry nothing that libvirt would act on."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.connection import (
    DRIVERS,
    PATHS,
    TRANSPORTS,
    Connection,
    check_absolute_path,
    check_connection,
    check_host,
    check_port,
    check_user,
)
from app.errors import InvalidField
from app.virt.uri import RelayAddress, display_uri, libvirt_uri

_RELAY = RelayAddress(socket="/run/npvirt/relay")
_EVIL = st.sampled_from(
    [
        "kvm-01",
        "10.0.0.7",
        "::1",
        "[::1]",
        "root",
        "22",
        "system",
        "/run/libvirt/libvirt-sock",
        "-oProxyCommand=x",
        "a b",
        "h?command=/bin/sh",
        "h#x",
        "a@b",
        "h/../x",
        "2130706433",
        "0x7f.1",
        "h\nx",
        "h%00",
        "/s?x=1&y=2",
        "/s p#a",
        "../x",
        "::1%eth0",
        "xn--a",
        "ö",
    ]
)
_TEXT = st.one_of(_EVIL, st.text(max_size=30))


@st.composite
def _fields(draw: st.DrawFn) -> Connection:
    """Any texts in all the fields, as a hostile form might hold them."""
    maybe = st.one_of(st.none(), _TEXT)
    return Connection(
        driver=draw(st.one_of(st.sampled_from(DRIVERS), _TEXT)),
        transport=draw(st.one_of(st.sampled_from(TRANSPORTS), _TEXT)),
        path=draw(st.one_of(st.sampled_from(PATHS), _TEXT)),
        host=draw(maybe),
        port=draw(st.one_of(st.none(), st.integers(1, 65535))),
        user=draw(maybe),
        socket=draw(maybe),
    )


def _checked(fields: Connection) -> Connection | None:
    """The connection if every field passes its check, as the form and command line see to."""
    try:
        return check_connection(
            replace(
                fields,
                host=check_host(fields.host) if fields.host is not None else None,
                port=check_port(str(fields.port or "")),
                user=check_user(fields.user) if fields.user is not None else None,
                socket=check_absolute_path(fields.socket, "socket") if fields.socket else None,
            )
        )
    except InvalidField:
        return None


@given(_fields())
def test_no_field_reaches_the_uri_that_libvirt_opens(fields: Connection) -> None:
    try:
        uri = libvirt_uri(fields, _RELAY)
    except InvalidField:
        return
    assert (
        uri
        in {f"qemu+unix:///{path}?socket=/run/npvirt/relay" for path in ("system", "session")}
        | {"test+unix:///default?socket=/run/npvirt/relay"}
        or fields.transport == "embedded"
    )


@given(_fields())
def test_what_people_are_shown_has_one_host_and_no_parameter_but_the_socket(
    fields: Connection,
) -> None:
    connection = _checked(fields)
    if connection is None or connection.transport == "embedded":
        return
    uri = display_uri(connection)
    parts = urlsplit(uri)
    assert not any(c.isspace() or ord(c) < 33 or ord(c) > 126 for c in uri)
    assert parts.scheme.split("+")[0] in DRIVERS
    assert parts.fragment == ""
    assert parts.path in ("/system", "/session", "/default")
    assert parts.port == connection.port or connection.port in (22, 16514, 16509, None)
    assert (parts.hostname or None) == (connection.host and connection.host.lower())
    socket = connection.socket if connection.transport == "unix" else None
    assert unquote(parts.query) == (f"socket={socket}" if socket else "")
    assert parts.query.count("&") == 0


@given(st.text(max_size=60).map(lambda text: f"/{text}"))
def test_a_node_file_of_the_embedded_driver_is_a_path_and_nothing_else(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        return
    uri = libvirt_uri(Connection(driver="test", transport="embedded", path=path), None)
    assert uri.startswith("test:///")
    rest = uri.removeprefix("test://")
    assert unquote(rest) == path
    assert not set("?#& \n") & set(rest)


def test_the_demo_host_is_libvirts_default_test_world() -> None:
    connection = Connection(driver="test", transport="embedded", path="default")
    assert libvirt_uri(connection, None) == display_uri(connection) == "test:///default"


def test_only_the_embedded_driver_is_opened_without_a_relay() -> None:
    with pytest.raises(ValueError, match="relay"):
        libvirt_uri(Connection(), None)


def test_a_relay_on_tcp_is_dialled_on_the_loopback() -> None:
    connection = Connection(transport="tcp", host="kvm-01.example")
    uri = libvirt_uri(connection, RelayAddress(port=40123))
    assert uri == "qemu+tcp://127.0.0.1:40123/system"


@pytest.mark.parametrize(
    ("connection", "uri"),
    [
        (Connection(), "qemu:///system"),
        (Connection(socket="/run/x/s k"), "qemu:///system?socket=/run/x/s%20k"),
        (Connection(path="session"), "qemu:///session"),
        (Connection(transport="ssh", host="kvm-01", user="root"), "qemu+ssh://root@kvm-01/system"),
        (Connection(transport="ssh", host="::1", port=2222), "qemu+ssh://[::1]:2222/system"),
        (Connection(transport="tls", host="kvm-01", port=16514), "qemu+tls://kvm-01/system"),
        (Connection(transport="tcp", host="10.0.0.7", port=1), "qemu+tcp://10.0.0.7:1/system"),
        (Connection(driver="test", transport="tcp", host="h"), "test+tcp://h/default"),
    ],
)
def test_people_see_the_uri_that_virsh_would_take(connection: Connection, uri: str) -> None:
    assert display_uri(connection) == uri


def test_libvirt_understands_the_uri_of_a_node_file_with_an_odd_name(tmp_path: Path) -> None:
    file = tmp_path / "node ?&#%.xml"
    file.write_text("<node><name>odd</name></node>")
    uri = libvirt_uri(Connection(driver="test", transport="embedded", path=str(file)), None)
    opened = libvirt.open(uri)
    try:
        assert opened.getHostname() != ""
        assert opened.listAllDomains() == []
    finally:
        opened.close()
