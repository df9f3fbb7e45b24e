"""Image classification as data. Names, ranges and defaults are SageMaker's built-in algorithm's (developer guide,
"Image Classification Hyperparameters"); what is marked ``extension`` is ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clary.vision.algorithms import hyperparameters as shared
from clary.vision.algorithms.local_settings import counted, fitting
from clary.vision.base.channels import ChannelSpec
from clary.vision.base.decoded_size import DecodedSize
from clary.vision.base.hyperparameters import (
    Choice,
    Float,
    Integer,
    Parsed,
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

__all__ = ["IMAGENET_DEPTHS", "SMALL_DEPTHS", "SPEC", "ClassificationHyperparameters"]

RECORDS = "application/x-recordio"
IMAGES = ("application/x-image", "image/jpeg", "image/png")
# The guide's depths: the first are ResNets for pictures of ImageNet's size, the others for those of CIFAR's.
IMAGENET_DEPTHS = (18, 34, 50, 101, 152, 200)
SMALL_DEPTHS = (20, 32, 44, 56, 110)


def _optional_name(text: str) -> str | None:
    return None if text.lower() == "none" else text


@dataclass(frozen=True, kw_only=True)
class ClassificationHyperparameters(shared.TrainingHyperparameters):
    """What image classification can be told."""

    num_classes: int = required(Integer(2), "number of classes; ids run from 0 to n-1")
    num_training_samples: int = shared.num_training_samples()
    augmentation_type: str | None = optional(
        Choice(("crop", "crop_color", "crop_color_transform", "resized_crop")),
        "random crop and flip; with colour; with rotation, shear and aspect as well; ours: crop of random size",
    )
    beta_1: float = setting(
        Float(), "adam: decay of the mean of gradients", 0.9, tunable=TunableRange(1e-6, 0.999, logarithmic=True)
    )
    beta_2: float = setting(
        Float(), "adam: decay of the mean of squares", 0.999, tunable=TunableRange(1e-6, 0.999, logarithmic=True)
    )
    checkpoint_frequency: int | None = optional(
        Integer(1), "keep the weights of every k-th epoch; unset: the best only"
    )
    early_stopping: bool = shared.early_stopping("accuracy")
    early_stopping_min_epochs: int = shared.early_stopping_min_epochs(10)
    early_stopping_patience: int = shared.early_stopping_patience(5)
    early_stopping_tolerance: float = shared.early_stopping_tolerance()
    epochs: int = shared.epochs(30)
    eps: float = setting(
        Float(), "adam, rmsprop: added to the denominator", 1e-8, tunable=TunableRange(1e-8, 1.0, logarithmic=True)
    )
    gamma: float = setting(
        Float(), "rmsprop: decay of the squared gradient", 0.9, tunable=TunableRange(1e-8, 0.999, logarithmic=True)
    )
    image_shape: tuple[int, ...] = setting(
        Parsed(r"^([1-9][0-9]*)(,[1-9][0-9]*)(,[1-9][0-9]*)$", shared.integers),
        "network input as channels,height,width; 1 channel is gray",
        (3, 224, 224),
    )
    kv_store: str | None = shared.kv_store()
    learning_rate: float = shared.learning_rate(0.1, 1e-6, 0.5)
    lr_scheduler_factor: float = shared.lr_scheduler_factor()
    lr_scheduler_step: tuple[int, ...] | None = optional(
        shared.epoch_list(), "epochs after which the rate is multiplied by `lr_scheduler_factor`, as 10,20"
    )
    mini_batch_size: int = shared.mini_batch_size(32, 8, 512)
    momentum: float = shared.momentum("sgd, nag")
    multi_label: bool = setting(Choice((False, True)), "1: each class is yes or no on its own", False)
    num_layers: int = setting(
        Choice(IMAGENET_DEPTHS + SMALL_DEPTHS),
        "depth of the ResNet; 20, 32, 44, 56, 110 are for pictures of about 28 pixels",
        152,
    )
    optimizer: str = shared.optimizer(("sgd", "adam", "rmsprop", "nag"))
    precision_dtype: str = shared.precision_dtype()
    resize: int | None = optional(Integer(1), "shorter side in pixels before the crop")
    top_k: int | None = optional(Integer(2), "also report top-k accuracy of training")
    use_pretrained_model: bool = shared.use_pretrained_model(False)
    use_weighted_loss: bool = setting(
        Choice((False, True)),
        "1: weigh multi-label classes by how rare they are (negatives / positives)",
        False,
    )
    weight_decay: float = shared.weight_decay("sgd, nag", 0.0001, TunableRange(0.0, 0.999))
    backbone: str | None = optional(
        Parsed(r"^\S+$", _optional_name), "any timm network instead of the ResNet of `num_layers`", extension=True
    )
    freeze: str = shared.freeze()
    precision: str = shared.precision()
    progressive_resizing: tuple[Stage, ...] | None = shared.progressive_resizing("shorter sides of what is trained on")
    lr_schedule: str = shared.lr_schedule()
    head_rate_factor: float = shared.head_rate_factor(1.0)
    label_smoothing: float = setting(Float(), "share of the target spread over all classes", 0.0, extension=True)
    inference_crop: str = setting(
        Choice(("squash", "center")),
        "picture to network input when serving: squash (SageMaker's) ignores aspect, center is as in validation",
        "squash",
        extension=True,
    )
    validation_crop: str | None = optional(
        Choice(("center", "serving")),
        "how validation pictures are prepared: center (unset) as SageMaker does, serving: as `inference_crop` says",
        extension=True,
    )
    seed: int = shared.seed()

    def mistakes(self) -> Sequence[str]:
        return [invalid(name, as_text(self[name]), why) for name, why in self._unfit()]

    def _unfit(self) -> Iterator[tuple[str, str]]:
        if self.checkpoint_frequency and self.checkpoint_frequency > self.epochs:
            yield "checkpoint_frequency", f"must not be above 'epochs' ({self.epochs})"
        if self.top_k and self.top_k > self.num_classes:
            yield "top_k", f"must not be above 'num_classes' ({self.num_classes})"
        if self.image_shape[0] not in (1, 3):
            yield "image_shape", "must have 3 channels, or 1 for gray"
        yield from self.unfit_sizes()
        if self.optimizer in ("adam", "adamw"):
            # At 1 a mean never moves from zero, and Adam divides by zero to correct for it.
            for name, beta in (("beta_1", self.beta_1), ("beta_2", self.beta_2)):
                if beta >= 1:
                    yield name, f"must be below 1 for {self.optimizer}"

    def image_size(self) -> int:
        return min(self.image_shape[1:])

    def network_name(self) -> str:
        return self.backbone or f"resnet{self.num_layers}"

    def decoded_sizes(self) -> Mapping[str, DecodedSize]:
        side = max(self.image_shape[1:])
        cropped = DecodedSize.of(self.resize or side, side)
        squashed = self.validation_crop == "serving" and self.inference_crop != "center"
        return {"train": cropped, "validation": DecodedSize.of(None, side) if squashed else cropped}

    def pretrained_network(self) -> str:
        return self.network_name() if self.use_pretrained_model else ""


CHANNELS = (
    ChannelSpec("train", (RECORDS, *IMAGES), True, (RECORDS,), "records, or a tree of pictures"),
    ChannelSpec("validation", (RECORDS, *IMAGES), True, (RECORDS,), "records, or a tree of pictures"),
    ChannelSpec("train_lst", IMAGES[:1], meaning="one .lst: index, class id(s), path"),
    ChannelSpec("validation_lst", IMAGES[:1], meaning="one .lst: index, class id(s), path"),
    ChannelSpec("model", ("application/x-sagemaker-model",), meaning="model.tar.gz to go on from"),
)

METRICS = (
    # Names and patterns are the original's: SDK and tuner read them in the answer of DescribeTrainingJob.
    Metric("train:accuracy", r"Epoch\S* Train-accuracy=(\S*)"),
    Metric("validation:accuracy", r"Epoch\S* Validation-accuracy=(\S*)", objective=True),
)

# What the command line lays under the user's own values: chosen on small sets of pictures (docs/benchmarks.md).
LOCAL_DEFAULTS = {
    "backbone": "tf_efficientnet_lite0",
    "use_pretrained_model": "1",
    "freeze": "3,norms",
    "epochs": "8",
    "progressive_resizing": "160:4",
    "optimizer": "adamw",
    "learning_rate": "0.0003",
    "head_rate_factor": "3",
    "weight_decay": "0.01",
    "lr_schedule": "cosine",
    "label_smoothing": "0.1",
    "augmentation_type": "resized_crop",
    "resize": "256",
    "inference_crop": "center",
    "validation_crop": "serving",
}


def _local_settings(given: Mapping[str, str], dataset: Dataset) -> Mapping[str, str]:
    # Chosen for the usual network at its size; others may take one size only.
    unfit = {"progressive_resizing"} if given.keys() & {"image_shape", "backbone", "num_layers"} else set()
    # Asks for SageMaker's own network.
    if "num_layers" in given and "backbone" not in given:
        unfit |= {"backbone", "use_pretrained_model"}
    # Resize was chosen for the usual one.
    if "image_shape" in given:
        unfit |= {"resize"}
    several = {"multi_label": "1"} if dataset.multi_label else {}
    defaults = fitting(ClassificationHyperparameters, LOCAL_DEFAULTS, given, unfit)
    return {**defaults, **counted(dataset, defaults), **several, **given}


SPEC = Spec(
    name="image-classification",
    task="classification",
    train="clary.vision.algorithms.image_classification.train:train",
    schema=ClassificationHyperparameters,
    aliases=("classification",),
    channels=CHANNELS,
    metrics=METRICS,
    local_defaults=LOCAL_DEFAULTS,
    local_settings=_local_settings,
)
