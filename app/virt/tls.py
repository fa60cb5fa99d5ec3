"""TLS to a host, done by npvirt itself, so that every failure of a certificate has its name.

libvirt's own client tells the reasons apart only on its log. After the handshake the server
confirms our certificate with one byte (libvirt, virNetTLSContextCheckCertificate).
"""

import socket
import ssl
from pathlib import Path

from app.connection import Connection, Endpoint
from app.virt.classify import own_certificate_error, server_tls_error
from app.virt.deadline import Deadline
from app.virt.problems import problem

_CONFIRMED = b"\x01"


def start_tls(endpoint: Endpoint, plain: socket.socket, deadline: Deadline) -> ssl.SSLSocket:
    """TLS over `plain`, with the server and ourselves checked; raises VirtError."""
    connection = endpoint.connection
    context, has_certificate = _context(endpoint)
    try:
        plain.settimeout(deadline.left_s())
        secured = context.wrap_socket(plain, server_hostname=connection.host)
    except OSError as error:
        raise server_tls_error(connection, error, has_certificate=has_certificate) from None
    try:
        _await_confirmation(connection, secured, has_certificate=has_certificate)
    except BaseException:
        secured.close()
        raise
    return secured


def _await_confirmation(
    connection: Connection, secured: ssl.SSLSocket, *, has_certificate: bool
) -> None:
    try:
        answer = secured.recv(1)
    except TimeoutError as error:
        raise problem("silent", connection, str(error)) from None
    except OSError as error:
        # With TLS 1.3 the server refuses a certificate after the handshake, by an alert.
        answer, said = b"", str(error)
    else:
        said = f"answered {answer!r}" if answer else "closed the connection"
    if answer == _CONFIRMED:
        return
    if answer:
        raise problem("not-libvirt", connection, said)
    code = "client-certificate-refused" if has_certificate else "no-client-certificate"
    raise problem(code, connection, said)


def _context(endpoint: Endpoint) -> tuple[ssl.SSLContext, bool]:
    """What we trust and who we are; whether there is a certificate of ours."""
    connection = endpoint.connection
    directory = Path(endpoint.pki_directory or "/etc/pki/CA")
    authority = directory / "cacert.pem"
    certificate, key = directory / "clientcert.pem", directory / "clientkey.pem"
    if endpoint.pki_directory is None:
        certificate = Path("/etc/pki/libvirt/clientcert.pem")
        key = Path("/etc/pki/libvirt/private/clientkey.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The relay's loop expects that writing never waits for reading.
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_verify_locations(authority)
        has_certificate = certificate.exists() and key.exists()
        if certificate.exists() != key.exists():
            raise problem("certificate-files", connection, path=str(directory))
        if has_certificate:
            context.load_cert_chain(certificate, key, _no_passphrase)
    except ssl.SSLError as error:
        raise own_certificate_error(connection, error, str(directory)) from None
    except OSError as error:
        raise problem("certificate-files", connection, str(error), str(directory)) from None
    if has_certificate:
        _check_own(connection, authority, certificate, key)
    return context, has_certificate


def _no_passphrase() -> str:
    """Answer for a protected key, so that OpenSSL does not ask at a terminal, and wait."""
    return ""


def _check_own(connection: Connection, authority: Path, certificate: Path, key: Path) -> None:
    """Check our certificate as the host will, by a handshake with ourselves in memory.

    Python's ssl reads a certificate's dates in no other public way.
    """
    judge = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    judge.verify_mode = ssl.CERT_REQUIRED
    judge.load_verify_locations(authority)
    judge.load_cert_chain(certificate, key, _no_passphrase)
    us = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    us.check_hostname = False
    us.verify_mode = ssl.CERT_NONE
    us.load_cert_chain(certificate, key, _no_passphrase)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = us.wrap_bio(back, there), judge.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                if isinstance(error, ssl.SSLCertVerificationError):
                    path = str(certificate.parent)
                    raise own_certificate_error(connection, error, path) from None
                return
