"""How far long work has come, asked beside it over a connection of its own.

Owns the thread that asks, and the rule that a host which tells nothing for long is taken for gone.
"""

import threading
from collections.abc import Callable

from app import clock
from app.actions.jobs import Jobs
from app.actions.plan import Plan
from app.actions.sessions import Sessions
from app.errors import NotFound, StoreError, VirtError
from app.virt import verbs
from app.virt.session import Session

_WATCH_S = 1.0
# A host that tells nothing for so long while it works is taken for gone.
_SILENCE_S = 90.0


class Watch:
    """Looks, over a connection of its own, how far long work has come, and cuts the connection of
    the work when the host has fallen silent.
    """

    def __init__(
        self, sessions: Sessions, jobs: Jobs, plan: Plan, intent_id: Callable[[], int]
    ) -> None:
        self._sessions = sessions
        self._jobs = jobs
        self._plan = plan
        self._intent_id = intent_id
        self.session: Session | None = None
        self.over = threading.Event()

    def start(self) -> None:
        """Begin to look, in a thread. Raises RuntimeError where none can be started."""
        threading.Thread(target=self._run, name="npvirt-watch", daemon=True).start()

    def _run(self) -> None:
        own: Session | None = None
        heard_s = clock.monotonic_s()
        while not self.over.wait(_WATCH_S):
            try:
                own = own or self._sessions.open(self._plan.record)
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
            self._jobs.moved(self._intent_id(), found.done_bytes, found.total_bytes)
