"""Semantic segmentation as data. Names, ranges and defaults are SageMaker's built-in algorithm's (developer guide,
"Semantic Segmentation Hyperparameters"); what is marked ``extension`` is ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clary.vision.algorithms import hyperparameters as shared
from clary.vision.algorithms.local_settings import counted, fitting
from clary.vision.base.channels import ChannelSpec
from clary.vision.base.decoded_size import DecodedSize
from clary.vision.base.hyperparameters import (
    Choice,
    Flag,
    Float,
    Integer,
    Parsed,
    Text,
    TunableRange,
    as_text,
    invalid,
    optional,
    required,
    setting,
)
from clary.vision.base.image_sizes import Stage
from clary.vision.base.spec import Metric, Spec

if TYPE_CHECKING:
    from clary.vision.base.types import Dataset

__all__ = ["BACKBONES", "MULTIPLE", "SPEC", "SegmentationHyperparameters"]

BACKBONES = {"resnet-50": "resnet50", "resnet-101": "resnet101"}  # timm's names
MULTIPLE = 8  # of which sides are; the output stride of all networks but U-Net

IMAGES = ("image/jpeg", "application/x-image")
RECORDS = "application/x-recordio"


def _scales(text: str) -> tuple[float, float]:
    low, high = text.split(",")
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class SegmentationHyperparameters(shared.TrainingHyperparameters):
    """What semantic segmentation can be told."""

    # The guide's range; 255 is the value of pixels without a class.
    num_classes: int = required(Integer(2, 254), "classes including the background")
    num_training_samples: int = shared.num_training_samples("sets the length")
    algorithm: str = setting(
        Choice(("fcn", "psp", "deeplab", "unet")), "what stands on the backbone; unet is ours", "fcn"
    )
    backbone: str = setting(Text(r"^\S+$"), "resnet-50, resnet-101, or (ours) any timm network", "resnet-50")
    use_pretrained_model: bool = setting(Flag(), "start the backbone from ImageNet weights", True)
    base_size: int = setting(
        Integer(17), "longer side in pixels before the crop, times a random number from 0.5 to 2", 520
    )
    crop_size: int = setting(Integer(17), "side in pixels of the square crop that is trained on", 240)
    early_stopping: bool = shared.early_stopping("mIOU")
    early_stopping_min_epochs: int = shared.early_stopping_min_epochs(5)
    early_stopping_patience: int = shared.early_stopping_patience(4)
    early_stopping_tolerance: float = shared.early_stopping_tolerance()
    epochs: int = shared.epochs(10)
    gamma1: float = setting(Float(), "rmsprop: decay of the squared gradient", 0.9)
    gamma2: float = setting(Float(), "rmsprop: momentum of the step", 0.9)
    learning_rate: float = shared.learning_rate(0.001, 1e-4, 0.1)
    lr_scheduler: str = setting(
        Choice(("poly", "step", "cosine", "one-cycle")), "shape of the rate; one-cycle is ours", "poly"
    )
    lr_scheduler_factor: float = shared.lr_scheduler_factor("step: factor applied at each of `lr_scheduler_step`")
    lr_scheduler_step: tuple[int, ...] | None = optional(
        shared.epoch_list(), "step: epochs after which the rate is multiplied by `lr_scheduler_factor`, as 10,20"
    )
    mini_batch_size: int = shared.mini_batch_size(16, 1, 128)
    momentum: float = shared.momentum("sgd, nag", 0.9)
    optimizer: str = shared.optimizer(
        ("sgd", "adam", "rmsprop", "nag", "adagrad"),
        # The guide also names adadelta, which is not taken.
        tunable=("sgd", "adam"),
    )
    syncbn: bool = setting(
        Flag(), "statistics of normalisation over all GPUs; one machine without them ignores it", False
    )
    validation_mini_batch_size: int = setting(
        Integer(1), "pictures in a validation step; 1: whole pictures, more: the centre crop of `crop_size`", 16
    )
    weight_decay: float = shared.weight_decay("sgd", 0.0001, TunableRange(1e-5, 1e-3, logarithmic=True))
    precision_dtype: str = shared.precision_dtype()
    scale_range: tuple[float, float] = setting(
        Parsed(r"^[0-9.]+,[0-9.]+$", _scales),
        "the random number that `base_size` is multiplied by is drawn from here",
        (0.5, 2.0),
        extension=True,
    )
    augmentation_type: str = setting(
        Choice(("default", "light")),
        "default: scale, crop, mirror, blur; light: brightness and contrast as well",
        "default",
        extension=True,
    )
    inference_size: int | None = optional(
        Integer(17), "longer side in pixels at which pictures are served; unset: their own size", extension=True
    )
    freeze: str = shared.freeze()
    precision: str = shared.precision()
    progressive_resizing: tuple[Stage, ...] | None = shared.progressive_resizing("sides of the crops")
    head_rate_factor: float = shared.head_rate_factor(10.0)
    seed: int = shared.seed()

    def mistakes(self) -> Sequence[str]:
        found = []
        if self.lr_scheduler == "step" and not self.lr_scheduler_step:
            found += ["No value(s) were specified for 'lr_scheduler_step' which are required hyperparameter(s)"]
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            why = "expects two numbers above 0, the smaller first"
            found += [invalid("scale_range", as_text(self.scale_range), why)]
        return [*found, *(invalid(name, as_text(self[name]), why) for name, why in self.unfit_sizes(MULTIPLE))]

    def image_size(self) -> int:
        """Side in pixels of the square that is trained on: `crop_size` rounded up to a multiple of 8."""
        return -(-self.crop_size // MULTIPLE) * MULTIPLE

    def network_name(self) -> str:
        return self.backbone

    def decoded_sizes(self) -> Mapping[str, DecodedSize]:
        # Pixels of a shorter side beyond which nothing is gained: a larger JPEG is decoded at reduced scale.
        largest = int(max(self.base_size * self.scale_range[1], self.inference_size or 1 << 14, self.image_size()))
        return dict.fromkeys(("train", "validation"), DecodedSize.of(None, largest))

    def pretrained_network(self) -> str:
        return BACKBONES.get(self.backbone, self.backbone) if self.use_pretrained_model else ""


CHANNELS = (
    ChannelSpec("train", (*IMAGES, RECORDS), True, (RECORDS,), "pictures"),
    ChannelSpec("validation", (*IMAGES, RECORDS), True, (RECORDS,), "pictures"),
    ChannelSpec("train_annotation", ("image/png",), meaning="PNG masks of the same names; 255 is no class"),
    ChannelSpec("validation_annotation", ("image/png",), meaning="PNG masks of the same names; 255 is no class"),
    ChannelSpec("label_map", ("application/json",), meaning="train_label_map.json, validation_label_map.json"),
    ChannelSpec("model", ("application/x-sagemaker-model",), meaning="model.tar.gz to go on from"),
)

METRICS = (
    Metric("train:loss", r"train loss: (\S+)"),
    Metric("train:throughput", r"train throughput: (\S+)"),
    Metric("validation:mIOU", r"validation mIOU: (\S+)", objective=True),
    Metric("validation:pixel_accuracy", r"pixel_accuracy: (\S+)"),
    Metric("validation:throughput", r"validation throughput: (\S+)"),
)

# What the command line lays under the user's own values: chosen on small sets of pictures (docs/benchmarks.md).
LOCAL_DEFAULTS = {
    "algorithm": "unet",
    "backbone": "tf_efficientnet_lite0",
    "use_pretrained_model": "1",
    "freeze": "2,norms",
    "epochs": "20",
    "mini_batch_size": "8",
    "base_size": "352",
    "scale_range": "0.8,1.25",
    "crop_size": "288",
    "augmentation_type": "light",
    # 352 and 288 are multiples of 32, the deepest map's stride: of other sides borders blur (docs/benchmarks.md).
    "inference_size": "352",
    "validation_mini_batch_size": "1",
    "optimizer": "adamw",
    "learning_rate": "0.0003",
    "head_rate_factor": "3.3",
    "weight_decay": "0.01",
    "lr_scheduler": "one-cycle",
}


def _local_settings(given: Mapping[str, str], dataset: Dataset) -> Mapping[str, str]:
    defaults = fitting(SegmentationHyperparameters, LOCAL_DEFAULTS, given)
    return {**defaults, **counted(dataset, defaults), **given}


SPEC = Spec(
    name="semantic-segmentation",
    task="segmentation",
    train="clary.vision.algorithms.semantic_segmentation.train:train",
    schema=SegmentationHyperparameters,
    aliases=("segmentation",),
    channels=CHANNELS,
    metrics=METRICS,
    local_defaults=LOCAL_DEFAULTS,
    local_settings=_local_settings,
)
