"""What the benchmarks of serving share: ours, LitServe and the limit in turn, under the load of the same clients.

- ours: ``clary serve`` as it comes
- LitServe: the same network in eager torch, with the settings that suit it best (``_litserve_peer.py``)
- limit: the same decoding and OpenVINO, one thread a core, batches of four, no HTTP, no answer made

Each contestant runs in a process of its own, in turn, ``rounds`` times; the medians are printed. Where both serve the
same weights, their answers are compared before anything is timed. The clients are one process of raw sockets, kept
alive: each sends its next request when the last is answered. Weights are random; speed does not depend on them.
"others" is the machine's time that other programs took meanwhile.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _bench import busy_seconds, cpu_seconds, machine, memory, pets, process, ready, table
from _load import load, request
from PIL import Image

if TYPE_CHECKING:
    import torch
    from torch import nn

    from clary.vision.artifact.manifest import Manifest

__all__ = ["Contest", "main", "photographs", "settle", "squeezed", "write_artifact"]

CLIENTS = 8
PORT = 8941  # LitServe's
BRANCH = 0.05  # how much of a residual branch is added, where weights are random
PEER = Path(__file__).with_name("_litserve_peer.py")

Result = dict[str, float]
Server = Callable[[argparse.Namespace], AbstractContextManager[tuple[int, str]]]


@dataclass(frozen=True)
class Contest:
    """One network to be served.

    ``picture`` makes the JPEG that clients send; ``write`` leaves ``model`` and ``model.tar.gz`` in a folder that
    holds it as ``picture.jpg``. ``compare`` is given both answers, ours first, and says how they agree; it raises
    ValueError where they do not. None: the weights are not the same.
    """

    title: str
    goal: str
    image: Callable[[], bytes]
    write: Callable[[Path], None]
    compare: Callable[[bytes, bytes], str] | None = None


def main(doc: str | None, contests: Mapping[str, Contest]) -> None:
    """Run the contests by name, or the one that ``--network`` names."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--network", choices=tuple(contests), help="only this one")
    parser.add_argument("--role", choices=sorted(ROLES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        ROLES[options.role](options, contests[options.network])
        return
    print(machine())
    for name in [options.network] if options.network else contests:
        options.network = name
        with tempfile.TemporaryDirectory() as scratch:
            options.folder = Path(scratch)
            _contest(options, contests[name])


def _contest(options: argparse.Namespace, contest: Contest) -> None:
    data = contest.image()
    (options.folder / "picture.jpg").write_bytes(data)
    print(f"\n{contest.title}, JPEG of {len(data) / 1000:.0f} kB, {options.clients} clients")
    _output(options, "model")
    if contest.compare:
        answers = [_answer(options, server) for server in SERVERS.values()]
        try:
            print("answers before timing:", contest.compare(*answers))
        except ValueError as error:
            sys.exit(f"the answers do not agree: {error}")
    rounds = [
        {"limit": _limit(options), **{name: _served(options, server) for name, server in SERVERS.items()}}
        for _ in range(options.rounds)
    ]
    _print(rounds, contest.goal)


def _print(rounds: list[dict[str, Result]], goal: str) -> None:
    def median(name: str, value: str) -> float:
        return statistics.median(one[name].get(value, float("nan")) for one in rounds)

    def shown(number: float, unit: str, digits: int = 0) -> str:
        return f"{number:.{digits}f} {unit}" if number == number else ""

    speed = {name: median(name, "speed") for name in rounds[0]}
    rows = [
        [
            name,
            f"{speed[name]:.1f}",
            shown(1000 * median(name, "p50"), "ms"),
            shown(1000 * median(name, "p99"), "ms"),
            shown(median(name, "memory"), "MiB"),
            shown(1000 * median(name, "cpu"), "ms", 1),
            f"{speed[name] / speed['limit']:.2f}",
            f"{speed[name] / speed['LitServe']:.1f}x",
            f"{100 * median(name, 'others'):.0f} %",
        ]
        for name in speed
    ]
    columns = ["", "requests/s", "p50", "p99", "memory", "cpu/request", "of the limit", "of LitServe", "others"]
    table(columns, rows)
    print(f"{len(rounds)} rounds, medians; {goal}")


# Servers: the id of the process, and where it takes requests.


@contextmanager
def _ours(options: argparse.Namespace) -> Iterator[tuple[int, str]]:
    with process("-m", "clary", "serve", options.folder / "model.tar.gz", "--port", "0") as server:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(3)]
        yield server.pid, lines[1].split()[2] + "/invocations"


@contextmanager
def _litserve(options: argparse.Namespace) -> Iterator[tuple[int, str]]:
    url = f"http://127.0.0.1:{PORT}"
    with process(PEER, PORT, options.folder / "model") as server:
        ready(url + "/health")
        yield server.pid, url + "/predict"


SERVERS: Mapping[str, Server] = {"Clary": _ours, "LitServe": _litserve}


def _served(options: argparse.Namespace, server: Server) -> Result:
    """What the clients saw of a server, its peak memory, and its processor time for each request."""
    with server(options) as (pid, url):
        address = url.rpartition("/")[0]
        body, kind = _body(url, (options.folder / "picture.jpg").read_bytes())
        data = request(url.removeprefix(address), body, Content_Type=kind)
        load(address, data, clients=options.clients, seconds=2)
        used, busy, start = cpu_seconds(pid), busy_seconds(), time.perf_counter()
        seen = load(address, data, clients=options.clients, seconds=options.seconds)
        used, busy, seconds = cpu_seconds(pid) - used, busy_seconds() - busy, time.perf_counter() - start
        others = max(0.0, busy - used - seen["used"]) / (seconds * len(os.sched_getaffinity(0)))
        return {**seen, "memory": memory(pid), "cpu": used / seen["requests"], "others": others}


def _answer(options: argparse.Namespace, server: Server) -> bytes:
    """What a server says to one request."""
    with server(options) as (_, url):
        body, kind = _body(url, (options.folder / "picture.jpg").read_bytes())
        asked = urllib.request.Request(url, body, {"Content-Type": kind})
        with urllib.request.urlopen(asked, timeout=120) as answer:
            found: bytes = answer.read()
    return found


def _body(url: str, data: bytes) -> tuple[bytes, str]:
    """Body and media type of a request: the picture itself for SageMaker's contract, in JSON for LitServe."""
    if url.endswith("/predict"):
        return json.dumps({"image_data": base64.b64encode(data).decode()}).encode(), "application/json"
    return data, "image/jpeg"


def _limit(options: argparse.Namespace) -> Result:
    found: Result = json.loads(_output(options, "limit"))
    return found


def _output(options: argparse.Namespace, role: str) -> str:
    """Run a role of the script to its end and return what it printed."""
    settings = ("--network", options.network, "--folder", options.folder, "--seconds", options.seconds)
    with process(sys.argv[0], "--role", role, *settings) as child:
        out, _ = child.communicate()
    if child.returncode:
        sys.exit(f"{role} failed")
    return out


# Roles: each in a process of its own.


def role_model(options: argparse.Namespace, contest: Contest) -> None:
    """Write model and model.tar.gz."""
    contest.write(options.folder)


def role_limit(options: argparse.Namespace, contest: Contest) -> None:
    """Decode and infer in one thread a core, four pictures at a time."""
    from clary.vision.inference.predictor import load

    threads = len(os.sched_getaffinity(0))
    data = (options.folder / "picture.jpg").read_bytes()
    done = [0] * threads
    with load(options.folder / "model", "openvino", streams=threads) as model:

        def work(place: int, end: float) -> None:
            while time.perf_counter() < end:
                model.engine(np.stack([model.prepare(data).pixels for _ in range(4)]))
                done[place] += 4

        def run(seconds: float) -> float:
            start = time.perf_counter()
            workers = [threading.Thread(target=work, args=(i, start + seconds)) for i in range(threads)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            return time.perf_counter() - start

        run(2)
        done[:] = [0] * threads
        used, busy = time.process_time(), busy_seconds()
        seconds = run(options.seconds)
        used, busy = time.process_time() - used, busy_seconds() - busy
    result = {"speed": sum(done) / seconds, "memory": memory(os.getpid()), "cpu": used / sum(done)}
    print(json.dumps({**result, "others": max(0.0, busy - used) / (seconds * threads)}))


ROLES = {"model": role_model, "limit": role_limit}


# Pictures and weights


def photographs(count: int, width: int, height: int) -> list[Image.Image]:
    """``count`` photographs of that size; noise where there are no real pets."""
    root = pets()
    if root:
        places = sorted((root / "images").glob("Abyssinian_*.jpg"))[:count]
        images = [Image.open(place).convert("RGB") for place in places]
    else:
        random = np.random.default_rng(0)
        images = [
            Image.fromarray(random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)) for _ in range(count)
        ]
    return [image.resize((width, height), Image.Resampling.LANCZOS) for image in images]


def squeezed(image: Image.Image, most: int) -> bytes:
    """A picture as JPEG, at the highest quality that takes about ``most`` bytes."""
    for quality in range(98, 10, -1):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        if stream.tell() <= most * 1.005:
            break
    return stream.getvalue()


def settle(network: nn.Module, images: torch.Tensor) -> None:
    """Make random weights behave more like trained ones: every block takes part, and every normalisation has the
    statistics of ``images``. What timm leaves at zero would make blocks pass their input on as it is; at one, each
    would magnify what differs in its input by rounding.
    """
    import torch
    from torch import nn

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the statistics of one pass count whole
        norm.reset_running_stats()
        if not norm.weight.any():
            nn.init.constant_(norm.weight, BRANCH)
    with torch.no_grad():
        network.train()(images)
    network.eval()


def write_artifact(folder: Path, network: nn.Module, example: np.ndarray, manifest: Manifest) -> None:
    """Leave ``model`` and ``model.tar.gz`` in ``folder``; OpenVINO is compared with eager torch on ``example``."""
    from clary.vision.artifact.archive import pack
    from clary.vision.artifact.export import write_model
    from clary.vision.inference.engines import find

    engine: Any = find("openvino")
    write_model(folder / "model", network, example, manifest, engines=[engine])
    pack(folder / "model", folder / "model.tar.gz")
