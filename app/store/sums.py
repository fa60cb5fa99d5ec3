"""Checksums of what is stored: SQLite itself notices few of the bytes that are others later.

Every row of a table has a CRC of its values in a column `crc` that nothing else knows of; triggers
keep it, whoever writes. The samples of a scan have one together, in its row: a checksum each would
cost more than the samples. The audit has its own chain. Databases that check their pages
themselves need none of this: it is SQLite's alone.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from app import clock

FUNCTION = "npvirt_crc"
_COLUMN = "crc"
_SAMPLES = "sample_"
# These prove themselves otherwise: by their chain, and by being known.
_OTHERWISE = ("audit", "alembic_version")
# SQLite passes no more values to a function.
_MOST = 90


def crc(*values: Any) -> int:
    """The CRC-32 of some values of a row, which may be numbers, texts, bytes or nothing."""
    # −0.0 is stored as 0.
    plain = [value + 0.0 if isinstance(value, float) else value for value in values]
    return zlib.crc32(msgspec.msgpack.encode(plain))


def teach(connection: sqlite3.Connection) -> None:
    """Let the triggers of a connection reach the checksum."""
    connection.create_function(FUNCTION, -1, crc, deterministic=True)


class SamplesSum:
    """The checksum of the samples of one scan, put together kind by kind."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, kind: str, rows: Sequence[Sequence[int | None]]) -> None:
        """Add a kind's rows as they are stored: time, entity, columns; by entity."""
        self.value = zlib.crc32(msgspec.msgpack.encode((kind, rows)), self.value)


def covered_tables(connection: sa.Connection) -> list[str]:
    """The tables whose rows have a checksum each."""
    names = connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return sorted(
        name
        for name in names.scalars()
        if not name.startswith((_SAMPLES, "sqlite_")) and name not in _OTHERWISE
    )


def cover(connection: sa.Connection, table: str) -> None:
    """Give every row of a table its checksum, now and at whatever is written to it. For
    migrations: after a table was made, or its columns changed.
    """
    columns, _ = columns_of(connection, table)
    if _COLUMN not in (name for name, _ in columns):
        connection.exec_driver_sql(f'ALTER TABLE "{table}" ADD COLUMN {_COLUMN} INTEGER')
    for statement in triggers_of(connection, table):
        name = statement.split()[2]
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(
        f'UPDATE "{table}" SET {_COLUMN} = {expression(connection, table)}'  # noqa: S608 (names of the schema)
    )


def triggers_of(connection: sa.Connection, table: str) -> list[str]:
    """The triggers that a covered table has, as the schema holds them."""
    columns, keys = columns_of(connection, table)
    others = ", ".join(f'"{name}"' for name, _ in columns if name != _COLUMN)
    mine = " AND ".join(f'"{name}" = new."{name}"' for name in keys)
    body = (
        f'ON "{table}" BEGIN UPDATE "{table}" SET {_COLUMN} = '  # noqa: S608 (names of the schema)
        f"{expression(connection, table)} WHERE {mine}; END"
    )
    return [
        f"CREATE TRIGGER {table}_crc_insert AFTER INSERT {body}",
        f"CREATE TRIGGER {table}_crc_update AFTER UPDATE OF {others} {body}",
    ]


def columns_of(
    connection: sa.Connection, table: str
) -> tuple[list[tuple[str, str]], Sequence[str]]:
    """The columns of a table with their types, and the names of those of its key, in its order."""
    found = connection.exec_driver_sql(f'PRAGMA table_info("{table}")').all()
    keys = sorted((row.pk, row.name) for row in found if row.pk)
    return [(row.name, row.type) for row in found], [name for _, name in keys]


def expression(connection: sa.Connection, table: str) -> str:
    """The checksum of a row as SQL."""
    columns, _ = columns_of(connection, table)
    values = [_value(*column) for column in columns if column[0] != _COLUMN]
    text = ""
    for start in range(0, len(values), _MOST):
        text = f"{FUNCTION}({', '.join(filter(None, (text, *values[start : start + _MOST])))})"
    return text


def _value(name: str, type_: str) -> str:
    """A column so that its checksum is the same whatever was written into it, and can be had even
    where its text is none.
    """
    cast = {"TEXT": "BLOB", "REAL": "REAL"}.get(type_.upper())
    return f'"{name}"' if cast is None else f'CAST("{name}" AS {cast})'


def schema_sum(connection: sa.Connection) -> int:
    """The checksum of how the tables, indexes and triggers are declared."""
    rows: Iterable[Any] = connection.exec_driver_sql(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
    )
    return zlib.crc32(msgspec.msgpack.encode([tuple(row) for row in rows]))


def seal_schema(connection: sa.Connection) -> None:
    """Remember the checksum of the declarations, once they are what they shall be."""
    if "upkeep" in covered_tables(connection):
        connection.exec_driver_sql("DELETE FROM upkeep WHERE name = 'schema'")
        connection.exec_driver_sql(
            "INSERT INTO upkeep (name, at_ms, took_ms, ok, value) VALUES ('schema', ?, 0, 1, ?)",
            (clock.now_ms(), schema_sum(connection)),
        )


def schema_is_sealed(connection: sa.Connection) -> bool:
    """Whether the declarations are those that were made."""
    sealed = connection.exec_driver_sql("SELECT value FROM upkeep WHERE name = 'schema'").scalar()
    return sealed == schema_sum(connection)
