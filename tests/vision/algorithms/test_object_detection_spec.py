"""Hyperparameters of object detection: names, defaults, ranges and error texts of the original."""

from __future__ import annotations

from typing import Any

import pytest

from clary.errors import HyperparameterError
from clary.vision.algorithms.object_detection.spec import SPEC
from clary.vision.base.hyperparameters import TunableRange

REQUIRED = {"num_classes": "2", "num_training_samples": "500"}
UNIT = (["0", "1", "0.5", "1e-8", ".25"], ["-0.1", "1.1", "nan", "inf", "", "a"])
COUNT = (["1", "2", "1000"], ["0", "-1", "1.5", "", "one", "1e2"])
FLAG = (["True", "False", "true", "false", "0", "1"], ["yes", "2", ""])

# Name, default, texts that are taken, texts that are refused: table 6.1 of the behavioural specification.
TABLE: list[tuple[str, Any, list[str], list[str]]] = [
    ("num_classes", None, ["1", "2", "80"], ["0", "-3", "2.5", "two", ""]),
    ("num_training_samples", None, *COUNT),
    ("base_network", "vgg-16", ["vgg-16", "resnet-50"], ["resnet-101", "vgg16", "", "ResNet-50"]),
    ("early_stopping", False, *FLAG),
    ("early_stopping_min_epochs", 10, *COUNT),
    ("early_stopping_patience", 5, *COUNT),
    ("early_stopping_tolerance", 0.0, *UNIT),
    ("epochs", 30, *COUNT),
    ("freeze_layer_pattern", "", ["", "^(conv1_|conv2_).*", "stage1"], ["(", "[", "*"]),
    ("image_shape", 300, ["300", "512", "10000"], ["299", "10001", "300,300", "3,300,300", ""]),
    ("kv_store", None, ["dist_sync", "dist_async"], ["device", ""]),
    ("label_width", 350, ["7", "350", "1000"], ["0", "6", "", "a"]),
    ("learning_rate", 0.001, *UNIT),
    ("lr_scheduler_factor", 0.1, *UNIT),
    ("lr_scheduler_step", (), ["", "10", "10,20"], ["0", "10,", ",10", "10;20", "a"]),
    ("mini_batch_size", 32, *COUNT),
    ("momentum", 0.9, *UNIT),
    ("nms_threshold", 0.45, *UNIT),
    ("nms_topk", 400, *COUNT),
    ("optimizer", "sgd", ["sgd", "adam", "rmsprop", "adadelta"], ["SGD", "nag", ""]),
    ("overlap_threshold", 0.5, *UNIT),
    ("use_pretrained_model", True, ["0", "1"], ["2", "True", ""]),
    ("weight_decay", 0.0005, *UNIT),
]
NAMES = [name for name, *_ in TABLE]


def parsed(**texts: str) -> Any:
    return SPEC.parse({**REQUIRED, **texts})


def test_names_are_those_of_the_guide_and_ours_are_marked() -> None:
    assert [h.name for h in SPEC.hyperparameters if not h.extension] == NAMES
    assert {h.name for h in SPEC.hyperparameters if h.required} == set(REQUIRED)


@pytest.mark.parametrize(("name", "default", "good", "bad"), TABLE, ids=NAMES)
def test_values_of_the_guide(name: str, default: Any, good: list[str], bad: list[str]) -> None:
    assert SPEC[name].default == default
    for text in good:
        parsed(**{name: text})
    for text in bad:
        with pytest.raises(HyperparameterError, match=f"'{name}' hyperparameter which"):
            parsed(**{name: text})


def test_range_is_told_in_the_words_of_the_original() -> None:
    with pytest.raises(HyperparameterError) as caught:
        parsed(image_shape="224")
    assert str(caught.value) == (
        "The value '224' is not valid for the 'image_shape' hyperparameter which expects one of the following: "
        "a string which matches the pattern '^[1-9][0-9]*$'; or an integer between 300 and 10000 "
        "(caused by ValidationError)"
    )


def test_tunable_ranges_are_those_recommended() -> None:
    found = {h.name: h.tunable for h in SPEC.hyperparameters if h.tunable}
    assert found == {
        "learning_rate": TunableRange(1e-6, 0.5, logarithmic=True),
        "mini_batch_size": TunableRange(8, 64),
        "momentum": TunableRange(0.0, 0.999),
        "optimizer": TunableRange(values=("sgd", "adam", "rmsprop", "adadelta")),
        "weight_decay": TunableRange(0.0, 0.999),
    }
    assert [metric.name for metric in SPEC.metrics if metric.objective] == ["validation:mAP"]


def test_our_defaults_are_sound() -> None:
    hp = SPEC.parse({**REQUIRED, **(SPEC.local_defaults or {})})
    assert (hp.backbone, hp.neck, hp.anchors) == ("tf_efficientnet_lite0", "fpn", "fitted")


@pytest.mark.parametrize(
    ("texts", "name"),
    [({"neck": "fpn", "anchors": "fitted"}, "neck"), ({"neck": "fpn", "backbone": "resnet18"}, "anchors")],
)
def test_settings_that_do_not_go_together_are_told(texts: dict[str, str], name: str) -> None:
    with pytest.raises(HyperparameterError, match=f"'{name}' hyperparameter which must be"):
        parsed(**texts)


def test_channels() -> None:
    assert [channel.name for channel in SPEC.channels if channel.required] == ["train", "validation"]
    assert {channel.name for channel in SPEC.channels} == {
        "train", "validation", "train_annotation", "validation_annotation", "model",
    }  # fmt: skip
