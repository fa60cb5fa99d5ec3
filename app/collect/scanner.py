"""Scan one host once: open or keep its connection, look, store what was seen.

Owns a host's session, reader and recorder, and that a scan never overwrites what is newer. Knows
no schedule and no thread: whoever calls `scan` waits for it, and only one at a time may; beside it
another thread may `look_at` what libvirt told of.
"""

import logging
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from msgspec.structs import replace

from app import clock
from app.collect.announcing import Announcer
from app.collect.partial import Gathered
from app.collect.steps import Labels
from app.errors import Conflict, NpvirtError, VirtError
from app.inventory import Scan, Told, ToldKind
from app.store.credentials import resolve
from app.store.engine import Store
from app.store.hosts import HostRecord, claim_uuid
from app.store.record import Recorder
from app.virt import events
from app.virt.read.reader import Reader
from app.virt.session import Session
from app.virt.uri import display_uri

log = logging.getLogger(__name__)

# So many objects are remembered to be read anew by the next scan; beyond it, it reads all.
_MOST_STALE = 1000
# What is asked between scans is answered within this, or the connection is cut.
_ANSWER_S = 4.0
# What is looked at alone when libvirt tells of it.
_READ = frozenset(("domain", "pool", "network"))
_UNFORESEEN = "npvirt met something there that it did not foresee; its own log says what."


class Scanner:
    """The looks at one host, one after the other, over one kept connection; each is announced
    once it is stored.
    """

    def __init__(
        self,
        store: Store,
        data: Path,
        record: HostRecord,
        interval_ms: int,
        announcer: Announcer | None = None,
    ) -> None:
        self.record = record
        self._announcer = announcer
        self._store = store
        self._data = data
        self._recorder = Recorder(store, record, interval_ms)
        self._session: Session | None = None
        self._reader = Reader(open_writable=self._writable_opener())
        self._claimed_uuid = record.host_uuid
        self._tell: Callable[[Told], None] | None = None
        self._lost: Callable[[str], None] = lambda reason: None
        # Held while something is stored, and by a look at some objects from its first call on, so
        # that what is stored later was not read earlier.
        self._storing = threading.Lock()
        # Whether a scan over this session was stored: it is the right host, and all is known.
        self._is_known = False
        self._noting = threading.Lock()
        # What was looked at alone since the present scan began: it knows less of it. (Of what was
        # only told of, it knows more than the store, and a look is to follow.)
        self._newer: set[tuple[ToldKind, str]] = set()
        self._begun = 0
        # What was told of since the last scan began, and is to be read anew by the next.
        self._stale: set[tuple[str, str]] = set()
        self._labels = Labels()
        self._abandoned = False
        self._sign_s = 0.0

    def listen(self, tell: Callable[[Told], None], lost: Callable[[str], None]) -> None:
        """Have `tell` called with what libvirt tells of the host from the next connection on, and
        `lost` with the reason when a connection breaks; in libvirt's thread, not to be held up.
        """
        self._tell, self._lost = tell, lost

    def scan(
        self,
        *,
        everything: bool = False,
        again: Collection[tuple[str, str]] = (),
        next_at_ms: Callable[[bool], int | None],
    ) -> Scan:
        """Look once and store the outcome; a failed look is stored as one.

        `again` names objects to be read anew, as in Reader.scan. `next_at_ms` says, given whether
        the look succeeded, when the next one is planned (or None). Raises StoreError when the
        outcome cannot be stored.
        """
        at_ms, started_s = clock.both()
        self._sign_s = started_s
        with self._noting:
            stale, self._stale = self._stale, set()
            self._newer = set()
            self._begun += 1
        everything = everything or len(stale) > _MOST_STALE
        try:
            seen = self._look(at_ms, everything, {*again, *stale})
        except (VirtError, Conflict) as error:
            self.disconnect()
            seen = _failed(at_ms, error)
        return self._store_seen(seen, at_ms, started_s, next_at_ms)

    def unforeseen(self, next_at_ms: Callable[[bool], int | None]) -> Scan | None:
        """Store that the look which just ended did so for a reason that npvirt did not foresee, so
        that its host is not taken for one that was looked at. Raises StoreError.
        """
        self.disconnect()
        at_ms, started_s = clock.both()
        seen = Scan(at_ms=at_ms, took_ms=0, ok=False, problem="unforeseen", sentence=_UNFORESEEN)
        return self._store_seen(seen, at_ms, started_s, next_at_ms)

    def _store_seen(
        self,
        seen: Scan,
        at_ms: int,
        started_s: float,
        next_at_ms: Callable[[bool], int | None],
    ) -> Scan:
        with self._storing:
            seen = replace(
                seen,
                took_ms=clock.took_ms(started_s),
                next_at_ms=next_at_ms(seen.ok),
                clock_stepped=self._labels.stepped(at_ms, started_s),
            )
            self._sign_s = clock.monotonic_s()
            if self._abandoned:
                sentence = "A look that had been given up ended; what it saw is not stored."
                raise NpvirtError(sentence)
            with self._noting:
                newer = frozenset(self._newer)
            recorded = self._recorder.record(seen, newer)
            self._is_known = seen.ok
        self._labels.stored(recorded.at_ms, started_s, good=seen.ok)
        if self._announcer is not None:
            self._announcer.told(seen, recorded)
        if seen.ok:
            self._revisit(newer)
        return seen

    def look_at(self, gathered: Gathered) -> bool:
        """Look at what libvirt told of, and store what is different. False: not all of it could be
        read, and a scan is to. Raises StoreError.
        """
        batch = gathered.batch
        with self._noting:
            # As of events, which noted theirs when they came.
            self._stale.update(one for one, what in batch.items() if "asked" in what)
        with self._storing:
            session = self._session
            if session is None or not session.alive or not self._is_known:
                return False
            with self._noting:
                begun = self._begun
            try:
                seen = self._reader.look_at(session, batch)
            except VirtError as error:
                log.info("%s: %s", self.record.slug, error)
                return False
            if self._abandoned:
                return False
            took_ms = clock.took_ms(gathered.at_s)
            changed = self._recorder.record_partial(
                replace(seen, at_ms=gathered.at_ms, took_ms=took_ms)
            )
            with self._noting:
                overlaps = begun != self._begun
                if not overlaps:
                    self._newer.update(gathered.objects)
        if self._announcer is not None:
            self._announcer.told_partial(changed)
        if overlaps:
            # A scan began while it read: either may know more, and that of the scan is stored.
            self._revisit(gathered.objects)
        return not seen.unread

    def answers(self) -> bool:
        """Whether the host still answers over the connection that is open, if one is; waits for
        some seconds at most.
        """
        session = self._session
        return session is None or session.answers(_ANSWER_S)

    def last_sign_s(self) -> float:
        """When it last gave a sign of life, by the monotonic clock: a call began or ended."""
        session = self._session
        return self._sign_s if session is None else max(self._sign_s, session.last_call_s)

    def abandon(self) -> None:
        """Give it up from another thread: nothing it sees from now on is stored."""
        self._abandoned = True
        session = self._session
        if session is not None:
            session.cut()

    def disconnect(self) -> None:
        """Close the connection; the next scan opens it again and reads all anew."""
        self._is_known = False
        self._reader.forget()
        if self._session is not None:
            self._session.close()
            self._session = None

    def close(self) -> None:
        """Close the connection and whatever the reader keeps open."""
        self.disconnect()
        self._reader.close()

    def _look(self, at_ms: int, everything: bool, again: Collection[tuple[str, str]]) -> Scan:
        if self._session is None:
            endpoint = resolve(self._store, self._data, self.record.connection)
            self._session = Session.open(endpoint, read_only=True)
            if self._tell is not None:
                # Before anything is read, so that no change is missed in between.
                events.subscribe(self._session, self._told, self._lost)
        uri, told = display_uri(self.record.connection), self._session.subscription
        seen = self._reader.scan(
            self._session,
            at_ms=at_ms,
            uri=uri,
            everything=everything,
            again=again,
            # What was told of since the last scan is read again.
            vouched=() if told is None else told.kinds,
        )
        uuid = seen.host.uuid if seen.host else None
        if uuid is not None and uuid != self._claimed_uuid:
            claim_uuid(self._store, self.record.id, uuid)
            self._claimed_uuid = uuid
        return seen

    def _revisit(self, objects: Collection[tuple[ToldKind, str]]) -> None:
        """Have these looked at once more. What a scan passed over it may have seen more of than the
        looks beside it, which rely on the scan before it.
        """
        at_ms, at_s = clock.both()
        for kind, key in objects:
            if self._tell is not None:
                self._tell(Told(kind, key, "asked", at_ms, at_s))

    def _told(self, one: Told) -> None:
        key: tuple[ToldKind, str] = (one.kind, one.key)
        if one.kind not in _READ:
            # Of node devices network cards are shown, as the host's interfaces; nothing of secrets.
            if one.key.startswith("net_"):
                with self._noting:
                    self._stale.add(("interface", ""))
            return
        with self._noting:
            if len(self._stale) <= _MOST_STALE:
                self._stale.add(key)
        if self._tell is not None:
            self._tell(one)

    def _writable_opener(self) -> Callable[[], Session] | None:
        connection = self.record.connection
        if connection.read_only or connection.transport == "embedded":
            return None
        return lambda: Session.open(resolve(self._store, self._data, connection), read_only=False)


def _failed(at_ms: int, error: VirtError | Conflict) -> Scan:
    if isinstance(error, Conflict):
        return Scan(at_ms=at_ms, took_ms=0, ok=False, problem="host-uuid", sentence=str(error))
    return Scan(
        at_ms=at_ms,
        took_ms=0,
        ok=False,
        problem=error.problem,
        sentence=error.sentence,
        detail=error.detail or None,
    )
