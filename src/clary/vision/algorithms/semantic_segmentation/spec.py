"""Semantic segmentation as data. Names, ranges and defaults are SageMaker's built-in algorithm's (developer guide,
"Semantic Segmentation Hyperparameters"); what is marked ``extension`` is ours."""

from __future__ import annotations

from collections.abc import Sequence

from clary.vision.algorithms.extensions import FREEZE, PRECISION, SEED, head_rate_factor
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

IMAGES = ("image/jpeg", "application/x-image")
RECORDS = "application/x-recordio"
OPTIMIZERS = ("sgd", "adam", "rmsprop", "nag", "adagrad")
OWN_OPTIMIZERS = ("adamw",)


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


HYPERPARAMETERS = (
    Hyperparameter("num_classes", Integer(2, 254), "classes including the background", required=True),
    Hyperparameter(
        "num_training_samples",
        Integer(1),
        "pictures in the training set; sets the length of the learning-rate schedule",
        required=True,
    ),
    Hyperparameter(
        "algorithm", Choice(("fcn", "psp", "deeplab", "unet")), "what stands on the backbone; unet is ours", "fcn"
    ),
    Hyperparameter("backbone", Text(r"^\S+$"), "resnet-50, resnet-101, or (ours) any timm network", "resnet-50"),
    Hyperparameter("use_pretrained_model", Flag(), "start the backbone from ImageNet weights", True),
    Hyperparameter(
        "base_size", Integer(17), "longer side in pixels before the crop, times a random number from 0.5 to 2", 520
    ),
    Hyperparameter("crop_size", Integer(17), "side in pixels of the square crop that is trained on", 240),
    Hyperparameter("early_stopping", Flag(), "stop when validation mIOU no longer improves", False),
    Hyperparameter("early_stopping_min_epochs", Integer(1), "epochs to run before stopping is considered", 5),
    Hyperparameter("early_stopping_patience", Integer(1), "epochs without improvement that are tolerated", 4),
    Hyperparameter("early_stopping_tolerance", Float(), "relative gain below which an epoch is no improvement", 0.0),
    Hyperparameter("epochs", Integer(1), "passes over the training set", 10),
    Hyperparameter("gamma1", Float(), "rmsprop: decay of the squared gradient", 0.9),
    Hyperparameter("gamma2", Float(), "rmsprop: momentum of the step", 0.9),
    Hyperparameter("learning_rate", Float(), "step size", 0.001, tunable=TunableRange(1e-4, 0.1, logarithmic=True)),
    Hyperparameter(
        "lr_scheduler", Choice(("poly", "step", "cosine", "one-cycle")), "shape of the rate; one-cycle is ours", "poly"
    ),
    Hyperparameter("lr_scheduler_factor", Float(), "step: factor applied at each of `lr_scheduler_step`", 0.1),
    Hyperparameter(
        "lr_scheduler_step",
        Text(r"^(([1-9][0-9]*)(,[1-9][0-9]*)*)$", _integers),
        "step: epochs after which the rate is multiplied by `lr_scheduler_factor`, as 10,20",
    ),
    Hyperparameter("mini_batch_size", Integer(1), "pictures in a step", 16, tunable=TunableRange(1, 128)),
    Hyperparameter("momentum", Float(), "sgd, nag: momentum", 0.9, tunable=TunableRange(0.9, 0.999)),
    Hyperparameter(
        "optimizer",
        Choice(OPTIMIZERS + OWN_OPTIMIZERS),
        "update rule; adamw is ours",
        "sgd",
        tunable=TunableRange(values=("sgd", "adam")),  # the guide also names adadelta, which is not taken
    ),
    Hyperparameter(
        "syncbn", Flag(), "statistics of normalisation over all GPUs; one machine without them ignores it", False
    ),
    Hyperparameter(
        "validation_mini_batch_size",
        Integer(1),
        "pictures in a validation step; 1: whole pictures, more: the centre crop of `crop_size`",
        16,
    ),
    Hyperparameter(
        "weight_decay",
        Float(),
        "sgd: L2 penalty on weights",
        0.0001,
        tunable=TunableRange(1e-5, 1e-3, logarithmic=True),
    ),
    Hyperparameter("precision_dtype", Choice(("float32", "float16")), "float16: half-precision arithmetic", "float32"),
    Hyperparameter(
        "scale_range",
        Text(r"^[0-9.]+,[0-9.]+$", lambda text: tuple(float(part) for part in text.split(","))),
        "the random number that `base_size` is multiplied by is drawn from here",
        (0.5, 2.0),
        extension=True,
    ),
    Hyperparameter(
        "augmentation_type",
        Choice(("default", "light")),
        "default: scale, crop, mirror, blur; light: brightness and contrast as well",
        "default",
        extension=True,
    ),
    Hyperparameter(
        "inference_size",
        Integer(17),
        "longer side in pixels at which pictures are served; unset: their own size",
        extension=True,
    ),
    FREEZE,
    PRECISION,
    head_rate_factor(10.0),
    SEED,
)

CHANNELS = (
    ChannelSpec("train", (*IMAGES, RECORDS), True, ("File", "Pipe"), "pictures"),
    ChannelSpec("validation", (*IMAGES, RECORDS), True, ("File", "Pipe"), "pictures"),
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
    "inference_size": "352",
    "validation_mini_batch_size": "1",
    "optimizer": "adamw",
    "learning_rate": "0.0003",
    "head_rate_factor": "3.3",
    "weight_decay": "0.01",
    "lr_scheduler": "one-cycle",
}


def _steps_given(hp: Hyperparameters) -> Sequence[str]:
    if hp.lr_scheduler == "step" and not hp.lr_scheduler_step:
        return ["No value(s) were specified for 'lr_scheduler_step' which are required hyperparameter(s)"]
    return []


def _scales_in_order(hp: Hyperparameters) -> Sequence[str]:
    low, high = hp.scale_range
    if not 0 < low <= high:
        sentence = f"The value '{as_text(hp.scale_range)}' is not valid for the 'scale_range' hyperparameter which"
        return [f"{sentence} expects two numbers above 0, the smaller first (caused by ValidationError)"]
    return []


SPEC = Spec(
    name="semantic-segmentation",
    task="segmentation",
    aliases=("segmentation",),
    hyperparameters=HYPERPARAMETERS,
    channels=CHANNELS,
    metrics=METRICS,
    local_defaults=LOCAL_DEFAULTS,
    rules=(_steps_given, _scales_in_order),
)
