"""Training speed: ResNet-18, 224 pixels, batch 32, against a plain torchvision loop and the in-memory limit.

    python benchmarks/train_classification.py [--rounds 3] [--epochs 3]

Each contestant runs in a process of its own, in turn, ``rounds`` times; the medians are printed.

- ours: our loader, augmentation and loop from files on disk; the first epoch (pictures are decoded) and the later
  ones (decoded pictures come from memory) are given apart
- limit: our step on one batch that is already in memory
- loop: ImageFolder, RandomResizedCrop, flip, DataLoader with 2 workers, fp32, as tutorials write it
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _bench import machine, pets, table

BATCH = 32
SIZE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--contestant", choices=("ours", "limit", "loop"))
    parser.add_argument("--folders", type=Path)
    options = parser.parse_args()
    if options.contestant:
        print(json.dumps(CONTESTANTS[options.contestant](options.folders, options.epochs)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folders = _class_folders(Path(scratch))
        rounds = [
            {name: _run(name, folders, options.epochs) for name in ("limit", "ours", "loop")}
            for _ in range(options.rounds)
        ]
    _print(rounds)


def _print(rounds: list[dict[str, dict[str, Any]]]) -> None:
    def median(name: str, value: str) -> float:
        return float(statistics.median(one[name][value] for one in rounds))

    ours, limit, loop = median("ours", "later"), median("limit", "later"), median("loop", "later")
    print(machine())
    print(f"ResNet-18, {SIZE} px, batch {BATCH}, {rounds[0]['ours']['precision']}, medians of {len(rounds)} rounds")
    table(
        ["", "pictures/s", "first epoch", "peak memory", "ratio"],
        [
            ["limit (in memory)", f"{limit:.1f}", "", "", "1.00 of the limit"],
            [
                "Clary",
                f"{ours:.1f}",
                f"{median('ours', 'first'):.1f}",
                _mib(median("ours", "rss")),
                f"{ours / limit:.2f} of the limit",
            ],
            [
                "torchvision loop",
                f"{loop:.1f}",
                f"{median('loop', 'first'):.1f}",
                _mib(median("loop", "rss")),
                f"Clary is {ours / loop:.1f}x",
            ],
        ],
    )


def train_ours(folders: Path, epochs: int) -> dict[str, Any]:
    """Our own parts, joined as the recipe joins them."""
    import torch

    from clary.vision.base.events import EpochEnd, Hook
    from clary.vision.training.loop import fit
    from clary.vision.training.precision import keep_large_blocks

    class Clock(Hook):
        def __init__(self) -> None:
            self.speeds: list[float] = []

        def on_epoch(self, event: EpochEnd) -> None:
            self.speeds.append(len(run.train) * BATCH / event.seconds)

    clock = Clock()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        run = _our_training(folders, epochs, Path(scratch))
        run.hooks = [clock]
        with keep_large_blocks():
            progress = fit(run)
    return _figures(clock.speeds[0], statistics.median(clock.speeds[1:] or clock.speeds), progress.precision)


def measure_limit(folders: Path, epochs: int) -> dict[str, Any]:
    """Our step on one batch held in memory."""
    from clary.vision.training.checkpoint import Progress
    from clary.vision.training.loop import _choose_precision, _step
    from clary.vision.training.precision import keep_large_blocks

    with tempfile.TemporaryDirectory() as scratch, keep_large_blocks():
        run = _our_training(folders, epochs, Path(scratch))
        progress = Progress(precision=_choose_precision(run))
        batch = next(iter(run.train.epoch(0)))
        for _ in range(2):
            _step(run, batch, progress)
        steps = len(run.train) * epochs
        start = time.perf_counter()
        for _ in range(steps):
            _step(run, batch, progress)
    speed = steps * BATCH / (time.perf_counter() - start)
    return _figures(speed, speed, progress.precision)


def train_loop(folders: Path, epochs: int) -> dict[str, Any]:
    """The loop of torchvision's tutorials."""
    import torch
    from torch import nn
    from torchvision import datasets, models, transforms

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    data = datasets.ImageFolder(str(folders / "train"), transform)
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=2, drop_last=True)
    network = models.resnet18(num_classes=len(data.classes))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    loss_function = nn.CrossEntropyLoss()
    speeds = []
    for _ in range(min(epochs, 2)):  # it has no cache: more epochs only repeat the second
        start, seen = time.perf_counter(), 0
        for images, targets in loader:
            optimizer.zero_grad()
            loss_function(network(images), targets).backward()
            optimizer.step()
            seen += len(images)
        speeds.append(seen / (time.perf_counter() - start))
    return _figures(speeds[0], speeds[-1], "fp32")


CONTESTANTS = {"ours": train_ours, "limit": measure_limit, "loop": train_loop}


def _our_training(folders: Path, epochs: int, scratch: Path) -> Any:
    from clary.vision import formats
    from clary.vision.algorithms.image_classification import data
    from clary.vision.algorithms.image_classification.spec import SPEC
    from clary.vision.models.classifier import build, describe
    from clary.vision.training.checkpoint import Checkpoints
    from clary.vision.training.loop import Training
    from clary.vision.training.objectives.classification import ClassificationObjective
    from clary.vision.training.optim import make_optimizer
    from clary.vision.training.precision import pick_device
    from clary.vision.training.schedules import cosine

    dataset = formats.read(folders)
    hp = SPEC.parse(
        {
            "num_classes": str(len(dataset.class_names)),
            "num_training_samples": str(len(dataset.splits["train"])),
            "augmentation_type": "resized_crop",
            "resize": "256",
            "learning_rate": "0.01",
        }
    )
    classifier = build(describe("timm:resnet18", hp.num_classes)).classifier
    train_loader, _ = data.loaders(dataset, hp)
    return Training(
        network=classifier,
        objective=ClassificationObjective(),
        optimizer=make_optimizer(classifier, hp, classifier.head),
        schedule=cosine(hp.learning_rate, epochs * len(train_loader)),
        train=train_loader,
        validation=None,
        epochs=epochs,
        seed=0,
        device=pick_device(),
        checkpoints=Checkpoints(scratch, {}),
    )


def _class_folders(scratch: Path) -> Path:
    """Class folders, which both sides read: the real pets' trainval split, else drawn ones."""
    from clary.vision import formats
    from clary.vision.datasets.drawn import draw_pets

    source = pets() or draw_pets(scratch / "drawn")
    dataset = formats.read(source)
    for sample in dataset.splits["train"]:
        folder = scratch / "folders" / "train" / dataset.class_names[sample.classes[0]]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.image.path, folder)
    return scratch / "folders"


def _run(name: str, folders: Path, epochs: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--contestant", name, "--folders", str(folders), "--epochs", str(epochs)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ)
    figures: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return figures


def _figures(first: float, later: float, precision: str) -> dict[str, Any]:
    import resource

    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"first": first, "later": later, "precision": precision, "rss": rss}


def _mib(value: float) -> str:
    return f"{value:.0f} MiB"


if __name__ == "__main__":
    main()
