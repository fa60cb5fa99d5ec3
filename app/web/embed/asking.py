"""Who asks for an embed: whoever has a token, from a page of an origin that it names.

What was looked up holds until somebody commits, and for a few seconds at most, so that a revoked
token is over within these in every process. When tokens are used is written once a minute for all
of them together, after an answer was sent. Wrong tokens slow down whoever sends them; one that was
made, even if it ended, never counts as wrong, since those who look at its page did not choose it.
"""

import math
import threading
from collections.abc import Callable
from typing import cast

from flask import Flask, current_app, g, request
from msgspec import Struct
from werkzeug.exceptions import Forbidden, TooManyRequests, Unauthorized

from app import clock
from app.access import Principal
from app.errors import InvalidField
from app.language import N_, gettext
from app.services import on_stop, services, services_of
from app.store.embed_tokens import Held, held, known_origins, note_uses
from app.store.engine import Store
from app.web.embed.budget import Budget
from app.web.embed.views import View
from app.web.identity import peer
from app.web.slowdown import Slowdown

_KEY = "npvirt-embeds"
_HOLD_MS = 4_000
_NOTE_EVERY_MS = 60_000
_KEPT = 1_024
_TOKEN_MAX = 200
# Past moments that are drawn for a token in a minute: each has the fleet be put together anew.
_PAST_MOMENTS = 60

_UNKNOWN = N_("npvirt does not know this token.")
_ENDED = {
    "revoked": N_("This embed was revoked."),
    "expired": N_("The time of this embed is over."),
}


class _Looked(Struct, frozen=True):
    version: int
    until_ms: int
    found: Held


class _Memory:
    """What this process remembers of tokens; thread-safe and bounded."""

    def __init__(self) -> None:
        self.slowdown = Slowdown()
        self.past_moments = Budget(_PAST_MOMENTS)
        self._lock = threading.Lock()
        self._looked: dict[str, _Looked] = {}
        self._origins: tuple[int, frozenset[str]] | None = None
        self._unwritten: dict[int, int] = {}
        self._noted_ms: dict[int, int] = {}
        self._next_note_ms = 0

    def held(self, store: Store, text: str) -> Held | None:
        """The token of that text as it stood a few seconds ago at most."""
        now_ms, version = clock.now_ms(), store.version()
        with self._lock:
            looked = self._looked.get(text)
        if looked is not None and looked.version == version and now_ms < looked.until_ms:
            return looked.found
        found = held(store, text)
        if found is None:
            return None
        until_ms = now_ms + _HOLD_MS
        if found.standing == "live":
            until_ms = min(until_ms, found.token.expires_at_ms)
        with self._lock:
            if len(self._looked) >= _KEPT:
                self._looked.clear()
            self._looked[text] = _Looked(version, until_ms, found)
        return found

    def origins(self, store: Store) -> frozenset[str]:
        """All origins that tokens name."""
        version = store.version()
        with self._lock:
            if self._origins is not None and self._origins[0] == version:
                return self._origins[1]
        found = known_origins(store)
        with self._lock:
            self._origins = (version, found)
        return found

    def used(self, found: Held) -> bool:
        """Remember that a token is used now; whether it is time to write that down."""
        now_ms, number = clock.now_ms(), found.token.id
        with self._lock:
            noted_ms = max(found.token.used_at_ms or 0, self._noted_ms.get(number, 0))
            if now_ms - noted_ms >= _NOTE_EVERY_MS:
                self._unwritten[number] = now_ms
            if not self._unwritten or now_ms < self._next_note_ms:
                return False
            self._next_note_ms = now_ms + _NOTE_EVERY_MS
            return True

    def write_uses(self, store: Store) -> None:
        """Write down which tokens were used and when."""
        with self._lock:
            taken, self._unwritten = self._unwritten, {}
            self._noted_ms = taken
        if taken:
            note_uses(store, taken)


def attach_askers(app: Flask) -> None:
    """Give `app` its memory of tokens of embeds."""
    memory = app.extensions[_KEY] = _Memory()
    store = services_of(app).store
    on_stop(app, lambda: memory.write_uses(store))


def named_origins() -> frozenset[str]:
    """The origins that any token names; raises StoreError."""
    return _memory().origins(services().store)


def asker() -> Held | None:
    """The token that this request carries, as it stands; None for one that was never made. Raises
    StoreError, and InvalidField for several at once.
    """
    if "npvirt_embed" not in g:
        text = _text()
        g.npvirt_embed = _memory().held(services().store, text) if text else None
    return cast(Held | None, g.npvirt_embed)


def admitted(view: View, own_origin: str) -> Held:
    """The token that lets this request see `view`; who asks is then whoever looks at its page.

    Raises Unauthorized for a token that is not or no longer one, Forbidden where it is not for
    this view, page or wrapper, TooManyRequests, StoreError, InvalidField.
    """
    found = asker()
    if found is None:
        raise _unknown()
    if found.standing != "live":
        raise Unauthorized(gettext(_ENDED[found.standing]))
    token = found.token
    if token.view != view.name:
        raise Forbidden(gettext("This token is for another view."))
    origin = request.headers.get("Origin")
    if origin is not None and origin not in (*token.origins, own_origin):
        raise Forbidden(gettext("This token is not for pages of this site."))
    if request.args.get("as") == "frame" and not token.frame:
        raise Forbidden(gettext("This token is not for frames."))
    return found


def look_as(token_id: int, host_ids: frozenset[int] | None) -> None:
    """Have this request see what a viewer of these hosts sees."""
    g.npvirt_principal = Principal("embed", str(token_id), "viewer", host_ids)


def spend_past_moment(token_id: int) -> None:
    """Let one more past moment be drawn for a token; raises TooManyRequests."""
    wait_s = _memory().past_moments.spend(token_id, clock.monotonic_s())
    if wait_s > 0:
        seconds = math.ceil(wait_s)
        raise TooManyRequests(
            gettext(
                "So many past moments cannot be drawn at once. Ask again in %(seconds)s s.",
                seconds=seconds,
            ),
            retry_after=seconds,
        )


def note_use(found: Held) -> Callable[[], None] | None:
    """Remember that a token is used; what is to be done once the answer is sent."""
    memory, store = _memory(), services().store
    if not memory.used(found):
        return None
    return lambda: memory.write_uses(store)


def _text() -> str:
    """The text of the token: in a header, or as `t`."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return text.strip()[:_TOKEN_MAX]
    if "X-Npvirt-Token" in request.headers:
        return request.headers["X-Npvirt-Token"].strip()[:_TOKEN_MAX]
    given = request.args.getlist("t")
    if len(given) > 1:
        raise InvalidField("t", gettext("%(name)s can be given once only.", name="t"))
    return given[0].strip()[:_TOKEN_MAX] if given else ""


def _unknown() -> Unauthorized | TooManyRequests:
    keys, slowdown = (f"peer {peer()}",), _memory().slowdown
    wait_s = slowdown.wait_s(keys, clock.monotonic_s())
    if wait_s > 0:
        seconds = math.ceil(wait_s)
        told = gettext(
            "npvirt does not know this token. Ask again in %(seconds)s s.", seconds=seconds
        )
        return TooManyRequests(told, retry_after=seconds)
    slowdown.wrong(keys, clock.monotonic_s())
    return Unauthorized(gettext(_UNKNOWN))


def _memory() -> _Memory:
    return cast(_Memory, current_app.extensions[_KEY])
