"""What libvirt, ssh and OpenSSL say becomes the right problem, in words a person can act on."""

import errno
import string
from urllib.parse import quote

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connection import Connection
from app.virt.classify import call_error, keyscan_error, open_error, socket_error, ssh_error
from app.virt.problems import PROBLEMS, problem

_SSH = Connection(transport="ssh", host="kvm-01", user="root")
_TCP = Connection(transport="tcp", host="kvm-01")
_TLS = Connection(transport="tls", host="kvm-01")
_SASL = Connection(transport="tcp", host="kvm-01", sasl="lab")
_UNIX = Connection(socket="/run/x/sock")


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_says_in_a_sentence_what_is_wrong_and_what_to_do(code: str) -> None:
    connection = Connection(transport="ssh", host="kvm-01", port=2222, user="admin")
    error = problem(code, connection, path="/etc/x")
    assert error.problem == code
    for text in (error.sentence, error.next_step):
        assert text[0].isupper() or text.startswith(("npvirt", "kvm-01", "libvirt"))
        assert "{" not in text
    assert error.sentence.endswith(".")


@pytest.mark.parametrize("code", PROBLEMS)
def test_the_texts_use_no_other_words_than_the_table_fills_in(code: str) -> None:
    entry = PROBLEMS[code]
    for text in (entry.sentence, entry.next_step):
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        assert names <= {"host", "port", "user", "path", "service"}


@given(st.text(max_size=40))
def test_braces_and_percents_in_fields_stay_what_they_are(text: str) -> None:
    connection = Connection(transport="ssh", host=f"{{host}}{text}%s", user="{0}")
    assert f"{{host}}{text}%s" in problem("refused", connection).sentence


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
         "changed-host-key"),
        (("No ED25519 host key is known for kvm-01 and you have requested strict checking.\n"
         "Host key verification failed."), "unknown-host-key"),
        ("ssh: Could not resolve hostname kvm-01: Name or service not known", "name-not-found"),
        ("ssh: connect to host kvm-01 port 22: Connection refused", "refused"),
        ("ssh: connect to host kvm-01 port 22: No route to host", "no-route"),
        ("ssh: connect to host kvm-01 port 22: Network is unreachable", "no-route"),
        ("ssh: connect to host kvm-01 port 22: Connection timed out", "timeout"),
        ("Connection timed out during banner exchange", "not-ssh"),
        ("kex_exchange_identification: Connection closed by remote host", "not-ssh"),
        ("Connection closed by 10.0.0.7 port 22", "not-ssh"),
        ("root@kvm-01: Permission denied (publickey).", "key-refused"),
        ("Received disconnect from 10.0.0.7: Too many authentication failures", "key-refused"),
        (("no such identity: /k: No such file or directory\n"
         "root@kvm-01: Permission denied (publickey)."), "key-file-missing"),
        (("Warning: Identity file /k not accessible: No such file or directory.\n"
         "root@kvm-01: Permission denied (publickey)."), "key-file-missing"),
        (("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nLoad key \"/k\": bad permissions\n"
         "root@kvm-01: Permission denied (publickey)."), "key-too-open"),
        ("Load key \"/k\": invalid format\nroot@kvm-01: Permission denied (publickey).",
         "key-invalid"),
        ("neither virt-ssh-helper nor nc", "no-helper"),
        ("sh: 1: nc: not found", "no-helper"),
        ("bash: line 1: nc: command not found", "no-helper"),
        ("nc: invalid option -- 'U'", "no-helper"),
        ("no nc for a socket path", "no-nc"),
        (("virt-ssh-helper: cannot connect to '/var/run/libvirt/libvirt-sock': "
         "Failed to connect socket to '…': No such file or directory"), "libvirt-not-running"),
        (("virt-ssh-helper: cannot connect to '/run/libvirt/libvirt-sock': Failed to connect "
         "socket to '…': Connection refused"), "libvirt-not-running"),
        ("nc: unix connect failed: No such file or directory", "libvirt-not-running"),
        ("nc: unix connect failed: Connection refused", "libvirt-not-running"),
        ("virt-ssh-helper: cannot connect to '/run/libvirt/libvirt-sock': Permission denied",
         "remote-permission"),
        ("nc: unix connect failed: Permission denied", "remote-permission"),
    ],
)  # fmt: skip
def test_what_ssh_says_is_told_apart(text: str, code: str) -> None:
    error = ssh_error(_SSH, text, "/k", "/known")
    assert error is not None
    assert error.problem == code
    assert error.detail == text


def test_what_ssh_says_of_nothing_known_is_left_to_others() -> None:
    assert ssh_error(_SSH, "This account is currently not available.", "/k", "/known") is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("getaddrinfo kvm-01: Name or service not known", "name-not-found"),
        ("connect (`kvm-01'): Connection refused", "refused"),
        ("connect (`kvm-01'): No route to host", "no-route"),
        ("", "no-host-key"),
    ],
)
def test_a_look_for_host_keys_that_found_none_says_why(text: str, code: str) -> None:
    assert keyscan_error(_SSH, text).problem == code


@pytest.mark.parametrize(
    ("connection", "code", "domain", "text", "greeting", "expected"),
    [
        (_SASL, 45, 7, "authentication failed: authentication failed", b"", "sasl-wrong-password"),
        (_TCP, 45, 7, "authentication failed: Failed to collect auth credentials", b"",
         "sasl-needed"),
        (_SASL, 45, 7, ("authentication failed: Failed to start SASL negotiation: -4 (SASL(-4): no "
         "mechanism available: No worthy mechs found)"), b"", "sasl-unsupported"),
        (_UNIX, 45, 7, "authentication unavailable: no polkit agent", b"", "permission-denied"),
        (_SSH, 45, 7, "authentication unavailable: no polkit agent", b"", "remote-permission"),
        (_TCP, 38, 7, "Cannot recv data: Connection reset by peer", b"", "tls-expected"),
        (_TCP, 38, 7, "End of file while reading data: Input/output error", b"", "tls-expected"),
        (_TCP, 1, 7, "packet 352518912 bytes received from server too large", b"\x15\x03\x01",
         "tls-expected"),
        (_TCP, 1, 7, "packet 1397966889 bytes too large", b"SSH-2.0-OpenSSH_", "not-libvirt"),
        (_TCP, 1, 7, "packet 1213486160 bytes too large", b"HTTP/1.1 400 Bad", "not-libvirt"),
        (_TLS, 38, 7, "End of file while reading data", b"", "not-libvirt"),
        (_UNIX, 38, 7, "End of file while reading data", b"", "not-libvirt-socket"),
        (_SSH, 38, 7, "End of file while reading data: : Input/output error", b"",
         "helper-failed"),
        (_UNIX, 5, 0, "no connection driver available for qemu:///system", b"", "no-driver"),
        (_UNIX, 1, 10, "internal error: something", b"", "failed"),
    ],
)  # fmt: skip
def test_an_open_that_failed_is_told_apart(
    connection: Connection, code: int, domain: int, text: str, greeting: bytes, expected: str
) -> None:
    error = open_error(connection, code, domain, text, greeting=greeting)
    assert error.problem == expected
    assert text in error.detail


def test_another_service_is_called_by_its_name() -> None:
    error = open_error(_TCP, 1, 7, "too large", greeting=b"SSH-2.0-OpenSSH_")
    assert error.sentence == "An SSH server answers on port 16509 of kvm-01, not libvirt."


@pytest.mark.parametrize(
    ("number", "path", "expected"),
    [
        (errno.ENOENT, "/s", "no-socket"),
        (errno.ECONNREFUSED, "/s", "socket-refused"),
        (errno.EACCES, "/s", "permission-denied"),
        (errno.EAGAIN, "/s", "no-answer"),
        (errno.ECONNREFUSED, "", "refused"),
        (errno.EHOSTUNREACH, "", "no-route"),
        (errno.ENETUNREACH, "", "no-route"),
        (errno.ETIMEDOUT, "", "timeout"),
    ],
)
def test_a_connect_that_the_kernel_refused_is_told_apart(
    number: int, path: str, expected: str
) -> None:
    assert socket_error(_TCP, OSError(number, "said"), path).problem == expected


@pytest.mark.parametrize(
    ("code", "domain", "failure"),
    [
        (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_QEMU, "gone"),
        (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_FROM_STORAGE, "gone"),
        (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_FROM_TEST, "unsupported"),
        (libvirt.VIR_ERR_OPERATION_DENIED, libvirt.VIR_FROM_DOM, "denied"),
        (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_QEMU, "invalid_state"),
        (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_FROM_QEMU, "invalid_state"),
        (libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, libvirt.VIR_FROM_QEMU, "unsupported"),
        (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_STORAGE, "failed"),
        (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC, "unreachable"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC, "unreachable"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_NONE, "failed"),
    ],
)
def test_a_call_that_failed_has_a_failure_to_branch_on(
    code: int, domain: int, failure: str
) -> None:
    error = call_error(code, domain, "libvirt's words")
    assert error.failure == failure
    assert error.detail == "libvirt's words"
    assert "libvirt's words" not in error.sentence


@given(st.text(max_size=200), st.integers(0, 120), st.integers(0, 80))
def test_no_text_of_a_host_gets_into_a_sentence(text: str, code: int, domain: int) -> None:
    marked = f"<script>{quote(text)}</script>"
    for connection in (_TCP, _TLS, _UNIX, _SSH, _SASL):
        error = open_error(connection, code, domain, marked)
        assert "<script>" not in error.sentence + error.next_step
    found = ssh_error(_SSH, f"nc: {marked} not found", "/k", "/known")
    assert found is not None
    assert "<script>" not in found.sentence + found.next_step
