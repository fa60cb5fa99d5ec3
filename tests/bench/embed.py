"""What an embed of 50 domains costs: bytes of the first content and of one that did not change, and
the processor time of 500 viewers who ask every ten seconds.

Served by gunicorn as `npvirt serve` sets it up, in a process of its own. Every viewer's question is
a connection of its own, as those of browsers are that ask so seldom; meanwhile scans are stored, so
that what is drawn is drawn anew. Processor time, not time: the machine may have other things to do.
"""

import gzip
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from app.store.embed_tokens import EmbedToken
from app.store.engine import Store
from tests.bench import page
from tests.embed_support import PAGE, a_token
from tests.web_support import make_web

DOMAINS = 50
VIEWERS = 500
EVERY_S = 10.0
LASTS_S = 20.0
SCANS_EVERY_S = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")


def run() -> Iterator[str]:
    """Sizes on the wire, and how much of a core the viewers take."""
    with tempfile.TemporaryDirectory() as text:
        data = Path(text) / "var"
        web = make_web(data)
        store = web.store
        record, recorder = page.fill(store, DOMAINS)
        secret, _ = _token(store)
        with page.served(data) as (process, port):
            ask = _Asker(port, secret)
            yield from _sizes(ask)
            stop = threading.Event()

            def scan() -> None:
                seconds = 110_000
                while not stop.wait(SCANS_EVERY_S):
                    seconds += 5
                    page.scan(recorder, record, seconds, DOMAINS)

            scans = threading.Thread(target=scan)
            scans.start()
            try:
                yield from _crowd(ask, process)
            finally:
                stop.set()
                scans.join()
        store.close()


def _token(store: Store) -> tuple[str, EmbedToken]:
    return a_token(store, "domains", {"host": ["kvm-01"]})


class _Asker:
    """Asks for one embed as a browser does, and remembers what it was told last."""

    def __init__(self, port: int, secret: str) -> None:
        self._port = port
        self._path = f"/embed/v1/domains?as=element&t={secret}"
        self.etag = ""

    def ask(self, path: str = "", *, whole: bool = False) -> tuple[int, bytes, int]:
        """Status, body and bytes on the wire of one answer over a new connection."""
        lines = [
            f"GET {path or self._path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}",
            f"Origin: {PAGE}", "Accept-Encoding: gzip, deflate, br", "Connection: close",
            *([] if whole or not self.etag else [f"If-None-Match: {self.etag}"]),
        ]  # fmt: skip
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            parts = []
            while part := connection.recv(65_536):
                parts.append(part)
        answer = b"".join(parts)
        head, _, body = answer.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        if not path:
            self.etag = fields.get("ETag", self.etag)
        return int(head.split(b" ", 2)[1]), body, len(answer)


def _sizes(ask: _Asker) -> Iterator[str]:
    status, first, first_bytes = ask.ask()
    assert status == 200
    files = {name: ask.ask(f"/embed/{name}", whole=True) for name in ("npvirt.js", "npvirt.css")}
    status, _, unchanged_bytes = ask.ask()
    assert status == 304, status
    script, sheet = files["npvirt.js"][2], files["npvirt.css"][2]
    whole = (first_bytes + script + sheet) / 1000
    rows = len(gzip.decompress(first))
    yield (
        f"{DOMAINS} domains for the first time: {whole:.1f} kB on the wire (at most 12): content "
        f"{first_bytes / 1000:.1f} ({rows / 1000:.0f} unpacked), script {script / 1000:.1f}, "
        f"stylesheet {sheet / 1000:.1f}"
    )
    yield f"asked again without a change: {unchanged_bytes} bytes (at most 1,000)"


def _crowd(ask: _Asker, process: int) -> Iterator[str]:
    """Paced: a question every EVERY_S / VIEWERS seconds, by several threads."""
    askers, asked = 4, round(LASTS_S * VIEWERS / EVERY_S)
    told: list[int] = []
    started = time.monotonic()

    def work(first: int) -> None:
        for number in range(first, asked, askers):
            pause_s = started + number * EVERY_S / VIEWERS - time.monotonic()
            if pause_s > 0:
                time.sleep(pause_s)
            told.append(ask.ask()[0])

    before_s = _processor_s(process)
    threads = [threading.Thread(target=work, args=(first,)) for first in range(askers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent_s = _processor_s(process) - before_s
    lasted_s = time.monotonic() - started
    assert set(told) <= {200, 304}, set(told)
    each_ms = 1000 * spent_s / asked
    share = each_ms * VIEWERS / EVERY_S / 10
    yield (
        f"{VIEWERS} viewers who ask every {EVERY_S:g} s: {share:.0f} % of one core (at most 25), "
        f"{each_ms:.2f} ms of processor time each; {asked} questions in {lasted_s:.0f} s, "
        f"{told.count(200)} of them answered anew"
    )


def _processor_s(root: int) -> float:
    """Processor time that a process and all below it took so far."""
    total, queue = 0, [root]
    while queue:
        process = queue.pop()
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
        queue.extend(int(child) for child in children.split())
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS
