"""How work shares the processor: alone, beside a busy loop, and two of the same at once.

    python benchmarks/sharing.py [--seconds 15] [--rounds 3]

- training: steps of the default classifier on a batch in memory, as ``clary train`` makes them; two at once are two
  such runs, and in "jobs" each has the share of cores that the platform gives a job that is not alone
- serving: ``clary serve`` of a ResNet-50 under eight clients; two at once are two servers

What each of two gets is given for the slower one. Ratios are of the time one takes alone: with all cores shared
fairly, 1.5 beside one busy loop on two cores, 2 of two at once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, cast

from _bench import machine, process, table
from _load import load, request

if TYPE_CHECKING:
    from clary.vision.models import Classifier

BUSY = "while True: pass"
CLIENTS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--role", choices=("steps", "model"), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "steps":
        print(json.dumps(steps_a_second(options.seconds, options.threads)))
    elif options.role == "model":
        write_model(options.folder)
    else:
        print(machine())
        with tempfile.TemporaryDirectory() as scratch:
            output("--role", "model", "--folder", scratch)
            compare(Path(scratch), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    contests: Mapping[str, Callable[[bool], float]] = {
        "training": lambda sharing: train(options.seconds),
        "training, as jobs": lambda sharing: train(options.seconds, threads=share() if sharing else 0),
        "serving": lambda sharing: serve(folder, options.seconds),
    }
    rows = []
    for name, run in contests.items():
        rounds = [(run(False), beside(run), two(run)) for _ in range(options.rounds)]
        alone, busy, both = (statistics.median(one) for one in zip(*rounds, strict=True))
        rows.append((name, *(f"{x:.1f}" for x in (alone, busy, both)), f"{alone / busy:.2f}x", f"{alone / both:.2f}x"))
    columns = ("a second", "alone", "beside a loop", "each of two", "beside a loop", "each of two")
    table(columns, rows)
    print(f"{options.rounds} rounds, medians; training in steps of {BATCH} images, serving in requests")


def beside(run: Callable[[bool], float]) -> float:
    with process("-c", BUSY):
        return run(False)


def two(run: Callable[[bool], float]) -> float:
    with ThreadPoolExecutor(2) as pool:
        return min(pool.map(run, [True, True]))


def share() -> int:
    """Threads of each of two jobs, as ``control.jobs`` divides cores."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


# Training

BATCH = 32


def train(seconds: float, threads: int = 0) -> float:
    return float(output("--role", "steps", "--seconds", seconds, "--threads", threads))


def steps_a_second(seconds: float, threads: int) -> float:
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read once, when torch is loaded
    from clary.vision.base.torch_environment import set_torch_environment

    set_torch_environment()
    import torch

    from clary.vision.models import build, describe
    from clary.vision.training.precision import autocast, keep_large_blocks

    device = torch.device("cpu")
    classifier = cast("Classifier", build(describe("timm:tf_efficientnet_lite0", 3)).classifier)
    classifier.freeze("3,norms")
    optimizer = torch.optim.AdamW(p for p in classifier.parameters() if p.requires_grad)
    images = torch.randint(0, 255, (BATCH, 224, 224, 3), dtype=torch.uint8)

    def step() -> None:
        optimizer.zero_grad()
        with autocast("bf16", device):
            outputs = classifier(images)
        outputs.float().square().mean().backward()
        optimizer.step()

    with keep_large_blocks():
        for _ in range(2):
            step()
        done, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            step()
            done += 1
        return done / (time.perf_counter() - start)


# Serving


def serve(folder: Path, seconds: float) -> float:
    data = (folder / "image.jpg").read_bytes()
    with process("-m", "clary", "serve", folder / "model.tar.gz", "--port", "0") as server:
        assert server.stdout is not None
        address = [server.stdout.readline() for _ in range(3)][1].split()[2]
        sent = request("/invocations", data, Content_Type="image/jpeg")
        load(address, sent, clients=CLIENTS, seconds=2)
        return load(address, sent, clients=CLIENTS, seconds=seconds)["speed"]


def write_model(folder: Path) -> None:
    from serve_classification import image, write

    write(folder)
    (folder / "image.jpg").write_bytes(image())


def output(*words: object) -> str:
    """Run this script with ``words`` to its end; what it printed."""
    with process(__file__, *words) as child:
        out, _ = child.communicate()
    if child.returncode:
        sys.exit(f"{' '.join(map(str, words))} failed")
    return out


if __name__ == "__main__":
    main()
