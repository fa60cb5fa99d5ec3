"""A stream ends within five seconds of its reader's right to read it: by a clock that is steered,
so that no busy machine makes it later or sooner. That it ends over HTTP is in test_events_stream.

Planted: a check that is made every ten seconds, and a store that cannot be asked and is waited for.
"""

import time
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest

from app import clock
from app.collect.live import Hub
from app.collect.noticing import Noticer
from app.errors import StoreError
from app.store.engine import Store
from app.store.sessions import begin_session, digest_of, end_session, list_sessions
from app.store.tokens import add_token, revoke_token
from app.store.users import add_user, set_disabled, set_role
from app.web.standing import Proof, still
from app.web.stream import Stream
from app.web.stream_loop import Loop
from app.web.streams import Streams
from tests.storing import a_store

__all__ = ["a_store"]

PROMISED_S = 5.0


class Turns:
    """In the place of the loop that writes streams: a turn of it is over as soon as it is waited
    for, and the clock is later by that.
    """

    def __init__(self, stream: Any, after_s: float, do: Callable[[], None]) -> None:
        self.over = self
        self.begun_s = self.now_s = time.monotonic()
        self._begun_ms = time.time() * 1000
        self._stream = stream
        self._due_s: float | None = self.begun_s + after_s
        self._do = do
        self.done_s = 0.0
        self.ended_s: float | None = None

    def monotonic_s(self) -> float:
        return self.now_s

    def now_ms(self) -> int:
        return round(self._begun_ms + (self.now_s - self.begun_s) * 1000)

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        if self._due_s is not None and self.now_s >= self._due_s:
            self._due_s, self.done_s = None, self.now_s
            self._do()
        return self.ended_s is not None or self.now_s > self.begun_s + 60

    def streams(self) -> Collection[Any]:
        return [] if self.ended_s is not None else [self._stream]

    def see(self, stream: Any, hosts: object) -> None:
        """Nobody looks at what it is told."""

    def end(self, streams: Collection[Any]) -> None:
        assert list(streams) == [self._stream]
        self.ended_s = self.now_s


def ended_after_s(store: Store, proof: Proof, after_s: float, do: Callable[[], None]) -> float:
    """How long after `do`, which is done when the stream has been read for `after_s`, it ends."""
    who = still(store, {proof})[proof]
    stream = SimpleNamespace(reader=SimpleNamespace(who=who, proof=proof), hosts=None)
    turns = Turns(cast(Stream, stream), after_s, do)
    streams = Streams(store, Hub(), Noticer(store, Hub(), lambda: False), user_most=1, most=1)
    with clock.injected(turns):
        streams._check(cast(Loop, turns))
    assert turns.ended_s is not None, "it went on"
    assert streams.counts().ended == 1
    return turns.ended_s - turns.done_s


def _session(store: Store) -> Proof:
    user = add_user(store, "grace", "operator", None)
    begin_session(store, user, "192.0.2.7", "a browser")
    (session,) = list_sessions(store, user.id)
    return Proof("session", str(session.id))


def _token(store: Store) -> Proof:
    return Proof("token", digest_of(add_token(store, "script", "viewer", created_by="a test")))


def _log_out(store: Store) -> None:
    for session in list_sessions(store):
        end_session(store, session.id)


# When the right ends, in seconds after the stream began: about the checks, and between them.
at_times = pytest.mark.parametrize("after_s", [0.05, 0.95, 1.95, 2.05, 7.0])


@at_times
@pytest.mark.parametrize(
    ("known", "ends"),
    [
        (_session, _log_out),
        (_session, lambda store: set_role(store, "grace", "viewer")),
        (_session, lambda store: set_disabled(store, "grace", True)),
        (_token, lambda store: revoke_token(store, "script")),
    ],
    ids=["logout", "demotion", "disabled", "revoked"],
)
def test_a_stream_ends_within_five_seconds_of_the_right_to_it(
    a_store: Store,
    after_s: float,
    known: Callable[[Store], Proof],
    ends: Callable[[Store], None],
) -> None:
    assert ended_after_s(a_store, known(a_store), after_s, lambda: ends(a_store)) <= PROMISED_S


@at_times
@pytest.mark.parametrize(
    "error", [StoreError("It is locked.", problem="locked"), ValueError("Nobody foresaw it.")]
)
def test_a_stream_ends_as_soon_where_nobody_can_be_asked(
    a_store: Store, after_s: float, error: Exception
) -> None:
    proof = _session(a_store)
    locked = mock.patch("app.web.streams.still", side_effect=error)

    def lock() -> None:
        locked.start()

    try:
        # A logout that came right then could not be seen: it is as if there had been one.
        assert ended_after_s(a_store, proof, after_s, lock) <= PROMISED_S
    finally:
        locked.stop()


def test_a_stream_goes_on_for_as_long_as_its_reader_may_read_it(a_store: Store) -> None:
    with pytest.raises(AssertionError, match="it went on"):
        ended_after_s(a_store, _session(a_store), 30.0, lambda: None)
