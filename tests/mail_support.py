"""A mail server of somebody else's (aiosmtpd) with TLS, and the certificates that it shows."""

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "npvirt", "correct horse battery"
_ADDRESS = "127.0.0.1"
_DAY = timedelta(days=1)


class Authority:
    """One that signs certificates; `file` is what trusts it."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = (
            _begun(self._name, self._name, self._key, datetime.now(UTC) - _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def context(self, *, address: str = _ADDRESS, expired: bool = False) -> ssl.SSLContext:
        """What a server of that address needs for TLS."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
        since = datetime.now(UTC) - (30 * _DAY if expired else _DAY)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        made = (
            _begun(subject, self._name, key, since)
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._directory / f"server-{address}-{expired}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )  # fmt: skip
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, since: datetime
) -> x509.CertificateBuilder:
    """A certificate that is good for a week."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + 7 * _DAY)
    )


@dataclass
class Received:
    """A mail that was taken, and the version of TLS that it came by."""

    text: bytes
    recipients: list[str]
    tls: str | None
    signed_in: bool


@dataclass
class MailServer:
    """A running server: its port, what it took, and the names that tried to sign in."""

    port: int = 0
    mails: list[Received] = field(default_factory=list)
    signed_in: list[str] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        """Take a mail."""
        tls = server.transport.get_extra_info("ssl_object")
        version = None if tls is None else tls.version()
        self.mails.append(
            Received(
                bytes(envelope.content), list(envelope.rcpt_tos), version, session.authenticated
            )
        )
        return "250 taken"

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, given: Any
    ) -> Any:
        """Whether a name and password are right."""
        assert isinstance(given, LoginPassword)
        self.signed_in.append(given.login.decode())
        good = (given.login, given.password) == (USER.encode(), PASSWORD.encode())
        # What is not handled the server refuses by itself.
        return AuthResult(success=good, handled=good)


@contextmanager
def mail_server(security: str, tls: ssl.SSLContext) -> Iterator[MailServer]:
    """A server on a free port of loopback that takes mail by TLS alone: begun with STARTTLS, or
    from the first byte on (`security` "tls"), and only from who signs in.
    """
    made = MailServer()
    starttls = security == "starttls"

    def session() -> Any:
        return SMTP(
            made, hostname="mail.test", tls_context=tls if starttls else None,
            require_starttls=starttls, authenticator=made.authenticate, auth_required=True,
            # With TLS from the first byte on it does not know that there is TLS.
            auth_require_tls=starttls, loop=loop,
        )  # fmt: skip

    loop = asyncio.new_event_loop()
    # All of it in a thread of its own: in this one a browser's loop may be running.
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        begun = loop.create_server(session, _ADDRESS, 0, ssl=tls if security == "tls" else None)
        server = asyncio.run_coroutine_threadsafe(begun, loop).result(30)
        made.port = server.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            asyncio.run_coroutine_threadsafe(_ended(server), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for one in others:
        one.cancel()
    await asyncio.gather(*others, return_exceptions=True)
