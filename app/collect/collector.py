"""The collector: one worker per enabled host, and the lock that says who may have them.

Every method returns at once, except the ones whose docstring says that they wait. The schedule
only wakes the workers, so hung hosts cannot use up its threads; a watchdog looks after both.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable

from app import clock
from app.collect import connecting
from app.collect.announcing import Announcer
from app.collect.connecting import Diagnosis
from app.collect.control import ControlServer, ask
from app.collect.health import Health, Supervision
from app.collect.leadership import Holder, Leadership, collector_directory
from app.collect.live import Hub
from app.collect.noticing import Noticer
from app.collect.pulse import Pulse
from app.collect.scanner import Scanner
from app.collect.schedule import Schedule
from app.collect.steps import ClockWatch
from app.collect.summary import Summary
from app.collect.upkeep import EVERY_S, Upkeep
from app.collect.watchdog import Watchdog
from app.collect.worker import HostWorker, Looks
from app.connection import Connection
from app.errors import StoreError
from app.notifier import notifier
from app.notifier.notifier import Notifier
from app.settings import Settings
from app.store.engine import Store
from app.store.hosts import HostRecord, list_hosts
from app.store.walking import tell_older
from app.virt import events

log = logging.getLogger(__name__)

_SPREAD_S = 0.25
SCAN_WAIT_S = 120.0
LOOK_WAIT_S = 8.0
_WAKE_WAIT_S = 3.0
# Slices of a twentieth of a second, so that scans find the store free.
_OLDER_EVERY_S = 0.25
# However rarely hosts are scanned, so often it is looked who collects, and that the schedule lives.
_TICK_S = 10.0
_WATCH_S = 1.0
_MOST_DOUBLINGS = 6


class Collector:
    """Scans every enabled host on a schedule while this process holds the lock."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self.hub = Hub()
        self.noticer = Noticer(store, self.hub, lambda: self._leadership.held)
        self._interval_s = settings.scan_seconds
        self._directory = collector_directory(settings)
        self._leadership = Leadership(self._directory)
        self._control = ControlServer(self._directory, self._answer)
        self._upkeep = Upkeep(settings, store)
        self.notifier = Notifier(settings, store)
        self._workers: dict[int, tuple[HostRecord, HostWorker]] = {}
        self._lock = threading.RLock()
        self._schedule = Schedule()
        self._pulse = Pulse(min(self._interval_s, _TICK_S))
        self._clock_watch = ClockWatch()
        self._watchdog = Watchdog(min(_WATCH_S, self._interval_s / 2), self._watch)
        self._with_tick: list[Callable[[], None]] = []
        self._renewed_s: float | None = None
        self._replaced: dict[str, int] = {}

    def with_every_tick(self, do: Callable[[], None]) -> None:
        """Have `do`, which returns at once and raises nothing, called with every tick from now on,
        whichever process collects.
        """
        self._with_tick.append(do)

    def start(self) -> None:
        """Start the schedule; the first scans begin at once if the lock is free. To be called in
        the process that serves, after its fork: libvirt's events arrive from now on.
        """
        events.start_loop()
        self._upkeep.begin()
        self._schedule.every("tick", self._pulse.every_s, self._tick)
        self._schedule.every("upkeep", EVERY_S, self.keep_up, after_s=EVERY_S, pool="upkeep")
        self._schedule.every(
            "notifications", notifier.EVERY_S, self.notify, after_s=notifier.EVERY_S, pool="upkeep"
        )
        self._schedule.start()
        self._clock_watch = ClockWatch()
        self._watchdog.start()

    def stop(self) -> None:
        """Stop the schedule, end the workers and what is being sent (waiting up to two seconds for
        each) and free the lock; of looks that go on beyond that nothing is stored.
        """
        self._upkeep.stop()
        self._watchdog.stop()
        self._schedule.stop()
        with self._lock:
            self._control.stop()
            workers = [worker for _, worker in self._workers.values()]
            self._workers.clear()
            for worker in workers:
                worker.stop()
            deadline_s = clock.monotonic_s() + 2.0
            for worker in workers:
                if not worker.join(max(0.0, deadline_s - clock.monotonic_s())):
                    # Another process may scan from now on.
                    worker.abandon()
            self.notifier.stop()
            self._leadership.release()

    def scan_now(self, slug: str) -> bool:
        """Ask for a scan of host `slug`; True when somebody will do it."""
        with self._lock:
            worker = self._worker(slug)
            collecting = self._leadership.held
        if worker is not None:
            worker.wake()
            return True
        return not collecting and self._ask_to_wake([slug])

    def look_again(
        self, slug: str, objects: Collection[tuple[str, str]], timeout_s: float = LOOK_WAIT_S
    ) -> bool:
        """Have some objects (as in Reader.scan) of host `slug` looked at, and wait until what was
        seen is stored; False when it was not in time, or nobody collects.
        """
        with self._lock:
            worker = self._worker(slug)
            collecting = self._leadership.held
        if worker is not None:
            return worker.look_again(objects, timeout_s) is not None
        if collecting:
            return False
        named = [f"{kind}/{key}" for kind, key in objects]
        answer = ask(self._directory, {"look": [slug, *named]}, timeout_s + 1.0)
        return bool(answer and answer.get(slug))

    def wake(self) -> None:
        """Take note of a changed registry: start, stop and replace workers."""
        if self._leadership.held:
            self._follow_registry()
        else:
            self._ask_to_wake([])

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
        """Whether the schedule goes on; red at once when its thread died, and within two ticks
        when it is stuck.
        """
        age_s, collecting = self._pulse.age_s(), self._leadership.held
        if age_s is None:
            return Health(False, False, None, "The scheduler has not started yet.")
        if not self._schedule.alive:
            return Health(False, collecting, age_s, "The scheduler died.")
        if age_s > self._pulse.limit_s:
            sentence = f"The scheduler stands still for {age_s:.0f} s."
            return Health(False, collecting, age_s, sentence)
        if not self._watchdog.alive:
            return Health(False, collecting, age_s, "The watchdog of the scheduler died.")
        return Health(True, collecting, age_s, "Scanning." if collecting else self._who_scans())

    def holder(self) -> Holder | None:
        """The process that collects, or did last; None when there never was one."""
        return self._leadership.holder()

    def supervision(self) -> Supervision:
        """What this process counted of its own machinery."""
        with self._lock:
            workers = {record.slug: worker.figures() for record, worker in self._workers.values()}
            replaced = dict(self._replaced)
        return Supervision(
            self._pulse.figures(), self._schedule.renewals, self._upkeep.now(), workers, replaced
        )

    def is_late(self, holder: Holder) -> bool:
        """Whether `holder` should have ticked since it last did."""
        return holder.age_s() > self._pulse.limit_s

    def keep_up(self) -> None:
        """See that the store is still there and do a turn of its upkeep, if this process collects;
        takes some seconds.
        """
        self._upkeep.look()
        if self._leadership.held:
            self._upkeep.turn()

    def notify(self) -> None:
        """Find out what is to be told to whom and begin to tell it, if this process collects."""
        if self._leadership.held:
            self.notifier.turn()

    def _ask_to_wake(self, slugs: list[str]) -> bool:
        """Have the process that collects take note of the registry, and scan these hosts; False
        when it does not answer soon, as one that was stopped does not.
        """
        return ask(self._directory, {"wake": slugs}, _WAKE_WAIT_S) is not None

    def _who_scans(self) -> str:
        holder = self._leadership.holder()
        if holder is None:
            return "Another process scans; this one serves pages."
        who = f"Process {holder.pid} on {holder.machine} scans; this one serves pages."
        if not self.is_late(holder):
            return who
        return f"{who} It has not ticked for {holder.age_s():.0f} s, and holds the lock."

    def _tick(self) -> None:
        """Renew the lead and follow the registry, after what others want done with every tick; host
        jobs wake the workers themselves.
        """
        self._pulse.tick()
        for do in self._with_tick:
            do()
        try:
            if not self._leadership.acquire():
                if self._control.listening:
                    self._step_down()
                return
            self._leadership.tick()
            if not self._control.listening:
                self._control.start()
                self._schedule.every(
                    "older changes", _OLDER_EVERY_S, self._tell_older, pool="upkeep"
                )
            self._follow_registry()
        except OSError as error:
            log.error("The data directory cannot be used: %s", error)
        except StoreError as error:
            log.error("The list of hosts cannot be read: %s", error)

    def _step_down(self) -> None:
        """Another process collects from now on: scan no more, store nothing of what was begun."""
        log.error("Somebody removed the collector's lock, and another process took it.")
        self._schedule.cancel("older changes")
        with self._lock:
            self._control.stop(replaced=True)
            for host_id in list(self._workers):
                self._drop(host_id)

    def _watch(self) -> None:
        """What the watchdog looks after: the wall clock, the schedule, and the workers."""
        step = self._clock_watch.look()
        if step is not None:
            self._pulse.stepped(step)
            self._upkeep.patience.stepped(step)
            log.warning("The wall clock stepped by %+.1f s; scans go on.", step.by_ms / 1000)
        self._renew_if_stuck()
        self._replace_workers()

    def _renew_if_stuck(self) -> None:
        """Replace the scheduler a tick after it is known to be dead or stuck: less and less often
        when that does not help.
        """
        age_s, every_s = self._pulse.age_s(), self._pulse.every_s
        if age_s is None or age_s <= self._pulse.limit_s + every_s:
            return
        now_s, patience = clock.monotonic_s(), min(self._schedule.renewals, _MOST_DOUBLINGS)
        if self._renewed_s is not None and now_s - self._renewed_s < every_s * 2**patience:
            return
        self._renewed_s = now_s
        log.error("The scheduler stands still for %.0f s; it is replaced.", age_s)
        self._schedule.renew()

    def _replace_workers(self) -> None:
        with self._lock:
            for record, worker in list(self._workers.values()):
                trouble = worker.trouble()
                if trouble is not None:
                    log.error("%s: its worker %s, and is replaced.", record.slug, trouble)
                    self._replaced[record.slug] = self._replaced.get(record.slug, 0) + 1
                    worker.abandon()
                    self._add(record, after_s=0.0)

    def _tell_older(self) -> None:
        """Tell some more of the changes of before the list was kept, until all are told."""
        try:
            if tell_older(self._store):
                return
        except StoreError as error:
            log.error("Older changes cannot be told yet: %s", error)
            return
        self._schedule.cancel("older changes")

    def _follow_registry(self) -> None:
        with self._lock:
            if not self._leadership.held:
                # The lock went, or was given back, since it was asked for this.
                return
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
        self._schedule.every(_job(record.id), self._interval_s, worker.wake, after_s=after_s)

    def _scanner(self, record: HostRecord, interval_ms: int) -> Looks:
        """What looks at a host; a demonstration has another."""
        announcer = Announcer(self.hub, record.slug)
        return Scanner(self._store, self._settings.data, record, interval_ms, announcer)

    def _drop(self, host_id: int) -> None:
        _, worker = self._workers.pop(host_id)
        self._schedule.cancel(_job(host_id))
        # What it sees late is of a host that is looked at in another way by now, or not at all.
        worker.abandon()
        self._store.dropped.stored(worker.slug)

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
        """How one host was looked at; `asked` is its slug, then `kind/key` of objects."""
        slug, *named = asked
        with self._lock:
            worker = self._worker(slug)
        if worker is None:
            return {}
        again = [(kind, key) for kind, _, key in (name.partition("/") for name in named)]
        return {slug: worker.look_again(again, LOOK_WAIT_S)}

    def _scan_and_wait(self, slugs: Iterable[str]) -> dict[str, Summary | None]:
        with self._lock:
            workers = {slug: self._worker(slug) for slug in slugs}
        asked = {slug: (w, w.wake(everything=True)) for slug, w in workers.items() if w}
        deadline_s = clock.monotonic_s() + SCAN_WAIT_S
        outcomes: dict[str, Summary | None] = dict.fromkeys(workers)
        for slug, (worker, number) in asked.items():
            outcomes[slug] = worker.wait(number, max(0.0, deadline_s - clock.monotonic_s()))
        return outcomes


def _job(host_id: int) -> str:
    return f"scan-{host_id}"


def _same_way(old: HostRecord, new: HostRecord | None) -> bool:
    """Whether a worker made for `old` still serves `new`: same name, same connection."""
    return new is not None and (old.slug, old.connection) == (new.slug, new.connection)
