"""Pools are refreshed beside the scans: what a failure says of the pool, and what not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import libvirt
import pytest

from app.connection import Connection, Endpoint
from app.virt.read import refresh
from app.virt.read.refresh import PoolRefresher
from app.virt.session import Session
from tests.faults.daemon import SessionDaemon, unavailable
from tests.faults.relay import FaultRelay, Loop
from tests.waiting import until

_UNAVAILABLE = unavailable()
pytestmark = pytest.mark.skipif(_UNAVAILABLE is not None, reason=_UNAVAILABLE or "")


class Host:
    """A daemon with one pool, behind a relay that can fail."""

    def __init__(self, daemon: SessionDaemon, loop: Loop) -> None:
        self.relay = FaultRelay(loop, daemon.port)
        way = Connection(driver="test", transport="tcp", host="127.0.0.1", port=self.relay.port)
        self.endpoint = Endpoint(way)
        connection = libvirt.open(daemon.uri)
        self.pool = connection.storagePoolLookupByName("default-pool").UUIDString()
        connection.close()

    def open(self) -> Session:
        """A session of its own over the relay."""
        return Session.open(self.endpoint, read_only=False)


@pytest.fixture
def host() -> Iterator[Host]:
    loop = Loop()
    with SessionDaemon() as daemon:
        host = Host(daemon, loop)
        yield host
        host.relay.close()
    loop.close()


@contextmanager
def refreshing(host: Host) -> Iterator[PoolRefresher]:
    refresher = PoolRefresher(host.open, time.monotonic)
    try:
        yield refresher
    finally:
        refresher.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pool is always due, and what failed is tried again without a pause."""
    monkeypatch.setattr(refresh, "REFRESH_PERIOD_S", 0.0)
    monkeypatch.setattr("app.virt.read.background._PAUSE_S", 0.0)


def refreshed_again(host: Host, refresher: PoolRefresher) -> None:
    """Ask for it as every scan does, until it is done once more."""
    before_ms = refresher.refreshed_at_ms().get(host.pool, 0)

    def is_done() -> bool:
        refresher.want(frozenset((host.pool,)))
        return refresher.refreshed_at_ms().get(host.pool, 0) > before_ms

    until(is_done)


def hang_the_refresh(host: Host, refresher: PoolRefresher, deadline_s: float | None = None) -> None:
    """Let one refresh go well, and the next one not arrive, which is waited for that long."""
    refreshed_again(host, refresher)
    session = refresher._background._session
    if deadline_s is not None and session is not None:
        # Not sooner: on a busy machine the one that goes well may take longer.
        session.call_deadline_s = deadline_s
    # The next one may be under way already.
    before = host.relay.injected["stopped"]
    host.relay.set("stopped")
    refresher.want(frozenset((host.pool,)))
    until(lambda: host.relay.injected["stopped"] > before)


def test_a_connection_that_breaks_while_a_pool_is_refreshed_says_nothing_of_the_pool(
    host: Host,
) -> None:
    with refreshing(host) as refresher:
        hang_the_refresh(host, refresher)
        host.relay.set("closing")
        until(lambda: refresher._background._session is None)
        assert refresher.failures() == {}
        host.relay.set("well")
        # Nobody calls `forget` any more: the scan noticed the break sooner than this thread did.
        refreshed_again(host, refresher)
        assert refresher.failures() == {}


def test_a_refresh_that_never_ends_is_told_and_not_tried_again_before_the_next_connection(
    host: Host,
) -> None:
    with refreshing(host) as refresher:
        hang_the_refresh(host, refresher, 0.5)
        # One that was under way already has a minute.
        until(refresher.failures, 150)
        assert list(refresher.failures()) == [host.pool]
        host.relay.set("well")
        before = refresher.refreshed_at_ms()
        for _ in range(20):
            refresher.want(frozenset((host.pool,)))
            time.sleep(0.01)
        assert refresher.refreshed_at_ms() == before
        assert list(refresher.failures()) == [host.pool]
        # The host was connected anew.
        refresher.forget()
        assert refresher.failures() == {}
        refreshed_again(host, refresher)
        assert refresher.failures() == {}


def test_a_refresh_that_hangs_when_the_host_is_connected_anew_ends_and_says_nothing_of_the_pool(
    host: Host,
) -> None:
    """The way to it was cut off in silence, as by a firewall that forgot it: the scans noticed, and
    the host is back, long before a refresh is at its deadline.
    """
    with refreshing(host) as refresher:
        hang_the_refresh(host, refresher)
        given_up = refresher._background._session
        refresher.forget()
        until(lambda: refresher._background._session is not given_up)
        assert refresher.failures() == {}
        host.relay.set("well")
        refreshed_again(host, refresher)
        assert refresher.failures() == {}
