"""One thread that writes to all streams of events, over sockets that never block.

Waits for sockets, for the hub and for what other threads ask of it, and for nothing else. It ends
with its last stream.
"""

import contextlib
import logging
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable, Collection

from app import clock
from app.collect.live import Hub, News
from app.web.stream import Stream

log = logging.getLogger(__name__)

# A sign of life is promised every fifteen seconds.
_QUIET_S = 12.0
# A reader that takes nothing for so long is cut off.
_STUCK_S = 60.0
# Changes that follow each other so closely are one message.
_TOGETHER_S = 0.02
_TURN_S = 1.0


class Loop:
    """The thread and its streams. Other threads may call everything that is not private."""

    def __init__(self, hub: Hub, on_cut_off: Callable[[], None]) -> None:
        self.over = threading.Event()
        self._hub = hub
        self._on_cut_off = on_cut_off
        self._lock = threading.Lock()
        self._asked: deque[Callable[[], None]] = deque()
        # What is written to from the next turn on.
        self._coming: deque[Stream] = deque()
        self._ends = False
        self._wake_descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_descriptor, selectors.EVENT_READ)
        self._streams: dict[int, Stream] = {}
        self._told_s = 0.0
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)

    def start(self) -> None:
        """Start the thread; it should have been given a stream by then. Raises RuntimeError."""
        self._hub.listen(self._wake)
        self._thread.start()

    def give_up(self) -> None:
        """End what could not be started, and the streams that it was given."""
        self._finish()

    def take(self, stream: Stream) -> bool:
        """Write to `stream` from now on; False when the thread has ended."""
        with self._lock:
            if self._ends:
                return False
            self._coming.append(stream)
        self._wake()
        return True

    def end(self, streams: Collection[Stream]) -> None:
        """End these streams."""

        def do() -> None:
            for one in streams:
                self._close(one)

        self._ask(do)

    def see(self, stream: Stream, hosts: frozenset[str] | None) -> None:
        """Have a stream's reader be told of these hosts alone."""
        self._ask(lambda: stream.sees(hosts))

    def streams(self) -> list[Stream]:
        """The streams of now."""
        with self._lock:
            return list(self._streams.values())

    def stop(self) -> None:
        """End all streams and the thread; waits for that a moment."""
        self._ask(self._close_all)
        self.over.wait(2.0)

    def _ask(self, do: Callable[[], None]) -> bool:
        with self._lock:
            if self._ends:
                return False
            self._asked.append(do)
        self._wake()
        return True

    def _wake(self) -> None:
        with self._lock:
            # Once it ends, the number of the descriptor may be somebody else's.
            if not self._ends:
                os.eventfd_write(self._wake_descriptor, 1)

    # --- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._goes_on():
                self._turn()
        except Exception:
            # Pages poll when their streams end; the log keeps the traceback.
            log.exception("The streams of events ended for a reason npvirt did not foresee")
        finally:
            self._finish()

    def _finish(self) -> None:
        """Nobody is left behind in a place that others wait for."""
        with self._lock:
            self._ends = True
        self._hub.unlisten(self._wake)
        self._close_all()
        while self._coming:
            self._coming.popleft().close()
        self._selector.close()
        os.close(self._wake_descriptor)
        self.over.set()

    def _goes_on(self) -> bool:
        with self._lock:
            self._ends = not self._streams and not self._asked and not self._coming
            return not self._ends

    def _turn(self) -> None:
        for key, ready in self._selector.select(self._wait_s()):
            stream = self._streams.get(key.fd)
            if stream is None:
                os.eventfd_read(self._wake_descriptor)
            elif ready & selectors.EVENT_READ and not stream.is_there():
                self._close(stream)
            else:
                self._send(stream)
        while self._coming:
            self._begin(self._coming[0])
        while self._asked:
            self._asked.popleft()()
        now_s = clock.monotonic_s()
        if now_s - self._told_s >= _TOGETHER_S:
            self._tell(now_s)
        self._keep_alive(now_s)

    def _wait_s(self) -> float:
        behind = any(
            one.known != self._hub.number and not one.unsent for one in self._streams.values()
        )
        return max(0.0, self._told_s + _TOGETHER_S - clock.monotonic_s()) if behind else _TURN_S

    def _tell(self, now_s: float) -> None:
        """Tell those who do not know everything yet, but for whoever still reads the last one."""
        found: dict[int, News] = {}
        number = self._hub.number
        for stream in list(self._streams.values()):
            if stream.unsent or stream.known == number:
                continue
            if stream.known not in found:
                found[stream.known] = self._hub.news(stream.known)
            stream.tell(self._hub.epoch, found[stream.known])
            self._told_s = now_s
            self._send(stream)

    def _keep_alive(self, now_s: float) -> None:
        for stream in list(self._streams.values()):
            if stream.unsent and now_s - stream.stuck_since_s > _STUCK_S:
                self._on_cut_off()
                self._close(stream)
            elif not stream.unsent and now_s - stream.quiet_since_s > _QUIET_S:
                stream.keep_alive()
                self._send(stream)

    def _begin(self, stream: Stream) -> None:
        descriptor = stream.connection.fileno()
        with self._lock:
            self._streams[descriptor] = self._coming.popleft()
        self._selector.register(descriptor, selectors.EVENT_READ)
        stream.begin(self._hub.epoch)
        self._send(stream)

    def _send(self, stream: Stream) -> None:
        try:
            stream.send()
        except OSError:
            self._close(stream)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if stream.unsent else 0)
        descriptor = stream.connection.fileno()
        if self._selector.get_key(descriptor).events != wanted:
            self._selector.modify(descriptor, wanted)

    def _close(self, stream: Stream) -> None:
        descriptor = stream.connection.fileno()
        if self._streams.get(descriptor) is not stream:
            return
        # One that did not even begin is not there.
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)
        with self._lock:
            del self._streams[descriptor]
        stream.close()

    def _close_all(self) -> None:
        for stream in self.streams():
            self._close(stream)
