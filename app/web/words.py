"""How each state looks and is called: class of the stylesheet, icon, word. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from app.language import N_, gettext


class Look(NamedTuple):
    """The class of `.st`, the icon, the word."""

    css: str
    icon: str
    word: str


DOMAIN_LOOKS: Mapping[str, Look] = {
    "nostate": Look("unk", "unk", N_("No state")),
    "running": Look("run", "run", N_("Running")),
    "blocked": Look("idle", "idle", N_("Idle")),
    "paused": Look("pause", "pause", N_("Paused")),
    "shutdown": Look("stop", "stopping", N_("Shutting down")),
    "shutoff": Look("off", "off", N_("Shut off")),
    "crashed": Look("crash", "crash", N_("Crashed")),
    "pmsuspended": Look("sleep", "sleep", N_("Suspended by guest")),
}
POOL_LOOKS: Mapping[str, Look] = {
    "inactive": Look("off", "off", N_("Inactive")),
    "building": Look("build", "build", N_("Building")),
    "running": Look("run", "run", N_("Running")),
    "degraded": Look("deg", "warn", N_("Degraded")),
    "inaccessible": Look("gone", "ban", N_("Inaccessible")),
}


def look_of(looks: Mapping[str, Look], state: str) -> Look:
    """The look of a state, with its word in the language that is spoken."""
    look = looks[state]
    return look._replace(word=gettext(look.word))
