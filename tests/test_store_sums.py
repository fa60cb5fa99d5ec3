"""Checksums: what is stored is found to be as it was written, and what is not is found."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.clock import DAY_MS
from app.collect.upkeep import Upkeep
from app.errors import StoreError
from app.settings import load
from app.store import schema, sums
from app.store.codec import decode
from app.store.engine import Store
from app.store.looked_after import last_time
from app.store.verify import verify
from tests.faults.overwrites import fill, finds
from tests.faults.store import Injected, overwrite
from tests.made_once import open_store
from tests.storing import a_store

__all__ = ["a_store"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something in every table, not to be changed."""
    path = tmp_path_factory.mktemp("sums") / "npvirt.sqlite"
    fill(path, days=4)
    return path


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    path = tmp_path / "npvirt.sqlite"
    path.write_bytes(filled.read_bytes())
    return path


@pytest.fixture
def opened(copy: Path) -> Iterator[Store]:
    store = open_store(copy)
    yield store
    store.close()


def test_every_table_is_covered_and_its_triggers_are_those_declared(a_store: Store) -> None:
    with a_store.reading() as connection:
        covered = sums.covered_tables(connection)
        alone = {"audit", *(table.name for table in schema.samples.values())}
        assert {*covered} | alone == {*schema.metadata.tables}
        triggers = set(
            connection.exec_driver_sql(
                "SELECT sql FROM sqlite_schema WHERE type = 'trigger'"
            ).scalars()
        )
        for table in covered:
            names = [name for name, _ in sums.columns_of(connection, table)[0]]
            assert "crc" in names, f"{table}: its migration is to call sums.cover"
            assert {*sums.triggers_of(connection, table)} <= triggers, table
    assert verify(a_store).wrong == []


def test_a_filled_store_is_sound_and_every_row_and_scan_was_looked_at(opened: Store) -> None:
    found = verify(opened)
    assert found.wrong == []
    with opened.reading() as connection:
        tables = sums.covered_tables(connection)
        counts = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()
            for name in (f'"{table}"' for table in tables)
        ]
        samples = connection.exec_driver_sql("SELECT count(DISTINCT ts) FROM sample_domain")
        assert found.scans == samples.scalar_one() > 50
    assert found.rows == sum(counts)
    assert sum(count > 0 for count in counts) >= 14


def _altered(path: Path, statement: str) -> None:
    """Change a value so that its checksum stays behind, as a disk would."""
    connection = sqlite3.connect(path)
    connection.create_function(sums.FUNCTION, -1, lambda *_: 7)
    assert connection.execute(statement).rowcount == 1
    connection.commit()
    connection.close()


_FIRST = "(day, entity) = (SELECT day, entity FROM daily_domain LIMIT 1)"
_SAMPLE = "(ts, entity) = (SELECT ts, entity FROM sample_domain LIMIT 1)"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE revision SET body = body || ' ' WHERE id = 3", "revision: the row 3"),
        ("UPDATE change SET name = 'other' WHERE id = 2", "change: the row 2"),
        ("UPDATE entity SET last_seen_ms = 5 WHERE id = 4", "entity: the row 4"),
        ("UPDATE user SET role = 'admin' WHERE id = 1", "user: the row 1"),
        ("UPDATE host SET user = 'root' WHERE id = 1", "host: the row 1"),
        (
            f"UPDATE daily_domain SET cpu_avg = 0.5 WHERE {_FIRST}",
            "daily_domain: the row",
        ),
        ("UPDATE chunk SET body = x'00' WHERE id = (SELECT min(id) FROM chunk)", "chunk: the row"),
        ("UPDATE audit SET name = 'other' WHERE id = 5", "Entry 5 of"),
        (
            f"UPDATE sample_domain SET cpu_time_ns = cpu_time_ns + 1 WHERE {_SAMPLE}",
            "The samples of scan",
        ),
        (
            "DELETE FROM sample_pool WHERE ts = (SELECT min(ts) FROM sample_pool)",
            "The samples of scan",
        ),
        ("UPDATE scan SET samples_crc = NULL WHERE id = 200", "scan: the row 200"),
        ("UPDATE alembic_version SET version_num = '0000'", "schema"),
    ],
)
def test_a_value_that_is_another_is_found_and_named(copy: Path, statement: str, said: str) -> None:
    _altered(copy, statement)
    store = Store(copy)
    found = verify(store)
    store.close()
    assert found.count == 1, found.wrong
    assert said in found.wrong[0]


def test_a_trigger_that_is_gone_is_found(copy: Path) -> None:
    connection = sqlite3.connect(copy)
    connection.execute("DROP TRIGGER host_crc_update")
    connection.close()
    store = Store(copy)
    assert "declared" in verify(store).wrong[0]
    store.close()


VALUES = st.fixed_dictionaries(
    {
        "cpu_min": st.floats(allow_nan=False) | st.none() | st.just(-0.0) | st.integers(-9, 9),
        "cpu_avg": st.floats(allow_nan=False) | st.none(),
        "memory_bytes_max": st.integers(-(2**40), 2**40) | st.none(),
    }
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES, st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_whatever_is_written_is_found_as_it_was_written(
    a_store: Store, values: dict[str, float | None], text: str
) -> None:
    table = schema.dailies["domain"]
    names = {name: value for name, value in values.items() if name in table.c}
    with a_store.writing() as connection:
        connection.execute(table.delete())
        connection.execute(table.insert().values(day="2026-05-01", entity=1, **names))
        connection.execute(schema.credential.delete())
        connection.execute(
            schema.credential.insert().values(name=text, kind=text, path="/", created_at_ms=1)
        )
        connection.execute(schema.credential.update().values(username=text))
    assert verify(a_store).wrong == []


def test_a_counter_too_large_to_be_kept_is_no_damage(a_store: Store) -> None:
    from app.connection import Connection
    from app.inventory import Domain, DomainSample, Scan
    from app.store.hosts import add_host
    from app.store.record import Recorder

    recorder = Recorder(a_store, add_host(a_store, "kvm-01", Connection()), 60_000)
    recorder.record(
        Scan(
            5, 1, ok=True,
            domains={key: Domain(uuid=key, name=key, state="running") for key in "abc"},
            domain_samples={
                "a": DomainSample(cpu_time_ns=1), "b": DomainSample(cpu_time_ns=2**63),
                "c": DomainSample(cpu_time_ns=2**63 - 1),
            },
        )
    )  # fmt: skip
    found = verify(a_store)
    assert (found.wrong, found.scans) == ([], 1)
    with a_store.reading() as connection:
        table = schema.samples["domain"]
        stored = connection.scalars(sa.select(table.c.cpu_time_ns).order_by(table.c.entity)).all()
    assert stored == [1, None, 2**63 - 1]


def test_once_a_day_all_is_looked_at_and_damage_is_a_banner_until_it_is_gone(
    tmp_path: Path, filled: Path
) -> None:
    data = tmp_path / "var"
    data.mkdir()
    path = data / "npvirt.sqlite"
    path.write_bytes(filled.read_bytes())
    store, injected = open_store(path), Injected()
    upkeep = Upkeep(load({"NPVIRT_DATA": str(data)}), store)
    upkeep.turn()
    done = last_time(store, "verified")
    assert done is not None
    assert done.ok
    # In the middle of a text of the inventory.
    offset = path.read_bytes().index(b"<a>0-30-3") + 3
    before = overwrite(path, offset, b"!", injected)
    with store.writing() as connection:
        connection.exec_driver_sql(
            f"UPDATE upkeep SET at_ms = {done.at_ms - DAY_MS} WHERE name = 'verified'"
        )
    # Another process, which remembers no page of the file.
    other = open_store(path)
    upkeep = Upkeep(load({"NPVIRT_DATA": str(data)}), other)
    upkeep.turn()
    damage = other.troubles.now()
    assert damage is not None
    assert damage.problem == "damaged"
    again = last_time(other, "verified")
    assert again is not None
    assert not again.ok
    overwrite(path, offset, before, injected)
    other.close()
    upkeep.look()
    assert other.troubles.now() is None
    assert injected.count == 2
    other.close()
    store.close()


def test_what_cannot_even_be_read_is_found(copy: Path) -> None:
    injected = Injected()
    for place in range(1, 6):
        size = copy.stat().st_size
        overwrite(copy, size * place // 6 // 4096 * 4096, b"\xff" * 64, injected)
    assert injected.count == 5
    assert finds(copy)


def test_a_chunk_that_cannot_be_unpacked_is_told_as_damage_by_whoever_reads_it(copy: Path) -> None:
    store = open_store(copy)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE chunk SET body = x'78'")
    with pytest.raises(StoreError) as raised, store.reading() as connection:
        decode(connection.exec_driver_sql("SELECT body FROM chunk").scalars().first() or b"")
    assert raised.value.problem == "damaged"
    assert store.troubles.damage is not None
    store.close()
