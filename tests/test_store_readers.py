"""Readers of a store whose file goes away: those that are open go on, and no other file is read."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.connection import Connection
from app.errors import StoreError
from app.store.engine import Store
from app.store.hosts import add_host, list_hosts
from app.store.sqlite import READERS
from tests.made_once import open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one host, whose readers are kept."""
    opened = open_store(tmp_path / "npvirt.sqlite")
    add_host(opened, "kvm-01", Connection())
    opened.keep_readers()
    yield opened
    opened.close()


@contextmanager
def _another_file(path: Path, body: bytes | None) -> Iterator[None]:
    """The store's file has another name meanwhile, and `body` its own; None: nothing has."""
    aside = path.with_name("aside")
    path.rename(aside)
    if body is not None:
        path.write_bytes(body)
    try:
        yield
    finally:
        aside.replace(path)


def _slugs(store: Store) -> list[str]:
    return [host.slug for host in list_hosts(store)]


GONE = pytest.mark.parametrize(
    "body", [None, b"", b"not a store at all " * 1000], ids=["nothing", "empty", "foreign"]
)


@GONE
def test_more_readers_than_are_open_all_read_though_the_file_is_gone(
    store: Store, body: bytes | None
) -> None:
    read: list[list[str]] = []
    together = threading.Barrier(5 * READERS)

    def reading() -> None:
        together.wait(30)
        for _ in range(20):
            read.append(_slugs(store))

    with _another_file(store.path, body):
        threads = [threading.Thread(target=reading) for _ in range(together.parties)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert read == [["kvm-01"]] * (20 * together.parties)


def test_readers_go_on_where_not_even_the_directory_is_one(tmp_path: Path) -> None:
    place = tmp_path / "var"
    place.mkdir()
    store = open_store(place / "npvirt.sqlite")
    add_host(store, "kvm-01", Connection())
    store.keep_readers()
    place.rename(tmp_path / "aside")
    place.touch()
    with ExitStack() as taken:
        for _ in range(READERS):
            taken.enter_context(store.reading())
        released = threading.Timer(0.3, taken.close)
        released.start()
        assert _slugs(store) == ["kvm-01"]
    released.join()
    place.unlink()
    (tmp_path / "aside").rename(place)
    store.close()


@GONE
def test_a_file_that_had_the_name_meanwhile_is_never_read(
    store: Store, body: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.readers._PATIENCE_S", 0.0)
    with ExitStack() as taken, _another_file(store.path, body):
        for _ in range(READERS):
            taken.enter_context(store.reading())
        with pytest.raises(StoreError, match=r"removed or replaced|was emptied"):
            _slugs(store)
    for _ in range(3 * READERS):
        assert _slugs(store) == ["kvm-01"]


def test_readers_are_kept_of_a_store_that_took_the_place_of_the_first_as_well(
    store: Store, tmp_path: Path
) -> None:
    other = open_store(tmp_path / "other.sqlite")
    add_host(other, "kvm-02", Connection())
    other.close()
    (tmp_path / "other.sqlite").replace(store.path)
    for ending in ("-wal", "-shm"):
        store.path.with_name(f"{store.path.name}{ending}").unlink()
    store.look()
    with _another_file(store.path, None), ExitStack() as taken:
        for _ in range(READERS):
            taken.enter_context(store.reading())
    assert _slugs(store) == ["kvm-02"]
