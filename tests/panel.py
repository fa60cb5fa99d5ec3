"""A running panel: `npvirt serve` as people start it, asked over HTTP."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

from playwright.sync_api import Page

from app.store.tokens import add_token
from app.store.users import add_user, has_users
from tests.made_once import open_store
from tests.ports import free_port

PASSWORD = "correct horse battery"
NPVIRT = (sys.executable, "-m", "app.cli")


@dataclass(frozen=True)
class Panel:
    """The address of a running panel, its process and the environment of its command line."""

    url: str
    process: subprocess.Popen[bytes]
    environ: Mapping[str, str]
    token: str

    def get(self, path: str) -> Any:
        """The JSON at `path`; raises URLError while nothing answers."""
        asked = urllib.request.Request(self.url + path, headers=self.headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    @property
    def headers(self) -> dict[str, str]:
        """What carries the panel's token."""
        return {"Authorization": f"Bearer {self.token}"}

    def items(self, kind: str) -> list[Any]:
        """All items of a list of the JSON interface."""
        found: list[Any] = self.get(f"/api/v1/{kind}?per_page=1000")["items"]
        return found

    def until(
        self,
        condition: Callable[[], Any],
        seconds: float = 60.0,
        *,
        awaited: str = "what is waited for",
        instead: Callable[[], object] | None = None,
    ) -> Any:
        """Wait until `condition` returns something true, and return it; fails the test when it
        does not, with what was `awaited`, what `condition` gave last and what `instead` tells.
        """
        end = time.monotonic() + seconds
        last: object = None
        while time.monotonic() < end:
            try:
                last = found = condition()
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                last, found = error, None
            if found:
                return found
            time.sleep(0.05)
        told = f"{awaited} did not come true in {seconds:g} s; the last that was seen: {last!r}"
        raise AssertionError(told if instead is None else f"{told}; instead: {instead()}")

    def page(self, path: str) -> int:
        """The status of the answer at `path` to somebody who is not signed in."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def sign_in(self, page: Page, name: str = "ada") -> None:
        """Have `page` be signed in as a user whose password is PASSWORD."""
        page.goto(self.url + "/login")
        page.fill("input[name=name]", name)
        page.fill("input[name=password]", PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(self.url + "/")

    def npvirt(self, *arguments: str) -> str:
        """Run the command line beside the server; its output, with its exit status at the end."""
        done = subprocess.run(
            [*NPVIRT, *arguments], env=self.environ, capture_output=True, text=True, check=False
        )
        return f"{done.stdout}{done.stderr}exit status {done.returncode}"


def an_admins_token(data: Path) -> str:
    """A token of the panel that keeps its data in `data`; the user ada is there as well."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_store(data / "npvirt.sqlite")
    try:
        if not has_users(store):
            add_user(store, "ada", "admin", PASSWORD)
        return add_token(store, f"panel-{token_hex(4)}", "admin", created_by="a test")
    finally:
        store.close()


@contextmanager
def panel(
    data: Path,
    *,
    prepare: Callable[[dict[str, str]], None] | None = None,
    users: bool = True,
    before: Sequence[str] = (),
    stdout: int | None = subprocess.DEVNULL,
    **settings: str,
) -> Iterator[Panel]:
    """A panel on a free port with its data in `data`; `prepare` may add hosts before it starts.
    Without `users` nobody can sign in and there is no token; with `stdout` None it speaks to the
    terminal. `before` is put before its command, and in the end executes it.
    """
    port = free_port()
    own = {name: text for name, text in os.environ.items() if not name.startswith("NPVIRT_")}
    environ = {**own, "NPVIRT_DATA": str(data), "NPVIRT_BIND": f"127.0.0.1:{port}", **settings}
    if prepare is not None:
        prepare(environ)
    token = an_admins_token(data) if users else ""
    with (
        nullcontext() if stdout is None else _said(data) as stderr,
        subprocess.Popen(
            [*before, *NPVIRT, "serve"], env=environ, stdout=stdout, stderr=stderr
        ) as process,
    ):
        try:
            running = Panel(f"http://127.0.0.1:{port}", process, environ, token)
            running.until(lambda: running.get("/healthz"))
            yield running
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _said(data: Path) -> Iterator[IO[bytes]]:
    """Where npvirt says what goes wrong; what it did not foresee fails the test."""
    path = data.with_name(f"{data.name}-said-{token_hex(4)}")
    try:
        with path.open("wb") as stderr:
            yield stderr
    finally:
        words = path.read_text(encoding="utf-8", errors="replace")
        sys.stderr.write(words)
        path.unlink()
    assert "Traceback" not in words, words
