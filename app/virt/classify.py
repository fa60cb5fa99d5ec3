"""Which problem it is: from what libvirt, ssh, OpenSSL or the kernel said to a VirtError.

Pure. Only this module reads texts, because libvirt tells the cases of code 38 apart by text alone,
and ssh has nothing else.
"""

import errno
import ssl
from collections.abc import Mapping

import libvirt

from app.connection import Connection
from app.errors import Failure, VirtError
from app.virt.problems import problem

_FAILURES: Mapping[int, Failure] = {
    libvirt.VIR_ERR_NO_SUPPORT: "unsupported",
    libvirt.VIR_ERR_INVALID_ARG: "unsupported",
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: "unsupported",
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: "unsupported",
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: "unsupported",
    libvirt.VIR_ERR_NO_HOSTNAME: "unsupported",
    libvirt.VIR_ERR_OPERATION_DENIED: "denied",
    libvirt.VIR_ERR_AUTH_FAILED: "denied",
    libvirt.VIR_ERR_AUTH_CANCELLED: "denied",
    libvirt.VIR_ERR_AUTH_UNAVAILABLE: "denied",
    libvirt.VIR_ERR_ACCESS_DENIED: "denied",
    libvirt.VIR_ERR_NO_DOMAIN: "gone",
    libvirt.VIR_ERR_NO_NETWORK: "gone",
    libvirt.VIR_ERR_NO_STORAGE_POOL: "gone",
    libvirt.VIR_ERR_NO_STORAGE_VOL: "gone",
    libvirt.VIR_ERR_NO_INTERFACE: "gone",
    libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT: "gone",
    libvirt.VIR_ERR_NO_DOMAIN_CHECKPOINT: "gone",
    libvirt.VIR_ERR_NO_DOMAIN_METADATA: "gone",
    libvirt.VIR_ERR_OPERATION_INVALID: "invalid_state",
    libvirt.VIR_ERR_OPERATION_TIMEOUT: "timeout",
}
_AUTHENTICATION_CODES = (
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_AUTH_CANCELLED,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE,
)
# The guest agent: not configured, not answering, and (with a response timeout) no host name.
_AGENT_CODES = (
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_NO_HOSTNAME,
)
# What acts meet: the problem's name and a sentence, by code.
_ACT_PROBLEMS: Mapping[int, tuple[str, str]] = {
    libvirt.VIR_ERR_DOM_EXIST: ("exists", "There is one of this name or UUID already."),
    libvirt.VIR_ERR_NETWORK_EXIST: ("exists", "There is one of this name or UUID already."),
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: ("exists", "There is a volume of this name already."),
    libvirt.VIR_ERR_OPERATION_ABORTED: ("cancelled", "It was cancelled."),
    libvirt.VIR_ERR_XML_ERROR: ("bad-definition", "libvirt does not accept this definition."),
    libvirt.VIR_ERR_XML_DETAIL: ("bad-definition", "libvirt does not accept this definition."),
    libvirt.VIR_ERR_STORAGE_POOL_BUILT: (
        "built",
        "There is something on the device already; it was not overwritten.",
    ),
}
_RPC_DOMAINS = (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)
# How other services begin to speak; TLS refuses what is not TLS with an alert.
_SERVICES: tuple[tuple[bytes, str], ...] = (
    (b"SSH-", "An SSH server"),
    (b"HTTP/", "A web server"),
    (b"220", "A mail or FTP server"),
    (b"RFB ", "A VNC server"),
)
_TLS_ALERT = b"\x15\x03"


def call_error(code: int, domain: int, text: str) -> VirtError:
    """The error for a libvirt call that failed on an open connection."""
    if code in _AGENT_CODES and domain not in _RPC_DOMAINS:
        absent = code == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED
        failure: Failure = "unsupported" if absent else "invalid_state"
        return VirtError(failure, "The guest agent does not answer.", problem="agent", detail=text)
    rpc_system_error = code == libvirt.VIR_ERR_SYSTEM_ERROR and domain in _RPC_DOMAINS
    if domain == libvirt.VIR_FROM_RPC or rpc_system_error:
        return problem("lost", detail=text)
    if code in _ACT_PROBLEMS:
        name, sentence = _ACT_PROBLEMS[code]
        return VirtError("failed", sentence, problem=name, detail=text)
    if code == libvirt.VIR_ERR_SYSTEM_ERROR and "No space left" in text:
        return VirtError("failed", "The host’s disk is full.", problem="no-space", detail=text)
    failure = _FAILURES.get(code, "failed")
    return VirtError(failure, _call_sentence(failure), detail=text)


def _call_sentence(failure: Failure) -> str:
    sentences: Mapping[Failure, str] = {
        "unsupported": "This host's driver does not support it.",
        "denied": "The host does not permit it.",
        "gone": "It is no longer there.",
        "invalid_state": "Its present state does not allow it.",
        "timeout": "libvirt gave up waiting for it.",
    }
    return sentences.get(failure, "libvirt could not do it.")


def open_error(
    connection: Connection,
    code: int,
    domain: int,
    text: str,
    *,
    greeting: bytes = b"",
    path: str = "",
) -> VirtError:
    """The error for libvirt failing to open a connection whose relay was dialled.

    `greeting` is what the host said first, `path` the socket that was reached.
    """
    if code in _AUTHENTICATION_CODES or "authentication" in text.lower():
        return problem(_authentication_problem(connection, text), connection, text, path)
    if code in (libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_NO_SUPPORT):
        return problem("no-driver", connection, text)
    if domain in _RPC_DOMAINS or code == libvirt.VIR_ERR_SYSTEM_ERROR:
        return _not_libvirt(connection, text, greeting, path)
    return problem("failed", connection, text)


def _authentication_problem(connection: Connection, text: str) -> str:
    if connection.transport == "unix":
        return "permission-denied"
    if connection.transport == "ssh":
        return "remote-permission"
    if not connection.sasl:
        return "sasl-needed"
    no_mechanism = "mechanism" in text or "worthy mechs" in text or "SASL negotiation" in text
    return "sasl-unsupported" if no_mechanism else "sasl-wrong-password"


def _not_libvirt(connection: Connection, text: str, greeting: bytes, path: str) -> VirtError:
    said = f"It said first: {greeting!r}\n{text}" if greeting else text
    if connection.transport == "unix":
        return problem("not-libvirt-socket", connection, said, path)
    if connection.transport == "ssh":
        return problem("helper-failed", connection, text)
    for beginning, service in _SERVICES:
        if greeting.startswith(beginning):
            return problem("not-libvirt", connection, said, service=service)
    at_once = not greeting and any(
        part in text for part in ("reset by peer", "End of file", "client socket is closed")
    )
    if connection.transport == "tcp" and (at_once or greeting.startswith(_TLS_ALERT)):
        return problem("tls-expected", connection, said)
    return problem("not-libvirt", connection, said)


def socket_error(connection: Connection, error: OSError, path: str = "") -> VirtError:
    """The error for a connect that the kernel or the name service refused."""
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return problem("no-answer" if path else "timeout", connection, str(error), path)
    if path:
        codes = {
            errno.ENOENT: "no-socket",
            errno.ENOTDIR: "no-socket",
            errno.ECONNREFUSED: "socket-refused",
            errno.ENOTSOCK: "socket-refused",
            errno.EACCES: "permission-denied",
            errno.EPERM: "permission-denied",
            errno.EAGAIN: "no-answer",
        }
        return problem(codes.get(error.errno or 0, "no-socket"), connection, str(error), path)
    codes = {
        errno.ECONNREFUSED: "refused",
        errno.EHOSTUNREACH: "no-route",
        errno.ENETUNREACH: "no-route",
        errno.EACCES: "no-route",
        errno.ECONNRESET: "not-libvirt",
    }
    return problem(codes.get(error.errno or 0, "no-route"), connection, str(error))


# OpenSSL's verification results (x509_vfy.h).
_VERIFY: Mapping[int, str] = {
    9: "expired", 10: "expired", 62: "name", 64: "name", 2: "issuer", 18: "issuer", 19: "issuer",
    20: "issuer", 21: "issuer", 7: "issuer",
}  # fmt: skip


def server_tls_error(connection: Connection, error: OSError, *, has_certificate: bool) -> VirtError:
    """The error for a TLS handshake with the host that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        kinds = {"expired": "server-certificate-expired", "name": "wrong-certificate-name"}
        kind = _VERIFY.get(error.verify_code, "issuer")
        return problem(kinds.get(kind, "unknown-ca"), connection, str(error))
    if isinstance(error, TimeoutError):
        return problem("silent", connection, str(error))
    text = str(error).lower()
    if "alert" in text and "certificate" in text:
        refused = "client-certificate-refused" if has_certificate else "no-client-certificate"
        return problem(refused, connection, str(error))
    return problem("not-tls", connection, str(error))


def own_certificate_error(connection: Connection, error: ssl.SSLError, path: str) -> VirtError:
    """The error for npvirt's own certificate failing against its own CA."""
    if isinstance(error, ssl.SSLCertVerificationError):
        expired = _VERIFY.get(error.verify_code) == "expired"
        code = "client-certificate-expired" if expired else "client-certificate-foreign"
        return problem(code, connection, str(error), path)
    return problem("certificate-files", connection, str(error), path)


# What ssh and the far side say, first match first: what ssh itself says of the way and of keys
# comes before what a helper says of libvirt, which uses the same words.
_SSH_TEXTS: tuple[tuple[str, str], ...] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "changed-host-key"),
    ("Host key verification failed", "unknown-host-key"),
    ("host key is known for", "unknown-host-key"),
    ("Could not resolve hostname", "name-not-found"),
    ("UNPROTECTED PRIVATE KEY FILE", "key-too-open"),
    ("bad permissions", "key-too-open"),
    ("not accessible", "key-file-missing"),
    ("no such identity", "key-file-missing"),
    ("invalid format", "key-invalid"),
    ("error in libcrypto", "key-invalid"),
    ("Permission denied (", "key-refused"),
    ("Too many authentication failures", "key-refused"),
    ("banner exchange", "not-ssh"),
    ("kex_exchange_identification", "not-ssh"),
)
_SSH_CONNECT_TEXTS: tuple[tuple[str, str], ...] = (
    ("Connection refused", "refused"),
    ("No route to host", "no-route"),
    ("Network is unreachable", "no-route"),
    ("timed out", "timeout"),
    ("Connection closed", "not-ssh"),
)
_HELPER_TEXTS: tuple[tuple[str, str], ...] = (
    ("neither virt-ssh-helper nor nc", "no-helper"),
    ("no nc for a socket path", "no-nc"),
    ("not found", "no-helper"),
    ("invalid option", "no-helper"),
    ("Permission denied", "remote-permission"),
    ("cannot connect to", "libvirt-not-running"),
    ("No such file or directory", "libvirt-not-running"),
    ("Connection refused", "libvirt-not-running"),
    ("missing destination", "libvirt-not-running"),
)


def ssh_error(
    connection: Connection, text: str, key_file: str, known_hosts: str
) -> VirtError | None:
    """The error for what ssh said before the connection ended, None if it says nothing of it."""
    from_helper = any(word in text for word in ("virt-ssh-helper", "nc: ", "not found", "no nc"))
    then = _HELPER_TEXTS if from_helper else _SSH_CONNECT_TEXTS
    for part, code in (*_SSH_TEXTS, *then):
        if part in text:
            path = known_hosts if "host-key" in code else key_file
            return problem(code, connection, text, path)
    return None


def keyscan_error(connection: Connection, text: str) -> VirtError:
    """The error for ssh-keyscan having found no key."""
    names = ("getaddrinfo", "Name or service not known", "Temporary failure in name resolution")
    for part, code in (*((name, "name-not-found") for name in names), *_SSH_CONNECT_TEXTS):
        if part in text:
            return problem(code, connection, text)
    # It says nothing of a port that refuses or drops.
    return problem("no-host-key", connection, text)
