"""`npvirt scan`: one scan now."""

import sys

import click

from app.cli.common import as_json, opened_store, print_json
from app.collect.once import scan_once
from app.collect.summary import Summary
from app.errors import InvalidField
from app.store.engine import Store
from app.store.hosts import HostRecord, get_host, list_hosts


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@as_json
def scan(names: tuple[str, ...], json_wanted: bool) -> None:
    """Scan the named hosts (default: all enabled ones) once and print what was seen.

    Beside a running server it asks that one to scan. Exit status 1 if any part failed.
    """
    with opened_store() as (settings, store):
        summaries = scan_once(settings, store, _records(store, names))
    if json_wanted:
        print_json({"hosts": summaries})
    else:
        for summary in summaries:
            _print(summary)
    if not all(summary.ok for summary in summaries):
        sys.exit(1)


def _records(store: Store, names: tuple[str, ...]) -> list[HostRecord]:
    if not names:
        return [record for record in list_hosts(store) if record.enabled]
    records = [get_host(store, name) for name in dict.fromkeys(names)]
    for record in records:
        if not record.enabled:
            raise InvalidField("NAME", f"{record.slug} is disabled; enable it first.")
    return records


def _print(summary: Summary) -> None:
    counts = ", ".join(
        f"{'?' if count is None else count} {what}" for what, count in summary.counts.items()
    )
    outcome = counts if summary.sentence is None else summary.sentence
    click.echo(f"{summary.host}: {outcome} ({summary.took_ms} ms)")
    for missing in summary.missing:
        click.echo(f"  missing: {missing.part}: {missing.reason}")
