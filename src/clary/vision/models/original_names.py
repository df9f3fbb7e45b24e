"""Names that the original containers gave to a detector's parameters, so that their patterns mean the same here.

``freeze_layer_pattern`` is matched against names as ``conv1_1_weight`` (VGG-16) or ``stage1_unit1_bn1_gamma``
(ResNet-50), those of MXNet's symbols. The original's ResNet has its normalisations before the convolutions, ours after:
they are called by their number all the same, and those beside a shortcut ``sc_bn``. Other parameters keep our names.
"""

from __future__ import annotations

import re

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from clary.vision.models.detector import Detector
from clary.vision.models.vgg import VGGMaps

__all__ = ["freeze_matching", "original_names"]

# Layers of torchvision's and timm's networks, what the original calls them.
VGG = (
    (r"features\.features\.(\d+)", lambda found: _vgg_layer(int(found[1]))),
    (r"features\.(fc[67])", lambda found: found[1]),
)
RESNET = (
    (r"features\.body\.conv1", lambda found: "conv0"),
    (r"features\.body\.bn1", lambda found: "bn0"),
    (r"features\.body\.layer(\d)\.(\d+)\.downsample\.0", lambda found: f"stage{found[1]}_unit{int(found[2]) + 1}_sc"),
    (
        r"features\.body\.layer(\d)\.(\d+)\.downsample\.1",
        lambda found: f"stage{found[1]}_unit{int(found[2]) + 1}_sc_bn",
    ),
    (r"features\.body\.layer(\d)\.(\d+)\.(\w+)", lambda found: f"stage{found[1]}_unit{int(found[2]) + 1}_{found[3]}"),
)
EXTRAS = (
    (r"head\.neck\.extras\.(\d+)\.0", lambda found: f"multi_feat_{int(found[1]) + 2}_conv_1x1_conv"),
    (r"head\.neck\.extras\.(\d+)\.2", lambda found: f"multi_feat_{int(found[1]) + 2}_conv_3x3_conv"),
)
PREDICTORS = {"scores": "cls_pred_conv", "offsets": "loc_pred_conv"}
SCALE = ("features.scale", "relu4_3_scale")

# Convolutions of each of VGG-16's blocks, and where the block begins among torchvision's layers.
VGG_BLOCKS = ((0, 2), (5, 2), (10, 3), (17, 3), (24, 3))


def original_names(detector: Detector) -> dict[str, str]:
    """The detector's parameters: our name to the original's."""
    norms = {name for name, module in detector.named_modules() if isinstance(module, _BatchNorm)}
    vgg = isinstance(detector.features, VGGMaps)
    names = {}
    for name, _ in detector.named_parameters():
        layer, _, kind = name.rpartition(".")
        found = _layer(layer, vgg)
        # MXNet's names of a normalisation's scale and offset; patterns of users end in them.
        kind = {"weight": "gamma", "bias": "beta"}[kind] if layer in norms else kind
        names[name] = f"{found}_{kind}" if found else dict([SCALE]).get(name, name)
    return names


def freeze_matching(detector: Detector, pattern: str) -> list[str]:
    """Stop training the parameters whose original names match from their beginning. Returns those names.

    No pattern matches nothing. As in the original, normalisations go on counting their statistics. Raises re.error for
    what is no pattern.
    """
    expression, frozen = re.compile(pattern), []
    parameters: dict[str, nn.Parameter] = dict(detector.named_parameters())
    for name, original in original_names(detector).items():
        # match, from the beginning, as the guide says: "conv1" freezes conv1_1 and conv1_2.
        if pattern and expression.match(original):
            parameters[name].requires_grad_(False)
            frozen.append(original)
    return frozen


def _layer(name: str, vgg: bool) -> str:
    """The original's name of a layer, empty where it has none."""
    for pattern, call in (VGG if vgg else RESNET) + EXTRAS:
        if found := re.fullmatch(pattern, name):
            return call(found)
    if found := re.fullmatch(r"head\.predict\.(\d+)\.(scores|offsets)", name):
        level, kind = int(found[1]), PREDICTORS[found[2]]
        base = ("relu4_3", "relu7") if vgg else ("_plus12", "_plus15")
        return f"{base[level] if level < 2 else f'multi_feat_{level}_conv_3x3_relu'}_{kind}"
    return ""


def _vgg_layer(place: int) -> str:
    for block, (begin, count) in enumerate(VGG_BLOCKS):
        # Two places each: a convolution and its ReLU.
        if begin <= place < begin + 2 * count:
            return f"conv{block + 1}_{(place - begin) // 2 + 1}"
    return ""
