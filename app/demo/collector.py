"""The collector of a demonstration: on schedule, and asks the made-up hosts alone.

Whatever else would go out to a host says that there is none.
"""

from collections.abc import Callable, Collection

from app import clock
from app.collect.collector import Collector
from app.collect.connecting import Diagnosis
from app.collect.worker import Looks
from app.connection import Connection
from app.demo.live import Stage
from app.errors import Conflict
from app.inventory import Scan
from app.settings import Settings
from app.store.engine import Store
from app.store.hosts import HostRecord
from app.store.record import Recorder

SENTENCE = "This is a demonstration: its hosts are made up, and npvirt connects to none."


class DemoScanner:
    """Looks at one made-up host, and stores what it tells."""

    def __init__(self, store: Store, record: HostRecord, interval_ms: int, stage: Stage) -> None:
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
        self._recorder.record(seen)
        return seen

    def disconnect(self) -> None:
        """There is no connection."""

    def close(self) -> None:
        """There is nothing to close."""


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

    def _scanner(self, record: HostRecord, interval_ms: int) -> Looks:
        return DemoScanner(self._demo_store, record, interval_ms, self._stage)
