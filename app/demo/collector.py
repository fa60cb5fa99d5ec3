"""The collector of a demonstration: on schedule, and asks the made-up hosts alone.

Whatever else would go out to a host says that there is none.
"""

from collections.abc import Callable, Collection

from app import clock
from app.clock import MINUTE_MS
from app.collect.announcing import Announcer
from app.collect.collector import Collector
from app.collect.connecting import Diagnosis
from app.collect.live import Hub
from app.collect.partial import Gathered
from app.collect.worker import Looks
from app.connection import Connection
from app.demo.live import Stage
from app.errors import Conflict
from app.inventory import Scan, Told
from app.settings import Settings
from app.store.engine import Store
from app.store.hosts import HostRecord, list_hosts
from app.store.record import Recorder

_SHORT_MS = 20 * MINUTE_MS

SENTENCE = "This is a demonstration: its hosts are made up, and npvirt connects to none."


class DemoScanner:
    """Looks at one made-up host, and stores what it tells."""

    def __init__(
        self, store: Store, record: HostRecord, interval_ms: int, stage: Stage, hub: Hub
    ) -> None:
        self._announcer = Announcer(hub, record.slug)
        self._host = stage.host(record.slug)
        self._recorder = Recorder(store, record, interval_ms)

    def scan(
        self,
        *,
        everything: bool = False,
        again: Collection[tuple[str, str]] = (),
        next_at_ms: Callable[[bool], int | None],
    ) -> Scan:
        """Look once and store the outcome; raises StoreError."""
        seen = self._host.scan(clock.now_ms(), next_at_ms)
        self._announcer.told(seen, self._recorder.record(seen))
        return seen

    def catch_up(self, now_ms: int) -> None:
        """Store scans of every minute since the last one, where these are few."""
        last_ms = self._host.last_ms
        if now_ms - last_ms > _SHORT_MS:
            return
        for at_ms in range(last_ms + MINUTE_MS, now_ms - MINUTE_MS // 2, MINUTE_MS):
            self._recorder.record(self._host.scan(at_ms, _then(at_ms + MINUTE_MS)))

    def listen(self, tell: Callable[[Told], None], lost: Callable[[str], None]) -> None:
        """Nothing tells of made-up hosts."""

    def look_at(self, gathered: Gathered) -> bool:
        """False: what is made up is looked at as a whole."""
        return False

    def answers(self) -> bool:
        """What is made up always answers."""
        return True

    def unforeseen(self, next_at_ms: Callable[[bool], int | None]) -> Scan | None:
        """Nothing is stored: what is made up is made up again."""
        return None

    def close(self) -> None:
        """There is nothing to close."""

    def abandon(self) -> None:
        """There is nothing that could hang."""

    def last_sign_s(self) -> float:
        """Always just now: nothing here can hang."""
        return clock.monotonic_s()


def _then(at_ms: int) -> Callable[[bool], int]:
    return lambda ok: at_ms


class DemoCollector(Collector):
    """A collector that opens no connection."""

    def __init__(self, settings: Settings, store: Store, stage: Stage) -> None:
        super().__init__(settings, store)
        self._demo_store = store
        self._stage = stage

    def test_connection(self, connection: Connection) -> Diagnosis:
        """Says that nothing is tried."""
        return Diagnosis(False, (), SENTENCE, 0)

    def trust(self, connection: Connection, fingerprints: Collection[str]) -> None:
        """Raises Conflict: there is nobody to trust."""
        raise Conflict(SENTENCE)

    def own_public_key(self) -> str:
        """No key: none is needed."""
        return ""

    def catch_up(self) -> None:
        """Make up the scans of the minutes that making the past took, if that was not long ago;
        before `start`. Raises StoreError.
        """
        for record in list_hosts(self._demo_store):
            scanner = DemoScanner(self._demo_store, record, MINUTE_MS, self._stage, self.hub)
            scanner.catch_up(clock.now_ms())

    def _scanner(self, record: HostRecord, interval_ms: int) -> Looks:
        return DemoScanner(self._demo_store, record, interval_ms, self._stage, self.hub)
