"""An error of each kind at every libvirt call of a scan, and a hang of every call on the wire.

Errors are raised where all calls go through (Session.call), as npvirt's own typed ones; hangs are
packets that a relay never delivers to a real daemon. The calls are counted first, of a whole scan;
one that was not injected breaks the proof. Plants are the mistakes that a reader could make.
"""

import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, get_args
from unittest import mock

from app.connection import Connection
from app.errors import Failure
from app.inventory import Scan
from app.store.engine import Store
from app.virt.read import snapshot_counts
from app.virt.read.look import Look
from app.virt.read.rotation import Rotation
from app.virt.session import Session
from tests.faults import inventories
from tests.faults.choke import Choke, Key, Skipping
from tests.faults.daemon import SessionDaemon, unavailable
from tests.faults.inventories import false_values
from tests.faults.proof import Proof, Tally
from tests.faults.relay import Call, FaultRelay, Loop
from tests.faults.trial import Trial

KINDS: tuple[str, ...] = (*get_args(Failure), "bad-text")
# What a reader that remembers nothing yet is tried with as well.
_FRESH_KINDS = ("failed", "unsupported")
_BRIEF_KINDS = ("failed",)
# A call is late after this; the longer ones where the machine was too busy to reach the call.
_DEADLINES_S = (0.5, 2.0, 8.0)
_LANES = 4

# What is asked again with the next connection and not sooner, like all that the driver lacks: what
# a machine without SMBIOS says, and what is no text.
_LASTING = {
    ("failed", "getSysinfo"),
    ("bad-text", "getSysinfo"),
    ("bad-text", "XMLDesc"),
    ("bad-text", "listAllSnapshots"),
    ("bad-text", "getXMLDesc"),
    ("bad-text", "isCurrent"),
}

# --- errors ---------------------------------------------------------------------------------


def _errors(tally: Tally, trial: Trial) -> None:
    choke = Choke()
    with choke.installed():
        for fresh in (False, True):
            calls = _census(trial, choke, fresh=fresh)
            tally.check(len(calls) > 20, f"only {len(calls)} calls were seen in a whole scan")
            if not fresh:
                tally.note(f"{len(calls)} calls in a whole scan")
            for kind in _kinds(tally, fresh=fresh):
                for key in calls if tally.length != "brief" else calls[:40]:
                    _error_at(tally, trial, choke, key, kind, fresh=fresh)


def _kinds(tally: Tally, *, fresh: bool) -> tuple[str, ...]:
    if tally.length == "brief":
        return _BRIEF_KINDS
    return _FRESH_KINDS if fresh and tally.length == "ci" else KINDS


def _census(trial: Trial, choke: Choke, *, fresh: bool) -> list[Key]:
    if fresh:
        trial.begin_anew()
    choke.begin()
    trial.check_green(trial.scanned(everything=not fresh), "the census")
    return choke.keys()


def _error_at(
    tally: Tally, trial: Trial, choke: Choke, key: Key, kind: str, *, fresh: bool
) -> None:
    where = f"{kind} at {key[0]}({key[2]}) of {key[1] or 'the host'}, call {key[3]}"
    where += ", in a first scan" if fresh else ""
    if fresh:
        trial.begin_anew()
    choke.begin(key, kind)
    seen = trial.scanned(everything=not fresh)
    tally.attempts += 1
    tally.injected[f"error “{kind}”"] += choke.injected
    tally.check(choke.injected == 1, f"{where}: the fault was not injected")
    choke.begin()
    gone = key[1] if kind == "gone" else ""
    if kind == "unreachable":
        tally.check(not seen.ok and seen.sentence, f"{where}: not marked as failed")
        tally.check(trial.stored().ok == 0, f"{where}: stored as a good scan")
    else:
        _check_partial(tally, trial, seen, kind, where)
    trial.check_nothing_gone(where, gone)
    after = trial.scanned()
    lacking = kind in ("unsupported", "gone") or (kind, key[0]) in _LASTING
    trial.check_green(after, where, equal=not lacking)
    if lacking:
        trial.scanner.disconnect()
        trial.check_green(trial.scanned(), where)
        trial.forget_deletions()


def _check_partial(tally: Tally, trial: Trial, seen: Scan, kind: str, where: str) -> None:
    tally.check(seen.ok, f"{where}: the whole scan failed: {seen.sentence}")
    absent = () if seen.host is None else seen.host.not_available
    was_absent = () if trial.whole.host is None else trial.whole.host.not_available
    named = bool(seen.missing) or absent != was_absent
    if seen.missing:
        tally.check(trial.stored().missing, f"{where}: the part is not stored as missing")
    lost = inventories.differences(trial.whole, seen)
    # One bad object is one marked row.
    named = named or any(one.startswith("damaged of ") for one in lost)
    if kind not in ("unsupported", "gone"):
        tally.check(named or not lost, f"{where}: {lost} is missing, and nothing says so")
    false = false_values(trial.whole, seen, gone=kind == "gone")
    tally.check(not false, f"{where}: shown as known: {false}")


# --- hangs ----------------------------------------------------------------------------------


class _Patience(threading.local):
    """The deadline of calls in this thread; None: npvirt's own."""

    seconds: float | None = None


_patience = _Patience()


@contextmanager
def _impatient() -> Iterator[None]:
    """Sessions have the deadline of the thread that opens them."""
    real = vars(Session)["open"].__func__

    def opened(cls: type[Session], endpoint: Any, /, **kwargs: Any) -> Session:
        seconds = _patience.seconds
        if seconds is None:
            unhurried: Session = real(cls, endpoint, **kwargs)
            return unhurried
        session: Session = real(cls, endpoint, **kwargs | {"deadline_s": seconds})
        session.call_deadline_s = seconds
        return session

    with mock.patch.object(Session, "open", classmethod(opened)):
        yield


def _hangs(tally: Tally, trials: list[Trial], relays: list[FaultRelay]) -> None:
    counted = [
        _calls_on_the_wire(trial, relay) for trial, relay in zip(trials, relays, strict=True)
    ]
    calls = counted[0]
    tally.check(len(calls) > 20, f"only {len(calls)} calls were seen on the wire")
    tally.note(f"{len(calls)} on the wire")
    before = tally.injected["hang"]
    wanted = calls if tally.length != "brief" else calls[:4]
    with _impatient(), ThreadPoolExecutor(len(trials)) as lanes:
        work = [
            lanes.submit(_hang_at, tally, trials[lane], relays[lane], wanted[lane :: len(trials)])
            for lane in range(len(trials))
        ]
        for one in work:
            one.result()
    held = tally.injected["hang"] - before
    tally.check(held == len(wanted), f"{held} of {len(wanted)} calls were held up")


def _calls_on_the_wire(trial: Trial, relay: FaultRelay) -> list[Call]:
    trial.scanner.disconnect()
    relay.begin()
    trial.check_green(trial.scanned(), "the census on the wire")
    return list(relay.calls)


def _hang_at(tally: Tally, trial: Trial, relay: FaultRelay, calls: list[Call]) -> None:
    for call in calls:
        where = f"a hang of procedure {call[1]} of program {call[0]:#x}, call {call[2]}"
        for deadline_s in _DEADLINES_S:
            trial.scanner.disconnect()
            relay.begin()
            relay.swallow = call
            before = relay.injected["hang"]
            _patience.seconds = deadline_s
            seen = trial.scanned()
            _patience.seconds = None
            relay.swallow = None
            if relay.injected["hang"] > before:
                break
        tally.attempts += 1
        tally.injected["hang"] += relay.injected["hang"] > before
        tally.check(not seen.ok and seen.sentence, f"{where}: the scan is not marked as failed")
        tally.check(
            seen.problem in ("no-answer", "timeout", "lost"), f"{where}: said {seen.problem}"
        )
        trial.check_nothing_gone(where)
        trial.check_green(trial.scanned(), where)


# --- the proof ------------------------------------------------------------------------------


def _prove(tally: Tally) -> None:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npvirt-calls-")))
        store = Store.open(root / "npvirt.sqlite")
        stack.callback(store.close)
        for number in range(tally.of(1, 1, len(inventories.INVENTORIES))):
            node = inventories.write(root, number)
            way = Connection(driver="test", transport="embedded", path=str(node))
            trial = Trial(tally, store, root, f"node-{number}", way)
            stack.callback(trial.scanner.close)
            with _planted(tally.plant), mock.patch.object(snapshot_counts, "MOST_ASKED", 1_000):
                # Every scan makes every call: what is asked by turns could not be made to fail.
                _errors(tally, trial)
        if tally.length != "brief":
            _prove_hangs(tally, stack, store, root)


def _prove_hangs(tally: Tally, stack: ExitStack, store: Store, root: Path) -> None:
    daemon = stack.enter_context(SessionDaemon())
    loop = Loop()
    stack.callback(loop.close)
    trials, relays = [], []
    for lane in range(_LANES):
        relay = FaultRelay(loop, daemon.port)
        stack.callback(relay.close)
        # Looked at alone: no other connection, such as that which refreshes pools, is ever taken
        # for the one whose calls are counted.
        way = Connection(
            driver="test", transport="tcp", host="127.0.0.1", port=relay.port, read_only=True
        )
        trial = Trial(tally, store, root, f"wire-{lane}", way)
        stack.callback(trial.scanner.close)
        trials.append(trial)
        relays.append(relay)
    for _ in range(tally.of(1, 1, 3)):
        _hangs(tally, trials, relays)


@contextmanager
def _planted(plant: str) -> Iterator[None]:
    attempt, failed = Look.attempt, object()

    def deleting(look: Look, part: str, read: Callable[[], Any], otherwise: Any) -> Any:
        found = attempt(look, part, read, failed)
        return ([] if otherwise is None else otherwise) if found is failed else found

    patches: dict[str, Any] = {
        "deleted": lambda: mock.patch.object(Look, "attempt", deleting),
        "zero": lambda: mock.patch.object(Look, "bounded", lambda look, part, value: value or 0),
        "unnamed": lambda: mock.patch.object(Look, "note", return_value=None),
        "sticky": lambda: mock.patch.object(Rotation, "failed", return_value=None),
        "skipped": lambda: mock.patch.object(Skipping, "on", True),
    }
    with patches[plant]() if plant else ExitStack():
        yield


PROOF = Proof(
    "calls",
    "whatever call of a scan fails or hangs: the part is named, nothing is deleted, unknown is "
    "null and never 0, and the next scan is green",
    _prove,
    {
        "deleted": "a list that could not be read is taken for an empty one",
        "zero": "a figure that could not be read is 0",
        "unnamed": "what is missing is not named",
        "sticky": "what failed is not read again at the next scan",
        "skipped": "one call is never made to fail",
    },
    ("deleted", "zero", "unnamed", "sticky", "skipped"),
    unavailable,
)
