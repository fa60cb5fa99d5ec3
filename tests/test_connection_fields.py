"""The typed connection fields: one closed alphabet, a sentence for everything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.connection import (
    Connection,
    check_absolute_path,
    check_connection,
    check_host,
    check_port,
    check_slug,
    check_socket_from_browser,
    check_user,
    describe,
)
from app.errors import InvalidField


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("kvm-01.example.net", "kvm-01.example.net"),
        ("10.0.0.7", "10.0.0.7"),
        ("[::1]", "::1"),
        ("fd13::2", "fd13::2"),
        ("2001:DB8::1", "2001:db8::1"),
        ("localhost", "localhost"),
    ],
)
def test_names_and_addresses_are_accepted(text: str, kept: str) -> None:
    assert check_host(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "", "-oProxyCommand=x", "2130706433", "0x7f.1", "127.1", "1.2.3", "a..b", "a b", "a/b",
        "a?x=1", "a#b", "a@b", "host:22", "fe80::1%eth0", "ü.example", "a" * 64, "x." * 127 + "x",
        "a\n", "[::1", "[host]x", ".", "0x7f000001",
    ],
)  # fmt: skip
def test_anything_else_is_no_host(text: str) -> None:
    with pytest.raises(InvalidField):
        check_host(text)


@pytest.mark.parametrize("text", ["0", "65536", "22a", "-1", "٢٢", " 22", "999999"])
def test_a_port_is_a_number_in_range(text: str) -> None:
    with pytest.raises(InvalidField):
        check_port(text)


def test_an_empty_port_means_the_default() -> None:
    assert check_port("") is None
    assert check_port("2222") == 2222


@pytest.mark.parametrize("text", ["Root", "-x", "a b", "a" * 33, "1a", "a;b", "a@b"])
def test_a_user_is_a_login_name(text: str) -> None:
    with pytest.raises(InvalidField):
        check_user(text)


@pytest.mark.parametrize("text", ["", "add", "Kvm", "-a", "a_b", "a" * 33, "a/b", "kvm 1", "ä"])
def test_a_slug_is_lower_case_letters_digits_and_hyphens(text: str) -> None:
    with pytest.raises(InvalidField):
        check_slug(text)


@pytest.mark.parametrize("text", ["relative", "/a/../b", "/a\nb", "/" + "x" * 5000, ""])
def test_a_path_is_absolute_and_plain(text: str) -> None:
    with pytest.raises(InvalidField):
        check_absolute_path(text, "path")


def test_a_browser_may_name_sockets_only_where_allowed() -> None:
    assert check_socket_from_browser("/run/libvirt/libvirt-sock", ()) == "/run/libvirt/libvirt-sock"
    assert check_socket_from_browser("/run/user/1000/libvirt/libvirt-sock", ())
    assert check_socket_from_browser("/srv/sockets/a", ("/srv/sockets",))
    for text in ("/tmp/x", "/run/libvirt/../x", "/run/libvirtx/y", "/run/user/1000/x"):
        with pytest.raises(InvalidField):
            check_socket_from_browser(text, ("/srv/sockets",))


_REMOTE = Connection(transport="ssh", host="kvm-01")


@pytest.mark.parametrize(
    "connection",
    [
        Connection(driver="xen"),
        Connection(transport="embedded"),
        Connection(path="elsewhere"),
        Connection(host="kvm-01"),
        Connection(transport="ssh"),
        replace(_REMOTE, transport="tcp", user="root"),
        replace(_REMOTE, transport="tcp", pki="lab"),
        replace(_REMOTE, sasl="fred"),
        replace(_REMOTE, transport="tls", socket="/run/libvirt/libvirt-sock"),
        Connection(driver="test", transport="embedded", path="relative.xml"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(connection: Connection) -> None:
    with pytest.raises(InvalidField):
        check_connection(connection)


def test_a_connection_is_described_for_people() -> None:
    remote = replace(_REMOTE, user="root", port=2222, host="::1")
    assert describe(remote) == "SSH to root@[::1]:2222"
    assert describe(Connection()) == "Unix socket, default system socket"
    demo = Connection(driver="test", transport="embedded", path="default")
    assert describe(demo) == "embedded demo host test:///default"


@given(st.text(max_size=80))
def test_whatever_passes_as_a_host_holds_nothing_that_a_uri_or_shell_reads(text: str) -> None:
    try:
        host = check_host(text)
    except InvalidField:
        return
    assert not set(host) & set("?#/@&;%$`'\"\\ \t\r\n=[]()<>|*!~{}")
    assert not host.startswith("-")
