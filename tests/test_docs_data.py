"""docs/data.md: every question in it is answered by a store, every table in it is there."""

import re
import sqlite3
from pathlib import Path

import pytest

from app.demo.plan import Plan
from app.store import schema

DOCUMENT = Path(__file__).parents[1] / "docs/data.md"
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
