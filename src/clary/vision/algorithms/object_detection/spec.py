"""Object detection as data. Names, ranges and defaults are SageMaker's built-in algorithm's (developer guide, "Object
Detection Hyperparameters"); what is marked ``extension`` is ours."""

from __future__ import annotations

import re
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

__all__ = ["BASES", "SPEC", "DetectionHyperparameters"]

BASES = {"vgg-16": "vgg16", "resnet-50": "resnet50"}  # timm's names

RECORDS = "application/x-recordio"
IMAGES = ("image/jpeg", "image/png", "application/x-image")
# The guide has them under the type of the images.
ANNOTATIONS = (*IMAGES, "application/json")

LABEL_HEADER, LABEL_OBJECT = 2, 5  # numbers of a label vector: in front, and of each object


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        raise ValueError(text) from None
    return text


@dataclass(frozen=True, kw_only=True)
class DetectionHyperparameters(shared.TrainingHyperparameters):
    """What object detection can be told."""

    num_classes: int = required(Integer(1), "number of classes; ids run from 0 to n-1, background not counted")
    num_training_samples: int = shared.num_training_samples()
    base_network: str = setting(Choice(("vgg-16", "resnet-50")), "what SSD stands on", "vgg-16")
    early_stopping: bool = shared.early_stopping("mAP")
    early_stopping_min_epochs: int = shared.early_stopping_min_epochs(10)
    early_stopping_patience: int = shared.early_stopping_patience(5)
    early_stopping_tolerance: float = shared.early_stopping_tolerance()
    epochs: int = shared.epochs(30)
    freeze_layer_pattern: str = setting(
        Parsed(r"^.*$", _expression),
        "parameters whose names begin with a match are not trained, as ^(conv1_|conv2_).*; names of the original",
        "",
    )
    image_shape: int = setting(Integer(300, 10000), "side in pixels of the square that pictures are resized to", 300)
    kv_store: str | None = shared.kv_store()
    label_width: int = setting(
        Integer(LABEL_HEADER + LABEL_OBJECT),
        # 350 is the guide's: 69 objects and the header.
        "numbers in a picture's label vector: 2, and 5 for each object, at most",
        350,
    )
    learning_rate: float = shared.learning_rate(0.001, 1e-6, 0.5)
    lr_scheduler_factor: float = shared.lr_scheduler_factor()
    lr_scheduler_step: tuple[int, ...] = setting(
        shared.epoch_list(empty=True),
        "epochs after which the rate is multiplied by `lr_scheduler_factor`, as 10,20",
        (),
    )
    mini_batch_size: int = shared.mini_batch_size(32, 8, 64)
    momentum: float = shared.momentum("sgd")
    nms_threshold: float = setting(Float(), "overlap at which the lesser of two boxes of a class is dropped", 0.45)
    nms_topk: int = setting(Integer(1), "boxes of a picture that are looked at, best scores first", 400)
    optimizer: str = shared.optimizer(("sgd", "adam", "rmsprop", "adadelta"))
    overlap_threshold: float = setting(
        Float(), "overlap above which an anchor answers for an object, and a detection is correct", 0.5
    )
    use_pretrained_model: bool = shared.use_pretrained_model(True)
    weight_decay: float = shared.weight_decay("sgd, rmsprop", 0.0005, TunableRange(0.0, 0.999))
    backbone: str | None = optional(Text(r"^\S+$"), "any timm network instead of `base_network`", extension=True)
    neck: str = setting(
        Choice(("ssd", "fpn")),
        "what stands on the backbone: SSD's extra convolutions, or three maps joined from the top down, for timm only",
        "ssd",
        extension=True,
    )
    anchors: str = setting(
        Choice(("original", "fitted")),
        "original: SSD's own boxes to start from; fitted: `anchors_per_cell` fitted to the training boxes",
        "original",
        extension=True,
    )
    anchors_per_cell: int = setting(Integer(1, 32), "fitted anchors on each cell of a map", 3, extension=True)
    augmentation: str = setting(
        Choice(("ssd", "gentle", "none")),
        "ssd: the original's colour, padding, crops and flip; gentle: for small sets; none",
        "ssd",
        extension=True,
    )
    freeze: str = shared.freeze()
    precision: str = shared.precision()
    progressive_resizing: tuple[Stage, ...] | None = shared.progressive_resizing("sides that pictures are resized to")
    lr_schedule: str = shared.lr_schedule()
    head_rate_factor: float = shared.head_rate_factor(1.0)
    box_weight: float = setting(
        Float(0.0, 1000.0), "weight of the boxes' loss beside that of the classes", 1.0, extension=True
    )
    seed: int = shared.seed()

    def mistakes(self) -> Sequence[str]:
        return [invalid(name, as_text(self[name]), why) for name, why in self._unfit()]

    def _unfit(self) -> Iterator[tuple[str, str]]:
        if self.neck == "fpn" and not self.backbone and self.base_network == "vgg-16":
            yield "neck", "must be 'ssd' for the base network 'vgg-16'"
        if self.neck == "fpn" and self.anchors == "original":
            yield "anchors", "must be 'fitted' for the neck 'fpn', which has other maps than SSD"
        yield from self.unfit_sizes()
        if self.progressive_resizing and not self.backbone and self.base_network == "vgg-16":
            # Its last maps have no padding: of smaller pictures one is empty; of others there are fewer (LARGE).
            yield "progressive_resizing", "must be 'none' for the base network 'vgg-16', whose maps go with one size"

    def image_size(self) -> int:
        return self.image_shape

    def network_name(self) -> str:
        return self.backbone or self.base_network

    def decoded_sizes(self) -> Mapping[str, DecodedSize]:
        # Crops enlarge: a training picture is kept at twice the size of the input.
        side = self.image_shape
        return {"train": DecodedSize.of(None, 2 * side), "validation": DecodedSize.of(None, side)}

    def pretrained_network(self) -> str:
        return (self.backbone or BASES[self.base_network]) if self.use_pretrained_model else ""


CHANNELS = (
    ChannelSpec("train", (RECORDS, *IMAGES), True, (RECORDS,), "records, or pictures"),
    ChannelSpec("validation", (RECORDS, *IMAGES), True, (RECORDS,), "records, or pictures"),
    ChannelSpec("train_annotation", ANNOTATIONS, meaning="one JSON a picture, of the same name"),
    ChannelSpec("validation_annotation", ANNOTATIONS, meaning="one JSON a picture, of the same name"),
    ChannelSpec("model", ("application/x-sagemaker-model",), meaning="model.tar.gz to go on from"),
)

METRICS = (
    Metric(
        "train:cross_entropy",
        r"#quality_metric: host=\S+, epoch=\S+, batch=\S+ train cross_entropy <loss>=\((\S+)\)",
    ),
    Metric("train:smooth_l1", r"#quality_metric: host=\S+, epoch=\S+, batch=\S+ train smooth_l1 <loss>=\((\S+)\)"),
    Metric("train:progress", r"#progress_metric: host=\S+, completed (\S+) %"),
    Metric("train:throughput", r"#throughput_metric: host=\S+, train throughput=(\S+) records/second"),
    Metric("validation:mAP", r"#quality_metric: host=\S+, epoch=\S+, validation mAP <score>=\((\S+)\)", objective=True),
)

# What the command line lays under the user's own values: chosen on small sets of pictures (docs/benchmarks.md).
LOCAL_DEFAULTS = {
    "backbone": "tf_efficientnet_lite0",
    "neck": "fpn",
    "anchors": "fitted",
    "augmentation": "gentle",
    "freeze": "2,norms",
    "image_shape": "320",
    "epochs": "20",
    "progressive_resizing": "224:10",
    "mini_batch_size": "8",
    "optimizer": "adamw",
    "learning_rate": "0.0003",
    "head_rate_factor": "3.3",
    "weight_decay": "0.01",
    "lr_schedule": "one-cycle",
    "box_weight": "2",
}


def _local_settings(given: Mapping[str, str], dataset: Dataset) -> Mapping[str, str]:
    # Chosen for the usual network at its size; others may take one size only.
    unfit = {"progressive_resizing"} if given.keys() & {"image_shape", "backbone", "base_network"} else set()
    # Asks for SageMaker's own network.
    if "base_network" in given and "backbone" not in given:
        unfit |= {"backbone", "use_pretrained_model"}
        unfit |= {"neck"} if given["base_network"] == "vgg-16" else set()
    defaults = fitting(DetectionHyperparameters, LOCAL_DEFAULTS, given, unfit)
    return {**defaults, **counted(dataset, defaults), **given}


SPEC = Spec(
    name="object-detection",
    task="detection",
    train="clary.vision.algorithms.object_detection.train:train",
    schema=DetectionHyperparameters,
    aliases=("detection",),
    channels=CHANNELS,
    metrics=METRICS,
    local_defaults=LOCAL_DEFAULTS,
    local_settings=_local_settings,
)
