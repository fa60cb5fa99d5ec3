"""The connection test says, for every way that can fail, what failed and what to do next."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.connection import Connection, Endpoint
from app.virt.diagnose import Diagnosis, diagnose
from app.virt.ssh import fingerprint
from tests.endpoints import children, make_key, over_socket, over_ssh, over_tcp, over_tls
from tests.lab.fixtures import SASL_USER
from tests.lab.host import LabHost, Options
from tests.lab.pki import Pki


def _failed(endpoint: Endpoint, step: str) -> Diagnosis:
    """The diagnosis of a way that fails at `step`, sound in all that does not differ."""
    diagnosis = diagnose(endpoint)
    assert not diagnosis.ok
    states = {entry.name: entry.ok for entry in diagnosis.steps}
    names = list(states)
    assert [name for name, ok in states.items() if ok is False] == [step]
    after = diagnosis.steps[names.index(step) + 1 :]
    assert all(entry.ok is None and entry.message == "not tried" for entry in after)
    assert all(ok is not None for ok in list(states.values())[: names.index(step)])
    stopped = diagnosis.steps[names.index(step)]
    assert stopped.problem == diagnosis.problem
    assert stopped.next == diagnosis.next_step != ""
    assert diagnosis.sentence.endswith(".")
    assert diagnosis.domains is None
    return diagnosis


# --- ways that work -------------------------------------------------------------------------


def test_a_socket_that_works_is_walked_to_the_end(socket_host: LabHost) -> None:
    diagnosis = diagnose(over_socket(socket_host))
    assert diagnosis.ok
    assert [step.name for step in diagnosis.steps] == [
        "socket", "libvirt", "permissions", "sysinfo"
    ]  # fmt: skip
    steps = {step.name: step for step in diagnosis.steps}
    assert steps["socket"].message == socket_host.socket
    assert steps["permissions"].label == "Allowed to read and act"
    assert steps["permissions"].ok
    assert steps["sysinfo"].ok is None
    assert "QEMU" in steps["libvirt"].message
    assert (diagnosis.domains, diagnosis.pools) == (0, 0)
    assert (diagnosis.cpus or 0) >= 1
    assert (diagnosis.memory_bytes or 0) > 2**28


def test_a_read_only_connection_is_not_asked_whether_it_may_act(socket_host: LabHost) -> None:
    diagnosis = diagnose(over_socket(socket_host, read_only=True))
    assert diagnosis.ok
    step = next(step for step in diagnosis.steps if step.name == "permissions")
    assert (step.label, step.ok) == ("Allowed to read", True)


def test_a_socket_that_lets_look_but_not_act_is_a_warning(socket_host: LabHost) -> None:
    diagnosis = diagnose(over_socket(socket_host, socket=f"{socket_host.socket}-ro"))
    assert diagnosis.ok
    step = next(step for step in diagnosis.steps if step.name == "permissions")
    assert (step.ok, step.problem, step.message) == (None, "read-only", "may look, but not act")
    assert diagnosis.next_step == step.next != ""


def test_the_way_by_ssh_shows_the_trusted_key_and_the_login(
    ssh_host: LabHost, tmp_path: Path
) -> None:
    diagnosis = diagnose(over_ssh(ssh_host, tmp_path / "known", port=2222))
    assert diagnosis.ok
    assert [step.name for step in diagnosis.steps] == [
        "name", "port", "host-key", "login", "libvirt", "permissions", "sysinfo"
    ]  # fmt: skip
    steps = {step.name: step for step in diagnosis.steps}
    assert steps["name"].message == ssh_host.ip4
    assert steps["port"].label == "Port 2222 answers"
    assert steps["host-key"].message == _fingerprint(ssh_host)
    assert steps["login"].label == "Login as root"


def test_a_host_key_known_without_its_port_will_do_as_it_does_for_ssh(
    ssh_host: LabHost, tmp_path: Path
) -> None:
    public = (ssh_host.root / "hostkey.pub").read_text()
    (tmp_path / "known").write_text(f"{ssh_host.ip4} {public}")
    assert diagnose(over_ssh(ssh_host, tmp_path / "known", port=2222)).ok


def test_the_way_by_tls_works_over_both_families(tls_host: LabHost, lab_pki: Pki) -> None:
    for host in (tls_host.ip4, tls_host.ip6):
        diagnosis = diagnose(over_tls(tls_host, lab_pki.client(), host=host))
        assert diagnosis.ok
        assert [step.name for step in diagnosis.steps][:3] == ["name", "port", "certificate"]


def test_the_way_by_tcp_works_with_a_sasl_user(sasl_host: LabHost, sasl_password: Path) -> None:
    diagnosis = diagnose(over_tcp(sasl_host, user=SASL_USER, password=sasl_password))
    assert diagnosis.ok


def test_the_embedded_driver_has_a_short_way() -> None:
    diagnosis = diagnose(Endpoint(Connection(driver="test", transport="embedded", path="default")))
    assert diagnosis.ok
    assert [step.name for step in diagnosis.steps] == ["libvirt", "permissions", "sysinfo"]
    assert diagnosis.domains == 1


# --- Unix sockets ---------------------------------------------------------------------------


def test_no_such_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "nothing")
    diagnosis = _failed(Endpoint(Connection(socket=path)), "socket")
    assert diagnosis.problem == "no-socket"
    assert path in diagnosis.sentence
    assert "systemctl start libvirtd" in diagnosis.next_step


def test_a_socket_that_nobody_listens_on_any_more(tmp_path: Path) -> None:
    path = str(tmp_path / "stale")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    assert _failed(Endpoint(Connection(socket=path)), "socket").problem == "socket-refused"


def test_a_socket_path_that_is_too_long() -> None:
    endpoint = Endpoint(Connection(socket="/run/" + "x" * 200))
    assert _failed(endpoint, "socket").problem == "path-too-long"


_AS_NOBODY = """
import json, os, sys
from app.connection import Connection, Endpoint
from app.virt.diagnose import diagnose
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
found = diagnose(Endpoint(Connection(socket=sys.argv[1])))
print(json.dumps([found.problem, found.sentence, found.next_step, found.steps[0].ok]))
"""


def test_permission_denied(socket_host: LabHost) -> None:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, socket_host.socket],
        cwd=root, capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    problem, sentence, next_step, ok = json.loads(done.stdout)
    assert (problem, ok) == ("permission-denied", False)
    assert socket_host.socket in sentence
    assert "usermod -aG libvirt" in next_step


def test_a_socket_that_is_not_libvirts(tmp_path: Path) -> None:
    path = str(tmp_path / "other")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with _answering(listener, b"HELLO, this is something else entirely\n"):
            diagnosis = _failed(Endpoint(Connection(socket=path)), "libvirt")
    assert diagnosis.problem == "not-libvirt-socket"
    assert path in diagnosis.sentence


# --- names and ports ------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["ssh", "tls", "tcp"])
def test_a_name_that_is_not_found(transport: str) -> None:
    connection = Connection(transport=transport, host="no-such-host.invalid")  # type: ignore[arg-type]
    diagnosis = _failed(Endpoint(connection), "name")
    assert diagnosis.problem == "name-not-found"
    assert "no-such-host.invalid" in diagnosis.sentence
    assert "getent hosts no-such-host.invalid" in diagnosis.next_step


@pytest.mark.parametrize("transport", ["ssh", "tls", "tcp"])
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_a_port_that_refuses(socket_host: LabHost, transport: str, family: str) -> None:
    host = getattr(socket_host, family)
    connection = Connection(transport=transport, host=host, port=4)  # type: ignore[arg-type]
    diagnosis = _failed(Endpoint(connection), "port")
    assert diagnosis.problem == "refused"
    assert host in diagnosis.sentence
    assert "port 4" in diagnosis.sentence


@pytest.mark.parametrize("transport", ["ssh", "tls", "tcp"])
def test_a_firewall_that_says_no(socket_host: LabHost, transport: str) -> None:
    reject = "INPUT -p tcp --dport 5 -j REJECT --reject-with icmp-host-unreachable"
    socket_host.run(f"iptables -I {reject}")
    try:
        connection = Connection(transport=transport, host=socket_host.ip4, port=5)  # type: ignore[arg-type]
        assert _failed(Endpoint(connection), "port").problem == "no-route"
    finally:
        socket_host.run(f"iptables -D {reject}")


@pytest.mark.parametrize("transport", ["ssh", "tls", "tcp"])
def test_a_host_that_swallows_every_packet(
    socket_host: LabHost, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.virt.dial._CONNECT_S", 0.5)
    socket_host.run("iptables -I INPUT -p tcp --dport 6 -j DROP")
    try:
        connection = Connection(transport=transport, host=socket_host.ip4, port=6)  # type: ignore[arg-type]
        diagnosis = _failed(Endpoint(connection), "port")
    finally:
        socket_host.run("iptables -D INPUT -p tcp --dport 6 -j DROP")
    assert diagnosis.problem == "timeout"
    assert "firewall" in diagnosis.next_step


# --- SSH ------------------------------------------------------------------------------------


def test_a_host_key_that_is_not_known_yet_is_shown_to_be_compared(
    ssh_host: LabHost, tmp_path: Path
) -> None:
    (tmp_path / "known").write_text("")
    diagnosis = _failed(over_ssh(ssh_host, tmp_path / "known"), "host-key")
    assert diagnosis.problem == "unknown-host-key"
    assert [key.fingerprint for key in diagnosis.host_keys] == [_fingerprint(ssh_host)]
    assert (tmp_path / "known").read_text() == ""


def test_a_host_key_that_changed(ssh_host: LabHost, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    (tmp_path / "known").write_text(f"{ssh_host.ip4} {other}")
    diagnosis = _failed(over_ssh(ssh_host, tmp_path / "known"), "host-key")
    assert diagnosis.problem == "changed-host-key"
    assert [key.fingerprint for key in diagnosis.host_keys] == [_fingerprint(ssh_host)]


def test_a_key_that_the_host_refuses(ssh_host: LabHost, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    diagnosis = _failed(over_ssh(ssh_host, tmp_path / "known", key=key), "login")
    assert diagnosis.problem == "key-refused"
    assert "root" in diagnosis.sentence
    assert "authorized_keys" in diagnosis.next_step


def test_a_user_that_the_host_does_not_know(ssh_host: LabHost, tmp_path: Path) -> None:
    endpoint = over_ssh(ssh_host, tmp_path / "known", user="nobody-here")
    assert _failed(endpoint, "login").problem == "key-refused"


def test_a_key_with_a_passphrase(ssh_host: LabHost, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", passphrase="correct horse")
    endpoint = over_ssh(ssh_host, tmp_path / "known", key=key)
    assert _failed(endpoint, "login").problem == "key-encrypted"


def test_a_key_that_is_not_there(ssh_host: LabHost, tmp_path: Path) -> None:
    endpoint = over_ssh(ssh_host, tmp_path / "known", key=tmp_path / "nothing")
    diagnosis = _failed(endpoint, "login")
    assert diagnosis.problem == "key-file-missing"
    assert str(tmp_path / "nothing") in diagnosis.sentence


def test_a_key_that_others_may_read(ssh_host: LabHost, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    key.chmod(0o644)
    diagnosis = _failed(over_ssh(ssh_host, tmp_path / "known", key=key), "login")
    assert diagnosis.problem == "key-too-open"
    assert f"chmod 600 {key}" in diagnosis.next_step


def test_a_file_that_is_no_key(ssh_host: LabHost, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("this is no key\n")
    key.chmod(0o600)
    diagnosis = _failed(over_ssh(ssh_host, tmp_path / "known", key=key), "login")
    assert diagnosis.problem == "key-invalid"


def test_a_host_with_neither_helper_nor_netcat(lab: None, tmp_path: Path) -> None:
    options = Options(ssh=True, hidden=("/usr/bin/virt-ssh-helper", "/usr/bin/nc"))
    with LabHost("lab-bare", options) as host:
        diagnosis = _failed(over_ssh(host, tmp_path / "known"), "libvirt")
        own_socket = over_ssh(host, tmp_path / "known", socket="/run/libvirt/libvirt-sock")
        needs_nc = _failed(own_socket, "libvirt")
    assert diagnosis.problem == "no-helper"
    assert "netcat-openbsd" in diagnosis.next_step
    assert needs_nc.problem == "no-nc"
    assert children("ssh") == []


def test_a_host_whose_libvirt_is_not_running(lab: None, tmp_path: Path) -> None:
    for hidden in ((), ("/usr/bin/virt-ssh-helper",)):
        with LabHost("lab-down", Options(ssh=True, libvirtd=False, hidden=hidden)) as host:
            known = tmp_path / f"known-{len(hidden)}"
            diagnosis = _failed(over_ssh(host, known), "libvirt")
        assert diagnosis.problem == "libvirt-not-running"
        assert "systemctl start libvirtd" in diagnosis.next_step


def test_an_ssh_port_with_another_service(tmp_path: Path) -> None:
    with _service(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        connection = Connection(transport="ssh", host="127.0.0.1", port=port)
        assert _failed(Endpoint(connection), "port").problem == "not-ssh"


@pytest.mark.parametrize("is_there", [False, True])
def test_a_machine_without_ssh_or_with_one_that_may_not_be_executed(
    ssh_host: LabHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    endpoint = over_ssh(ssh_host, tmp_path / "known")
    if is_there:
        (tmp_path / "ssh").touch(mode=0o600)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _failed(endpoint, "host-key").problem == "ssh-missing"


# --- TLS ------------------------------------------------------------------------------------


def test_a_certificate_of_an_unknown_authority(tls_host: LabHost, lab_pki: Pki) -> None:
    pki = lab_pki.client("clientother", authority="otherca")
    diagnosis = _failed(over_tls(tls_host, pki), "certificate")
    assert diagnosis.problem == "unknown-ca"
    assert "cacert.pem" in diagnosis.next_step


def test_a_certificate_for_another_name(lab_pki: Pki) -> None:
    with LabHost("lab-wrong", Options(tls=True, pki=lab_pki.server("serverwrong"))) as host:
        diagnosis = _failed(over_tls(host, lab_pki.client()), "certificate")
    assert diagnosis.problem == "wrong-certificate-name"
    assert host.ip4 in diagnosis.sentence


def test_a_certificate_of_the_host_that_expired(lab_pki: Pki) -> None:
    options = Options(
        tls=True, pki=lab_pki.server("serverexpired"), extra="tls_no_sanity_certificate = 1\n"
    )
    with LabHost("lab-expired", options) as host:
        diagnosis = _failed(over_tls(host, lab_pki.client()), "certificate")
    assert diagnosis.problem == "server-certificate-expired"


def test_no_client_certificate(tls_host: LabHost, lab_pki: Pki) -> None:
    diagnosis = _failed(over_tls(tls_host, lab_pki.client(None)), "certificate")
    assert diagnosis.problem == "no-client-certificate"
    assert "clientcert.pem" in diagnosis.next_step


def test_a_client_certificate_that_expired(tls_host: LabHost, lab_pki: Pki) -> None:
    diagnosis = _failed(over_tls(tls_host, lab_pki.client("clientexpired")), "certificate")
    assert diagnosis.problem == "client-certificate-expired"


def test_a_client_certificate_of_another_authority(tls_host: LabHost, lab_pki: Pki) -> None:
    diagnosis = _failed(over_tls(tls_host, lab_pki.client("clientother")), "certificate")
    assert diagnosis.problem == "client-certificate-foreign"


def test_a_client_certificate_that_the_host_does_not_list(lab_pki: Pki) -> None:
    options = Options(
        tls=True, pki=lab_pki.server(), extra='tls_allowed_dn_list = ["CN=somebody else"]\n'
    )
    with LabHost("lab-listed", options) as host:
        diagnosis = _failed(over_tls(host, lab_pki.client()), "certificate")
    assert diagnosis.problem == "client-certificate-refused"


@pytest.mark.parametrize("lost", ["cacert.pem", "clientcert.pem", "clientkey.pem"])
def test_a_certificate_file_that_is_not_there(
    tls_host: LabHost, lab_pki: Pki, tmp_path: Path, lost: str
) -> None:
    for name in {"cacert.pem", "clientcert.pem", "clientkey.pem"} - {lost}:
        (tmp_path / name).write_bytes((lab_pki.client() / name).read_bytes())
    diagnosis = _failed(over_tls(tls_host, tmp_path), "certificate")
    assert diagnosis.problem == "certificate-files"
    assert str(tmp_path) in diagnosis.sentence


def test_a_client_key_that_belongs_to_another_certificate(
    tls_host: LabHost, lab_pki: Pki, tmp_path: Path
) -> None:
    for name in ("cacert.pem", "clientcert.pem"):
        (tmp_path / name).write_bytes((lab_pki.client() / name).read_bytes())
    (tmp_path / "clientkey.pem").write_bytes((lab_pki.root / "serverkey.pem").read_bytes())
    assert _failed(over_tls(tls_host, tmp_path), "certificate").problem == "certificate-files"


def test_a_client_key_with_a_passphrase_is_not_asked_for(
    tls_host: LabHost, lab_pki: Pki, tmp_path: Path
) -> None:
    for name in ("cacert.pem", "clientcert.pem"):
        (tmp_path / name).write_bytes((lab_pki.client() / name).read_bytes())
    subprocess.run(
        ["openssl", "rsa", "-aes256", "-passout", "pass:secret",
         "-in", lab_pki.client() / "clientkey.pem", "-out", tmp_path / "clientkey.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    assert _failed(over_tls(tls_host, tmp_path), "certificate").problem == "certificate-files"


# --- SASL, and ports that are not libvirt's -------------------------------------------------


def test_a_wrong_sasl_password(sasl_host: LabHost, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    diagnosis = _failed(over_tcp(sasl_host, user=SASL_USER, password=wrong), "libvirt")
    assert diagnosis.problem == "sasl-wrong-password"


def test_a_sasl_user_that_does_not_exist(sasl_host: LabHost, sasl_password: Path) -> None:
    diagnosis = _failed(over_tcp(sasl_host, user="nobody", password=sasl_password), "libvirt")
    assert diagnosis.problem == "sasl-wrong-password"


def test_a_host_that_wants_a_sasl_user_and_gets_none(sasl_host: LabHost) -> None:
    assert _failed(over_tcp(sasl_host), "libvirt").problem == "sasl-needed"


def test_a_host_without_a_sasl_mechanism_for_tcp_gets_the_hint(
    lab: None, sasl_password: Path
) -> None:
    options = Options(tcp=True, sasl={SASL_USER: "x"}, libvirtd=False)
    with LabHost("lab-scram", options) as host:
        (host.root / "sasl2/libvirt.conf").write_text(
            "mech_list: scram-sha-256\nsasldb_path: /etc/libvirt/passwd.db\n"
        )
        host.start_libvirtd()
        diagnosis = _failed(over_tcp(host, user=SASL_USER, password=sasl_password), "libvirt")
    assert diagnosis.problem == "sasl-wrong-password"
    assert "digest-md5" in diagnosis.next_step


def test_tcp_to_the_tls_port(tls_host: LabHost) -> None:
    diagnosis = _failed(over_tcp(tls_host, port=16514), "libvirt")
    assert diagnosis.problem == "tls-expected"
    assert "TLS" in diagnosis.next_step


def test_tls_to_the_tcp_port(sasl_host: LabHost, lab_pki: Pki) -> None:
    endpoint = over_tls(sasl_host, lab_pki.client(), port=16509)
    assert _failed(endpoint, "certificate").problem == "not-tls"


@pytest.mark.parametrize(
    ("greeting", "service"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "An SSH server"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "A web server"),
        (b"anything else may be there too", "Something else"),
    ],
)
def test_tcp_to_a_port_that_is_not_libvirts(greeting: bytes, service: str) -> None:
    with _service(greeting) as port:
        connection = Connection(transport="tcp", host="127.0.0.1", port=port)
        diagnosis = _failed(Endpoint(connection), "libvirt")
    assert diagnosis.problem == "not-libvirt"
    assert diagnosis.sentence == f"{service} answers on port {port} of 127.0.0.1, not libvirt."


def test_a_port_that_accepts_and_says_nothing(
    lab_pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.virt.diagnose._STEP_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = {
            transport: diagnose(
                Endpoint(
                    Connection(transport=transport, host="127.0.0.1", port=port),
                    pki_directory=str(lab_pki.client()),
                )
            ).problem
            for transport in ("ssh", "tls", "tcp")
        }
    assert found == {"ssh": "silent", "tls": "silent", "tcp": "no-answer"}


def test_a_libvirt_that_has_stopped(lab: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.virt.diagnose._STEP_S", 0.5)
    with LabHost("lab-frozen") as host:
        host.kill("STOP")
        diagnosis = _failed(over_socket(host), "libvirt")
    assert diagnosis.problem == "no-answer"


def _fingerprint(host: LabHost) -> str:
    return fingerprint((host.root / "hostkey.pub").read_text().split()[1])


@contextlib.contextmanager
def _service(greeting: bytes) -> Iterator[int]:
    """A port of this machine where another service says `greeting` to whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener, _answering(listener, greeting):
        yield listener.getsockname()[1]


@contextlib.contextmanager
def _answering(listener: socket.socket, greeting: bytes) -> Iterator[None]:
    ending = threading.Event()
    listener.settimeout(0.1)

    def serve() -> None:
        while not ending.is_set():
            try:
                visitor, _ = listener.accept()
            except TimeoutError:
                continue
            with visitor, contextlib.suppress(OSError):
                visitor.settimeout(5)
                visitor.sendall(greeting)
                # Until the visitor has gone, so that what was said is not thrown away.
                while visitor.recv(4096):
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(20)
