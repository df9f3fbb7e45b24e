"""A load of one HTTP request, sent again and again over raw sockets by a few clients of one process.

    python benchmarks/_load.py URL REQUEST_FILE --clients 8 --seconds 10
    python benchmarks/_load.py URL REQUEST_FILE --clients 200 --burst

URL is http://host:port or unix:/path/of/socket. REQUEST_FILE holds the bytes of the request. Prints one JSON object:
requests, speed (requests/s), p50 and p99 in seconds, used (processor seconds of this process). A server that closes
the connection is connected to again. A burst is one request from every client at the same moment: served (answered
200), refused (503), failed (anything else), p50 and p99 of those served.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

__all__ = ["burst", "load", "request"]


def request(path: str, body: bytes, **headers: str) -> bytes:
    """The bytes of a POST request; underscores in the names of headers stand for hyphens."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def load(url: str, data: bytes, *, clients: int, seconds: float) -> dict[str, float]:
    """Run this module in a process of its own; the numbers it prints."""
    return _of_its_own(url, data, "--clients", clients, "--seconds", seconds)


def burst(url: str, data: bytes, *, clients: int) -> dict[str, float]:
    """As ``load``: one request from each client, all at once."""
    return _of_its_own(url, data, "--clients", clients, "--burst")


def _of_its_own(url: str, data: bytes, *options: object) -> dict[str, float]:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        words = [url, file.name, *options]
        output = subprocess.run(
            [sys.executable, __file__, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True
        )
    result: dict[str, float] = json.loads(output.stdout)
    return result


class _Client(asyncio.Protocol):
    """Sends the request again and again; ``finished`` is done when the time is over and the last answer is there."""

    def __init__(self, data: bytes, latencies: list[float], end: float) -> None:
        self._request, self._latencies, self._end = data, latencies, end
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._answered = True
        self.finished: asyncio.Future[None] = self._loop.create_future()

    async def run(self, url: str) -> None:
        place = urlsplit(url)
        while self._loop.time() < self._end and not (self.finished.done() and self.finished.exception()):
            self.finished = self._loop.create_future()
            self._sent = self._loop.time()
            if place.scheme == "unix":
                await self._loop.create_unix_connection(lambda: self, place.path)
            else:
                await self._loop.create_connection(lambda: self, place.hostname or "", place.port or 80)
            await self.finished

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().split(b"content-length:")[1].split()[0]):
            return
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
            self.finished.set_exception(RuntimeError(self._received.decode(errors="replace")))
            return self._transport.close()
        self._latencies.append(self._loop.time() - self._sent)
        self._received = b""
        if self._loop.time() >= self._end or b"connection: close" in head.lower():
            return self._transport.close()
        self._sent = self._loop.time()
        self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_result(None)


async def _run(url: str, data: bytes, clients: int, seconds: float) -> tuple[list[float], float]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    start = loop.time()
    runs = [_Client(data, latencies, start + seconds) for _ in range(clients)]
    await asyncio.gather(*(client.run(url) for client in runs))
    return latencies, loop.time() - start


async def _burst(url: str, data: bytes, clients: int) -> dict[str, Any]:
    place = urlsplit(url)
    begin = asyncio.Event()

    async def one() -> tuple[int, float]:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        await begin.wait()
        start = asyncio.get_running_loop().time()
        writer.write(data)
        line = await reader.readline()
        seconds = asyncio.get_running_loop().time() - start
        writer.close()
        return int(line.split()[1]) if line else 0, seconds

    tasks = [asyncio.create_task(one()) for _ in range(clients)]
    await asyncio.sleep(1)  # all are connected
    begin.set()
    answers = await asyncio.gather(*tasks)
    served = [seconds for status, seconds in answers if status == 200]
    refused = sum(status == 503 for status, _ in answers)
    p50, p99 = np.percentile(served, [50, 99]) if served else (0.0, 0.0)
    failed = clients - len(served) - refused
    return {"served": len(served), "refused": refused, "failed": failed, "p50": p50, "p99": p99}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("request", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--burst", action="store_true")
    options = parser.parse_args()
    if options.burst:
        print(json.dumps(asyncio.run(_burst(options.url, options.request.read_bytes(), options.clients))))
        return
    latencies, seconds = asyncio.run(_run(options.url, options.request.read_bytes(), options.clients, options.seconds))
    p50, p99 = np.percentile(latencies, [50, 99])
    result: dict[str, Any] = {"requests": len(latencies), "speed": len(latencies) / seconds, "p50": p50, "p99": p99}
    print(json.dumps(result | {"used": time.process_time()}))


if __name__ == "__main__":
    main()
