"""The command `npvirt`: thin. Parses, calls one room, prints; exit status 0, 1 or 2.

Status 2 means that what was asked is not valid and nothing was changed; 1 that it failed. Errors
are one sentence on standard error. Commands import what they need when they run, so that
`npvirt --help` and gunicorn's master stay light.
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import click

from app import __version__
from app.errors import InvalidField, NpvirtError, SettingsError

# Where each command lives: module and attribute.
_COMMANDS: Mapping[str, str] = {
    "serve": "app.cli.serve:serve",
    "demo": "app.cli.demo:demo",
    "host": "app.cli.host:host",
    "credential": "app.cli.credential:credential",
    "key": "app.cli.credential:key",
    "user": "app.cli.user:user",
    "session": "app.cli.user:session",
    "token": "app.cli.token:token",
    "scan": "app.cli.scan:scan",
    "export": "app.cli.export:export",
    "backup": "app.cli.store:backup",
    "restore": "app.cli.store:restore",
    "db": "app.cli.store:database",
    "doctor": "app.cli.doctor:doctor",
}


class _Commands(click.Group):
    """The commands of the table above, imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="npvirt")
def cli() -> None:
    """The libvirt panel that remembers. Settings are NPVIRT_… variables; see the README."""


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of the console script; never returns."""
    try:
        cli.main(arguments, prog_name="npvirt", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except InvalidField as error:
        _fail(f"{error.field}: {error.sentence}", 2)
    except SettingsError as error:
        _fail(str(error), 2)
    except NpvirtError as error:
        _fail(str(error), 1)
    sys.exit(0)


def _fail(sentence: str, status: int) -> None:
    print(f"npvirt: {sentence}", file=sys.stderr)
    sys.exit(status)
