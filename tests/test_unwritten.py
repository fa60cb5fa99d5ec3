"""Outcomes that wait for the store are written, though there was no thread for that at first."""

import threading
from pathlib import Path

import pytest

from app.actions.locks import lock_object
from app.actions.unwritten import Unwritten
from app.services import services_of
from tests.waiting import until
from tests.web_support import make_web


def test_what_waits_is_written_by_the_next_thread_where_one_could_not_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the machine lets a process have no more threads for a moment."""
    monkeypatch.setattr("app.actions.unwritten._AGAIN_S", 0.01)
    unwritten, written = Unwritten(), list[str]()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        unwritten.add(lambda: written.append("first"), None)
    assert len(unwritten) == 1
    unwritten.add(lambda: written.append("second"), None)
    until(lambda: not len(unwritten))
    assert written == ["first", "second"]
    unwritten.close()


def test_what_waits_is_written_and_its_lock_freed_though_no_other_outcome_ever_has_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a tick of the schedule. Planted: a tick that does nothing about it."""
    monkeypatch.setattr("app.actions.unwritten._AGAIN_S", 0.01)
    web = make_web(tmp_path / "var", NPVIRT_SCAN_SECONDS="1")
    unwritten, written = services_of(web.app).performer.unwritten, list[str]()
    start, refused = threading.Thread.start, list[str]()

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "npvirt-unwritten":
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    def is_free() -> bool:
        found = lock_object(web.settings.data, "intent/1")
        if found is not None:
            found.release()
        return found is not None

    lock = lock_object(web.settings.data, "intent/1")
    try:
        web.collector.start()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            unwritten.add(lambda: written.append("outcome"), lock)
            # By whoever had to wait, and by a tick or two.
            until(lambda: len(refused) > 2)
            assert (len(unwritten), written, is_free()) == (1, [], False)
        until(lambda: not len(unwritten))
        assert written == ["outcome"]
        until(is_free)
    finally:
        unwritten.close()
        web.collector.stop()
        web.store.close()


def test_nothing_is_tried_any_more_once_npvirt_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    unwritten, started = Unwritten(), list[str]()
    unwritten.close()
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread.name))
    unwritten.add(lambda: started.append("written"), None)
    unwritten.go_on()
    assert started == []
