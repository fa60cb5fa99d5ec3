"""`npvirt token …`: what scripts show instead of a password."""

import re
from datetime import datetime

import click

from app import clock
from app.access import COMMAND_LINE, ROLES
from app.cli.common import as_json, audited, opened_store, print_json, print_table
from app.clock import DAY_MS, rfc3339
from app.errors import InvalidField
from app.store.hosts import list_hosts
from app.store.tokens import Token, add_token, check_token_name, list_tokens, revoke_token

_DAYS = re.compile(r"([1-9][0-9]{0,3})d")


@click.group()
def token() -> None:
    """Tokens of the API: Authorization: Bearer npt_…"""


@token.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--expires", metavar="WHEN", help="90d, or RFC 3339; without it: never.")
@click.option(
    "--host", "hosts", metavar="NAME", multiple=True, help="Only this host; may be repeated."
)
@as_json
def add(
    name: str, role: str, expires: str | None, hosts: tuple[str, ...], json_wanted: bool
) -> None:
    """Make a token and print it, once: npvirt keeps only its digest."""
    check_token_name(name)
    expires_at_ms = None if expires is None else expiry(expires, "--expires")
    with opened_store() as (_, store):
        text = add_token(
            store,
            name,
            role,
            created_by=COMMAND_LINE.who,
            expires_at_ms=expires_at_ms,
            hosts=hosts,
        )
        audited(store, "token-add", "token", name, role=role, hosts=list(hosts))
    if json_wanted:
        print_json({"name": name, "token": text})
    else:
        click.echo(text)


@token.command("list")
@as_json
def list_command(json_wanted: bool) -> None:
    """List the tokens; their texts are kept nowhere."""
    with opened_store() as (_, store):
        found = list_tokens(store)
        slugs = {record.id: record.slug for record in list_hosts(store)}
    now_ms = clock.now_ms()
    if json_wanted:
        print_json({"tokens": [_item(one, slugs, now_ms) for one in found]})
        return
    rows = [
        (
            one.name,
            one.role,
            _state(one, now_ms),
            _hosts_text(one, slugs),
            rfc3339(one.expires_at_ms) if one.expires_at_ms else "never",
            rfc3339(one.used_at_ms) if one.used_at_ms else "never",
        )
        for one in found
    ]
    print_table(("NAME", "ROLE", "STATE", "HOSTS", "EXPIRES", "LAST USED"), rows)


@token.command("revoke")
@click.argument("name")
def revoke(name: str) -> None:
    """Have a token work no more."""
    with opened_store() as (_, store):
        revoke_token(store, name)
        audited(store, "token-revoke", "token", name)
    click.echo(f"Token {name} works no more.")


def expiry(text: str, field: str) -> int:
    """`90d` or an RFC 3339 time with a zone as milliseconds; raises InvalidField."""
    days = _DAYS.fullmatch(text)
    if days:
        return clock.now_ms() + int(days[1]) * DAY_MS
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidField(field, "Give a number of days such as 90d, or RFC 3339 with a zone.")
    return round(at.timestamp() * 1000)


def _state(one: Token, now_ms: int) -> str:
    if one.revoked_at_ms is not None:
        return "revoked"
    return "works" if one.works(now_ms) else "expired"


def _hosts_text(one: Token, slugs: dict[int, str]) -> str:
    if one.host_ids is None:
        return "all"
    return ", ".join(sorted(slugs.get(host_id, "?") for host_id in one.host_ids))


def _item(one: Token, slugs: dict[int, str], now_ms: int) -> dict[str, object]:
    ids = one.host_ids
    return {
        "name": one.name,
        "role": one.role,
        "hosts": None if ids is None else sorted(slugs[i] for i in ids if i in slugs),
        "state": _state(one, now_ms),
        "created_by": one.created_by,
        "created_at": rfc3339(one.created_at_ms),
        "expires_at": rfc3339(one.expires_at_ms) if one.expires_at_ms else None,
        "used_at": rfc3339(one.used_at_ms) if one.used_at_ms else None,
    }
