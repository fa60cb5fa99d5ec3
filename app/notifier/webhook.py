"""Sending one message to a webhook: an HTTP POST, signed, to an address that was looked at.

The name is looked up once, every address that it has must be one that may be sent to, and the
connection goes to that very address. No redirect is followed, no proxy is used, no cookie is
kept, little of the answer is read, and all of it ends at a deadline.
"""

import base64
import contextlib
import hashlib
import hmac
import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from app.notification.checks import refused_address
from app.notifier.guarded import DEADLINE_S, Guard
from app.store.notification_messages import Outcome
from app.store.notification_targets import WebhookSecret

_READ_BYTES = 300
_PORTS = {"http": 80, "https": 443}


class NotSent(Exception):
    """Nothing was sent, and why, as a sentence."""


def post(secret: WebhookSecret, uid: str, at_s: int, body: bytes) -> Outcome:
    """Send `body` and say what came of it; `at_s` is the time that is signed. Never raises over
    what a receiver does.
    """
    parts = urlsplit(secret.url)
    try:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "npvirt",
            "Connection": "close",
            **signature(secret.key_bytes, uid, at_s, body),
        }
        guard = Guard(_connected(parts), DEADLINE_S)
    except NotSent as error:
        return Outcome("failed", str(error))
    except ValueError:
        return Outcome("failed", "The key of this target is damaged; make a new one.")
    with guard:
        try:
            connection = _over(parts, guard)
        except (OSError, ssl.SSLError) as error:
            return Outcome("failed", f"TLS with {parts.hostname} failed: {_reason(error)}.")
        return _posted(connection, parts, body, headers)


def signature(key: bytes, uid: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers that prove who sent a message, as the Standard Webhooks say: HMAC-SHA256 of id,
    time and body (https://www.standardwebhooks.com).
    """
    signed = f"{uid}.{at_s}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "Webhook-Id": uid,
        "Webhook-Timestamp": str(at_s),
        "Webhook-Signature": f"v1,{digest}",
        "Idempotency-Key": uid,
    }


def _connected(parts: SplitResult) -> socket.socket:
    """A connection to one of the receiver's addresses; raises NotSent."""
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(
            host, parts.port or _PORTS[parts.scheme], type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError) as error:
        raise NotSent(f"The name {host} cannot be looked up: {_reason(error)}.") from None
    for *_, address in found:
        refusal = refused_address(str(address[0]))
        if refusal:
            raise NotSent(refusal)
    failure = "it has no address"
    for *_, address in found[:4]:
        try:
            where = (str(address[0]), int(address[1]))
            return socket.create_connection(where, timeout=DEADLINE_S / 2)
        except OSError as error:
            failure = _reason(error)
    raise NotSent(f"{host} cannot be reached: {failure}.")


def _over(parts: SplitResult, guard: Guard) -> HTTPConnection:
    """HTTP over the guarded connection, with TLS for https."""
    host = parts.hostname or ""
    if parts.scheme == "http":
        plain = HTTPConnection(host, parts.port)
        plain.sock = guard.socket
        return plain
    context = ssl.create_default_context()
    secure = HTTPSConnection(host, parts.port, context=context)
    secure.sock = guard.secured(context, host)
    return secure


def _posted(
    connection: HTTPConnection, parts: SplitResult, body: bytes, headers: dict[str, str]
) -> Outcome:
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
    except (OSError, HTTPException) as error:
        said = _reason(error)
        return Outcome(
            "unknown", f"{parts.hostname} was sent it, and did not answer in time: {said}."
        )
    detail = _read(answer)
    connection.close()
    status = answer.status
    if 200 <= status < 300:
        return Outcome("sent", f"Taken ({status}).", status, detail)
    if 300 <= status < 400:
        sentence = f"It answered {status}, a redirect; npvirt follows none. Give the final address."
        return Outcome("failed", sentence, status, detail)
    return Outcome("failed", f"It did not take it ({status}).", status, detail)


def _read(answer: HTTPResponse) -> str:
    """The beginning of what the receiver says, for admins."""
    body = b""
    with contextlib.suppress(OSError, HTTPException):
        body = answer.read(_READ_BYTES)
    return body.decode("utf-8", "replace")


def _reason(error: Exception) -> str:
    """The error in a few words of the system's own; it holds nothing of the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, TimeoutError):
        return "it takes too long"
    said = error.strerror if isinstance(error, OSError) else ""
    return str(said or type(error).__name__)
