"""One collector per store: a lock that ends with its process, and a socket to ask its holder."""

import errno
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from app.collect.control import ControlServer, ask
from app.collect.leadership import Leadership


def test_only_one_process_holds_the_lock_and_its_death_frees_it(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from app.collect.leadership import Leadership;"
        "lead = Leadership(pathlib.Path(sys.argv[1])); print(lead.acquire(), flush=True);"
        "sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        mine = Leadership(tmp_path)
        assert not mine.acquire()
        holder.kill()
        holder.wait()
        assert mine.acquire()
        assert mine.held
        mine.release()
        assert not mine.held


def test_a_lock_whose_file_was_removed_is_held_by_one_all_the_same(tmp_path: Path) -> None:
    mine, other = Leadership(tmp_path), Leadership(tmp_path)
    assert mine.acquire()
    (tmp_path / "collector.lock").unlink()
    assert mine.acquire()
    assert not other.acquire()
    (tmp_path / "collector.lock").unlink()
    assert other.acquire()
    assert not mine.acquire()
    assert not mine.held
    other.release()
    assert mine.acquire()
    mine.release()


def test_what_was_given_back_is_not_taken_again_by_a_tick_that_was_under_way(
    tmp_path: Path,
) -> None:
    """Planted: a release that forgets that it was; and a tick beside it wrote into what had become
    another file's descriptor.
    """
    mine, errors = Leadership(tmp_path), list[BaseException]()
    assert mine.acquire()

    def tick() -> None:
        try:
            for _ in range(2_000):
                mine.acquire()
                mine.tick()
        except TypeError as error:
            errors.append(error)

    ticking = threading.Thread(target=tick)
    ticking.start()
    mine.release()
    ticking.join()
    assert errors == []
    assert not mine.held
    other = Leadership(tmp_path)
    assert other.acquire()
    other.release()


def test_a_request_is_answered_over_the_socket_however_deep_the_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    server = ControlServer(deep, lambda request: {"heard": request["scan"]})
    server.start()
    try:
        assert ask(deep, {"scan": ["kvm-01"]}) == {"heard": ["kvm-01"]}
        assert (deep / "collector.sock").stat().st_mode & 0o077 == 0
    finally:
        server.stop()
    assert ask(deep, {"scan": []}) is None


def test_a_malformed_request_gets_no_answer_and_the_next_one_does(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, lambda request: request)
    server.start()
    try:
        assert ask(tmp_path, {"scan": [1]}) is None  # type: ignore[list-item] # malformed on purpose
        assert ask(tmp_path, {"scan": ["a"]}) == {"scan": ["a"]}
    finally:
        server.stop()


def test_a_left_over_socket_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "collector.sock").write_text("left over")
    server = ControlServer(tmp_path, lambda request: request)
    server.start()
    try:
        assert ask(tmp_path, {"wake": []}) == {"wake": []}
    finally:
        server.stop()


def test_a_request_that_could_not_be_taken_ends_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the process may open no more files for a moment."""
    really, refused = socket.socket.accept, threading.Event()

    def refuse_once(listener: socket.socket) -> Any:
        if refused.is_set():
            return really(listener)
        refused.set()
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", refuse_once)
    server = ControlServer(tmp_path, lambda request: request)
    server.start()
    try:
        assert ask(tmp_path, {"wake": []}, 60.0) == {"wake": []}
        assert refused.is_set()
    finally:
        server.stop()
