"""Boxes and masks through the whole program: train, report, evaluate, predict, each as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clary

pytestmark = pytest.mark.usefixtures("one_thread")

Cli = Callable[..., tuple[int, str, str]]

COMMON = {"backbone": "test_resnet", "use_pretrained_model": "0", "mini_batch_size": "3", "precision": "fp32"}
SMALL = {
    "detection": COMMON | {"image_shape": "300"},
    "segmentation": COMMON | {"base_size": "64", "crop_size": "48", "inference_size": "64"},
}


def words(task: str) -> list[str]:
    return [word for name, text in SMALL[task].items() for word in ("--set", f"{name}={text}")]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "metric"), [("detection", "mAP"), ("segmentation", "mIOU")])
def test_folder_becomes_a_model_that_answers(
    task: str, metric: str, cli: Cli, rectangles: Callable[..., Path], tmp_path: Path
) -> None:
    data, run = rectangles(tmp_path / "data", task, {"train": 6, "validation": 2}), tmp_path / "run"
    code, out, err = cli("train", task, data, "--out", run, "--epochs", 1, *words(task))
    assert code == 0, err
    first, *rest = out.splitlines()
    assert first.startswith(f"validation {metric} ")
    assert rest[0] == f"model:  {run / 'model.tar.gz'}"
    assert "completed 100 % of epochs" in clary.Run(run).log
    assert f"validation {metric} " in err

    (run / "report.html").unlink()
    assert cli("report", run)[:2] == (0, f"{run / 'report.html'}\n")
    assert metric in (run / "report.html").read_text()

    code, out, err = cli("evaluate", run, data, "--split", "validation", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["task"], found["split"]) == (task, "validation")
    # What was printed while training is what the served model reaches on the same pictures, as near as engines are.
    assert found["metrics"][metric] == pytest.approx(clary.Run(run).metrics[f"validation:{metric}"], abs=0.03)

    image = next(path for path in sorted(data.rglob("*.png")) if "mask" not in path.as_posix())
    code, out, err = cli("predict", run, image, "--json", "--output", tmp_path / "drawn")
    assert code == 0, err
    (row,) = json.loads(out)
    if task == "detection":
        assert (row["width"], row["height"]) == (96, 80)
        assert all(0 <= box["xmin"] <= box["xmax"] <= 96 for box in row["boxes"])
    else:
        assert sum(share["share"] for share in row["shares"]) == pytest.approx(1, abs=1e-3)
        (mask,) = (tmp_path / "drawn").glob("*.mask.png")
        assert np.array(Image.open(mask)).shape == (80, 96)


@pytest.mark.parametrize(
    ("task", "setting", "sentence"),
    [
        (
            "detection",
            "image_shape=224",
            "image_shape=224: expects an integer between 300 and 10000",
        ),
        (
            "segmentation",
            "lr_scheduler=step",
            "give 'lr_scheduler_step'",
        ),
    ],
    ids=["detection", "segmentation"],
)
def test_wrong_settings_are_one_line(
    task: str, setting: str, sentence: str, cli: Cli, rectangles: Callable[..., Path], tmp_path: Path
) -> None:
    data = rectangles(tmp_path / "data", task, {"train": 3})
    code, out, err = cli("train", task, data, "--out", tmp_path / "run", "--set", setting)
    assert (code, out) == (2, "")
    phase, line = err.splitlines()
    assert phase == "reading pictures"
    assert line.startswith(f"clary: {sentence}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_data_of_another_task_is_one_line(task: str, cli: Cli, colours: Callable[..., Path], tmp_path: Path) -> None:
    data = colours(tmp_path / "colours", {"train": 2})
    code, out, err = cli("train", task, data, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    phase, line = err.splitlines()
    assert phase == "reading pictures"
    assert f"holds no {task} data" in line
    assert not (tmp_path / "run").exists()
