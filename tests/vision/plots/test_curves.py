"""What the curves say: numbers at their places, the best epoch named, nothing drawn that is not there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.text import Annotation

from clary.vision.plots import curves
from clary.vision.plots.render import svg


def history(*accuracies, rate=0.1, best=(0, 1)):
    return [
        {
            "epoch": epoch,
            "train": {"accuracy": accuracy, "loss": 1 - accuracy},
            "validation": {"accuracy": accuracy - 0.1, "loss": 1.2 - accuracy},
            "learning_rate": rate / (epoch + 1),
            "best": epoch in best,
        }
        for epoch, accuracy in enumerate(accuracies)
    ]


def lines(sheet):
    """Points of each line of the first axes that has more than one mark or none of the ring."""
    return [list(zip(*line.get_data(), strict=True)) for line in sheet.axes[0].lines]


def texts(sheet):
    axes = sheet.axes[0]
    return [text.get_text() for text in axes.texts] + [axes.get_title(loc) for loc in ("left", "right")]


def test_epochs_count_from_one():
    train, validation, ring = lines(curves.accuracy(history(0.5, 0.75)))
    assert train == [(1, 0.5), (2, 0.75)]
    assert validation == [(1, 0.4), (2, 0.65)]
    assert ring == [(2, 0.65)]


def test_lines_and_the_best_epoch_are_named():
    assert texts(curves.accuracy(history(0.5, 0.75))) == ["train", "validation", "Accuracy", "best epoch 2: 65.0%"]
    assert texts(curves.loss(history(0.5, 0.75)))[-2:] == ["Loss", "best epoch 2: 0.450"]


def test_without_validation_train_stands_alone():
    records = [record | {"validation": {}} for record in history(0.5, 0.75)]
    assert texts(curves.accuracy(records)) == ["train", "Accuracy", "best epoch 2: 75.0%"]


def test_names_of_lines_that_end_together_are_moved_apart():
    records = history(0.5, 0.75)
    for record in records:
        record["validation"] = dict(record["train"])
    sheet = curves.accuracy(records)
    low, high = sheet.axes[0].get_ylim()
    first, second = (text.xy[1] for text in sheet.axes[0].texts if isinstance(text, Annotation))
    assert abs(first - second) > 0.05 * (high - low)


def test_numbers_that_are_none_are_left_out():
    records = history(0.5, 0.6, 0.7)
    records[1]["train"]["loss"] = math.nan
    records[2]["train"]["loss"] = None
    records[2]["validation"]["loss"] = math.inf
    train, validation, _ = lines(curves.loss(records))
    assert train == [(1, 0.5)]
    assert [x for x, _ in validation] == [1, 2]


def test_a_diverged_run_draws_an_empty_chart():
    records = [{"epoch": 0, "train": {"loss": math.nan}, "validation": {}, "best": True}]
    assert lines(curves.loss(records)) == []
    assert svg(curves.draw(records), "Training")


def test_accuracy_stays_within_0_and_1():
    low, high = curves.accuracy(history(0.1, 1.0)).axes[0].get_ylim()
    assert low >= 0
    assert high < 1.05


@pytest.mark.parametrize(("rates", "scale"), [([0.1, 0.05], "linear"), ([0.1, 0.001], "log"), ([0.1, 0.0], "linear")])
def test_the_learning_rate_is_logarithmic_when_it_spans_much(rates, scale):
    records = [{"epoch": epoch, "learning_rate": rate} for epoch, rate in enumerate(rates)]
    assert curves.learning_rate(records).axes[0].get_yscale() == scale


@pytest.mark.parametrize("epochs", [1, 2, 100])
def test_any_number_of_epochs_can_be_drawn(epochs):
    assert svg(curves.draw(history(*[0.5] * epochs)), "Training").startswith("<svg")


def test_a_metric_of_any_name():
    found = [
        {"epoch": epoch, "train": {}, "validation": {"mIOU": value}, "learning_rate": 0.1, "best": epoch == 1}
        for epoch, value in enumerate((0.2, 0.7, 0.6))
    ]
    axes = curves.metric(found, "mIOU").axes[0]
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == [0.2, 0.7, 0.6]
    assert "best epoch 2: 0.700" in svg(curves.metric(found, "mIOU"), "mIOU")
    assert 0 <= axes.get_ylim()[0] < axes.get_ylim()[1] <= 1.02


def test_whether_a_metric_was_recorded():
    assert curves.recorded(history(0.5), "loss")
    assert not curves.recorded(history(0.5), "mIOU")
    assert not curves.recorded(history(math.nan), "accuracy")
    assert not curves.recorded([], "loss")
