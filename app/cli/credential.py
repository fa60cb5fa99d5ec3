"""`npvirt credential …` and `npvirt key show`: what npvirt may log in with, by name."""

from pathlib import Path
from typing import get_args

import click

from app.cli.common import as_json, audited, opened_store, print_json, print_table
from app.cli.host_options import read_password
from app.collect.connecting import own_public_key
from app.connection import CredentialKind
from app.settings import load
from app.store.credentials import add_credential, list_credentials, remove_credential


@click.group()
def credential() -> None:
    """Keys, known hosts, certificate directories and SASL users that hosts refer to by name."""


@credential.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(get_args(CredentialKind)), required=True)
@click.option("--file", "path", metavar="PATH", help="The key, known hosts file or directory.")
@click.option("--sasl-user", metavar="U")
@click.option("--sasl-password-file", metavar="F")
def add(
    name: str,
    kind: CredentialKind,
    path: str | None,
    sasl_user: str | None,
    sasl_password_file: str | None,
) -> None:
    """Register a credential; a SASL password is copied into the data directory, files are not."""
    with opened_store() as (settings, store):
        add_credential(
            store,
            settings.data,
            name,
            kind,
            path=Path(path).absolute() if path else None,
            username=sasl_user,
            password=read_password(sasl_password_file),
        )
        audited(store, "credential-add", "credential", name, credential=kind)
    click.echo(f"Added credential {name}.")


@credential.command("list")
@as_json
def list_command(json_wanted: bool) -> None:
    """List the credentials; secrets are never shown."""
    with opened_store() as (_, store):
        found = list_credentials(store)
    if json_wanted:
        keys = ("name", "kind", "path", "username")
        print_json({"credentials": [{key: getattr(c, key) for key in keys} for c in found]})
        return
    rows = [(entry.name, entry.kind, str(entry.path or entry.username or "")) for entry in found]
    print_table(("NAME", "KIND", "FILE OR USER"), rows)


@credential.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a credential that no host uses."""
    with opened_store() as (settings, store):
        remove_credential(store, settings.data, name)
        audited(store, "credential-remove", "credential", name)
    click.echo(f"Removed credential {name}.")


@click.group()
def key() -> None:
    """Npvirt's own SSH key."""


@key.command("show")
def show() -> None:
    """Print the public half, made at first need; add it to authorized_keys on the hosts."""
    click.echo(own_public_key(load()))
