from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clary.vision.base.types import Blob, Box, Dataset, Sample, TaskName
from clary.vision.formats._masks import mask_png
from clary.vision.plots import samples
from clary.vision.plots.dataset_sheet import page


@pytest.fixture
def data(tmp_path: Path, jpeg: Callable[..., bytes]) -> Callable[[TaskName], Dataset]:
    def make(task: TaskName) -> Dataset:
        found = []
        for seed, (width, height) in enumerate([(64, 48), (48, 64), (200, 20), (20, 200)]):
            path = tmp_path / f"{seed}.jpg"
            path.write_bytes(jpeg(width, height, seed))
            path.with_suffix(".png").write_bytes(mask_png(np.full((height, width), seed % 2, np.uint8)))
            box = Box(seed % 2, 1, 1, width / 2, height / 2)
            found.append(Sample(Blob(path), (seed % 2,), (box,), Blob(path.with_suffix(".png"))))
        return Dataset(tmp_path, "memory", ("cat", "dog"), {"train": tuple(found)}, task)

    return make


@pytest.mark.parametrize("task", ["classification", "detection", "segmentation"])
def test_a_page(data: Callable[[TaskName], Dataset], task: TaskName) -> None:
    drawn, unreadable = page(data(task), "train")
    assert unreadable == 0
    assert drawn.width > 600
    assert len(np.unique(np.asarray(drawn).reshape(-1, 3), axis=0)) > 100


@pytest.mark.parametrize("task", ["classification", "detection", "segmentation"])
def test_pictures_and_masks_that_cannot_be_read(data: Callable[[TaskName], Dataset], task: TaskName) -> None:
    made = data(task)
    made.splits["train"][0].image.path.write_bytes(b"")
    made.splits["train"][1].image.path.with_suffix(".png").write_bytes(b"")
    assert page(made, "train")[1] == 1
    for sample in made.splits["train"]:
        sample.image.path.write_bytes(b"")
    assert page(made, "train")[1] == 4


def test_rows_fill_their_width() -> None:
    sizes = [(640, 480), (480, 640), (640, 480), (2000, 100), (100, 2000), (640, 480), (640, 480)]
    rows = samples.justified(sizes, width=600, height=150)
    assert sum(map(len, rows)) == len(sizes)
    for row in rows[:-1]:
        across = sum(width for width, _ in row) + samples.GAP * (len(row) - 1)
        assert abs(across - 600) <= len(row)
        assert len({height for _, height in row}) == 1
    assert samples.justified([], width=600, height=150) == []
