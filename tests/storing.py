"""A store for one test, and a fixed time at which its stories begin."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from app.connection import Connection
from app.inventory import KindName
from app.store import tiers
from app.store.engine import Store
from app.store.hosts import HostRecord, add_host
from app.store.raw import Together
from app.store.sampled import Since
from tests.made_once import open_store

# 1 May 2026, 09:30 UTC.
BASE_MS = 1_777_627_800_000
T = TypeVar("T")


@pytest.fixture
def a_store(tmp_path: Path) -> Iterator[Store]:
    """A new, empty store."""
    store = open_store(tmp_path / "npvirt.sqlite")
    yield store
    store.close()


def a_host(store: Store, slug: str, connection: Connection | None = None) -> HostRecord:
    """A host that was added a minute before BASE_MS."""
    record = add_host(store, slug, connection or Connection())
    with store.writing() as writing:
        writing.exec_driver_sql(f"UPDATE host SET created_at_ms = {BASE_MS - 60_000}")
    return replace(record, created_at_ms=BASE_MS - 60_000)


def compacted(
    kind: KindName, day: int, together: Together, facts: Mapping[int, Sequence[Since]]
) -> tiers.Compacted | None:
    """What compaction makes of a day of some objects."""
    return finished(tiers.compacting(kind, day, together, facts))


def finished(work: Generator[None, None, T]) -> T:
    """What comes of work that is done in pieces."""
    while True:
        try:
            next(work)
        except StopIteration as ended:
            found: T = ended.value
            return found
