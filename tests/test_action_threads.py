"""Actions where a process may have no more threads for a moment: nothing is left locked, and what
was done is in the audit.
"""

import gc
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.access import COMMAND_LINE
from app.actions.perform import Performer
from app.actions.plan import Ask
from app.actions.progress import Watch
from app.actions.registry import ACTIONS
from app.actions.run import Done, Run
from app.collect.scanner import Scanner
from app.errors import Conflict
from app.services import services_of
from app.store.audit import Wanted, get_record, records
from app.store.engine import Store
from app.store.history import fleet
from app.store.hosts import add_host
from tests.test_collector import DEMO
from tests.waiting import until
from tests.web_support import make_web


@dataclass
class Acting:
    """Who acts on the one VM of libvirt's test driver."""

    performer: Performer
    store: Store
    key: str

    def do(self, name: str, state: str) -> Done:
        action = next(one for one in ACTIONS if (one.kind, one.name) == ("domain", name))
        return self.performer.perform(
            Ask(COMMAND_LINE, "", action, "demo", self.key, {"expect_state": state})
        )


@pytest.fixture
def acting(tmp_path: Path) -> Iterator[Acting]:
    web = make_web(tmp_path / "var")
    scanner = Scanner(web.store, web.settings.data, add_host(web.store, "demo", DEMO), 60_000)
    scanner.scan(next_at_ms=lambda _ok: None)
    (domain,) = fleet(web.store, None).domains
    made = Acting(services_of(web.app).performer, web.store, domain.key)
    yield made
    scanner.close()
    made.performer.close()
    web.store.close()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The threads of actions do not start."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if isinstance(thread, threading.Timer) or thread.name.startswith("npvirt-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield patch


def test_what_was_done_has_its_outcome_though_no_connection_can_be_kept(
    acting: Acting, refused: pytest.MonkeyPatch
) -> None:
    for name, state in (("suspend", "running"), ("resume", "paused")):
        done = acting.do(name, state)
        assert done.outcome == "ok"
        record = get_record(acting.store, done.audit_id)
        assert record is not None
        assert record.outcome == "ok"


def test_long_work_that_cannot_be_begun_is_refused_and_leaves_nothing_locked(
    acting: Acting, refused: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Conflict, match="no more threads"):
        acting.do("managedsave", "running")
    refused.undo()
    assert acting.do("suspend", "running").outcome == "ok"
    assert acting.do("resume", "paused").outcome == "ok"


def test_long_work_that_nobody_can_watch_is_refused_before_it_begins_and_leaves_nothing_behind(
    acting: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread is there, the one beside it, which notices that a host has fallen silent, is not.
    Planted: a watch whose error leaves npvirt as it is, and a refusal that keeps the lock.
    """
    # Nothing, unless a test before this one failed.
    held, start = _held(), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "npvirt-watch":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Conflict, match="no more threads"):
            acting.do("managedsave", "running")
    (record,), _ = records(acting.store, Wanted(), limit=9)
    assert record.outcome == "refused"
    assert list(acting.performer.jobs.all()) == []
    assert len(acting.performer.unwritten) == 0
    # The thread of the work may be on its way out yet.
    until(lambda: _held() <= held)
    assert acting.do("suspend", "running").outcome == "ok"
    assert acting.do("resume", "paused").outcome == "ok"


def _held() -> int:
    """How many actions, and watches of them, are in memory."""
    gc.collect()
    return sum(isinstance(one, (Run, Watch)) for one in gc.get_objects())
