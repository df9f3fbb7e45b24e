"""Evaluation of a real model, a network that says which colour is strongest, on pictures whose colours are known."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clary.errors import ArtifactError, DataError, UsageError
from clary.local.evaluate import choose_split
from clary.local.evaluate import evaluate as evaluate_any
from clary.local.evaluations.classification import ClassificationEvaluation
from clary.local.run import Run
from clary.vision.base.types import Blob, Dataset, Sample
from clary.vision.formats import read
from clary.vision.inference.predictor import load


def evaluate(*arguments: Any, **options: Any) -> ClassificationEvaluation:
    found = evaluate_any(*arguments, **options)
    assert isinstance(found, ClassificationEvaluation)
    return found


def test_a_run_on_its_test_split(colour_run):
    """7 of 9 are right: a red labelled green and a blue labelled red."""
    found = evaluate(colour_run, colour_run.parent / "pictures")
    assert (found.split, found.count, found.class_names) == ("test", 9, ("blue", "green", "red"))
    assert found.confusion is not None
    assert found.confusion.tolist() == [[3, 0, 0], [0, 2, 1], [1, 0, 2]]
    assert found.metrics["accuracy"] == pytest.approx(7 / 9)
    assert found.scores.shape == (9, 3)
    assert found.scores.dtype == np.float32
    assert found.true.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [sample.image.path.parent.name for sample in found.samples[::3]] == ["blue", "green", "red"]
    assert found.classes.recall.tolist() == pytest.approx([1, 2 / 3, 2 / 3])
    assert found.engine == "openvino"
    assert found.skipped == ()
    assert found.seconds > 0


def test_mistakes_come_most_confident_first(colour_run):
    found = evaluate(colour_run, colour_run.parent / "pictures")
    worst = found.worst()
    named = {
        (m.sample.image.path.relative_to(colour_run.parent / "pictures").as_posix(), m.true, m.predicted) for m in worst
    }
    assert named == {("test/red/0.jpg", "red", "blue"), ("test/green/1.jpg", "green", "red")}
    assert worst[0].score >= worst[1].score > 0.5
    assert found.worst(1) == worst[:1]


def test_the_split_is_test_else_validation_else_train(colour_run):
    data = read(colour_run.parent / "pictures")
    assert choose_split(data) == "test"
    assert choose_split(data, "train") == "train"
    assert choose_split(data.with_splits({"validation": data.splits["validation"], "train": ()})) == "validation"
    assert choose_split(data.with_splits({"train": data.splits["train"], "test": ()})) == "train"
    with pytest.raises(UsageError, match=r"split `holiday`.*`train` or `validation` or `test`"):
        choose_split(data, "holiday")
    with pytest.raises(UsageError, match="holds no pictures"):
        choose_split(data.with_splits({"train": ()}))


def test_classes_are_matched_by_name(colours, make_colour_model, tmp_path):
    """Another order of ids, and a class the data set does not have."""
    dataset = colours(tmp_path / "pictures", {"train": 2}, {"train/green/0.jpg": "red"})
    found = evaluate(make_colour_model(tmp_path, ("red", "purple", "green", "blue")), dataset)
    assert found.true.tolist() == [3, 3, 2, 2, 0, 0]
    assert found.confusion is not None
    assert found.confusion.tolist() == [[2, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 2]]
    assert found.metrics["macro_f1"] == pytest.approx((0.8 + 2 / 3 + 1) / 3)
    assert json.loads(found.to_json())["classes"][1] == {
        "name": "purple",
        "precision": None,
        "recall": None,
        "f1": None,
        "support": 0,
    }


def test_classes_the_model_does_not_know_are_named(colours, colour_model, tmp_path):
    dataset = colours(tmp_path / "pictures", {"train": 1})
    (dataset / "train" / "red").rename(dataset / "train" / "crimson")
    with pytest.raises(
        UsageError, match=r"classes the model does not know: `crimson`.*`blue`, `green`, `red`.*--labels"
    ):
        evaluate(colour_model, dataset)


def test_pictures_that_cannot_be_decoded_are_named(colours, colour_model, tmp_path):
    dataset = colours(tmp_path / "pictures", {"train": 3})
    folder = dataset / "train" / "green"
    whole = (folder / "0.jpg").read_bytes()
    (folder / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "1.jpg").write_bytes(b"")
    data = read(dataset)
    gone = replace(data.splits["train"][0], image=Blob(tmp_path / "gone.jpg"))
    found = evaluate(colour_model, data.with_splits({"train": (*data.splits["train"], gone)}))
    assert found.count == 7
    assert found.true.tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert [problem.where for problem in found.skipped] == [
        str(folder / "0.jpg"),
        str(folder / "1.jpg"),
        str(tmp_path / "gone.jpg"),
    ]
    assert "0 bytes" in found.skipped[1].what
    assert "cannot be read" in found.skipped[2].what


def test_not_one_picture_is_an_error(colours, colour_model, tmp_path):
    dataset = colours(tmp_path / "pictures", {"train": 1})
    for path in dataset.rglob("*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(UsageError, match="not one picture of `train` can be decoded"):
        evaluate(colour_model, dataset)


def test_a_loaded_model_stays_open_and_scores_agree_with_predict(colours, colour_model, tmp_path):
    dataset = read(colours(tmp_path / "pictures", {"train": 5}))
    with load(colour_model, "onnxruntime") as model:
        found = evaluate(model, dataset)
        again = model.predict([sample.image.path for sample in found.samples])
    assert found.engine == "onnxruntime"
    assert np.allclose(found.scores, [prediction.scores for prediction in again], atol=1e-6)
    assert found.metrics["accuracy"] == 1
    assert found.worst() == []


def test_progress_is_told(colours, colour_model, tmp_path):
    dataset = colours(tmp_path / "pictures", {"train": 7})
    done: list[int] = []
    evaluate(colour_model, dataset, advance=done.append)
    assert sum(done) == 21
    assert len(done) > 1


def two_colours(tmp_path, colours) -> Dataset:
    """Multi-label: every picture of one colour, some called by two names."""
    data = read(colours(tmp_path / "pictures", {"train": 2}))
    samples = [replace(s, classes=(*s.classes, 1)) if s.classes == (0,) else s for s in data.splits["train"]]
    return replace(data.with_splits({"train": samples}), multi_label=True)


def test_labels_of_a_multi_label_model(colours, make_colour_model, tmp_path):
    """Two blues are also called green, which the model does not see: 2 of 18 cells are wrong."""
    data = two_colours(tmp_path, colours)
    found = evaluate(make_colour_model(tmp_path, multi_label=True), data)
    assert found.multi_label
    assert found.confusion is None
    assert found.true.tolist() == [[True, True, False]] * 2 + [[False, True, False]] * 2 + [[False, False, True]] * 2
    assert found.metrics["accuracy"] == pytest.approx(16 / 18)
    assert set(found.metrics) == {"accuracy", "mean_average_precision", "macro_f1", "log_loss"}
    assert {(m.true, m.predicted) for m in found.worst()} == {("blue, green", "blue")}
    assert json.loads(found.to_json())["confusion"] is None


def test_a_single_label_model_refuses_pictures_of_several_classes(colours, colour_model, tmp_path):
    with pytest.raises(UsageError, match="several labels or none"):
        evaluate(colour_model, two_colours(tmp_path, colours))


def test_a_picture_without_labels_needs_a_multi_label_model(colours, colour_model, tmp_path):
    data = read(colours(tmp_path / "pictures", {"train": 1}))
    nothing = Sample(data.splits["train"][0].image)
    with pytest.raises(UsageError, match="several labels or none"):
        evaluate(colour_model, data.with_splits({"train": (nothing,)}))


def test_json_holds_what_was_measured(colour_run):
    found = evaluate(Run(colour_run), colour_run.parent / "pictures", split="test")
    value = json.loads(found.to_json())
    assert value["metrics"]["accuracy"] == pytest.approx(7 / 9, abs=1e-6)
    assert value["confusion"] == [[3, 0, 0], [0, 2, 1], [1, 0, 2]]
    assert [row["support"] for row in value["classes"]] == [3, 3, 3]
    assert [mistake["predicted"] for mistake in value["mistakes"]] == [m.predicted for m in found.worst()]


def test_an_unfinished_run_cannot_be_evaluated(colour_run):
    (colour_run / "model.tar.gz").unlink()
    with pytest.raises(UsageError, match="has no model yet, no epoch has ended"):
        evaluate(colour_run, colour_run.parent / "pictures")


def test_no_model_and_no_data_set(colours, colour_model, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        evaluate(colour_model, tmp_path / "nothing")
    dataset = colours(tmp_path / "pictures", {"train": 1})
    with pytest.raises(ArtifactError):
        evaluate(tmp_path / "none.tar.gz", dataset)


@pytest.mark.pets
def test_every_real_picture_is_read(pets, make_colour_model, tmp_path):
    """GIF and PNG named .jpg among them. A model that knows no colour of theirs calls all of them the first class."""
    model = make_colour_model(tmp_path, ("Abyssinian", "american_bulldog", "Bengal"))
    found = evaluate(model, pets)
    assert found.split == "test"
    assert found.skipped == ()
    assert found.confusion is not None
    assert found.confusion[:, 0].sum() == found.count == len(read(pets).splits["test"])
