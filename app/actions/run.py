"""One action being done, from the look at its object to its outcome.

The object is locked; how it stands is asked of libvirt and compared with what the asker saw; the
intent is committed; one call is made and never retried; the outcome is committed. A call whose
answer did not come is "unknown", never "failed".
"""

import logging
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from app import clock
from app.actions.jobs import Job
from app.actions.locks import ObjectLock
from app.actions.plan import Plan, StateConflict
from app.actions.progress import Watch
from app.actions.registry import why_not
from app.errors import Conflict, NotFound, StoreError, VirtError
from app.store import audit
from app.store.audit import Outcome
from app.store.usage import Usage
from app.virt import verbs
from app.virt.session import Session
from app.virt.verbs import Standing, Target

if TYPE_CHECKING:
    from app.actions.perform import Performer

log = logging.getLogger(__name__)

_QUICK_S = 25.0
_LONG_S = 24 * 3600.0
# Long work that is over by then is answered like quick work.
ANSWER_AT_ONCE_S = 2.0
_IN_USE_MATTERS = ("delete", "wipe", "upload")
_INSIDE = "Something went wrong inside npvirt; its log says what. Look at its state."
_NO_THREAD = "npvirt may start no more threads for a moment, so nothing was done."
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


class Run:
    """One action being done."""

    def __init__(self, performer: "Performer", plan: Plan) -> None:
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
        work = threading.Thread(target=self._work, args=(lock,), name="npvirt-job", daemon=True)
        try:
            work.start()
        except RuntimeError:
            self._release(lock)
            raise Conflict(_NO_THREAD) from None
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

    def content(self) -> Generator[bytes, None, None]:
        """A volume's content, and the outcome at its end. Raises Conflict, and what libvirt says
        before there is any.
        """
        lock = self._performer.lock(self._plan)
        try:
            session = self._ready()
        except BaseException:
            self._release(lock)
            raise
        if session is None:
            self._release(lock)
            raise Conflict(f"{self._plan.ask.host} does not answer, so nothing was fetched.")
        pieces = self._pieces(session, lock)
        # Before the answer begins: it could not be another one afterwards.
        return _joined(next(pieces, b""), pieces)

    def _pieces(self, session: Session, lock: ObjectLock) -> Generator[bytes, None, None]:
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
        watch: Watch | None = None
        try:
            watch = self._watch() if self._plan.ask.action.long else None
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
        intent_id = self.intent_id

        def conclude() -> None:
            audit.conclude(
                self._store, intent_id, outcome, sentence, detail=detail, took_ms=took_ms
            )

        try:
            conclude()
        except StoreError as error:
            log.error("The outcome of action %d (%s) has to wait: %s", intent_id, outcome, error)
            # Its lock goes along: another process must not say meanwhile that it is not known.
            lock, self._intent_lock = self._intent_lock, None
            self._performer.unwritten.add(conclude, lock)
        finally:
            self._performer.jobs.end(intent_id, outcome, sentence, clock.now_ms())
        self._done = Done(self.intent_id, outcome, sentence, self._made, self._plan.name)
        return self._done

    def _watch(self) -> Watch | None:
        if self._plan.ask.action.transfer:
            return None
        watch = Watch(
            self._performer.sessions, self._performer.jobs, self._plan, lambda: self.intent_id
        )
        try:
            watch.start()
        except RuntimeError:
            # Of a host that falls silent nobody would know, and its object be locked for a day.
            raise Conflict(_NO_THREAD) from None
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


def _failure(error: VirtError) -> tuple[Outcome, str, str]:
    """The outcome of a call that raised: no answer is no outcome."""
    if error.failure in _SPEECHLESS:
        return (
            "unknown",
            f"{error.sentence} Whether it was done is not known; look at its state.",
            error.detail,
        )
    return "failed", error.sentence, error.detail


def _joined(first: bytes, pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """`first` and then `pieces`, which end when this does."""
    try:
        yield first
        yield from pieces
    finally:
        pieces.close()
