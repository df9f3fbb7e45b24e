"""What a web framework would cost the gateway: DescribeTrainingJob through bare ASGI and through Starlette, in one run.

    python benchmarks/gateway_framework.py [--rounds 5] [--seconds 4]

Three servers in processes of their own, each over a store of ten jobs, behind the gateway's own uvicorn:

- bare ASGI: the gateway's application as it is
- Starlette: a Route for the services' calls and a Mount for S3 around the very same operation code
- Starlette with middleware: the same, with the signature read in a BaseHTTPMiddleware, where Starlette would have it

Rounds are interleaved. On a busy machine the figure to trust is the first table's: the applications called without a
server, the least of many short rounds, since whatever else runs only adds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from _bench import cpu_seconds, machine, process, table
from _load import load, request
from platform_speed import fill
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from clary.control import resources
from clary.control.logs.streams import LogStore
from clary.control.objects.local import LocalStore
from clary.control.objects.s3_app import S3App
from clary.control.platform import Platform
from clary.control.settings import Settings
from clary.control.store.records import Store
from clary.control.wire.app import create_app
from clary.control.wire.asgi import Head
from clary.control.wire.sigv4_header import read_header
from clary.vision.inference import server

CLIENTS = 8
VARIANTS = ("bare ASGI", "Starlette", "Starlette with middleware")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--serve", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.home)
    else:
        measure(options.rounds, options.seconds)


def measure(rounds: int, seconds: float) -> None:
    print(machine())
    headers = {
        "X_Amz_Target": "SageMaker.DescribeTrainingJob",
        "Content_Type": "application/x-amz-json-1.1",
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/sagemaker/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    data = request("/", json.dumps({"TrainingJobName": "job-00000"}).encode(), **headers)
    measure_alone(data)
    measured: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in VARIANTS}
    with tempfile.TemporaryDirectory(prefix="clary-bench-") as scratch, ExitStack() as stack:
        servers = {}
        for name in VARIANTS:
            home = Path(scratch) / name.replace(" ", "-")
            fill(home, 10)
            child = stack.enter_context(process(__file__, "--serve", name, "--home", home))
            assert child.stdout is not None
            servers[name] = child.pid, child.stdout.readline().strip()
            load(servers[name][1], data, clients=CLIENTS, seconds=1)
        for _ in range(rounds):
            for name, (pid, url) in servers.items():
                before = cpu_seconds(pid)
                found = load(url, data, clients=CLIENTS, seconds=seconds)
                measured[name]["cpu"].append((cpu_seconds(pid) - before) / found["requests"] * 1e6)
                measured[name]["p50"].append(found["p50"] * 1e3)
                measured[name]["speed"].append(found["speed"])
    show(measured)


def measure_alone(data: bytes, rounds: int = 60, calls: int = 200) -> None:
    """Processor time of a call of each application, with neither server nor socket: the least of the rounds."""
    head, _, body = data.partition(b"\r\n\r\n")
    headers = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])]
    scope = {"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message

    least = dict.fromkeys(VARIANTS, float("inf"))
    with tempfile.TemporaryDirectory(prefix="clary-bench-") as home:
        fill(Path(home), 10)
        apps = {name: application(name, Path(home)) for name in VARIANTS}

        async def run() -> None:
            for _ in range(rounds):
                for name, app in apps.items():
                    start = time.process_time()
                    for _ in range(calls):
                        await app(dict(scope), receive, send)
                    least[name] = min(least[name], (time.process_time() - start) / calls)

        asyncio.run(run())
    rows = [(name, f"{one * 1e6:.0f}", f"{one / least[VARIANTS[0]]:.2f}") for name, one in least.items()]
    print()
    table(["DescribeTrainingJob, no server", "processor us a call", "of bare ASGI"], rows)


def show(measured: dict[str, dict[str, list[float]]]) -> None:
    """Medians over the rounds, the spread, and the ratio to the first: the median of the ratios within a round."""
    rows = []
    first = measured[VARIANTS[0]]
    for name, found in measured.items():
        ratio = statistics.median(one / base for one, base in zip(found["cpu"], first["cpu"], strict=True))
        cells = (
            f"{statistics.median(found[key]):.{digits}f} ({min(found[key]):.{digits}f}-{max(found[key]):.{digits}f})"
            for key, digits in (("cpu", 0), ("p50", 2), ("speed", 0))
        )
        rows.append((name, *cells, f"{ratio:.2f}"))
    print()
    columns = ["DescribeTrainingJob, 8 clients", "processor us a request", "p50 ms", "requests/s", "of bare ASGI"]
    table(columns, rows)


def serve(name: str, home: Path) -> None:
    """Answer with the application ``name`` over ``home``; the address is the first line of output."""
    app = application(name, home)
    with server.bind("127.0.0.1", 0) as listener:
        print(server.address(listener), flush=True)
        server.run_within(lambda: nullcontext(app), listener)


def application(name: str, home: Path) -> Any:
    """The ASGI application called ``name`` over the store of ``home``."""
    resources.load()
    settings = Settings(home=home)
    store, objects = Store(settings.database), LocalStore(settings.s3_root)
    nobody: Any = None  # runs jobs and endpoints
    platform = Platform(settings, store, objects, LogStore(settings.logs_root), nobody, nobody)
    s3 = S3App(objects, account=settings.account, region=settings.region)
    bare = create_app(platform, region=settings.region, account=settings.account, s3=s3)
    return bare if name == VARIANTS[0] else around(bare, s3, middleware=name == VARIANTS[2])


def around(bare: Any, s3: Any, *, middleware: bool) -> Starlette:
    """The operations of ``bare`` behind Starlette's routing, requests and responses."""

    async def call(asked: Request) -> Response:
        head = Head.of(asked.scope)
        found = asked.state.signature if middleware else read_header(head)
        response = await bare._answer(head, found, await asked.body(), str(uuid.uuid4()))
        headers = {name.decode(): value.decode() for name, value in response.headers}
        return Response(response.body, response.status, headers)

    class Signed(BaseHTTPMiddleware):
        async def dispatch(self, asked: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
            asked.state.signature = read_header(Head.of(asked.scope))
            return await call_next(asked)

    routes = [Route("/", call, methods=["POST"]), Mount("/", s3)]
    return Starlette(routes=routes, middleware=[Middleware(Signed)] if middleware else [])


if __name__ == "__main__":
    main()
