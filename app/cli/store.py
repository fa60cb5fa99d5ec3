"""`npvirt backup` and `npvirt db upgrade`: the store's file as a whole."""

from pathlib import Path

import click

from app.cli.common import opened_store


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Copy the store to FILE, while npvirt may be running. Secrets are not part of it."""
    with opened_store() as (_, store):
        store.backup(file)
    click.echo(f"Copied the store to {file}.")


@click.group()
def database() -> None:
    """The store's schema."""


@database.command("upgrade")
def upgrade() -> None:
    """Bring the schema up to date, after a backup; making the store if there is none."""
    with opened_store() as (_, store):
        click.echo(f"The store {store.path} is at schema {store.revision()}.")
