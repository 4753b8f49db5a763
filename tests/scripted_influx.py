"""An HTTP server that answers writes and questions by a script, for the failures that no real one shows on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlparse

from coldchain.timeseries.influx_server import Server


class Asked(NamedTuple):
    path: str
    query: dict[str, list[str]]
    lines: list[str]
    authorization: str


Script = Callable[[Asked], tuple[int, str]]


class Scripted:
    """An HTTP server that answers writes by a script and remembers what it was asked."""

    def __init__(self, script: Script, version: str = "v2.7.12", headers: dict[str, str] | None = None) -> None:
        self.asked: list[Asked] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                self._answer(204, "", {"X-Influxdb-Version": version})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                parts = urlparse(self.path)
                asked = Asked(
                    parts.path, parse_qs(parts.query), body.split("\n"), self.headers.get("Authorization", "")
                )
                outer.asked.append(asked)
                self._answer(*script(asked), headers or {})

            def _answer(self, status: int, body: str, more: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {**more, "Content-Length": str(len(body.encode()))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if status != 204:
                    self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def scripted(script: Script, **how: object) -> Iterator[Scripted]:
    server = Scripted(script, **how)  # type: ignore[arg-type]  # passed on as it is
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def client(url: str, token: str = "", timeout_s: float = 5.0) -> Iterator[tuple[Server, list[tuple[str, str, str]]]]:
    """A server as the store uses it, and what it parks."""
    parked: list[tuple[str, str, str]] = []
    server = Server(url, "org", token, timeout_s, lambda *point: parked.append(point))
    try:
        yield server, parked
    finally:
        server.close()
