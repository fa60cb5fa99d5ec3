"""libvirtd is stopped and goes on, is killed, is restarted: round after round.

Three hosts, each a daemon of its own. Each time: it is unknown since its last look, with nothing
deleted; green a tick after it is back; and what libvirt tells of is taken notice of again, which is
tried by an act of another client that must be seen between two scans.
"""

import itertools
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import libvirt

from app.clock import now_ms
from app.connection import Connection
from app.store.engine import Store
from app.store.hosts import add_host
from tests.faults.daemon import SessionDaemon, unavailable
from tests.faults.looks import Looks
from tests.faults.process import Server
from tests.faults.proof import Proof, Tally
from tests.panel import Panel, an_admins_token

INTERVAL_S = 3.0
_DEADLINE_S = 10.0
_EVENT_S = 2.0
_PATIENCE_S = 60.0


class Host:
    """One daemon, and what npvirt says of it."""

    def __init__(
        self, tally: Tally, slug: str, daemon: SessionDaemon, panel: Panel, looks: Looks
    ) -> None:
        self.slug = slug
        self.daemon = daemon
        self._tally = tally
        self._panel = panel
        self._looks = looks
        self.unknown_s = 0.0
        self.green_s = 0.0

    def item(self) -> Any:
        """The host as the JSON says it."""
        return next(one for one in self._panel.items("hosts") if one["host"] == self.slug)

    def check_unknown(self, since_s: float) -> None:
        """Before long it is unknown, and so is its domain, with what it was last."""
        self._until(lambda: self.item()["unknown_since"], f"{self.slug} is away, and not unknown")
        self.unknown_s = max(self.unknown_s, time.monotonic() - since_s)
        mine = [one for one in self._panel.items("domains") if one["host"] == self.slug]
        self._tally.check(len(mine) == 1, f"{len(mine)} domains of {self.slug} while it is away")
        self._tally.check(mine[0]["state"] is None, f"{self.slug} is away, its domain is not")
        self._tally.check(mine[0]["last"], f"what the domain of {self.slug} was last is not told")

    def check_green(self, back_ms: int, slack_s: Callable[[], float]) -> None:
        """The first look that begins after it is back is green, and begins within a tick of the
        end of the one that was going on.
        """
        after = self._until(
            lambda: [one for one in self._seen() if one.at_ms > back_ms + 100],
            f"{self.slug} is back, and not looked at",
        )
        going_on = [one.end_ms for one in self._seen() if one.at_ms <= back_ms + 100]
        ended_ms = max([back_ms, *going_on])
        late_s = (after[0].at_ms - ended_ms) / 1000
        self.green_s = max(self.green_s, (after[0].at_ms - back_ms) / 1000)
        first = after[0]
        self._tally.check(
            first.green,
            f"{self.slug} is back, and not green {first.at_ms - back_ms} ms later, in a look of "
            f"{first.took_ms} ms: {first.why}",
        )
        self._tally.check(
            late_s <= INTERVAL_S + 1.0 + slack_s(),
            f"{self.slug} is back, and looked at only {late_s:.1f} s later",
        )
        self._tally.check(
            ended_ms - back_ms <= (_DEADLINE_S + 1.0 + slack_s()) * 1000,
            f"a look at {self.slug} went on for {ended_ms - back_ms} ms after it was back",
        )

    def check_told(self) -> None:
        """An act of another client is seen between two scans: libvirt told of it. What is undone
        before it is looked at, or seen by a scan that comes first, leaves no trace, so that on a
        busy machine it takes more than one.
        """
        connection = libvirt.open(self.daemon.uri)
        try:
            domain = connection.listAllDomains()[0]
            since_ms, acts = now_ms(), itertools.cycle((domain.suspend, domain.resume))

            def is_told() -> bool:
                next(acts)()
                time.sleep(0.3)
                return bool(self._looks.partial(self.slug, since_ms - 50))

            self._until(is_told, f"what happens on {self.slug} is not told any more")
            if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
                domain.resume()
        finally:
            connection.close()

    def check_nothing_gone(self) -> None:
        """Nothing is said to be gone."""
        gone = self._looks.gone()
        self._tally.check(not gone, f"gone: {gone[:3]}")

    def _seen(self) -> list[Any]:
        return self._looks.since(now_ms() - 120_000).get(self.slug, [])

    def _until(self, condition: Callable[[], Any], sentence: str) -> Any:
        end_s = time.monotonic() + _PATIENCE_S
        while not (found := condition()):
            if time.monotonic() > end_s:
                self._tally.check(False, sentence)
            time.sleep(0.1)
        self._tally.check(True, sentence)
        return found


def _stopped(daemon: SessionDaemon, away: Callable[[], None]) -> None:
    daemon.kill(signal.SIGSTOP)
    try:
        away()
    finally:
        daemon.kill(signal.SIGCONT)


def _killed(daemon: SessionDaemon, away: Callable[[], None]) -> None:
    daemon.kill(signal.SIGKILL)
    away()
    daemon.start()


def _restarted(daemon: SessionDaemon, away: Callable[[], None]) -> None:
    daemon.kill(signal.SIGTERM)
    daemon.start()


_FAULTS = {"stopped": _stopped, "killed": _killed, "restarted": _restarted}


def _check_alive(tally: Tally, fault: str, daemon: SessionDaemon) -> None:
    tally.check(daemon.is_alive, f"libvirtd crashed after it was {fault}, which npvirt provoked")


def _rounds(tally: Tally, host: Host, fault: str, server: Server, lock: Any) -> None:
    for _ in tally.rounds(1, 5, 200):
        since_s, queue = time.monotonic(), server.queue()
        _FAULTS[fault](host.daemon, partial(host.check_unknown, since_s))
        back_ms = now_ms()
        _check_alive(tally, fault, host.daemon)
        host.check_green(back_ms, queue.waited_s)
        host.check_nothing_gone()
        host.check_told()
        _check_alive(tally, fault, host.daemon)
        with lock:
            tally.attempts += 1
            tally.injected[f"libvirtd {fault}"] += 1


def _prove(tally: Tally) -> None:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npvirt-libvirtd-")))
        data = root / "var"
        token = an_admins_token(data)
        daemons = {fault: stack.enter_context(SessionDaemon()) for fault in _FAULTS}
        store = Store.open(data / "npvirt.sqlite")
        for fault, daemon in daemons.items():
            way = Connection(driver="test", transport="tcp", host="127.0.0.1", port=daemon.port)
            add_host(store, fault, way)
        store.close()
        server = Server(data, {"NPVIRT_SCAN_SECONDS": str(INTERVAL_S)}, tally.plant)
        stack.callback(server.kill)
        begun_ms = now_ms()
        server.start()
        server.until_served()
        panel = server.panel(token)
        looks = Looks(data / "npvirt.sqlite")
        hosts = {
            fault: Host(tally, fault, daemon, panel, looks) for fault, daemon in daemons.items()
        }
        for host in hosts.values():
            host.check_green(begun_ms, lambda: _PATIENCE_S)
            host.check_told()
        lock = threading.Lock()
        with ThreadPoolExecutor(len(hosts)) as lanes:
            work = [
                lanes.submit(_rounds, tally, host, fault, server, lock)
                for fault, host in hosts.items()
            ]
            for one in work:
                one.result()
        tally.note(f"unknown after {max(one.unknown_s for one in hosts.values()):.1f} s at most")
        tally.note(f"looked at again after {max(h.green_s for h in hosts.values()):.1f} s at most")


PROOF = Proof(
    "libvirtd",
    "when libvirtd stops, dies or is restarted: unknown since, nothing deleted, green a tick after "
    "it is back, and what it tells is heard again",
    _prove,
    {
        "late": "a host that failed is left alone for twenty seconds",
        "deaf": "nobody listens to what libvirt tells after the first connection",
        "forgetful": "what a host that fails had is said to be gone",
    },
    (),
    unavailable,
)
