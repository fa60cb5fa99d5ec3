"""The schedule: what is done every so many seconds, by APScheduler, whatever the wall clock does.

APScheduler asks the wall clock what time it is, and stands still for an hour when that steps back
one. Here it asks the monotonic clock instead, so that a step neither stops nor doubles anything.
It can be replaced as a whole when it died or is stuck.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from apscheduler.schedulers import base
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from msgspec import Struct

from app import clock

log = logging.getLogger(__name__)

# What must never wait, and what may take its time.
Pool = Literal["ticks", "upkeep"]
_POOLS: dict[Pool, int] = {"ticks": 2, "upkeep": 3}


class _Steady(datetime):
    """APScheduler's notion of now: what the monotonic clock says, as if it counted from 1970."""

    @classmethod
    def now(cls, _tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # gives plain ones
        """The monotonic clock's time, in UTC."""
        return datetime.fromtimestamp(clock.monotonic_s(), tz=UTC)


# It asks `datetime.now` and nothing else (3.11); tests/test_watchdog.py would tell if it changed.
base.datetime = _Steady


class _Job(Struct, frozen=True):
    """Something to be done every so many seconds, the first time after `after_s`."""

    every_s: float
    work: Callable[[], object]
    after_s: float
    pool: Pool


class Schedule:
    """Does jobs at their rhythm; threads may share it. A job that is late is done once, not once
    for every time it was missed, and never twice at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._scheduler: BackgroundScheduler | None = None
        # How many jobs are being done, by a scheduler that was given up as well.
        self._busy = 0
        self._quiet = threading.Condition()
        self._stopped = False
        # How often it was replaced.
        self.renewals = 0

    @property
    def alive(self) -> bool:
        """Whether it is started and its thread runs."""
        scheduler = self._scheduler
        thread = getattr(scheduler, "_thread", None)
        return thread is not None and thread.is_alive()

    def every(
        self,
        name: str,
        seconds: float,
        work: Callable[[], object],
        *,
        after_s: float = 0.0,
        pool: Pool = "ticks",
    ) -> None:
        """Do `work` every so many seconds from `after_s` on; replaces the job of that name."""
        job = _Job(seconds, work, after_s, pool)
        with self._lock:
            self._jobs[name] = job
            if self._scheduler is not None:
                self._add(self._scheduler, name, job)

    def cancel(self, name: str) -> None:
        """Do the job of that name no more, if there is one."""
        with self._lock:
            if self._jobs.pop(name, None) is not None and self._scheduler is not None:
                self._scheduler.remove_job(name)

    def start(self) -> None:
        """Begin; every job's first time counts from now."""
        with self._quiet:
            self._stopped = False
        with self._lock:
            self._scheduler = self._made()

    def renew(self) -> None:
        """Give up the scheduler, which died or is stuck, and begin with another; what it was doing
        goes on in its threads, which cannot be ended.
        """
        with self._lock:
            if self._scheduler is None:
                return
            given_up, self._scheduler = self._scheduler, self._made()
            self.renewals += 1
        # It waits for the scheduler's thread, which may be what is stuck.
        threading.Thread(
            target=given_up.shutdown, args=(False,), name="schedule-given-up", daemon=True
        ).start()

    def stop(self, wait_s: float = 2.0) -> None:
        """Begin no job any more, and wait so long at most for those that are being done."""
        with self._quiet:
            self._stopped = True
        with self._lock:
            scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None and scheduler.running:
            scheduler.shutdown(wait=False)
        with self._quiet:
            self._quiet.wait_for(lambda: not self._busy, wait_s)

    def _made(self) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={
                pool: {"type": "threadpool", "max_workers": threads}
                for pool, threads in _POOLS.items()
            },
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        scheduler.start(paused=True)
        for name, job in self._jobs.items():
            self._add(scheduler, name, job)
        scheduler.resume()
        return scheduler

    def _add(self, scheduler: BackgroundScheduler, name: str, job: _Job) -> None:
        scheduler.add_job(
            self._do,
            # Given the time of the last run it counts from there, and asks no clock.
            IntervalTrigger(seconds=job.every_s, timezone=UTC),
            args=(job.work,),
            next_run_time=_Steady.now() + timedelta(seconds=job.after_s),
            id=name,
            executor=job.pool,
            replace_existing=True,
        )

    def _do(self, work: Callable[[], object]) -> None:
        with self._quiet:
            if self._stopped:
                return
            self._busy += 1
        try:
            work()
        finally:
            with self._quiet:
                self._busy -= 1
                self._quiet.notify_all()
