"""Object detection as data. Names, ranges and defaults are SageMaker's built-in algorithm's (developer guide, "Object
Detection Hyperparameters"); what is marked ``extension`` is ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clary.vision.algorithms.extensions import FREEZE, PRECISION, SEED, head_rate_factor, lr_schedule
from clary.vision.base.spec import (
    ChannelSpec,
    Choice,
    Flag,
    Float,
    Hyperparameter,
    Hyperparameters,
    Integer,
    Metric,
    Spec,
    Text,
    TunableRange,
    as_text,
)

RECORDS = "application/x-recordio"
IMAGES = ("image/jpeg", "image/png", "application/x-image")
OPTIMIZERS = ("sgd", "adam", "rmsprop", "adadelta")
OWN_OPTIMIZERS = ("adamw",)

LABEL_HEADER, LABEL_OBJECT = 2, 5  # numbers of a label vector: in front, and of each object


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",")) if text else ()


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error:
        raise ValueError(text) from None
    return text


HYPERPARAMETERS = (
    Hyperparameter(
        "num_classes", Integer(1), "number of classes; ids run from 0 to n-1, background not counted", required=True
    ),
    Hyperparameter(
        "num_training_samples",
        Integer(1),
        "pictures in the training set; places the steps of the learning-rate schedule",
        required=True,
    ),
    Hyperparameter("base_network", Choice(("vgg-16", "resnet-50")), "what SSD stands on", "vgg-16"),
    Hyperparameter("early_stopping", Flag(), "stop when validation mAP no longer improves", False),
    Hyperparameter("early_stopping_min_epochs", Integer(1), "epochs to run before stopping is considered", 10),
    Hyperparameter("early_stopping_patience", Integer(1), "epochs without improvement that are tolerated", 5),
    Hyperparameter("early_stopping_tolerance", Float(), "relative gain below which an epoch is no improvement", 0.0),
    Hyperparameter("epochs", Integer(1), "passes over the training set", 30),
    Hyperparameter(
        "freeze_layer_pattern",
        Text(r"^.*$", _expression),
        "parameters whose names begin with a match are not trained, as ^(conv1_|conv2_).*; names of the original",
        "",
    ),
    Hyperparameter(
        "image_shape", Integer(300, 10000), "side in pixels of the square that pictures are resized to", 300
    ),
    Hyperparameter("kv_store", Choice(("dist_sync", "dist_async")), "how several machines combine gradients"),
    Hyperparameter(
        "label_width",
        Integer(LABEL_HEADER + LABEL_OBJECT),
        "numbers in a picture's label vector: 2, and 5 for each object, at most",
        350,
    ),
    Hyperparameter("learning_rate", Float(), "step size", 0.001, tunable=TunableRange(1e-6, 0.5, logarithmic=True)),
    Hyperparameter("lr_scheduler_factor", Float(), "factor applied to the rate at each of `lr_scheduler_step`", 0.1),
    Hyperparameter(
        "lr_scheduler_step",
        Text(r"^(([1-9][0-9]*)(,[1-9][0-9]*)*)?$", _integers),
        "epochs after which the rate is multiplied by `lr_scheduler_factor`, as 10,20",
        (),
    ),
    Hyperparameter("mini_batch_size", Integer(1), "pictures in a step", 32, tunable=TunableRange(8, 64)),
    Hyperparameter("momentum", Float(), "sgd: momentum", 0.9, tunable=TunableRange(0.0, 0.999)),
    Hyperparameter("nms_threshold", Float(), "overlap at which the lesser of two boxes of a class is dropped", 0.45),
    Hyperparameter("nms_topk", Integer(1), "boxes of a picture that are looked at, best scores first", 400),
    Hyperparameter(
        "optimizer",
        Choice(OPTIMIZERS + OWN_OPTIMIZERS),
        "update rule; adamw is ours",
        "sgd",
        tunable=TunableRange(values=OPTIMIZERS),
    ),
    Hyperparameter(
        "overlap_threshold",
        Float(),
        "overlap above which an anchor answers for an object, and a detection is correct",
        0.5,
    ),
    Hyperparameter(
        "use_pretrained_model", Choice(("0", "1"), lambda t: t == "1"), "1: start from ImageNet weights", True
    ),
    Hyperparameter(
        "weight_decay", Float(), "sgd, rmsprop: L2 penalty on weights", 0.0005, tunable=TunableRange(0.0, 0.999)
    ),
    Hyperparameter("backbone", Text(r"^\S+$"), "any timm network instead of `base_network`", extension=True),
    Hyperparameter(
        "neck",
        Choice(("ssd", "fpn")),
        "what stands on the backbone: SSD's extra convolutions, or three maps joined from the top down, for timm only",
        "ssd",
        extension=True,
    ),
    Hyperparameter(
        "anchors",
        Choice(("original", "fitted")),
        "original: SSD's own boxes to start from; fitted: `anchors_per_cell` fitted to the training boxes",
        "original",
        extension=True,
    ),
    Hyperparameter("anchors_per_cell", Integer(1, 32), "fitted anchors on each cell of a map", 3, extension=True),
    Hyperparameter(
        "augmentation",
        Choice(("ssd", "gentle", "none")),
        "ssd: the original's colour, padding, crops and flip; gentle: for small sets; none",
        "ssd",
        extension=True,
    ),
    FREEZE,
    PRECISION,
    lr_schedule(),
    head_rate_factor(1.0),
    Hyperparameter(
        "box_weight", Float(0.0, 1000.0), "weight of the boxes' loss beside that of the classes", 1.0, extension=True
    ),
    SEED,
)

CHANNELS = (
    ChannelSpec("train", (RECORDS, *IMAGES), True, ("File", "Pipe"), "records, or pictures"),
    ChannelSpec("validation", (RECORDS, *IMAGES), True, ("File", "Pipe"), "records, or pictures"),
    ChannelSpec("train_annotation", IMAGES, meaning="one JSON a picture, of the same name"),
    ChannelSpec("validation_annotation", IMAGES, meaning="one JSON a picture, of the same name"),
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
    "mini_batch_size": "8",
    "optimizer": "adamw",
    "learning_rate": "0.0003",
    "head_rate_factor": "3.3",
    "weight_decay": "0.01",
    "lr_schedule": "one-cycle",
    "box_weight": "2",
}


def _neck_fits(hp: Hyperparameters) -> Sequence[str]:
    if hp.neck == "fpn" and not hp.backbone and hp.base_network == "vgg-16":
        return [_invalid("neck", hp, "must be 'ssd' for the base network 'vgg-16'")]
    return []


def _anchors_fit(hp: Hyperparameters) -> Sequence[str]:
    if hp.neck == "fpn" and hp.anchors == "original":
        return [_invalid("anchors", hp, "must be 'fitted' for the neck 'fpn', which has other maps than SSD")]
    return []


def _invalid(name: str, hp: Hyperparameters, why: str) -> str:
    sentence = f"The value '{as_text(hp[name])}' is not valid for the '{name}' hyperparameter which {why}"
    return f"{sentence} (caused by ValidationError)"


SPEC = Spec(
    name="object-detection",
    task="detection",
    aliases=("detection",),
    hyperparameters=HYPERPARAMETERS,
    channels=CHANNELS,
    metrics=METRICS,
    local_defaults=LOCAL_DEFAULTS,
    rules=(_neck_fits, _anchors_fit),
)
