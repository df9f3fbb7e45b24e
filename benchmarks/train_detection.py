"""Training speed: SSD-300 on ResNet-50, batch 8, against torchvision's reference loop and the in-memory limit.

    python benchmarks/train_detection.py [--rounds 2] [--pictures 64] [--epochs 2]

Contestants are those of ``_training.py``; a round takes about two minutes on two cores. The peer is the loop of
torchvision's references/detection: its ``ssd`` augmentation by transforms v2 on Pillow pictures, a DataLoader with
workers, float32, its SGD, and torchvision's own ``SSD``, with its heads, default boxes, matching and loss. torchvision
has no SSD on ResNet-50, so its body is ours, timm's ResNet-50 and the extra convolutions; the numbers of parameters and
of boxes are compared, so that both sides compute the same. Two departures suit the peer: the workers shrink pictures to
300 pixels before they become floats, where the reference leaves that to the model in the process that trains; and
annotations are read beforehand.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _training import Contest, main, source, thinned

if TYPE_CHECKING:
    from torch import nn

    from clary.vision.base.types import Sample
    from clary.vision.training.loop import Training

BATCH = 8
SIDE = 300
WORKERS = 2
GOAL = "goal: 3x where bf16 is in hardware"
SIZES = [0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05]  # of default boxes, by map; ours
RATIOS = [[2], [2, 3], [2, 3], [2, 3], [2], [2]]
FILL = (123, 117, 104)  # the reference's


def annotated(scratch: Path, images: int) -> Path:
    """Pictures with boxes in COCO's layout, which both sides read: pets' heads."""
    from clary.vision import formats

    dataset = formats.read(source(scratch), task="detection")
    chosen = thinned(dataset.splits["train"], images)
    formats.FORMATS.get("coco").write(dataset.with_splits({"train": chosen}), scratch / "data")
    return scratch / "data"


def training(root: Path, epochs: int, scratch: Path) -> Training:
    """Our run, assembled by the algorithm's own recipe."""
    from clary.vision import formats
    from clary.vision.algorithms.joblog import JobLog
    from clary.vision.algorithms.object_detection import train
    from clary.vision.algorithms.object_detection.spec import SPEC
    from clary.vision.base.jobdir import JobDir
    from clary.vision.training.stopping import StopRequest

    dataset = formats.read(root, task="detection")
    settings = {
        "num_classes": str(len(dataset.class_names)),
        "num_training_samples": str(len(dataset.splits["train"])),
        "base_network": "resnet-50",
        "use_pretrained_model": "0",
        "image_shape": str(SIDE),
        "mini_batch_size": str(BATCH),
        "epochs": str(epochs),
    }
    job, hp = JobDir.create(scratch, settings, {}), SPEC.parse(settings)
    network, description = train._make_network(job, hp, dataset, JobLog(None, None))
    return train._assemble(job, hp, dataset, network, description["architecture"], [], StopRequest())


# The peer


def loop(root: Path, epochs: int) -> list[float]:
    """train_one_epoch of torchvision's references/detection."""
    import torch
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler

    from clary.vision import formats

    dataset = formats.read(root, task="detection")
    images = _images(dataset.splits["train"])
    sampler = BatchSampler(RandomSampler(images), BATCH, drop_last=True)
    loader: Any = DataLoader(images, batch_sampler=sampler, num_workers=WORKERS, collate_fn=_apart)
    network = _ssd(len(dataset.class_names)).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.002, momentum=0.9, weight_decay=0.0005)
    speeds = []
    for _ in range(epochs):
        start, seen = time.perf_counter(), 0
        for images, targets in loader:
            loss = sum(network(list(images), list(targets)).values())
            loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(images)
        speeds.append(seen / (time.perf_counter() - start))
    return speeds


def _apart(batch: Sequence[tuple[Any, Any]]) -> tuple[Any, ...]:
    return tuple(zip(*batch, strict=True))


def _images(samples: Sequence[Sample]) -> Any:
    """A data set as the reference makes one of COCO: a Pillow picture, its boxes and labels, transformed together."""
    import torch
    from PIL import Image
    from torch.utils.data import Dataset
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    transforms = v2.Compose(
        [
            v2.RandomPhotometricDistort(),
            v2.RandomZoomOut(fill=list(FILL)),
            v2.RandomIoUCrop(),
            v2.RandomHorizontalFlip(),
            v2.Resize((SIDE, SIDE)),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.SanitizeBoundingBoxes(),
            v2.ToPureTensor(),
        ]
    )

    class Images(Dataset[Any]):
        def __len__(self) -> int:
            return len(samples)

        def __getitem__(self, index: int) -> Any:
            sample = samples[index]
            image = Image.open(sample.image.path).convert("RGB")
            corners = [[box.xmin, box.ymin, box.xmax, box.ymax] for box in sample.boxes]
            boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(image.height, image.width))
            labels = torch.tensor([box.class_id + 1 for box in sample.boxes])
            return transforms(image, {"boxes": boxes, "labels": labels})

    return Images()


def _ssd(classes: int) -> nn.Module:
    """torchvision's SSD on our body. Raises AssertionError where it is not the same network as ours."""
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.ssd import SSD

    from clary.vision.models.anchors import ssd_levels
    from clary.vision.models.detector import build_detector, describe_detector, grids_of

    shape = (SIDE, SIDE)
    levels = ssd_levels(grids_of("timm:resnet50", shape), *shape)
    ours = build_detector(describe_detector("timm:resnet50", classes, shape, levels))
    parameters = sum(parameter.numel() for parameter in ours.parameters())
    boxes = DefaultBoxGenerator(RATIOS, scales=SIZES)
    network: nn.Module = SSD(_body(ours.detector), boxes, shape, classes + 1)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    per_cell = boxes.num_anchors_per_location()
    assert len(ours.levels) == sum(
        rows * columns * n for (rows, columns), n in zip((level.grid for level in levels), per_cell, strict=True)
    )
    return network


def _body(detector: Any) -> nn.Module:
    """Base and extra convolutions of our network as torchvision's SSD takes a backbone: floats to named maps."""
    from torch import Tensor, nn

    features, neck = detector.features, detector.head["neck"]

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body: Any = features.body
            self.neck = neck
            self.out_channels = list(neck.channels)

        def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
            how = {"indices": features._indices, "intermediates_only": True, "norm": False}
            maps = self.neck(self.body.forward_intermediates(images, **how))
            return OrderedDict((str(place), one) for place, one in enumerate(maps))

    return Body()


if __name__ == "__main__":
    contest = Contest(f"SSD-{SIDE} on ResNet-50", GOAL, BATCH, annotated, training, loop, pictures=64, epochs=2)
    main(__doc__, contest)
