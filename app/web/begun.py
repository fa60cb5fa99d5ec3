"""Texts of which the beginning is kept, written or packed once, and the end is another each time.

Pure. Packed is gzip (RFC 1952) in one member, which every reader understands: what packed the
beginning is kept as it was then, and a copy of it packs each end.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.web.kept import Rendered

# Texts that repeat themselves become a sixteenth already; more takes four times as long.
_LEVEL = 1
# Deflate with a header and a checksum of gzip.
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Begun(Rendered):
    """A beginning; `packer` is what packed it, None where it is not packed."""

    packer: Any = None

    def ended(self, end: bytes) -> Sequence[bytes]:
        """The pieces of the text, with this end."""
        if self.packer is None:
            return (self.body, end)
        packer = self.packer.copy()
        return (self.body, packer.compress(end) + packer.flush())


def begun(pieces: Iterable[bytes], *, packs: bool) -> Begun:
    """A text, handed in pieces, as a beginning, packed or as it is."""
    if not packs:
        return Begun(b"".join(pieces), "")
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    # Piece by piece, since a whole of some megabytes takes long to be moved about.
    packed = [packer.compress(piece) for piece in pieces]
    return Begun(b"".join((*packed, packer.flush(zlib.Z_SYNC_FLUSH))), "", packer=packer)
