"""One reader's stream of events: what it is told, and how that goes over its connection.

Holds no more than the one message that is being sent and the number up to which its reader
knows: what changes meanwhile is told by the next message, however slowly this one is read.
Belongs to the thread of app/web/stream_loop and never waits.
"""

import contextlib
import socket
from collections.abc import Callable

import msgspec
from msgspec import Struct

from app import clock
from app.access import Principal
from app.collect.live import News
from app.web.standing import Proof

# What the kernel keeps for one reader; a message is a few hundred bytes.
_SEND_BUFFER_BYTES = 16_384
# A peer that is gone without a word is noticed by the keep-alive that it does not acknowledge.
_UNACKNOWLEDGED_MS = 30_000

KEEP_ALIVE = b": ka\n\n"
# How long browsers wait before they connect again.
OPENING = b"retry: 1000\n\n"


class Reader(Struct, frozen=True):
    """Who reads a stream, by what they are known, and the slugs of the hosts that they may be
    told of (None: all).
    """

    who: Principal
    proof: Proof
    hosts: frozenset[str] | None


class Stream:
    """One reader's connection. `known` is the number of the last change that the reader was told
    of; `resumed`: an earlier stream went up to there; `framed`: as chunks of HTTP/1.1. `leave` is
    called once when it is over.
    """

    def __init__(
        self,
        connection: socket.socket,
        reader: Reader,
        leave: Callable[[], None],
        *,
        known: int,
        resumed: bool,
        framed: bool,
    ) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
        self.connection = connection
        self.reader = reader
        self.known = known
        self.hosts = reader.hosts
        self.unsent = b""
        # Since when nothing was said, and since when nothing of what was said was taken.
        self.quiet_since_s = self.stuck_since_s = clock.monotonic_s()
        self._resumed = resumed
        self._framed = framed
        self._leave = leave

    def begin(self, epoch: str) -> None:
        """Say that it is there, and from where on it tells."""
        self._say(message("ready", f"{epoch}-{self.known}", {"resumed": self._resumed}))

    def tell(self, epoch: str, news: News) -> None:
        """Say what its reader may know of `news`, if that is anything."""
        self.known = news.number
        told = {
            host: sorted(kinds)
            for host, kinds in news.hosts.items()
            if self.hosts is None or host in self.hosts
        }
        if told or news.everything:
            body = {"everything": news.everything, "hosts": told}
            self._say(message("changed", f"{epoch}-{self.known}", body))

    def sees(self, hosts: frozenset[str] | None) -> None:
        """Have the reader be told of these hosts from now on, and first that anything may have
        changed, if these are others.
        """
        if hosts != self.hosts:
            self.hosts, self.known = hosts, -1

    def keep_alive(self) -> None:
        """Say nothing, so that nobody on the way takes the connection for a dead one."""
        self._say(KEEP_ALIVE)

    def send(self) -> None:
        """Send of what was said as much as the reader takes now; raises OSError."""
        while self.unsent:
            try:
                sent = self.connection.send(self.unsent)
            except BlockingIOError:
                return
            self.unsent = self.unsent[sent:]
            self.stuck_since_s = clock.monotonic_s()

    def is_there(self) -> bool:
        """Whether the reader still listens. It has nothing to say, so one who speaks does not."""
        try:
            self.connection.recv(1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """End it, in HTTP's own way where nothing is half sent."""
        with contextlib.suppress(OSError):
            if self._framed and not self.unsent:
                self.connection.send(b"0\r\n\r\n")
            self.connection.shutdown(socket.SHUT_WR)
        self.connection.close()
        self._leave()

    def _say(self, text: bytes) -> None:
        self.quiet_since_s = clock.monotonic_s()
        if not self.unsent:
            self.stuck_since_s = self.quiet_since_s
        self.unsent += b"%x\r\n%b\r\n" % (len(text), text) if self._framed else text


def message(event: str, number: str, body: object) -> bytes:
    """One event as text/event-stream has it; `body` becomes JSON, which is one line."""
    data = msgspec.json.encode(body)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (number.encode(), event.encode(), data)
