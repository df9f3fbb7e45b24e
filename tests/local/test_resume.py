"""Going on with runs: by their folder alone, to the same end, and never two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

import clary
from clary.errors import AlgorithmError, CustomerError, InterruptedRun, UsageError
from clary.local.run_lock import held, is_held
from clary.vision.artifact.archive import pack
from clary.vision.base.events import BatchEnd, EpochEnd, Hook

pytestmark = pytest.mark.usefixtures("one_thread")

COMMON = {"backbone": "test_resnet", "use_pretrained_model": "0", "mini_batch_size": "4", "epochs": "2"}
SETTINGS: dict[str, dict[str, str]] = {
    "classification": COMMON | {"image_shape": "3,64,64", "optimizer": "sgd"},
    "detection": COMMON | {"image_shape": "300", "optimizer": "adamw"},
    "segmentation": COMMON | {"base_size": "64", "crop_size": "64", "inference_size": "64", "algorithm": "unet"},
}


@pytest.fixture
def make_data(tmp_path: Path, colours: Callable[..., Path], rectangles: Callable[..., Path]) -> Callable[[str], Path]:
    """``make_data(task)``: a small data set with a validation split."""

    def make(task: str) -> Path:
        if task == "classification":
            return colours(tmp_path / "data", {"train": 3, "validation": 1})
        return rectangles(tmp_path / "data", task, {"train": 9, "validation": 2})

    return make


def weights(run: clary.Run) -> bytes:
    with tarfile.open(run.model) as archive:
        file = archive.extractfile("model.safetensors")
        assert file is not None
        return file.read()


class StopAt(Hook):
    """Presses Ctrl-C at the end of a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_batch(self, event: BatchEnd) -> None:
        if event.global_step == self._step:
            signal.raise_signal(signal.SIGINT)


def interrupted(task: str, data: Path, out: Path, step: int, **settings: str) -> str:
    with pytest.raises(InterruptedRun) as caught:
        clary.train(task, data, out=out, settings=SETTINGS[task] | settings, hooks=[StopAt(step)])
    return str(caught.value)


# To the same end


# A run that kills itself: between two steps, after a checkpoint of the step before, with no word to anybody.
KILLED = """
import os, signal, sys, json
import clary
from clary.vision.base.events import Hook
from clary.vision.training import checkpoint
checkpoint.Checkpoints.due = property(lambda self: True)
class Kill(Hook):
    def on_batch(self, event):
        if event.global_step == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)
clary.train(sys.argv[1], sys.argv[2], out=sys.argv[3], settings=json.loads(sys.argv[5]), hooks=[Kill()])
"""


def kill_and_resume(task: str, data: Path, root: Path, settings: dict[str, str], step: int) -> None:
    """The weights of a run that was killed after ``step`` and resumed are those of one that was not."""
    whole = clary.train(task, data, out=root / "whole", settings=settings)
    command = [sys.executable, "-c", KILLED, task, data, root / "run", str(step), json.dumps(settings)]
    done = subprocess.run(list(map(str, command)), env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    resumed = clary.resume(root / "run")
    assert f"Resuming from the checkpoint at step {step - 1}" in resumed.log
    assert weights(resumed) == weights(whole)


# Each network once, the two precisions taking turns; every pair of both is `make long`'s.
NETWORKS: list[tuple[str, dict[str, str]]] = [
    ("classification", {"backbone": "test_resnet"}),
    ("classification", {"backbone": "", "num_layers": "20", "image_shape": "3,64,64"}),
    ("classification", {"backbone": "mobilenetv3_small_050"}),
    ("detection", {"neck": "ssd", "anchors": "original"}),
    ("detection", {"neck": "fpn"}),
    ("segmentation", {"algorithm": "fcn"}),
    ("segmentation", {"algorithm": "psp"}),
    ("segmentation", {"algorithm": "deeplab"}),
    ("segmentation", {"algorithm": "unet"}),
]
LARGE: list[tuple[str, dict[str, str]]] = [
    ("classification", {"backbone": "tf_efficientnet_lite0"}),
    ("classification", {"backbone": "", "num_layers": "18"}),
    ("classification", {"backbone": "", "num_layers": "50"}),
    ("detection", {"backbone": "", "base_network": "resnet-50"}),
    ("detection", {"backbone": "", "base_network": "vgg-16"}),
    ("segmentation", {"backbone": "resnet-50", "algorithm": "fcn"}),
    ("segmentation", {"backbone": "resnet-50", "algorithm": "psp"}),
    ("segmentation", {"backbone": "resnet-50", "algorithm": "deeplab"}),
    ("segmentation", {"backbone": "resnet-101", "algorithm": "deeplab"}),
]


def named(value: object) -> str:
    return "-".join(value.values()).strip("-") if isinstance(value, dict) else str(value)


def with_network(task: str, network: dict[str, str], precision: str) -> dict[str, str]:
    # An empty one takes a default away: what is not given is SageMaker's own.
    merged = SETTINGS[task] | network | {"precision": precision}
    return {name: text for name, text in merged.items() if text}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "network", "precision"),
    [(*network, precision) for network, precision in zip(NETWORKS, cycle(("fp32", "bf16")), strict=False)],
    ids=named,
)
def test_killed_run_goes_on_to_the_same_weights(
    task: str, network: dict[str, str], precision: str, make_data: Callable[[str], Path], tmp_path: Path
) -> None:
    # In the first epoch, in the second, and between two: whichever, by the network.
    step = 2 + NETWORKS.index((task, network)) % 2
    kill_and_resume(task, make_data(task), tmp_path, with_network(task, network, precision), step)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("classification", {"progressive_resizing": "32:1,48:1", "precision": "bf16"}),
        ("detection", {"progressive_resizing": "160:1,224:1", "precision": "fp32", "neck": "fpn"}),
        pytest.param("segmentation", {"progressive_resizing": "32:1,48:1"}, marks=pytest.mark.long),
    ],
    ids=named,
)
def test_killed_run_goes_on_to_the_same_weights_where_sizes_change(
    task: str, settings: dict[str, str], make_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """Killed in the second epoch, and resumed from its checkpoint to a third."""
    kill_and_resume(task, make_data(task), tmp_path, {**SETTINGS[task], **settings, "epochs": "3"}, 4)


def test_more_epochs_are_at_full_size_and_those_done_stay(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    data, settings = make_data("classification"), {**SETTINGS["classification"], "progressive_resizing": "32:1,48:1"}
    run = clary.train("classification", data, out=tmp_path / "run", settings=settings, epochs=3)
    assert "progressive resizing: 32 -> 48 -> 64 pixels" in run.log
    again = clary.resume(run, epochs=5)
    assert [record.image_size for record in again.epochs] == [32, 48, 64, 64, 64]
    assert again.config["hyperparameters"]["progressive_resizing"] == [[32, 1], [48, 1]]
    with pytest.raises(UsageError, match="progressive_resizing"):
        clary.train("classification", data, out=run.path, resume=True, epochs=6, progressive_resizing="32:2")
    assert "32 -&gt; 48 -&gt; 64 pixels" in clary.report(again).read_text()


@pytest.mark.long
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("task", "network"), NETWORKS + LARGE, ids=named)
def test_every_pair_of_network_and_precision(
    task: str, network: dict[str, str], precision: str, make_data: Callable[[str], Path], tmp_path: Path
) -> None:
    kill_and_resume(task, make_data(task), tmp_path, with_network(task, network, precision), 3)


def test_a_hyperparameter_may_be_called_like_a_part_of_the_record(
    make_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """`algorithm` of segmentation is the network, that of a run the recipe."""
    data, out = make_data("segmentation"), tmp_path / "run"
    interrupted("segmentation", data, out, 1)
    with pytest.raises(UsageError, match=r"other settings \(algorithm: unet then, fcn now\)"):
        clary.train("segmentation", data, out=out, resume=True, algorithm="fcn")
    with pytest.raises(UsageError, match=r"other settings \(algorithm: semantic-segmentation then, "):
        clary.train("classification", data, out=out, resume=True)
    assert clary.train("segmentation", data, out=out, resume=True, algorithm="unet").finished


# By its folder alone


def test_more_epochs_are_taken(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    data, out = make_data("classification"), tmp_path / "run"
    interrupted("classification", data, out, 1)
    run = clary.resume(out, epochs=3)
    assert run.metrics["epochs"] == 3
    assert run.config["hyperparameters"]["epochs"] == 3
    assert not is_held(out / "config.json")
    first = run.model.read_bytes()
    with pytest.raises(
        UsageError, match=r"finished already; give it more with `clary train --resume .*run --epochs 4`"
    ):
        clary.resume(out)
    with pytest.raises(UsageError, match="finished already"):
        clary.resume(out, epochs=3)
    again = clary.train("classification", data, out=out, resume=True, epochs=4)
    assert again.metrics["epochs"] == 4
    assert (out / "model.3-epochs.tar.gz").read_bytes() == first
    assert [path.name for path in out.glob(".*")] == []


def test_a_short_run_is_not_trained_anew(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    """It ends before the first checkpoint is due, and went on from nothing."""
    data, out = make_data("classification"), tmp_path / "run"
    clary.train("classification", data, out=out, settings=SETTINGS["classification"] | {"epochs": "1"})
    again = clary.resume(out, epochs=2)
    assert "Resuming from the checkpoint at step" in again.log
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [one["epoch"] for one in records if one["kind"] == "epoch"] == [0, 1]


def test_of_a_run_that_is_given_more_epochs_the_earlier_model_is_there_meanwhile(
    colour_run: Path, colour_jpeg: Callable[..., bytes], tmp_path: Path
) -> None:
    """Killed before a better epoch it had none, and said that no epoch had ended."""
    earlier = colour_run / "model.2-epochs.tar.gz"
    (colour_run / "model.tar.gz").rename(earlier)
    (colour_run / "model.1-epochs.tar.gz").touch()
    assert clary.Run(colour_run).model == earlier
    (tmp_path / "red.jpg").write_bytes(colour_jpeg("red"))
    with clary.load(colour_run) as model:
        assert model.predict([tmp_path / "red.jpg"])[0].label == "red"


def test_fewer_epochs_are_refused(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    interrupted("classification", make_data("classification"), tmp_path / "run", 3)
    with pytest.raises(UsageError, match="was started for 2 epochs, 1 are asked for; ask for as many or more"):
        clary.resume(tmp_path / "run", epochs=1)
    with pytest.raises(
        UsageError, match=r"10{30} epochs are asked for, and a run has at most 1,000,000; ask for fewer"
    ):
        clary.resume(tmp_path / "run", epochs=10**30)
    assert clary.resume(tmp_path / "run").finished


def test_commands_that_are_told_can_be_pasted(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    said = interrupted("classification", make_data("classification"), tmp_path / "my run", 3)
    assert f"`clary train --resume '{tmp_path}/my run'`" in said
    assert f"`clary predict '{tmp_path}/my run' PICTURE...`" in said


def test_two_at_once_are_refused_and_nothing_is_changed(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    interrupted("classification", make_data("classification"), out, 1)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with held(out / "config.json"), pytest.raises(UsageError, match="another process is training this run"):
        clary.resume(out, epochs=3)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_the_lock_goes_with_the_configuration_that_is_replaced(colour_run: Path) -> None:
    config = colour_run / "config.json"
    with held(config) as lock:
        lock.replace({"algorithm": "image-classification"})
        assert is_held(config)
        with pytest.raises(UsageError, match="another process"), held(config):
            pass
    assert json.loads(config.read_text()) == {"algorithm": "image-classification"}
    assert not is_held(config)


def test_temporary_archives_of_a_kill_are_cleared_away(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    interrupted("classification", make_data("classification"), out, 1)
    left, foreign = out / ".model.tar.gz.x0_ab12c", out / ".model.tar.gz.mine"
    left.touch()
    foreign.touch()
    clary.resume(out)
    assert not left.exists()
    assert foreign.exists()


# What stopping leaves


@pytest.mark.parametrize("task", ["classification", pytest.param("detection", marks=pytest.mark.slow), "segmentation"])
def test_a_stopped_run_has_the_model_of_its_best_epoch(
    task: str, make_data: Callable[[str], Path], tmp_path: Path
) -> None:
    data, out = make_data(task), tmp_path / "run"
    said = interrupted(task, data, out, 3)
    assert f"the best epoch so far predicts: `clary predict {out} PICTURE...`" in said
    run = clary.Run(out)
    assert run.state == "interrupted"
    assert sorted(path.name for path in run.model.iterdir()) == ["manifest.json", "model.onnx", "model.safetensors"]
    picture = next(path for path in sorted(data.rglob("*.*")) if path.suffix in (".png", ".jpg"))
    with clary.load(out) as model:
        assert len(model.predict([picture])) == 1
        assert model.manifest.engines
        (epoch,) = run.epochs
        assert model.manifest.metrics == {f"validation:{name}": value for name, value in epoch.validation.items()}
    if task == "classification":
        again = clary.train(task, data, out=tmp_path / "on", model=out, settings=SETTINGS[task])
        assert "done loading checkpoint" in again.log


def test_what_a_kill_leaves_is_finished_by_who_opens_it(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    data, run = make_data("segmentation"), tmp_path / "run"
    settings = json.dumps(SETTINGS["segmentation"])
    command = [sys.executable, "-c", KILLED, "segmentation", data, run, "4", settings]
    done = subprocess.run(list(map(str, command)), env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in (run / "model").iterdir()] == ["model_best.params"]
    # As the platform packs it.
    archive = pack(run / "model", tmp_path / "model.tar.gz")
    picture = next((data).rglob("*.png"))
    for place in (archive, run):
        with clary.load(place) as model:
            assert len(model.predict([picture])) == 1
            assert "validation:mIOU" in model.manifest.metrics
    # In its own folder once and for all.
    assert sorted(path.name for path in clary.Run(run).model.iterdir()) == [
        "manifest.json",
        "model.onnx",
        "model.safetensors",
    ]
    again = clary.train("segmentation", data, out=tmp_path / "on", model=archive, settings=SETTINGS["segmentation"])
    assert "done loading checkpoint" in again.log


def test_stopping_before_the_first_epoch_ends_is_said(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    said = interrupted("classification", make_data("classification"), tmp_path / "run", 1)
    assert "predicts" not in said
    run = clary.Run(tmp_path / "run")
    assert "Stopped before the first epoch ended: there is no model." in run.log
    assert not hasattr(run, "model")
    assert not hasattr(run, "report")


# What came to nothing


def test_run_that_failed_before_its_first_step_does_not_block_its_name(
    make_data: Callable[[str], Path], tmp_path: Path
) -> None:
    data, out = make_data("classification"), tmp_path / "run"
    with pytest.raises(CustomerError, match="must be bigger or equal to the mini_batch_size"):
        clary.train("classification", data, out=out, settings=SETTINGS["classification"] | {"mini_batch_size": "40"})
    assert clary.Run(out).state == "failed"
    (out / "mine.txt").touch()
    with pytest.raises(UsageError, match="already exists; give another --out"):
        clary.train("classification", data, out=out, settings=SETTINGS["classification"])
    (out / "mine.txt").unlink()
    assert clary.train("classification", data, out=out, settings=SETTINGS["classification"]).finished
    with pytest.raises(UsageError, match="already exists; give another --out, or go on with it: `clary train --resume"):
        clary.train("classification", data, out=out, settings=SETTINGS["classification"])


def test_ctrl_c_before_the_first_step_leaves_nothing(
    make_data: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clary.vision.algorithms import run as module

    data = make_data("classification")

    def pressed(*args: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_job", pressed)
    with pytest.raises(InterruptedRun, match="stopped before the first step, nothing was trained"):
        clary.train("classification", data, out=tmp_path / "run", settings=SETTINGS["classification"])
    assert not (tmp_path / "run").exists()


def test_a_hook_that_raises_is_one_line(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    class Broken(Hook):
        def on_batch(self, event: BatchEnd) -> None:
            raise RuntimeError("no such\nplot")

    out = tmp_path / "run"
    with pytest.raises(AlgorithmError) as caught:
        clary.train(
            "classification",
            make_data("classification"),
            out=out,
            settings=SETTINGS["classification"],
            hooks=[Broken()],
        )
    assert str(caught.value).startswith(f"{out}: RuntimeError: no such plot (the hook ")
    assert str(caught.value).endswith(f"; the traceback is in {out / 'output' / 'traceback.txt'}")
    assert 'raise RuntimeError("no such' in (out / "output" / "traceback.txt").read_text()


def test_predicting_while_it_trains_leaves_its_folder_alone(make_data: Callable[[str], Path], tmp_path: Path) -> None:
    data, out = make_data("classification"), tmp_path / "run"
    picture = next(path for path in sorted(data.rglob("*.*")) if path.suffix in (".png", ".jpg"))

    class Look(Hook):
        def on_epoch(self, event: EpochEnd) -> None:
            found = sorted(path.name for path in (out / "model").iterdir())
            with clary.load(out) as model:
                assert len(model.predict([picture])) == 1
            assert sorted(path.name for path in (out / "model").iterdir()) == found
            assert [name for name in found if name.endswith(".params")]

    run = clary.train("classification", data, out=out, settings=SETTINGS["classification"], hooks=[Look()])
    assert run.finished
    with clary.load(run.model) as model:
        assert len(model.predict([picture])) == 1
