"""The memory that a training will need: never above what it does need, and refused before anything is there."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from clary.errors import CustomerError
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.run import run_job
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.base.memory import is_out_of_memory, machine_memory
from clary.vision.training import memory
from clary.vision.training.memory import check_memory, estimate

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "memory.py"
MEGABYTE = 1 << 20


class Small(nn.Module):
    """One convolution whose output is kept for the way back, 64 maps of the picture's size, and its input."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 64, 1, bias=False)
        self.last = nn.Conv2d(64, 2, 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.last(self.first(images.permute(0, 3, 1, 2).float()))
        return maps.mean(dim=(2, 3))


def test_maps_weights_and_state_are_counted() -> None:
    with torch.device("meta"):
        part = Small()
    weights = 4 * (3 * 64 + 64 * 2)
    pixels = 100 * 50
    # What is kept: the picture in fp32 and 64 maps. A batch of pixels twice, and twice two scores.
    each = pixels * 4 * (3 + 64) + 2 * pixels * 3 + 2 * 4 * 2
    assert estimate(part, 4, 100, 50, optimizer="sgd", precision="fp32") == (2 * weights + 2 * weights, each)
    assert estimate(part, 4, 100, 50, optimizer="adamw", precision="fp32")[0] == 2 * weights + 3 * weights
    half = each - pixels * 2 * (3 + 64)
    assert estimate(part, 4, 100, 50, optimizer="sgd", precision="bf16")[1] == half


def test_what_is_frozen_keeps_nothing() -> None:
    with torch.device("meta"):
        part = Small()
    part.first.requires_grad_(False)
    fixed, each = estimate(part, 2, 100, 50, optimizer="sgd", precision="fp32")
    assert fixed == 2 * 4 * (3 * 64 + 64 * 2) + 2 * 4 * 64 * 2
    assert each < 100 * 50 * (4 * 64 + 7)


# Small forms of benchmarks/memory.py, which compares ten networks.
SETTINGS = {
    "classification": {"num_layers": "18", "image_shape": "3,160,160"},
    "detection": {"backbone": "tf_efficientnet_lite0", "neck": "fpn", "image_shape": "320", "mini_batch_size": "6"},
    "segmentation": {"backbone": "tf_efficientnet_lite0", "algorithm": "unet", "crop_size": "160"},
}


@pytest.mark.slow
@pytest.mark.parametrize("task", SETTINGS)
def test_estimate_is_near_the_peak_and_not_above(task: str) -> None:
    settings = json.dumps(SETTINGS[task] | {"precision": "fp32"})
    command = [sys.executable, str(BENCHMARK), "--one", task, settings]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["peak"] / 1.5 <= found["estimate"] <= found["peak"]


def test_what_cannot_fit_is_refused_with_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 100 * MEGABYTE)
    monkeypatch.setattr(memory, "_resident", lambda: 50 * MEGABYTE)
    check = partial(check_memory, optimizer="sgd", precision="fp32")
    each = estimate(Small().to("meta"), 2, 100, 100, optimizer="sgd", precision="fp32")[1]
    fits = (50 * MEGABYTE - 4 * 4 * 320) // each
    check(Small, fits, (100, 100))
    with pytest.raises(CustomerError) as caught:
        check(Small, fits + 1, (100, 100))
    said = str(caught.value)
    assert said.startswith("training needs 0.1 GB of memory or more, this machine has 0.1 GB (mini_batch_size=")
    assert said.endswith(f"pictures of 100 x 100); use a mini_batch_size of {fits} at the most")
    with pytest.raises(CustomerError, match="use a smaller mini_batch_size, smaller pictures or a smaller network"):
        check(Small, 1, (10_000, 10_000))


def test_nothing_is_refused_that_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Looks(nn.Module):
        """Goes by numbers, of which there are none on the meta device."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images if images.float().mean().item() > 3 else -images

    monkeypatch.setattr(memory, "machine_memory", lambda: MEGABYTE)
    check_memory(Looks, 10**6, (1000, 1000), optimizer="sgd", precision="fp32")
    monkeypatch.setattr(memory, "machine_memory", lambda: 0)  # a system that does not say
    check_memory(Small, 10**9, (1000, 1000), optimizer="sgd", precision="fp32")


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("image-classification", {"image_shape": "3,100000,100000"}),
        ("image-classification", {"num_classes": "1000000000"}),
        ("image-classification", {"mini_batch_size": "10000000"}),
        ("object-detection", {"image_shape": "10000", "mini_batch_size": "1000"}),
        ("object-detection", {"num_classes": "100000000"}),
        ("semantic-segmentation", {"mini_batch_size": "1000000"}),
    ],
    ids=lambda value: ",".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else value,
)
def test_job_beyond_the_machine_is_refused_at_once(algorithm: str, settings: dict[str, str], tmp_path: Path) -> None:
    """Before a picture is looked at: the channels hold nothing."""
    spec = find(algorithm)
    given = {"num_classes": "2", "num_training_samples": "10", "use_pretrained_model": "0"} | settings
    given |= {"num_layers": "18"} if algorithm == "image-classification" else {}
    (tmp_path / "data").mkdir()
    channels = {one.name: Channel(one.name, tmp_path / "data", "image/png") for one in spec.channels if one.required}
    job = JobDir.create(tmp_path / "job", given, channels)
    with pytest.raises(CustomerError, match="of memory or more, this machine has"):
        run_job(spec, job, JobLog(echo=None))
    assert job.failure.read_text().startswith("ClientError: training needs ")


# What ran out of it all the same


def test_memory_of_this_machine_is_known() -> None:
    assert machine_memory() > 100 * MEGABYTE


def test_torch_that_cannot_allocate_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8).fill_(1)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
