"""The secrets of a data directory as one file: npvirt's own SSH key, the host keys it trusts, SASL
passwords, the key that signs sessions. The store's backup leaves them out.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

from app.new_file import new_file

_DIRECTORIES = ("secrets", "ssh")


def beside(backup: Path) -> Path:
    """The name of the secrets' file beside a backup."""
    return backup.with_name(f"{backup.name}.secrets.tar")


def pack_secrets(data: Path, target: Path) -> int:
    """Put the secrets under `data` into the new file `target`, which its owner alone may read; how
    many there are. Raises Conflict if there is such a file, or it cannot be written.
    """
    count = 0
    with (
        new_file(target) as file,
        tarfile.open(fileobj=file, mode="w") as archive,
    ):
        for path in _files(data):
            archive.add(path, str(path.relative_to(data)), recursive=False, filter=_plain)
            count += 1
    return count


def _files(data: Path) -> Iterator[Path]:
    """Every secret; what begins with a dot is being made, or a lock."""
    for name in _DIRECTORIES:
        for path in sorted((data / name).glob("*")):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                yield path


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Belonging to whoever unpacks it, who alone may read it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o600
    return entry
