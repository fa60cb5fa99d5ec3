"""How each state looks and is called: class of the stylesheet, icon, word. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class Look(NamedTuple):
    """The class of `.st`, the icon, the word."""

    css: str
    icon: str
    word: str


DOMAIN_LOOKS: Mapping[str, Look] = {
    "nostate": Look("unk", "unk", "No state"),
    "running": Look("run", "run", "Running"),
    "blocked": Look("idle", "idle", "Idle"),
    "paused": Look("pause", "pause", "Paused"),
    "shutdown": Look("stop", "stopping", "Shutting down"),
    "shutoff": Look("off", "off", "Shut off"),
    "crashed": Look("crash", "crash", "Crashed"),
    "pmsuspended": Look("sleep", "sleep", "Suspended by guest"),
}
POOL_LOOKS: Mapping[str, Look] = {
    "inactive": Look("off", "off", "Inactive"),
    "building": Look("build", "build", "Building"),
    "running": Look("run", "run", "Running"),
    "degraded": Look("deg", "warn", "Degraded"),
    "inaccessible": Look("gone", "ban", "Inaccessible"),
}
