"""Chromium from the system's packages: which one is started, and how. Knows nothing of npvirt.

Tests take its headless shell where there is one: the same engine without the windows around it,
for half of the CPU. What is measured is measured in the browser that people have.
"""

import shutil
from typing import Any

from playwright.sync_api import Browser, Error, Page, Playwright, Response

WHOLE = shutil.which("chromium") or shutil.which("chromium-browser")
SHELL = shutil.which("chromium-headless-shell")
# As root, without a screen, and without calling anybody but the served application.
_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


_TIMES = 10
_PAUSE_MS = 200
# The second where Chromium shows its own page of that, or goes there again by itself.
_LET_GO = ("net::ERR_NETWORK_CHANGED", "is interrupted by another navigation")
_go_once = Page.goto


def _go(page: Page, url: str, **options: Any) -> Response | None:
    """As playwright's own, but again where this machine's network changed meanwhile: where a lab
    host gets its cable, Chromium lets go of pages that are under way.
    """
    for _ in range(_TIMES):
        try:
            return _go_once(page, url, **options)
        except Error as error:
            if not any(words in error.message for words in _LET_GO):
                raise
            # It goes there again by itself as well, at once.
            page.wait_for_timeout(_PAUSE_MS)
    return _go_once(page, url, **options)


Page.goto = _go  # type: ignore[method-assign,assignment] # of all pages, whoever opens them


def is_there() -> bool:
    """Whether this machine has one."""
    return (SHELL or WHOLE) is not None


def start(playwright: Playwright, *, whole: bool = False) -> Browser:
    """A new Chromium, which the caller closes; `whole`: with its windows, drawn to nowhere.

    Raises playwright's `Error` where it does not start.
    """
    path = WHOLE if whole else SHELL or WHOLE
    return playwright.chromium.launch(executable_path=path, args=_OPTIONS)
