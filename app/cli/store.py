"""`npvirt backup`, `restore` and `db upgrade`: the store's file as a whole."""

from pathlib import Path

import click

from app.cli.common import audited, opened_store
from app.clock import now_ms, rfc3339
from app.collect.leadership import Leadership, collector_directory
from app.errors import Conflict
from app.settings import load
from app.store.demonstration import is_demonstration
from app.store.engine import store_path
from app.store.restoring import discard, examine, put_in_place
from app.store.secret_files import beside, pack_secrets


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--with-secrets", is_flag=True, help="Pack keys and passwords into FILE.secrets.tar as well."
)
def backup(file: Path, with_secrets: bool) -> None:
    """Copy the store to FILE, while npvirt may be running. Secrets are no part of it."""
    with opened_store() as (settings, store):
        packed = beside(file)
        if with_secrets and packed.exists():
            raise Conflict(f"{packed} exists already; npvirt does not overwrite it.")
        store.backup(file)
        click.echo(f"Copied the store to {file}.")
        if with_secrets:
            count = pack_secrets(settings.data, packed)
            audited(store, "backup", "store", file.name, secrets=count)
            click.echo(f"Packed {count} secret(s) into {packed}; keep it where nobody else reads.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(file: Path, yes: bool) -> None:
    """Put the backup FILE in the place of the store; the present store is kept beside it.

    npvirt must not run meanwhile.
    """
    settings = load()
    if is_demonstration(settings.data):
        raise Conflict(f"{settings.data} holds a demonstration; a store is not restored there.")
    path = store_path(settings)
    leadership = Leadership(collector_directory(settings))
    if not leadership.acquire():
        raise Conflict("npvirt runs on this data directory; stop it before you restore.")
    try:
        found, building = examine(file, path)
        try:
            last = "never" if found.last_scan_at_ms is None else rfc3339(found.last_scan_at_ms)
            click.echo(f"{file}: {found.hosts} host(s), last scan {last}, schema {found.schema}.")
            if found.wrong_count:
                many = found.wrong_count
                things = "One thing in it is" if many == 1 else f"{many} things in it are"
                click.echo(f"{things} not as written. {found.wrong}", err=True)
            if not yes:
                click.confirm(f"Put it in the place of {path}?", abort=True)
            aside = put_in_place(building, path, now_ms())
        finally:
            discard(building)
    finally:
        leadership.release()
    with opened_store() as (_, store):
        audited(store, "restore", "store", file.name)
    click.echo(f"Restored {path}." + (f" What was there is now {aside}." if aside else ""))


@click.group()
def database() -> None:
    """The store's schema."""


@database.command("upgrade")
def upgrade() -> None:
    """Bring the schema up to date, after a backup; making the store if there is none."""
    with opened_store() as (_, store):
        click.echo(f"The store {store.path} is at schema {store.revision()}.")
