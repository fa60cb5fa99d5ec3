"""One scan now, for the command line: by the running collector if there is one, else here."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from app.collect.control import ask
from app.collect.leadership import Leadership, collector_directory
from app.collect.scanner import Scanner
from app.collect.summary import Summary, summarise
from app.errors import Conflict
from app.settings import Settings
from app.store.engine import Store
from app.store.hosts import HostRecord

_PARALLEL = 16


def scan_once(settings: Settings, store: Store, records: list[HostRecord]) -> list[Summary]:
    """Scan the hosts of `records` once and wait for the outcomes, in the same order.

    Raises Conflict when another process collects but does not answer.
    """
    directory = collector_directory(settings)
    leadership = Leadership(directory)
    if not leadership.acquire():
        return _ask_collector(directory, records)
    try:
        with ThreadPoolExecutor(min(_PARALLEL, max(1, len(records)))) as pool:
            return list(pool.map(lambda record: _scan_here(settings, store, record), records))
    finally:
        leadership.release()


def _scan_here(settings: Settings, store: Store, record: HostRecord) -> Summary:
    scanner = Scanner(store, settings.data, record, round(settings.scan_seconds * 1000))
    try:
        return summarise(record.slug, scanner.scan(everything=True, next_at_ms=lambda ok: None))
    finally:
        scanner.close()


def _ask_collector(directory: Path, records: list[HostRecord]) -> list[Summary]:
    answer = ask(directory, {"scan": [record.slug for record in records]})
    if answer is None:
        raise Conflict("Another npvirt process collects for this store, but it does not answer.")
    found = msgspec.convert(answer, dict[str, Summary | None])
    return [found.get(record.slug) or _unanswered(record) for record in records]


def _unanswered(record: HostRecord) -> Summary:
    counts = dict.fromkeys(("domains", "pools", "volumes", "networks", "interfaces"))
    sentence = "The running collector did not finish this scan in time."
    return Summary(record.slug, False, 0, counts, (), sentence)
