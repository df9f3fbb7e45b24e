"""Calls of the gateway to a worker, by HTTP client: aiohttp, httpx, and urllib3 in threads, in one run.

    python benchmarks/http_client.py [--rounds 5] [--seconds 4]

A worker that answers at once (bare ASGI on uvicorn) takes 60 kB a call and gives 60 bytes. Eight calls are always under
way from one event loop, as in the gateway. Over loopback, for urllib3 speaks no UNIX sockets; aiohttp over a UNIX
socket, as the gateway uses it, is a row of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import urllib3
import uvicorn
from _bench import machine, process, table

CLIENTS, BODY = 8, os.urandom(60_000)
Call = Callable[[], Awaitable[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    print(machine())
    with tempfile.TemporaryDirectory(prefix="clary-bench-") as folder, process(__file__, "--serve", folder) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        config = uvicorn.Config(None, log_level="warning")  # type: ignore[arg-type]  # for its event loop only
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(measure(url, f"{folder}/socket", options.rounds, options.seconds))


async def measure(url: str, path: str, rounds: int, seconds: float) -> None:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    async with AsyncExitStack() as stack:
        clients = await opened(stack, url, path)
        for number in range(rounds + 1):
            for name, call in clients.items():
                cpu, begin = time.process_time(), time.perf_counter()
                times = await calls(call, seconds if number else 0.5)
                if number:  # the first round warms up
                    found[name]["cpu"].append((time.process_time() - cpu) / len(times) * 1e6)
                    found[name]["p50"].append(statistics.median(times) * 1e3)
                    found[name]["speed"].append(len(times) / (time.perf_counter() - begin))
    rows = []
    for name, values in found.items():
        cells = (
            f"{statistics.median(values[key]):.{digits}f} ({min(values[key]):.{digits}f}-{max(values[key]):.{digits}f})"
            for key, digits in (("cpu", 0), ("p50", 2), ("speed", 0))
        )
        rows.append((name, *cells))
    print()
    table(["60 kB to a worker, 8 calls at a time", "processor us a call", "p50 ms", "calls/s"], rows)


async def opened(stack: AsyncExitStack, url: str, path: str) -> dict[str, Call]:
    """A call that gives the status, by name of the client."""
    quick = aiohttp.ClientTimeout(total=None)
    tcp = await stack.enter_async_context(aiohttp.ClientSession(timeout=quick))
    unix = await stack.enter_async_context(
        aiohttp.ClientSession(timeout=quick, connector=aiohttp.UnixConnector(path, limit=0))
    )
    other = await stack.enter_async_context(httpx.AsyncClient(timeout=None))
    pool = stack.enter_context(urllib3.PoolManager(maxsize=CLIENTS))

    def by_aiohttp(session: aiohttp.ClientSession, where: str) -> Call:
        async def call() -> int:
            async with session.post(where, data=io.BytesIO(BODY), headers={"content-type": "image/jpeg"}) as answer:
                await answer.read()
                return answer.status

        return call

    async def by_httpx() -> int:
        answer = await other.post(url, content=BODY, headers={"content-type": "image/jpeg"})
        return answer.status_code

    async def by_urllib3() -> int:
        answer = await asyncio.to_thread(pool.request, "POST", url, body=BODY)
        return answer.status

    return {
        "aiohttp, UNIX socket": by_aiohttp(unix, "http://worker/invocations"),
        "aiohttp": by_aiohttp(tcp, url),
        "httpx": by_httpx,
        "urllib3 in threads": by_urllib3,
    }


async def calls(call: Call, seconds: float) -> list[float]:
    """Seconds of each call, CLIENTS of them always under way."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        while (began := time.perf_counter()) < end:
            status = await call()
            assert status == 200, status
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return times


def serve(folder: Path) -> None:
    """Answer on a free port and on ``folder``/socket; the address is the first line of output."""
    import socket

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"60")]})
        await send({"type": "http.response.body", "body": b"x" * 60})

    listener = socket.create_server(("127.0.0.1", 0))
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(folder / "socket"))
    local.listen()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/invocations", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener, local]))


if __name__ == "__main__":
    main()
