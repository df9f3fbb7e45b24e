"""Image classification as data. Names, ranges and defaults are SageMaker's built-in algorithm's (developer guide,
"Image Classification Hyperparameters"); what is marked ``extension`` is ours."""

from __future__ import annotations

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
IMAGES = ("application/x-image", "image/jpeg", "image/png")
IMAGENET_DEPTHS = ("18", "34", "50", "101", "152", "200")
SMALL_DEPTHS = ("20", "32", "44", "56", "110")
OPTIMIZERS = ("sgd", "adam", "rmsprop", "nag")
OWN_OPTIMIZERS = ("adamw",)


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _optional_name(text: str) -> str | None:
    return None if text.lower() == "none" else text


HYPERPARAMETERS = (
    Hyperparameter("num_classes", Integer(2), "number of classes; ids run from 0 to n-1", required=True),
    Hyperparameter(
        "num_training_samples",
        Integer(1),
        "pictures in the training set; places the steps of the learning-rate schedule",
        required=True,
    ),
    Hyperparameter(
        "augmentation_type",
        Choice(("crop", "crop_color", "crop_color_transform", "resized_crop")),
        "random crop and flip; with colour; with rotation, shear and aspect as well; ours: crop of random size",
    ),
    Hyperparameter(
        "beta_1",
        Float(),
        "adam: decay of the mean of gradients",
        0.9,
        tunable=TunableRange(1e-6, 0.999, logarithmic=True),
    ),
    Hyperparameter(
        "beta_2",
        Float(),
        "adam: decay of the mean of squares",
        0.999,
        tunable=TunableRange(1e-6, 0.999, logarithmic=True),
    ),
    Hyperparameter("checkpoint_frequency", Integer(1), "keep the weights of every k-th epoch; unset: the best only"),
    Hyperparameter("early_stopping", Flag(), "stop when validation accuracy no longer improves", False),
    Hyperparameter("early_stopping_min_epochs", Integer(1), "epochs to run before stopping is considered", 10),
    Hyperparameter("early_stopping_patience", Integer(1), "epochs without improvement that are tolerated", 5),
    Hyperparameter("early_stopping_tolerance", Float(), "relative gain below which an epoch is no improvement", 0.0),
    Hyperparameter("epochs", Integer(1), "passes over the training set", 30),
    Hyperparameter(
        "eps",
        Float(),
        "adam, rmsprop: added to the denominator",
        1e-8,
        tunable=TunableRange(1e-8, 1.0, logarithmic=True),
    ),
    Hyperparameter(
        "gamma",
        Float(),
        "rmsprop: decay of the squared gradient",
        0.9,
        tunable=TunableRange(1e-8, 0.999, logarithmic=True),
    ),
    Hyperparameter(
        "image_shape",
        Text(r"^([1-9][0-9]*)(,[1-9][0-9]*)(,[1-9][0-9]*)$", _integers),
        "network input as channels,height,width",
        (3, 224, 224),
    ),
    Hyperparameter("kv_store", Choice(("dist_sync", "dist_async")), "how several machines combine gradients"),
    Hyperparameter("learning_rate", Float(), "step size", 0.1, tunable=TunableRange(1e-6, 0.5, logarithmic=True)),
    Hyperparameter("lr_scheduler_factor", Float(), "factor applied to the rate at each of `lr_scheduler_step`", 0.1),
    Hyperparameter(
        "lr_scheduler_step",
        Text(r"^(([1-9][0-9]*)(,[1-9][0-9]*)*)$", _integers),
        "epochs after which the rate is multiplied by `lr_scheduler_factor`, as 10,20",
    ),
    Hyperparameter("mini_batch_size", Integer(1), "pictures in a step", 32, tunable=TunableRange(8, 512)),
    Hyperparameter("momentum", Float(), "sgd, nag: momentum", 0.9, tunable=TunableRange(0.0, 0.999)),
    Hyperparameter(
        "multi_label", Choice(("0", "1"), lambda t: t == "1"), "1: each class is yes or no on its own", False
    ),
    Hyperparameter(
        "num_layers",
        Choice(IMAGENET_DEPTHS + SMALL_DEPTHS, int),
        "depth of the ResNet; 20, 32, 44, 56, 110 are for pictures of about 28 pixels",
        152,
    ),
    Hyperparameter(
        "optimizer",
        Choice(OPTIMIZERS + OWN_OPTIMIZERS),
        "update rule; adamw is ours",
        "sgd",
        tunable=TunableRange(values=OPTIMIZERS),
    ),
    Hyperparameter("precision_dtype", Choice(("float32", "float16")), "float16: half-precision arithmetic", "float32"),
    Hyperparameter("resize", Integer(1), "shorter side in pixels before the crop"),
    Hyperparameter("top_k", Integer(2), "also report top-k accuracy of training"),
    Hyperparameter(
        "use_pretrained_model", Choice(("0", "1"), lambda t: t == "1"), "1: start from ImageNet weights", False
    ),
    Hyperparameter(
        "use_weighted_loss",
        Choice(("0", "1"), lambda t: t == "1"),
        "1: weigh multi-label classes by how rare they are (negatives / positives)",
        False,
    ),
    Hyperparameter(
        "weight_decay", Float(), "sgd, nag: L2 penalty on weights", 0.0001, tunable=TunableRange(0.0, 0.999)
    ),
    Hyperparameter(
        "backbone",
        Text(r"^\S+$", _optional_name),
        "any timm network instead of the ResNet of `num_layers`",
        extension=True,
    ),
    FREEZE,
    PRECISION,
    lr_schedule(),
    head_rate_factor(1.0),
    Hyperparameter("label_smoothing", Float(), "share of the target spread over all classes", 0.0, extension=True),
    Hyperparameter(
        "inference_crop",
        Choice(("squash", "center")),
        "picture to network input when serving: squash (SageMaker's) ignores aspect, center is as in validation",
        "squash",
        extension=True,
    ),
    SEED,
)

CHANNELS = (
    ChannelSpec("train", (RECORDS, *IMAGES), True, ("File", "Pipe"), "records, or a tree of pictures"),
    ChannelSpec("validation", (RECORDS, *IMAGES), True, ("File", "Pipe"), "records, or a tree of pictures"),
    ChannelSpec("train_lst", IMAGES[:1], meaning="one .lst: index, class id(s), path"),
    ChannelSpec("validation_lst", IMAGES[:1], meaning="one .lst: index, class id(s), path"),
    ChannelSpec("model", ("application/x-sagemaker-model",), meaning="model.tar.gz to go on from"),
)

METRICS = (
    Metric("train:accuracy", r"Epoch\S* Train-accuracy=(\S*)"),
    Metric("validation:accuracy", r"Epoch\S* Validation-accuracy=(\S*)", objective=True),
)

# What the command line lays under the user's own values: chosen on small sets of pictures (docs/benchmarks.md).
LOCAL_DEFAULTS = {
    "backbone": "tf_efficientnet_lite0",
    "use_pretrained_model": "1",
    "freeze": "3,norms",
    "epochs": "8",
    "optimizer": "adamw",
    "learning_rate": "0.0003",
    "head_rate_factor": "3",
    "weight_decay": "0.01",
    "lr_schedule": "cosine",
    "label_smoothing": "0.1",
    "augmentation_type": "resized_crop",
    "resize": "256",
    "inference_crop": "center",
}


def _checkpoints_fit(hp: Hyperparameters) -> Sequence[str]:
    if hp.checkpoint_frequency and hp.checkpoint_frequency > hp.epochs:
        return [_invalid("checkpoint_frequency", hp, f"must not be above 'epochs' ({hp.epochs})")]
    return []


def _top_k_fits(hp: Hyperparameters) -> Sequence[str]:
    if hp.top_k and hp.top_k > hp.num_classes:
        return [_invalid("top_k", hp, f"must not be above 'num_classes' ({hp.num_classes})")]
    return []


def _colours_fit(hp: Hyperparameters) -> Sequence[str]:
    return [] if hp.image_shape[0] == 3 else [_invalid("image_shape", hp, "must have 3 channels")]


def _betas_fit(hp: Hyperparameters) -> Sequence[str]:
    """At 1 a mean never moves from zero, and Adam divides by zero to correct for it."""
    names = ("beta_1", "beta_2") if hp.optimizer in ("adam", "adamw") else ()
    return [_invalid(name, hp, f"must be below 1 for {hp.optimizer}") for name in names if hp[name] >= 1]


def _invalid(name: str, hp: Hyperparameters, why: str) -> str:
    sentence = f"The value '{as_text(hp[name])}' is not valid for the '{name}' hyperparameter which {why}"
    return f"{sentence} (caused by ValidationError)"


SPEC = Spec(
    name="image-classification",
    task="classification",
    aliases=("classification",),
    hyperparameters=HYPERPARAMETERS,
    channels=CHANNELS,
    metrics=METRICS,
    local_defaults=LOCAL_DEFAULTS,
    rules=(_checkpoints_fit, _top_k_fits, _colours_fit, _betas_fit),
)
