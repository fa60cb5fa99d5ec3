"""`npvirt export`: what the store holds, as CSV or Parquet. Thin: the rows come from app/store."""

import csv
import io
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import click

from app import clock
from app.cli.common import as_json, opened_store, print_json
from app.csv import cell
from app.errors import Conflict, InvalidField
from app.moments import parse_moment
from app.new_file import new_file
from app.store.engine import Store
from app.store.export import (
    TABLES,
    TIERS,
    Rows,
    Wanted,
    kinds_measured,
    measurements,
    metric_names,
    table,
)
from app.store.hosts import host_ids_named

FORMATS = ("csv", "parquet")
_BATCH = 20_000


@click.command()
@click.option("--kind", type=click.Choice(list(kinds_measured())), help="What was measured.")
@click.option("--tier", type=click.Choice(TIERS), default="1h", show_default=True,
              help="recent: the samples; 1m, 10m, 1h: buckets; daily: a row a day.")  # fmt: skip
@click.option("--table", "table_name", type=click.Choice(TABLES), help="A plain table instead.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Of these hosts alone.")
@click.option("--object", "key", default="", metavar="KEY", help="UUID of a VM or pool.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="These metrics alone.")
@click.option("--from", "from_text", metavar="TIME", help="RFC 3339 with a zone, or epoch seconds.")
@click.option("--to", "to_text", metavar="TIME", help="Up to here, not included.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option("--output", "-o", default="-", metavar="FILE", help="A new file; - is the terminal.")
@as_json
def export(
    kind: str | None,
    tier: str,
    table_name: str | None,
    hosts: tuple[str, ...],
    key: str,
    metrics: tuple[str, ...],
    from_text: str | None,
    to_text: str | None,
    form: str,
    output: str,
    json_wanted: bool,
) -> None:
    """Write measurements (--kind) or a plain table (--table), while npvirt may be running."""
    if (kind is None) == (table_name is None):
        raise InvalidField("--kind", "Name either a kind or a table.")
    if output == "-" and (form == "parquet" or json_wanted):
        raise InvalidField("--output", "Name a file to write to.")
    write = _csv if form == "csv" else _parquet_writer()
    with opened_store() as (_, store):
        if table_name is not None:
            _refuse_narrowing(hosts, key, metrics, from_text, to_text)
            rows = table(store, table_name)
        else:
            rows = measurements(
                store, _wanted(store, kind, tier, hosts, key, metrics, from_text, to_text)
            )
        count = _written(Path(output), rows, write) if output != "-" else write(sys.stdout, rows)
    if json_wanted:
        print_json({"file": output, "rows": count, "columns": rows.columns})
    elif output != "-":
        click.echo(f"Wrote {count} rows to {output}.")


def _refuse_narrowing(*given: Any) -> None:
    if any(given):
        raise InvalidField("--table", "A table is written whole; leave the other options out.")


def _wanted(
    store: Store,
    kind: Any,
    tier: Any,
    hosts: tuple[str, ...],
    key: str,
    metrics: tuple[str, ...],
    from_text: str | None,
    to_text: str | None,
) -> Wanted:
    host_ids: set[int] = set()
    for slug in hosts:
        ids = host_ids_named(store, slug)
        if not ids:
            raise InvalidField("--host", f"There is no host named {slug}.")
        host_ids |= ids
    known = metric_names(kind)
    if not set(metrics) <= set(known):
        raise InvalidField("--metric", f"A metric of a {kind} is one of: {', '.join(known)}.")
    if metrics and tier == "recent":
        raise InvalidField("--metric", "Samples are written whole; leave --metric out.")
    if kind == "volume" and tier in ("1m", "10m"):
        raise InvalidField("--tier", "Of volumes only recent, 1h and daily are kept.")
    from_ms = parse_moment("--from", from_text) if from_text else 0
    to_ms = parse_moment("--to", to_text) if to_text else clock.now_ms() + 1
    if from_ms >= to_ms:
        raise InvalidField("--from", "The beginning must lie before the end.")
    return Wanted(kind, tier, frozenset(host_ids), key.lower(), metrics, from_ms, to_ms)


Write = Callable[[IO[str], Rows], int]


def _written(path: Path, rows: Rows, write: Write) -> int:
    if path.exists():
        raise Conflict(f"{path} exists already; npvirt does not overwrite it.")
    with new_file(path) as binary:
        file = io.TextIOWrapper(binary, "utf-8", newline="")
        count = write(file, rows)
        # Closing it is not the wrapper's: it has to be on the disk first.
        file.detach()
    return count


def _csv(file: IO[str], rows: Rows) -> int:
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(rows.columns)
    count = 0
    for count, row in enumerate(rows.rows, 1):  # noqa: B007 (told below)
        writer.writerow(map(cell, row))
    return count


def _parquet_writer() -> Write:
    """What writes Parquet; raises Conflict where pyarrow is not installed."""
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise Conflict(
            "Parquet needs pyarrow, which is not installed: .venv/bin/pip install '.[parquet]'"
        ) from None

    def write(file: IO[str], rows: Rows) -> int:
        count = 0
        writer = None
        for batch in _batches(rows.rows):
            made = pa.table(_columns(rows, batch, pa))
            if writer is None:
                writer = ParquetWriter(file.buffer, made.schema)  # type: ignore[attr-defined]  # a text file has one
            writer.write_table(made)
            count += len(batch)
        if writer is None:
            empty = pa.table(_columns(rows, [], pa))
            writer = ParquetWriter(file.buffer, empty.schema)  # type: ignore[attr-defined]  # as above
        writer.close()
        return count

    return write


def _batches(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _columns(rows: Rows, batch: list[tuple[Any, ...]], pa: Any) -> dict[str, Any]:
    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    return {
        name: pa.array([row[place] for row in batch], types[type_])
        for place, (name, type_) in enumerate(zip(rows.columns, rows.types, strict=True))
    }
