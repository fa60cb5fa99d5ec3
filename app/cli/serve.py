"""`npvirt serve`: gunicorn with one gthread worker, which is also the collector.

The master process imports neither libvirt, SQLAlchemy nor Flask: it stays small.
"""

import click

from app.settings import load

_THREADS = 16


@click.command()
def serve() -> None:
    """Serve the panel and scan the hosts until interrupted."""
    settings = load()
    from app.cli.server import Server

    Server(settings.bind, settings.log, _THREADS).run()
