"""Chromium from the system's packages: which one is started, and how. Knows nothing of npvirt.

Tests take its headless shell where there is one: the same engine without the windows around it,
for half of the CPU. What is measured is measured in the browser that people have.
"""

import shutil

from playwright.sync_api import Browser, Playwright

WHOLE = shutil.which("chromium") or shutil.which("chromium-browser")
SHELL = shutil.which("chromium-headless-shell")
# As root, without a screen, and without calling anybody but the served application.
_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


def is_there() -> bool:
    """Whether this machine has one."""
    return (SHELL or WHOLE) is not None


def start(playwright: Playwright, *, whole: bool = False) -> Browser:
    """A new Chromium, which the caller closes; `whole`: with its windows, drawn to nowhere.

    Raises playwright's `Error` where it does not start.
    """
    path = WHOLE if whole else SHELL or WHOLE
    return playwright.chromium.launch(executable_path=path, args=_OPTIONS)
