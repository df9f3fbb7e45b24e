"""Quality against time of ways to train: how many epochs, on pictures of which sizes, which network.

    python benchmarks/schedules.py classification --results FILE [--seeds 3] [--folds 3] [--only WAY ...]
    python benchmarks/schedules.py classification --results FILE --steps [--rounds 3]
    python benchmarks/schedules.py classification --results FILE --test [--seeds 10]
    python benchmarks/schedules.py --results FILE --draw docs/images/schedules.png

- the first trains each of WAYS on all folds of trainval but one, judges the last epoch by that one, and adds a line to
  FILE; what stands there already is not done again. The test split is not looked at
- ``--steps`` times the epochs of each network at each size, sizes in turn in one process, as the product makes them; a
  way's time is then the sum of its steps on all of trainval, whatever else the machine did while its quality was taken
- ``--test`` is for the end: `clary.train` with nothing set but ``--seed``, each in a process of its own, the official
  test split (of heads, which have none, a quarter held out by seed 0), whole seconds

Without any of them the table of FILE is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _bench import machine, pets, process, table

if TYPE_CHECKING:
    from clary.vision.base.types import Dataset

Row = dict[str, Any]

LITE1 = {"backbone": "tf_efficientnet_lite1"}
# What each way sets; all else is `clary train`'s.
WAYS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "classification": {
        "8 at 224": {"epochs": "8", "progressive_resizing": "none"},
        "5 at 224": {"epochs": "5", "progressive_resizing": "none"},
        "8 at 160, 224": {"epochs": "8", "progressive_resizing": "160:4"},
        "8 at 128, 160, 224": {"epochs": "8", "progressive_resizing": "128:4,160:2"},
        "6 at 128, 160, 224": {"epochs": "6", "progressive_resizing": "128:2,160:2"},
        "Lite1, 5 at 224": {**LITE1, "epochs": "5", "progressive_resizing": "none"},
        "Lite1, 8 at 160, 224": {**LITE1, "epochs": "8", "progressive_resizing": "160:4"},
        "Lite1, 8 at 128, 160, 224": {**LITE1, "epochs": "8", "progressive_resizing": "128:4,160:2"},
        "Lite1, 6 at 128, 160, 224": {**LITE1, "epochs": "6", "progressive_resizing": "128:2,160:2"},
        "Lite1, 8 at 224": {**LITE1, "epochs": "8", "progressive_resizing": "none"},
        "Lite2, 5 at 224": {"backbone": "tf_efficientnet_lite2", "epochs": "5", "progressive_resizing": "none"},
    },
    "detection": {
        "20 at 320": {"epochs": "20", "progressive_resizing": "none"},
        "12 at 320": {"epochs": "12", "progressive_resizing": "none"},
        "12 at 224, 320": {"epochs": "12", "progressive_resizing": "224:7"},
        "14 at 224, 320": {"epochs": "14", "progressive_resizing": "224:8"},
        "16 at 224, 320": {"epochs": "16", "progressive_resizing": "224:8"},
        "20 at 224, 320": {"epochs": "20", "progressive_resizing": "224:10"},
        "30 at 224 (15), 320": {"epochs": "30", "progressive_resizing": "224:15"},
        "30 at 224 (10), 320": {"epochs": "30", "progressive_resizing": "224:10"},
    },
    "segmentation": {
        "20 at 288": {"epochs": "20", "progressive_resizing": "none"},
        "12 at 288": {"epochs": "12", "progressive_resizing": "none"},
        "14 at 192, 288": {"epochs": "14", "progressive_resizing": "192:8"},
        "16 at 192, 288": {"epochs": "16", "progressive_resizing": "192:8"},
        "20 at 192 (8), 288": {"epochs": "20", "progressive_resizing": "192:8"},
        "20 at 192 (12), 288": {"epochs": "20", "progressive_resizing": "192:12"},
    },
}
SHOWN = {
    "classification": ("accuracy", "expected_calibration_error", "log_loss"),
    "detection": ("mAP", "AP"),
    "segmentation": ("mIOU",),
}
FOLDS = {"classification": 3, "detection": 4, "segmentation": 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=tuple(WAYS))
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, help="how many of them; all unless said")
    parser.add_argument("--only", nargs="+", metavar="WAY")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        draw(_read(options.results), options.draw)
        return
    if pets() is None:
        sys.exit("the real pets are not here: set CLARY_PETS")
    if options.seed is not None:
        print(json.dumps(whole(options.task, options.seed)))
        return
    for row in _wanted(options) if options.task else ():
        with options.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
    print(machine())
    _print(_read(options.results))


def _wanted(options: argparse.Namespace) -> Iterator[Row]:
    if options.test:
        for seed in range(options.seeds):
            yield _in_a_process(options, seed)
    elif options.steps:
        yield from step_times(options.task, options.rounds, options.only or WAYS[options.task])
    else:
        yield from quality(options)


# Quality


def quality(options: argparse.Namespace) -> Iterator[Row]:
    """A row for each way, fold and seed that has none yet, way by way, so that they can be compared early."""
    task, done = options.task, {_key(row) for row in _read(options.results) if row["kind"] == "quality"}
    data = _trainval(task)
    folds = FOLDS[task]
    for seed in range(options.seeds):
        for fold in range(options.folds or folds):
            for way in options.only or WAYS[task]:
                row: Row = {"kind": "quality", "task": task, "way": way, "fold": fold, "seed": seed}
                if _key(row) not in done:
                    row |= judged(task, WAYS[task][way], _fold(data, fold, folds), seed)
                    print(json.dumps(row), file=sys.stderr)
                    yield row


def _key(row: Row) -> tuple[object, ...]:
    return row["task"], row["way"], row["fold"], row["seed"]


def _trainval(task: str) -> Dataset:
    from clary.vision import formats

    root = pets()
    assert root is not None
    data = formats.read(root, task=task)
    return data.with_splits({"train": [*data.splits["train"], *data.splits.get("validation", ())]})


def _fold(data: Dataset, fold: int, folds: int) -> Dataset:
    """All but each ``folds``-th picture of a class to train on, the others as test split, which training ignores."""
    samples = data.splits["train"]
    random = np.random.Generator(np.random.PCG64(0))
    held: set[int] = set()
    classes = np.array([sample.classes[0] if sample.classes else 0 for sample in samples])
    for one in np.unique(classes):
        held.update(random.permutation(np.flatnonzero(classes == one))[fold::folds].tolist())
    train = [sample for number, sample in enumerate(samples) if number not in held]
    return data.with_splits({"train": train, "test": [samples[number] for number in sorted(held)]})


class Judged(Exception):
    """The last epoch is judged: no model has to be written."""


def judged(task: str, settings: Mapping[str, str], data: Dataset, seed: int) -> Row:
    """Train as `clary train` does, and judge the network of the last epoch by the test split."""
    from clary.vision.algorithms.catalog import find
    from clary.vision.algorithms.joblog import JobLog
    from clary.vision.algorithms.run import run_job
    from clary.vision.base.events import EpochEnd, Hook, RunEnd, RunStart
    from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, JobDir

    class Judge(Hook):
        seconds = 0.0

        def on_start(self, event: RunStart) -> None:
            self._start = event

        def on_epoch(self, event: EpochEnd) -> None:
            self.seconds += event.seconds

        def on_end(self, event: RunEnd) -> None:
            self.metrics = MEASURES[task](self._start, hp, data)
            raise Judged

    spec, judge = find(task), Judge()
    filled = spec.settings_for({**settings, "seed": str(seed)}, data)
    hp = spec.parse(filled)
    with tempfile.TemporaryDirectory() as scratch:
        job = JobDir.create(
            Path(scratch) / "run", filled, {"dataset": Channel("dataset", data.root, DATASET_CONTENT_TYPE)}
        )
        job.dataset = data
        with suppress(Judged):
            run_job(spec, job, JobLog(None, None), [judge])
    return {**judge.metrics, "seconds": round(judge.seconds, 2), "precision": judge._start.precision}


def _classified(start: Any, hp: Any, data: Dataset) -> Row:
    import torch

    from clary.vision.algorithms.image_classification.data import serving_transform
    from clary.vision.base import preprocessing, scores

    how, samples = serving_transform(hp), data.splits["test"]
    views = np.stack([preprocessing.prepare(sample.image.read(), how) for sample in samples])
    start.network.eval()
    with torch.inference_mode():
        logits = torch.cat([start.network(torch.from_numpy(part)).float() for part in np.array_split(views, 4)])
    found, true = logits.softmax(1).numpy(), np.array([sample.classes[0] for sample in samples])
    return {
        "accuracy": scores.accuracy(true, found.argmax(1)),
        "expected_calibration_error": scores.expected_calibration_error(true, found),
        "log_loss": scores.log_loss(true, found),
        "count": len(true),
    }


def _detected(start: Any, hp: Any, data: Dataset) -> Row:
    import torch

    from clary.vision.algorithms.object_detection.data import ObjectCache, serving_transform
    from clary.vision.base import preprocessing
    from clary.vision.base.average_precision import AveragePrecision

    how, samples = serving_transform(hp), data.splits["test"]
    objects, measured = ObjectCache(samples), AveragePrecision(len(data.class_names))
    start.network.eval()
    with torch.inference_mode():
        for number, sample in enumerate(samples):
            view = torch.from_numpy(preprocessing.prepare(sample.image.read(), how))[None]
            measured.add(objects[number], start.objective.detections(start.network(view))[0])
    return {"mAP": measured.mean_average_precision(), **measured.coco(), "count": len(samples)}


def _segmented(start: Any, hp: Any, data: Dataset) -> Row:
    import torch

    from clary.vision.algorithms.semantic_segmentation.data import serving_transform
    from clary.vision.base.decoding import decode_mask
    from clary.vision.base.pixels import PixelCounts
    from clary.vision.base.planes import strongest
    from clary.vision.base.preprocessing import prepare_sized

    how, counts = serving_transform(hp), PixelCounts(len(data.class_names))
    start.network.eval()
    with torch.inference_mode():
        for sample in data.splits["test"]:
            pixels, (width, height) = prepare_sized(sample.image.path, how)
            found = start.network(torch.from_numpy(pixels)[None])[0].float().softmax(dim=0).numpy()
            assert sample.mask is not None
            counts.add(decode_mask(sample.mask.read(), sample.mask_values), strongest(found, height, width))
    return {"mIOU": counts.mean_iou, "pixel_accuracy": counts.pixel_accuracy, "count": len(data.splits["test"])}


MEASURES = {"classification": _classified, "detection": _detected, "segmentation": _segmented}


# Time


def step_times(task: str, rounds: int, ways: Iterable[str]) -> Iterator[Row]:
    """A row for each network: milliseconds of a step at each size, of the clock and of processors, medians."""
    from clary.vision.algorithms.catalog import find
    from clary.vision.base.events import EpochEnd, Hook
    from clary.vision.base.image_sizes import ImageSizes

    spec = find(task)
    stages = spec["progressive_resizing"]
    used: dict[str, set[int]] = defaultdict(set)
    for way in (WAYS[task][name] for name in ways):
        used[way.get("backbone", "")] |= {size for size, _ in stages.parse(way["progressive_resizing"])}
    # In turn, where a run has each size once.
    ImageSizes.at = lambda self, epoch: self.all()[epoch % len(self.all())]  # type: ignore[method-assign]

    class Clock(Hook):
        def __init__(self) -> None:
            self.taken: dict[int, list[tuple[float, float]]] = defaultdict(list)
            self._cpu = 0.0

        def on_start(self, event: Any) -> None:
            self._steps, self._cpu = event.steps_per_epoch, time.process_time()

        def on_epoch(self, event: EpochEnd) -> None:
            cpu, self._cpu = self._cpu, time.process_time()
            self.taken[event.image_size].append((event.seconds / self._steps, (self._cpu - cpu) / self._steps))

        def on_end(self, event: Any) -> None:
            raise Judged

    data = _trainval(task)
    for backbone, sizes in used.items():
        clock = Clock()
        text = ",".join(f"{size}:1" for size in sorted(sizes))
        epochs = (rounds + 1) * (len(sizes) + 1)
        given = {"epochs": str(epochs), "progressive_resizing": text, **({"backbone": backbone} if backbone else {})}
        _time(spec, given, data, clock)
        for size, pairs in clock.taken.items():
            # The first of each decodes pictures and picks kernels.
            seconds, cpu = (statistics.median(one) for one in zip(*pairs[1:], strict=True))
            yield {
                "kind": "step",
                "task": task,
                "backbone": backbone or "tf_efficientnet_lite0",
                "size": size,
                "ms": round(1000 * seconds, 1),
                "least": round(1000 * min(one for one, _ in pairs[1:]), 1),
                "most": round(1000 * max(one for one, _ in pairs[1:]), 1),
                "cpu_ms": round(1000 * cpu, 1),
                "steps": clock._steps,
            }


def _time(spec: Any, given: Mapping[str, str], data: Dataset, clock: Any) -> None:
    from clary.vision.algorithms.joblog import JobLog
    from clary.vision.algorithms.run import run_job
    from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, JobDir

    with tempfile.TemporaryDirectory() as scratch:
        channel = Channel("dataset", data.root, DATASET_CONTENT_TYPE)
        job = JobDir.create(Path(scratch) / "run", spec.settings_for(given, data), {"dataset": channel})
        job.dataset = data
        with suppress(Judged):
            run_job(spec, job, JobLog(None, None), [clock])


# The end


def whole(task: str, seed: int) -> Row:
    """`clary.train` with nothing set, and what the test split says of its model."""
    import clary

    source = pets()
    assert source is not None
    with tempfile.TemporaryDirectory() as scratch:
        data, split = source, "test"
        if task == "detection":
            from accuracy_detection import held_out

            data, split = held_out(source, Path(scratch)), "validation"
        start = time.perf_counter()
        run = clary.train(task, data, out=Path(scratch) / "run", seed=seed, progress=False)
        seconds = time.perf_counter() - start
        found = clary.evaluate(run.model, data, split=split)
        training = run.metrics["seconds"]
    numbers = {name: float(value) for name, value in found.metrics.items()}
    return {**numbers, "count": found.count, "training": training, "whole": seconds}


def _in_a_process(options: argparse.Namespace, seed: int) -> Row:
    words = (options.task, "--results", options.results, "--seed", seed)
    with process(sys.argv[0], *words) as child:
        out, _ = child.communicate()
    if child.returncode:
        sys.exit(f"seed {seed} failed")
    return {"kind": "test", "task": options.task, "seed": seed, **json.loads(out.splitlines()[-1])}


# Tables and the curve


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _seconds(rows: list[Row], task: str, way: str) -> float | None:
    """Processor time of all steps of ``way`` on the whole of trainval; None where a size was not timed. Other programs
    disturb it less than the clock."""
    from clary.vision.algorithms.catalog import find
    from clary.vision.base.image_sizes import ImageSizes

    settings, spec = WAYS[task][way], find(task)
    backbone = settings.get("backbone", "tf_efficientnet_lite0")
    steps = {
        row["size"]: row for row in rows if (row["kind"], row["task"], row.get("backbone")) == ("step", task, backbone)
    }
    if not steps:
        return None
    stages = spec["progressive_resizing"].parse(settings["progressive_resizing"])
    sizes = ImageSizes(max(steps), stages)
    try:
        taken = [steps[sizes.at(epoch)] for epoch in range(int(settings["epochs"]))]
    except KeyError:
        return None
    return float(sum(row["steps"] * row["cpu_ms"] / 1000 for row in taken))


def _summaries(rows: list[Row], task: str) -> dict[str, dict[str, tuple[float, float, int]]]:
    """Mean, standard error over runs, and number of runs of each metric of each way."""
    found: dict[str, dict[str, tuple[float, float, int]]] = {}
    for way in WAYS[task]:
        own = [row for row in rows if (row["kind"], row["task"], row.get("way")) == ("quality", task, way)]
        if own:
            found[way] = {}
            for name in SHOWN[task]:
                values = [row[name] for row in own]
                error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
                found[way][name] = statistics.mean(values), error, len(values)
    return found


def _print(rows: list[Row]) -> None:
    for task in WAYS:
        if found := _summaries(rows, task):
            print(f"\n{task}, folds of trainval; mean and its standard error over runs")
            first = next((seconds for way in found if (seconds := _seconds(rows, task, way))), None)
            lines = []
            for way, metrics in found.items():
                seconds = _seconds(rows, task, way)
                told = [f"{seconds:.1f}", f"{seconds / first:.2f}"] if seconds and first else ["", ""]
                numbers = [f"{mean:.4f} ± {error:.4f}" for mean, error, _ in metrics.values()]
                lines.append([way, *numbers, *told, next(iter(metrics.values()))[2]])
            table([task, *SHOWN[task], "steps, processor s", "first = 1", "runs"], lines)
        if steps := [row for row in rows if (row["kind"], row["task"]) == ("step", task)]:
            print()
            timed = ("backbone", "size", "ms", "least", "most", "cpu_ms")
            table(timed, [[row[name] for name in timed] for row in steps])
        if tests := [row for row in rows if (row["kind"], row["task"]) == ("test", task)]:
            print(f"\n{task}, `clary.train` with nothing set, judged on what it never saw")
            columns = (*SHOWN[task], "training", "whole")
            lines = [[f"seed {row['seed']}", *(f"{row[name]:.4f}" for name in columns)] for row in tests]
            means = [f"{statistics.mean(row[name] for row in tests):.4f}" for name in columns]
            table(["", *columns], [*lines, ["mean", *means]])


def draw(rows: list[Row], path: Path) -> None:
    """Quality over processor time of steps, a panel a task; ways of a single run are left out."""
    from clary.vision.plots._style import BLUE, FONT, INK, MUTED, bare, figure, heading

    tasks = [task for task in WAYS if any(_seconds(rows, task, way) for way in _summaries(rows, task))]
    sheet = figure(4.4 * len(tasks), 3.4)
    sheet.set_facecolor("white")
    for task, axes in zip(tasks, sheet.subplots(1, len(tasks), squeeze=False)[0], strict=True):
        main = "AP" if task == "detection" else SHOWN[task][0]
        for way, metrics in _summaries(rows, task).items():
            mean, error, runs = metrics[main]
            if runs > 1 and (seconds := _seconds(rows, task, way)):
                axes.errorbar(seconds, mean, yerr=error, fmt="o", color=BLUE, ecolor=MUTED, elinewidth=0.8)
                axes.annotate(way, (seconds, mean), (4, 4), textcoords="offset points", fontsize=FONT - 2, color=INK)
        bare(axes)
        axes.margins(x=0.3)
        axes.set_xlabel("processor seconds of steps", fontsize=FONT, color=MUTED)
        heading(axes, f"{task}: {main}")
    sheet.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
