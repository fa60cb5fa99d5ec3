"""A second npvirt that nothing is done to: how late it is, this machine makes it.

Proofs that promise times run on machines with other work too. A few hosts that are well, scanned
at the same rhythm by a process of their own, say what of a delay is none of the fault's.
"""

from pathlib import Path

from app.clock import now_ms
from app.connection import Connection
from app.store.engine import Store
from app.store.hosts import add_host
from tests.faults.looks import Looks, latest_s
from tests.faults.process import Server

_HOSTS = 5


class Control:
    """Runs until it is stopped, with its data in `data`."""

    def __init__(self, data: Path, port: int, interval_s: float) -> None:
        self._interval_s = interval_s
        data.mkdir(mode=0o700)
        path = data / "npvirt.sqlite"
        store = Store.open(path)
        for number in range(_HOSTS):
            way = Connection(driver="test", transport="tcp", host="127.0.0.1", port=port)
            add_host(store, f"control-{number}", way)
        store.close()
        self._looks = Looks(path)
        self._server = Server(data, {"NPVIRT_SCAN_SECONDS": str(interval_s)})

    def start(self) -> None:
        """Start it and wait until it serves."""
        self._server.start()
        self._server.until_served()

    def stop(self) -> None:
        """End it."""
        self._server.kill()

    def late_s(self, since_ms: int) -> float:
        """How late its latest scan was since then, those that are due by now included."""
        seen = self._looks.since(since_ms - round(2 * self._interval_s * 1000)).values()
        begun_s = max((latest_s(looks, self._interval_s) for looks in seen), default=0.0)
        last_ms = min((looks[-1].at_ms for looks in seen), default=since_ms)
        return max(0.0, begun_s, (now_ms() - last_ms) / 1000 - self._interval_s)
