"""A connection that ends at a deadline, whatever the other side does with it.

A socket's own timeout is for each call: who sends a byte now and then could hold a thread for
ever. At the deadline the connection is shut down under whoever waits for it.
"""

import contextlib
import socket
import ssl
import threading
from types import TracebackType

DEADLINE_S = 10.0


class Guard:
    """A connected socket under a deadline; closed at the end of its block."""

    def __init__(self, connected: socket.socket, deadline_s: float = DEADLINE_S) -> None:
        self.socket = connected
        self.socket.settimeout(deadline_s)
        # Of its own: TLS takes the other one over.
        self._twin = connected.dup()
        self._timer = threading.Timer(deadline_s, self._end)
        self._timer.daemon = True

    def secured(self, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
        """The same with TLS from now on; raises OSError."""
        wrapped = context.wrap_socket(self.socket, server_hostname=host)
        self.socket = wrapped
        return wrapped

    def __enter__(self) -> "Guard":
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._twin.close()
        self.socket.close()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._twin.shutdown(socket.SHUT_RDWR)
