"""Training speed: FCN on ResNet-50, crops of 240, batch 8, against torchvision's reference loop and the limit.

    python benchmarks/train_segmentation.py [--rounds 2] [--pictures 32] [--epochs 2]

Contestants are those of ``_training.py``; a round takes about three minutes on two cores. The peer is the loop of
torchvision's references/segmentation: torchvision's ``fcn_resnet50`` with its auxiliary head, transforms v2 on Pillow
pictures (random size, flip, crop), a DataLoader with workers, float32, its SGD and loss. The numbers of parameters are
compared: both sides train the same network. The reference resizes the shorter side to between 0.5 and 2 times 520 and
crops 480; here all of it is half as large. Ours goes by the longer side, which for the pets is 4/3 as long.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _training import Contest, main, source, thinned

if TYPE_CHECKING:
    from clary.vision.base.types import Sample
    from clary.vision.training.loop import Training

BATCH = 8
CROP = 240
SHORTER, LONGER = 260, 347  # pixels of a side, times a random number from 0.5 to 2
WORKERS = 2
GOAL = "goal: 3x where bf16 is in hardware"


def masked(scratch: Path, images: int) -> Path:
    """Pictures and masks in two folders, which both sides read: pets' trimaps."""
    from clary.vision import formats

    dataset = formats.read(source(scratch), task="segmentation")
    chosen = thinned(dataset.splits["train"], images)
    formats.FORMATS.get("masks").write(dataset.with_splits({"train": chosen}), scratch / "data")
    return scratch / "data"


def training(root: Path, epochs: int, scratch: Path) -> Training:
    """Our run, assembled by the algorithm's own recipe."""
    from clary.vision import formats
    from clary.vision.algorithms.joblog import JobLog
    from clary.vision.algorithms.semantic_segmentation import train
    from clary.vision.algorithms.semantic_segmentation.spec import SPEC
    from clary.vision.base.jobdir import JobDir
    from clary.vision.training.stopping import StopRequest

    dataset = formats.read(root, task="segmentation")
    settings = {
        "num_classes": str(len(dataset.class_names)),
        "num_training_samples": str(len(dataset.splits["train"])),
        "algorithm": "fcn",
        "backbone": "resnet-50",
        "use_pretrained_model": "False",
        "crop_size": str(CROP),
        "base_size": str(LONGER),
        "mini_batch_size": str(BATCH),
        "epochs": str(epochs),
    }
    job, hp = JobDir.create(scratch, settings, {}), SPEC.parse(settings)
    network, description = train._make_network(job, hp, JobLog(None, None))
    return train._assemble(job, hp, dataset, network, description["architecture"], [], StopRequest())


# The peer


def loop(root: Path, epochs: int) -> list[float]:
    """train_one_epoch of torchvision's references/segmentation."""
    import torch
    from torch.optim.lr_scheduler import PolynomialLR
    from torch.utils.data import DataLoader
    from torchvision.models.segmentation import fcn_resnet50

    from clary.vision import formats

    dataset = formats.read(root, task="segmentation")
    classes = len(dataset.class_names)
    images = _images(dataset.splits["train"])
    loader: Any = DataLoader(images, BATCH, shuffle=True, num_workers=WORKERS, drop_last=True)
    network = fcn_resnet50(weights=None, weights_backbone=None, num_classes=classes, aux_loss=True).train()
    assert sum(parameter.numel() for parameter in network.parameters()) == _parameters(classes)
    groups: list[dict[str, Any]] = [
        {"params": [*network.backbone.parameters(), *network.classifier.parameters()]},
        {"params": [*network.aux_classifier.parameters()], "lr": 0.1},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, weight_decay=1e-4)
    schedule = PolynomialLR(optimizer, total_iters=len(loader) * epochs, power=0.9)
    speeds = []
    for _ in range(epochs):
        start, seen = time.perf_counter(), 0
        for images, targets in loader:
            loss = _loss(network(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss.item()
            seen += len(images)
        speeds.append(seen / (time.perf_counter() - start))
    return speeds


def _loss(outputs: dict[str, Any], targets: Any) -> Any:
    from torch.nn.functional import cross_entropy

    first, auxiliary = (cross_entropy(outputs[name], targets, ignore_index=255) for name in ("out", "aux"))
    return first + 0.5 * auxiliary


def _images(samples: Sequence[Sample]) -> Any:
    """A data set as the reference makes one of VOC: a Pillow picture and its mask, transformed together."""
    import numpy as np
    import torch
    from PIL import Image
    from torch.utils.data import Dataset
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    transforms = v2.Compose(
        [
            v2.RandomResize(SHORTER // 2, SHORTER * 2),
            v2.RandomHorizontalFlip(),
            v2.RandomCrop(CROP, pad_if_needed=True, fill={tv_tensors.Mask: 255, "others": 0}),
            v2.PILToTensor(),
            v2.ToDtype({torch.Tensor: torch.float32, tv_tensors.Mask: torch.int64, "others": None}, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            v2.ToPureTensor(),
        ]
    )

    class Images(Dataset[Any]):
        def __len__(self) -> int:
            return len(samples)

        def __getitem__(self, index: int) -> Any:
            sample = samples[index]
            assert sample.mask is not None
            image = Image.open(sample.image.path).convert("RGB")
            return transforms(image, tv_tensors.Mask(np.array(Image.open(sample.mask.path))))

    return Images()


def _parameters(classes: int) -> int:
    """Of our network."""
    from clary.vision.models.segmenter import build_segmenter, describe_segmenter

    ours = build_segmenter(describe_segmenter("timm:resnet50", "fcn", classes))
    return sum(parameter.numel() for parameter in ours.parameters())


if __name__ == "__main__":
    contest = Contest(f"FCN on ResNet-50, {CROP} px", GOAL, BATCH, masked, training, loop, pictures=32, epochs=2)
    main(__doc__, contest)
