"""`npvirt doctor`: says what is wrong with the installation, the store and every host."""

import shutil
import sys
from collections.abc import Iterator

import click
from msgspec import Struct

from app import __version__
from app.cli.common import as_json, opened_store, print_json
from app.clock import rfc3339
from app.settings import Settings
from app.store import schema
from app.store.audit import first_broken
from app.store.backups import advice, directory_of, flaw_of, list_backups
from app.store.engine import Store
from app.store.history import HostView, fleet
from app.store.users import list_users
from app.store.verify import Verified, verify


class Finding(Struct, frozen=True):
    """One thing looked at: what, whether it is well, and a sentence."""

    subject: str
    ok: bool
    sentence: str


@click.command()
@as_json
def doctor(json_wanted: bool) -> None:
    """Examine the installation, the store and the last look at every host. Calls no host."""
    with opened_store() as (settings, store):
        findings = list(_examine(settings, store))
    if json_wanted:
        print_json({"ok": all(finding.ok for finding in findings), "findings": findings})
    else:
        for finding in findings:
            mark = "ok  " if finding.ok else "FAIL"
            click.echo(f"{mark} {finding.subject}: {finding.sentence}")
    if not all(finding.ok for finding in findings):
        sys.exit(1)


def _examine(settings: Settings, store: Store) -> Iterator[Finding]:
    yield Finding("npvirt", True, f"version {__version__}, data in {settings.data}")
    for program in ("ssh", "ssh-keygen", "ssh-keyscan"):
        found = shutil.which(program)
        yield Finding(program, found is not None, found or "not installed; SSH hosts need it")
    mode = settings.data.stat().st_mode & 0o077
    yield Finding(
        "data directory",
        mode == 0,
        "only its owner may enter"
        if mode == 0
        else f"others may enter; run: chmod 700 {settings.data}",
    )
    yield from _store(settings, store)
    count, broken = first_broken(store)
    yield Finding(
        "audit",
        broken is None,
        f"{count} entries, none altered"
        if broken is None
        else f"entry {broken} was altered, or one before it was taken out",
    )
    users = len(list_users(store))
    yield Finding("users", True, str(users) if users else "nobody yet; run: npvirt user add")
    seen = fleet(store, None)
    if not seen.hosts:
        yield Finding("hosts", False, "none is configured; run: npvirt host add")
    for host in seen.hosts:
        yield _host_finding(host)


def _store(settings: Settings, store: Store) -> Iterator[Finding]:
    """Whether the store is as it was written."""
    found = verify(store)
    damage = store.check()
    if damage is not None:
        found.say(damage)
    sound = (
        f"as it was written: {found.rows} rows and the samples of {found.scans} scans, schema "
        f"{schema.REVISION}"
    )
    yield Finding("store", not found.count, sound if not found.count else _damaged(found))
    for sentence in found.wrong:
        yield Finding("store", False, sentence)
    if found.count:
        yield Finding("backup", False, advice(settings))
    elif settings.backup_at is not None:
        yield _backup_finding(settings)


def _backup_finding(settings: Settings) -> Finding:
    directory = directory_of(settings)
    backups = list_backups(directory)
    if not backups:
        return Finding("backup", True, f"none in {directory} yet")
    newest = rfc3339(backups[0].at_ms)
    damage = flaw_of(backups[0].path)
    said = f"{len(backups)} in {directory}, the newest of {newest}"
    return Finding("backup", damage is None, said if damage is None else f"{said}: {damage}")


def _damaged(found: Verified) -> str:
    things = "one thing is" if found.count == 1 else f"{found.count} things are"
    return f"{things} not as written"


def _host_finding(host: HostView) -> Finding:
    status = host.status
    if not host.record.enabled:
        return Finding(host.slug, True, "disabled")
    if status.last_try_at_ms is None:
        return Finding(host.slug, False, "never scanned; run: npvirt scan " + host.slug)
    if not status.known:
        last = rfc3339(status.last_ok_at_ms) if status.last_ok_at_ms else "never"
        why = status.sentence or "no recent scan; is npvirt running?"
        return Finding(host.slug, False, f"unknown; last seen {last}; {why}")
    if status.missing:
        parts = "; ".join(f"{part.part}: {part.reason}" for part in status.missing)
        return Finding(host.slug, False, f"seen, but parts are missing: {parts}")
    return Finding(host.slug, True, f"seen {rfc3339(status.last_ok_at_ms or 0)}")
