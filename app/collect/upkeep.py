"""Upkeep of the store beside the scans: compaction, retention and a daily look at all of it, in
slices with pauses between; backups, and the capacity report of a month that is over.

Only the process that collects does it. A slice holds the store's lock for some milliseconds at a
time, so a scan that is ready is written between two of them.
"""

import logging
import math
import threading
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from app import clock
from app.collect.backups import Backups
from app.collect.patience import Patience
from app.collect.reports import Reports
from app.collect.soundness import Soundness
from app.errors import StoreError
from app.settings import Settings
from app.store.compaction import Compactor
from app.store.engine import Store
from app.store.retention import Retention, lengths_of, newest_scan_ms
from app.store.slices import Sliced

log = logging.getLogger(__name__)

# How often it is looked whether something is due, and how long one turn may work at that.
EVERY_S = 15.0
_TURN_S = 10.0
_SLICE_S = 0.04
_PAUSE_S = 0.05
_RETENTION_EVERY_S = 600.0
# A step takes milliseconds, but for the copy that a backup begins with.
_STUCK_S = 900.0
_UNFORESEEN = "npvirt met something that it did not foresee; its own log says what."


class UpkeepFigures(Struct, frozen=True):
    """When this process last had nothing left to compact or to delete, and what it failed over
    the last time, as a sentence; for how long deleting is held back. Times are labels.
    """

    compacted_ms: int | None = None
    retained_ms: int | None = None
    trouble: str | None = None
    held_s: float = 0.0


class Upkeep:
    """The work that is due now and then, a turn at a time; threads may share it."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._compactor = Compactor(store)
        self._retention = Retention(store, lengths_of(settings))
        self._soundness = Soundness(store)
        self._backups = Backups(settings, store)
        self._reports = Reports(settings, store)
        self._retained_s: float | None = None
        self._stopping = threading.Event()
        self._turning = threading.Lock()
        self.patience = Patience()
        self._figures = UpkeepFigures()
        self._trouble: str | None = None
        # When the present step of it began; None while there is none.
        self._step_s: float | None = None

    def stop(self) -> None:
        """Have a turn end after its present slice; later ones do nothing."""
        self._stopping.set()

    def begin(self) -> None:
        """Take note of when hosts were last looked at, before this process does."""
        try:
            self.patience.begin(newest_scan_ms(self._store))
        except StoreError as error:
            log.error("It cannot be told when hosts were last looked at: %s", error)

    def look(self) -> None:
        """See that the store's file is still there, take up one that was put in its place, and
        look at all of it where damage was met.
        """
        self._step_s = clock.monotonic_s()
        try:
            self._store.look()
            self._soundness.again(self._finish)
        except StoreError as error:
            log.error("%s", error)
        finally:
            self._step_s = None

    def now(self) -> UpkeepFigures:
        """How far it has come."""
        found, step_s = self._figures, self._step_s
        if step_s is not None and (stuck_s := clock.monotonic_s() - step_s) > _STUCK_S:
            # As on a disk for backups that does not answer.
            sentence = f"It has been at one step for {stuck_s / 60:.0f} minutes, and does no other."
            found = replace(found, trouble=sentence)
        return replace(found, held_s=self.patience.left_s())

    def turn(self) -> None:
        """Do what is due, for some seconds at most; what cannot be stored is logged and tried
        again at a later turn. Waits for a turn that somebody else is at, as long as one lasts.
        """
        if not self._turning.acquire(timeout=_TURN_S):
            return
        try:
            self._turn()
        finally:
            self._turning.release()

    def _turn(self) -> None:
        """What fails keeps nothing else from being done but what builds on it."""
        until_s, self._trouble = clock.monotonic_s() + _TURN_S, None
        if put_together := self._does(lambda: self._work(self._compactor, until_s)):
            self._figures = replace(self._figures, compacted_ms=clock.now_ms())
            if self._retention_is_due() and self._does(
                lambda: self._work(self._retention, until_s)
            ):
                self._retained_s = clock.monotonic_s()
                self._figures = replace(self._figures, retained_ms=clock.now_ms())
        self._does(lambda: self._soundness.daily(lambda work: self._work(work, until_s)))
        self._does(lambda: self._backups.turn(self._finish))
        if put_together:
            self._does(self._reports.turn)
        self._figures = replace(self._figures, trouble=self._trouble)

    def _does(self, work: Callable[[], bool | None]) -> bool:
        """Whether `work` says that it is done; what it fails over is the trouble of this turn, if
        it is the first.
        """
        # What it looks at before and after its slices may hang as well.
        self._step_s = clock.monotonic_s()
        try:
            return bool(work())
        except StoreError as error:
            log.error("The store's upkeep has to wait: %s", error)
            trouble = str(error)
        except Exception:
            # What comes next is to be done all the same; the log keeps the traceback.
            log.exception("The store's upkeep failed for a reason npvirt did not foresee")
            trouble = _UNFORESEEN
        finally:
            self._step_s = None
        self._trouble = self._trouble or trouble
        return False

    def _retention_is_due(self) -> bool:
        if self.patience.left_s():
            return False
        since_s = self._retained_s
        return since_s is None or clock.monotonic_s() - since_s >= _RETENTION_EVERY_S

    def _finish(self, work: Sliced) -> bool:
        """Work in slices until it is done, unless npvirt ends."""
        return self._work(work, math.inf)

    def _work(self, work: Sliced, until_s: float) -> bool:
        """Work in slices until it is done (True) or time is up."""
        while not self._stopping.is_set() and clock.monotonic_s() < until_s:
            self._step_s = clock.monotonic_s()
            if not work.step(clock.now_ms(), _SLICE_S):
                return True
            self._stopping.wait(_PAUSE_S)
        return False
