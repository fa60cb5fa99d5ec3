"""An error of each kind at every libvirt call of a scan, and a hang of every call on the wire.

Errors are raised where all calls go through (Session.call), as npvirt's own typed ones; hangs are
packets that a relay never delivers to a real daemon. The calls are counted first, of a whole scan;
one that was not injected breaks the proof. Plants are the mistakes that a reader could make.
"""

import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import sqlalchemy as sa

from app.collect.scanner import Scanner
from app.connection import Connection
from app.errors import Failure, VirtError
from app.inventory import Scan
from app.store import schema
from app.store.engine import Store
from app.store.hosts import add_host
from app.virt.read.look import Look
from app.virt.read.rotation import Rotation
from app.virt.session import Session
from tests.faults import inventories
from tests.faults.daemon import SessionDaemon, unavailable
from tests.faults.inventories import false_values
from tests.faults.proof import Proof, Tally
from tests.faults.relay import Call, FaultRelay, Loop

INTERVAL_MS = 1_000
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

# libvirt's method, the object that it was called on, its plain arguments, and which of those calls.
Key = tuple[str, str, str, int]


class Choke:
    """Stands in for Session.call: counts the calls, and has one of them fail."""

    def __init__(self) -> None:
        self._real = Session.call
        self._lock = threading.Lock()
        self.seen: Counter[tuple[str, str, str]] = Counter()
        self.failing: Key | None = None
        self.error: Callable[[], VirtError] | None = None
        self.injected = 0

    def begin(self, failing: Key | None = None, kind: str = "") -> None:
        """Count anew; have the call `failing` fail in the way `kind`."""
        self.seen.clear()
        self.failing = failing
        self.error = lambda: _error(kind)
        self.injected = 0

    def keys(self) -> list[Key]:
        """The calls that were seen."""
        return [(*one, nth) for one, count in self.seen.items() for nth in range(1, count + 1)]

    def call(self, session: Session, function: Any, *args: Any, **kwargs: Any) -> Any:
        """As Session.call."""
        one = (function.__name__, _owner(function), _plain(args))
        with self._lock:
            self.seen[one] += 1
            hit = self.failing == (*one, self.seen[one])
            hit = hit and not (_Skipping.on and one[0] == "getCPUStats")
            self.injected += hit
        if hit and self.error is not None:
            raise self.error()
        return self._real(session, function, *args, **kwargs)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Every session's calls go through here meanwhile."""

        def call(session: Session, function: Any, *args: Any, **kwargs: Any) -> Any:
            return self.call(session, function, *args, **kwargs)

        with mock.patch.object(Session, "call", call):
            yield


def _error(kind: str) -> VirtError:
    if kind == "bad-text":
        return VirtError("failed", "The host sent text that is not valid UTF-8.", problem=kind)
    failure: Failure = kind  # type: ignore[assignment] # one of Failure's words
    return VirtError(failure, f"Injected: {kind}.")


def _owner(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    name = getattr(owner, "name", None) or getattr(owner, "getName", None)
    return str(name()) if name is not None else ""


def _plain(args: tuple[Any, ...]) -> str:
    return ",".join(str(arg) for arg in args if isinstance(arg, (int, str)))


class Trial:
    """One host of a store that is scanned, and what a whole scan of it says."""

    def __init__(self, tally: Tally, store: Store, data: Path, slug: str, way: Connection) -> None:
        self._tally = tally
        self._store = store
        self._data = data
        self.record = add_host(store, slug, way)
        self.scanner = self.fresh_scanner()
        self.whole = self.scanned(everything=True)
        self.entities = self._entities()
        tally.check(self.whole.ok and not self.whole.missing, f"{slug} is not whole: {self.whole}")

    def fresh_scanner(self) -> Scanner:
        """A scanner that remembers nothing."""
        return Scanner(self._store, self._data, self.record, INTERVAL_MS)

    def scanned(self, *, everything: bool = False) -> Scan:
        """One look, stored."""
        return self.scanner.scan(everything=everything, next_at_ms=lambda ok: None)

    def begin_anew(self) -> None:
        """Go on with a scanner that remembers nothing."""
        self.scanner.close()
        self.scanner = self.fresh_scanner()

    def check_nothing_gone(self, where: str, but: str = "") -> None:
        """Nothing that was there is said to be gone, or was told as deleted; `but` the object of
        that name.
        """
        table = schema.entity
        mine = table.c.host_id == self.record.id
        with self._store.reading() as connection:
            query = sa.select(table.c.kind, table.c.key)
            rows = connection.execute(query.where(mine, table.c.last_seen_ms.is_not(None)))
            gone = {(row.kind, row.key) for row in rows} & self.entities
            change = schema.change
            query = sa.select(change.c.kind, change.c.key, change.c.name).where(
                change.c.host_id == self.record.id, change.c.what == "deleted"
            )
            rows = connection.execute(query)
            told = [row for row in rows if (row.kind, row.key) in self.entities]
        if but:
            self._tally.check(
                all(row.name == but or row.kind == "volume" for row in told),
                f"{where}: told as deleted: {told}",
            )
            return
        self._tally.check(not gone, f"{where}: gone: {gone}")
        self._tally.check(not told, f"{where}: told as deleted: {told}")
        self._tally.check(
            self._entities() >= self.entities, f"{where}: the store forgot what was there"
        )

    def check_green(self, seen: Scan, where: str, *, equal: bool = True) -> None:
        """The scan is whole, and says what the first one did."""
        self._tally.check(
            seen.ok and not seen.missing,
            f"{where}: the next scan is not green: {seen.sentence or seen.missing}",
        )
        if equal:
            different = inventories.differences(self.whole, seen, volumes=False)
            self._tally.check(not different, f"{where}: the next scan differs: {different}")

    def forget_deletions(self) -> None:
        """Begin anew after an error that says that something is gone."""
        with self._store.writing() as connection:
            connection.execute(
                sa.delete(schema.change).where(schema.change.c.host_id == self.record.id)
            )

    def stored(self) -> Any:
        """The newest scan's row."""
        table = schema.scan
        query = (
            sa.select(table).where(table.c.host_id == self.record.id).order_by(table.c.id.desc())
        )
        with self._store.reading() as connection:
            return connection.execute(query.limit(1)).one()

    def _entities(self) -> set[tuple[str, str]]:
        table = schema.entity
        query = sa.select(table.c.kind, table.c.key).where(table.c.host_id == self.record.id)
        with self._store.reading() as connection:
            return {(row.kind, row.key) for row in connection.execute(query)}


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
            with _planted(tally.plant):
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
        way = Connection(driver="test", transport="tcp", host="127.0.0.1", port=relay.port)
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
        "skipped": lambda: mock.patch.object(_Skipping, "on", True),
    }
    with patches[plant]() if plant else ExitStack():
        yield


class _Skipping:
    """Whether the choke leaves a call out: what the counting is there to find."""

    on = False


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
