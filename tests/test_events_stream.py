"""/events over HTTP, of a panel that runs as people run it: who is told what, and for how long."""

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask

from app import clock
from app.access import COMMAND_LINE, Principal
from app.collect.collector import Collector
from app.collect.live import Hub
from app.collect.noticing import Noticer
from app.settings import load
from app.store.audit import Attempt, note
from app.store.engine import Store
from app.store.hosts import add_host, get_host, set_enabled
from app.store.sessions import end_session, list_sessions
from app.store.tokens import add_token, revoke_token
from app.store.users import get_user, set_disabled, set_role
from app.web import stream_loop
from app.web.standing import Proof
from app.web.stream import Reader, Stream
from app.web.stream_loop import Loop
from app.web.streams import Streams
from tests.made_once import make_app, open_store
from tests.panel import Panel, panel
from tests.signing import COOKIE, a_user, bearer, session_cookie
from tests.storing import a_store
from tests.stream_support import listening
from tests.test_collector import DEMO
from tests.waiting import until
from tests.web_support import Web

__all__ = ["a_store"]

pytestmark = pytest.mark.xdist_group("events")
USER_MOST, TOTAL_MOST = 70, 80


@dataclass
class Running:
    panel: Panel
    store: Store
    app: Flask

    def session(self, name: str, role: str = "operator") -> dict[str, str]:
        """The header of a new session of a user, who is added when new."""
        return {"Cookie": f"{COOKIE}={session_cookie(self.app, a_user(self.store, name, role))}"}

    def streams_open(self) -> int:
        """How many streams the panel counts: one that its reader left it counts until it knows."""
        return int(self.panel.get("/api/v1/health")["streams"]["open"])

    @property
    def url(self) -> str:
        return self.panel.url

    @property
    def pid(self) -> int:
        """The process that serves: the master's child."""
        children = Path(f"/proc/{self.panel.process.pid}/task/{self.panel.process.pid}/children")
        return int(children.read_text(encoding="ascii").split()[0])

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def change(self, host: str = "demo") -> None:
        """Have something of a host change: an entry of it comes into the audit."""
        record = get_host(self.store, host)
        attempt = Attempt(COMMAND_LINE, "", "host-test", "host", record.id, host)
        note(self.store, attempt, "ok")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A panel over one host of libvirt's test driver, and two that nobody looks at. While it runs
    this process opens the store once: SQLite's locks do not outlive another opening of its file.
    """
    data = tmp_path_factory.mktemp("events") / "var"
    data.mkdir(mode=0o700)
    path = data / "npvirt.sqlite"
    store = open_store(path)
    add_host(store, "demo", DEMO)
    for slug in ("other", "third"):
        set_enabled(store, add_host(store, slug, DEMO).slug, False)
    store.close()
    with panel(
        data, NPVIRT_STREAMS_USER=str(USER_MOST), NPVIRT_STREAMS_TOTAL=str(TOTAL_MOST)
    ) as started:
        started.until(lambda: started.items("domains"))
        store = open_store(path)
        settings = load({"NPVIRT_DATA": str(data)})
        app = make_app(settings, store, Collector(settings, store))
        yield Running(started, store, app)
        store.close()


def test_a_stream_begins_as_one_and_tells_of_a_change(running: Running) -> None:
    with listening(running.url, running.panel.headers) as stream:
        assert stream.status == 200
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.headers["Cache-Control"] == "private, no-store"
        assert stream.headers["X-Accel-Buffering"] == "no"
        first = stream.messages[0]
        assert (first.event, first.data) == ("ready", {"resumed": False})
        # Of a host that nobody looks at meanwhile.
        running.change("third")
        until(lambda: stream.changed().get("third") == {"audit"})
        assert stream.changed().keys() <= {"third", "demo"}
        assert all("-" in message.id for message in stream.messages)
        assert not stream.is_told_everything()


def test_a_quiet_stream_shows_that_it_lives(running: Running) -> None:
    with listening(running.url, running.panel.headers) as stream:
        until(lambda: stream.comments or len(stream.messages) > 40)
        assert stream.comments


def test_a_reader_is_told_of_the_hosts_in_its_scope_alone(running: Running) -> None:
    limited = bearer(running.store, "viewer", ["other"])
    with (
        listening(running.url, running.panel.headers) as everything,
        listening(running.url, limited) as some,
    ):
        for host in ("demo", "third", "other"):
            running.change(host)
        until(lambda: {"demo", "other", "third"} <= everything.changed().keys())
        until(lambda: some.changed())
        assert some.changed().keys() == {"other"}


def test_nobody_reads_without_a_session_or_token(running: Running) -> None:
    with listening(running.url, {"HX-Request": "true"}) as stream:
        assert stream.status == 401
        assert stream.headers["HX-Redirect"].startswith("/login")
    with listening(running.url, {}) as stream:
        assert stream.status == 303
    assert running.panel.page("/events?at=1") in (200, 303)
    asked = urllib.request.Request(running.url + "/events?at=1", headers=running.panel.headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=60)
    with refused.value:
        assert refused.value.code == 422
    head = urllib.request.Request(
        running.url + "/events", headers=running.panel.headers, method="HEAD"
    )
    with urllib.request.urlopen(head, timeout=60) as answer:
        assert answer.status == 200


def test_a_session_that_ends_ends_its_streams(running: Running) -> None:
    cookie = running.session("grace")
    with listening(running.url, cookie) as first, listening(running.url, cookie) as second:
        assert first.status == second.status == 200
        user = get_user(running.store, "grace")
        for session in list_sessions(running.store, user.id):
            end_session(running.store, session.id)
        started_s = time.monotonic()
        until(lambda: first.ended.is_set() and second.ended.is_set())
        print(f"ended after {time.monotonic() - started_s:.1f} s")
    with listening(running.url, {**cookie, "HX-Request": "true"}) as refused:
        assert refused.status == 401


def test_a_role_or_scope_that_changes_ends_streams(running: Running) -> None:
    cookie = running.session("linus", "admin")
    with listening(running.url, cookie) as stream:
        set_role(running.store, "linus", "viewer")
        until(stream.ended.is_set)
    cookie = running.session("linus", "viewer")
    with (
        listening(running.url, cookie) as stream,
        listening(running.url, running.panel.headers) as others,
    ):
        set_disabled(running.store, "linus", True)
        until(stream.ended.is_set)
        assert not others.ended.is_set()


def test_a_token_that_is_revoked_or_expires_ends_its_streams(running: Running) -> None:
    later_ms = clock.now_ms() + clock.DAY_MS
    short = add_token(running.store, "short", "viewer", created_by="a test", expires_at_ms=later_ms)
    long = add_token(running.store, "long", "viewer", created_by="a test")
    with (
        listening(running.url, {"Authorization": f"Bearer {short}"}) as expiring,
        listening(running.url, {"Authorization": f"Bearer {long}"}) as revoked,
        listening(running.url, running.panel.headers) as others,
    ):
        assert expiring.status == revoked.status == 200
        # Not before it is read, however long that took.
        soon_ms = clock.now_ms() + 1_000
        with running.store.writing() as connection:
            connection.exec_driver_sql(
                f"UPDATE token SET expires_at_ms = {soon_ms} WHERE name = 'short'"
            )
        revoke_token(running.store, "long")
        # A new token of the same name is another one.
        add_token(running.store, "long", "viewer", created_by="a test")
        until(revoked.ended.is_set)
        until(expiring.ended.is_set)
        assert clock.now_ms() >= soon_ms
        assert not others.ended.is_set()


def test_who_comes_back_is_told_what_it_missed_and_no_more(running: Running) -> None:
    headers = running.panel.headers
    with listening(running.url, headers) as stream:
        running.change()
        until(stream.changed)
        last = stream.messages[-1].id
    with listening(running.url, headers, last=last) as again:
        assert again.messages[0].data == {"resumed": True}
        running.change()
        until(again.changed)
        assert not again.is_told_everything()
        missing = again.messages[0].id
    running.change("other")
    with listening(running.url, headers, last=missing) as late:
        until(lambda: "other" in late.changed())
        assert not late.is_told_everything()
    for strange in ("00000000-1", "nonsense", f"{last.partition('-')[0]}-99999999"):
        with listening(running.url, headers, last=strange) as stranger:
            until(stranger.is_told_everything)


def test_streams_are_limited_per_user_and_in_all(running: Running) -> None:
    until(lambda: not running.streams_open())
    with ExitStack() as stack:
        some = bearer(running.store, "viewer")
        for _ in range(USER_MOST):
            assert stack.enter_context(listening(running.url, some)).status == 200
        with listening(running.url, some) as refused:
            assert refused.status == 429
            assert refused.headers["Retry-After"] == "30"
            assert "NPVIRT_STREAMS_USER" in refused.body
        others = bearer(running.store, "viewer")
        for _ in range(TOTAL_MOST - USER_MOST):
            assert stack.enter_context(listening(running.url, others)).status == 200
        with listening(running.url, others) as refused:
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "30"
            assert "NPVIRT_STREAMS_TOTAL" in refused.body
    until(lambda: not running.streams_open())
    with listening(running.url, some) as stream:
        assert stream.status == 200


def test_many_streams_hold_no_thread_and_leave_nothing_behind(running: Running) -> None:
    until(lambda: not running.streams_open())
    for _ in range(20):
        running.panel.get("/healthz")
    threads, descriptors = running.threads(), running.descriptors()
    many = 60
    with ExitStack() as stack:
        streams = [
            stack.enter_context(listening(running.url, running.panel.headers)) for _ in range(many)
        ]
        assert all(stream.status == 200 for stream in streams)
        # The server has sixteen threads for requests.
        assert running.threads() <= threads + 16
        for _ in range(20):
            running.panel.get("/healthz")
            running.panel.get("/api/v1/domains")
        running.change()
        until(lambda: all(stream.changed() for stream in streams))
        assert running.streams_open() == many
    until(lambda: not running.streams_open())
    until(lambda: running.descriptors() <= descriptors + 8)
    until(lambda: running.threads() <= threads + 16)


def test_a_reader_that_goes_without_a_word_is_noticed(running: Running) -> None:
    until(lambda: not running.streams_open())
    parts = urlsplit(running.url)
    for end in (b"", b"x"):
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            lines = [f"{name}: {value}" for name, value in running.panel.headers.items()]
            head = "\r\n".join(["GET /events HTTP/1.0", f"Host: {parts.netloc}", *lines, "", ""])
            connection.sendall(head.encode())
            received = b""
            while b"event: ready" not in received:
                received += connection.recv(4096)
            # HTTP/1.0 knows no chunks.
            assert b"\r\n\r\nretry: 1000\n\n" in received
            until(lambda: running.streams_open() == 1)
            if end:
                connection.sendall(end)
            else:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))
        until(lambda: not running.streams_open())


def test_a_second_process_tells_what_the_first_one_scans(running: Running) -> None:
    data = Path(running.panel.environ["NPVIRT_DATA"])
    with (
        panel(data, users=False) as second,
        listening(second.url, running.panel.headers) as stream,
    ):
        assert not second.get("/healthz")["collecting"]
        until(lambda: not stream.changed().get("demo"))
        assert "exit status 0" in running.panel.npvirt("scan", "demo")
        until(lambda: {"samples", "scan"} <= stream.changed().get("demo", set()))


def test_a_panel_that_stops_ends_its_streams_and_does_not_wait_for_them(
    running: Running, tmp_path: Path
) -> None:
    with (
        panel(tmp_path / "var") as other,
        listening(other.url, other.headers) as stream,
    ):
        assert stream.status == 200
        other.process.terminate()
        until(stream.ended.is_set)
        other.process.wait(60)
        last = stream.messages[-1].id
    assert last


def test_without_a_server_that_lets_connections_go_pages_are_told_to_ask(web: Web) -> None:
    answer = web.client.get("/events")
    assert answer.status_code == 503
    assert "asks now and then" in answer.text
    assert answer.headers["Retry-After"] == "30"


# --- the loop, over sockets of its own -----------------------------------------------------------


def a_stream(hub: Hub, left: list[str]) -> tuple[Stream, socket.socket]:
    """A stream of somebody who may see everything, and the reader's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.socket()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        theirs.connect(server.getsockname())
        ours, _ = server.accept()
    reader = Reader(Principal("token", "t", "viewer"), Proof("token", "t"), None)
    stream = Stream(
        ours, reader, lambda: left.append(""), known=hub.number, resumed=False, framed=False
    )
    return stream, theirs


def received(connection: socket.socket, wanted: bytes) -> bytes:
    """What comes until `wanted` has come."""
    connection.settimeout(60)
    found, end_s = b"", time.monotonic() + 60
    while wanted not in found:
        # Signs of life come all the time.
        assert time.monotonic() < end_s, found
        piece = connection.recv(65_536)
        assert piece, found
        found += piece
    return found


def test_a_slow_reader_costs_no_more_and_delays_nobody() -> None:
    hub, left, cut = Hub(), list[str](), list[str]()
    loop = Loop(hub, lambda: cut.append(""))
    slow, slow_end = a_stream(hub, left)
    quick, quick_end = a_stream(hub, left)
    most = 0
    with slow_end, quick_end:
        assert loop.take(slow)
        assert loop.take(quick)
        loop.start()
        received(quick_end, b"event: ready")
        for turn in range(1_500):
            # Each is another host, so that messages are long while nobody reads.
            hub.publish(f"host-{turn % 300:03d}-{'x' * 20}", frozenset(("domain", "samples")))
            if turn % 3 == 0:
                received(quick_end, f"{hub.epoch}-{hub.number}\n".encode())
            most = max(most, len(slow.unsent))
        assert slow.unsent, "the reader was not slow"
        # One message of all hosts at most, whatever was published meanwhile.
        assert most < 40_000
        assert len(received(slow_end, f"{hub.epoch}-{hub.number}\n".encode())) < 200_000
    until(loop.over.is_set)
    assert len(left) == 2
    assert not cut
    assert not loop.take(slow)
    assert not hub.is_listened_to


def test_a_reader_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_loop, "_STUCK_S", 0.3)
    hub, left, cut = Hub(), list[str](), list[str]()
    loop = Loop(hub, lambda: cut.append(""))
    stuck, end = a_stream(hub, left)
    with end:
        assert loop.take(stuck)
        loop.start()
        for turn in range(3_000):
            hub.publish(f"host-{turn:04d}-{'x' * 40}", frozenset(("domain",)))
            if loop.over.wait(0.005):
                break
        until(loop.over.is_set)
    assert cut == left == [""]


@pytest.mark.parametrize("speaks", [False, True])
def test_a_reader_that_leaves_or_speaks_is_let_go_at_once(
    monkeypatch: pytest.MonkeyPatch, speaks: bool
) -> None:
    # Else the next sign of life would show that nobody is there.
    monkeypatch.setattr(stream_loop, "_QUIET_S", 3_600.0)
    hub, left = Hub(), list[str]()
    loop = Loop(hub, lambda: None)
    stream, end = a_stream(hub, left)
    with end:
        assert loop.take(stream)
        loop.start()
        received(end, b"event: ready")
        if speaks:
            end.sendall(b"x")
        else:
            end.shutdown(socket.SHUT_WR)
        until(loop.over.is_set)
    assert left == [""]


def test_no_change_is_lost_on_the_way_to_a_reader() -> None:
    hub, left = Hub(), list[str]()
    loop = Loop(hub, lambda: None)
    stream, end = a_stream(hub, left)
    with end:
        assert loop.take(stream)
        loop.start()
        received(end, b"event: ready")
        for turn in range(400):
            hub.publish("kvm-01", frozenset(("domain",)))
            if turn % 10 == 0:
                # Whatever falls together with what: the last one always comes.
                received(end, f"{hub.epoch}-{hub.number}\n".encode())
            time.sleep(0.001 * (turn % 5))
        loop.stop()
    assert loop.over.is_set()
    assert left == [""]


def test_a_loop_that_ends_over_one_stream_leaves_no_other_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, left = Hub(), list[str]()
    loop = Loop(hub, lambda: None)
    spoilt, spoilt_end = a_stream(hub, left)
    other, other_end = a_stream(hub, left)

    def fail(epoch: str) -> None:
        raise ValueError(epoch)

    monkeypatch.setattr(spoilt, "begin", fail)
    with spoilt_end, other_end:
        assert loop.take(spoilt)
        assert loop.take(other)
        loop.start()
        until(loop.over.is_set)
    assert left == ["", ""]
    assert not hub.is_listened_to


def test_what_is_stored_once_a_stream_began_is_told_however_late_the_store_is_looked_at(
    a_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the first look of the process, which takes what is there for known, in the thread
    that checks the readers. On a busy machine it came after what the page had to be told.
    """
    hub, may_check, check = Hub(), threading.Event(), Streams._check
    streams = Streams(a_store, hub, Noticer(a_store, hub, lambda: False), user_most=1, most=1)

    def late(streams: Streams, loop: Loop) -> None:
        assert may_check.wait(60)
        check(streams, loop)

    monkeypatch.setattr(Streams, "_check", late)
    # Nobody ends it for who reads it.
    monkeypatch.setattr(Streams, "_check_readers", lambda *_: True)
    stream, end = a_stream(hub, [])
    with end:
        streams.take(stream)
        received(end, b"event: ready")
        add_host(a_store, "kvm-09", DEMO)
        may_check.set()
        received(end, b'"kvm-09"')
    streams.stop()


@pytest.mark.parametrize("refused", ["streams", "streams-check"])
def test_where_no_thread_can_be_started_the_next_stream_has_its_own_all_the_same(
    a_store: Store, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    hub, left = Hub(), list[str]()
    streams = Streams(a_store, hub, Noticer(a_store, hub, lambda: False), user_most=1, most=1)
    really = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == refused:
            raise RuntimeError("can't start new thread")
        really(thread)

    leave = streams.admit("ada")
    stream, end = a_stream(hub, left)
    stream._leave = leave
    with end, monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            streams.take(stream)
    assert streams.counts().open == 0
    leave = streams.admit("ada")
    # Nobody ends it for who reads it.
    monkeypatch.setattr(Streams, "_check_readers", lambda *_: True)
    stream, end = a_stream(hub, left)
    stream._leave = leave
    with end:
        streams.take(stream)
        received(end, b"event: ready")
    until(lambda: streams.counts().open == 0)
    streams.stop()
