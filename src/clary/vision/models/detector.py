"""Networks that give every anchor a class and a box.

SSD (Liu 2016) stands on VGG-16, or on the last two maps of any timm backbone, with extra convolutions for ever larger
objects; the lighter ``fpn`` stands on three maps of a timm backbone joined from the top down (Lin 2016, *Feature
Pyramid Networks*), one head for all. The description is ``{"task": "detection", "architecture": "timm:resnet50",
"neck": {"kind": "ssd"}, "num_classes": 2, "image_shape": [300, 300], "anchors": [...], "mean": [...], "std": [...]}``.

``resnet-50`` is timm's ``resnet50``, whose pretrained weights image classification uses as well, where the original has
the pre-activation variant; its maps, extra convolutions, predictors and anchors are the original's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clary.errors import UsageError
from clary.vision.base.boxes import LARGEST_GROWTH, VARIANCES
from clary.vision.models.anchors import Anchors, Grid, Level
from clary.vision.models.features import FeatureMaps
from clary.vision.models.normalization import IMAGENET_MEAN, IMAGENET_STD
from clary.vision.models.vgg import VGGMaps

__all__ = ["FPN", "SSD", "VGG", "BoxScores", "Detector", "build_detector", "decoded", "describe_detector", "grids_of"]

VGG = "vgg16"
# Pixels from which VGG-16 has a seventh map, as in MXNet's SSD example.
LARGE = 448

SSD: Mapping[str, Any] = {"kind": "ssd"}
FPN: Mapping[str, Any] = {"kind": "fpn", "strides": [8, 16, 32], "width": 96, "depth": 1}

# Extra convolutions of SSD: filters of the 1x1, filters, stride and padding of the 3x3.
EXTRAS = {
    "timm": ((256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 2, 1), (128, 128, 2, 1)),
    "vgg": ((256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0), (128, 256, 1, 0)),
    "vgg large": ((256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 2, 1), (128, 256, 2, 1), (128, 256, 1, 1)),
}


class SSDNeck(nn.Module):
    """The base's maps as they are, and each extra block's after them."""

    def __init__(self, channels: Sequence[int], extras: Sequence[tuple[int, int, int, int]]) -> None:
        super().__init__()
        self.extras = nn.ModuleList()
        before = channels[-1]
        for narrow, wide, stride, padding in extras:
            self.extras.append(
                nn.Sequential(
                    nn.Conv2d(before, narrow, 1),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(narrow, wide, 3, stride=stride, padding=padding),
                    nn.ReLU(inplace=True),
                )
            )
            before = wide
        self.channels = (*channels, *(wide for _, wide, _, _ in extras))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # MXNet's initialisation of new layers.
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        found = list(maps)
        for extra in self.extras:
            found.append(extra(found[-1]))
        return found


class FPNNeck(nn.Module):
    """Every map at one width, the coarser ones added to the finer; beyond stride 32 by a convolution of stride 2."""

    def __init__(self, channels: Sequence[int], width: int, more: int) -> None:
        super().__init__()
        self.across = nn.ModuleList(nn.Sequential(*_normed(size, width, 1, relu=False)) for size in channels)
        self.down = nn.ModuleList(nn.Sequential(*_normed(width, width, 3, stride=2)) for _ in range(more))
        self.smooth = nn.ModuleList(nn.Sequential(*_normed(width, width, 3)) for _ in range(len(channels) + more))
        self.channels = (width,) * (len(channels) + more)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        found = [across(one) for across, one in zip(self.across, maps, strict=True)]
        for down in self.down:
            found.append(down(found[-1]))
        for place in range(len(found) - 2, -1, -1):
            # From the coarsest down, so that each map has taken up all above it when it is added.
            found[place] = found[place] + F.interpolate(found[place + 1], size=found[place].shape[2:], mode="nearest")
        return [smooth(one) for smooth, one in zip(self.smooth, found, strict=True)]


class Head(nn.Module):
    """Two 3x3 convolutions on a map: classes + 1 scores (background first) and 4 offsets for each anchor."""

    def __init__(self, channels: int, anchors: int, classes: int) -> None:
        super().__init__()
        self.outputs = classes + 1
        self.scores = nn.Conv2d(channels, anchors * self.outputs, 3, padding=1)
        self.offsets = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        for predictor in (self.scores, self.offsets):
            nn.init.xavier_uniform_(predictor.weight)
            nn.init.zeros_(predictor.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return _by_anchor(self.scores(features), self.outputs), _by_anchor(self.offsets(features), 4)


class SharedHead(nn.Module):
    """One tower of ``depth`` convolutions and one pair of predictors for maps of equal width."""

    BACKGROUND = 4.0  # an anchor begins as sure to be background: most are

    def __init__(self, width: int, depth: int, anchors: int, classes: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(*(layer for _ in range(depth) for layer in _normed(width, width, 3)))
        self.predict = Head(width, anchors, classes)
        for predictor in (self.predict.scores, self.predict.offsets):
            nn.init.normal_(predictor.weight, std=0.01)
        # Else the loss of some thousand anchors of background drowns that of the few objects at first (Lin 2017, *Focal
        # Loss*, 3.3).
        with torch.no_grad():
            self.predict.scores.bias.view(anchors, -1)[:, 0] = self.BACKGROUND  # type: ignore[union-attr]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.predict(self.tower(features))
        return found


class Detector(nn.Module):
    """uint8 RGB pixels (N, H, W, 3) to logits (N, A, classes + 1), background first, and offsets (N, A, 4).

    ``features`` is the base, ``head`` all that stands on it.
    """

    def __init__(self, features: FeatureMaps | VGGMaps, neck: SSDNeck | FPNNeck, heads: nn.ModuleList) -> None:
        super().__init__()
        self.features = features
        self.head = nn.ModuleDict({"neck": neck, "predict": heads})

    def freeze(self, what: str) -> None:
        """Stop training parts of the base, as ``models.freezing.freeze`` says."""
        self.features.freeze(what)

    def predictor_biases(self) -> list[nn.Parameter]:
        """The biases of the last convolutions."""
        found = self.head["predict"].named_parameters()
        return [bias for name, bias in found if name.endswith(("scores.bias", "offsets.bias"))]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps, heads = self.head["neck"](self.features(images)), list(self.head["predict"])  # type: ignore[call-overload]
        if len(heads) == 1:
            # One head for all maps: the same module, hence shared weights.
            heads *= len(maps)
        found = [head(one) for head, one in zip(heads, maps, strict=True)]
        logits, offsets = zip(*found, strict=True)
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)


class BoxScores(nn.Module):
    """What is exported: uint8 pixels (N, H, W, 3) to ``boxes`` (N, A, 4), xmin, ymin, xmax, ymax in 0..1 of the
    picture, and ``scores`` (N, A, classes), softmax without the background; both float32, ready for suppression."""

    anchors: Tensor

    def __init__(self, detector: Detector, anchors: Anchors) -> None:
        super().__init__()
        self.detector = detector
        self.levels = anchors
        # Not in the state dict: the description has them, and one that contradicts the weights cannot be made.
        self.register_buffer("anchors", torch.from_numpy(anchors.centred), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, offsets = self.detector(images)
        # In fp32: bf16's eight bits put a corner up to two pixels beside its place in a picture of 500.
        return decoded(offsets.float(), self.anchors), logits.float().softmax(dim=2)[..., 1:]


def decoded(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (N, A, 4) cut to 0..1 out of offsets from centred anchors (A, 4); ``base.boxes.decode`` as tensors."""
    centre = anchors[:, :2] + offsets[..., :2] * VARIANCES[0] * anchors[:, 2:]
    half = anchors[:, 2:] * (offsets[..., 2:] * VARIANCES[1]).clamp(max=LARGEST_GROWTH).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1).clamp(0, 1)


def describe_detector(
    architecture: str,
    num_classes: int,
    image_shape: tuple[int, int],
    levels: Sequence[Level],
    *,
    neck: Mapping[str, Any] = SSD,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> dict[str, Any]:
    """The description from which ``build_detector`` makes the network: ``architecture`` is vgg16, or timm:NAME.

    ``image_shape`` is height and width in pixels; ``levels`` are the anchors of each map of ``grids_of``.
    """
    return {
        "task": "detection",
        "architecture": architecture,
        "neck": dict(neck),
        "num_classes": num_classes,
        "image_shape": list(image_shape),
        "anchors": Anchors(levels).describe(),
        "mean": list(mean),
        "std": list(std),
    }


def build_detector(network: Mapping[str, Any]) -> BoxScores:
    """The network of a description, with random weights, on CPU. Raises UsageError for what cannot be built."""
    architecture, neck, shape = str(network["architecture"]), network["neck"], tuple(network["image_shape"])
    anchors = Anchors.from_description(network["anchors"])
    grids = grids_of(architecture, shape, neck)
    # A manifest from elsewhere: anchors of another size of pictures would put every box beside its object.
    if [level.grid for level in anchors.levels] != grids:
        raise UsageError(f"the anchors are for other maps than {grids}", hint="take the anchors of this image_shape")
    classes, counts = int(network["num_classes"]), [len(level.sizes) for level in anchors.levels]
    features, body = _base(architecture, shape, neck, network["mean"], network["std"])
    if neck["kind"] == "fpn":
        if len(set(counts)) > 1:
            raise UsageError(f"one head takes equally many anchors on each map, not {counts}", hint="share them out")
        heads: list[nn.Module] = [SharedHead(body.channels[0], int(neck["depth"]), counts[0], classes)]
    else:
        heads = [Head(width, count, classes) for width, count in zip(body.channels, counts, strict=True)]
    detector = Detector(features, body, nn.ModuleList(heads))
    return BoxScores(detector.to(memory_format=torch.channels_last), anchors)


def grids_of(architecture: str, image_shape: Sequence[int], neck: Mapping[str, Any] = SSD) -> list[Grid]:
    """Rows and columns of the maps that anchors stand on, the finest first; nothing is computed.

    Raises UsageError for a network that is unknown or does not take pictures of that size.
    """
    height, width = image_shape
    with torch.device("meta"):  # shapes only: no memory, no arithmetic
        features, body = _base(architecture, (height, width), neck, IMAGENET_MEAN, IMAGENET_STD)
        try:
            maps = body(features.eval()(torch.zeros(1, height, width, 3, dtype=torch.uint8)))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise UsageError(
                f"{architecture} does not take pictures of {width} x {height} pixels ({' '.join(str(error).split())})",
                hint="set another image_shape",
            ) from error
    return [(int(one.shape[2]), int(one.shape[3])) for one in maps]


def _base(
    architecture: str, shape: tuple[int, ...], neck: Mapping[str, Any], mean: Sequence[float], std: Sequence[float]
) -> tuple[FeatureMaps | VGGMaps, SSDNeck | FPNNeck]:
    if neck["kind"] not in ("ssd", "fpn"):
        raise UsageError(f"no neck is called `{neck['kind']}`", hint="use ssd or fpn")
    if architecture == VGG:
        if neck["kind"] != "ssd":
            raise UsageError(f"{VGG} has no maps for `{neck['kind']}`", hint="use ssd, or a timm backbone")
        vgg = VGGMaps(mean, std)
        return vgg, SSDNeck(vgg.channels, EXTRAS["vgg large" if min(shape) >= LARGE else "vgg"])
    name = architecture.removeprefix("timm:")
    if neck["kind"] == "ssd":
        features = FeatureMaps(name, mean, std, strides=(16, 32))
        return features, SSDNeck(features.channels, EXTRAS["timm"])
    own = [stride for stride in neck["strides"] if stride <= 32]
    features = FeatureMaps(name, mean, std, strides=own)
    return features, FPNNeck(features.channels, int(neck["width"]), len(neck["strides"]) - len(own))


def _normed(channels: int, width: int, side: int, *, stride: int = 1, relu: bool = True) -> list[nn.Module]:
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, side, stride=stride, padding=side // 2, bias=False),
        nn.BatchNorm2d(width),
    ]
    return [*layers, nn.ReLU(inplace=True)] if relu else layers


def _by_anchor(outputs: Tensor, numbers: int) -> Tensor:
    """(N, anchors * numbers, rows, columns) to (N, rows * columns * anchors, numbers)."""
    # Cell by cell, then by anchor within it: the order of Level.boxes, which MXNet's is, too.
    return outputs.permute(0, 2, 3, 1).reshape(outputs.shape[0], -1, numbers)
