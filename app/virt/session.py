"""A session: one open libvirt connection to one host, and the only way to call libvirt.

Every call goes through `Session.call`: it has a deadline, and what libvirt raises leaves as
VirtError. A session that was cut or lost stays dead; whoever needs another opens one.
"""

import contextlib
import errno
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import libvirt

from app import clock
from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.virt import ssh
from app.virt.classify import call_error, open_error
from app.virt.deadline import Deadline, watchdog, within
from app.virt.dial import Upstream, dial
from app.virt.events import Subscription
from app.virt.problems import problem
from app.virt.relay import Relay
from app.virt.uri import libvirt_uri

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# Without a handler of its own libvirt prints what hosts send to standard error.
libvirt.registerErrorHandler(lambda _context, _error: None, None)

_CLOSE_S = 3.0
# Before 10.4 libvirt may crash when a thread calls over a connection on which another one waits
# (CVE-2024-4418: what the first leaves in the connection's loop points into its stack). The more so
# when the connection then breaks; so there only one call is on its way over a connection at a time.
_CALLS_MEET_SAFELY = libvirt.getVersion() >= 10_004_000
_USER, _AUTHENTICATION_NAME, _PASSPHRASE = 1, 2, 5
_CREDENTIALS = [2, 5, 6, 7, 1]


class Session:
    """An open connection; threads may call at the same time, and wait for their turn where
    libvirt needs that.
    """

    def __init__(self, connection: Any, fields: Connection, relay: Relay | None) -> None:
        self.connection = connection
        self.call_deadline_s = 10.0
        # When a call last began or ended, by the monotonic clock.
        self.last_call_s = clock.monotonic_s()
        self._fields = fields
        self._relay = relay
        # Problem and detail; an error raised from here anew each time, since a kept one would
        # gather the frames of everybody who met it.
        self._dead: tuple[str, str] | None = None
        # What the host tells by itself, if it was asked to (app/virt/events.py).
        self.subscription: Subscription | None = None
        self._close_lock = threading.Lock()
        alone = relay is not None and not _CALLS_MEET_SAFELY
        self._turn: AbstractContextManager[object] = threading.Lock() if alone else nullcontext()

    @classmethod
    def open(cls, endpoint: Endpoint, *, read_only: bool, deadline_s: float = 10.0) -> "Session":
        """Reach the host and open libvirt there, within `deadline_s`; raises VirtError."""
        fields = endpoint.connection
        if fields.transport == "embedded":
            return cls(_open_embedded(fields, read_only=read_only), fields, None)
        password = _password(endpoint)
        deadline = Deadline(deadline_s)
        try:
            upstream = dial(endpoint, deadline, read_only=read_only)
        except TimeoutError as error:
            raise problem("timeout", fields, str(error)) from None
        except (OSError, RuntimeError) as error:
            # Of the host it says nothing, and no call was made.
            raise problem("no-resources", fields, str(error)) from None
        relay = _relay(fields, upstream)
        login = None if password is None else (endpoint.sasl_user or "", password)
        flags = libvirt.VIR_CONNECT_RO if read_only else 0
        connection = _open_over(endpoint, upstream, relay, login, flags, deadline)
        return cls(connection, fields, relay)

    @property
    def alive(self) -> bool:
        """False once the session was cut, lost or closed."""
        return self._dead is None and not (self._relay is not None and self._relay.ended)

    @property
    def rpc_count(self) -> int | None:
        """How many calls went to the host so far; None where they cannot be counted."""
        if self._relay is None or self._relay.calls is None:
            return None
        return self._relay.calls.count

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(*args)`, a libvirt call, within `call_deadline_s`; raises VirtError."""
        try:
            with self._turn:
                if self._dead is not None:
                    raise self._death()
                self.last_call_s = clock.monotonic_s()
                if self._relay is None:
                    return function(*args, **kwargs)
                with watchdog.limit(self.call_deadline_s, self._cut_late):
                    return function(*args, **kwargs)
        except libvirt.libvirtError as error:
            raise self._typed(error) from None
        except UnicodeDecodeError as error:
            raise problem("bad-text", self._fields, str(error)) from None
        finally:
            self.last_call_s = clock.monotonic_s()

    def answers(self, within_s: float) -> bool:
        """Whether the host still answers; a connection on which it does not in time is cut."""
        connection = self.connection
        if connection is None or not self.alive:
            return False
        if self._relay is None:
            return True
        try:
            with self._turn, watchdog.limit(within_s, self._cut_late):
                connection.getLibVersion()
        except libvirt.libvirtError as error:
            # Whatever it is, a failure of this call is no answer.
            self._typed(error)
            return False
        return self.alive

    def tell_end(self, told: Callable[[], None]) -> None:
        """Have `told` called once when the way to the host ends, whoever ends it, in a thread that
        it must not hold up. A session without a way to a host never tells.
        """
        if self._relay is not None:
            self._relay.tell_end(told)

    def cut(self) -> None:
        """Cut the way to the host: calls that hang end at once, as VirtError ("no-answer")."""
        self._cut_late()

    def close(self) -> None:
        """Close the connection; never waits for the host, and a few seconds at most for libvirt
        and ssh: what hangs beyond that is left to a thread of its own.
        """
        with self._close_lock:
            connection, self.connection = self.connection, None
            if connection is None:
                return
            self._dead = self._dead or ("lost", "closed here")
            if self.subscription is not None:
                # That the way is cut is no news then.
                self.subscription.closed = True
        if not within(_CLOSE_S, lambda: self._close(connection)):
            log.warning("A connection is not closed after %.0f s; npvirt goes on.", _CLOSE_S)

    def _close(self, connection: Any) -> None:
        if self._relay is not None:
            # First, because libvirt's close would wait for an answer.
            self._relay.close()
        # A call that ends by this may still be on its way out of libvirt, where a thread waits long
        # for a processor: these must not meet it either.
        with self._turn:
            if self.subscription is not None:
                self.subscription.close()
            # It complains that the way to the host is gone, as is meant.
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    def _cut_late(self) -> None:
        self._dead = self._dead or ("no-answer", "")
        if self._relay is not None:
            self._relay.cut(gently=self.subscription is not None)

    def _typed(self, error: libvirt.libvirtError) -> VirtError:
        code, domain = error.get_error_code() or 0, error.get_error_domain() or 0
        text = str(error)
        if self._dead is None:
            typed = call_error(code, domain, text)
            ended = self._relay is not None and self._relay.ended
            if typed.problem != "lost" and not ended:
                return typed
            self._dead = ("lost", text)
        return self._death()

    def _death(self) -> VirtError:
        code, detail = self._dead or ("lost", "")
        return problem(code, self._fields, detail)


def _password(endpoint: Endpoint) -> str | None:
    """The SASL password, read before the host is bothered; None without SASL."""
    file = endpoint.sasl_password_file
    if endpoint.sasl_user is None or file is None:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise problem("sasl-password-file", endpoint.connection, str(error), file) from None


def _relay(fields: Connection, upstream: Upstream) -> Relay:
    over_tcp = fields.transport == "tcp"
    try:
        relay = Relay(upstream.stream, over_tcp=over_tcp, finish=upstream.finish)
    except (OSError, RuntimeError) as error:
        upstream.stream.close()
        if upstream.finish is not None:
            upstream.finish()
        is_refused = isinstance(error, RuntimeError) or error.errno in (errno.EMFILE, errno.ENFILE)
        code = "no-resources" if is_refused else "no-relay"
        raise problem(code, fields, str(error)) from None
    if over_tcp and fields.sasl:
        # Encrypted by SASL: the packets cannot be told apart.
        relay.calls = None
    return relay


def _open_over(
    endpoint: Endpoint,
    upstream: Upstream,
    relay: Relay,
    login: tuple[str, str] | None,
    flags: int,
    deadline: Deadline,
) -> Any:
    """Have libvirt open the relay's near end; closes the relay when that fails."""
    fields = endpoint.connection
    late = threading.Event()

    def cut() -> None:
        late.set()
        relay.cut()

    try:
        with watchdog.limit(deadline.left_s(), cut):
            uri = libvirt_uri(fields, relay.address)
            return libvirt.openAuth(uri, [_CREDENTIALS, _answer, login], flags)
    except TimeoutError as error:
        relay.close()
        raise problem("timeout", fields, str(error)) from None
    except RuntimeError as error:
        # No more threads for a moment, to see to the deadline.
        relay.close()
        raise problem("no-resources", fields, str(error)) from None
    except libvirt.libvirtError as error:
        said = upstream.said() if upstream.said is not None and not late.is_set() else ""
        relay.close()
        if late.is_set():
            raise problem("no-answer", fields, str(error)) from None
        raise _why_not_open(endpoint, error, said, relay.greeting, upstream.path) from None
    except BaseException:
        relay.close()
        raise


def _open_embedded(fields: Connection, *, read_only: bool) -> Any:
    try:
        flags = libvirt.VIR_CONNECT_RO if read_only else 0
        return libvirt.openAuth(libvirt_uri(fields, None), [[], None, None], flags)
    except libvirt.libvirtError as error:
        code, domain = error.get_error_code() or 0, error.get_error_domain() or 0
        raise open_error(fields, code, domain, str(error)) from None


def _answer(questions: list[list[Any]], login: tuple[str, str] | None) -> int:
    """Answer libvirt's questions for SASL: [kind, prompt, challenge, default, result]."""
    if login is None:
        return -1
    user, password = login
    for question in questions:
        if question[0] in (_USER, _AUTHENTICATION_NAME):
            question[4] = user
        elif question[0] == _PASSPHRASE:
            question[4] = password
        else:
            return -1
    return 0


def _why_not_open(
    endpoint: Endpoint, error: libvirt.libvirtError, said: str, greeting: bytes, path: str
) -> VirtError:
    text = str(error)
    if said:
        known = ssh.classify(endpoint, said)
        if known is not None:
            return known
        text = f"{said.strip()}\n{text}"
    code, domain = error.get_error_code() or 0, error.get_error_domain() or 0
    return open_error(endpoint.connection, code, domain, text, greeting=greeting, path=path)
