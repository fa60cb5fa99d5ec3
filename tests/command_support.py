"""The command npvirt with a data directory of its own: each a process, but for its start.

To import what a command needs takes most of a second. A process that has done so, and has no
threads, is forked for each; that `python -m app.cli` starts is seen wherever a panel is.
"""

import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

from app.cli import main

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["tests.command_support", "alembic.command", "alembic.config", "app.collect.once",
     *(f"app.cli.{name}" for name in ("credential", "doctor", "host", "scan", "store", "token",
                                      "user"))]
)  # fmt: skip
_PATIENCE_S = 120.0


class Npvirt:
    """The command with a data directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {
            **{name: text for name, text in os.environ.items() if not name.startswith("NPVIRT_")},
            "NPVIRT_DATA": str(directory / "var"),
            "NPVIRT_ALLOW_TEST_FILES": "1",
        }

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """What it prints; fails the test when it ends with another status."""
        stdout, stderr = (self.directory / f"said-{token_hex(4)}" for _ in range(2))
        process = _PROCESSES.Process(target=_run, args=(arguments, self.environ, stdout, stderr))
        process.start()
        try:
            process.join(_PATIENCE_S)
            ended = process.exitcode
        finally:
            process.kill()
            process.join()
            process.close()
        printed, wrong = _taken(stdout), _taken(stderr)
        assert ended == status, (arguments, ended, printed, wrong)
        if status:
            assert "Traceback" not in wrong
        return printed if status == 0 or printed else wrong


def _run(arguments: tuple[str, ...], environ: Mapping[str, str], *output: Path) -> None:
    """The command in this process, whose standard output and error are two files."""
    os.environ.clear()
    os.environ.update(environ)
    for number, path in enumerate(output, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), number)
    main(list(arguments))


def _taken(path: Path) -> str:
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text
