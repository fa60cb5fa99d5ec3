"""When backups are made: at the time that is set, or as soon as npvirt runs after it.

Its work is done in slices by app/collect/upkeep, in the process that collects. A demonstration has
nothing that is worth one.
"""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from app import clock
from app.settings import Settings
from app.store.backups import BackupMaker, directory_of, is_due
from app.store.demonstration import is_demonstration
from app.store.engine import Store
from app.store.slices import Sliced

# One that failed is tried again after so long.
_AGAIN_S = 900.0


class Backups:
    """Makes them; one thread at a time may use it."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._at = None if is_demonstration(settings.data) else settings.backup_at
        self._zone = ZoneInfo(settings.timezone) if settings.timezone else None
        self._directory = directory_of(settings)
        self._maker = BackupMaker(store, self._directory, settings.backup_keep)
        self._tried_s: float | None = None

    def turn(self, work: Callable[[Sliced], bool]) -> None:
        """Make a backup if one is due; `work` works until it is done. Raises StoreError."""
        if self._at is None or not self._may_try():
            return
        if is_due(self._directory, self._at, self._zone, clock.now_ms()):
            self._tried_s = clock.monotonic_s()
            work(self._maker)

    def _may_try(self) -> bool:
        tried_s = self._tried_s
        return tried_s is None or clock.monotonic_s() - tried_s >= _AGAIN_S
