"""Chromium, looking at a served application.

A page of `Watched` notes every console message, page error, failed request and violation of the
content security policy; `errors` must be empty at the end of a test.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from app.web.events import streams_of
from tests.chromium import is_there, start
from tests.signing import COOKIE, a_user, session_cookie

# Of a busy machine.
_PATIENCE_S = 60.0
# Playwright's own is five seconds.
expect.set_options(timeout=30_000)
# What app/static/js/live.js says of the parts of the page.
_ASKS = "asking.size > 0 || [...due.values()].some(at => at < performance.now() + 1000)"
# What is asked for when the stream begins is there.
HAS_ASKED = """[...document.querySelectorAll('[data-live][hx-trigger*="refresh"]')]
    .every(one => askedAt.has(one.id)) && !asking.size && !due.size"""
_NOTE_VIOLATIONS = """
document.addEventListener('securitypolicyviolation',
  event => console.error('CSP: ' + event.violatedDirective + ' ' + event.blockedURI));
"""


def note_faults(
    page: Page, note: Callable[[str], None], kinds: Collection[str] = ("error",)
) -> None:
    """Have `note` called with what goes wrong on `page`: what its console says of these `kinds`,
    errors of its scripts, and violations of its policy. To be called before it goes anywhere.

    Where a lab host gets its cable meanwhile, Chromium lets requests go that are under way, and
    says so, as htmx does; the page asks again. That streams are refused, Chromium says by itself,
    and the page in its own words.
    """
    let_go: list[str] = []

    def failed(request: Request) -> None:
        if "net::ERR_NETWORK_CHANGED" in (request.failure or ""):
            let_go.append(request.url)

    def said(message: ConsoleMessage) -> None:
        if message.type not in kinds or "net::ERR_NETWORK_CHANGED" in message.text:
            return
        if "Failed to fetch" in message.text and let_go:
            let_go.pop()
        elif not message.location.get("url", "").endswith("/events"):
            note(f"{message.type}: {message.text}")

    page.on("requestfailed", failed)
    page.on("console", said)
    page.on("pageerror", lambda error: note(str(error)))
    page.add_init_script(_NOTE_VIOLATIONS)


class _Lent:
    """A connection as gunicorn gives it to an answer, which may take it along."""

    def __init__(self, handler: "_Silent") -> None:
        self._handler = handler

    def detach(self) -> int:
        """Its descriptor, from now on somebody else's."""
        self._handler.is_taken = True
        return os.dup(self._handler.connection.fileno())


class _Server(ThreadedWSGIServer):
    def shutdown_request(self, request: Any) -> None:
        """Close it without an end for the reader, whose connection may have been taken along."""
        self.close_request(request)


class _Silent(WSGIRequestHandler):
    is_taken = False

    def make_environ(self) -> Any:
        """The environment, with the connection under gunicorn's name for it."""
        return super().make_environ() | {"gunicorn.socket": _Lent(self)}

    def finish(self) -> None:
        """End the answer, unless its connection was taken along."""
        if not self.is_taken:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)
        super().finish()

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 (its name)
        """Keep the test's output to itself."""


@contextmanager
def served(app: Flask, port: int = 0) -> Iterator[str]:
    """`app` behind an address of this machine, in threads, until the block ends. Port 0 is any
    that is free.
    """
    server = _Server("127.0.0.1", port, app, _Silent)
    thread = threading.Thread(target=server.serve_forever, name="served", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        streams_of(app).stop()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this process."""
    if not is_there():
        pytest.skip("Chromium is not installed (apt install chromium-headless-shell)")
    with sync_playwright() as playwright:
        browser = start(playwright)
        yield browser
        browser.close()


def wait_for(page: Page, condition: str) -> None:
    """Wait until `condition`, in JavaScript, holds in `page`. Playwright's own `wait_for_function`
    looks again by `eval`, which the page's Content-Security-Policy forbids after the first look.
    """
    end_s = time.monotonic() + _PATIENCE_S
    while not page.evaluate(condition):
        assert time.monotonic() < end_s, f"it did not come true in time: {condition}"
        page.wait_for_timeout(20)


@dataclass
class Watched:
    """A page, the address that it looks at, and what went wrong on it."""

    page: Page
    base: str
    errors: list[str] = field(default_factory=list)

    def go(self, address: str) -> Page:
        """Open `address` and wait until htmx has taken hold of it."""
        self.page.goto(self.base + address)
        if self.page.evaluate("!document.documentElement.classList.contains('no-js')"):
            wait_for(self.page, "typeof htmx === 'object'")
        return self.page

    def refresh(self) -> None:
        """Have every live part of the page ask again, as its clock would."""
        # What is on its way already may be older than what is to be seen.
        self._wait_for_answers()
        with self.page.expect_response(lambda answer: "/ui/" in answer.url):
            self.page.evaluate("htmx.trigger(document.body, 'refresh')")
        self._wait_for_answers()
        self.page.wait_for_timeout(60)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds, while the page lives on."""
        end_s = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, "it did not come true in time"
            self.page.wait_for_timeout(20)

    def forgive(self, words: str) -> None:
        """Wait for what the browser itself notes of an answer, and forget that alone. The note may
        come later than what the page makes of the answer.
        """
        self.until(lambda: any(words in error for error in self.errors))
        assert [error for error in self.errors if words not in error] == []
        self.errors.clear()

    def _wait_for_answers(self) -> None:
        """Wait until no part of the page asks, or is to ask within a moment."""
        for _ in range(500):
            if not self.page.evaluate(_ASKS):
                return
            self.page.wait_for_timeout(20)


@contextmanager
def watched(
    browser: Browser,
    app: Flask,
    *,
    width: int = 1280,
    script: bool = True,
    dark: bool = False,
    role: str | None = "admin",
) -> Iterator[Watched]:
    """A new page of its own session on `app`, signed in as a user of that role."""
    with served(app) as base:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            java_script_enabled=script,
            color_scheme="dark" if dark else "light",
        )
        if role is not None:
            user = a_user(app.extensions["npvirt"].store, f"the-{role}", role)
            context.add_cookies([{"name": COOKIE, "value": session_cookie(app, user), "url": base}])
        page = context.new_page()
        page.set_default_timeout(60_000)
        seen = Watched(page, base)
        note_faults(page, seen.errors.append, ("error", "warning"))
        try:
            yield seen
        finally:
            context.close()
