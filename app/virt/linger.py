"""The far ends of connections that were cut while their host owed an answer, for a while.

A libvirtd that stood still and goes on finds what it was asked and, where the connection was closed
meanwhile, that end as well. Two of its threads then take leave of the client at once, of which 9.0
crashes where the client had asked for events (remoteClientFreePrivateCallbacks, without the lock
that later versions have; 4 times in 150). So the connection stays open until the host has answered,
which nobody hears any more. Knows nothing of libvirt's calls, nor of what was asked.
"""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable

from app import clock

_BLOCK = 65_536
# A host that stands still for longer meets its end all the same.
_LONGEST_S = 600.0
# After its answer the host is left alone when it has said nothing for so long, or has gone on
# speaking (of events) for so long.
_QUIET_S = 0.5
_SPEAKING_S = 5.0
# So many at once; each has a thread.
_MOST = 100

_places = threading.BoundedSemaphore(_MOST)


def linger(stream: socket.socket, finish: Callable[[], None] | None) -> None:
    """Close `stream` when the host has answered, and then call `finish`; returns at once."""
    if not _places.acquire(blocking=False):
        _close(stream, finish)
        return

    def wait() -> None:
        try:
            _hear_out(stream)
        finally:
            _places.release()
            _close(stream, finish)

    try:
        threading.Thread(target=wait, name="linger", daemon=True).start()
    except RuntimeError:
        # None can be started any more.
        _places.release()
        _close(stream, finish)


def _hear_out(stream: socket.socket) -> None:
    """Wait until the host has said what it had to say, or has gone."""
    patience_s, ends_s = _LONGEST_S, float("inf")
    while clock.monotonic_s() < ends_s and _is_readable(stream, patience_s):
        # What is read is nobody's any more; of an encrypted stream it is not even text.
        try:
            if not os.read(stream.fileno(), _BLOCK):
                return
        except OSError:
            return
        ends_s = min(ends_s, clock.monotonic_s() + _SPEAKING_S)
        patience_s = _QUIET_S


def _is_readable(stream: socket.socket, within_s: float) -> bool:
    poller = select.poll()
    poller.register(stream, select.POLLIN)
    return bool(poller.poll(within_s * 1000))


def _close(stream: socket.socket, finish: Callable[[], None] | None) -> None:
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)
    stream.close()
    if finish is not None:
        finish()
