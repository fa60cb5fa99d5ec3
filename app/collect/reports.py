"""When the capacity report of a month is made: as soon as the month is over and all that was seen
in it is put together, or as soon as npvirt runs after that.

Called by app/collect/upkeep, in the process that collects. It takes as long as a capacity review.
"""

import logging

from app import clock
from app.capacity.report import monthly
from app.notifier.report_text import subject_of
from app.settings import Settings
from app.store.capacity_reports import keep_report, known_at_end, month_due
from app.store.demonstration import read_mark
from app.store.engine import Store

log = logging.getLogger(__name__)

# How often it is looked whether one is due.
_EVERY_S = 300.0


class Reports:
    """Makes them; one thread at a time may use it."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._data = settings.data
        self._store = store
        self._looked_s: float | None = None

    def turn(self) -> None:
        """Make a report if one is due, and look again soon if one was. Raises StoreError."""
        now_s = clock.monotonic_s()
        if self._looked_s is not None and now_s - self._looked_s < _EVERY_S:
            return
        self._looked_s = now_s
        mark = read_mark(self._data)
        if mark is not None and not mark.whole:
            # A demonstration's past is still being made up.
            return
        due = month_due(self._store, clock.now_ms())
        if due is None:
            return
        report = monthly(*known_at_end(self._store, due))
        if keep_report(self._store, report, subject_of(report), clock.now_ms()):
            log.info("The capacity report of %s is made.", report.month)
        self._looked_s = None
