"""What several commands share: opening the store, printing JSON and tables."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from app.access import COMMAND_LINE
from app.settings import Settings, load
from app.store.audit import Attempt, note
from app.store.backups import open_store
from app.store.engine import Store
from app.store.hosts import host_ids_named
from app.syslog import attach_syslog

as_json: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--json", "json_wanted", is_flag=True, help="Print JSON instead of text."
)


@contextmanager
def opened_store() -> Iterator[tuple[Settings, Store]]:
    """The settings and the store, closed at the end; raises SettingsError or StoreError."""
    settings = load()
    store = open_store(settings)
    try:
        attach_syslog(store, settings.syslog)
        yield settings, store
    finally:
        store.close()


def audited(store: Store, action: str, kind: str, name: str, **parameters: object) -> None:
    """Write down what the owner of this machine did at its shell; `name` of a host is its slug."""
    is_host = kind == "host"
    attempt = Attempt(
        COMMAND_LINE,
        "",
        action,
        kind,
        host_id=max(host_ids_named(store, name), default=None) if is_host else None,
        host=name if is_host else "",
        name=name,
        parameters=parameters,
    )
    note(store, attempt, "ok")


def print_json(value: object) -> None:
    """`value` as one line of JSON on standard output."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest value, two spaces apart."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
