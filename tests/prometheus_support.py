"""A Prometheus of Debian's package on a free port of this machine, ended on leaving."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.ports import free_port

PATIENCE_S = 60


class Prometheus:
    """A server that keeps its data in `data` and is set up by the file `configuration`."""

    def __init__(self, configuration: Path, data: Path, *arguments: str) -> None:
        port = free_port()
        self._log = data.with_name(f"{data.name}.log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={data}",
                 f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", *arguments],
                stdout=log, stderr=log,
            )  # fmt: skip
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def __enter__(self) -> "Prometheus":
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self.get("/-/ready")[0] == 200:
                    return self
            except (OSError, http.client.HTTPException):
                self._connection.close()
            if time.monotonic() > give_up_s or self._process.poll() is not None:
                self.__exit__()
                raise RuntimeError(f"Prometheus did not start: {self.said()}")
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def said(self) -> str:
        """What it warned of so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def get(self, address: str) -> tuple[int, bytes]:
        """The status and the body at `address`."""
        self._connection.request("GET", address)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def range(self, query: str, from_s: float, to_s: float, step_s: float) -> bytes:
        """The answer, as JSON text, to a range query."""
        asked = {"query": query, "start": from_s, "end": to_s, "step": step_s}
        status, body = self.get(f"/api/v1/query_range?{urlencode(asked)}")
        assert status == 200, body
        return body

    def data(self, path: str, **asked: str) -> Any:
        """What its HTTP interface answers below /api/v1."""
        status, body = self.get(f"/api/v1/{path}?{urlencode(asked)}")
        assert status == 200, body
        return json.loads(body)["data"]

    def query(self, expression: str) -> list[Any]:
        """The series that an expression gives now, with their values."""
        found: list[Any] = self.data("query", query=expression)["result"]
        return found

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until `condition` returns something true, and return it."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            assert time.monotonic() < give_up_s, f"it did not come true in time; {self.said()}"
            time.sleep(0.2)
        return found
