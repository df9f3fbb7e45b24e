"""The REST API at an address of this process, for what inference.py asks of it by HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from clary.toolkit.serving.tensorflow.rest_api import RestApi

__all__ = ["Loopback"]


class Loopback:
    """Listens on a port of 127.0.0.1 that was free; ``port`` is its number."""

    def __init__(self, api: RestApi) -> None:
        class Handler(_Handler):
            ask = api.ask

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="rest api", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The answer goes out whole: its body would wait 40 ms for the client's word that it has the head.
    wbufsize = -1
    disable_nagle_algorithm = True
    ask: Any

    def do_POST(self) -> None:
        # As requests sends what it is given piece by piece, a generator or a file without a size.
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self._answer(b"".join(self._chunks()))
        else:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_GET(self) -> None:
        self._answer(b"")

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers, to the empty line
            pass

    def _answer(self, body: bytes) -> None:
        status, answer = type(self).ask(self.command, self.path, body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the endpoint's log is for the model's own lines."""
