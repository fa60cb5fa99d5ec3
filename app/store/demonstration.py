"""The mark of a data directory whose store holds a demonstration, and nothing real.

Whoever opens connections asks here first: from such a directory none is opened.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from app.errors import StoreError

_NAME = "demonstration.json"


class Mark(Struct, frozen=True):
    """From what the fleet was made up; see app/demo/plan."""

    end_ms: int
    hosts: int
    domains: int
    days: int
    seed: int
    # Whether all of its past is there, or the older part is still to be measured.
    whole: bool = False


def is_demonstration(data: Path) -> bool:
    """Whether the data directory is a demonstration's."""
    return (data / _NAME).exists()


def write_mark(data: Path, mark: Mark) -> None:
    """Mark a data directory as a demonstration's."""
    (data / _NAME).write_bytes(msgspec.json.encode(mark))


def read_mark(data: Path) -> Mark | None:
    """The mark of a data directory, None where there is none; raises StoreError for a bad one."""
    path = data / _NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}.") from None
