"""libvirt's numbers as libvirt's words: states, reasons, versions, names.

Pure but for asking an object its own name, which makes no call.
"""

from collections.abc import Callable

from app.inventory import DOMAIN_STATES, POOL_STATES
from app.virt.xml.values import clean

# By state, then by reason number, as `virsh domstate --reason` words them. None: not known.
_REASONS: dict[str, tuple[str | None, ...]] = {
    "running": (
        None, "booted", "migrated", "restored", "from-snapshot", "unpaused",
        "migration-canceled", "save-canceled", "event-wakeup", "crashed", "post-copy",
        "post-copy-failed",
    ),
    "paused": (
        None, "user", "migrating", "saving", "dumping", "io-error", "watchdog", "from-snapshot",
        "shutting-down", "creating-snapshot", "crashed", "starting-up", "post-copy",
        "post-copy-failed", "api-error",
    ),
    "shutdown": (None, "user"),
    "shutoff": (
        None, "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot",
        "daemon",
    ),
    "crashed": (None, "panicked"),
}  # fmt: skip


def domain_state(number: int) -> str:
    """The word for a domain's state; a number that is new to npvirt is "nostate"."""
    return DOMAIN_STATES[number] if 0 <= number < len(DOMAIN_STATES) else "nostate"


def state_reason(state: str, number: int | None) -> str | None:
    """The word for why a domain is in `state`; None when it does not know."""
    words = _REASONS.get(state, ())
    return words[number] if number is not None and 0 <= number < len(words) else None


def pool_state(number: int) -> str:
    """The word for a pool's state; a number that is new to npvirt is "inaccessible"."""
    return POOL_STATES[number] if 0 <= number < len(POOL_STATES) else "inaccessible"


def version(number: int) -> str:
    """1000000 x major + 1000 x minor + release as "major.minor.release"."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


BAD_NAME = "Its name is not valid UTF-8."
BAD_XML = "Its XML is not valid UTF-8."


def own_name(name: Callable[[], str]) -> tuple[str, str | None]:
    """An object's name by its own `name` (no call is made) and what is wrong with it.

    A name that is not UTF-8 is given with its odd bytes in hexadecimal, so it stays unique.
    """
    try:
        return clean(name()), None
    except UnicodeDecodeError as error:
        return clean(error.object.decode("utf-8", "backslashreplace")), BAD_NAME
