"""gunicorn, set up in code: one worker of sixteen threads, no preload, a short goodbye."""

import sys
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from app.settings import Bind


class Worker(ThreadWorker):
    """Threads for requests, and none for streams: an answer may take its connection along (see
    app/web/events), and then there is nothing to close here.
    """

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Forget a connection that an answer took; see to all others as ever."""
        if conn.sock.fileno() == -1:
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)


class Server(BaseApplication):
    """Runs `wsgi:app` on one address until it is told to stop."""

    def __init__(self, bind: Bind, log: str, threads: int) -> None:
        self._bind = bind
        self._log = log
        self._threads = threads
        self._app: Any = None
        super().__init__()

    def load_config(self) -> None:
        """Gunicorn's settings; its own command line and environment are not read."""
        options: dict[str, Any] = {
            "bind": str(self._bind),
            "workers": 1,
            "worker_class": Worker,
            "threads": self._threads,
            "graceful_timeout": 5,
            "timeout": 0,
            "keepalive": 30,
            "loglevel": "debug" if self._log == "debug" else "warning",
            "proc_name": "npvirt",
            "umask": 0o077,
            "control_socket_disable": True,
            "when_ready": self._say_where,
            "worker_exit": self._stop,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application, imported in the worker."""
        # wsgi.py lies beside the package, outside the search path of the console script.
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
        import wsgi

        self._app = wsgi.app
        return self._app

    def _say_where(self, _arbiter: object) -> None:
        print(f"npvirt serves on http://{self._bind} (Ctrl-C ends it)", flush=True)

    def _stop(self, _arbiter: object, _worker: object) -> None:
        """End streams and scans while threads can still be started: a scan in mid-flight needs
        some.
        """
        if self._app is not None:
            from app.services import stop

            stop(self._app)
