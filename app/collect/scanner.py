"""Scan one host once: open or keep its connection, look, store what was seen.

Owns a host's session, reader and recorder. Knows no schedule and no thread: whoever calls
`scan` waits for it, and only one at a time may.
"""

import logging
from collections.abc import Callable, Collection
from pathlib import Path

from msgspec.structs import replace

from app import clock
from app.collect.announcing import Announcer
from app.collect.steps import Labels
from app.errors import Conflict, NpvirtError, VirtError
from app.inventory import Scan
from app.store.credentials import resolve
from app.store.engine import Store
from app.store.hosts import HostRecord, claim_uuid
from app.store.record import Recorder
from app.virt.read.reader import Reader
from app.virt.session import Session
from app.virt.uri import display_uri

log = logging.getLogger(__name__)


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
        self._labels = Labels()
        self._abandoned = False
        self._sign_s = 0.0

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
        try:
            seen = self._look(at_ms, everything, again)
        except (VirtError, Conflict) as error:
            self.disconnect()
            seen = _failed(at_ms, error)
        seen = replace(
            seen,
            took_ms=clock.took_ms(started_s),
            next_at_ms=next_at_ms(seen.ok),
            clock_stepped=self._labels.stepped(at_ms, started_s),
        )
        self._sign_s = clock.monotonic_s()
        if self._abandoned:
            raise NpvirtError("A look that had been given up ended; what it saw is not stored.")
        recorded = self._recorder.record(seen)
        self._labels.stored(recorded.at_ms, started_s, good=seen.ok)
        if self._announcer is not None:
            self._announcer.told(seen, recorded)
        return seen

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
        uri = display_uri(self.record.connection)
        seen = self._reader.scan(
            self._session, at_ms=at_ms, uri=uri, everything=everything, again=again
        )
        uuid = seen.host.uuid if seen.host else None
        if uuid is not None and uuid != self._claimed_uuid:
            claim_uuid(self._store, self.record.id, uuid)
            self._claimed_uuid = uuid
        return seen

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
