"""Files that are there whole or not at all, and never in the place of another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from app.errors import Conflict


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file to write to, which its owner alone may read and which gets its name when the
    block ends, on the disk by then; there is none where the block fails. Raises Conflict if there
    is one, or it cannot be written.
    """
    building = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        building.unlink(missing_ok=True)
        descriptor = os.open(building, os.O_CREAT | os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never takes the place of what somebody else made meanwhile.
        os.link(building, path)
    except FileExistsError:
        raise Conflict(f"{path} exists already; npvirt does not overwrite it.") from None
    except OSError as error:
        raise Conflict(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        building.unlink(missing_ok=True)
