"""Networks that give every pixel a class.

FCN, PSPNet and DeepLabV3 stand on a backbone of output stride 8, with an auxiliary FCN head on the map before last, as
GluonCV builds them; U-Net stands on the plain backbone and climbs back up by transposed convolutions. The description
is ``{"task": "segmentation", "architecture": "timm:resnet50s.gluon_in1k", "algorithm": "fcn", "num_classes": 21,
"mean": [...], "std": [...]}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from clary.errors import UsageError
from clary.vision.models.dilated import DilatedConvolution
from clary.vision.models.features import FeatureMaps
from clary.vision.models.normalization import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["ALGORITHMS", "PixelScores", "Segmenter", "build_segmenter", "describe_segmenter"]

ALGORITHMS = ("fcn", "psp", "deeplab", "unet")


class PSPHead(nn.Sequential):
    """Averages over 1, 2, 3 and 6 cells a side beside the map itself (Zhao 2017, *Pyramid Scene Parsing Network*)."""

    GRIDS = (1, 2, 3, 6)

    def __init__(self, channels: int, classes: int) -> None:
        quarter = channels // 4
        super().__init__(
            _Pyramid(channels, quarter, self.GRIDS),
            *_convolution(channels + quarter * len(self.GRIDS), quarter, 3),
            nn.Dropout(0.1),
            nn.Conv2d(quarter, classes, 1),
        )


class _Pyramid(nn.Module):
    def __init__(self, channels: int, width: int, grids: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(_Pool(grid), *_convolution(channels, width, 1)) for grid in grids)

    def forward(self, features: Tensor) -> Tensor:
        size = features.shape[2:]
        raised = [F.interpolate(level(features), size=size, mode="bilinear") for level in self.levels]
        return torch.cat([features, *raised], dim=1)


class _Pool(nn.Module):
    """Means of ``grid`` x ``grid`` cells, as ``AdaptiveAvgPool2d`` has them, in operations that ONNX has for any size:
    a cell is a row of weights over the rows of the map, and one over its columns."""

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, features: Tensor) -> Tensor:
        rows, columns = self._cells(features.shape[2], features), self._cells(features.shape[3], features)
        return rows @ features @ columns.T

    def _cells(self, size: int, like: Tensor) -> Tensor:
        """(grid, size) weights: 1 / n for the n places from floor(i size / grid) to ceil((i + 1) size / grid)."""
        place = torch.arange(size, device=like.device)
        number = torch.arange(self.grid, device=like.device)[:, None]
        # In whole numbers, which every engine calculates alike.
        inside = (place * self.grid < (number + 1) * size) & ((place + 1) * self.grid > number * size)
        weights = inside.to(like.dtype)
        return weights / weights.sum(dim=1, keepdim=True)


class UNetDecoder(nn.Module):
    """From the deepest map upwards: a transposed convolution doubles the size, the next finer map is added (Ronneberger
    2015, *U-Net*; adding instead of joining halves the work). Gives logits at the stride of the first map."""

    def __init__(self, channels: Sequence[int], classes: int, width: int) -> None:
        super().__init__()
        deepest, *finer = reversed(channels)
        widths = [max(width // 2, min(2 * width, width * 2**level)) for level in range(len(finer) - 2, -2, -1)]
        self.context = _Context(deepest, widths[0])
        before = [widths[0], *widths[:-1]]
        self.steps = nn.ModuleList(_Up(*sizes) for sizes in zip(before, finer, widths, strict=True))
        self.classify = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(widths[-1], classes, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        features = self.context(maps[-1])
        for step, finer in zip(self.steps, reversed(maps[:-1]), strict=True):
            features = step(features, finer)
        logits: Tensor = self.classify(features)
        return logits


class _Context(nn.Module):
    """The deepest map at the decoder's width, and the mean over the picture added to each of its cells."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(*_convolution(channels, width, 1))
        self.whole = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        features = self.enter(features)
        # No normalisation: over the one place of a mean a batch of one picture has no variance.
        whole: Tensor = self.whole(features.mean(dim=(2, 3), keepdim=True))
        return features + whole


class _Up(nn.Module):
    def __init__(self, channels: int, finer: int, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, width, 2, stride=2, bias=False)
        self.across = nn.Conv2d(finer, width, 1, bias=False)
        self.join = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.mix = nn.Sequential(*_convolution(width, width, 3))

    def forward(self, features: Tensor, finer: Tensor) -> Tensor:
        raised = self.up(features)[:, :, : finer.shape[2], : finer.shape[3]]  # of an odd side the last half is none
        mixed: Tensor = self.mix(self.join(raised + self.across(finer)))
        return mixed


class Segmenter(nn.Module):
    """uint8 RGB pixels (N, H, W, 3) to logits (N, classes, H, W); in training a tuple with the auxiliary ones after it
    where the algorithm has an auxiliary head."""

    def __init__(self, features: FeatureMaps, algorithm: str, classes: int, width: int) -> None:
        super().__init__()
        self.features = features
        self.algorithm = algorithm
        *_, before, last = features.channels
        heads = {"fcn": FCNHead, "psp": PSPHead, "deeplab": _deeplab}
        self.head = (
            UNetDecoder(features.channels, classes, width) if algorithm == "unet" else heads[algorithm](last, classes)
        )
        # GluonCV's auxiliary head: gradients reach the middle of a deep backbone directly (Zhao 2017, 4).
        self.auxiliary = None if algorithm == "unet" else FCNHead(before, classes)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        size = (images.shape[1], images.shape[2])
        maps = self.features(images)
        logits = _enlarged(self.head(maps if self.algorithm == "unet" else maps[-1]), size)
        if self.auxiliary is None or not self.training:
            return logits
        return logits, _enlarged(self.auxiliary(maps[-2]), size)


class PixelScores(nn.Module):
    """What is exported: uint8 pixels (N, H, W, 3) to ``scores``, float32 (N, classes, H, W), softmax over classes."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.segmenter(images)
        return logits.float().softmax(dim=1)


def describe_segmenter(
    architecture: str,
    algorithm: str,
    num_classes: int,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    width: int = 64,
) -> dict[str, Any]:
    """The description from which ``build_segmenter`` makes the network. ``width`` is U-Net's at stride 4."""
    return {
        "task": "segmentation",
        "architecture": architecture,
        "algorithm": algorithm,
        "num_classes": num_classes,
        "mean": list(mean),
        "std": list(std),
        "width": width,
    }


def build_segmenter(network: Mapping[str, Any]) -> PixelScores:
    """The network of a description, with random weights, on CPU. Raises UsageError for what cannot be built."""
    algorithm = str(network["algorithm"])
    if algorithm not in ALGORITHMS:
        raise UsageError(f"no algorithm is called `{algorithm}`", hint=f"use {', '.join(ALGORITHMS)}")
    name = str(network["architecture"]).removeprefix("timm:")
    plain = algorithm == "unet"
    features = FeatureMaps(
        name,
        network["mean"],
        network["std"],
        # 16 and 32 name the last two stages; dilated, both maps are at stride 8.
        strides=(2, 4, 8, 16, 32) if plain else (16, 32),
        output_stride=32 if plain else 8,
    )
    segmenter = Segmenter(features, algorithm, int(network["num_classes"]), int(network.get("width", 64)))
    return PixelScores(segmenter.to(memory_format=torch.channels_last))


def _deeplab(channels: int, classes: int) -> nn.Module:
    """DeepLabV3 (Chen 2017) with the rates of output stride 8."""
    # Chen's 6, 12, 18 are for output stride 16; at 8 the same field of view is twice as many cells.
    head = DeepLabHead(channels, classes, (12, 24, 36))
    for layer in list(head.modules()):
        for name, part in layer.named_children():
            # 21 ms of a picture in place of 146 on processors (docs/benchmarks.md, Serving speed).
            if isinstance(part, nn.Conv2d) and part.dilation != (1, 1):
                setattr(layer, name, DilatedConvolution.like(part))
    return head


def _enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _convolution(channels: int, width: int, side: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, width, side, padding=side // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
