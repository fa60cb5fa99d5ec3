"""What the page of the store tells of the backups that npvirt makes by itself."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.clock import now_ms
from app.services import services
from app.store.backups import directory_of, list_backups, planned_ms
from app.store.looked_after import last_time
from app.web.figures import size
from app.web.page import pages
from app.web.when import When


class BackupWords(NamedTuple):
    """The backups as the page tells of them; `problem` is what came of the last try."""

    kept: int
    keep: int
    last: When | None
    size: str
    next: When
    at: str
    problem: str


def backup_words() -> BackupWords | None:
    """The backups that npvirt makes; None where it shall make none."""
    chosen = services().settings
    if chosen.backup_at is None or services().demo:
        return None
    zone, now = pages().zone, now_ms()
    kept = list_backups(directory_of(chosen))
    done = last_time(services().store, "backup")
    clock_zone = ZoneInfo(chosen.timezone) if chosen.timezone else None
    return BackupWords(
        len(kept),
        chosen.backup_keep,
        zone.when(kept[0].at_ms, None) if kept else None,
        size(kept[0].size_bytes) if kept else "",
        zone.when(planned_ms(chosen.backup_at, clock_zone, now, following=True), None),
        chosen.backup_at.strftime("%H:%M"),
        "" if done is None or done.ok else done.sentence or "",
    )
