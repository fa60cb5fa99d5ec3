"""The one way in which an action is done, once per request.

Plans what is asked, refuses what may not be, has it done (app/actions/run.py), and has the host
looked at again. Every attempt ends in the audit, refusals too.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from app.actions.jobs import Jobs
from app.actions.locks import ObjectLock, lock_object
from app.actions.plan import Ask, Plan, attempt_of, make_plan
from app.actions.registry import NOUNS
from app.actions.run import Done, Run
from app.actions.sessions import Sessions
from app.actions.unwritten import Unwritten
from app.collect.collector import Collector
from app.errors import Conflict, InvalidField, VirtError
from app.settings import Settings
from app.store import audit
from app.store.engine import Store
from app.store.history import fleet
from app.virt import verbs

_WAIT_FOR_TWIN_S = 40.0


class Performer:
    """Performs the actions of this process."""

    def __init__(self, settings: Settings, store: Store, collector: Collector) -> None:
        self._settings = settings
        self._store = store
        self._collector = collector
        self._sessions = Sessions(store, settings.data)
        self.jobs = Jobs()
        self.unwritten = Unwritten()
        # Where its thread cannot be started when an outcome comes, it is later.
        collector.with_every_tick(self.unwritten.go_on)
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
            run = Run(self, plan)
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
        """The content of a volume. What is wrong with the request, or keeps it from beginning, is
        raised here; what goes wrong later ends the content early, and is the outcome.
        """
        try:
            plan = self._planned(ask)
            run = Run(self, plan)
            return run.content()
        except (InvalidField, Conflict) as error:
            self._refused(ask, error)
            raise
        except VirtError as error:
            # The audit has it as the outcome.
            raise Conflict(f"Nothing was fetched: {error.sentence}") from None

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
        """Close the connections that are idle; what could not be written is given up."""
        self.unwritten.close()
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
        run = Run(self, plan)
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
