"""The streams of events that are open: how many there may be, and who may go on reading.

A stream's connection leaves the web server and is written to by one thread for all of them
(app/web/stream_loop), so that an open page holds no thread of the server. A second thread asks
the store, every tenth of a second what others stored and every other second who may still
read, so that a store that takes its time delays no message. Both live while there are streams.
"""

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from msgspec import Struct

from app import clock
from app.access import Principal
from app.collect.live import Hub
from app.collect.noticing import Noticer
from app.errors import StoreError
from app.store.engine import Store
from app.store.hosts import list_hosts
from app.web.standing import still
from app.web.stream import Stream
from app.web.stream_loop import Loop

log = logging.getLogger(__name__)

_LOOK_S = 0.1
_CHECK_S = 2.0
# So long nobody can be checked, and streams go on; with it they end within the five seconds that
# are promised.
_UNCHECKED_S = 2.5


class TooMany(Exception):
    """There are as many streams as there may be; `of_user`: as this user may have."""

    def __init__(self, sentence: str, *, of_user: bool) -> None:
        super().__init__(sentence)
        self.of_user = of_user


class StreamCounts(Struct, frozen=True):
    """How many streams are open, and since this process began: refused for there being too many,
    ended because their reader may not read any more, cut off because nothing was read.
    """

    open: int
    most: int
    refused: int
    ended: int
    cut_off: int


class Streams:
    """The streams of this process; thread-safe."""

    def __init__(
        self, store: Store, hub: Hub, noticer: Noticer, *, user_most: int, most: int
    ) -> None:
        self._store = store
        self._hub = hub
        self._noticer = noticer
        self._user_most = user_most
        self._most = most
        # One that cannot be written to is let out by whoever brings it.
        self._lock = threading.RLock()
        self._inside: Counter[str] = Counter()
        self._refused = 0
        self._ended = 0
        self._cut_off = 0
        self._loop: Loop | None = None
        self._checking: threading.Thread | None = None

    def admit(self, name: str) -> Callable[[], None]:
        """Let a reader of that name in; what to call, any number of times, when it is out again.
        Raises TooMany.
        """
        with self._lock:
            if self._inside[name] >= self._user_most or self._inside.total() >= self._most:
                self._refused += 1
                raise self._too_many(name)
            self._inside[name] += 1
        return _once(lambda: self._leave(name))

    def take(self, stream: Stream) -> None:
        """Write to this stream from now on, until it ends. Raises RuntimeError where no thread can
        be started for it, and then it has ended.
        """
        with self._lock:
            if self._loop is not None and self._loop.take(stream):
                return
            # The last loop ended with its last stream.
            loop = Loop(self._hub, self._note_cut_off)
            loop.take(stream)
            checking = threading.Thread(
                target=self._check, args=(loop,), name="streams-check", daemon=True
            )
            try:
                # What is stored once the stream has begun is to be told, so it is looked before:
                # the first look of all takes what is there for known.
                self._notice()
                # First the one without which nobody may read.
                checking.start()
                loop.start()
            except BaseException:
                loop.give_up()
                raise
            self._loop, self._checking = loop, checking

    def counts(self) -> StreamCounts:
        """How many there are and were."""
        with self._lock:
            total = self._inside.total()
            return StreamCounts(total, self._most, self._refused, self._ended, self._cut_off)

    def stop(self) -> None:
        """End every stream and both threads; waits for them a moment."""
        with self._lock:
            loop, checking, self._loop = self._loop, self._checking, None
        if loop is not None:
            loop.stop()
        if checking is not None:
            checking.join(2.0)

    def _too_many(self, name: str) -> TooMany:
        if self._inside[name] >= self._user_most:
            return TooMany(
                f"You have {self._user_most} pages that are told of changes, which is as many as "
                "npvirt allows (NPVIRT_STREAMS_USER). This one asks now and then instead.",
                of_user=True,
            )
        return TooMany(
            f"{self._most} pages are told of changes, which is as many as npvirt allows "
            "(NPVIRT_STREAMS_TOTAL). This one asks now and then instead.",
            of_user=False,
        )

    def _leave(self, name: str) -> None:
        with self._lock:
            self._inside[name] -= 1
            if not self._inside[name]:
                del self._inside[name]

    def _note_cut_off(self) -> None:
        with self._lock:
            self._cut_off += 1

    # --- what the store says ----------------------------------------------------------------

    def _check(self, loop: Loop) -> None:
        """Look into the store for as long as the loop goes on."""
        checked_s, is_over = clock.monotonic_s(), False
        while not is_over:
            try:
                self._notice()
                is_due = clock.monotonic_s() - checked_s >= _CHECK_S
                if is_due and self._check_readers(loop):
                    checked_s = clock.monotonic_s()
            except Exception:
                # Without this thread nobody's right to read would end; the log keeps the traceback.
                log.exception("The streams' readers could not be checked as npvirt foresaw")
            if clock.monotonic_s() - checked_s > _UNCHECKED_S:
                self._end(loop, loop.streams())
            is_over = loop.over.wait(_LOOK_S)

    def _notice(self) -> None:
        try:
            self._noticer.look()
        except StoreError as error:
            log.error("What others stored cannot be noticed: %s", error)

    def _check_readers(self, loop: Loop) -> bool:
        """End the streams of those who may not read them any more; whether that could be told."""
        streams = loop.streams()
        try:
            known = still(self._store, {one.reader.proof for one in streams})
            slugs = slugs_by_id(self._store)
        except StoreError as error:
            log.error("Who is told of changes cannot be checked: %s", error)
            return False
        self._end(loop, [one for one in streams if known.get(one.reader.proof) != one.reader.who])
        for one in streams:
            hosts = visible(one.reader.who, slugs)
            if hosts != one.hosts:
                loop.see(one, hosts)
        return True

    def _end(self, loop: Loop, streams: Collection[Stream]) -> None:
        if streams:
            with self._lock:
                self._ended += len(streams)
            loop.end(streams)


def _once(do: Callable[[], None]) -> Callable[[], None]:
    """`do`, for the first of any number of calls."""
    left = [do]

    def call() -> None:
        with contextlib.suppress(IndexError):
            left.pop()()

    return call


def slugs_by_id(store: Store) -> Mapping[int, str]:
    """The names of the hosts of the present; raises StoreError."""
    return {record.id: record.slug for record in list_hosts(store)}


def visible(who: Principal, slugs: Mapping[int, str]) -> frozenset[str] | None:
    """The names of the hosts that somebody may see; None: of all."""
    if who.host_ids is None:
        return None
    return frozenset(slug for host_id, slug in slugs.items() if host_id in who.host_ids)
