"""The store's file: made whole or not at all, migrated by its migrations, shared by processes."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.connection import Connection
from app.errors import Conflict, InvalidField, NotFound, StoreError
from app.store import schema
from app.store.credentials import add_credential, list_credentials, remove_credential, resolve
from app.store.engine import Store
from app.store.file import migrate
from app.store.hosts import add_host, get_host, list_hosts, rename_host
from app.store.sums import teach
from app.store.verify import verify
from tests.storing import a_store

__all__ = ["a_store"]


def test_the_migrations_make_the_declared_schema(a_store: Store) -> None:
    with a_store.reading() as connection:
        found = sa.inspect(connection)
        tables = set(found.get_table_names()) - {"alembic_version"}
        assert tables == set(schema.metadata.tables)
        for name, table in schema.metadata.tables.items():
            columns = [(c["name"], c["nullable"]) for c in found.get_columns(name)]
            # Of checksums nothing but app/store/sums knows.
            columns = [column for column in columns if column != ("crc", True)]
            assert columns == [(c.name, c.nullable) for c in table.columns], name
            indexes = {i["name"] for i in found.get_indexes(name)}
            assert indexes == {i.name for i in table.indexes}, name
        sql = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name != 'alembic_version'"
        )
        for name, text in sql.all():
            assert "STRICT" in text, name
            clustered = name.startswith(("sample_", "daily_")) or name == "partial_look"
            assert ("WITHOUT ROWID" in text) == clustered, name


def test_the_newest_migration_is_the_one_that_the_store_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.REVISION


def test_a_new_store_is_whole_even_if_its_making_is_cut_off(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib, app.store.engine as engine, app.store.file as file\n"
        "real = file.migrate\n"
        "def cut(path):\n    real(path); os._exit(9)\n"
        "file.migrate = cut\n"
        "engine.Store.open(pathlib.Path(sys.argv[1]))\n"
    )
    path = tmp_path / "npvirt.sqlite"
    cut = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert cut.returncode == 9
    assert not path.exists()
    store = Store.open(path)
    assert store.check() is None
    store.close()


def test_a_migration_that_is_cut_off_leaves_the_old_schema(tmp_path: Path) -> None:
    path = tmp_path / "npvirt.sqlite"
    Store.open(path).close()
    program = (
        "import os, sys, pathlib, app.store.sqlite as sqlite\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "e = sqlite.engine_of(lambda: sqlite.connect(path), query_only=False)\n"
        "c = e.connect(); t = c.begin()\n"
        "c.exec_driver_sql('CREATE TABLE half_made (a INTEGER)')\n"
        "c.exec_driver_sql('DROP TABLE scan')\n"
        "os._exit(9)\n"
    )
    cut = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert cut.returncode == 9
    store = Store.open(path)
    with store.reading() as connection:
        names = set(sa.inspect(connection).get_table_names())
    assert "half_made" not in names
    assert "scan" in names
    store.close()


@pytest.mark.parametrize(
    "old",
    ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011"],
)
def test_a_store_of_every_older_schema_is_carried_over_with_all_that_it_holds(
    tmp_path: Path, old: str
) -> None:
    path = tmp_path / "npvirt.sqlite"
    store = Store.open(path)
    added = add_host(store, "kvm-01", Connection(transport="ssh", host="kvm-01.test"))
    store.close()
    go_back_to(path, old)
    store = Store.open(path)
    with store.reading() as connection:
        assert set(schema.metadata.tables) <= set(sa.inspect(connection).get_table_names())
    assert store.check() is None
    assert verify(store).wrong == []
    assert get_host(store, "kvm-01") == added
    store.close()


def go_back_to(path: Path, old: str) -> None:
    """Make of the store one that an older npvirt left: its migrations alone, and its rows."""
    made = path.with_name("old.sqlite")
    made.touch()
    migrate(made, old)
    with sqlite3.connect(made) as connection:
        teach(connection)
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'alembic_version'"
        ).fetchall()
        connection.execute("ATTACH ? AS newer", (str(path),))
        for (name,) in tables:
            known = connection.execute(f"PRAGMA table_info({name})").fetchall()
            columns = ", ".join(column[1] for column in known)
            # What its migrations wrote by themselves (of what the schema is) stays.
            connection.execute(f"INSERT OR IGNORE INTO {name} SELECT {columns} FROM newer.{name}")
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    connection.close()
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    made.rename(path)


def test_a_store_of_a_newer_npvirt_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "npvirt.sqlite"
    Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="9999"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_commit_of_another_process_changes_the_version(tmp_path: Path) -> None:
    path = tmp_path / "npvirt.sqlite"
    store = Store.open(path)
    version = store.version()
    assert store.version() == version
    program = (
        "import sys, pathlib\n"
        "from app.store.engine import Store\nfrom app.store.hosts import add_host\n"
        "from app.connection import Connection\n"
        "add_host(Store.open(pathlib.Path(sys.argv[1])), 'kvm-01', Connection())\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert store.version() != version
    assert [host.slug for host in list_hosts(store)] == ["kvm-01"]
    store.close()


def test_a_reader_cannot_write(a_store: Store) -> None:
    with pytest.raises(StoreError, match="read-only"), a_store.reading() as connection:
        connection.exec_driver_sql("DELETE FROM host")


def test_a_write_that_fails_changes_nothing(a_store: Store) -> None:
    def half_way() -> None:
        with a_store.writing() as connection:
            connection.exec_driver_sql(
                "INSERT INTO credential (name, kind, path, created_at_ms) "
                "VALUES ('a', 'pki', '/', 0)"
            )
            connection.exec_driver_sql("INSERT INTO no_such_table VALUES (1)")

    with pytest.raises(StoreError):
        half_way()
    assert list_credentials(a_store) == []


def test_a_full_disk_is_said_and_loses_nothing(a_store: Store) -> None:
    add_host(a_store, "kvm-01", Connection())
    with a_store.writing() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"), a_store.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO credential (name, kind, path, created_at_ms) "
            "SELECT 'a' || value, 'pki', hex(zeroblob(9000)), 0 "
            "FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n "
            "LIMIT 100) SELECT value FROM n)"
        )
    assert list_credentials(a_store) == []
    assert [host.slug for host in list_hosts(a_store)] == ["kvm-01"]


def test_a_name_is_free_again_once_its_host_was_renamed(a_store: Store) -> None:
    add_host(a_store, "one", Connection())
    with pytest.raises(Conflict):
        add_host(a_store, "one", Connection())
    rename_host(a_store, "one", "two")
    add_host(a_store, "one", Connection())
    with pytest.raises(Conflict):
        rename_host(a_store, "one", "two")
    with pytest.raises(NotFound):
        get_host(a_store, "three")


def test_credentials_are_resolved_to_files_and_kept_while_in_use(
    a_store: Store, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("a key")
    add_credential(a_store, tmp_path, "ops", "ssh-key", path=key)
    connection = Connection(transport="ssh", host="kvm-01", key="ops")
    add_host(a_store, "kvm-01", connection)
    endpoint = resolve(a_store, tmp_path, connection)
    assert endpoint.key_file == str(key)
    assert endpoint.known_hosts_file == str(tmp_path / "ssh/known_hosts")
    with pytest.raises(Conflict, match="kvm-01"):
        remove_credential(a_store, tmp_path, "ops")
    with pytest.raises(InvalidField):
        add_host(a_store, "kvm-02", Connection(transport="ssh", host="b", key="nothing"))
    with pytest.raises(InvalidField):
        add_credential(a_store, tmp_path, "none", "pki", path=tmp_path / "nowhere")


def test_the_data_directory_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    from app.settings import load
    from app.store.engine import store_path

    path = store_path(load({"NPVIRT_DATA": str(tmp_path / "a/b")}))
    assert path.parent.stat().st_mode & 0o077 == 0
    assert os.access(path.parent, os.W_OK)
