"""Receivers of notifications on loopback, and a store with a host whose looks are made by hand.

The receivers are real servers: one of HTTP, one of SMTP, each of which can be told how to answer.
"""

import contextlib
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from app.clock import now_ms
from app.inventory import Domain, Host, Missing, Pool, PoolSample, Scan
from app.notification.values import Rule, Target
from app.notifier.notifier import Notifier
from app.notifier.sending import Sender
from app.settings import Settings, load
from app.store.engine import Store, store_path
from app.store.hosts import HostRecord
from app.store.notification_rules import RuleDraft, add_rule
from app.store.notification_targets import WebhookSecret, add_target, new_key
from app.store.record import Recorder
from tests.made_once import open_store
from tests.storing import a_host

INTERVAL_MS = 60_000
GIB = 1 << 30
UUID = "00000001-0000-4000-8000-000000000001"
POOL = "00000001-0000-4000-9000-000000000001"


@dataclass
class Request:
    """What was posted."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A receiver of webhooks: `answer` says of each request with what to answer it; None ends the
    connection without an answer.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answer: Callable[[Request], int | None] = lambda _: 204

    @property
    def messages(self) -> list[Any]:
        """The bodies so far."""
        return [request.json for request in self.requests]

    def events(self) -> list[Any]:
        """All events of all messages."""
        return [event for message in self.messages for event in message["events"]]

    def titles(self) -> list[str]:
        return [event["title"] for event in self.events()]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks on a free port of loopback."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(self.path, dict(self.headers), body)
            made.requests.append(request)
            status = made.answer(request)
            if status is None:
                self.close_connection = True
                return
            with contextlib.suppress(OSError):
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

        def log_message(self, *args: Any) -> None:
            """Nothing is said of what is received."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}/hook/secret-path"
    with _served(server):
        yield made


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Post:
    """A server of mail: what it was handed, and with what it answers the parts of a session."""

    port: int = 0
    mails: list[bytes] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    answers: dict[str, str | None] = field(default_factory=dict)


@contextmanager
def post_office() -> Iterator[Post]:
    """A server of SMTP on a free port of loopback, without TLS."""
    made = Post()
    usual = {"EHLO": "250 here", "HELO": "250 here", "MAIL": "250 ok", "RCPT": "250 ok",
             "DATA": "354 go on", "QUIT": "221 bye", ".": "250 taken"}  # fmt: skip

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 here")
            for raw in self.rfile:
                line = raw.decode().rstrip("\r\n")
                made.lines.append(line)
                verb = line[:4].upper()
                if not self._say({**usual, **made.answers}.get(verb, "502 no")):
                    return
                if verb == "DATA" and made.answers.get("DATA", "354").startswith("354"):  # type: ignore[union-attr]
                    text = b""
                    for part in iter(self.rfile.readline, b""):
                        if part == b".\r\n":
                            break
                        text += part
                    made.mails.append(text)
                    if not self._say(made.answers.get(".", usual["."])):
                        return

        def _say(self, answer: str | None) -> bool:
            if answer is None:
                return False
            with contextlib.suppress(OSError):
                self.wfile.write(f"{answer}\r\n".encode())
            return True

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    server = Server(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    with _served(server):
        yield made


@dataclass
class Notified:
    """A store with one host, what looks at it, and what notifies."""

    store: Store
    settings: Settings
    host: HostRecord
    recorder: Recorder
    notifier: Notifier
    at_ms: int
    # Whether its domain was last made to be off.
    is_off: bool = False

    def scan(self, **fields: Any) -> None:
        """Record a look a minute after the last one; without fields as a look that failed."""
        self.at_ms += INTERVAL_MS
        self.recorder.record(_scan(self.at_ms, **fields) if fields else _failure(self.at_ms))

    def turn(self) -> None:
        """One turn, until nothing is being sent."""
        self.notifier.turn()
        assert self.notifier.sender.wait(30)

    def again(self) -> None:
        """Another process takes over."""
        self.notifier.stop()
        self.notifier = Notifier(self.settings, self.store, Sender(
            self.settings, self.store, between_s=0))  # fmt: skip

    def webhook(self, url: str, name: str = "hook") -> Target:
        secret = WebhookSecret(url, new_key())
        return add_target(
            self.store, self.settings.data, name, "webhook", "http://shown", "ada", secret=secret
        )

    def rule(self, kind: str, *targets: Target, **fields: Any) -> Rule:
        """A rule for some targets, named after its kind."""
        named = {"name": fields.pop("name", kind), "target_ids": tuple(one.id for one in targets)}
        thresholds = {"host-unknown": 5, "host-partial": 60, "pool-full": 90, "pool-filling": 14}
        draft = RuleDraft(**{"kind": kind, "threshold": thresholds.get(kind), "pause_minutes": 0,
                             **named, **fields})  # fmt: skip
        return add_rule(self.store, draft, "ada")


@contextmanager
def notified(data: Path, at_ms: int | None = None, **settings: str) -> Iterator[Notified]:
    """A new store whose only host was looked at once, now or at `at_ms`."""
    loaded = load({"NPVIRT_DATA": str(data), "NPVIRT_TIMEZONE": "UTC", **settings})
    store = open_store(store_path(loaded))
    host = a_host(store, "kvm-01")
    sender = Sender(loaded, store, between_s=0)
    begun_ms = now_ms() if at_ms is None else at_ms
    made = Notified(
        store, loaded, host, Recorder(store, host, INTERVAL_MS), Notifier(loaded, store, sender),
        begun_ms - INTERVAL_MS,
    )  # fmt: skip
    made.scan(state="running")
    try:
        yield made
    finally:
        made.notifier.stop()
        store.close()


def _scan(at_ms: int, **fields: Any) -> Scan:
    """A good look: `state`, `reason` and `name` of its domain (state None: there is none), how full
    its pool of 100 GiB is, and what is missing.
    """
    state = fields.get("state", "running")
    domain = Domain(UUID, fields.get("name", "web"), state or "", fields.get("reason"), id=1)
    domains = {} if state is None else {UUID: domain}
    used = fields.get("used", 40)
    missing = tuple(Missing(part, "It did not answer.") for part in fields.get("missing", ()))
    pool = Pool(POOL, "images", "running")
    sample = PoolSample(
        capacity_bytes=100 * GIB, allocation_bytes=round(used * GIB),
        available_bytes=round((100 - used) * GIB),
    )  # fmt: skip
    host = Host(uri="qemu:///system", hostname="kvm-01.test", hypervisor="QEMU")
    return Scan(
        at_ms=at_ms, took_ms=100, ok=True, missing=missing, host=host,
        domains=domains, domain_samples={}, pools={POOL: pool}, pool_samples={POOL: sample},
        networks={}, interfaces={},
    )  # fmt: skip


def _failure(at_ms: int) -> Scan:
    return Scan(at_ms=at_ms, took_ms=100, ok=False, problem="timeout", sentence="It is silent.")
