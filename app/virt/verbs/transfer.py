"""A volume's content, sent to its host and fetched from there, piece by piece."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from app.errors import VirtError
from app.virt.verbs.objects import Target, connection_of, find_volume

if TYPE_CHECKING:
    from app.virt.session import Session

PIECE_BYTES = 256 * 1024


def upload(
    session: "Session",
    target: Target,
    read: Callable[[int], bytes],
    length: int,
    *,
    before_call: Callable[[], None],
    on_bytes: Callable[[int], None],
    stopped: Callable[[], bool],
) -> None:
    """Write `length` bytes, as `read` gives them, over the volume from its beginning. Ends early,
    with VirtError, when `read` gives too little or `stopped` says so.
    """
    volume = find_volume(session, target)
    stream = session.call(connection_of(session).newStream, 0)
    before_call()
    session.call(volume.upload, stream, 0, length, 0)
    sent = 0
    try:
        while sent < length:
            piece = read(min(PIECE_BYTES, length - sent))
            if stopped():
                raise VirtError("failed", "It was stopped before its end.", problem="stopped")
            if not piece:
                raise VirtError("failed", "The file ended too early.", problem="short")
            while piece:
                taken = session.call(stream.send, piece)
                piece = piece[taken:]
                sent += taken
                on_bytes(sent)
        session.call(stream.finish)
    except BaseException:
        with contextlib.suppress(VirtError):
            session.call(stream.abort)
        raise


def download(
    session: "Session", target: Target, *, before_call: Callable[[], None]
) -> Iterator[bytes]:
    """The volume's content; whoever stops early closes the iterator. Raises VirtError."""
    volume = find_volume(session, target)
    stream = session.call(connection_of(session).newStream, 0)
    before_call()
    session.call(volume.download, stream, 0, 0, 0)
    over = False
    try:
        while piece := session.call(stream.recv, PIECE_BYTES):
            yield piece
        session.call(stream.finish)
        over = True
    finally:
        if not over:
            with contextlib.suppress(VirtError):
                session.call(stream.abort)
