"""Training speed: ResNet-18, 224 pixels, batch 32, against a plain torchvision loop and the in-memory limit.

    python benchmarks/train_classification.py [--rounds 3] [--epochs 3]

Contestants are those of ``_training.py``. The loop is that of tutorials: ImageFolder, RandomResizedCrop, flip,
DataLoader with 2 workers, fp32.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from _training import Contest, main, source, thinned

if TYPE_CHECKING:
    from clary.vision.training.loop import Training

BATCH = 32
SIZE = 224
GOAL = "goal: 3.5x, 0.90 of the limit"


def class_folders(scratch: Path, images: int) -> Path:
    """Class folders, which both sides read: the real pets' trainval split, else drawn ones."""
    from clary.vision import formats

    dataset = formats.read(source(scratch))
    for sample in thinned(dataset.splits["train"], images):
        folder = scratch / "folders" / "train" / dataset.class_names[sample.classes[0]]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.image.path, folder)
    return scratch / "folders"


def training(folders: Path, epochs: int, scratch: Path) -> Training:
    """Our run."""
    from clary.vision import formats
    from clary.vision.algorithms.image_classification import data
    from clary.vision.algorithms.image_classification.spec import SPEC
    from clary.vision.algorithms.image_classification.train import update_rule
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
        optimizer=make_optimizer(classifier, update_rule(hp), classifier.head),
        schedule=cosine(hp.learning_rate, epochs * len(train_loader)),
        train=train_loader,
        validation=None,
        epochs=epochs,
        seed=0,
        device=pick_device(),
        checkpoints=Checkpoints(scratch, {}),
    )


def loop(folders: Path, epochs: int) -> list[float]:
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
    for _ in range(epochs):
        start, seen = time.perf_counter(), 0
        for images, targets in loader:
            optimizer.zero_grad()
            loss_function(network(images), targets).backward()
            optimizer.step()
            seen += len(images)
        speeds.append(seen / (time.perf_counter() - start))
    return speeds


if __name__ == "__main__":
    main(__doc__, Contest(f"ResNet-18, {SIZE} px", GOAL, BATCH, class_folders, training, loop))
