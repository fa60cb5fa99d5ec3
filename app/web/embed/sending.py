"""How bytes of embeds are sent: compressed where the browser takes it, 304 where it has them."""

import gzip
import hashlib
from typing import cast

from flask import Request, Response
from msgspec import Struct

_LEAST_BYTES = 500


class Drawn(Struct, frozen=True):
    """A body, the same compressed, and what tells it from others."""

    body: bytes
    packed: bytes
    etag: str
    mimetype: str = "text/html"

    @property
    def size_bytes(self) -> int:
        """How much memory it takes."""
        return len(self.body) + len(self.packed)


def pack(body: bytes, mimetype: str = "text/html") -> Drawn:
    """`body`, ready to be sent."""
    # Without a time in its head, so that the same body makes the same bytes.
    packed = gzip.compress(body, 6, mtime=0) if len(body) >= _LEAST_BYTES else b""
    return Drawn(body, packed, hashlib.blake2b(body, digest_size=8).hexdigest(), mimetype)


def send(drawn: Drawn, request: Request) -> Response:
    """The answer, or 304 to whoever has these bytes already."""
    packed = bool(drawn.packed) and request.accept_encodings["gzip"] > 0
    response = Response(drawn.packed if packed else drawn.body, mimetype=drawn.mimetype)
    response.vary.add("Accept-Encoding")
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    # Weak: it is of both, the plain and the packed bytes.
    response.set_etag(drawn.etag, weak=True)
    return cast(Response, response.make_conditional(request))
