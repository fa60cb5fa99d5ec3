"""docs/data.md: every question in it is answered by a store, every table in it is there."""

import csv
import io
import re
import runpy
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from app.demo.plan import Plan
from app.store import schema, tiers
from app.store.buckets import Column, Rolled
from app.store.codec import encode
from app.store.engine import Store

DOCUMENT = Path(__file__).parents[1] / "docs/data.md"
READER = DOCUMENT.with_name("read_chunk.py")
TEXT = DOCUMENT.read_text(encoding="utf-8")
QUESTIONS = re.findall(r"\n([^\n]+):\n\n```sql\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def reading(demo_data: tuple[Path, Plan]) -> sqlite3.Connection:
    file = demo_data[0] / "npvirt.sqlite"
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True)


def test_there_are_questions() -> None:
    assert len(QUESTIONS) >= 7


@pytest.mark.parametrize(("question", "sql"), QUESTIONS, ids=[q for q, _ in QUESTIONS])
def test_a_question_is_answered(reading: sqlite3.Connection, question: str, sql: str) -> None:
    rows = reading.execute(sql).fetchall()
    reading.close()
    assert rows, question
    assert any(value is not None for value in rows[0][1:]), rows[0]


def test_every_table_that_is_named_is_there() -> None:
    named = set(re.findall(r"`([a-z_]+)`", TEXT))
    tables = set(schema.metadata.tables)
    assert {"host", "entity", "revision", "change", "scan", "audit", "chunk", "keyframe"} <= named
    assert {f"daily_{kind}" for kind in ("host", "domain", "pool", "volume")} <= named & tables
    columns = {column.name for table in schema.metadata.tables.values() for column in table.c}
    for name in named:
        if name.endswith("_ms") and name != "_ms":
            assert name in columns, name


@pytest.mark.parametrize("tier", tiers.TIERS, ids=[tier.name for tier in tiers.TIERS])
@pytest.mark.parametrize("series", ["cpu_time_ns", "memory_bytes", "memory_used_bytes"])
def test_the_reader_of_chunks_reads_what_npvirt_does(
    demo_data: tuple[Path, Plan], tier: tiers.Tier, series: str
) -> None:
    file = demo_data[0] / "npvirt.sqlite"
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        query = "SELECT max(entity.id) FROM chunk JOIN entity ON entity.id = chunk.id >> 32"
        (entity_id,) = connection.execute(f"{query} WHERE kind = 'domain'").fetchone()
    connection.close()
    store = Store.open(file)
    with store.reading() as reading:
        parts = list(tiers.read(reading, entity_id, tier, 0, 1 << 45, frozenset({series})))
    store.close()
    expected = []
    for part in parts:
        column = part.columns[series]
        nothing = [""] * len(part.starts)
        bounds = (nothing, nothing) if column.low is None else column.bounds()
        times = [start * tier.width_ms // 1000 for start in part.starts]
        rows = zip(times, column.weight, column.total, *bounds, strict=True)
        expected += [list(map(str, row)) for row in rows]
    assert expected
    answer = subprocess.run(
        [sys.executable, str(READER), str(file), str(entity_id),
         tier.name, series],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert list(csv.reader(io.StringIO(answer.stdout)))[1:] == expected


def test_the_reader_of_chunks_reads_whatever_a_chunk_may_hold() -> None:
    weight = [1, 2, 0]
    columns = {
        "whole": Column("gauge", weight, [900, 1800, 0], [900, 850, 0], [900, 950, 0]),
        "part": Column("gauge", weight, [300, 500, 0], [300, 200, 0], [300, 300, 0]),
        "less": Column("gauge", weight, [600, 1300, 0], [600, 550, 0], [600, 750, 0]),
        "counted": Column(
            "counter", [59_990, 60_000, 0], [512, 4096 * 99, 0], [1, 2, 0], [9, 3, 0]
        ),
        "huge": Column("gauge", weight, [2**70, -5, 0]),
    }
    body = encode(Rolled([7, 8, 500], columns), [("less", "whole", "part")])
    buckets = runpy.run_path(str(READER))["buckets"]
    for name, column in columns.items():
        bounds = [[None] * 3] * 2 if column.low is None else column.bounds()
        rows = list(zip([7, 8, 500], column.weight, column.total, *bounds, strict=True))
        assert list(buckets(body, name)) == rows
