"""SSH keys: npvirt's own, the hosts' ones, and the file of those that are trusted."""

import os
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.virt import ssh
from app.virt.ssh import HostKey, fetch_host_keys, fingerprint, known_keys, own_key, trust
from tests.endpoints import make_key, opened, over_ssh
from tests.lab.host import LabHost


def _host_key(path: Path) -> HostKey:
    kind, key = make_key(path).with_suffix(".pub").read_text().split()[:2]
    return HostKey(kind, f"{kind} {key}", fingerprint(key))


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- npvirt's own key -----------------------------------------------------------------------


def test_npvirts_key_is_made_once_and_is_for_its_user_alone(tmp_path: Path) -> None:
    first = own_key(tmp_path / "data")
    assert own_key(tmp_path / "data") == first
    assert first.public.startswith("ssh-ed25519 ")
    assert first.public.endswith(f" npvirt@{socket.gethostname()}")
    assert _mode(Path(first.path)) == 0o600
    assert _mode(Path(first.path).parent) == 0o700
    assert "\n" not in first.public


def test_many_who_need_the_key_at_once_get_the_same(tmp_path: Path) -> None:
    found: list[ssh.OwnKey] = []
    threads = [threading.Thread(target=lambda: found.append(own_key(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_lost_public_half_does_not_cost_the_private_one(tmp_path: Path) -> None:
    first = own_key(tmp_path)
    Path(f"{first.path}.pub").unlink()
    assert own_key(tmp_path) == first


def test_a_making_that_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / f".id_ed25519.{os.getpid()}").write_text("half a key")
    assert own_key(tmp_path).public.startswith("ssh-ed25519 ")


def test_a_data_directory_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a directory")
    with pytest.raises(VirtError) as caught:
        own_key(tmp_path / "data")
    assert caught.value.problem == "own-key"


# --- the keys that hosts show ---------------------------------------------------------------


def test_a_host_shows_its_key_with_the_fingerprint_that_it_prints_itself(
    ssh_host: LabHost,
) -> None:
    printed = ssh_host.run(f"ssh-keygen -lf {ssh_host.root}/hostkey.pub").split()[1]
    for host in (ssh_host.ip4, ssh_host.ip6):
        for port in (22, 2222):
            (key,) = fetch_host_keys(host, port)
            assert key.fingerprint == printed
            assert key.type == "ssh-ed25519"


def test_the_best_kind_of_key_comes_first(ssh_host: LabHost) -> None:
    ssh_host.run(
        "for t in rsa ecdsa; do ssh-keygen -q -t $t -N '' -f /run/sshd/key-$t; done; "
        f"grep -v ^Port {ssh_host.root}/sshd_config > /run/sshd/many; "
        "sed -i 's/^PidFile .*/PidFile \\/run\\/sshd\\/many.pid/' /run/sshd/many; "
        "printf 'Port 2223\\nHostKey /run/sshd/key-rsa\\nHostKey /run/sshd/key-ecdsa\\n' "
        ">> /run/sshd/many; /usr/sbin/sshd -f /run/sshd/many"
    )
    try:
        kinds = [key.type for key in fetch_host_keys(ssh_host.ip4, 2223)]
    finally:
        ssh_host.run("kill $(cat /run/sshd/many.pid)")
    assert kinds == ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]


def test_a_host_that_is_not_there_shows_no_key_and_says_why(ssh_host: LabHost) -> None:
    with pytest.raises(VirtError) as caught:
        fetch_host_keys(ssh_host.ip4, 4)
    assert caught.value.problem == "no-host-key"
    with pytest.raises(VirtError) as caught:
        fetch_host_keys("no-such-host.invalid", 22)
    assert caught.value.problem == "name-not-found"


def test_a_name_that_looks_like_an_option_is_none() -> None:
    with pytest.raises(VirtError):
        fetch_host_keys("-V", 22)


# --- the file of trusted keys ---------------------------------------------------------------


def test_a_trusted_host_can_be_reached(ssh_host: LabHost, tmp_path: Path) -> None:
    known = tmp_path / "ssh" / "known_hosts"
    for host in (ssh_host.ip4, ssh_host.ip6):
        trust(known, host, 2222, fetch_host_keys(host, 2222), replace=False)
        opened(over_ssh(ssh_host, known, host=host, port=2222)).close()
    assert _mode(known) == 0o600
    assert {entry.name for entry in known.parent.iterdir()} == {"known_hosts", ".known_hosts.lock"}


def test_trusting_keeps_what_the_file_held(tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text("# a note\nother.example ssh-ed25519 AAAA\n")
    key = _host_key(tmp_path / "key")
    trust(known, "kvm-01", 22, [key], replace=False)
    trust(known, "kvm-01", 22, [key], replace=False)
    assert known.read_text() == (f"# a note\nother.example ssh-ed25519 AAAA\nkvm-01 {key.line}\n")


def test_a_changed_key_is_replaced_only_when_told(tmp_path: Path) -> None:
    known = tmp_path / "known"
    old, new = _host_key(tmp_path / "old"), _host_key(tmp_path / "new")
    trust(known, "kvm-01", 22, [old], replace=False)
    trust(known, "kvm-01", 22, [new], replace=False)
    assert [key.line for key in known_keys(known, "kvm-01", 22)] == [old.line, new.line]
    trust(known, "kvm-01", 22, [new], replace=True)
    assert [key.line for key in known_keys(known, "kvm-01", 22)] == [new.line]


def test_replacing_one_hosts_key_leaves_another_host_with_the_same_key(tmp_path: Path) -> None:
    known = tmp_path / "known"
    shared, new = _host_key(tmp_path / "shared"), _host_key(tmp_path / "new")
    for host, port in (("kvm-01", 22), ("kvm-01", 2222), ("kvm-02", 22)):
        trust(known, host, port, [shared], replace=False)
    trust(known, "kvm-01", 22, [new], replace=True)
    assert [key.line for key in known_keys(known, "kvm-01", 22)] == [new.line]
    assert [key.line for key in known_keys(known, "kvm-01", 2222)] == [shared.line]
    assert [key.line for key in known_keys(known, "kvm-02", 22)] == [shared.line]


def test_hashed_names_and_markers_are_understood(tmp_path: Path) -> None:
    known = tmp_path / "known"
    plain, authority = _host_key(tmp_path / "plain"), _host_key(tmp_path / "authority")
    trust(known, "kvm-01", 22, [plain], replace=False)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert "kvm-01" not in known.read_text()
    with known.open("a") as file:
        file.write(f"@cert-authority *.example {authority.line}\n")
    (found,) = known_keys(known, "kvm-01", 22)
    assert (found.line, found.marker) == (plain.line, "")
    (found,) = known_keys(known, "kvm-01.example", 22)
    assert (found.line, found.marker) == (authority.line, "@cert-authority")


def test_a_name_is_the_same_in_capitals(tmp_path: Path) -> None:
    known = tmp_path / "known"
    key = _host_key(tmp_path / "key")
    trust(known, "KVM-01.Example", 22, [key], replace=False)
    for name in ("kvm-01.example", "KVM-01.EXAMPLE"):
        assert [found.line for found in known_keys(known, name, 22)] == [key.line]


def test_many_who_trust_at_once_lose_nothing(tmp_path: Path) -> None:
    known = tmp_path / "known"
    key = _host_key(tmp_path / "key")

    def go(number: int) -> None:
        trust(known, f"kvm-{number:02d}", 22, [key], replace=True)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    names = sorted(line.split()[0] for line in known.read_text().splitlines())
    assert names == [f"kvm-{number:02d}" for number in range(12)]


def test_a_file_that_is_not_there_trusts_nobody(tmp_path: Path) -> None:
    assert known_keys(tmp_path / "nothing", "kvm-01", 22) == ()


# --- how ssh is started ---------------------------------------------------------------------


@given(
    st.sampled_from(["kvm-01", "10.0.0.7", "::1", "kvm-01.example."]),
    st.one_of(st.none(), st.integers(1, 65535)),
    st.one_of(st.none(), st.sampled_from(["root", "admin_1"])),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), min_size=1, max_size=30),
)
@settings(max_examples=20, deadline=None)
def test_ssh_understands_its_options_whatever_the_paths(
    host: str, port: int | None, user: str | None, name: str
) -> None:
    # ssh expands ${…} from its environment, in file names too; whoever names such a file is the
    # machine's owner.
    path = f"/etc/{name.replace('$', '')}"
    connection = Connection(transport="ssh", host=host, port=port, user=user)
    arguments = ssh.options(Endpoint(connection, key_file=path, known_hosts_file=path))
    assert arguments[-2:] == ["--", host]
    done = subprocess.run(
        ["ssh", "-G", *arguments[1:]], capture_output=True, check=False, env=ssh.environment(),
        errors="surrogateescape", text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = dict(line.split(" ", 1) for line in done.stdout.split("\n") if " " in line)
    assert told["stricthostkeychecking"] in ("true", "yes")
    assert told["batchmode"] == "yes"
    assert told["identityagent"] == "none"
    assert told["globalknownhostsfile"] == "/dev/null"
    assert told["port"] == str(port or 22)
    assert "proxycommand" not in told
    assert user is None or told["user"] == user


def test_ssh_gets_neither_an_agent_nor_a_terminal_nor_anybodys_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("SSH_ASKPASS", "/usr/bin/askpass")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert set(ssh.environment()) == {"LANG", "LC_ALL", "PATH"}
    assert ssh.environment()["LC_ALL"] == "C"
