"""`/events`: what changes, as it changes, as server-sent events.

The answer begins as any other and then takes its connection out of the web server's hands (see
app/cli/server), so that readers hold no thread of it. Names hosts and kinds and nothing else;
what became of them is asked for at the addresses of the pages and of the JSON interface.
"""

import errno
import socket
from collections.abc import Callable, Iterator
from typing import cast

from flask import Blueprint, Flask, Response, current_app, request

from app.errors import InvalidField
from app.services import Services, on_stop, services
from app.web.identity import principal
from app.web.permission import needs
from app.web.standing import proof
from app.web.stream import OPENING, Reader, Stream
from app.web.streams import Streams, TooMany, slugs_by_id, visible

blueprint = Blueprint("events", __name__)

_KEY = "npvirt-streams"
_RETRY_AFTER_S = 30
_NO_SOCKET = "This web server does not let streams be; the page asks now and then instead."


def attach_streams(app: Flask, made: Services) -> None:
    """Give `app` its streams; no thread is started before there is one."""
    streams = app.extensions[_KEY] = Streams(
        made.store, made.collector.hub, made.collector.noticer,
        user_most=made.settings.streams_user, most=made.settings.streams_total,
    )  # fmt: skip
    on_stop(app, streams.stop)


def streams_of(app: Flask) -> Streams:
    """The streams of `app`."""
    return cast(Streams, app.extensions[_KEY])


@blueprint.get("/events")
@needs("viewer")
def events() -> Response:
    """A stream of what changes on the hosts that the reader may see."""
    if request.args:
        raise InvalidField(
            next(iter(request.args))[:40], "Events are of now; nothing narrows them."
        )
    if request.method == "HEAD":
        return _stream_response(())
    connection = request.environ.get("gunicorn.socket")
    if connection is None:
        return _refused(503, _NO_SOCKET)
    streams, who = streams_of(current_app), principal()
    try:
        leave = streams.admit(who.who)
    except TooMany as error:
        return _refused(429 if error.of_user else 503, str(error))
    try:
        reader = Reader(who, proof(), visible(who, slugs_by_id(services().store)))
        known, resumed = _where_from(request.headers.get("Last-Event-ID", ""))
        framed = request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
    except BaseException:
        leave()
        raise

    def hand_over() -> None:
        taken = socket.socket(fileno=connection.detach())
        streams.take(Stream(taken, reader, leave, known=known, resumed=resumed, framed=framed))

    return _stream_response(_Opening(hand_over, leave))


class _Opening(Iterator[bytes]):
    """The body as far as the web server sends it; what it asks for next takes the connection."""

    def __init__(self, hand_over: Callable[[], None], leave: Callable[[], None]) -> None:
        self._hand_over = hand_over
        self._leave = leave
        self._begun = self._taken = False

    def __next__(self) -> bytes:
        if not self._begun:
            self._begun = True
            return OPENING
        self._taken = True
        self._hand_over()
        # To the server this connection is lost: it writes no more to it, and says nothing of it.
        raise BrokenPipeError(errno.EPIPE, "the stream goes on without the web server")

    def close(self) -> None:
        """The server is through with the answer, for whatever reason."""
        if not self._taken:
            self._leave()


def _where_from(last: str) -> tuple[int, bool]:
    """From which change on to tell, and whether that goes on where an earlier stream ended. The
    number of another process says only that something was missed.
    """
    hub = services().collector.hub
    epoch, _, number = last.partition("-")
    if not last:
        return hub.number, False
    if epoch != hub.epoch or not (number.isascii() and number.isdigit() and len(number) < 16):
        return -1, True
    return int(number), True


def _stream_response(body: Iterator[bytes] | tuple[()]) -> Response:
    response = Response(body, mimetype="text/event-stream")
    # A proxy must pass on what there is at once.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _refused(status: int, sentence: str) -> Response:
    response = Response(f"{sentence}\n", status, mimetype="text/plain")
    response.headers["Retry-After"] = str(_RETRY_AFTER_S)
    return response
