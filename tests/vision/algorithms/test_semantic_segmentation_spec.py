"""Hyperparameters of semantic segmentation: names, defaults, ranges and error texts of the original."""

from __future__ import annotations

from typing import Any

import pytest

from clary.errors import HyperparameterError
from clary.vision.algorithms.semantic_segmentation.spec import SPEC
from clary.vision.base.hyperparameters import TunableRange

REQUIRED = {"num_classes": "21", "num_training_samples": "1464"}
UNIT = (["0", "1", "0.5", "1e-8", ".25"], ["-0.1", "1.1", "nan", "inf", "", "a"])
COUNT = (["1", "2", "1000"], ["0", "-1", "1.5", "", "one", "1e2"])
SIDE = (["17", "240", "1000"], ["16", "0", "-20", "240.0", "", "240,240"])
FLAG = (["True", "False", "true", "false", "0", "1"], ["yes", "2", ""])

# Name, default, texts that are taken, texts that are refused: table 7.1 of the behavioural specification.
TABLE: list[tuple[str, Any, list[str], list[str]]] = [
    ("num_classes", None, ["2", "21", "254"], ["1", "0", "255", "-3", "2.5", "two", ""]),
    ("num_training_samples", None, *COUNT),
    ("algorithm", "fcn", ["fcn", "psp", "deeplab"], ["FCN", "deeplabv3", ""]),
    ("backbone", "resnet-50", ["resnet-50", "resnet-101"], ["", "resnet 50"]),
    ("use_pretrained_model", True, *FLAG),
    ("base_size", 520, *SIDE),
    ("crop_size", 240, *SIDE),
    ("early_stopping", False, *FLAG),
    ("early_stopping_min_epochs", 5, *COUNT),
    ("early_stopping_patience", 4, *COUNT),
    ("early_stopping_tolerance", 0.0, *UNIT),
    ("epochs", 10, *COUNT),
    ("gamma1", 0.9, *UNIT),
    ("gamma2", 0.9, *UNIT),
    ("learning_rate", 0.001, *UNIT),
    ("lr_scheduler", "poly", ["poly", "cosine"], ["linear", "Poly", ""]),
    ("lr_scheduler_factor", 0.1, *UNIT),
    ("lr_scheduler_step", None, ["10", "10,20"], ["0", "10,", ",10", "10;20", "a", ""]),
    ("mini_batch_size", 16, *COUNT),
    ("momentum", 0.9, *UNIT),
    ("optimizer", "sgd", ["sgd", "adam", "rmsprop", "nag", "adagrad"], ["SGD", "adadelta", ""]),
    ("syncbn", False, *FLAG),
    ("validation_mini_batch_size", 16, *COUNT),
    ("weight_decay", 0.0001, *UNIT),
    ("precision_dtype", "float32", ["float32", "float16"], ["float64", "bf16", ""]),
]
NAMES = [name for name, *_ in TABLE]


def parsed(**texts: str) -> Any:
    return SPEC.parse({**REQUIRED, **texts})


def refusal(**texts: str) -> str:
    with pytest.raises(HyperparameterError) as caught:
        parsed(**texts)
    return str(caught.value)


def test_names_are_those_of_the_guide_and_ours_are_marked() -> None:
    assert [h.name for h in SPEC.hyperparameters if not h.extension] == NAMES
    assert {h.name for h in SPEC.hyperparameters if h.required} == set(REQUIRED)


@pytest.mark.parametrize(("name", "default", "good", "bad"), TABLE, ids=NAMES)
def test_values_of_the_guide(name: str, default: Any, good: list[str], bad: list[str]) -> None:
    assert SPEC[name].default == default
    for text in good:
        parsed(**{name: text})
    for text in bad:
        assert f"The value '{text}' is not valid for the '{name}' hyperparameter which" in refusal(**{name: text})


@pytest.mark.parametrize(
    ("name", "text", "end"),
    [
        (
            "num_classes",
            "255",
            "expects one of the following: a string which matches the pattern '^[1-9][0-9]*$'; or an integer between "
            "2 and 254",
        ),
        (
            "crop_size",
            "16",
            "expects one of the following: a string which matches the pattern '^[1-9][0-9]*$'; or an integer greater "
            "than or equal to 17",
        ),
        (
            "optimizer",
            "adadelta",
            "accepts one of the following: 'sgd', 'adam', 'rmsprop', 'nag', 'adagrad', 'adamw'",
        ),
        ("algorithm", "segnet", "accepts one of the following: 'fcn', 'psp', 'deeplab', 'unet'"),
        ("gamma2", "2", "expects one of the following: a number between 0 and 1"),
    ],
    ids=["range", "lower bound", "rules", "networks", "share"],
)
def test_refusals_are_in_the_words_of_the_original(name: str, text: str, end: str) -> None:
    assert refusal(**{name: text}) == (
        f"The value '{text}' is not valid for the '{name}' hyperparameter which {end} (caused by ValidationError)"
    )


def test_names_nobody_knows_and_names_of_the_service() -> None:
    assert refusal(crop_siz="240") == (
        "Additional properties are not allowed ('crop_siz' was unexpected, did you mean 'crop_size'?) "
        "(caused by ValidationError)"
    )
    assert "_tuning_objective_metric" not in parsed(_tuning_objective_metric="validation:mIOU", _aux_weight="0.5")


def test_required_names_are_told_together() -> None:
    with pytest.raises(HyperparameterError) as caught:
        SPEC.parse({})
    assert str(caught.value) == (
        "No value(s) were specified for 'num_classes', 'num_training_samples' which are required hyperparameter(s) "
        "(caused by ValidationError)"
    )


def test_steps_are_required_exactly_when_the_rate_goes_in_steps() -> None:
    missing = "No value(s) were specified for 'lr_scheduler_step' which are required hyperparameter(s)"
    assert refusal(lr_scheduler="step").startswith(missing)
    assert parsed(lr_scheduler="step", lr_scheduler_step="3,7").lr_scheduler_step == (3, 7)
    for other in ("poly", "cosine", "one-cycle"):
        parsed(lr_scheduler=other)


@pytest.mark.parametrize("text", ["2,0.5", "0,1", "1", "1,2,3", "-1,2", "a,b", "1.2.3,2", ".,."])
def test_scales_are_two_numbers_the_smaller_first(text: str) -> None:
    assert f"The value '{text}' is not valid for the 'scale_range' hyperparameter which" in refusal(scale_range=text)


def test_tunable_ranges_are_those_recommended() -> None:
    """The guide names adadelta as well, which the algorithm does not take."""
    found = {h.name: h.tunable for h in SPEC.hyperparameters if h.tunable}
    assert found == {
        "learning_rate": TunableRange(1e-4, 0.1, logarithmic=True),
        "mini_batch_size": TunableRange(1, 128),
        "momentum": TunableRange(0.9, 0.999),
        "optimizer": TunableRange(values=("sgd", "adam")),
        "weight_decay": TunableRange(1e-5, 1e-3, logarithmic=True),
    }
    assert [metric.name for metric in SPEC.metrics if metric.objective] == ["validation:mIOU"]


def test_metrics_are_those_of_the_guide() -> None:
    assert {metric.name: metric.pattern for metric in SPEC.metrics} == {
        "train:loss": r"train loss: (\S+)",
        "train:throughput": r"train throughput: (\S+)",
        "validation:mIOU": r"validation mIOU: (\S+)",
        "validation:pixel_accuracy": r"pixel_accuracy: (\S+)",
        "validation:throughput": r"validation throughput: (\S+)",
    }


def test_our_defaults_are_sound() -> None:
    hp = SPEC.parse({**REQUIRED, **(SPEC.local_defaults or {})})
    assert hp.backbone == "tf_efficientnet_lite0"


def test_channels() -> None:
    assert [channel.name for channel in SPEC.channels if channel.required] == ["train", "validation"]
    assert {channel.name for channel in SPEC.channels} == {
        "train", "validation", "train_annotation", "validation_annotation", "label_map", "model",
    }  # fmt: skip
