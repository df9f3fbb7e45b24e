"""Pictures beside a table ``brightness.csv`` of lines ``file,value,split``."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from clary.vision.base.types import Blob, Dataset, Sample, SplitName, TaskName
from clary.vision.formats import Format
from clary_brightness.task import Reading

TABLE = "brightness.csv"


class BrightnessCsv(Format):
    name = "brightness-csv"
    layout = f"pictures beside {TABLE} of lines file,value,split"
    tasks = frozenset({"brightness"})

    def sniff(self, root: Path) -> bool:
        return (root / TABLE).is_file()

    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        found: dict[SplitName, list[Sample]] = {"train": [], "validation": [], "test": []}
        with (root / TABLE).open(newline="") as file:
            for number, (name, value, split) in enumerate(csv.reader(file), 1):
                source = f"{TABLE}:{number}"
                found[split].append(Reading(Blob(root / name), source=source, value=float(value)))  # type: ignore[index]
        splits = {split: tuple(samples) for split, samples in found.items() if samples}
        return Dataset(root, self.name, ("brightness",), splits, task)

    def _write(self, dataset: Dataset, root: Path) -> None:
        with (root / TABLE).open("w", newline="") as file:
            for split, samples in dataset.splits.items():
                for sample in samples:
                    assert isinstance(sample, Reading)
                    shutil.copy(sample.image.path, root)
                    csv.writer(file).writerow([sample.image.path.name, sample.value, split])


FORMAT = BrightnessCsv()
