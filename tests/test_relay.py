"""The relay between libvirt and a host: nothing lost, nothing kept, ended at once when cut."""

import contextlib
import gc
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.virt.relay import CallCounter, PacketEnds, Relay
from tests.lab.pki import Pki

_CALL, _REPLY, _REMOTE, _QEMU, _KEEPALIVE = 0, 1, 0x20008086, 0x20008087, 0x6B656570


def _packet(program: int, kind: int, body: bytes = b"") -> bytes:
    return struct.pack(">IIIIiII", 28 + len(body), program, 1, 7, kind, 1, 0) + body


@contextlib.contextmanager
def _relayed(*, over_tcp: bool = False) -> Iterator[tuple[Relay, socket.socket, socket.socket]]:
    """A relay, its client's end, and the host's end."""
    upstream, host = socket.socketpair()
    relay = Relay(upstream, over_tcp=over_tcp)
    client = _connected(relay)
    try:
        yield relay, client, host
    finally:
        relay.close()
        client.close()
        host.close()


def _connected(relay: Relay) -> socket.socket:
    if relay.address.port is not None:
        return socket.create_connection(("127.0.0.1", relay.address.port), timeout=60)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    try:
        client.connect(relay.address.socket or "")
    except OSError:
        client.close()
        raise
    return client


def _read(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (block := end.recv(size - len(data))):
        data += block
    return data


def _open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("over_tcp", [False, True])
def test_what_either_side_sends_arrives_whole_and_in_order(over_tcp: bool) -> None:
    out, back = os.urandom(3_000_000), os.urandom(3_000_000)
    with _relayed(over_tcp=over_tcp) as (_, client, host):
        host.settimeout(60)
        senders = [
            threading.Thread(target=end.sendall, args=(data,))
            for end, data in ((client, out), (host, back))
        ]
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(_read(host, len(out))))
        for thread in (*senders, reader):
            thread.start()
        assert _read(client, len(back)) == back
        for thread in (*senders, reader):
            thread.join(60)
        assert got == [out]


def test_what_tls_brings_arrives_whole_and_in_order(lab_pki: Pki) -> None:
    data = os.urandom(2_000_000)
    ours, theirs = socket.socketpair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(lab_pki.root / "servercert.pem", lab_pki.root / "serverkey.pem")
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(lab_pki.root / "cacert.pem")

    def echo() -> None:
        with server.wrap_socket(theirs, server_side=True) as secured:
            secured.sendall(_read(secured, len(data)))

    thread = threading.Thread(target=echo)
    thread.start()
    relay = Relay(trusting.wrap_socket(ours, server_hostname="localhost"), over_tcp=False)
    with _connected(relay) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert _read(client, len(data)) == data
        sender.join(60)
    relay.close()
    thread.join(60)


def test_a_side_that_does_not_read_holds_the_other_back() -> None:
    with _relayed() as (_, client, host):
        sent = bytearray()
        block = os.urandom(65_536)
        # Until the relay and the kernel take no more for a while; they take that much for sure.
        with contextlib.suppress(TimeoutError):
            while len(sent) < 64_000_000:
                host.settimeout(0.5 if len(sent) > 1_000_000 else 60)
                count = host.send(block)
                sent += block[:count]
        assert 1_000_000 < len(sent) < 16_000_000
        assert _read(client, len(sent)) == bytes(sent)


def test_cutting_ends_a_reader_that_waits() -> None:
    with _relayed() as (relay, client, host):
        client.sendall(b"hello")
        assert _read(host, 5) == b"hello"
        threading.Timer(0.05, relay.cut).start()
        assert client.recv(1) == b""
        assert relay.ended


def test_the_end_of_the_host_is_the_end_for_libvirt_after_its_last_words() -> None:
    with _relayed() as (relay, client, host):
        host.sendall(b"last words")
        host.close()
        assert _read(client, 100) == b"last words"
        relay.close()
        assert relay.ended


def test_the_end_of_libvirt_is_the_end_for_the_host() -> None:
    with _relayed() as (_, client, host):
        client.close()
        host.settimeout(10)
        assert host.recv(1) == b""


def test_the_socket_is_gone_once_it_was_used() -> None:
    with _relayed() as (relay, client, host):
        client.sendall(b"x")
        assert _read(host, 1) == b"x"
        path = Path(relay.address.socket or "")
        assert not path.parent.exists()


def test_the_socket_lies_where_nobody_else_may_look() -> None:
    upstream, host = socket.socketpair()
    relay = Relay(upstream, over_tcp=False)
    try:
        directory = Path(relay.address.socket or "").parent
        assert directory.stat().st_mode & 0o777 == 0o700
    finally:
        relay.close()
        host.close()
    assert not directory.exists()


def test_a_relay_that_nobody_came_to_ends_and_tells_whoever_carried_it() -> None:
    finished: list[bool] = []
    upstream, host = socket.socketpair()
    relay = Relay(upstream, over_tcp=False, finish=lambda: finished.append(True))
    relay.close()
    relay.close()
    assert finished == [True]
    assert host.recv(1) == b""
    host.close()


@pytest.mark.parametrize("over_tcp", [False, True])
def test_a_second_visitor_finds_nobody(over_tcp: bool) -> None:
    with _relayed(over_tcp=over_tcp) as (relay, client, host):
        client.sendall(b"x")
        assert _read(host, 1) == b"x"
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            _connected(relay)


_VISIT = """
import encodings.idna, os, socket, sys
os.setresuid(65534, 65534, 65534)
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10) as visitor:
    try:
        print(repr(visitor.recv(1)))
    except ConnectionResetError:
        print(repr(b""))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can become another user.")
def test_another_user_of_this_machine_is_not_let_in() -> None:
    upstream, host = socket.socketpair()
    relay = Relay(upstream, over_tcp=True)
    try:
        visit = [sys.executable, "-c", _VISIT, str(relay.address.port)]
        said = subprocess.run(visit, capture_output=True, text=True, check=True, timeout=20).stdout
        assert said == "b''\n"
        with _connected(relay) as client:
            client.sendall(b"x")
            assert _read(host, 1) == b"x"
    finally:
        relay.close()
        host.close()


def test_a_temporary_directory_that_is_too_deep_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    upstream, host = socket.socketpair()
    with upstream, host:
        before = _open_files()
        with pytest.raises(OSError, match="too long"):
            Relay(upstream, over_tcp=False)
        assert _open_files() <= before
    assert list(deep.iterdir()) == []


def test_what_the_host_says_first_is_remembered() -> None:
    with _relayed() as (relay, client, host):
        host.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
        _read(client, 20)
        assert relay.greeting == b"SSH-2.0-OpenSSH_"


def test_calls_are_counted_on_their_way_to_the_host() -> None:
    with _relayed() as (relay, client, host):
        packets = (
            _packet(_REMOTE, _CALL, b"body"),
            _packet(_KEEPALIVE, 2),
            _packet(_QEMU, _CALL),
        )
        client.sendall(b"".join(packets))
        _read(host, sum(map(len, packets)))
        host.sendall(_packet(_REMOTE, _REPLY))
        _read(client, 28)
        assert relay.calls is not None
        assert relay.calls.count == 2


_PACKETS = st.lists(
    st.tuples(
        st.sampled_from((_REMOTE, _QEMU, _KEEPALIVE)),
        st.integers(0, 4),
        st.binary(max_size=80),
    ),
    max_size=20,
)


@given(_PACKETS, st.lists(st.integers(1, 40), min_size=1))
def test_the_count_does_not_depend_on_how_the_stream_is_cut(
    packets: list[tuple[int, int, bytes]], steps: list[int]
) -> None:
    stream = b"".join(_packet(*packet) for packet in packets)
    counter = CallCounter()
    position = 0
    while position < len(stream):
        step = steps[position % len(steps)]
        counter.feed(stream[position : position + step])
        position += step
    calls = [packet for packet in packets if packet[0] != _KEEPALIVE and packet[1] == _CALL]
    assert counter.count == len(calls)


@given(st.lists(st.binary(max_size=60), max_size=8), st.lists(st.integers(1, 50), max_size=40))
def test_what_is_sent_at_once_is_never_more_than_one_packet(
    bodies: list[bytes], arriving: list[int]
) -> None:
    """Whatever pieces the packets arrive and leave in, each piece lies within one of them."""
    packets = [_packet(_REMOTE, _CALL, body) for body in bodies]
    stream, waiting, out, ends = b"".join(packets), bytearray(), bytearray(), PacketEnds()
    boundaries = list(accumulate(map(len, packets), initial=0))
    for size in [*arriving, len(stream)]:
        waiting += stream[len(out) + len(waiting) :][:size]
        while ready := ends.of_one_packet(waiting):
            sent = max(1, ready // 2)
            start = bisect_right(boundaries, len(out)) - 1
            assert len(out) + ready <= boundaries[start + 1]
            ends.sent(sent)
            out += waiting[:sent]
            del waiting[:sent]
    assert bytes(out) == stream
