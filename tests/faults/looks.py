"""What the looks that npvirt stored say of how it kept its promises: read from the store alone."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True)
class Look:
    """A scan as stored."""

    at_ms: int
    took_ms: int
    ok: bool
    missing: bool
    # What it says of what went wrong; "" of a green one.
    why: str

    @property
    def end_ms(self) -> int:
        """When it ended."""
        return self.at_ms + self.took_ms

    @property
    def green(self) -> bool:
        """Whether the host answered, and no part was missing."""
        return self.ok and not self.missing


class Looks:
    """Reads a store's file beside the npvirt that writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def since(self, at_ms: int) -> dict[str, list[Look]]:
        """The scans of every host from then on, in order."""
        found: dict[str, list[Look]] = defaultdict(list)
        with self._opened() as connection:
            rows = connection.execute(
                "SELECT slug, at_ms, took_ms, ok, missing, coalesce(sentence || ' ', '') || "
                "coalesce(detail || ' ', '') || coalesce(missing, '') "
                "FROM scan JOIN host ON host.id = host_id "
                "WHERE at_ms >= ? ORDER BY at_ms", (at_ms,)
            )  # fmt: skip
            for slug, began_ms, took_ms, ok, missing, why in rows:
                found[slug].append(Look(began_ms, took_ms, bool(ok), missing is not None, why))
        return found

    def gone(self) -> list[str]:
        """What is said to be gone or was told as deleted."""
        with self._opened() as connection:
            gone = connection.execute(
                "SELECT kind || ' ' || key FROM entity WHERE last_seen_ms IS NOT NULL"
            ).fetchall()
            told = connection.execute(
                "SELECT kind || ' ' || name FROM change WHERE what = 'deleted'"
            ).fetchall()
        return [row[0] for row in (*gone, *told)]

    def partial(self, slug: str, since_ms: int) -> int:
        """How many looks were taken between the scans of a host, because libvirt told of it."""
        with self._opened() as connection:
            row = connection.execute(
                "SELECT count(*) FROM partial_look JOIN host ON host.id = host_id "
                "WHERE slug = ? AND at_ms >= ?", (slug, since_ms)
            ).fetchone()  # fmt: skip
            return int(row[0])

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30)
        try:
            yield connection
        finally:
            connection.close()


def latest_s(looks: Iterable[Look], interval_s: float) -> float:
    """How late the latest of the scans was after the one before it."""
    times = [look.at_ms for look in looks]
    gaps = (later - earlier for earlier, later in pairwise(times))
    return max((gap / 1000 - interval_s for gap in gaps), default=0.0)
