"""A session: one open libvirt connection to one host, and the only way to call libvirt.

Every call goes through `Session.call`: it has a deadline, and what libvirt raises leaves as
VirtError. A session that was cut or lost stays dead; whoever needs another opens one.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import libvirt

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.virt import ssh
from app.virt.deadline import Deadline, watchdog
from app.virt.dial import Upstream, dial
from app.virt.problems import call_error, open_error, problem
from app.virt.relay import Relay
from app.virt.uri import RelayAddress, libvirt_uri

P = ParamSpec("P")
T = TypeVar("T")

# Without a handler of its own libvirt prints what hosts send to standard error.
libvirt.registerErrorHandler(lambda _context, _error: None, None)

_USER, _AUTHENTICATION_NAME, _PASSPHRASE = 1, 2, 5
_CREDENTIALS = [2, 5, 6, 7, 1]


class Session:
    """An open connection; threads may call at the same time."""

    def __init__(self, connection: Any, fields: Connection, relay: Relay | None) -> None:
        self.connection = connection
        self.call_deadline_s = 10.0
        self._fields = fields
        self._relay = relay
        self._dead: VirtError | None = None
        self._close_lock = threading.Lock()

    @classmethod
    def open(cls, endpoint: Endpoint, *, read_only: bool, deadline_s: float = 10.0) -> "Session":
        """Reach the host and open libvirt there, within `deadline_s`; raises VirtError."""
        fields = endpoint.connection
        if fields.transport == "embedded":
            return cls(_open(endpoint, None, read_only=read_only), fields, None)
        deadline = Deadline(deadline_s)
        try:
            upstream = dial(endpoint, deadline, read_only=read_only)
        except TimeoutError as error:
            raise problem("timeout", fields, str(error)) from None
        return cls._over(endpoint, upstream, deadline, read_only=read_only)

    @classmethod
    def _over(
        cls, endpoint: Endpoint, upstream: Upstream, deadline: Deadline, *, read_only: bool
    ) -> "Session":
        fields = endpoint.connection
        relay = Relay(upstream.stream, over_tcp=fields.transport == "tcp", finish=upstream.finish)
        if fields.transport == "tcp" and fields.sasl:
            # Encrypted by SASL: the packets cannot be told apart.
            relay.calls = None
        late = threading.Event()

        def cut() -> None:
            late.set()
            relay.cut()

        try:
            with watchdog.limit(deadline.left_s(), cut):
                connection = _open(endpoint, relay.address, read_only=read_only)
        except TimeoutError as error:
            relay.close()
            raise problem("timeout", fields, str(error)) from None
        except libvirt.libvirtError as error:
            said = upstream.said() if upstream.said is not None and not late.is_set() else ""
            relay.close()
            raise _why_not_open(endpoint, error, said, late=late.is_set()) from None
        except BaseException:
            relay.close()
            raise
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
        if self._dead is not None:
            raise self._dead
        try:
            if self._relay is None:
                return function(*args, **kwargs)
            with watchdog.limit(self.call_deadline_s, self._cut_late):
                return function(*args, **kwargs)
        except libvirt.libvirtError as error:
            raise self._typed(error) from None
        except UnicodeDecodeError as error:
            raise problem("bad-text", self._fields, str(error)) from None

    def close(self) -> None:
        """Close the connection; never waits for the host."""
        with self._close_lock:
            if self.connection is None:
                return
            if self._dead is None:
                self._dead = problem("lost", self._fields, "closed here")
            if self._relay is not None:
                # First, because libvirt's close would wait for an answer.
                self._relay.close()
            try:
                self.connection.close()
            except libvirt.libvirtError as error:
                self._dead.detail = str(error)
            self.connection = None

    def _cut_late(self) -> None:
        self._dead = problem("no-answer", self._fields)
        if self._relay is not None:
            self._relay.cut()

    def _typed(self, error: libvirt.libvirtError) -> VirtError:
        if self._dead is not None:
            return self._dead
        code, domain = error.get_error_code(), error.get_error_domain()
        text = str(error)
        if self._relay is not None and self._relay.ended:
            self._dead = problem("lost", self._fields, text)
            return self._dead
        typed = call_error(code or 0, domain or 0, text)
        if typed.problem == "lost":
            self._dead = typed
        return typed


def _open(endpoint: Endpoint, relay: RelayAddress | None, *, read_only: bool) -> Any:
    uri = libvirt_uri(endpoint.connection, relay)
    flags = libvirt.VIR_CONNECT_RO if read_only else 0
    if relay is None:
        try:
            return libvirt.openAuth(uri, [[], None, None], flags)
        except libvirt.libvirtError as error:
            code, domain = error.get_error_code() or 0, error.get_error_domain() or 0
            raise open_error(endpoint.connection, code, domain, str(error)) from None
    return libvirt.openAuth(uri, [_CREDENTIALS, _answer, endpoint], flags)


def _answer(questions: list[list[Any]], endpoint: Endpoint) -> int:
    """Answer libvirt's questions for SASL: [kind, prompt, challenge, default, result]."""
    user, file = endpoint.sasl_user, endpoint.sasl_password_file
    if user is None or file is None:
        return -1
    for question in questions:
        if question[0] in (_USER, _AUTHENTICATION_NAME):
            question[4] = user
        elif question[0] == _PASSPHRASE:
            question[4] = Path(file).read_text(encoding="utf-8").removesuffix("\n")
        else:
            return -1
    return 0


def _why_not_open(
    endpoint: Endpoint, error: libvirt.libvirtError, said: str, *, late: bool
) -> VirtError:
    fields = endpoint.connection
    text = str(error)
    if late:
        return problem("no-answer", fields, text)
    if said:
        known = ssh.classify(endpoint, said)
        if known is not None:
            return known
    found = open_error(fields, error.get_error_code() or 0, error.get_error_domain() or 0, text)
    if said:
        found.detail = f"{said.strip()}\n{text}"
    return found
