"""What can go wrong on the way to a host, in plain words: one table, and who belongs where in it.

Pure: turns what libvirt, ssh, OpenSSL or the kernel said into a VirtError. Callers branch on its
`failure` and `problem`; only this module reads texts, because libvirt tells the cases of code 38
apart by text alone.
"""

import errno
import ssl
from collections.abc import Mapping

from msgspec import Struct

from app.connection import DEFAULT_PORTS, Connection
from app.errors import Failure, VirtError


class Problem(Struct, frozen=True):
    """One kind of trouble; the texts may name {host}, {port}, {user} and {path}."""

    failure: Failure
    sentence: str
    next_step: str


PROBLEMS: Mapping[str, Problem] = {
    "no-socket": Problem(
        "unreachable", "There is no libvirt socket {path}.",
        "Is libvirt installed and running? Try: systemctl start libvirtd (or virtqemud).",
    ),
    "socket-refused": Problem(
        "unreachable", "Nobody listens on the socket {path}: libvirt has ended or crashed.",
        "Restart it: systemctl restart libvirtd (or virtqemud).",
    ),
    "permission-denied": Problem(
        "denied", "npvirt may not use the socket {path}.",
        "Add npvirt's user to the group libvirt (usermod -aG libvirt USER), then restart npvirt.",
    ),
    "path-too-long": Problem(
        "invalid", "The socket path {path} is longer than a socket's path may be.",
        "Use a path of at most 107 bytes.",
    ),
    "name-not-found": Problem(
        "unreachable", "The name {host} is not known to this machine's name service.",
        "Check the spelling, or use the IP address. Try: getent hosts {host}",
    ),
    "refused": Problem(
        "unreachable", "{host} refuses connections on port {port}: nothing listens there.",
        "Check the port, and that the service is running and listens on the network.",
    ),
    "no-route": Problem(
        "unreachable", "There is no way to {host}: it is off, or a firewall or route refuses.",
        "Is the host on, and the address right? Try: ping {host}",
    ),
    "timeout": Problem(
        "timeout", "{host} did not answer on port {port} in time.",
        "The host is off, or a firewall drops the packets. Try: ping {host}",
    ),
    "no-answer": Problem(
        "timeout", "Something accepted the connection, but libvirt did not answer in time.",
        "libvirt may hang or be overloaded; on the host try: systemctl status libvirtd virtqemud",
    ),
    "unknown-host-key": Problem(
        "denied", "The SSH host key of {host} is not known yet.",
        "Compare its fingerprint with what the host itself prints, then trust it.",
    ),
    "changed-host-key": Problem(
        "denied", "The SSH host key of {host} is not the one that npvirt trusts.",
        "The host was reinstalled, or another machine answers in its place. Find out which before "
        "you trust the new key.",
    ),
    "key-refused": Problem(
        "denied", "{host} does not accept the SSH key for {user}.",
        "Add the public key to ~{user}/.ssh/authorized_keys on the host, and check the user name.",
    ),
    "key-file-missing": Problem(
        "invalid", "The SSH key file {path} is not there or cannot be read.",
        "Check the credential's path and that npvirt's user may read the file.",
    ),
    "key-too-open": Problem(
        "invalid", "The SSH key file {path} may be read by others, so ssh does not use it.",
        "Run: chmod 600 {path}",
    ),
    "key-encrypted": Problem(
        "invalid", "The SSH key {path} is protected by a passphrase, which npvirt cannot type.",
        "Use npvirt's own key, or one without a passphrase.",
    ),
    "no-helper": Problem(
        "unreachable", "The login works, but {host} has neither virt-ssh-helper nor nc.",
        "On the host install libvirt-clients (virt-ssh-helper) or netcat-openbsd.",
    ),
    "libvirt-not-running": Problem(
        "unreachable", "The login works, but libvirt is not running on {host}.",
        "On the host run: systemctl start libvirtd (or virtqemud)",
    ),
    "remote-permission": Problem(
        "denied", "The login works, but {user} may not use libvirt's socket on {host}.",
        "On the host run: usermod -aG libvirt {user}",
    ),
    "unknown-ca": Problem(
        "denied", "The certificate of {host} is not signed by the CA that npvirt trusts.",
        "Put the CA that signed it into cacert.pem of the certificate directory.",
    ),
    "wrong-certificate-name": Problem(
        "denied", "The certificate of {host} was made for another name or address.",
        "Use the name that is in the certificate, or make one that names {host}.",
    ),
    "server-certificate-expired": Problem(
        "denied", "The certificate of {host} has expired, or is not valid yet.",
        "Make the host a new certificate, and compare both clocks.",
    ),
    "no-client-certificate": Problem(
        "denied", "{host} asks for a client certificate, and npvirt has none for it.",
        "Put clientcert.pem and clientkey.pem into the certificate directory.",
    ),
    "client-certificate-expired": Problem(
        "denied", "npvirt's own client certificate has expired, or is not valid yet.",
        "Make a new clientcert.pem.",
    ),
    "client-certificate-foreign": Problem(
        "denied", "npvirt's own client certificate is not signed by the CA in cacert.pem.",
        "Use a client certificate of the CA that the host trusts.",
    ),
    "client-certificate-refused": Problem(
        "denied", "{host} refused npvirt's client certificate.",
        "Check the host's tls_allowed_dn_list and that it trusts the CA that signed the "
        "certificate.",
    ),
    "certificate-files": Problem(
        "invalid", "The certificate files in {path} are missing, unreadable or do not match.",
        "The directory needs cacert.pem, clientcert.pem and the clientkey.pem that belongs to it.",
    ),
    "sasl-wrong-password": Problem(
        "denied", "{host} rejected the SASL user or password.",
        "Check both; on the host: sasldblistusers2 -f /etc/libvirt/passwd.db",
    ),
    "sasl-needed": Problem(
        "denied", "{host} wants a SASL user and password, or offers no mechanism in common.",
        "Choose a SASL credential; over plain TCP the host must offer one that encrypts, such as "
        "digest-md5.",
    ),
    "not-libvirt": Problem(
        "unreachable", "What answers on port {port} of {host} does not speak libvirt's protocol.",
        "Check the port: libvirt's are 16514 for TLS and 16509 for TCP.",
    ),
    "tls-expected": Problem(
        "unreachable", "Port {port} of {host} closed the connection at once; it may be a TLS port.",
        "Choose TLS, or the TCP port (16509).",
    ),
    "not-tls": Problem(
        "unreachable", "What answers on port {port} of {host} does not speak TLS.",
        "Check the port (16514), or choose TCP if the host has no TLS.",
    ),
    "not-ssh": Problem(
        "unreachable", "What answers on port {port} of {host} is not an SSH server.",
        "Check the port; SSH's is 22.",
    ),
    "ssh-missing": Problem(
        "invalid", "The program ssh is not installed on npvirt's machine.",
        "Install it: apt-get install openssh-client",
    ),
    "no-driver": Problem(
        "unsupported", "libvirt answers, but has no driver for this kind of connection.",
        "Check the driver and whether the host runs a system or a session libvirt.",
    ),
    "lost": Problem(
        "unreachable", "The connection was lost.",
        "npvirt tries again by itself.",
    ),
    "bad-text": Problem(
        "failed", "libvirt sent a text that is not UTF-8.",
        "Look for a file or object with a broken name on the host.",
    ),
    "failed": Problem("failed", "libvirt could not do it.", "Its own words say more."),
}  # fmt: skip

# (code, domain) of libvirt errors; a code alone where the domain does not matter.
_FAILURES: Mapping[int, Failure] = {
    3: "unsupported", 8: "unsupported", 29: "denied", 42: "gone", 43: "gone", 45: "denied",
    49: "gone", 50: "gone", 55: "invalid_state", 67: "unsupported", 72: "gone", 74: "unsupported",
    80: "gone", 86: "unreachable", 88: "denied", 108: "unsupported",
}  # fmt: skip
_AGENT_CODES = (74, 86, 108)
_RPC_DOMAINS = (7, 13)


def problem(
    code: str, connection: Connection | None = None, detail: str = "", path: str = ""
) -> VirtError:
    """The error for a code of the table, its texts filled in from the connection."""
    entry = PROBLEMS[code]
    known = connection or Connection()
    words = {
        "host": known.host or "the host",
        "port": known.port or DEFAULT_PORTS.get(known.transport, 0),
        "user": known.user or "npvirt's user",
        "path": path or known.socket or "",
    }
    return VirtError(
        entry.failure,
        entry.sentence.format(**words),
        problem=code,
        detail=detail,
        next_step=entry.next_step.format(**words),
    )


def call_error(code: int, domain: int, text: str) -> VirtError:
    """The error for a libvirt call that failed on an open connection."""
    if code in _AGENT_CODES and domain not in _RPC_DOMAINS:
        failure: Failure = "unsupported" if code == 74 else "invalid_state"
        return VirtError(failure, "The guest agent does not answer.", problem="agent", detail=text)
    if domain == 7 or (code == 38 and domain in _RPC_DOMAINS):
        return problem("lost", detail=text)
    failure = _FAILURES.get(code, "failed")
    return VirtError(failure, _call_sentence(failure), detail=text)


def _call_sentence(failure: Failure) -> str:
    sentences: Mapping[Failure, str] = {
        "unsupported": "This host's driver does not support it.",
        "denied": "The host does not permit it.",
        "gone": "It is no longer there.",
        "invalid_state": "Its present state does not allow it.",
        "unreachable": "The host does not answer.",
    }
    return sentences.get(failure, "libvirt could not do it.")


def open_error(connection: Connection, code: int, domain: int, text: str) -> VirtError:
    """The error for libvirt failing to open a connection whose relay was dialled."""
    if code == 45:
        if "authentication failed" in text.replace("Failed to start SASL", ""):
            wrong = "sasl-wrong-password" if connection.sasl else "sasl-needed"
            return problem(wrong, connection, text)
        return problem("sasl-needed", connection, text)
    if code in (5, 3):
        return problem("no-driver", connection, text)
    if "authentication" in text.lower() and connection.transport in ("tcp", "tls"):
        return problem("sasl-needed", connection, text)
    if domain in _RPC_DOMAINS or code == 38:
        at_once = (
            "reset by peer" in text or "End of file" in text or "client socket is closed" in text
        )
        plain = connection.transport == "tcp" and at_once
        return problem("tls-expected" if plain else "not-libvirt", connection, text)
    return problem("failed", connection, text)


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
        return problem("no-answer", connection, str(error))
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


# What ssh and the far side say, first match first.
_SSH_TEXTS: tuple[tuple[str, str], ...] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "changed-host-key"),
    ("Host key verification failed", "unknown-host-key"),
    ("host key is known for", "unknown-host-key"),
    ("Could not resolve hostname", "name-not-found"),
    ("Connection refused", "refused"),
    ("No route to host", "no-route"),
    ("Network is unreachable", "no-route"),
    ("Connection timed out", "timeout"),
    ("Operation timed out", "timeout"),
    ("UNPROTECTED PRIVATE KEY FILE", "key-too-open"),
    ("bad permissions", "key-too-open"),
    ("not accessible", "key-file-missing"),
    ("neither virt-ssh-helper nor nc", "no-helper"),
    ("not found", "no-helper"),
)
_SSH_LATER_TEXTS: tuple[tuple[str, str], ...] = (
    ("cannot connect to", "libvirt-not-running"),
    ("No such file or directory", "libvirt-not-running"),
    ("Permission denied (", "key-refused"),
    ("Too many authentication failures", "key-refused"),
    ("Permission denied", "remote-permission"),
    ("banner exchange", "not-ssh"),
    ("Connection closed", "not-ssh"),
)


def ssh_error(
    connection: Connection, text: str, key_file: str, known_hosts: str
) -> VirtError | None:
    """The error for what ssh said before the connection ended, None if it says nothing of it."""
    helper = "virt-ssh-helper" in text or "nc:" in text
    if helper and "Permission denied" in text:
        return problem("remote-permission", connection, text)
    for part, code in _SSH_LATER_TEXTS[:2] if helper else ():
        if part in text:
            return problem(code, connection, text)
    for part, code in (*_SSH_TEXTS, *_SSH_LATER_TEXTS):
        if part in text:
            path = known_hosts if "host-key" in code else key_file
            return problem(code, connection, text, path)
    return None
