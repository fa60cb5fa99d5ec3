"""What can go wrong on the way to a host, in plain words: one declared table.

Pure. Callers branch on `failure` and `problem`; app/virt/classify.py finds out which it is.
"""

from collections.abc import Mapping

from msgspec import Struct

from app.connection import DEFAULT_PORTS, Connection
from app.errors import Failure, VirtError


class Problem(Struct, frozen=True):
    """One kind of trouble; the texts may name {host}, {port}, {user}, {path} and {service}."""

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
    "not-libvirt-socket": Problem(
        "unreachable", "What listens on the socket {path} is not libvirt, or ended at once.",
        "Check the path; libvirt's own are /run/libvirt/virtqemud-sock and /run/libvirt/"
        "libvirt-sock.",
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
    "silent": Problem(
        "timeout", "{host} accepts connections on port {port}, but then says nothing.",
        "Check the port; if it is right, the service behind it hangs or is overloaded.",
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
    "no-host-key": Problem(
        "unreachable", "{host} shows no SSH host key on port {port}.",
        "Check that an SSH server runs there; a connection test says more.",
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
    "key-invalid": Problem(
        "invalid", "The file {path} is no private key that ssh can read.",
        "Check that it is the private half, whole, and in OpenSSH's or PEM format.",
    ),
    "no-nc": Problem(
        "unreachable", "The login works, but {host} has no nc, which a socket path of your own "
        "needs.",
        "On the host install netcat-openbsd, or leave the socket path empty.",
    ),
    "helper-failed": Problem(
        "unreachable", "The login works, but what carries libvirt on {host} ended at once.",
        "On the host try, as {user}: virsh -c qemu:///system hostname",
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
        "Check both (on the host: sasldblistusers2 -f /etc/libvirt/passwd.db). A host says the "
        "same when it has no mechanism for plain TCP that encrypts, such as digest-md5.",
    ),
    "sasl-needed": Problem(
        "denied", "{host} wants a SASL user and password.",
        "Choose a SASL credential for this connection.",
    ),
    "sasl-unsupported": Problem(
        "denied", "{host} offers no SASL mechanism that npvirt can use here.",
        "Over plain TCP the host needs one that encrypts, such as digest-md5 (its "
        "/etc/sasl2/libvirt.conf); others work over TLS.",
    ),
    "sasl-password-file": Problem(
        "invalid", "The SASL password file {path} cannot be read.",
        "Check the credential's path and that npvirt's user may read the file.",
    ),
    "not-libvirt": Problem(
        "unreachable", "{service} answers on port {port} of {host}, not libvirt.",
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
        "invalid", "The program ssh is not on npvirt's machine, or may not be run.",
        "Install it: apt-get install openssh-client",
    ),
    "no-driver": Problem(
        "unsupported", "libvirt answers, but has no driver for this kind of connection.",
        "Check the driver and whether the host runs a system or a session libvirt.",
    ),
    "read-only": Problem(
        "denied", "libvirt lets npvirt look there, but not act.",
        "Let npvirt's user use libvirt's writable socket, or mark this host as read-only.",
    ),
    "no-relay": Problem(
        "failed", "npvirt cannot make a socket of its own to speak to libvirt through.",
        "Check that its temporary directory (TMPDIR) is writable and its path is short.",
    ),
    "no-resources": Problem(
        "failed", "This machine lets npvirt have no more open files or threads.",
        "Raise the limits of npvirt's process (ulimit -n, ulimit -u).",
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


def problem(
    code: str,
    connection: Connection | None = None,
    detail: str = "",
    path: str = "",
    service: str = "Something else",
) -> VirtError:
    """The error for a code of the table, its texts filled in from the connection."""
    entry = PROBLEMS[code]
    known = connection or Connection()
    words = {
        "host": known.host or "the host",
        "port": known.port or DEFAULT_PORTS.get(known.transport, 0),
        "user": known.user or "npvirt's user",
        "path": path or known.socket or "of libvirt",
        "service": service,
    }
    return VirtError(
        entry.failure,
        entry.sentence.format(**words),
        problem=code,
        detail=detail,
        next_step=entry.next_step.format(**words),
    )
