"""`npvirt user …` and `npvirt session …`: who may sign in, and who is signed in."""

import sys

import click

from app.access import ROLES
from app.cli.common import as_json, audited, opened_store, print_json, print_table
from app.cli.host_options import read_password
from app.clock import rfc3339
from app.errors import InvalidField
from app.store.engine import Store
from app.store.hosts import list_hosts
from app.store.sessions import end_session, list_sessions
from app.store.users import (
    User,
    add_user,
    check_password,
    check_user_name,
    get_user,
    list_users,
    set_disabled,
    set_password,
    set_role,
)

_role = click.option("--role", type=click.Choice(ROLES), required=True)
_hosts = click.option(
    "--host", "hosts", metavar="NAME", multiple=True, help="Only this host; may be repeated."
)
_password_file = click.option(
    "--password-file", metavar="F", help="A file with the password; asked for without one."
)


@click.group()
def user() -> None:
    """Who may sign in, with which role, on which hosts."""


@user.command("add")
@click.argument("name")
@_role
@_password_file
@click.option("--no-password", is_flag=True, help="They sign in elsewhere (OpenID, a proxy).")
@_hosts
def add(
    name: str, role: str, password_file: str | None, no_password: bool, hosts: tuple[str, ...]
) -> None:
    """Add a user. Roles: viewer looks, operator acts, admin may all."""
    check_user_name(name)
    password = None if no_password else _password(password_file, name)
    with opened_store() as (_, store):
        add_user(store, name, role, password, hosts=hosts)
        audited(store, "user-add", "user", name, role=role, hosts=list(hosts))
    click.echo(f"Added {role} {name}.")


@user.command("list")
@as_json
def list_command(json_wanted: bool) -> None:
    """List the users."""
    with opened_store() as (_, store):
        found, slugs = list_users(store), _slugs(store)
    if json_wanted:
        print_json({"users": [_item(one, slugs) for one in found]})
        return
    rows = [
        (
            one.name,
            one.role,
            "disabled" if one.disabled else "",
            _hosts_text(one, slugs),
            rfc3339(one.signed_in_at_ms) if one.signed_in_at_ms else "never",
        )
        for one in found
    ]
    print_table(("NAME", "ROLE", "", "HOSTS", "SIGNED IN"), rows)


@user.command("passwd")
@click.argument("name")
@_password_file
def passwd(name: str, password_file: str | None) -> None:
    """Give a user another password; ends their sessions."""
    with opened_store() as (_, store):
        get_user(store, name)
        set_password(store, name, _password(password_file, name))
        audited(store, "user-passwd", "user", name)
    click.echo(f"{name} has a new password.")


@user.command("role")
@click.argument("name")
@_role
@_hosts
def role_command(name: str, role: str, hosts: tuple[str, ...]) -> None:
    """Give a user another role, for the hosts named or for all; ends their sessions."""
    with opened_store() as (_, store):
        set_role(store, name, role, hosts=hosts)
        audited(store, "user-role", "user", name, role=role, hosts=list(hosts))
    click.echo(f"{name} is {role} now.")


@user.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Keep a user from signing in; ends their sessions."""
    with opened_store() as (_, store):
        set_disabled(store, name, True)
        audited(store, "user-disable", "user", name)
    click.echo(f"{name} cannot sign in any more.")


@user.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Let a disabled user sign in again."""
    with opened_store() as (_, store):
        set_disabled(store, name, False)
        audited(store, "user-enable", "user", name)
    click.echo(f"{name} can sign in again.")


@click.group()
def session() -> None:
    """Who is signed in."""


@session.command("list")
@as_json
def session_list(json_wanted: bool) -> None:
    """List the sessions that go on."""
    with opened_store() as (_, store):
        found = list_sessions(store)
    if json_wanted:
        items = [
            {
                "id": one.id,
                "user": one.user,
                "role": one.role,
                "created_at": rfc3339(one.created_at_ms),
                "seen_at": rfc3339(one.seen_at_ms),
                "expires_at": rfc3339(one.expires_at_ms),
                "peer": one.peer,
                "agent": one.agent,
            }
            for one in found
        ]
        print_json({"sessions": items})
        return
    rows = [
        (str(one.id), one.user, one.role, rfc3339(one.seen_at_ms), one.peer, one.agent[:60])
        for one in found
    ]
    print_table(("ID", "USER", "ROLE", "LAST SEEN", "FROM", "WITH"), rows)


@session.command("end")
@click.argument("session_id", metavar="ID", type=click.IntRange(min=1))
def session_end(session_id: int) -> None:
    """End a session; its browser must sign in again."""
    with opened_store() as (_, store):
        end_session(store, session_id)
        audited(store, "session-end", "session", str(session_id))
    click.echo(f"Session {session_id} is over.")


def _password(path: str | None, name: str) -> str:
    """The password in the file, or as typed twice; raises InvalidField."""
    password = read_password(path, "--password-file")
    if password is None:
        if not sys.stdin.isatty():
            raise InvalidField(
                "--password-file", "Name a file with the password: there is no terminal to ask."
            )
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return check_password(password, name, "--password-file")


def _slugs(store: Store) -> dict[int, str]:
    return {record.id: record.slug for record in list_hosts(store)}


def _host_names(one: User, slugs: dict[int, str]) -> list[str] | None:
    if one.host_ids is None:
        return None
    return sorted(slugs[host_id] for host_id in one.host_ids if host_id in slugs)


def _hosts_text(one: User, slugs: dict[int, str]) -> str:
    names = _host_names(one, slugs)
    return "all" if names is None else ", ".join(names) or "none"


def _item(one: User, slugs: dict[int, str]) -> dict[str, object]:
    return {
        "name": one.name,
        "role": one.role,
        "hosts": _host_names(one, slugs),
        "source": one.source,
        "disabled": one.disabled,
        "created_at": rfc3339(one.created_at_ms),
        "signed_in_at": rfc3339(one.signed_in_at_ms) if one.signed_in_at_ms else None,
    }
