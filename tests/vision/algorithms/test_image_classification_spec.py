"""Hyperparameters of image classification: names, defaults, ranges and error texts of the original."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.errors import HyperparameterError
from clary.vision.algorithms.image_classification.spec import SPEC
from clary.vision.base.hyperparameters import TunableRange

REQUIRED = {"num_classes": "10", "num_training_samples": "500"}
UNIT = (["0", "1", "0.5", "1e-8", "1.0", ".25"], ["-0.1", "1.1", "nan", "inf", "", "a", "1_0", "0,5"])
COUNT = (["1", "2", "1000"], ["0", "-1", "1.5", "", "one", "1_0", "1e2"])
BIT = (["0", "1"], ["2", "True", "", "-1", "01"])
FLAG = (["True", "False", "true", "false", "0", "1"], ["yes", "2", ""])

# Name, default, texts that are taken, texts that are refused: table 5.1 of the behavioural specification.
TABLE: list[tuple[str, Any, list[str], list[str]]] = [
    ("num_classes", None, ["2", "1000"], ["1", "0", "-3", "2.5", "two", ""]),
    ("num_training_samples", None, *COUNT),
    ("augmentation_type", None, ["crop", "crop_color", "crop_color_transform"], ["color", "", "Crop"]),
    ("beta_1", 0.9, *UNIT),
    ("beta_2", 0.999, *UNIT),
    ("checkpoint_frequency", None, ["1", "30"], ["0", "31", "-1", "a"]),  # not above epochs
    ("early_stopping", False, *FLAG),
    ("early_stopping_min_epochs", 10, *COUNT),
    ("early_stopping_patience", 5, *COUNT),
    ("early_stopping_tolerance", 0.0, *UNIT),
    ("epochs", 30, *COUNT),
    ("eps", 1e-8, *UNIT),
    ("gamma", 0.9, *UNIT),
    ("image_shape", (3, 224, 224), ["3,224,224", "3,28,28", "1,28,28", "3,405,720"],
     ["224", "3,224", "3,0,224", "3,224,224,1", "3x224x224", "3,-1,5", "3, 224, 224", "4,28,28", ""]),
    ("kv_store", None, ["dist_sync", "dist_async"], ["device", "", "sync"]),
    ("learning_rate", 0.1, *UNIT),
    ("lr_scheduler_factor", 0.1, *UNIT),
    ("lr_scheduler_step", None, ["10", "10,20", "1,2,3"], ["0", "10,", ",10", "10;20", "10, 20", "a", ""]),
    ("mini_batch_size", 32, *COUNT),
    ("momentum", 0.9, *UNIT),
    ("multi_label", False, *BIT),
    ("num_layers", 152,
     ["18", "34", "50", "101", "152", "200", "20", "32", "44", "56", "110"], ["19", "0", "", "fifty"]),
    ("optimizer", "sgd", ["sgd", "adam", "rmsprop", "nag"], ["SGD", "adadelta", "adagrad", ""]),
    ("precision_dtype", "float32", ["float32", "float16"], ["bf16", "float64", ""]),
    ("resize", None, *COUNT),
    ("top_k", None, ["2", "5", "10"], ["1", "0", "11", "a"]),  # not above num_classes
    ("use_pretrained_model", False, *BIT),
    ("use_weighted_loss", False, *BIT),
    ("weight_decay", 0.0001, *UNIT),
]  # fmt: skip
NAMES = [name for name, *_ in TABLE]


def parsed(**texts: str) -> Any:
    return SPEC.parse({**REQUIRED, **texts})


def complaint(texts: dict[str, str]) -> str:
    with pytest.raises(HyperparameterError) as caught:
        SPEC.parse(texts)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_are_those_of_the_guide_and_ours_are_marked() -> None:
    assert [h.name for h in SPEC.hyperparameters if not h.extension] == NAMES
    ours = {h.name for h in SPEC.hyperparameters if h.extension}
    assert {"backbone", "freeze", "precision", "seed"} <= ours


def test_two_are_required() -> None:
    assert {h.name for h in SPEC.hyperparameters if h.required} == {"num_classes", "num_training_samples"}


@pytest.mark.parametrize(("name", "default"), [(name, default) for name, default, *_ in TABLE[2:]])
def test_default(name: str, default: Any) -> None:
    found = parsed()[name]
    assert found == default
    assert type(found) is type(default)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, _, taken, _ in TABLE for text in taken])
def test_taken(name: str, text: str) -> None:
    assert parsed(**{name: text})[name] is not None


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, _, _, refused in TABLE for text in refused])
def test_refused_in_the_words_of_the_original(name: str, text: str) -> None:
    found = complaint({**REQUIRED, name: text})
    assert found.startswith(f"The value '{text}' is not valid for the '{name}' hyperparameter which ")
    assert found.endswith(" (caused by ValidationError)")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("image_shape", "3,405,720", (3, 405, 720)),
        ("lr_scheduler_step", "10,20", (10, 20)),
        ("num_layers", "110", 110),
        ("multi_label", "1", True),
        ("use_pretrained_model", "0", False),
        ("early_stopping", "True", True),
        ("early_stopping", "false", False),
        ("learning_rate", "1e-3", 0.001),
        ("epochs", " 7 ", 7),
        ("backbone", "None", None),
        ("backbone", "resnet50", "resnet50"),
    ],
)
def test_text_becomes_a_value(name: str, text: str, value: Any) -> None:
    found = parsed(**{name: text})[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (
            {**REQUIRED, "epochs": "0"},
            "The value '0' is not valid for the 'epochs' hyperparameter which expects one of the following: "
            "a string which matches the pattern '^[1-9][0-9]*$'; or an integer greater than or equal to 1 "
            "(caused by ValidationError)",
        ),
        (
            {**REQUIRED, "augmentation_type": "all"},
            "The value 'all' is not valid for the 'augmentation_type' hyperparameter which accepts one of the "
            "following: 'crop', 'crop_color', 'crop_color_transform'",
        ),
        (
            {"num_classes": "3"},
            "No value(s) were specified for 'num_training_samples' which are required hyperparameter(s) "
            "(caused by ValidationError)",
        ),
        (
            {},
            "No value(s) were specified for 'num_classes', 'num_training_samples' which are required "
            "hyperparameter(s) (caused by ValidationError)",
        ),
        (
            {**REQUIRED, "mini_batch_siz": "3"},
            "Additional properties are not allowed ('mini_batch_siz' was unexpected, did you mean "
            "'mini_batch_size'?) (caused by ValidationError)",
        ),
        ({**REQUIRED, "zzz": "3"}, "Additional properties are not allowed ('zzz' was unexpected)"),
        (
            {**REQUIRED, "checkpoint_frequency": "9", "epochs": "4"},
            "The value '9' is not valid for the 'checkpoint_frequency' hyperparameter which must not be above "
            "'epochs' (4) (caused by ValidationError)",
        ),
        (
            {**REQUIRED, "top_k": "11"},
            "The value '11' is not valid for the 'top_k' hyperparameter which must not be above 'num_classes' (10)",
        ),
        (
            {**REQUIRED, "image_shape": "4,28,28"},
            "The value '4,28,28' is not valid for the 'image_shape' hyperparameter which must have 3 channels, or 1",
        ),
        (
            {**REQUIRED, "optimizer": "adam", "beta_1": "1"},
            "The value '1' is not valid for the 'beta_1' hyperparameter which must be below 1 for adam",
        ),
    ],
    ids=lambda value: ",".join(sorted(value.keys() - REQUIRED.keys())) if isinstance(value, dict) else "",
)
def test_error_texts(texts: dict[str, str], sentence: str) -> None:
    assert complaint(texts).startswith(sentence)


def test_all_mistakes_are_told_at_once() -> None:
    found = complaint({"num_classes": "1", "epochs": "x", "typo": "1", "optimizer": "sgdd"})
    assert found.count("(caused by ValidationError)") == 5
    for name in ("num_classes", "epochs", "typo", "optimizer", "num_training_samples"):
        assert f"'{name}'" in found


def test_names_of_the_tuner_are_tolerated() -> None:
    assert dict(parsed(_tuning_objective_metric="validation:accuracy", _kvstore="device")) == dict(parsed())


def test_recommended_ranges_are_those_of_the_guide() -> None:
    found = {h.name: h.tunable for h in SPEC.hyperparameters if h.tunable}
    bounds = {name: (range.low, range.high) for name, range in found.items() if not range.values}
    assert bounds == {
        "beta_1": (1e-6, 0.999),
        "beta_2": (1e-6, 0.999),
        "eps": (1e-8, 1.0),
        "gamma": (1e-8, 0.999),
        "learning_rate": (1e-6, 0.5),
        "mini_batch_size": (8, 512),
        "momentum": (0.0, 0.999),
        "weight_decay": (0.0, 0.999),
    }
    assert found["optimizer"] == TunableRange(values=("sgd", "adam", "rmsprop", "nag"))


def test_channels_are_those_of_the_guide() -> None:
    found = {channel.name: channel for channel in SPEC.channels}
    assert list(found) == ["train", "validation", "train_lst", "validation_lst", "model"]
    assert [name for name, channel in found.items() if channel.required] == ["train", "validation"]
    assert found["train"].content_types == ("application/x-recordio", "application/x-image", "image/jpeg", "image/png")
    assert found["model"].content_types == ("application/x-sagemaker-model",)


def test_our_own_defaults_are_valid_settings() -> None:
    found = parsed(**(SPEC.local_defaults or {}))
    assert found.backbone == "tf_efficientnet_lite0"
    assert found.use_pretrained_model


def test_every_hyperparameter_says_what_it_means() -> None:
    assert all(len(h.meaning) > 5 and h.kind.expectation() for h in SPEC.hyperparameters)


@given(st.sampled_from([h.name for h in SPEC.hyperparameters]), st.text(max_size=12))
def test_any_text_is_taken_or_refused(name: str, text: str) -> None:
    try:
        parsed(**{name: text})
    except HyperparameterError as error:
        assert "(caused by ValidationError)" in str(error)  # noqa: PT017 - either outcome is right
