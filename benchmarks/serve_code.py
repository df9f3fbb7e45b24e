"""Serving users' own code: an inference.py with a function of one millisecond, and one with ResNet-18.

    python benchmarks/serve_code.py [--rounds 3] [--seconds 6] [--network millisecond]

In turn, under the same eight clients:

- worker: an endpoint's worker by itself, on its socket, with one worker process a core (SAGEMAKER_MODEL_SERVER_WORKERS)
- endpoint: the same through InvokeEndpoint, with the gateway between
- default: the worker as it comes, one process
- LitServe: the same functions, one worker a core (``_litserve_code_peer.py``)
- limit: the same functions in a bare loop, one process a core, no HTTP

Weights are random; speed does not depend on them.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import io
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from _bench import machine, process, ready, table
from _load import load, request
from PIL import Image

from clary.client import gateway
from clary.toolkit import serve
from clary.toolkit.plan import Plan

CLIENTS = 8
CORES = len(os.sched_getaffinity(0))
PORT = 8942  # LitServe's
PEER = Path(__file__).with_name("_litserve_code_peer.py")
WORKERS = {"SAGEMAKER_MODEL_SERVER_WORKERS": str(CORES)}
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.1-cpu-py310"

PLAIN = """
import json
def plain(prediction):
    return prediction
def output_fn(prediction, accept):
    return json.dumps(plain(prediction))
"""
MILLISECOND = f"""
import time
def model_fn(model_dir):
    return 0.001
def input_fn(data, content_type):
    return len(data)
def predict_fn(data, model):
    end = time.perf_counter() + model
    while time.perf_counter() < end:
        pass
    return data
{PLAIN}"""
RESNET = f"""
import io, os
import torch, torchvision
from PIL import Image
from torchvision.transforms import v2
transform = v2.Compose([v2.Resize(256), v2.CenterCrop(224), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
                        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
def model_fn(model_dir):
    torch.manual_seed(0)
    return torchvision.models.resnet18().eval()
def input_fn(data, content_type):
    return transform(Image.open(io.BytesIO(data)).convert("RGB"))[None]
def predict_fn(data, model):
    with torch.inference_mode():
        return model(data).softmax(dim=1)[0].tolist()
{PLAIN}"""
GOALS = {
    "millisecond": "goal: 1.5x LitServe",
    "resnet-18": "goal: no slower than LitServe, 0.9 of the limit",
}
CODE = {"millisecond": MILLISECOND, "resnet-18": RESNET}

Server = Callable[[argparse.Namespace], AbstractContextManager[tuple[str, str]]]


def body(network: str) -> bytes:
    """What clients send."""
    if network == "millisecond":
        return b"x" * 100
    stream = io.BytesIO()
    Image.effect_noise((320, 240), 64).convert("RGB").save(stream, "JPEG", quality=85)
    return stream.getvalue()


# Servers: the address, and the path of a request.


@contextmanager
def _worker(options: argparse.Namespace, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / serve.TREE).mkdir()
        (folder / serve.TREE / "model").symlink_to(options.folder / "model")
        plan = folder / "plan.json"
        Plan(
            image=IMAGE,
            layer=folder / "environment",
            environments=folder / "environments",
            framework="pytorch",
            variables=variables,
        ).write(plan)
        with socket.socket(socket.AF_UNIX) as listener:
            path = folder / "s"
            listener.bind(str(path))
            listener.listen(64)
            os.set_inheritable(listener.fileno(), True)
            with _inheriting(serve.command(listener.fileno()), plan):
                data = _request("/invocations", body(options.network))
                load(f"unix:{path}", data, clients=1, seconds=0.1)  # waits until it is there
                yield f"unix:{path}", "/invocations"


@contextmanager
def _inheriting(words: list[str], plan: Path) -> Iterator[None]:
    with subprocess.Popen(
        [*words, str(plan)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, close_fds=False
    ) as child:
        try:
            yield
        finally:
            child.terminate()
            child.wait()


@contextmanager
def _endpoint(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    import boto3

    home = Path(tempfile.mkdtemp(dir=options.folder)) / "home"  # of an earlier round it has the model already
    server = gateway.start(home, ["--port", "0"])
    try:
        words: Any = {"endpoint_url": server.url, "region_name": "us-east-1"}
        words |= {"aws_access_key_id": "clary", "aws_secret_access_key": "clary"}
        s3, sagemaker = boto3.client("s3", **words), boto3.client("sagemaker", **words)
        s3.create_bucket(Bucket="models")
        s3.upload_file(str(options.folder / "model.tar.gz"), "models", "model.tar.gz")
        container = {"Image": IMAGE, "ModelDataUrl": "s3://models/model.tar.gz", "Environment": WORKERS}
        sagemaker.create_model(
            ModelName="m", PrimaryContainer=container, ExecutionRoleArn="arn:aws:iam::000000000000:role/benchmark"
        )
        variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
        while (status := sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"]) == "Creating":
            time.sleep(0.1)
        if status != "InService":
            sys.exit(f"the endpoint is {status}")
        yield server.url, "/endpoints/e/invocations"
    finally:
        gateway.stop(home)


@contextmanager
def _litserve(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    url = f"http://127.0.0.1:{PORT}"
    with process(PEER, PORT, options.folder / "model"):
        ready(url + "/health")
        yield url, "/predict"


SERVERS: Mapping[str, Server] = {
    "worker": lambda options: _worker(options, WORKERS),
    "endpoint": _endpoint,
    "default": lambda options: _worker(options, {}),
    "LitServe": _litserve,
}


def _request(path: str, data: bytes) -> bytes:
    if path == "/predict":
        return request(
            path, json.dumps({"body": base64.b64encode(data).decode()}).encode(), Content_Type="application/json"
        )
    return request(path, data, Content_Type="application/octet-stream")


def _served(options: argparse.Namespace, server: Server) -> dict[str, float]:
    with server(options) as (url, path):
        data = _request(path, body(options.network))
        load(url, data, clients=options.clients, seconds=2)
        return load(url, data, clients=options.clients, seconds=options.seconds)


def _limit(options: argparse.Namespace) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(CORES) as pool:
        done = pool.starmap(_loop, [(options.folder / "model", options.network, options.seconds)] * CORES)
    return {"speed": sum(done)}


def _loop(model_dir: Path, network: str, seconds: float) -> float:
    """Calls a second of one process that does nothing else."""
    sys.path.insert(0, str(model_dir / "code"))
    code: Any = importlib.import_module("inference")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    model, data = code.model_fn(str(model_dir)), body(network)
    done, end = 0, 0.0
    for limit in (1.0, seconds):
        done, start = 0, time.perf_counter()
        end = start + limit
        while time.perf_counter() < end:
            code.output_fn(code.predict_fn(code.input_fn(data, "image/jpeg"), model), "application/json")
            done += 1
    return done / (time.perf_counter() - start)


def _contest(options: argparse.Namespace) -> None:
    code = options.folder / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(CODE[options.network])
    with tarfile.open(options.folder / "model.tar.gz", "w:gz") as archive:
        archive.add(options.folder / "model", "")
    print(f"\n{options.network}, {options.clients} clients")
    rounds = [
        {"limit": _limit(options), **{name: _served(options, server) for name, server in SERVERS.items()}}
        for _ in range(options.rounds)
    ]
    speed = {name: statistics.median(one[name]["speed"] for one in rounds) for name in rounds[0]}
    rows = []
    for name in rounds[0]:
        waits = [
            f"{1000 * statistics.median(one[name][value] for one in rounds):.1f} ms" if "p50" in rounds[0][name] else ""
            for value in ("p50", "p99")
        ]
        shares = [f"{speed[name] / speed['limit']:.2f}", f"{speed[name] / speed['LitServe']:.2f}x"]
        rows.append([name, f"{speed[name]:.0f}", *waits, *shares])
    table(["", "requests/s", "p50", "p99", "of the limit", "of LitServe"], rows)
    print(f"{len(rounds)} rounds, medians; {GOALS[options.network]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--network", choices=tuple(CODE), help="only this one")
    options = parser.parse_args()
    print(machine())
    for name in [options.network] if options.network else CODE:
        options.network = name
        with tempfile.TemporaryDirectory() as scratch:
            options.folder = Path(scratch)
            _contest(options)


if __name__ == "__main__":
    main()
