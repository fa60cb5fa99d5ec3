"""The banner on every page: what is wrong with the store, in words, for as long as it is.

Drawn from what this process met, never from the store itself, which is what is wrong. Names no
host and no path, so that whoever may see a page may see it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from flask import render_template

from app.store.engine import Store
from app.web.identity import may
from app.web.moment import LIVE
from app.web.when import Zone


class Banner(NamedTuple):
    """One thing that is wrong: what, what that means, and what to do about it (for admins)."""

    what: str
    means: str
    do: str


def banners_html(store: Store, zone: Zone) -> str:
    """The banners as they stand in a page; usually the empty text."""
    found = list(banners(store, zone))
    if not found:
        return ""
    return render_template("trouble.html", banners=found, admin=may("admin"), moment=LIVE)


def banners(store: Store, zone: Zone) -> Iterator[Banner]:
    """What is wrong with the store at present."""
    trouble, dropped = store.troubles.now(), store.dropped.now()
    if trouble is not None and trouble.problem == "damaged":
        yield Banner(
            trouble.sentence,
            "What can be read is shown; what cannot is missing.",
            "The command “npvirt doctor” says what is damaged, which backup is the newest good "
            "one, and how to put it in place.",
        )
    backup = store.troubles.backup
    if backup is not None:
        yield Banner(
            "The store could not be backed up.",
            f"Since {zone.day_and_time(backup.since_ms)} a backup is due; older ones are kept.",
            backup.sentence,
        )
    writing = store.troubles.writing
    since_ms = dropped.since_ms if writing is None else writing.since_ms
    if since_ms is None:
        return
    what = "What the hosts show could not be stored." if writing is None else writing.sentence
    told = [f"Since {zone.day_and_time(since_ms)} nothing new is kept."]
    if dropped.scans:
        told.append(f"So far {_counted(dropped.scans, dropped.samples)} dropped.")
    told.append("Pages show what was stored before; actions are refused, as none goes unaudited.")
    yield Banner(what, " ".join(told), "npvirt goes on by itself as soon as it can be written.")


def _counted(scans: int, samples: int) -> str:
    were = "scan was" if scans == 1 else "scans were"
    of = f" ({samples:,} samples)" if samples else ""
    return f"{scans:,} {were.split()[0]}{of} {were.split()[1]}"
