"""The control socket: how another npvirt process on the same store asks the collector.

One JSON request and one JSON answer per connection, over a Unix socket that only the owner of
its directory can open. Carries names of hosts and outcomes of scans, no credentials.
"""

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from app.errors import NpvirtError

log = logging.getLogger(__name__)

_NAME = "collector.sock"
_ANSWER_WAIT_S = 150.0
_REQUEST_BYTES = 65_536
_AGAIN_S = 0.5

Answer = Callable[[dict[str, list[str]]], object]


class ControlServer:
    """Answers requests, one thread each, until stopped."""

    def __init__(self, directory: Path, answer: Answer) -> None:
        self._directory = directory
        self._answer = answer
        self._socket: socket.socket | None = None

    @property
    def listening(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._socket is not None

    def start(self) -> None:
        """Listen; only the holder of the collector's lock may, so a left-over file is replaced.
        Raises OSError.
        """
        (self._directory / _NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with _short_path(self._directory) as short:
                listener.bind(f"{short}/{_NAME}")
            (self._directory / _NAME).chmod(0o600)
            listener.listen(8)
        except OSError:
            listener.close()
            raise
        self._socket = listener
        threading.Thread(target=self._accept, args=(listener,), name="control", daemon=True).start()

    def stop(self, *, replaced: bool = False) -> None:
        """Stop listening and remove the socket file, unless another process `replaced` it."""
        listener, self._socket = self._socket, None
        if listener is not None:
            # shutdown wakes the thread in accept(); close alone would leave it there.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            if not replaced:
                (self._directory / _NAME).unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        pause = threading.Event()
        while self._socket is listener:
            try:
                connection, _ = listener.accept()
                self._serve_beside(connection)
            except (OSError, RuntimeError) as error:
                # No more files or threads for a moment; or it was stopped.
                if self._socket is listener:
                    log.error("No request on the control socket can be taken: %s", error)
                    pause.wait(_AGAIN_S)

    def _serve_beside(self, connection: socket.socket) -> None:
        try:
            threading.Thread(
                target=self._serve, args=(connection,), name="control-request", daemon=True
            ).start()
        except RuntimeError:
            connection.close()
            raise

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5.0)
            try:
                request = msgspec.json.decode(
                    _receive(connection, _REQUEST_BYTES), type=dict[str, list[str]]
                )
                answer = msgspec.json.encode(self._answer(request))
                connection.settimeout(_ANSWER_WAIT_S)
                connection.sendall(answer)
            except (OSError, msgspec.DecodeError, NpvirtError) as error:
                log.warning("A request on the control socket failed: %s", error)


def ask(
    directory: Path, request: dict[str, list[str]], timeout_s: float = _ANSWER_WAIT_S
) -> Any | None:
    """The collector's answer to `request`, decoded, waiting for it; None when none answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        # Before it connects: one that was stopped takes no more than a few requests.
        connection.settimeout(timeout_s)
        try:
            with _short_path(directory) as short:
                connection.connect(f"{short}/{_NAME}")
            connection.sendall(msgspec.json.encode(request))
            connection.shutdown(socket.SHUT_WR)
            answer = _receive(connection, None)
            return msgspec.json.decode(answer) if answer else None
        except (OSError, msgspec.DecodeError):
            return None


def _receive(connection: socket.socket, most: int | None) -> bytes:
    received = bytearray()
    while block := connection.recv(65_536):
        received += block
        if most is not None and len(received) > most:
            raise OSError("the request is too long")
    return bytes(received)


@contextlib.contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """`directory` by a path that fits into a socket address, however deep it lies."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
