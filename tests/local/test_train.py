"""`clary.train`: from a folder of pictures to a finished run, in Python."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clary
from clary.errors import ClaryError, CustomerError, DataError, HyperparameterError, InterruptedRun, UsageError
from clary.vision import formats
from clary.vision.algorithms.catalog import find
from clary.vision.base.events import BatchEnd, EpochEnd, Hook
from clary.vision.base.types import Dataset

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = find("classification")
Cli = Callable[..., tuple[int, str, str]]

QUICK: dict[str, Any] = {
    "backbone": "test_resnet",
    "use_pretrained_model": 0,
    "freeze": "none",
    "image_shape": (3, 32, 32),
    "mini_batch_size": 4,
    "learning_rate": 0.01,
    "optimizer": "sgd",
    "precision": "fp32",
}


@pytest.fixture
def images(tmp_path: Path, colours: Callable[..., Path]) -> Path:
    """Blue, green and red: five pictures of each to train on, two to test on."""
    return colours(tmp_path / "colours", {"train": 5, "test": 2})


@pytest.fixture(scope="module")
def finished(one_thread: None, tmp_path_factory: pytest.TempPathFactory, colours: Callable[..., Path]) -> clary.Run:
    root = tmp_path_factory.mktemp("finished")
    return clary.train("classification", colours(root / "colours", {"train": 5}), out=root / "run", epochs=2, **QUICK)


class StopAt(Hook):
    """Presses Ctrl-C at the end of a step, as far as the run can tell."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_batch(self, event: BatchEnd) -> None:
        if event.global_step == self._step:
            import signal

            signal.raise_signal(signal.SIGINT)


def weights(run: clary.Run) -> bytes:
    with tarfile.open(run.model) as archive:
        part = archive.extractfile("model.safetensors")
        assert part is not None
        return part.read()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# What a run is


@pytest.mark.slow  # three trainings
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_run_with_its_recorded_precision_and_seed_is_repeated_exactly(
    images: Path, tmp_path: Path, precision: str
) -> None:
    first = clary.train("classification", images, out=tmp_path / "first", epochs=2, **{**QUICK, "precision": precision})
    recorded = clary.load(first.model).manifest.provenance
    assert recorded.precision == first.metrics["precision"] == precision
    assert first.metrics["precision_reason"] == "asked for"
    again = {**QUICK, "precision": recorded.precision, "seed": recorded.seed}
    second = clary.train("classification", images, out=tmp_path / "second", epochs=2, **again)
    assert weights(first) == weights(second)


def test_run_has_metrics_model_and_configuration(finished: clary.Run) -> None:
    assert finished.finished
    assert finished.metrics["epochs"] == 2
    assert 0 <= finished.metrics["validation:accuracy"] <= 1
    assert finished.metrics["reason"] == "completed"
    assert finished.model == finished.path / "model.tar.gz"
    assert [record["epoch"] for record in finished.history] == [0, 1]
    assert "Epoch[1] Validation-accuracy=" in finished.log
    assert "state=finished" in repr(finished)


def test_folder_holds_what_is_promised(finished: clary.Run) -> None:
    names = {path.name for path in finished.path.iterdir()}
    assert {"model.tar.gz", "metrics.jsonl", "log.txt", "config.json", "checkpoints", "input", "output"} <= names
    assert "model" not in names  # it is packed
    assert not (finished.path / "output" / "failure").exists()


def test_configuration_says_what_was_done(finished: clary.Run) -> None:
    config = finished.config
    assert config["clary"] == clary.__version__
    assert config["algorithm"] == "image-classification"
    assert config["network"] == "test_resnet"
    assert config["seed"] == 0
    assert config["dataset"]["class_names"] == ["blue", "green", "red"]
    assert config["dataset"]["counts"] == {"train": [4, 4, 4], "validation": [1, 1, 1]}
    assert config["dataset"]["path"] == str((finished.path.parent / "colours").resolve())
    assert config["dataset"]["validation"] == 0.2
    assert config["hyperparameters"]["epochs"] == 2
    assert "epochs" in config["given"]
    assert not {"num_training_samples", "weight_decay"} & set(config["given"])
    assert config["hyperparameters"]["num_training_samples"] == 12
    assert config["machine"]["cores"] > 0


def test_model_predicts(finished: clary.Run) -> None:
    image = finished.path.parent / "colours" / "train" / "red" / "0.jpg"
    with clary.load(finished.model) as model:
        (found,) = model.predict([image])
    assert found.class_names == ("blue", "green", "red")
    assert found.scores.sum() == pytest.approx(1, abs=1e-4)


def test_same_seed_gives_the_same_model_and_another_another(finished: clary.Run, tmp_path: Path) -> None:
    dataset = finished.path.parent / "colours"
    same = clary.train("classification", dataset, out=tmp_path / "same", epochs=2, **QUICK)
    other = clary.train("classification", dataset, out=tmp_path / "other", epochs=2, seed=1, **QUICK)

    def losses(run: clary.Run) -> list[float]:
        return [record["train"]["loss"] for record in run.history]

    assert losses(same) == losses(finished)
    assert losses(other) != losses(finished)


@pytest.mark.parametrize("named", ["run", "archive in it", "object"])
def test_evaluated_on_its_own_folder_it_is_judged_by_what_was_held_out(named: str, finished: clary.Run) -> None:
    """It was judged by the pictures it was trained on."""
    folder = finished.config["dataset"]["path"]
    models: dict[str, Path | clary.Run] = {"run": finished.path, "archive in it": finished.model, "object": finished}
    model = models[named]
    found = clary.evaluate(model, folder)
    assert (found.split, found.count) == ("validation", 3)
    assert found.remark == "the 3 of 15 pictures that were held out of its training; --split all scores all of them"
    assert found.metrics["accuracy"] == finished.metrics["validation:accuracy"]
    everything = clary.evaluate(model, folder, split="all")
    assert (everything.split, everything.count) == ("all", 15)
    assert "trained on these" in everything.remark
    assert "trained on these" in clary.evaluate(model, folder, split="train").remark


def test_evaluated_on_another_folder_nothing_is_guessed(
    finished: clary.Run, images: Path, tmp_path: Path, colours: Callable[..., Path]
) -> None:
    found = clary.evaluate(finished, images)
    assert (found.split, found.count, found.remark) == ("test", 6, "")
    found = clary.evaluate(finished, colours(tmp_path / "elsewhere" / "other", {"train": 2}))
    assert (found.split, found.count, found.remark) == ("train", 6, "")
    # An archive that has left its run, on the same folder: nobody can say what was held out.
    archive = shutil.copy(finished.model, tmp_path / "model.tar.gz")
    found = clary.evaluate(archive, finished.config["dataset"]["path"])
    assert found.remark == "it may have seen these: it was trained on just as many"


def test_evaluated_on_its_own_folder_that_has_changed_says_so(images: Path, tmp_path: Path, cli: Cli) -> None:
    shutil.rmtree(images / "test")
    run = clary.train("classification", images, out=tmp_path / "run", epochs=1, **QUICK)
    code, out, _ = cli("evaluate", run.path, images)
    assert code == 0
    assert "on 3 validation pictures" in out
    assert "pictures: the 3 of 15 pictures that were held out of its training; --split all scores all of them" in out
    assert json.loads(cli("evaluate", run.path, images, "--json")[1])["remark"].startswith("the 3 of 15 pictures")
    (images / "train" / "red" / "0.jpg").unlink()
    assert "it may have seen these: the folder has changed since training" in cli("evaluate", run.path, images)[1]


def test_segmentation_on_its_own_folder_that_has_changed_says_so(
    tmp_path: Path, rectangles: Callable[..., Path]
) -> None:
    """Masks are not counted by class, and 0 pictures were as many as 0: another share was called held out."""
    data = rectangles(tmp_path / "data", "segmentation", {"train": 12})
    given = {"base_size": 64, "crop_size": 64, "inference_size": 64, "algorithm": "unet", "mini_batch_size": 4}
    given |= {"backbone": "test_resnet", "use_pretrained_model": 0, "precision": "fp32"}
    run = clary.train("segmentation", data, out=tmp_path / "run", epochs=1, settings=given)
    assert "held out of its training" in clary.evaluate(run, data).remark
    for folder in {path.parent for path in data.rglob("*.png")}:
        min(folder.glob("*.png")).unlink()
    assert "the folder has changed since training" in clary.evaluate(run, data).remark


def test_hooks_and_echo_are_told(images: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    epochs: list[int] = []

    class Epochs(Hook):
        def on_epoch(self, event: EpochEnd) -> None:
            epochs.append(event.epoch)

    run = clary.train(
        "classification", images, out=tmp_path / "run", epochs=2, hooks=[Epochs()], echo=lines.append, **QUICK
    )
    assert epochs == [0, 1]
    assert lines == run.log.splitlines()


# Where it goes


def test_next_free_folder_is_taken(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [clary.train("classification", "colours", epochs=1, **QUICK) for _ in range(2)]
    assert [run.path for run in runs] == [Path("runs/colours-1"), Path("runs/colours-2")]
    monkeypatch.chdir(images)
    assert clary.train("classification", ".", epochs=1, **QUICK).path == Path("runs/colours-1")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_folder_that_is_there_is_refused_and_left(kind: str, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    if kind == "folder":
        out.mkdir()
        (out / "thesis.txt").write_text("do not lose me")
    else:
        out.write_text("do not lose me")
    with pytest.raises(UsageError, match="already exists; give another --out"):
        clary.train("classification", images, out=out, **QUICK)
    assert (out / "thesis.txt" if kind == "folder" else out).read_text() == "do not lose me"


def test_empty_folder_may_be_used(images: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert clary.train("classification", images, out=tmp_path / "run", epochs=1, **QUICK).finished


# Settings


@pytest.mark.slow
@pytest.mark.parametrize("crop", ["center", "squash"])
def test_what_is_measured_is_what_is_served(crop: str, tmp_path: Path) -> None:
    """With `squash` the centre was validated and the whole picture served, which of wide pictures is another."""
    for split in ("train", "validation"):
        for number in range(24):
            # Of a class is what stands left and right of the centre.
            pixels = np.full((40, 160, 3), 90, np.uint8)
            pixels[:, :60] = pixels[:, 100:] = (30, 220)[number % 2]
            pixels[:, 60:100] = np.random.default_rng(number).integers(0, 255, (40, 40, 3))
            path = tmp_path / "wide" / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    given = QUICK | {"inference_crop": crop, "epochs": 2}
    run = clary.train("classification", tmp_path / "wide", out=tmp_path / "run", **given)
    assert "Validation crops pictures" not in run.log
    found = clary.evaluate(run, tmp_path / "wide", engine="torch")
    assert found.metrics["accuracy"] == pytest.approx(run.metrics["validation:accuracy"], abs=0.045)


def test_a_gray_network_is_trained_from_pretrained_weights(images: Path, tmp_path: Path) -> None:
    """The packaged backbone, its first layer summed over the three channels."""
    given: dict[str, Any] = {"image_shape": (1, 32, 32), "mini_batch_size": 4, "precision": "fp32", "epochs": 1}
    run = clary.train("classification", images, out=tmp_path / "run", **given)
    with clary.load(run.model) as model:
        assert len(model.manifest.network["mean"]) == 1
        assert len(model.predict([images / "test" / "red" / "0.jpg"])[0].scores) == 3


def test_depth_trains_sagemakers_own_network(images: Path, tmp_path: Path) -> None:
    run = clary.train("classification", images, out=tmp_path / "run", epochs=1, num_layers=20, image_shape=(3, 28, 28))
    assert run.config["network"] == "resnet20"
    assert not run.config["hyperparameters"]["use_pretrained_model"]


def test_values_of_python_are_taken(images: Path, tmp_path: Path) -> None:
    run = clary.train(
        "classification",
        images,
        out=tmp_path / "run",
        **QUICK
        | {
            "epochs": 1,
            "use_pretrained_model": False,
            "early_stopping": True,
            "lr_scheduler_step": [1, 2],
            "resize": None,
            "lr_schedule": "factor",
        },
    )
    found = run.config["hyperparameters"]
    assert found["lr_scheduler_step"] == [1, 2]
    assert found["use_pretrained_model"] is False
    assert found["early_stopping"] is True


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"learning_rat": 0.1}, "'learning_rat' was unexpected, did you mean 'learning_rate'?"),
        ({"learning_rate": 7}, "The value '7' is not valid for the 'learning_rate' hyperparameter"),
        ({"epochs": 0}, "The value '0' is not valid for the 'epochs' hyperparameter"),
        ({"seed": -1}, "The value '-1' is not valid for the 'seed' hyperparameter"),
        ({"seed": 2**32}, "is not valid for the 'seed' hyperparameter"),
        ({"seed": "x"}, "The value 'x' is not valid for the 'seed' hyperparameter"),
        ({"top_k": 4}, "must not be above 'num_classes' (3)"),
        ({"settings": {"out": "x"}}, "'out' was unexpected"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_wrong_settings_are_told_before_anything_is_written(
    given: dict[str, Any], sentence: str, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(HyperparameterError) as caught:
        clary.train("classification", images, out=tmp_path / "run", **QUICK | given)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_more_epochs_than_anybody_waits_for_are_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="99,999,999,999 epochs never end; ask for 1,000,000 at the most"):
        clary.train("classification", images, out=tmp_path / "run", **QUICK | {"epochs": 99999999999})
    assert not (tmp_path / "run").exists()


def test_unknown_algorithm_is_told_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown algorithm `clasification`"):
        clary.train("clasification", tmp_path / "nowhere", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Data


@pytest.mark.parametrize("share", [0, 0.4])
def test_share_held_out(share: float, images: Path, tmp_path: Path) -> None:
    run = clary.train("classification", images, out=tmp_path / "run", epochs=1, validation=share, **QUICK)
    if share:
        assert run.config["dataset"]["counts"]["validation"] == [2, 2, 2]
        assert "validation:accuracy" in run.metrics
    else:
        assert "validation" not in run.config["dataset"]["counts"]
        assert "validation:accuracy" not in run.metrics
        assert run.metrics["best_epoch"] == 0
        assert "Validation-accuracy" not in run.log
    assert run.model.is_file()


@pytest.mark.parametrize("share", [1, -0.1, 1.5])
def test_share_that_leaves_nothing_is_refused(share: float, images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use 0 <= fraction < 1"):
        clary.train("classification", images, out=tmp_path / "run", validation=share, **QUICK)
    assert not (tmp_path / "run").exists()


def test_nothing_is_held_out_where_there_is_a_test_split(tmp_path: Path, colours: Callable[..., Path]) -> None:
    images = colours(tmp_path / "colours", {"train": 5, "test": 2})
    run = clary.train("classification", images, out=tmp_path / "run", epochs=1, **QUICK)
    assert run.config["dataset"]["counts"] == {"train": [5, 5, 5], "test": [2, 2, 2]}
    assert run.config["dataset"]["validation"] == 0


def test_folder_is_read_once(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, times = formats.read, []

    def counted(root: Path, **more: Any) -> Dataset:
        times.append(root)
        return read(root, **more)

    monkeypatch.setattr(formats, "read", counted)
    run = clary.train("classification", images, out=tmp_path / "run", epochs=1, **QUICK)
    assert times == [images]
    with clary.load(run.model) as model:  # who read it does not show
        assert model.manifest.provenance is not None
        assert model.manifest.provenance.dataset == "dataset"


def test_validation_split_of_the_set_is_used(tmp_path: Path, colours: Callable[..., Path]) -> None:
    images = colours(tmp_path / "colours", {"train": 4, "validation": 2})
    run = clary.train("classification", images, out=tmp_path / "run", epochs=1, **QUICK)
    assert run.config["dataset"]["counts"] == {"train": [4, 4, 4], "validation": [2, 2, 2]}


def spoil(root: Path, how: str) -> Path:
    if how == "missing":
        return root / "nowhere"
    if how == "empty":
        shutil.rmtree(root)
        root.mkdir()
    elif how == "one class":
        for name in ("blue", "green"):
            shutil.rmtree(root / "train" / name)
    elif how == "a file":
        return root / "train" / "red" / "0.jpg"
    return root


@pytest.mark.parametrize("how", ["missing", "empty", "one class", "a file"])
def test_data_that_cannot_be_used_is_one_line(how: str, images: Path, tmp_path: Path) -> None:
    with pytest.raises(CustomerError) as caught:
        clary.train("classification", spoil(images, how), out=tmp_path / "run", epochs=1, **QUICK)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_picture_that_cannot_be_read_is_named_with_its_file(images: Path, tmp_path: Path) -> None:
    (images / "train" / "red" / "0.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        clary.train("classification", images, out=tmp_path / "run", epochs=1, **QUICK)
    assert "red/0.jpg" in str(caught.value)
    assert "is not a picture" in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fault", ["cut off", "two labels"])
def test_what_the_check_calls_an_error_is_not_trained_on(fault: str, images: Path, tmp_path: Path, cli: Cli) -> None:
    red, blue = (images / "train" / name / "0.jpg" for name in ("red", "blue"))
    (red if fault == "cut off" else blue).write_bytes(red.read_bytes()[: -200 if fault == "cut off" else None])
    code, out, _ = cli("data", "check", images)
    [line] = [line for line in out.splitlines() if line.startswith("error")]
    with pytest.raises(DataError) as caught:
        clary.train("classification", images, out=tmp_path / "run", epochs=1, **QUICK)
    assert (code, line) == (1, f"error  {caught.value}")
    assert not (tmp_path / "run").exists()


def test_files_left_out_are_counted_by_reason_in_run_and_report(images: Path, tmp_path: Path, cli: Cli) -> None:
    for name in ("red/notes.txt", "red/.hidden.jpg", "blue/raw.cr2"):
        (images / "train" / name).write_bytes(b"")
    (images / "train" / "beside.jpg").write_bytes((images / "train" / "red" / "0.jpg").read_bytes())
    said = "left out: 4 files or records (3 hidden or no picture, 1 beside the class folders)"
    assert said in cli("data", "check", images)[1]
    run = clary.train("classification", images, out=tmp_path / "run", epochs=1, **QUICK)
    assert run.config["dataset"]["left_out"] == {"hidden or no picture": 3, "beside the class folders": 1}
    assert said in run.log
    assert said in clary.report(run).read_text()


def test_what_the_check_notes_stands_in_the_report(images: Path, tmp_path: Path) -> None:
    red = images / "train" / "red"
    data = (red / "0.jpg").read_bytes()
    for number in range(300):  # other bytes behind the end of the picture
        (red / f"more{number}.jpg").write_bytes(data + bytes(number + 1))
    run = clary.train("classification", images, out=tmp_path / "run", epochs=1, **QUICK)
    note = "train: class `red` has 61 times as many pictures as `blue` (305 and 5)"
    assert any(one.startswith(note) for one in run.config["dataset"]["notes"])
    assert "has 61 times as many pictures as" in clary.report(run).read_text()


def test_run_whose_loss_is_no_number_says_so(images: Path, tmp_path: Path) -> None:
    given = QUICK | {"optimizer": "rmsprop", "learning_rate": 1.0, "eps": 0.0, "gamma": 1.0}  # divides by zero
    with pytest.raises(ClaryError, match="the loss is nan; lower `learning_rate`") as caught:
        clary.train("classification", images, out=tmp_path / "run", epochs=3, **given)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "run" / "model.tar.gz").exists()
    assert (tmp_path / "run" / "output" / "failure").read_text().startswith("AlgorithmError: epoch 0, ")


# Going on


def stopped(images: Path, out: Path, step: int = 2, **given: Any) -> None:
    with pytest.raises(InterruptedRun) as caught:
        clary.train("classification", images, out=out, epochs=3, hooks=[StopAt(step)], **QUICK | given)
    assert f"everything is saved; go on with `clary train --resume {out}`" in str(caught.value)
    assert caught.value.exit_code == 130


def outcome(run: clary.Run) -> list[Any]:
    import hashlib
    import tarfile

    with tarfile.open(run.model) as archive:
        weights = archive.extractfile("model.safetensors")
        assert weights is not None
        digest = hashlib.sha256(weights.read()).hexdigest()
    return [digest, [{name: value for name, value in r.items() if name != "seconds"} for r in run.history]]


@pytest.mark.parametrize("step", [1, 3, 4])
def test_interrupted_run_goes_on_to_the_same_end(step: int, images: Path, tmp_path: Path) -> None:
    whole = clary.train("classification", images, out=tmp_path / "whole", epochs=3, validation=0.4, **QUICK)
    stopped(images, tmp_path / "run", step, validation=0.4)
    assert not clary.Run(tmp_path / "run").finished
    # Nothing has to be given again.
    resumed = clary.train("classification", images, out=tmp_path / "run", resume=True)
    assert outcome(resumed) == outcome(whole)
    assert f"Resuming from the checkpoint at step {step}" in resumed.log


def test_same_settings_may_be_given_again(images: Path, tmp_path: Path) -> None:
    stopped(images, tmp_path / "run")
    given = QUICK | {"learning_rate": "0.010"}  # the same number
    assert clary.train("classification", images, out=tmp_path / "run", epochs=3, resume=True, **given).finished


@pytest.mark.parametrize(
    ("given", "difference"),
    [
        ({"momentum": 0.1}, "momentum: 0.9 then, 0.1 now"),
        ({"seed": 3}, "seed: 0 then, 3 now"),
        ({"validation": 0.5}, "validation: 0.0 then, 0.5 now"),  # there is a test split
        ({"learning_rate": 0.5, "momentum": 0.1}, "learning_rate: 0.01 then, 0.5 now, momentum: 0.9 then, 0.1 now"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused_and_nothing_is_changed(
    given: dict[str, Any], difference: str, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    stopped(images, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UsageError) as caught:
        clary.train("classification", images, out=out, resume=True, **given)
    assert f"was started with other settings ({difference}); leave them out, or start anew" in str(caught.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_other_data_set_is_refused(images: Path, tmp_path: Path) -> None:
    stopped(images, tmp_path / "run")
    shutil.copytree(images, tmp_path / "copy")
    with pytest.raises(UsageError, match="was started with other settings \\(path: "):
        clary.train("classification", tmp_path / "copy", out=tmp_path / "run", resume=True)


def test_set_that_has_changed_since_is_refused(images: Path, tmp_path: Path) -> None:
    stopped(images, tmp_path / "run")
    shutil.copy(images / "train" / "red" / "0.jpg", images / "train" / "red" / "9.jpg")
    shutil.copy(images / "train" / "red" / "0.jpg", images / "train" / "red" / "8.jpg")
    with pytest.raises(UsageError, match="belongs to a run with other settings"):
        clary.train("classification", images, out=tmp_path / "run", resume=True)


@pytest.mark.parametrize("change", ["renamed", "exchanged"])
def test_set_of_as_many_other_pictures_is_refused(change: str, images: Path, tmp_path: Path) -> None:
    """Only numbers were compared, and it went on to other weights without a word."""
    stopped(images, tmp_path / "run")
    red = images / "train" / "red"
    if change == "renamed":
        (red / "0.jpg").rename(red / "zebra.jpg")
    else:
        (red / "0.jpg").write_bytes((red / "1.jpg").read_bytes() + b"\0")
    with pytest.raises(
        UsageError, match=r"belongs to a run with other settings \(pictures of train: \w+ then, \w+ now"
    ):
        clary.resume(tmp_path / "run")


def test_set_that_is_gone_is_named(images: Path, tmp_path: Path) -> None:
    stopped(images, tmp_path / "run")
    images.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=f"^{images}: the data set is gone; put it back, or a link to where it is now"):
        clary.resume(tmp_path / "run")
    images.symlink_to(tmp_path / "elsewhere")
    assert clary.resume(tmp_path / "run").finished


def test_only_an_unfinished_run_can_be_resumed(images: Path, finished: clary.Run, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"this run has finished already; give it more with `clary train --resume .* --epochs 3`"
    ):
        clary.train("classification", finished.path.parent / "colours", out=finished.path, resume=True)
    with pytest.raises(UsageError, match="there is no run to resume; start it without --resume"):
        clary.train("classification", images, out=tmp_path / "nothing", resume=True)
    with pytest.raises(UsageError, match="a run to resume is not named; give its folder with --out"):
        clary.train("classification", images, resume=True)
    assert not (tmp_path / "nothing").exists()


def test_run_killed_before_its_model_was_packed_is_finished_by_a_resume(images: Path, tmp_path: Path) -> None:
    run = clary.train("classification", images, out=tmp_path / "run", epochs=2, **QUICK)
    expected = outcome(run)
    run.model.unlink()
    again = clary.train("classification", images, out=tmp_path / "run", resume=True)
    assert outcome(again) == expected
    kinds = [json.loads(line)["kind"] for line in (again.path / "metrics.jsonl").read_text().splitlines()]
    assert kinds.count("run") == 1
    assert kinds.count("epoch") == 2


# From an earlier model


def test_training_goes_on_from_a_model(finished: clary.Run, images: Path, tmp_path: Path) -> None:
    run = clary.train("classification", images, out=tmp_path / "run", model=finished.path, epochs=1, **QUICK)
    assert "Start training from the model in the model channel." in run.log
    assert run.config["model"] == str(finished.model.resolve())
    assert run.finished
    again = clary.train("classification", images, out=tmp_path / "again", model=finished.model, epochs=1, **QUICK)
    assert again.metrics["train:loss"] == run.metrics["train:loss"]


def test_model_for_other_classes_gets_a_new_head(finished: clary.Run, images: Path, tmp_path: Path) -> None:
    shutil.rmtree(images / "train" / "red")
    shutil.rmtree(images / "test")
    run = clary.train("classification", images, out=tmp_path / "run", model=finished.path, epochs=1, **QUICK)
    assert "The model in the model channel has 3 classes, this job 2: 2 tensors of its head start afresh." in run.log


def test_model_that_is_not_there(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing: there is no such model; name a run"):
        clary.train("classification", images, out=tmp_path / "run", model=tmp_path / "nothing", **QUICK)
    stopped(images, tmp_path / "stopped")
    with pytest.raises(UsageError, match="has no model"):
        clary.train("classification", images, out=tmp_path / "run", model=tmp_path / "stopped", **QUICK)
    assert not (tmp_path / "run").exists()


def test_another_model_is_another_setting(finished: clary.Run, images: Path, tmp_path: Path) -> None:
    stopped(images, tmp_path / "run")
    with pytest.raises(UsageError, match="other settings \\(model: none then, "):
        clary.train("classification", images, out=tmp_path / "run", model=finished.path, resume=True)
