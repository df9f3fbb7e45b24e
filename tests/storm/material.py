"""What rounds are made of: drawn pictures, small data sets in any layout, a model that knows colours."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path

from tests import conftest

from clary.vision import formats
from clary.vision.base.types import Blob, Box, Dataset, Sample, SplitName, TaskName
from clary.vision.formats._masks import mask_png

__all__ = ["LAYOUTS", "add_counts", "colour_jpeg", "colour_model", "make_set", "picture"]

# What pytest hands to tests as fixtures.
colour_jpeg = conftest._colour_jpeg
picture = conftest._encoded

TASKS: tuple[TaskName, ...] = ("classification", "detection", "segmentation")
# A name of a layout with a task that it can be written for; Oxford's boxes and masks are of pets alone.
LAYOUTS = [
    (format.name, task)
    for format in formats.FORMATS
    for task in TASKS
    if task in format.written_for and (format.name != "oxford" or task == "classification")
]


@functools.cache
def colour_model() -> bytes:
    """A model archive whose network says which of blue, green and red is strongest."""
    with tempfile.TemporaryDirectory() as folder:
        return conftest._colour_model(Path(folder)).read_bytes()


def add_counts(folder: Path) -> None:
    """Put the algorithm ``counts`` into ``folder`` as pip would, and let every process started from now on find it."""
    shutil.copytree(Path(__file__).with_name("counts"), folder / "counts", ignore=shutil.ignore_patterns("__pycache__"))
    metadata = folder / "counts-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: counts\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[clary.algorithms]\ncounts = counts.spec:SPEC\n")
    os.environ["PYTHONPATH"] = str(folder)


def make_set(folder: Path, layout: str, task: TaskName) -> Path:
    """A data set of six pictures and two classes in ``folder``."""
    import numpy as np

    source = folder.with_name(folder.name + "-source")
    source.mkdir(parents=True)
    samples = []
    for number in range(6):
        image, mask = source / f"{number}.jpg", source / f"{number}.png"
        image.write_bytes(picture("JPEG", 64, 48, number))
        mask.write_bytes(mask_png(np.full((48, 64), number % 2, np.uint8)))
        classes, boxes = (number % 2,), (Box(number % 2, 1, 2, 30, 40),)
        samples.append(
            {
                "classification": Sample(Blob(image), classes, source=str(number)),
                "detection": Sample(Blob(image), classes, boxes),
                "segmentation": Sample(Blob(image), mask=Blob(mask)),
            }[task]
        )
    splits: dict[SplitName, tuple[Sample, ...]] = {
        "train": tuple(samples[:4]),
        "test" if layout == "oxford" else "validation": tuple(samples[4:]),
    }
    formats.FORMATS.get(layout).write(Dataset(source, layout, ("cat", "dog"), splits, task), folder)
    return folder
