"""The one way in which an action is done, and how its outcome stays true.

The object is locked; how it stands is asked of libvirt and compared with what the asker saw; the
intent is committed; one call is made and never retried; the outcome is committed; the host is
looked at again. A call whose answer did not come is "unknown", never "failed". Every attempt
ends in the audit, refusals too.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from app import clock
from app.actions.jobs import Job, Jobs
from app.actions.locks import ObjectLock, lock_object
from app.actions.plan import Ask, Plan, StateConflict, attempt_of, make_plan
from app.actions.registry import NOUNS, why_not
from app.actions.sessions import Sessions
from app.collect.collector import Collector
from app.errors import Conflict, InvalidField, NotFound, StoreError, VirtError
from app.settings import Settings
from app.store import audit
from app.store.audit import Outcome
from app.store.engine import Store
from app.store.history import fleet
from app.store.usage import Usage
from app.virt import verbs
from app.virt.session import Session
from app.virt.verbs import Standing, Target

log = logging.getLogger(__name__)

_QUICK_S = 25.0
_LONG_S = 24 * 3600.0
# Long work that is over by then is answered like quick work.
ANSWER_AT_ONCE_S = 2.0
_WAIT_FOR_TWIN_S = 40.0
_WATCH_S = 1.0
# A host that tells nothing for so long while it works is taken for gone.
_SILENCE_S = 90.0
_IN_USE_MATTERS = ("delete", "wipe", "upload")
_INSIDE = "Something went wrong inside npvirt; its log says what. Look at its state."
_SPEECHLESS = ("timeout", "unreachable")


class Done(Struct, frozen=True):
    """What came of an action. `outcome` None: it goes on, as the job `audit_id`. `key` and `name`
    are of the object, or of what was made.
    """

    audit_id: int
    outcome: Outcome | None
    sentence: str
    key: str
    name: str


class Performer:
    """Performs the actions of this process."""

    def __init__(self, settings: Settings, store: Store, collector: Collector) -> None:
        self._settings = settings
        self._store = store
        self._collector = collector
        self._sessions = Sessions(store, settings.data)
        self.jobs = Jobs()
        self._lock = threading.Lock()
        self._twins: dict[tuple[str, ...], _Twin] = {}

    def perform(self, ask: Ask) -> Done:
        """Do it. Raises InvalidField, NotFound, Conflict (StateConflict with the state that it is
        in), StoreError; what libvirt says is an outcome.
        """
        return self._once(ask, self._act)

    def upload(self, ask: Ask, read: Callable[[int], bytes], length: int) -> Done:
        """Write what `read` gives over a volume; errors as in `perform`."""

        def transfer(plan: Plan) -> Done:
            run = _Run(self, plan)
            run.do = lambda session, before: verbs.upload(
                session,
                plan.target,
                read,
                length,
                before_call=before,
                on_bytes=lambda sent: self.jobs.moved(run.intent_id, sent, length),
                stopped=lambda: self.jobs.is_stopping(run.intent_id),
            )
            run.stop = lambda: None
            return run.now()

        return self._once(ask, transfer)

    def download(self, ask: Ask) -> Iterator[bytes]:
        """The content of a volume. What is wrong with the request is raised here; what goes wrong
        later ends the content early, and is the outcome.
        """
        try:
            plan = self._planned(ask)
            run = _Run(self, plan)
            return run.content()
        except (InvalidField, Conflict) as error:
            self._refused(ask, error)
            raise

    def settle(self) -> int:
        """Conclude, as unknown, the intents of processes that ended before they knew; how many."""
        settled = 0
        for record in audit.open_intents(self._store):
            lock = self.lock_intent(record.id)
            if lock is None:
                continue
            try:
                audit.conclude(
                    self._store,
                    record.id,
                    "unknown",
                    "npvirt ended before libvirt answered. Look at its state before trying again.",
                )
                settled += 1
            finally:
                lock.release()
        return settled

    def close(self) -> None:
        """Close the connections that are idle."""
        self._sessions.close()

    def stop_job(self, job_id: int) -> None:
        """Ask a job to end early; raises Conflict."""
        self.jobs.stop(job_id)

    # --- once per request ------------------------------------------------------------------

    def _once(self, ask: Ask, do: Callable[[Plan], Done]) -> Done:
        """Do it unless the very same request is being done or was: then its outcome."""
        request_id = str(ask.given.get("request_id") or "")
        if not request_id:
            return self._audited(ask, do)
        key = (ask.host, ask.action.kind, ask.key, ask.name, ask.action.name, request_id)
        with self._lock:
            twin = self._twins.get(key)
            is_first = twin is None
            if twin is None:
                twin = self._twins[key] = _Twin()
        if not is_first:
            return twin.wait()
        try:
            twin.done = self._audited(ask, do)
        except Exception as error:
            twin.error = error
            raise
        finally:
            with self._lock:
                del self._twins[key]
            twin.over.set()
        return twin.done

    def _audited(self, ask: Ask, do: Callable[[Plan], Done]) -> Done:
        try:
            plan = self._planned(ask)
            before = audit.asked_before(self._store, plan.attempt)
            return self._told(before, plan) if before is not None else do(plan)
        except (InvalidField, Conflict) as error:
            self._refused(ask, error)
            raise

    def _planned(self, ask: Ask) -> Plan:
        return make_plan(self._store, ask)

    def _refused(self, ask: Ask, error: InvalidField | Conflict) -> None:
        view = fleet(self._store, None).host(ask.host)
        record = None if view is None else view.record
        names = {"expect_state": ask.given.get("expect_state")}
        attempt = attempt_of(ask, record, _name_of(self._store, ask), parameters=names)
        audit.note(self._store, attempt, "refused", str(error))

    def _told(self, intent_id: int, plan: Plan) -> Done:
        record = audit.get_record(self._store, intent_id)
        assert record is not None
        return Done(intent_id, record.outcome, record.sentence or "", plan.ask.key, plan.name)

    def _act(self, plan: Plan) -> Done:
        run = _Run(self, plan)
        return run.soon() if plan.ask.action.long else run.now()

    # --- for a run ---------------------------------------------------------------------------

    def lock(self, plan: Plan) -> ObjectLock:
        """The object's lock; raises Conflict when another action is in flight on it."""
        lock = lock_object(self._settings.data, plan.lock_key)
        if lock is None:
            noun = NOUNS[plan.ask.action.kind]
            raise Conflict(f"Another action on this {noun} is not over yet. Wait for its outcome.")
        return lock

    def lock_intent(self, intent_id: int) -> ObjectLock | None:
        """What says, to every process, that this intent is being worked on."""
        return lock_object(self._settings.data, f"intent/{intent_id}")

    @property
    def store(self) -> Store:
        """The store."""
        return self._store

    @property
    def sessions(self) -> Sessions:
        """The connections."""
        return self._sessions

    def wake(self, slug: str) -> None:
        """Have a host looked at soon; does not wait."""
        self._collector.scan_now(slug)

    def look_again(self, plan: Plan) -> None:
        """Have the host looked at, so that what is shown is what there is; waits for it."""
        self._collector.look_again(plan.ask.host, plan.again)


class _Twin:
    """A request that is being done, and those that wait for the very same."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.done: Done | None = None
        self.error: Exception | None = None

    def wait(self) -> Done:
        """What came of it; raises what it raised."""
        self.over.wait(_WAIT_FOR_TWIN_S)
        if self.error is not None:
            raise self.error
        if self.done is None:
            raise Conflict("The same request is still being worked on.")
        return self.done


class _Run:
    """One action being done."""

    def __init__(self, performer: Performer, plan: Plan) -> None:
        self._performer = performer
        self._plan = plan
        self._store = performer.store
        self._started_s = clock.monotonic_s()
        self._started_at_ms = clock.now_ms()
        self._intended = threading.Event()
        self._over = threading.Event()
        self._intent_lock: ObjectLock | None = None
        self._error: Exception | None = None
        self._made = plan.ask.key
        self._done: Done | None = None
        self._standing: Standing | None = None
        self.intent_id = 0
        self.do: Callable[[Session, Callable[[], None]], None] = self._verb
        self.stop: Callable[[], None] | None = None
        action = plan.ask.action
        if action.can_cancel and not action.transfer:
            self.stop = self._cancel

    def now(self) -> Done:
        """Do it and wait for its outcome."""
        lock = self._performer.lock(self._plan)
        try:
            done = self._run()
        finally:
            self._release(lock)
        self._performer.look_again(self._plan)
        return done

    def soon(self) -> Done:
        """Begin it; its outcome if it comes soon, else that it goes on."""
        lock = self._performer.lock(self._plan)
        threading.Thread(target=self._work, args=(lock,), name="npvirt-job", daemon=True).start()
        self._over.wait(ANSWER_AT_ONCE_S)
        if not self._intended.is_set():
            # Still opening the connection: what comes of that is worth waiting for.
            while not self._over.is_set() and not self._intended.wait(0.05):
                pass
        if self._error is not None:
            raise self._error
        if self._done is not None:
            return self._done
        return Done(self.intent_id, None, "It goes on.", self._plan.ask.key, self._plan.name)

    def content(self) -> Iterator[bytes]:
        """A volume's content, and the outcome at its end."""
        lock = self._performer.lock(self._plan)
        try:
            session = self._ready()
        except BaseException:
            self._release(lock)
            raise
        if session is None:
            self._release(lock)
            raise Conflict(f"{self._plan.ask.host} does not answer, so nothing was fetched.")
        return self._pieces(session, lock)

    def _pieces(self, session: Session, lock: ObjectLock) -> Iterator[bytes]:
        outcome: tuple[Outcome, str, str] = ("failed", "It was stopped before its end.", "")
        fetched = 0
        try:
            for piece in verbs.download(session, self._plan.target, before_call=self._intend):
                fetched += len(piece)
                self._performer.jobs.moved(self.intent_id, fetched, None)
                yield piece
            outcome = ("ok", "", "")
        except VirtError as error:
            outcome = ("failed", error.sentence, error.detail)
            # The answer has begun: its reader must see that it is not whole.
            raise
        finally:
            self._finish(session)
            if self.intent_id:
                self._conclude(*outcome)
            self._release(lock)

    def _work(self, lock: ObjectLock) -> None:
        try:
            self._done = self._run()
            self._release(lock)
            self._performer.look_again(self._plan)
        except Exception as error:
            # The thread's end is the request's: it raises there, or the log says it.
            self._error = error
            if self._intended.is_set():
                log.exception("%s: its outcome could not be kept", self._plan.attempt.action)
        finally:
            self._release(lock)
            self._over.set()

    def _run(self) -> Done:
        session = self._ready()
        if session is None:
            assert self._done is not None
            return self._done
        watch = self._watch() if self._plan.ask.action.long else None
        try:
            session.call_deadline_s = _LONG_S if self._plan.ask.action.long else _QUICK_S
            if watch is not None:
                watch.session = session
            self.do(session, self._intend)
        except VirtError as error:
            if not self.intent_id:
                self._intend()
                return self._conclude("failed", error.sentence, error.detail)
            return self._conclude(*_failure(error))
        except Exception:
            if not self.intent_id:
                raise
            # libvirt may have been asked: whatever went wrong in here, its outcome is not known.
            log.exception("%s went wrong inside npvirt", self._plan.attempt.action)
            return self._conclude("unknown", _INSIDE, "")
        finally:
            if watch is not None:
                watch.over.set()
            self._finish(session)
        return self._conclude("ok", "", "")

    def _ready(self) -> Session | None:
        """A connection to the host on which the object stands as expected. None: it did not
        answer, and that is concluded. Raises Conflict, StateConflict.
        """
        plan = self._plan
        try:
            session = self._performer.sessions.take(plan.record)
        except (VirtError, NotFound) as error:
            self._intend()
            sentence = f"{error} Nothing was sent."
            self._conclude("failed", sentence, getattr(error, "detail", ""))
            return None
        session.call_deadline_s = _QUICK_S
        try:
            self._check(session)
        except VirtError as error:
            self._finish(session)
            if error.failure == "gone":
                raise StateConflict("It is no longer there.", None) from None
            self._intend()
            self._conclude("failed", f"{error.sentence} Nothing was sent.", error.detail)
            return None
        except BaseException:
            self._finish(session)
            raise
        return session

    def _check(self, session: Session) -> None:
        plan, action = self._plan, self._plan.ask.action
        if action.creates and action.kind in ("pool", "network"):
            return
        asked = plan.target
        if action.creates:
            kind = "pool" if action.kind == "volume" else "domain"
            asked = Target(kind, plan.target.uuid)  # type: ignore[arg-type]  # one of its words
        found: Standing = verbs.standing(session, asked)
        self._standing = found
        if plan.expect_state is not None and found.state != plan.expect_state:
            self._performer.wake(plan.ask.host)
            raise StateConflict(
                f"It is {found.state} now, not {plan.expect_state}; nothing was done.", found.state
            )
        reason = why_not(action, found.state, None)
        if reason is not None:
            raise StateConflict(reason, found.state)
        if action.kind == "volume" and action.name in _IN_USE_MATTERS:
            self._check_unused(session)

    def _check_unused(self, session: Session) -> None:
        """Refuse to destroy what a VM uses; asks every definition on the host, as it is now."""
        plan = self._plan
        volume = next(seen for seen in plan.seen.volumes if str(seen.entity_id) == plan.ask.key)
        pool = plan.seen.pool(plan.ask.host, plan.target.uuid)
        names = verbs.users_of_path(
            session,
            verbs.volume_path(session, plan.target),
            "" if pool is None else pool.fact.name,
            plan.target.name,
        )
        if names:
            shown = ", ".join(f"“{name}”" for name in names[:5])
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise Conflict(f"It is in use by {shown}{more}; nothing was done.")
        overlays = Usage(plan.seen, (plan.ask.host,)).overlays(volume)
        if overlays:
            raise Conflict(
                f"It is the backing file of {overlays} other image(s); nothing was done."
            )

    def _verb(self, session: Session, before: Callable[[], None]) -> None:
        plan, action = self._plan, self._plan.ask.action
        if action.creates:
            self._made = verbs.create(session, plan.target, plan.parameters, before_call=before)
        else:
            verbs.act(session, plan.target, action.name, plan.parameters, before_call=before)

    def _intend(self) -> None:
        """Commit the intent; from now on npvirt's own end leaves an "unknown"."""
        attempt = self._plan.attempt
        if self._standing is not None and self._standing.id is not None:
            # Tells later whether the VM still runs as it did when it was asked.
            attempt = replace(
                attempt, parameters={**attempt.parameters, "domain_id": self._standing.id}
            )
        intent_id = audit.intend(self._store, attempt)
        if intent_id is None:
            raise Conflict("The same request is being worked on by another npvirt process.")
        self._intent_lock = self._performer.lock_intent(intent_id)
        self.intent_id = intent_id
        plan, action = self._plan, self._plan.ask.action
        if action.long or action.transfer:
            job = Job(
                id=intent_id, action=action.audit_name, label=action.label.removesuffix("…"),
                kind=action.kind, host_id=plan.record.id, host=plan.ask.host, key=plan.ask.key,
                name=plan.name, who=plan.ask.principal.who, started_at_ms=self._started_at_ms,
                stoppable=self.stop is not None,
            )  # fmt: skip
            self._performer.jobs.begin(job, self.stop)
        self._intended.set()

    def _conclude(self, outcome: Outcome, sentence: str, detail: str) -> Done:
        took_ms = clock.took_ms(self._started_s)
        try:
            audit.conclude(
                self._store, self.intent_id, outcome, sentence, detail=detail, took_ms=took_ms
            )
        finally:
            self._performer.jobs.end(self.intent_id, outcome, sentence, clock.now_ms())
        self._done = Done(self.intent_id, outcome, sentence, self._made, self._plan.name)
        return self._done

    def _watch(self) -> "_Watch | None":
        if self._plan.ask.action.transfer:
            return None
        watch = _Watch(self._performer, self._plan, lambda: self.intent_id)
        watch.start()
        return watch

    def _cancel(self) -> None:
        session = self._performer.sessions.open(self._plan.record)
        try:
            target = Target("domain", self._plan.target.uuid)
            verbs.cancel(session, target)
        finally:
            session.close()

    def _finish(self, session: Session) -> None:
        self._performer.sessions.give_back(self._plan.record, session)

    def _release(self, lock: ObjectLock) -> None:
        if self._intent_lock is not None:
            self._intent_lock.release()
            self._intent_lock = None
        lock.release()


class _Watch:
    """Looks, over a connection of its own, how far long work has come, and cuts the connection of
    the work when the host has fallen silent.
    """

    def __init__(self, performer: Performer, plan: Plan, intent_id: Callable[[], int]) -> None:
        self._performer = performer
        self._plan = plan
        self._intent_id = intent_id
        self.session: Session | None = None
        self.over = threading.Event()

    def start(self) -> None:
        """Begin to look, in a thread."""
        threading.Thread(target=self._run, name="npvirt-watch", daemon=True).start()

    def _run(self) -> None:
        own: Session | None = None
        heard_s = clock.monotonic_s()
        while not self.over.wait(_WATCH_S):
            try:
                own = own or self._performer.sessions.open(self._plan.record)
                self._look(own)
                heard_s = clock.monotonic_s()
            except (VirtError, NotFound, StoreError):
                if own is not None:
                    own.close()
                own = None
            if clock.monotonic_s() - heard_s > _SILENCE_S and self.session is not None:
                self.session.cut()
                break
        if own is not None:
            own.close()

    def _look(self, session: Session) -> None:
        plan = self._plan
        session.call_deadline_s = 10.0
        # Also asked where there is no progress to tell: that it answers says that it lives.
        session.call(session.connection.getLibVersion)
        found = verbs.progress(session, plan.target, plan.ask.action.name, plan.parameters)
        if found is not None and self._intent_id():
            self._performer.jobs.moved(self._intent_id(), found.done_bytes, found.total_bytes)


def _failure(error: VirtError) -> tuple[Outcome, str, str]:
    """The outcome of a call that raised: no answer is no outcome."""
    if error.failure in _SPEECHLESS:
        return (
            "unknown",
            f"{error.sentence} Whether it was done is not known; look at its state.",
            error.detail,
        )
    return "failed", error.sentence, error.detail


def _name_of(store: Store, ask: Ask) -> str:
    """What the object of a refused request is called, as far as that is known."""
    seen: Any = None
    everything = fleet(store, None)
    key = ask.key.lower()
    if ask.action.kind in ("domain", "snapshot"):
        seen = everything.domain(ask.host, key)
    elif ask.action.kind == "pool":
        seen = everything.pool(ask.host, key)
    elif ask.action.kind == "network":
        seen = everything.network(ask.host, key)
    else:
        same = (one for one in everything.volumes if str(one.entity_id) == ask.key)
        seen = next(same, None)
    return ask.name or (seen.fact.name if seen is not None else "")
