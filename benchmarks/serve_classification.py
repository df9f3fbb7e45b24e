"""Serving speed: ResNet-50, a 127 kB JPEG in, eight clients, against LitServe with eager torch and the limit.

    python benchmarks/serve_classification.py [--rounds 3] [--seconds 10]

Each contestant runs in a process of its own, in turn, ``rounds`` times; the medians are printed.

- ours: ``clary serve`` as it comes
- LitServe: torchvision's transforms and the same network in eager torch, with the settings that suit it best
- limit: the same decoding and OpenVINO, one thread a core, batches of four, no HTTP

The clients are one process of raw sockets, kept alive: each sends its next request when the last is answered.
Weights are random; speed does not depend on them. "others" is the machine's time that other programs took meanwhile.
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
from pathlib import Path

import numpy as np
from _bench import busy_seconds, cpu_seconds, machine, memory, pets, process, ready, table
from _load import load, request
from PIL import Image

CLIENTS = 8
CLASSES = 37
SIZE = 224
JPEG_BYTES = 127_000
PEER = Path(__file__).with_name("_litserve_peer.py")
GOAL = "goal: 120 requests/s, p99 under 150 ms, 5x LitServe, under 1024 MiB"

Result = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--role", choices=sorted(ROLES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        ROLES[options.role](options)
        return
    with tempfile.TemporaryDirectory() as scratch:
        options.folder = Path(scratch)
        print(machine())
        data = _picture()
        (options.folder / "picture.jpg").write_bytes(data)
        print(f"ResNet-50, {SIZE} px, JPEG of {len(data) / 1000:.0f} kB, {options.clients} clients")
        _output(options, "model")
        contestants = {"limit": _limit, "Clary": _ours, "LitServe": _litserve}
        rounds = [{name: run(options) for name, run in contestants.items()} for _ in range(options.rounds)]
    _print(rounds)


def _print(rounds: list[dict[str, Result]]) -> None:
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
    print(f"{len(rounds)} rounds, medians; {GOAL}")


def _ours(options: argparse.Namespace) -> Result:
    with process("-m", "clary", "serve", options.folder / "model.tar.gz", "--port", "0") as server:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(3)]
        return _measured(options, server.pid, lines[1].split()[2] + "/invocations")


def _litserve(options: argparse.Namespace) -> Result:
    port = 8941
    url = f"http://127.0.0.1:{port}"
    with process(PEER, port, CLASSES) as server:
        ready(url + "/health")
        return _measured(options, server.pid, url + "/predict")


def _limit(options: argparse.Namespace) -> Result:
    found: Result = json.loads(_output(options, "limit"))
    return found


def _measured(options: argparse.Namespace, pid: int, url: str) -> Result:
    """What the clients saw of the server ``pid``, its peak memory, and its processor time for each request."""
    address = url.rpartition("/")[0]
    data = _request(url.removeprefix(address), (options.folder / "picture.jpg").read_bytes())
    load(address, data, clients=options.clients, seconds=2)
    used, busy = cpu_seconds(pid), busy_seconds()
    seen = load(address, data, clients=options.clients, seconds=options.seconds)
    used, busy = cpu_seconds(pid) - used, busy_seconds() - busy
    others = max(0.0, busy - used - seen["used"]) / (options.seconds * len(os.sched_getaffinity(0)))
    return {**seen, "memory": memory(pid), "cpu": used / seen["requests"], "others": others}


def _output(options: argparse.Namespace, role: str, *words: object) -> str:
    """Run a role of this script to its end and return what it printed."""
    settings = ("--folder", options.folder, "--seconds", options.seconds, "--clients", options.clients)
    with process(__file__, "--role", role, *settings, *words) as child:
        out, _ = child.communicate()
    if child.returncode:
        sys.exit(f"{role} failed")
    return out


def _picture() -> bytes:
    """A photograph of 1024 x 768 pixels, at the quality that makes it 127 kB; noise where there are no real pets."""
    root = pets()
    if root:
        image = Image.open(root / "images" / "Abyssinian_40.jpg").convert("RGB")
    else:
        coarse = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
        image = Image.fromarray(coarse)
    image = image.resize((1024, 768), Image.Resampling.LANCZOS)
    for quality in range(98, 10, -1):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        if stream.tell() <= JPEG_BYTES * 1.005:
            break
    return stream.getvalue()


# Roles: each in a process of its own.


def role_model(options: argparse.Namespace) -> None:
    """Write model.tar.gz."""
    import torch

    from clary.vision.artifact.archive import pack
    from clary.vision.artifact.export import write_model
    from clary.vision.artifact.manifest import Input, Manifest, Provenance
    from clary.vision.base.imaging import Preprocess
    from clary.vision.inference.engines import find
    from clary.vision.models.classifier import build, describe

    torch.manual_seed(0)
    description = describe("timm:resnet50", CLASSES)
    manifest = Manifest(
        task="classification",
        algorithm="image-classification",
        labels=tuple(f"class {i}" for i in range(CLASSES)),
        network=description,
        input=Input(Preprocess(SIZE, SIZE, resize=256, crop="center")),
        provenance=Provenance(clary="benchmark", created="2026-01-01T00:00:00Z"),
    )
    example = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    write_model(options.folder / "model", build(description), example, manifest, engines=[find("openvino")])
    pack(options.folder / "model", options.folder / "model.tar.gz")


def role_limit(options: argparse.Namespace) -> None:
    """Decode and infer in one thread a core, four pictures at a time."""
    from clary.vision.inference.predictor import load

    threads = len(os.sched_getaffinity(0))
    data = (options.folder / "picture.jpg").read_bytes()
    done = [0] * threads
    with load(options.folder / "model", "openvino", streams=threads) as model:

        def work(place: int, end: float) -> None:
            while time.perf_counter() < end:
                model.run([model.prepare(data) for _ in range(4)])
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


def _request(path: str, data: bytes) -> bytes:
    """The bytes of a request: the picture itself for SageMaker's contract, in JSON for LitServe."""
    if path == "/predict":
        data = json.dumps({"image_data": base64.b64encode(data).decode()}).encode()
        return request(path, data, Content_Type="application/json")
    return request(path, data, Content_Type="image/jpeg")


ROLES = {"model": role_model, "limit": role_limit}

if __name__ == "__main__":
    main()
