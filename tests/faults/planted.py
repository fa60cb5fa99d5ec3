"""npvirt with a fault planted into it: `python -m tests.faults.planted NAME serve`.

What the proofs that watch a whole process are there to find, each the mistake that it would be.
With the NAME "none" nothing is planted. Where SCALES names a place, what it holds is told there.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask, request
from msgspec.structs import replace

from app.cli import main
from app.collect.collector import Collector
from app.collect.scanner import Scanner
from app.errors import StoreError
from app.inventory import Scan
from app.store import audit
from app.store.engine import Store
from app.store.faults import Troubles
from app.store.record import Recorded, Recorder
from app.virt import events
from app.virt.session import Session
from app.web.stream import Stream
from tests.faults.weighing import answering

_LATER_S = 0.7
_BETWEEN_S = 0.03


def _put(owner: Any, name: str, value: Any) -> None:
    """Have a class or module of npvirt's do otherwise."""
    setattr(owner, name, value)


def _early() -> None:
    """A scan is told as stored before it is: a thread stores it later."""
    record = Recorder.record

    def told(recorder: Recorder, scan: Any, *rest: Any, **more: Any) -> Recorded:
        def store() -> None:
            time.sleep(_LATER_S)
            record(recorder, scan, *rest, **more)

        threading.Thread(target=store, daemon=True).start()
        return Recorded(0, scan.at_ms, 0, 0, frozenset(), True)

    _put(Recorder, "record", told)


def _torn() -> None:
    """A scan is stored in two transactions: its samples first, its row afterwards."""
    insert = Recorder._insert_scan

    def apart(recorder: Recorder, connection: sa.Connection, *rest: Any, **more: Any) -> int:
        connection.exec_driver_sql("COMMIT")
        time.sleep(_BETWEEN_S)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return insert(recorder, connection, *rest, **more)

    _put(Recorder, "_insert_scan", apart)


def _unsound() -> None:
    """Something writes into the middle of the store's file."""
    opened = vars(Store)["open"].__func__

    def damaged(cls: type[Store], path: Path) -> Store:
        store: Store = opened(cls, path)
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(size // 4096 // 2 * 4096)
            file.write(b"\x5a" * 512)
        return store

    _put(Store, "open", classmethod(damaged))


def _slow() -> None:
    """Where a store is there already, it takes its time before it begins."""
    if (Path(os.environ["NPVIRT_DATA"]) / "collector.lock").exists():
        time.sleep(6.0)


def _shared() -> None:
    """One scan at a time, whichever host it is of."""
    lock, scan = threading.Lock(), Scanner.scan

    def alone(scanner: Scanner, **how: Any) -> Scan:
        with lock:
            return scan(scanner, **how)

    _put(Scanner, "scan", alone)


def _leak() -> None:
    """A session that is given up leaves files open."""
    kept: list[int] = []
    close = Session.close

    def leaving(session: Session) -> None:
        close(session)
        kept.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(20))

    _put(Session, "close", leaving)


def _heavy() -> None:
    """What a session that is given up was told is kept."""
    kept: list[bytes] = []
    close = Session.close

    def keeping(session: Session) -> None:
        close(session)
        kept.append(os.urandom(1 << 22))

    _put(Session, "close", keeping)


def _late() -> None:
    """A host that failed is left alone for a while."""
    scan = Scanner.scan

    def sulking(scanner: Scanner, **how: Any) -> Scan:
        seen = scan(scanner, **how)
        if not seen.ok:
            time.sleep(20.0)
        return seen

    _put(Scanner, "scan", sulking)


def _deaf() -> None:
    """Nobody listens any more to what libvirt tells of a host after the first connection."""
    listened: set[str] = set()
    real = events.subscribe

    def once(session: Session, *rest: Any) -> Any:
        way = str(session._fields)
        if way in listened:
            return None
        listened.add(way)
        return real(session, *rest)

    _put(events, "subscribe", once)


def _forgetful() -> None:
    """A host that does not answer is taken for one on which nothing is left."""
    record = Recorder.record

    def emptied(recorder: Recorder, scan: Scan, *rest: Any, **more: Any) -> Recorded:
        if not scan.ok:
            scan = replace(scan, domains={})
        return record(recorder, scan, *rest, **more)

    _put(Recorder, "record", emptied)


def _silent() -> None:
    """No fault of the store is noticed."""
    _put(Troubles, "failed", lambda troubles, error, *, reading: None)


def _unaudited() -> None:
    """An action goes on where its intent cannot be written."""
    real = audit.intend

    def intend(*what: Any, **more: Any) -> int | None:
        try:
            return real(*what, **more)
        except StoreError:
            return 1

    _put(audit, "intend", intend)


def _held() -> None:
    """One request at a time, whoever asks, and charts take their time."""
    lock, real = threading.Lock(), Flask.full_dispatch_request

    def alone(app: Flask, *rest: Any) -> Any:
        with lock:
            if request.path.startswith("/api/v1/series"):
                time.sleep(0.3)
            return real(app, *rest)

    _put(Flask, "full_dispatch_request", alone)


def _hoard() -> None:
    """Every stream holds a megabyte."""
    real = Stream.__init__

    def hoarding(stream: Stream, *rest: Any, **more: Any) -> None:
        real(stream, *rest, **more)
        hoard.append(bytearray(os.urandom(1 << 20)))

    hoard: list[bytearray] = []
    _put(Stream, "__init__", hoarding)


PLANTS: Mapping[str, Callable[[], None]] = {
    "none": lambda: None,
    "early": _early,
    "torn": _torn,
    "unsound": _unsound,
    "slow": _slow,
    "shared": _shared,
    "leak": _leak,
    "heavy": _heavy,
    "late": _late,
    "deaf": _deaf,
    "silent": _silent,
    "held": _held,
    "hoard": _hoard,
    "unaudited": _unaudited,
    "forgetful": _forgetful,
}

if __name__ == "__main__":
    PLANTS[sys.argv[1]]()
    if "SCALES" in os.environ:
        _put(Collector, "start", answering(os.environ["SCALES"], Collector.start))
    main(sys.argv[2:])
