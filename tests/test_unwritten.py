"""Outcomes that wait for the store are written, though there was no thread for that at first."""

import threading

import pytest

from app.actions.unwritten import Unwritten
from tests.waiting import until


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
