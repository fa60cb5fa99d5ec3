"""The collector: keeps the schedule, one worker per enabled host, and the lock that says who may.

Every method returns at once, except the ones whose docstring says that they wait. APScheduler
keeps the schedule; its jobs only wake the workers, so hung hosts cannot use up its threads.
"""

import logging
import threading
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from msgspec import Struct

from app import clock
from app.collect import connecting
from app.collect.announcing import Announcer
from app.collect.connecting import Diagnosis
from app.collect.control import ControlServer, ask
from app.collect.leadership import Leadership
from app.collect.live import Hub
from app.collect.noticing import Noticer
from app.collect.scanner import Scanner
from app.collect.summary import Summary
from app.collect.upkeep import EVERY_S, Upkeep
from app.collect.worker import HostWorker, Looks
from app.connection import Connection
from app.errors import StoreError
from app.settings import Settings
from app.store.engine import Store
from app.store.hosts import HostRecord, list_hosts
from app.store.walking import tell_older

log = logging.getLogger(__name__)

_SPREAD_S = 0.25
SCAN_WAIT_S = 120.0
LOOK_WAIT_S = 8.0
# Slices of a twentieth of a second, so that scans find the store free.
_OLDER_EVERY_S = 0.25


class Health(Struct, frozen=True):
    """Whether the schedule goes on. `collecting`: this process scans (else another does)."""

    ok: bool
    collecting: bool
    tick_age_s: float | None
    sentence: str


class Collector:
    """Scans every enabled host on a schedule while this process holds the lock."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self.hub = Hub()
        self.noticer = Noticer(store, self.hub, lambda: self._leadership.held)
        self._interval_s = settings.scan_seconds
        self._leadership = Leadership(settings.data)
        self._control = ControlServer(settings.data, self._answer)
        self._upkeep = Upkeep(settings, store)
        self._workers: dict[int, tuple[HostRecord, HostWorker]] = {}
        self._lock = threading.RLock()
        self._ticked_s: float | None = None
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": {"type": "threadpool", "max_workers": 2}},
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )

    def start(self) -> None:
        """Start the schedule; the first scans begin at once if the lock is free."""
        self._scheduler.add_job(
            self._tick,
            IntervalTrigger(seconds=self._interval_s, timezone=UTC),
            next_run_time=datetime.fromtimestamp(clock.now_ms() / 1000, tz=UTC),
            id="tick",
        )
        self._scheduler.add_job(
            self.keep_up, IntervalTrigger(seconds=EVERY_S, timezone=UTC), id="upkeep"
        )
        self._scheduler.start()

    def stop(self) -> None:
        """Stop the schedule, end the workers (waiting up to two seconds) and free the lock."""
        self._upkeep.stop()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        with self._lock:
            self._control.stop()
            workers = [worker for _, worker in self._workers.values()]
            self._workers.clear()
            for worker in workers:
                worker.stop()
            deadline_s = clock.monotonic_s() + 2.0
            for worker in workers:
                worker.join(max(0.0, deadline_s - clock.monotonic_s()))
            self._leadership.release()

    def scan_now(self, slug: str) -> bool:
        """Ask for a scan of host `slug`; True when somebody will do it."""
        with self._lock:
            worker = self._worker(slug)
            collecting = self._leadership.held
        if worker is not None:
            worker.wake()
            return True
        return not collecting and ask(self._settings.data, {"wake": [slug]}) is not None

    def look_again(
        self, slug: str, objects: Collection[tuple[str, str]], timeout_s: float = LOOK_WAIT_S
    ) -> bool:
        """Have host `slug` scanned, some objects of it whatever their turn (as in Reader.scan),
        and wait until that is stored; False when it was not in time, or nobody collects.
        """
        with self._lock:
            worker = self._worker(slug)
            collecting = self._leadership.held
        if worker is not None:
            return worker.wait(worker.wake(again=objects), timeout_s) is not None
        if collecting:
            return False
        named = [f"{kind}/{key}" for kind, key in objects]
        answer = ask(self._settings.data, {"look": [slug, *named]}, timeout_s + 1.0)
        return bool(answer and answer.get(slug))

    def wake(self) -> None:
        """Take note of a changed registry: start, stop and replace workers."""
        if self._leadership.held:
            self._follow_registry()
        else:
            ask(self._settings.data, {"wake": []})

    def test_connection(self, connection: Connection) -> Diagnosis:
        """Walk the way to a host; waits, at most some twenty seconds."""
        return connecting.test_connection(self._settings, self._store, connection)

    def trust(self, connection: Connection, fingerprints: Collection[str]) -> None:
        """Remember the host keys that were compared; waits; see `connecting.trust`."""
        connecting.trust(self._settings, self._store, connection, fingerprints)

    def own_public_key(self) -> str:
        """Npvirt's own SSH public key, made at first need; may wait for ssh-keygen."""
        return connecting.own_public_key(self._settings)

    def health(self) -> Health:
        """Whether the scheduler ticks; red two ticks after it last did."""
        ticked_s = self._ticked_s
        if ticked_s is None:
            return Health(False, False, None, "The scheduler has not started yet.")
        age_s = clock.monotonic_s() - ticked_s
        collecting = self._leadership.held
        if age_s > 2 * self._interval_s + 1:
            return Health(
                False, collecting, age_s, f"The scheduler stands still for {age_s:.0f} s."
            )
        sentence = "Scanning." if collecting else "Another process scans; this one serves pages."
        return Health(True, collecting, age_s, sentence)

    def keep_up(self) -> None:
        """Do a turn of the store's upkeep, if this process collects; takes some seconds."""
        if self._leadership.held:
            self._upkeep.turn()

    def _tick(self) -> None:
        """Renew the lead and follow the registry; host jobs wake the workers themselves."""
        self._ticked_s = clock.monotonic_s()
        if not self._leadership.held:
            if not self._leadership.acquire():
                return
            self._control.start()
            self._scheduler.add_job(
                self._tell_older,
                IntervalTrigger(seconds=_OLDER_EVERY_S, timezone=UTC),
                id="older changes",
                replace_existing=True,
            )
        try:
            self._follow_registry()
        except StoreError as error:
            log.error("The list of hosts cannot be read: %s", error)

    def _tell_older(self) -> None:
        """Tell some more of the changes of before the list was kept, until all are told."""
        try:
            if tell_older(self._store):
                return
        except StoreError as error:
            log.error("Older changes cannot be told yet: %s", error)
            return
        self._scheduler.remove_job("older changes")

    def _follow_registry(self) -> None:
        with self._lock:
            wanted = {record.id: record for record in list_hosts(self._store) if record.enabled}
            for host_id, (record, _) in list(self._workers.items()):
                if not _same_way(record, wanted.get(host_id)):
                    self._drop(host_id)
            added = [record for host_id, record in wanted.items() if host_id not in self._workers]
            for position, record in enumerate(added):
                self._add(record, after_s=position * _SPREAD_S)

    def _add(self, record: HostRecord, after_s: float) -> None:
        interval_ms = round(self._interval_s * 1000)
        worker = HostWorker(
            lambda: self._scanner(record, interval_ms),
            record.slug,
            self._interval_s,
        )
        worker.start()
        self._workers[record.id] = (record, worker)
        first = datetime.fromtimestamp(clock.now_ms() / 1000, tz=UTC) + timedelta(seconds=after_s)
        self._scheduler.add_job(
            worker.wake,
            IntervalTrigger(seconds=self._interval_s, timezone=UTC),
            next_run_time=first,
            id=f"scan-{record.id}",
            replace_existing=True,
        )

    def _scanner(self, record: HostRecord, interval_ms: int) -> Looks:
        """What looks at a host; a demonstration has another."""
        announcer = Announcer(self.hub, record.slug)
        return Scanner(self._store, self._settings.data, record, interval_ms, announcer)

    def _drop(self, host_id: int) -> None:
        _, worker = self._workers.pop(host_id)
        self._scheduler.remove_job(f"scan-{host_id}")
        worker.stop()

    def _worker(self, slug: str) -> HostWorker | None:
        for record, worker in self._workers.values():
            if record.slug == slug:
                return worker
        return None

    def _answer(self, request: dict[str, list[str]]) -> dict[str, Summary | None]:
        """What another process asks over the control socket: follow the registry, wake or scan
        the named hosts; a scan waits for its outcome.
        """
        self._follow_registry()
        for slug in request.get("wake", []):
            self.scan_now(slug)
        if "look" in request:
            return self._look(request["look"])
        return self._scan_and_wait(request.get("scan", []))

    def _look(self, asked: list[str]) -> dict[str, Summary | None]:
        """The outcome of one host's scan; `asked` is its slug, then `kind/key` of objects."""
        slug, *named = asked
        with self._lock:
            worker = self._worker(slug)
        if worker is None:
            return {}
        again = [(kind, key) for kind, _, key in (name.partition("/") for name in named)]
        return {slug: worker.wait(worker.wake(again=again), LOOK_WAIT_S)}

    def _scan_and_wait(self, slugs: Iterable[str]) -> dict[str, Summary | None]:
        with self._lock:
            workers = {slug: self._worker(slug) for slug in slugs}
        asked = {slug: (w, w.wake(everything=True)) for slug, w in workers.items() if w}
        deadline_s = clock.monotonic_s() + SCAN_WAIT_S
        outcomes: dict[str, Summary | None] = dict.fromkeys(workers)
        for slug, (worker, number) in asked.items():
            outcomes[slug] = worker.wait(number, max(0.0, deadline_s - clock.monotonic_s()))
        return outcomes


def _same_way(old: HostRecord, new: HostRecord | None) -> bool:
    """Whether a worker made for `old` still serves `new`: same name, same connection."""
    return new is not None and (old.slug, old.connection) == (new.slug, new.connection)
