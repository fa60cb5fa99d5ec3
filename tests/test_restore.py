"""Backups, taken while others write, and putting them back: the old store or the new one."""

import os
import sqlite3
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from app.access import COMMAND_LINE
from app.cli import main
from app.collect.leadership import Leadership
from app.connection import Connection
from app.errors import Conflict, StoreError
from app.inventory import Host, HostSample, Scan
from app.store import restoring, sums
from app.store.audit import Attempt, first_broken, note
from app.store.backups import damage_of
from app.store.file import copy_file, migrate
from app.store.hosts import add_host, list_hosts
from app.store.record import Recorder
from app.store.schema import APPLICATION_ID
from app.store.secret_files import pack_secrets
from tests.made_once import open_store
from tests.waiting import until

ATTEMPT = Attempt(COMMAND_LINE, "", "try", "test")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "var"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("NPVIRT_DATA", str(directory))
    return directory


def _store(data: Path, *hosts: str) -> Path:
    store = open_store(data / "npvirt.sqlite")
    for slug in hosts:
        add_host(store, slug, Connection())
        note(store, ATTEMPT, "ok")
    store.close()
    return store.path


def _hosts(path: Path) -> list[str]:
    store = open_store(path)
    try:
        return [record.slug for record in list_hosts(store)]
    finally:
        store.close()


def _run(capsys: Any, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out + said.err


def _aside(data: Path) -> list[Path]:
    return [path for path in data.iterdir() if ".before-restore-" in path.name]


def test_there_and_back_again(data: Path, tmp_path: Path, capsys: Any) -> None:
    path, kept = _store(data, "kvm-01"), tmp_path / "kept.sqlite"
    assert _run(capsys, "backup", str(kept))[0] == 0
    _store(data, "kvm-02")
    status, said = _run(capsys, "restore", "--yes", str(kept))
    assert status == 0, said
    assert _hosts(path) == ["kvm-01"]
    (aside,) = _aside(data)
    assert str(aside) in said
    assert _hosts(aside) == ["kvm-01", "kvm-02"]
    assert _hosts(kept) == ["kvm-01"]
    assert (path.stat().st_mode & 0o777) == 0o600


def test_backups_taken_while_others_write_are_sound(data: Path, tmp_path: Path) -> None:
    store = open_store(data / "npvirt.sqlite")
    recorder = Recorder(store, add_host(store, "kvm-01", Connection()), 1000)
    stop, written = threading.Event(), list[int]()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            host = Host(uri="qemu:///system", cpus=number)
            recorder.record(
                Scan(at_ms=number, took_ms=1, ok=True, host=host, host_sample=HostSample(number))
            )
            note(store, ATTEMPT, "ok")
            written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(8):
            before = len(written)
            store.backup(tmp_path / f"{number}.sqlite")
            # A busy machine may have let nobody write meanwhile.
            until(lambda known=before: len(written) > known)  # type: ignore[misc] # bound now
    finally:
        stop.set()
        writer.join()
        store.close()
    counts = []
    for number in range(8):
        copy = open_store(tmp_path / f"{number}.sqlite")
        assert copy.check() is None
        count, broken = first_broken(copy)
        assert broken is None
        counts.append(count)
        with copy.reading() as reading:
            open_revisions = reading.exec_driver_sql(
                "SELECT count(*) FROM revision WHERE valid_to_ms IS NULL"
            ).scalar_one()
            scans = reading.exec_driver_sql("SELECT count(*) FROM scan").scalar_one()
        assert open_revisions == min(scans, 1)
        copy.close()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_nothing_is_restored_while_npvirt_runs(data: Path, tmp_path: Path, capsys: Any) -> None:
    path, kept = _store(data, "kvm-01"), tmp_path / "kept.sqlite"
    copy_file(path, kept)
    running = Leadership(data)
    assert running.acquire()
    try:
        status, said = _run(capsys, "restore", "--yes", str(kept))
    finally:
        running.release()
    assert status == 1
    assert "stop it before you restore" in said
    assert _aside(data) == []


def test_who_does_not_say_yes_keeps_what_is_there(
    data: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, kept = _store(data, "kvm-01"), tmp_path / "kept.sqlite"
    copy_file(path, kept)
    before = path.read_bytes()
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    assert _run(capsys, "restore", str(kept))[0] == 130
    assert path.read_bytes() == before
    assert _leftovers(data) == []


def _leftovers(data: Path) -> list[str]:
    return [path.name for path in data.iterdir() if "restor" in path.name]


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _foreign(file: Path) -> None:
    file.unlink()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _overwritten(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(8192)
        opened.write(os.urandom(8192))


def _newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()


def _altered(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("UPDATE audit SET who = 'somebody else' WHERE id = 1")
    connection.commit()
    connection.close()


def _absent(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    "spoil", [_empty, _foreign, _cut, _overwritten, _newer, _altered, _absent],
    ids=lambda spoil: spoil.__name__,
)  # fmt: skip
def test_what_is_no_sound_backup_is_refused_and_changes_nothing(
    data: Path, tmp_path: Path, capsys: Any, spoil: Any
) -> None:
    path, kept = _store(data, "kvm-01", "kvm-02"), tmp_path / "kept.sqlite"
    copy_file(path, kept)
    kept.write_bytes(kept.read_bytes())
    if spoil is _empty:
        kept.unlink()
    spoil(kept)
    status, said = _run(capsys, "restore", "--yes", str(kept))
    assert status == 1, said
    assert said.startswith("npvirt: ")
    assert _hosts(path) == ["kvm-01", "kvm-02"]
    assert _aside(data) == []
    assert _leftovers(data) == []


STEPS = ("_folded", "sync", "link", "replace")


@pytest.mark.parametrize("step", STEPS)
def test_a_restore_that_is_cut_off_leaves_the_old_store_or_the_new(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path, kept = _store(data, "old"), tmp_path / "kept.sqlite"
    other = tmp_path / "other"
    other.mkdir()
    _store(other, "new")
    copy_file(other / "npvirt.sqlite", kept)
    _, building = restoring.examine(kept, path)

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if step in ("_folded", "sync"):
            patch.setattr(restoring, step, killed)
        elif step == "link":
            patch.setattr("os.link", killed)
        else:
            patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            restoring.put_in_place(building, path, 0)
    assert _hosts(path) == ["old"]
    restoring.put_in_place(building, path, 60_000)
    assert _hosts(path) == ["new"]


def test_a_damaged_store_is_set_aside_as_it_is(data: Path, tmp_path: Path, capsys: Any) -> None:
    path, kept = _store(data, "kvm-01"), tmp_path / "kept.sqlite"
    copy_file(path, kept)
    path.write_bytes(b"not a database at all" * 400)
    spoilt = path.read_bytes()
    assert _run(capsys, "restore", "--yes", str(kept))[0] == 0
    assert _hosts(path) == ["kvm-01"]
    assert _aside(data) == []
    (aside,) = data.glob("npvirt.sqlite.damaged-*")
    assert aside.read_bytes() == spoilt


def test_a_store_of_which_checksums_alone_tell_the_damage_is_set_aside_with_its_log_as_it_is(
    data: Path, tmp_path: Path, capsys: Any
) -> None:
    """As of a process that was killed: what it wrote last is in the log beside the file."""
    written = _store(tmp_path, "kvm-01")
    kept, path = tmp_path / "kept.sqlite", data / "npvirt.sqlite"
    copy_file(written, kept)
    writing = sqlite3.connect(written)
    writing.create_function(sums.FUNCTION, -1, lambda *_: 7)
    assert writing.execute("UPDATE host SET slug = 'kvm-02'").rowcount == 1
    writing.commit()
    names = ("npvirt.sqlite", "npvirt.sqlite-wal")
    spoilt = [(tmp_path / name).read_bytes() for name in names]
    for name, content in zip(names, spoilt, strict=True):
        (data / name).write_bytes(content)
    writing.close()
    assert spoilt[1]
    assert damage_of(path) is None
    assert _run(capsys, "restore", "--yes", str(kept))[0] == 0
    assert _hosts(path) == ["kvm-01"]
    aside = sorted(one for one in data.glob("npvirt.sqlite.damaged-*") if "-shm" not in one.name)
    assert [one.read_bytes() for one in aside] == spoilt


def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    data: Path, tmp_path: Path, capsys: Any
) -> None:
    kept = tmp_path / "old.sqlite"
    connection = sqlite3.connect(kept)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    migrate(kept, "0002")
    before = kept.read_bytes()
    status, said = _run(capsys, "restore", "--yes", str(kept))
    assert status == 0, said
    assert _hosts(data / "npvirt.sqlite") == []
    assert kept.read_bytes() == before


def test_a_backup_does_not_overwrite(data: Path, tmp_path: Path) -> None:
    store = open_store(data / "npvirt.sqlite")
    kept = tmp_path / "kept.sqlite"
    kept.write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        store.backup(kept)
    store.close()
    assert kept.read_text() == "mine"


def test_secrets_are_packed_beside_a_backup_only_when_asked_for(
    data: Path, tmp_path: Path, capsys: Any
) -> None:
    _store(data, "kvm-01")
    secrets = {"secrets/session-key": "k", "secrets/lab.sasl": "p", "ssh/id_ed25519": "private"}
    for name, text in {**secrets, "ssh/.lock": "", "secrets/.lab.7": "being made"}.items():
        (data / name).parent.mkdir(mode=0o700, exist_ok=True)
        (data / name).write_text(text)
    plain, kept = tmp_path / "plain.sqlite", tmp_path / "kept.sqlite"
    assert _run(capsys, "backup", str(plain))[0] == 0
    assert list(tmp_path.glob("*.tar")) == []
    status, said = _run(capsys, "backup", "--with-secrets", str(kept))
    packed = tmp_path / "kept.sqlite.secrets.tar"
    assert status == 0, said
    assert str(packed) in said
    assert packed.stat().st_mode & 0o777 == 0o600
    assert not any(text.encode() in kept.read_bytes() for text in ("private", "being made"))
    with tarfile.open(packed) as archive:
        assert {entry.mode for entry in archive} == {0o600}
        files = {entry.name: archive.extractfile(entry) for entry in archive}
        found = {name: file.read().decode() for name, file in files.items() if file}
    assert found == secrets


def test_secrets_that_were_packed_are_not_overwritten(
    data: Path, tmp_path: Path, capsys: Any
) -> None:
    _store(data, "kvm-01")
    kept, packed = tmp_path / "kept.sqlite", tmp_path / "kept.sqlite.secrets.tar"
    packed.write_text("mine")
    status, said = _run(capsys, "backup", "--with-secrets", str(kept))
    assert status == 1
    assert "exists already" in said
    assert packed.read_text() == "mine"
    assert not kept.exists()
    with pytest.raises(Conflict, match="exists already"):
        pack_secrets(data, packed)
    assert not list(tmp_path.glob(".*"))
