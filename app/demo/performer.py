"""What people do to a made-up fleet: simple acts change it, the rest is refused in a sentence.

Checked, locked out and written into the audit as everywhere; only libvirt has no part in it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app import clock
from app.actions.perform import Performer
from app.actions.plan import Ask, Plan, StateConflict
from app.actions.registry import why_not
from app.actions.run import Done
from app.collect.collector import Collector
from app.demo.live import LiveHost, Stage
from app.errors import Conflict
from app.inventory import Domain, Snapshot
from app.settings import Settings
from app.store import audit
from app.store.engine import Store

_NOT_HERE = "The demonstration does not play this through; on a real host npvirt would ask libvirt."

Do = Callable[[LiveHost, Plan], None]


def _turn(state: str, reason: str) -> Do:
    return lambda host, plan: host.turn(plan.target.uuid, state, reason)


def _start(host: LiveHost, plan: Plan) -> None:
    host.change(plan.target.uuid, managed_save=False)
    host.turn(plan.target.uuid, "running", "booted")


def _save(host: LiveHost, plan: Plan) -> None:
    host.turn(plan.target.uuid, "shutoff", "saved")
    host.change(plan.target.uuid, managed_save=True)


def _snapshot(host: LiveHost, plan: Plan) -> None:
    domain = host.domains[plan.target.uuid]
    kept = domain.snapshots or ()
    taken = Snapshot(
        str(plan.parameters.get("name") or f"snapshot-{len(kept) + 1}"),
        kept[-1].name if kept else None, clock.now_ms(), domain.state,
        plan.parameters.get("description"), current=True, memory=domain.state == "running",
    )  # fmt: skip
    host.snapshots(plan.target.uuid, (*kept, taken))


def _forget_snapshot(host: LiveHost, plan: Plan) -> None:
    kept = host.domains[plan.target.uuid].snapshots or ()
    host.snapshots(plan.target.uuid, tuple(one for one in kept if one.name != plan.target.name))


_ACTS: Mapping[tuple[str, str], Do] = {
    ("domain", "start"): _start,
    ("domain", "shutdown"): _turn("shutoff", "shutdown"),
    ("domain", "destroy"): _turn("shutoff", "destroyed"),
    ("domain", "suspend"): _turn("paused", "user"),
    ("domain", "resume"): _turn("running", "unpaused"),
    ("domain", "reboot"): lambda host, plan: host.restart(plan.target.uuid),
    ("domain", "reset"): lambda host, plan: host.restart(plan.target.uuid),
    ("domain", "managedsave"): _save,
    ("domain", "managedsave-remove"): lambda host, plan: host.change(
        plan.target.uuid, managed_save=False
    ),
    ("domain", "autostart"): lambda host, plan: host.change(
        plan.target.uuid, autostart=bool(plan.parameters.get("enabled"))
    ),
    ("snapshot", "create"): _snapshot,
    ("snapshot", "delete"): _forget_snapshot,
    ("pool", "start"): lambda host, plan: host.turn_pool(plan.target.uuid, "running"),
    ("pool", "destroy"): lambda host, plan: host.turn_pool(plan.target.uuid, "inactive"),
    ("pool", "refresh"): lambda host, plan: None,
    ("network", "start"): lambda host, plan: host.turn_network(plan.target.uuid, "active"),
    ("network", "destroy"): lambda host, plan: host.turn_network(plan.target.uuid, "inactive"),
}


class DemoPerformer(Performer):
    """Acts on the made-up fleet alone."""

    def __init__(
        self, settings: Settings, store: Store, collector: Collector, stage: Stage
    ) -> None:
        super().__init__(settings, store, collector)
        self._stage = stage

    def upload(self, ask: Ask, read: Callable[[int], bytes], length: int) -> Done:
        """Raises Conflict: made-up volumes have no content."""
        return self._once(ask, self._act)

    def download(self, ask: Ask) -> Iterator[bytes]:
        """Raises Conflict: made-up volumes have no content."""
        self._once(ask, self._act)
        return iter(())

    def _act(self, plan: Plan) -> Done:
        action = plan.ask.action
        act = _ACTS.get((action.kind, action.name))
        if act is None:
            raise Conflict(_NOT_HERE)
        lock = self.lock(plan)
        try:
            host = self._stage.host(plan.ask.host)
            with host.lock:
                self._check(host, plan)
                act(host, plan)
            started_s = clock.monotonic_s()
            intent_id = audit.intend(self.store, plan.attempt)
            if intent_id is None:
                raise Conflict("The same request is being worked on by another npvirt process.")
            took_ms = clock.took_ms(started_s)
            audit.conclude(self.store, intent_id, "ok", took_ms=took_ms)
        finally:
            lock.release()
        self.look_again(plan)
        return Done(intent_id, "ok", "", plan.ask.key, plan.name)

    def _check(self, host: LiveHost, plan: Plan) -> None:
        """Refuse what is not as the asker saw it; raises StateConflict."""
        fact: Any = None
        uuid = plan.target.uuid
        if plan.ask.action.kind in ("domain", "snapshot"):
            fact = host.domains.get(uuid)
        elif plan.ask.action.kind == "pool":
            fact = host.pools.get(uuid)
        else:
            fact = host.networks.get(uuid)
        if fact is None:
            raise StateConflict("It is no longer there.", None)
        if plan.expect_state is not None and fact.state != plan.expect_state:
            raise StateConflict(
                f"It is {fact.state} now, not {plan.expect_state}; nothing was done.", fact.state
            )
        known = fact if isinstance(fact, Domain) else None
        reason = None if plan.ask.action.creates else why_not(plan.ask.action, fact.state, known)
        if reason is not None:
            raise StateConflict(reason, fact.state)
