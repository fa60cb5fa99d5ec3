"""`npvirt serve`: gunicorn with one gthread worker, which is also the collector.

The master process imports neither libvirt, SQLAlchemy nor Flask: it stays small.
"""

import socket

import click

from app.errors import Conflict
from app.settings import Bind, Settings, load

_THREADS = 16


@click.command()
def serve() -> None:
    """Serve the panel and scan the hosts until interrupted."""
    start(load())


def start(settings: Settings) -> None:
    """Serve until interrupted; raises Conflict when somebody else listens there."""
    _refuse_taken(settings.bind)
    from app.cli.server import Server

    Server(settings.bind, settings.log, _THREADS).run()


def _refuse_taken(bind: Bind) -> None:
    """Where gunicorn would try again and again, say in a sentence that it is taken: Conflict."""
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind.host, bind.port))
        except OSError as error:
            raise Conflict(
                f"npvirt cannot listen on {bind}: {error.strerror}. Is it running already? "
                "Another address can be set with NPVIRT_BIND."
            ) from None
