"""Backups that npvirt makes by itself: one a day into a directory, so many of them kept.

A backup is copied as one moment of the store and then looked at whole (app/store/verify); only
one that is found as it was written gets its name, and only then do the oldest go. What was half
made is removed, and nothing else in the directory is ever touched. Secrets are no part of it.
"""

import logging
import os
import re
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path

from msgspec import Struct

from app import clock
from app.clock import DAY_MS, utc
from app.errors import StoreError
from app.settings import Settings
from app.store.engine import Store, store_path
from app.store.faults import translated
from app.store.file import copy_file, refuse_foreign, sync
from app.store.looked_after import LookedAfter, note
from app.store.schema import REVISION
from app.store.slices import Sliced
from app.store.sqlite import connect
from app.store.verify import Verified, pieces, verify

log = logging.getLogger(__name__)

_NAME = re.compile(r"npvirt-(\d{8}T\d{6}Z)\.sqlite")
_TIME = "%Y%m%dT%H%M%SZ"
_MAKING = ".npvirt-making-"
# What a disk must have left beside the copy, so that npvirt goes on.
_ROOM_BYTES = 16 << 20


class Backup(Struct, frozen=True):
    """A backup in the directory; `at_ms` is the moment that it holds."""

    path: Path
    at_ms: int
    size_bytes: int


def directory_of(settings: Settings) -> Path:
    """Where backups are."""
    return settings.backup_dir or settings.data / "backups"


def list_backups(directory: Path) -> list[Backup]:
    """The backups that npvirt made there, newest first."""
    found = []
    try:
        paths = list(directory.iterdir())
    except OSError:
        return []
    for path in paths:
        name = _NAME.fullmatch(path.name)
        if name and path.is_file():
            at = datetime.strptime(name[1], _TIME).replace(tzinfo=UTC)
            found.append(Backup(path, round(at.timestamp() * 1000), path.stat().st_size))
    return sorted(found, key=lambda backup: backup.at_ms, reverse=True)


def planned_ms(at: time, zone: tzinfo | None, now_ms: int, *, following: bool = False) -> int:
    """When a backup was last due (or, `following`, is next): every day at that time of the zone,
    once where clocks go back, a little later where they skip it. None: the server's own zone.
    """
    today = utc(now_ms).astimezone(zone).date()
    moments = []
    for days in (-1, 0, 1, 2):
        local = datetime.combine(today + timedelta(days=days), at)
        aware = local.replace(tzinfo=zone) if zone is not None else local.astimezone()
        moments.append(round(aware.timestamp() * 1000))
    if following:
        return min(moment for moment in moments if moment > now_ms)
    return max(moment for moment in moments if moment <= now_ms)


def is_due(directory: Path, at: time, zone: tzinfo | None, now_ms: int) -> bool:
    """Whether the last planned time has no backup yet, for whatever reason."""
    # What the clock says it made in days to come does not count.
    done = [one.at_ms for one in list_backups(directory) if one.at_ms <= now_ms + DAY_MS]
    return not done or done[0] < planned_ms(at, zone, now_ms)


class BackupMaker(Sliced):
    """Makes a backup, a slice at a time (but for the copy, which waits for the disk alone), and
    removes the oldest. Raises StoreError when there is none in the end.
    """

    def __init__(self, store: Store, directory: Path, keep: int) -> None:
        super().__init__(self._make)
        self._store = store
        self._directory = directory
        self._keep = keep

    def _make(self, now_ms: int) -> Iterator[None]:
        started_s = clock.monotonic_s()
        try:
            backup = yield from self._checked(now_ms)
        except StoreError as error:
            self._store.troubles.no_backup(str(error))
            self._note(LookedAfter(now_ms, clock.took_ms(started_s), False, None, str(error)))
            raise
        for old in list_backups(self._directory)[self._keep :]:
            old.path.unlink(missing_ok=True)
        self._store.troubles.backed_up()
        self._note(LookedAfter(now_ms, clock.took_ms(started_s), True, backup.size_bytes))

    def _checked(self, now_ms: int) -> Generator[None, None, Backup]:
        with translated(self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_half_made(self._directory)
            _check_room(self._directory, self._store.path)
            name = utc(now_ms).strftime(f"npvirt-{_TIME}.sqlite")
            building = self._directory / f"{_MAKING}{os.getpid()}.sqlite"
            try:
                copy_file(self._store.path, building)
                yield
                found = Verified()
                copy = Store(building)
                try:
                    for _ in pieces(copy, found):
                        yield
                finally:
                    copy.close()
                if found.wrong:
                    raise StoreError(
                        f"The copy is not as the store was written, and was not kept: "
                        f"{found.wrong[0]}",
                        problem="damaged",
                    )
                target = self._directory / name
                os.link(building, target)
                sync(self._directory)
            finally:
                _remove_half_made(self._directory)
        return Backup(target, now_ms, target.stat().st_size)

    def _note(self, done: LookedAfter) -> None:
        try:
            note(self._store, "backup", done)
        except StoreError as error:
            log.error("What became of the backup cannot be noted: %s", error)


def _remove_half_made(directory: Path) -> None:
    for path in (*directory.glob(f"{_MAKING}*"), *directory.glob(f".{_MAKING}*")):
        path.unlink(missing_ok=True)


def _check_room(directory: Path, store: Path) -> None:
    """Refuse to begin what the disk has no room for; raises StoreError."""
    needed = store.stat().st_size + _ROOM_BYTES
    disk = os.statvfs(directory)
    left = disk.f_bavail * disk.f_frsize
    if left < needed:
        raise StoreError(
            f"There is no room for a backup in {directory}: {left >> 20} MiB are left, "
            f"{needed >> 20} MiB are needed. Older backups are kept.",
            problem="full",
        )


# --- in need -------------------------------------------------------------------------------------


def newest_good(directory: Path) -> Backup | None:
    """The newest backup that still is as it was written; takes some seconds for each gigabyte."""
    return next((one for one in list_backups(directory) if flaw_of(one.path) is None), None)


def flaw_of(path: Path) -> str | None:
    """What of a store is not as it was written, by every checksum in it; None for nothing. Of one
    with an older schema, what SQLite sees. Not a byte of it is changed.
    """
    damage = damage_of(path)
    if damage is not None:
        return damage
    kept = Store(path, at_rest=True)
    try:
        found = Verified() if kept.revision() < REVISION else verify(kept)
    except StoreError as error:
        return str(error)
    finally:
        kept.close()
    return f"{path} is not as it was written: {found.wrong[0]}" if found.wrong else None


def damage_of(path: Path) -> str | None:
    """What keeps a file from being used as a store, as far as SQLite sees; None for nothing."""
    try:
        with translated(path):
            refuse_foreign(path)
            connection = connect(path, at_rest=True)
            try:
                found = connection.execute("PRAGMA quick_check").fetchall()
            finally:
                connection.close()
    except StoreError as error:
        return str(error)
    return None if found == [("ok",)] else f"{path} is damaged: {found[0][0]}"


def advice(settings: Settings) -> str:
    """What to do about a damaged store: which backup to put in its place, and how."""
    directory = directory_of(settings)
    backup = newest_good(directory)
    if backup is None:
        kept = list_backups(directory)
        readable = next((one for one in kept if damage_of(one.path) is None), None)
        if readable is None:
            return f"There is no good backup in {directory}; name another: npvirt restore FILE"
        return (
            f"No backup in {directory} is wholly as it was written. The newest that can be read is "
            f"of {clock.rfc3339(readable.at_ms)}; this says what is wrong with it, and asks: "
            f"npvirt restore {readable.path}"
        )
    return (
        f"The newest good backup is of {clock.rfc3339(backup.at_ms)}. This puts it in place and "
        f"keeps the damaged file beside it: npvirt restore {backup.path}"
    )


def open_store(settings: Settings) -> Store:
    """The store of the settings; raises StoreError, for a damaged one with what to do about it."""
    path = store_path(settings)
    try:
        return Store.open(path)
    except StoreError as error:
        if error.problem != "damaged":
            raise
        raise StoreError(f"{error} {advice(settings)}", problem="damaged") from error
