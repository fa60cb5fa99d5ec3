"""The thread beside the scans survives what is done in it."""

import threading
from pathlib import Path

import pytest

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.virt.read.background import Background
from app.virt.session import Session
from tests.read_support import write_node
from tests.waiting import until


def test_what_nobody_foresaw_is_logged_and_the_next_work_is_done_over_another_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.virt.read.background._PAUSE_S", 0.0)
    way = Connection(driver="test", transport="embedded", path=str(write_node(tmp_path)))
    opened: list[Session] = []
    done = threading.Event()

    def open_session() -> Session:
        opened.append(Session.open(Endpoint(way), read_only=False))
        return opened[-1]

    def fail(session: Session) -> None:
        raise ValueError(session)

    def succeed(session: Session) -> None:
        assert session.alive
        done.set()

    beside = Background("beside", open_session, 10.0)
    try:
        beside.submit(fail)
        until(lambda: "ValueError" in caplog.text)
        thread = beside._thread
        beside.submit(succeed)
        assert done.wait(60)
        assert beside._thread is thread
    finally:
        beside.close()
    assert [session.alive for session in opened] == [False, False]


def test_what_waits_while_a_host_refuses_is_not_done_after_it_and_the_refusal_stays(
    tmp_path: Path,
) -> None:
    way = Connection(driver="test", transport="embedded", path=str(write_node(tmp_path)))
    another_waits, done = threading.Event(), threading.Event()

    def refused(session: Session) -> None:
        assert another_waits.wait(60)
        raise VirtError("denied", "It may only be read.")

    beside = Background("beside", lambda: Session.open(Endpoint(way), read_only=False), 10.0)
    try:
        beside.submit(refused)
        until(lambda: beside._work is None)
        beside.submit(lambda session: done.set())
        another_waits.set()
        until(lambda: beside.refusal is not None or done.is_set())
        # Nor is what comes before the pause is over.
        beside.submit(lambda session: done.set())
        assert not done.wait(0.3)
        assert beside.refusal == "It may only be read."
    finally:
        beside.close()
