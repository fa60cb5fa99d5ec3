"""The command npvirt: exit status 0, 1 or 2, errors in one sentence, nothing changed on refusal."""

import json
import socket
from pathlib import Path

import pytest

from tests.command_support import Npvirt

NODE = """<node><domain type='test'><name>web</name>
<uuid>11111111-2222-4333-8444-555555555555</uuid><memory>65536</memory><vcpu>1</vcpu>
<os><type>hvm</type></os></domain></node>"""


@pytest.fixture
def npvirt(tmp_path: Path) -> Npvirt:
    return Npvirt(tmp_path)


def hosts(npvirt: Npvirt) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(npvirt("host", "list", "--json"))["hosts"]
    return found


def test_a_host_is_added_listed_scanned_edited_and_removed(npvirt: Npvirt) -> None:
    node = npvirt.directory / "node.xml"
    node.write_text(NODE)
    npvirt("host", "add", "kvm-01", "--driver", "test", "--path", str(node))
    answer = json.loads(npvirt("scan", "--json"))["hosts"][0]
    assert answer["host"] == "kvm-01"
    assert answer["ok"] is True
    assert answer["missing"] == []
    assert answer["counts"] == {
        "domains": 1, "pools": 0, "volumes": 0, "networks": 0, "interfaces": 0,
    }  # fmt: skip
    npvirt("host", "edit", "kvm-01", "--name", "kvm-02", "--read-only")
    (host,) = hosts(npvirt)
    assert (host["host"], host["read_only"]) == ("kvm-02", True)
    npvirt("host", "disable", "kvm-02")
    assert hosts(npvirt)[0]["enabled"] is False
    npvirt("scan", "kvm-02", status=2)
    npvirt("host", "enable", "kvm-02")
    npvirt("host", "remove", "kvm-02")
    assert hosts(npvirt) == []


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (("--socket",), {"transport": "unix", "socket": None}),
        (("--socket", "/run/x/sock"), {"transport": "unix", "socket": "/run/x/sock"}),
        (
            ("--ssh", "root@[fd13::2]:2222"),
            {"transport": "ssh", "user": "root", "address": "fd13::2", "port": 2222},
        ),
        (("--ssh", "kvm-01"), {"transport": "ssh", "user": None, "port": None}),
        (("--tls", "kvm-01:17514"), {"transport": "tls", "port": 17514}),
        (("--tcp", "[::1]", "--driver", "test"), {"transport": "tcp", "address": "::1"}),
        (("--socket", "--path", "session"), {"transport": "unix", "path": "session"}),
    ],
)
def test_every_transport_is_understood(
    npvirt: Npvirt, arguments: tuple[str, ...], fields: dict[str, object]
) -> None:
    npvirt("host", "add", "kvm-01", *arguments)
    (host,) = hosts(npvirt)
    assert {key: host[key] for key in fields} == fields


@pytest.mark.parametrize(
    "arguments",
    [
        ("Kvm", "--socket"),
        ("kvm-01",),
        ("kvm-01", "--socket", "--ssh", "a"),
        ("kvm-01", "--ssh", "-oProxyCommand=x"),
        ("kvm-01", "--ssh", "a@b@c"),
        ("kvm-01", "--ssh", "Root@b"),
        ("kvm-01", "--ssh", "@b"),
        ("kvm-01", "--ssh", "b:"),
        ("kvm-01", "--ssh", "b:70000"),
        ("kvm-01", "--ssh", "[::1"),
        ("kvm-01", "--tls", "root@b"),
        ("kvm-01", "--tcp", "2130706433"),
        ("kvm-01", "--tcp", "a?command=x"),
        ("kvm-01", "--socket", "--path", "../x"),
        ("kvm-01", "--socket", "--driver", "xen"),
        ("kvm-01", "--tls", "b", "--key", "/etc/passwd"),
        ("kvm-01", "--ssh", "b", "--key", "/no/such/file"),
        ("kvm-01", "--tls", "b", "--pki", "/no/such/directory"),
        ("kvm-01", "--tcp", "b", "--sasl-user", "fred"),
        ("kvm-01", "--tcp", "b", "--sasl-password-file", "/no/such/file"),
        ("kvm-01", "--ssh", "b", "--sasl-user", "fred", "--sasl-password-file", "/etc/hostname"),
        ("kvm-01", "--socket", "--allow-root", "relative"),
        ("kvm-01", "--driver", "test", "--path", "relative.xml"),
    ],
)
def test_a_host_that_is_not_valid_is_refused_and_nothing_is_kept(
    npvirt: Npvirt, arguments: tuple[str, ...]
) -> None:
    npvirt("host", "add", *arguments, status=2)
    assert hosts(npvirt) == []
    assert json.loads(npvirt("credential", "list", "--json"))["credentials"] == []
    secrets = npvirt.directory / "var/secrets"
    assert not secrets.exists() or list(secrets.iterdir()) == []


def test_a_password_is_kept_in_a_file_of_its_own_and_never_shown(npvirt: Npvirt) -> None:
    password = npvirt.directory / "password"
    password.write_text("s3cret\n")
    npvirt("host", "add", "kvm-01", "--tcp", "b", "--sasl-user", "fred",
           "--sasl-password-file", str(password))  # fmt: skip
    (kept,) = (npvirt.directory / "var/secrets").iterdir()
    assert kept.read_text() == "s3cret"
    assert kept.stat().st_mode & 0o077 == 0
    printed = npvirt("host", "list", "--json") + npvirt("credential", "list", "--json")
    assert "s3cret" not in printed
    assert b"s3cret" not in (npvirt.directory / "var/npvirt.sqlite").read_bytes()
    npvirt("credential", "remove", "kvm-01.sasl", status=1)
    npvirt("host", "remove", "kvm-01")
    npvirt("credential", "remove", "kvm-01.sasl")
    assert not kept.exists()


def test_what_is_not_there_or_taken_ends_with_status_one(npvirt: Npvirt) -> None:
    npvirt("host", "add", "kvm-01", "--socket")
    assert "already" in npvirt("host", "add", "kvm-01", "--socket", status=1)
    for command in ("test", "remove", "enable", "disable"):
        assert "no host" in npvirt("host", command, "nobody", status=1)
    npvirt("scan", "nobody", status=1)
    npvirt("credential", "remove", "nothing", status=1)


def test_a_failed_scan_ends_with_status_one_and_says_why(npvirt: Npvirt) -> None:
    npvirt("host", "add", "kvm-01", "--socket", str(npvirt.directory / "nothing"))
    assert "no libvirt socket" in npvirt("scan", status=1)


def test_the_connection_test_prints_its_steps(npvirt: Npvirt) -> None:
    npvirt("host", "add", "demo", "--driver", "test")
    answer = json.loads(npvirt("host", "test", "demo", "--json"))
    assert answer["ok"] is True
    assert {"name", "ok", "took_ms", "message", "next"} <= set(answer["steps"][0])


def test_the_own_key_is_made_at_first_need_and_stays(npvirt: Npvirt) -> None:
    first = npvirt("key", "show")
    assert first.startswith("ssh-ed25519 ")
    assert npvirt("key", "show") == first
    key = npvirt.directory / "var/ssh/id_ed25519"
    assert key.stat().st_mode & 0o077 == 0


def test_a_backup_is_a_store_of_its_own_and_overwrites_nothing(npvirt: Npvirt) -> None:
    npvirt("host", "add", "kvm-01", "--socket")
    copy = npvirt.directory / "copy.sqlite"
    npvirt("backup", str(copy))
    npvirt("backup", str(copy), status=1)
    other = Npvirt(npvirt.directory / "other")
    (npvirt.directory / "other/var").mkdir(parents=True, mode=0o700)
    copy.rename(npvirt.directory / "other/var/npvirt.sqlite")
    assert [host["host"] for host in hosts(other)] == ["kvm-01"]


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\0" + b"\0" * 200])
def test_a_file_that_is_not_ours_is_refused_and_left_alone(npvirt: Npvirt, content: bytes) -> None:
    path = npvirt.directory / "var/npvirt.sqlite"
    path.parent.mkdir()
    path.write_bytes(content)
    assert str(path) in npvirt("host", "list", status=1)
    assert path.read_bytes() == content


def test_a_wrong_setting_stops_with_status_two(npvirt: Npvirt) -> None:
    npvirt.environ["NPVIRT_SCAN_SECONDS"] = "soon"
    assert "NPVIRT_SCAN_SECONDS" in npvirt("scan", status=2)
    npvirt.environ["NPVIRT_SCAN_SECONDS"] = "5"
    npvirt.environ["NPVIRT_BIND"] = "0.0.0.0:8040"
    assert "NPVIRT_PUBLIC_URL" in npvirt("serve", status=2)


def test_a_taken_address_is_said_at_once(npvirt: Npvirt) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        npvirt.environ["NPVIRT_BIND"] = f"127.0.0.1:{other.getsockname()[1]}"
        assert "NPVIRT_BIND" in npvirt("serve", status=1)


def test_the_doctor_says_what_is_wrong(npvirt: Npvirt) -> None:
    npvirt("host", "add", "demo", "--driver", "test")
    assert "never scanned" in npvirt("doctor", status=1)
    npvirt("scan")
    findings = json.loads(npvirt("doctor", "--json"))
    assert findings["ok"] is True


def test_every_command_explains_itself(npvirt: Npvirt) -> None:
    assert "Commands:" in npvirt("--help")
    for command in ("serve", "host", "credential", "key", "scan", "backup", "db", "doctor"):
        assert "Usage:" in npvirt(command, "--help")
    npvirt("nonsense", status=2)
