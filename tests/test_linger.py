"""A host that is cut off while it owes an answer does not notice before it has given it."""

import contextlib
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.virt import events, linger
from app.virt.relay import Relay
from app.virt.session import Session
from tests.faults.daemon import SessionDaemon, unavailable
from tests.lab.pki import Pki
from tests.test_relay import _connected, _read
from tests.waiting import until


class Ends:
    """A relay, libvirt's end of it, the host's end, and whether what carried it was ended."""

    def __init__(self) -> None:
        upstream, self.host = socket.socketpair()
        self.finished = threading.Event()
        self.relay = Relay(upstream, over_tcp=False, finish=self.finished.set)
        self.client = _connected(self.relay)
        self.host.settimeout(30)

    def ask(self) -> None:
        """Libvirt asks something, which arrives."""
        self.client.sendall(b"question")
        assert _read(self.host, 8) == b"question"

    def answer(self) -> None:
        """The host answers, which arrives."""
        self.host.sendall(b"answer")
        assert _read(self.client, 6) == b"answer"

    def is_open(self) -> bool:
        """Whether the host still takes its end for open."""
        self.host.setblocking(False)
        try:
            return self.host.recv(1) != b""
        except BlockingIOError:
            return True
        finally:
            self.host.settimeout(30)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    monkeypatch.setattr(linger, "_QUIET_S", 0.05)
    ends = Ends()
    try:
        yield ends
    finally:
        ends.relay.close()
        ends.client.close()
        ends.host.close()
        assert ends.finished.wait(30)


def test_libvirt_is_rid_of_it_at_once_and_the_host_when_it_has_answered(ends: Ends) -> None:
    ends.ask()
    ends.relay.cut(gently=True)
    assert _read(ends.client, 1) == b""
    ends.relay.close()
    assert ends.relay.ended
    assert ends.is_open()
    assert not ends.finished.is_set()
    # In one piece: a pause between two could be taken for silence.
    ends.host.sendall(b"answer")
    assert ends.host.recv(1) == b""
    assert ends.finished.wait(30)


def test_a_host_that_goes_meanwhile_is_closed(ends: Ends) -> None:
    ends.ask()
    ends.relay.cut(gently=True)
    assert _read(ends.client, 1) == b""
    assert not ends.finished.is_set()
    ends.host.shutdown(socket.SHUT_WR)
    assert ends.finished.wait(30)


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_host_that_owes_nothing_is_closed_at_once(ends: Ends, is_answered: bool) -> None:
    if is_answered:
        ends.ask()
        ends.answer()
    ends.relay.cut(gently=True)
    assert ends.host.recv(1) == b""
    assert ends.finished.wait(30)


def test_without_gentleness_it_is_closed_at_once(ends: Ends) -> None:
    ends.ask()
    ends.relay.cut()
    assert ends.host.recv(1) == b""


def test_a_host_that_never_answers_is_closed_in_the_end(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linger, "_LONGEST_S", 0.2)
    ends.ask()
    ends.relay.cut(gently=True)
    assert ends.host.recv(1) == b""


def test_a_host_that_never_falls_silent_is_closed_in_the_end(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linger, "_SPEAKING_S", 0.2)
    monkeypatch.setattr(linger, "_QUIET_S", 30.0)
    ends.ask()
    ends.relay.cut(gently=True)
    with contextlib.suppress(OSError):
        while not ends.finished.wait(0.01):
            ends.host.sendall(b"event")
    assert ends.finished.is_set()


def test_of_very_many_the_further_ones_are_closed_at_once(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linger, "_places", threading.BoundedSemaphore(1))
    other = Ends()
    for one in (ends, other):
        one.ask()
        one.relay.cut(gently=True)
        until(partial(getattr, one.relay, "ended"))
    with contextlib.closing(other.host), contextlib.closing(other.client):
        assert other.host.recv(1) == b""
    assert ends.is_open()
    ends.host.sendall(b"answer")
    assert ends.finished.wait(30)


def test_an_encrypted_connection_is_heard_out_too(
    lab_pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linger, "_QUIET_S", 0.05)
    ours, theirs = socket.socketpair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(lab_pki.root / "servercert.pem", lab_pki.root / "serverkey.pem")
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(lab_pki.root / "cacert.pem")
    is_asked, may_answer = threading.Event(), threading.Event()
    ended: list[bytes] = []

    def host() -> None:
        theirs.settimeout(30)
        with server.wrap_socket(theirs, server_side=True, suppress_ragged_eofs=True) as secured:
            secured.settimeout(30)
            _read(secured, 8)
            is_asked.set()
            assert may_answer.wait(30)
            secured.sendall(b"answer")
            ended.append(secured.recv(1))

    thread = threading.Thread(target=host)
    thread.start()
    upstream = trusting.wrap_socket(ours, server_hostname="localhost")
    finished = threading.Event()
    relay = Relay(upstream, over_tcp=False, finish=finished.set)
    with _connected(relay) as client:
        client.sendall(os.urandom(8))
        assert is_asked.wait(30)
        relay.cut(gently=True)
        assert _read(client, 1) == b""
        assert not finished.is_set()
        may_answer.set()
        thread.join(30)
    assert ended == [b""]
    assert finished.wait(30)


# --- a real libvirtd --------------------------------------------------------------------------


@pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
@pytest.mark.parametrize("is_subscribed", [True, False])
def test_a_daemon_that_stood_still_is_told_of_the_end_after_its_answer_where_it_tells_events(
    is_subscribed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lingering: list[socket.socket] = []

    def counted(stream: socket.socket, finish: Callable[[], None] | None) -> None:
        lingering.append(stream)
        linger.linger(stream, finish)

    monkeypatch.setattr("app.virt.relay.linger", counted)
    events.start_loop()
    with SessionDaemon() as daemon:
        way = Connection(driver="test", transport="tcp", host="127.0.0.1", port=daemon.port)
        session = Session.open(Endpoint(way), read_only=True)
        if is_subscribed:
            assert events.subscribe(session, lambda told: None, lambda reason: None)
        session.call_deadline_s = 0.3
        daemon.kill(signal.SIGSTOP)
        try:
            with pytest.raises(VirtError) as caught:
                session.call(session.connection.listAllDomains, 0)
        finally:
            daemon.kill(signal.SIGCONT)
        assert caught.value.failure == "timeout"
        session.close()
        assert len(lingering) == is_subscribed
        again = Session.open(Endpoint(way), read_only=True)
        assert again.call(again.connection.listAllDomains, 0)
        again.close()
