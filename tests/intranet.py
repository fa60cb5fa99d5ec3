"""A page of somebody else's on another origin, and a record of what npvirt was asked under /embed/.

127.0.0.1 and localhost are different sites for a browser, two ports of one name different origins
of the same site.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask

VENDOR = Path(__file__).parent / "vendor"
STATIC = Path(__file__).parents[1] / "app" / "static"
HTMX_2 = (VENDOR / "htmx-2.0.11.min.js").read_text(encoding="utf-8")
HTMX_4 = (STATIC / "vendor" / "htmx-4.0.1.min.js").read_text(encoding="utf-8")


class Request(NamedTuple):
    """What npvirt was asked: `cookie` and `origin` are None where the header was not sent."""

    method: str
    path: str
    query: str
    cookie: str | None
    origin: str | None
    if_none_match: str | None
    status: int
    set_cookie: str | None


class Recorded:
    """Wraps an application's WSGI callable and notes every request under /embed/."""

    def __init__(self, app: Flask) -> None:
        self.requests: list[Request] = []
        self._inner = app.wsgi_app
        app.wsgi_app = self  # type: ignore[method-assign]  # Flask's own way to wrap it

    def __call__(self, environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer as the application does."""

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            if environ["PATH_INFO"].startswith("/embed/"):
                sent = {name.lower(): text for name, text in headers}
                self.requests.append(
                    Request(
                        environ["REQUEST_METHOD"],
                        environ["PATH_INFO"],
                        environ["QUERY_STRING"],
                        environ.get("HTTP_COOKIE"),
                        environ.get("HTTP_ORIGIN"),
                        environ.get("HTTP_IF_NONE_MATCH"),
                        int(status.split()[0]),
                        sent.get("set-cookie"),
                    )
                )
            return start_response(status, headers, *rest)

        return self._inner(environ, start)  # type: ignore[arg-type]  # werkzeug's own types

    def views(self) -> list[Request]:
        """Those that asked for a view."""
        return [one for one in self.requests if one.path.startswith("/embed/v1/")]


class Intranet:
    """Pages on another origin; `pages` may be added to while it serves."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pages: dict[str, str] = {}
        self.headers: dict[str, str] = {}

    def origin(self, name: str = "localhost") -> str:
        """Its origin under that name."""
        return f"http://{name}:{self.port}"


@contextmanager
def intranet() -> Iterator[Intranet]:
    """Somebody else's pages, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = site.pages.get(self.path.partition("?")[0])
            body = (found or "").encode()
            self.send_response(404 if found is None else 200)
            kind = "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, text in site.headers.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
            """Keep the test's output to itself."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Intranet(server.server_port)
    site.pages |= {"/htmx2.js": HTMX_2, "/htmx4.js": HTMX_4, "/favicon.ico": ""}
    thread = threading.Thread(target=server.serve_forever, name="intranet", daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
