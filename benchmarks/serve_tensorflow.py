"""Serving speed of TensorFlow: MobileNetV2, the picture as JSON, against the bare loop around the same graph.

    python benchmarks/serve_tensorflow.py [--rounds 3] [--seconds 5]

The body is what SDK v2 sends of a float32 array: nested lists, 3 MB for 224 pixels. Reading it is a cost of TensorFlow
Serving's, too, and is printed apart:

- body: read to the array, and the answer written, in a bare loop of reading, running and writing
- loop: the graph, in that loop
- socket: a body of that size sent to the same worker, and answered unread
- endpoint: one client, all of it; and the call that one in a hundred is slower than

"beyond the body" is the loop's time over what the endpoint's is without body and socket: what the server and its
process leave of the graph's speed. In turn, ``rounds`` times; medians. Weights are random.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from _bench import machine, table
from _load import load, request

GOAL = "goal: 0.9 beyond the body"
MODELS = {"MobileNetV2 0.35, 96 px": (0.35, 96), "MobileNetV2 1.0, 224 px": (1.0, 224)}
WARM_UP = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--role", choices=("write", "loop"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        return write(options.folder, *MODELS[options.model]) if options.role == "write" else loop(options)
    print(machine())
    rows = []
    with tempfile.TemporaryDirectory() as name, environment(Path(name) / "layer") as python:
        for model in MODELS:
            folder = Path(name) / model.replace(" ", "-")
            again = [str(python), __file__, "--folder", str(folder), "--model", model]
            subprocess.run([*again, "--role", "write"], check=True, stderr=subprocess.DEVNULL)
            rows.append([model, *measure(python, folder, [*again, "--role", "loop"], options)])
    table(("", "body MB", "loop ms", "body ms", "socket ms", "endpoint ms", "p99 ms", "beyond the body"), rows)
    print(GOAL)


def measure(python: Path, folder: Path, again: list[str], options: argparse.Namespace) -> list[str]:
    body = (folder / "body.json").read_bytes()
    loops, bodies, sockets, endpoints, slowest = [], [], [], [], []
    for _ in range(options.rounds):
        words = [*again, "--seconds", str(options.seconds)]
        told = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
        loops.append(told["loop"])
        bodies.append(told["body"])
        with endpoint(python, folder) as address:
            asked = request("/invocations", body, Content_Type="application/json", Accept="application/json")
            load(f"unix:{address}", asked, clients=1, seconds=1)
            told = load(f"unix:{address}", asked, clients=1, seconds=options.seconds)
            endpoints.append(told["p50"])
            slowest.append(told["p99"])
            unread = request("/ping", body).replace(b"POST", b"GET", 1)
            sockets.append(load(f"unix:{address}", unread, clients=1, seconds=1)["p50"])
    found = [statistics.median(values) for values in (loops, bodies, sockets, endpoints, slowest)]
    ran, read, sent, served, _ = found
    numbers = [f"{len(body) / 1e6:.2f}", *(f"{1000 * value:.2f}" for value in found)]
    return [*numbers, f"{ran / (served - read - sent):.2f}"]


@contextmanager
def environment(folder: Path) -> Iterator[Path]:
    """The Python of the layers that jobs of TensorFlow get, made where they are not there."""
    from clary.control.settings import Settings
    from clary.toolkit import interpreter, layer
    from clary.toolkit.environments import Environments
    from clary.toolkit.frameworks import layers_of_framework

    kept, below = Environments(Settings().environments_root), interpreter.ours()
    with ExitStack() as stack:
        for wanted in layers_of_framework("tensorflow", ""):
            below = layer.with_layer(below, stack.enter_context(kept.layer(below, wanted, os.environ, print)))
        layer.make_layer(folder, below)
        yield layer.python_of(folder)


@contextmanager
def endpoint(python: Path, folder: Path) -> Iterator[Path]:
    """A worker as hosting starts it, on a socket of its own."""
    address, note = folder / "socket", folder / "note"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(64)
        words = ["-P", "-u", "-m", "clary.toolkit.serving.process", str(listener.fileno()), "tensorflow"]
        child = subprocess.Popen(
            [str(python), *words, str(folder / "model"), str(note)],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield address
        finally:
            child.terminate()
            child.wait()
            address.unlink()


def write(folder: Path, alpha: float, pixels: int) -> None:
    """The model, and the body that asks it of one picture."""
    import tensorflow as tf

    folder.mkdir(parents=True)
    tf.keras.utils.set_random_seed(0)
    network = tf.keras.applications.MobileNetV2(input_shape=(pixels, pixels, 3), alpha=alpha, weights=None, classes=2)
    network.export(str(folder / "model" / "m" / "1"), verbose=False)
    picture = np.random.default_rng(0).random((1, pixels, pixels, 3), dtype=np.float32)
    (folder / "body.json").write_text(json.dumps(picture.tolist()))


def loop(options: argparse.Namespace) -> None:
    """Print the seconds of the graph and of the body, medians."""
    from clary.toolkit.serving.tensorflow.bodies import document_of
    from clary.toolkit.serving.tensorflow.saved_model import SavedModel, Threads
    from clary.toolkit.serving.tensorflow.tensors import from_instances, to_predictions

    body = (options.folder / "body.json").read_bytes()
    signature = SavedModel(options.folder / "model" / "m" / "1", Threads()).signature("serving_default")
    # As the worker does: else collections of garbage are most of what a large body takes.
    gc.collect()
    gc.freeze()

    bodies: list[float] = []
    runs: list[float] = []
    end = time.perf_counter() + options.seconds
    while time.perf_counter() < end or len(runs) < WARM_UP + 3:
        began = time.perf_counter()
        feeds = from_instances(document_of(body, "application/json")["instances"], signature.inputs)
        before = time.perf_counter()
        outputs = signature.run(feeds)
        after = time.perf_counter()
        to_predictions(outputs)
        bodies.append(before - began + time.perf_counter() - after)
        runs.append(after - before)
    print(json.dumps({"loop": statistics.median(runs[WARM_UP:]), "body": statistics.median(bodies[WARM_UP:])}))


if __name__ == "__main__":
    main()
