"""`npvirt demo`: make up a fleet with a past, and serve it.

It lives in a directory of its own, and the server of that directory connects to no host.
"""

import os
import subprocess
import sys
from pathlib import Path

import click

from app.cli.serve import start
from app.errors import SettingsError
from app.settings import load

_MAKER = (sys.executable, "-m", "app.demo")


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where it is kept; default: demo in NPVIRT_DATA.",
)
@click.option("--days", default=400, show_default=True, type=click.IntRange(2, 1000))
@click.option("--hosts", default=9, show_default=True, type=click.IntRange(1, 50))
@click.option("--domains", default=200, show_default=True, type=click.IntRange(20, 2000))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Another fleet.")
@click.option("--fresh", is_flag=True, help="Make it anew, and forget what was done to it.")
def demo(data: Path | None, days: int, hosts: int, domains: int, seed: int, fresh: bool) -> None:
    """Serve a made-up fleet with a year of history; no host is needed, and none is asked."""
    settings = load()
    if settings.database_url:
        raise SettingsError("NPVIRT_DATABASE_URL names a store; the demonstration has its own.")
    if not settings.bind.is_loopback:
        raise SettingsError(
            f"The demonstration is served on loopback alone, not on {settings.bind}."
        )
    directory = (data or settings.data / "demo").absolute()
    sizes = [str(number) for number in (hosts, domains, days, seed, int(fresh))]
    made = subprocess.run([*_MAKER, "make", str(directory), *sizes], check=False)
    if made.returncode:
        sys.exit(made.returncode)
    # Goes on beside the server until all of the past is there, and ends with it.
    subprocess.Popen([*_MAKER, "complete", str(directory)], stdin=subprocess.DEVNULL)
    os.environ["NPVIRT_DATA"] = str(directory)
    start(load())
