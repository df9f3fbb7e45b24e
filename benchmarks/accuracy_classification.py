"""Quality and time of the default settings on the real pets: official trainval to test, against a linear probe.

    python benchmarks/accuracy_classification.py [--seeds 3]

- ours: `clary.train("classification", pets)` with nothing set, each seed in a process of its own
- peer: logistic regression on the frozen features of the same packaged backbone, centre crop (what many would do
  first); its penalty is the best of five on the test split itself, so it is flattered
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _bench import machine, pets, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--contestant", choices=("ours", "probe"))
    parser.add_argument("--labels", default="breeds")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.contestant == "ours":
        print(json.dumps(train_ours(options.labels, options.seed)))
    elif options.contestant == "probe":
        print(json.dumps(fit_probe(options.labels)))
    else:
        _compare(options.seeds)


def _compare(seeds: int) -> None:
    if pets() is None:
        sys.exit("the real pets are not here: set CLARY_PETS")
    print(machine())
    for labels in ("breeds", "species"):
        probe = _run("probe", labels, 0)
        ours = [_run("ours", labels, seed) for seed in range(seeds)]
        rows = [["linear probe", f"{probe['accuracy']:.4f}", "", f"{probe['seconds']:.1f}", "", ""]]
        for seed, one in enumerate(ours):
            rows.append(
                [
                    f"Clary, seed {seed}",
                    f"{one['accuracy']:.4f}",
                    f"{one['wrong']} of {one['count']}",
                    f"{one['seconds']:.1f}",
                    f"{one['total']:.1f}",
                    f"{one['rss']:.0f} MiB",
                ]
            )
        mean = statistics.mean(one["accuracy"] for one in ours)
        rows.append(["Clary, mean", f"{mean:.4f}", "", f"{statistics.mean(o['seconds'] for o in ours):.1f}", "", ""])
        print(f"\n{labels}: official trainval (237 pictures) to test (235)")
        table(["", "top-1", "wrong", "training s", "with start and export s", "peak memory"], rows)


def train_ours(labels: str, seed: int) -> dict[str, Any]:
    """Train with the defaults, evaluate on the test split."""
    import resource

    import clary

    source = pets()
    assert source is not None
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        run = clary.train("classification", source, out=Path(scratch) / "run", labels=labels, seed=seed)
        total = time.perf_counter() - start
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found = clary.evaluate(run.model, source, split="test", labels=labels)
        accuracy = found.metrics["accuracy"]
        return {
            "accuracy": accuracy,
            "wrong": round((1 - accuracy) * found.count),
            "count": found.count,
            "seconds": run.metrics["seconds"],
            "total": total,
            "rss": rss,
        }


def fit_probe(labels: str) -> dict[str, Any]:
    """Features of the frozen backbone, then logistic regression by L-BFGS."""
    import numpy as np
    import timm
    import torch

    from clary.vision import formats
    from clary.vision.base.preprocessing import Preprocess, prepare
    from clary.vision.models.normalization import InputNormalization
    from clary.vision.models.weights import load

    source = pets()
    assert source is not None
    start = time.perf_counter()
    dataset = formats.read(source, labels=labels)
    backbone = timm.create_model("tf_efficientnet_lite0", num_classes=3)
    pretrained = load("tf_efficientnet_lite0")
    pretrained.put_into(backbone)
    network = torch.nn.Sequential(InputNormalization(pretrained.mean, pretrained.std), backbone).eval()
    backbone.reset_classifier(0)

    def features(split: Any) -> tuple[torch.Tensor, torch.Tensor]:
        images = [prepare(sample.image.read(), Preprocess(224, 224, 256)) for sample in dataset.splits[split]]
        with torch.inference_mode():
            parts = [network(torch.from_numpy(np.stack(images[i : i + 32]))) for i in range(0, len(images), 32)]
        return torch.cat(parts).clone(), torch.tensor([sample.classes[0] for sample in dataset.splits[split]])

    (x, y), (tx, ty) = features("train"), features("test")
    mean, std = x.mean(0), x.std(0) + 1e-6
    best = max(
        _logistic((x - mean) / std, y, (tx - mean) / std, ty, penalty) for penalty in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    )
    return {"accuracy": best, "seconds": time.perf_counter() - start}


def _logistic(x: Any, y: Any, tx: Any, ty: Any, penalty: float) -> float:
    import torch

    layer = torch.nn.Linear(x.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(x), y) + penalty * layer.weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return float((layer(tx).argmax(1) == ty).float().mean())


def _run(contestant: str, labels: str, seed: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--contestant", contestant, "--labels", labels, "--seed", str(seed)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
