"""`npvirt host …`: the registry of hosts. The command line, which only the machine's owner can
run, may name files; they become credentials of the host.
"""

import sys
from collections.abc import Callable
from typing import Any

import click

from app.cli.common import as_json, audited, opened_store, print_json, print_table
from app.cli.host_options import HostOptions, connection_from, with_connection_options
from app.collect.connecting import host_keys, test_connection, trust
from app.connection import Connection, check_slug, describe, told
from app.errors import InvalidField
from app.store.hosts import (
    HostRecord,
    accept_new_uuid,
    add_host,
    edit_host,
    get_host,
    list_hosts,
    remove_host,
    rename_host,
    set_enabled,
)

_name = click.argument("name", metavar="NAME")


@click.group()
def host() -> None:
    """Add, list, test, edit and remove hosts."""


@host.command("add")
@_name
@with_connection_options
def add(name: str, options: HostOptions) -> None:
    """Add a host under the slug NAME, reached one of four ways."""
    check_slug(name, "NAME")
    with opened_store() as (settings, store):
        connection = connection_from(options, Connection(), settings)
        add_host(store, name, connection, settings.data, options.given_files())
        audited(store, "host-add", "host", name, **told(connection))
    click.echo(f"Added {name}: {describe(connection)}.")


@host.command("edit")
@_name
@click.option("--name", "new_name", metavar="NAME", help="The new name.")
@click.option("--confirm-uuid", is_flag=True, help="The host was reinstalled: accept its new UUID.")
@with_connection_options
def edit(name: str, new_name: str | None, confirm_uuid: bool, options: HostOptions) -> None:
    """Change how a host is reached, or its name; what is not given stays."""
    if new_name is not None:
        check_slug(new_name, "--name")
    with opened_store() as (settings, store):
        record = get_host(store, name)
        connection = connection_from(options, record.connection, settings)
        edit_host(store, name, connection, settings.data, options.given_files())
        if confirm_uuid:
            accept_new_uuid(store, name)
        audited(store, "host-edit", "host", name, **told(connection), confirm_uuid=confirm_uuid)
        if new_name is not None:
            rename_host(store, name, new_name)
            audited(store, "host-rename", "host", new_name, was=name)
    click.echo(f"Changed {new_name or name}: {describe(connection)}.")


@host.command("list")
@as_json
def list_command(json_wanted: bool) -> None:
    """List the hosts and how each is reached."""
    with opened_store() as (_, store):
        records = list_hosts(store)
    if json_wanted:
        print_json({"hosts": [_as_json(record) for record in records]})
        return
    rows = [
        (record.slug, "enabled" if record.enabled else "disabled", describe(record.connection))
        for record in records
    ]
    print_table(("NAME", "STATE", "REACHED BY"), rows)


def _as_json(record: HostRecord) -> dict[str, Any]:
    connection = record.connection
    return {
        "host": record.slug,
        "enabled": record.enabled,
        "host_uuid": record.host_uuid,
        "driver": connection.driver,
        "transport": connection.transport,
        "path": connection.path,
        "address": connection.host,
        "port": connection.port,
        "user": connection.user,
        "socket": connection.socket,
        "key": connection.key,
        "known_hosts": connection.known_hosts,
        "pki": connection.pki,
        "sasl": connection.sasl,
        "read_only": connection.read_only,
        "allowed_roots": connection.allowed_roots,
    }


def _switch(enabled: bool) -> Callable[[str], None]:
    def change(name: str) -> None:
        with opened_store() as (_, store):
            set_enabled(store, name, enabled)
            audited(store, "host-enable" if enabled else "host-disable", "host", name)
        click.echo(f"{name} is {'enabled' if enabled else 'disabled'}.")

    return change


host.command("enable", help="Scan a disabled host again.")(_name(_switch(True)))
host.command("disable", help="Stop scanning a host; its history stays.")(_name(_switch(False)))


@host.command("remove")
@_name
def remove(name: str) -> None:
    """Remove a host; its history stays in the store."""
    with opened_store() as (_, store):
        remove_host(store, name)
        audited(store, "host-remove", "host", name)
    click.echo(f"Removed {name}; its history stays in the store.")


@host.command("test")
@_name
@as_json
def test(name: str, json_wanted: bool) -> None:
    """Walk the way to a host step by step and say what fails, why, and what to do."""
    with opened_store() as (settings, store):
        record = get_host(store, name)
        diagnosis = test_connection(settings, store, record.connection)
    if json_wanted:
        keys = ("name", "ok", "took_ms", "message", "next")
        steps = [{key: getattr(step, key) for key in keys} for step in diagnosis.steps]
        print_json({"ok": diagnosis.ok, "steps": steps})
    else:
        for step in diagnosis.steps:
            mark = {True: "ok  ", False: "FAIL", None: "-   "}[step.ok]
            click.echo(f"{mark} {step.label}: {step.message}")
        click.echo(diagnosis.sentence)
        if diagnosis.next_step:
            click.echo(diagnosis.next_step)
    if not diagnosis.ok:
        sys.exit(1)


@host.command("trust")
@_name
@click.option("--yes", is_flag=True, help="Do not ask; the fingerprint was compared before.")
def trust_command(name: str, yes: bool) -> None:
    """Show the fingerprint of an SSH host's key and, once confirmed, remember it."""
    with opened_store() as (settings, store):
        record = get_host(store, name)
        if record.connection.transport != "ssh":
            raise InvalidField("NAME", f"{name} is not reached by SSH; it has no host key.")
        keys = host_keys(record.connection)
        for key in keys:
            click.echo(f"{key.type} {key.fingerprint}")
        click.echo(
            "Compare with what the host itself prints: ssh-keygen -lf /etc/ssh/ssh_host_*.pub"
        )
        if yes or click.confirm("Do they match?"):
            fingerprints = [key.fingerprint for key in keys]
            trust(settings, store, record.connection, fingerprints)
            audited(store, "host-trust", "host", name, fingerprints=fingerprints)
            click.echo(f"The key of {name} is trusted now.")
        else:
            click.echo("Nothing was changed.")
            sys.exit(1)
