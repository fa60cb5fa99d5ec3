"""The relay: libvirt speaks to a local socket of npvirt's own, npvirt speaks to the host.

libvirt's open and calls can hang for good; shutting the relay ends them at once, all of them.
One thread per relay copies both ways (a TLS object is not safe for two), and counts libvirt's
calls on the way. Knows nothing of how the host was reached (app/virt/dial.py) nor of libvirt.
"""

import contextlib
import os
import select
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from app.virt.linger import linger
from app.virt.uri import RelayAddress

_BLOCK = 65_536
_MOST_BUFFERED = 1_048_576
_GREETING = 16
_CLOSE_S = 3.0
_KEEPALIVE_PROGRAM = 0x6B656570
_HEADER = struct.Struct(">IIIIi")
_LENGTH = struct.Struct(">I")


class CallCounter:
    """Counts the calls in a stream of libvirt RPC packets.

    Packet: length, program, version, procedure, type (0 = call), ..., each 4 bytes big-endian
    (libvirt, docs/kbase/internals/rpc.rst).
    """

    def __init__(self) -> None:
        self.count = 0
        self._skip = 0
        self._head = b""

    def feed(self, data: bytes) -> None:
        """Count in the next bytes of the stream."""
        position = 0
        while position < len(data):
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
                continue
            wanted = _HEADER.size - len(self._head)
            self._head += data[position : position + wanted]
            position += min(wanted, len(data) - position)
            if len(self._head) == _HEADER.size:
                length, program, _, _, kind = _HEADER.unpack(self._head)
                self.count += kind == 0 and program != _KEEPALIVE_PROGRAM
                self._skip = max(0, length - _HEADER.size)
                self._head = b""


class PacketEnds:
    """Knows where the packets in a stream of libvirt RPC packets end.

    One packet per TLS record, as libvirt's own client sends them: what a record holds beyond a
    packet stays in the server's TLS library, where libvirt's event loop does not see it, and is
    not answered until something else arrives.
    """

    def __init__(self) -> None:
        self._left = 0

    def of_one_packet(self, waiting: bytearray) -> int:
        """How many bytes at the front of `waiting` are of one packet; 0 while that is unknown."""
        if not self._left and len(waiting) >= _LENGTH.size:
            (self._left,) = _LENGTH.unpack_from(waiting)
            self._left = max(self._left, _LENGTH.size)
        return min(self._left, len(waiting))

    def sent(self, count: int) -> None:
        """Take note that `count` bytes of that packet are on their way."""
        self._left -= count


class Relay:
    """Relays one connection between libvirt and `upstream`, until cut or either side ends."""

    def __init__(
        self, upstream: socket.socket, *, over_tcp: bool, finish: Callable[[], None] | None = None
    ) -> None:
        """`over_tcp`: libvirt must believe that it is on TCP, so that SASL encrypts for itself.
        `finish` is called once, when the relay has ended. Raises OSError and RuntimeError (no more
        threads), the upstream untouched and nothing left behind.
        """
        self.calls: CallCounter | None = CallCounter()
        # What the host said first: tells another service from libvirt.
        self.greeting = b""
        self.ended = False
        self._on_end: Callable[[], None] | None = None
        self._upstream = upstream
        self._packets = PacketEnds() if isinstance(upstream, ssl.SSLSocket) else None
        self._finish = finish
        self._client: socket.socket | None = None
        self._directory: str | None = None
        self._lock = threading.Lock()
        self._cut = False
        self._gently = False
        # Whether libvirt asked something after the host last said something.
        self._asked = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._listener = self._listen_tcp() if over_tcp else self._listen_unix()
        except OSError:
            os.close(self._wake_read)
            os.close(self._wake_write)
            raise
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._stop_listening()
            os.close(self._wake_read)
            os.close(self._wake_write)
            raise

    def cut(self, *, gently: bool = False) -> None:
        """End the relay now; whatever hangs in libvirt on it returns with an error. `gently`: the
        host does not notice before it has answered what it was asked.
        """
        with self._lock:
            if not self._cut:
                self._cut = True
                self._gently = gently
                os.write(self._wake_write, b"x")

    def close(self) -> None:
        """End the relay and wait until its thread has, but not for a carrier that will not end."""
        self.cut()
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_S)

    def tell_end(self, told: Callable[[], None]) -> None:
        """Have `told` called once when the relay ends, whoever ends it: in the relay's thread,
        which it must not hold up, or here and now where it has ended.
        """
        self._on_end = told
        if self.ended:
            self._tell_end()

    def _tell_end(self) -> None:
        with self._lock:
            told, self._on_end = self._on_end, None
        if told is not None:
            told()

    def _listen_unix(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._directory = tempfile.mkdtemp(prefix="npvirt-")
            path = f"{self._directory}/relay"
            listener.bind(path)
        except OSError:
            listener.close()
            self._remove_directory()
            raise
        listener.listen(1)
        self.address = RelayAddress(socket=path)
        return listener

    def _listen_tcp(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        self.address = RelayAddress(port=listener.getsockname()[1])
        return listener

    def _run(self) -> None:
        try:
            self._client = self._accept()
            if self._client is not None:
                self._copy(self._client)
        except (OSError, ssl.SSLError):
            # Either side broke off: the other one is told by the closing below.
            pass
        finally:
            self._tidy()

    def _accept(self) -> socket.socket | None:
        """The one connection, of this very user; None when cut before it came."""
        try:
            poller = select.poll()
            poller.register(self._wake_read, select.POLLIN)
            poller.register(self._listener, select.POLLIN)
            while True:
                if any(ready == self._wake_read for ready, _ in poller.poll()):
                    return None
                client, peer = self._listener.accept()
                if self._directory is not None or _is_ours(self._listener, peer):
                    return client
                client.close()
        finally:
            self._stop_listening()

    def _copy(self, client: socket.socket) -> None:
        """Copy until libvirt has left, or the host has and its last words are delivered."""
        upstream, host_speaks = self._upstream, True
        client.setblocking(False)
        upstream.setblocking(False)
        out, back = bytearray(), bytearray()
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        near, far = _Watched(poller, client), _Watched(poller, upstream)
        while host_speaks or back:
            hear_host = host_speaks and len(back) < _MOST_BUFFERED
            hear_client = len(out) < _MOST_BUFFERED
            near.want(readable=hear_client, writable=bool(back))
            sendable = bool(out) and host_speaks and _sendable(out, self._packets) > 0
            far.want(readable=hear_host, writable=sendable)
            for ready, _ in poller.poll():
                if ready == near.number:
                    if hear_client and not self._hear(client, out):
                        return
                elif ready == far.number:
                    if hear_host:
                        host_speaks = self._hear_host(back)
                else:
                    return
            if out and host_speaks:
                _send(upstream, out, self._packets)
            if back:
                _send(client, back)

    def _hear(self, client: socket.socket, out: bytearray) -> bool:
        """Take what libvirt says; False when it has left."""
        data = _receive(client)
        if data is None:
            return True
        if data:
            self._asked = True
            if self.calls is not None:
                self.calls.feed(data)
        out += data
        return bool(data)

    def _hear_host(self, back: bytearray) -> bool:
        """Take what the host says; False when it has ended."""
        try:
            data = _receive(self._upstream)
        except OSError:
            # Broken off; what it said before is delivered all the same.
            return False
        if data is None:
            return True
        self._asked = False
        back += data
        if not self.greeting:
            self.greeting = bytes(back[:_GREETING])
        return bool(data)

    def _tidy(self) -> None:
        # Before the closing: libvirt's call fails at once, and is then to be known as cut off.
        self.ended = True
        waits = self._gently and self._asked
        for end in (self._client, None if waits else self._upstream):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        with self._lock:
            self._cut = True
            os.close(self._wake_read)
            os.close(self._wake_write)
        self._tell_end()
        if waits:
            linger(self._upstream, self._finish)
        elif self._finish is not None:
            self._finish()

    def _stop_listening(self) -> None:
        self._listener.close()
        self._remove_directory()

    def _remove_directory(self) -> None:
        if self._directory is not None:
            Path(self._directory, "relay").unlink(missing_ok=True)
            Path(self._directory).rmdir()


class _Watched:
    """One end, and what poll is asked about it."""

    def __init__(self, poller: select.poll, end: socket.socket) -> None:
        self.number = end.fileno()
        self._poller = poller
        self._events = 0

    def want(self, *, readable: bool, writable: bool) -> None:
        """Have poll tell of these alone. An end of which nothing is wanted is taken off: of a
        hang-up poll would tell all the same, and the loop would spin on it.
        """
        events = (select.POLLIN if readable else 0) | (select.POLLOUT if writable else 0)
        if events == self._events:
            return
        self._events = events
        if events:
            self._poller.register(self.number, events)
        else:
            self._poller.unregister(self.number)


def _receive(end: socket.socket) -> bytes | None:
    """What has arrived; b"" at the end of the stream, None when there is nothing yet."""
    try:
        data = end.recv(_BLOCK)
        # A TLS object may hold more than the kernel's socket shows; poll would not tell.
        while data and isinstance(end, ssl.SSLSocket) and (more := end.pending()):
            data += end.recv(more)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None
    return data


def _sendable(waiting: bytearray, packets: PacketEnds | None) -> int:
    """How many bytes at the front may be sent at once."""
    return min(_BLOCK, len(waiting) if packets is None else packets.of_one_packet(waiting))


def _send(end: socket.socket, waiting: bytearray, packets: PacketEnds | None = None) -> None:
    """Send what fits, and keep the rest."""
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        while size := _sendable(waiting, packets):
            with memoryview(waiting) as view:
                sent = end.send(view[:size])
            if packets is not None:
                packets.sent(sent)
            del waiting[:sent]


def _is_ours(listener: socket.socket, peer: tuple[str, int]) -> bool:
    """Whether the far end of a loopback connection belongs to this user (/proc/net/tcp)."""
    port = listener.getsockname()[1]
    local, remote = f"0100007F:{peer[1]:04X}", f"0100007F:{port:04X}"
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[1] == local and columns[2] == remote:
            return int(columns[7]) == os.getuid()
    return False
