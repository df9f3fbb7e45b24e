"""A backbone that classifies, described by plain data so that an artifact can rebuild it.

The description is ``{"architecture": "timm:resnet18", "num_classes": 3, "multi_label": False, "mean": [...],
"std": [...]}``; ``small:20`` names the networks for tiny pictures. The backbone takes as many channels as ``mean`` has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import Tensor, nn

from clary.errors import UsageError
from clary.vision.models.freezing import freeze
from clary.vision.models.head import find_head
from clary.vision.models.names import nearest
from clary.vision.models.normalization import IMAGENET_MEAN, IMAGENET_STD, InputNormalization
from clary.vision.models.resnet_small import ResNetSmall

__all__ = ["Classifier", "Scores", "build", "describe"]


class Classifier(nn.Module):
    """uint8 RGB pixels (N, H, W, 3) to logits (N, num_classes); ``mean`` and ``std`` have as many channels as the
    backbone takes, 3 or 1."""

    backbone: nn.Module

    def __init__(self, backbone: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.normalize = InputNormalization(mean, std)
        self.backbone = backbone
        self._frozen: tuple[nn.Module, ...] = ()

    def freeze(self, what: str) -> None:
        """Stop training parts: "none", "norms" (running statistics), "stem", "backbone", "<n>" stages, or "<n>,norms".

        A frozen part's normalisation uses its running statistics; "norms" still trains scale and offset.
        Raises UsageError when there are fewer than n stages.
        """
        self._frozen = freeze(self.backbone, what)
        self.train(self.training)

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        # After super(): train() sets every module, and the loop calls it before each step.
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(self.normalize(images))

    @property
    def head(self) -> nn.Linear:
        """The last fully connected layer."""
        return find_head(self.backbone)


class Scores(nn.Module):
    """A classifier whose logits become probabilities in float32: softmax, or sigmoids when ``multi_label``."""

    classifier: Classifier

    def __init__(self, classifier: Classifier, multi_label: bool) -> None:
        super().__init__()
        self.classifier = classifier
        self.multi_label = multi_label

    def forward(self, images: Tensor) -> Tensor:
        # Probabilities in fp32, whatever the network calculates in: in bf16 those near 1 are all 1.
        logits = self.classifier(images).float()
        return logits.sigmoid() if self.multi_label else logits.softmax(dim=1)


def describe(
    architecture: str,
    num_classes: int,
    *,
    multi_label: bool = False,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> dict[str, Any]:
    """The description from which ``build`` makes the network."""
    return {
        "architecture": architecture,
        "num_classes": num_classes,
        "multi_label": multi_label,
        "mean": list(mean),
        "std": list(std),
    }


def build(network: Mapping[str, Any]) -> Scores:
    """The network of a description, with random weights, on CPU. Raises UsageError for an unknown architecture."""
    backbone = _backbone(str(network["architecture"]), int(network["num_classes"]), len(network["mean"]))
    classifier = Classifier(backbone, tuple(network["mean"]), tuple(network["std"]))
    # bf16 with channels last is most of training's speed on processors (docs/benchmarks.md).
    return Scores(classifier.to(memory_format=torch.channels_last), bool(network["multi_label"]))


def _backbone(architecture: str, classes: int, channels: int) -> nn.Module:
    kind, _, name = architecture.partition(":")
    try:
        if kind == "small":
            return ResNetSmall(int(name), classes, channels)
        if kind == "timm" and timm.is_model(name):
            network: nn.Module = timm.create_model(
                name, pretrained=False, num_classes=classes, **({} if channels == 3 else {"in_chans": channels})
            )
            # Now, so that a network that cannot be trained for other classes is refused before anything is read.
            find_head(network)
            return network
    except (ValueError, RuntimeError) as error:  # a depth that is none, a tag of weights that timm does not know
        raise UsageError(f"there is no network `{architecture}` ({error})") from error
    raise UsageError(f"no network is called `{architecture}`", hint=nearest(name))
