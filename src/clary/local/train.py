"""Training on a folder, without a server: write the job directory, run the algorithm, pack the model."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clary.errors import InterruptedRun, UsageError
from clary.local.config import DatasetConfig, RunConfig
from clary.local.run import Run
from clary.local.run_lock import held
from clary.version import __version__
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.joblog import JobLog, Sink
from clary.vision.base.events import Hook
from clary.vision.base.files import write_json
from clary.vision.base.hyperparameters import Hyperparameters, as_text
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.base.spec import AnySpec
from clary.vision.base.torch_environment import set_torch_environment
from clary.vision.base.types import Dataset
from clary.vision.datasets.check import CheckResult, examine
from clary.vision.datasets.left_out import count_left_out, summed_up
from clary.vision.datasets.reading import ReadingOptions, read

__all__ = ["train"]

MODEL_CONTENT_TYPE = "application/x-sagemaker-model"
VERSIONS = ("torch", "timm", "openvino", "onnxruntime")


def train(
    algorithm: str,
    dataset: str | Path,
    *,
    out: str | Path | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    labels: str | None = None,
    validation: float | None = None,
    model: str | Path | None = None,
    resume: bool = False,
    hooks: Sequence[Hook] = (),
    echo: Sink | None = None,
    settings: Mapping[str, object] | None = None,
    **hyperparameters: object,
) -> Run:
    """Train ``algorithm`` on a data set in any layout Clary reads, and return the finished run.

    ``out`` is the run's folder, by default the next free ``runs/NAME-1``, ``runs/NAME-2``. ``labels`` chooses what
    to tell apart where a layout offers several ("breeds" or "species"). ``validation`` is the share of training
    pictures held out where there is no validation split: by default a fifth, or none where there is a test split
    to judge by, since of a few hundred pictures each one counts. ``model`` (a run or a model.tar.gz) is what to go
    on from: of one for another number of classes, what depends on that number starts afresh. Further keywords, and
    what is in ``settings``, are hyperparameters by their SageMaker names. ``echo`` receives each log line. ``resume``
    goes on from the checkpoint of ``out``, with the settings it was started with.

    Raises CustomerError for data or settings that cannot be used, DivergedError when the loss is no number,
    InterruptedRun after Ctrl-C, with a checkpoint saved.
    """
    # Before anything imports torch: OpenMP reads its variables once, when it is loaded.
    set_torch_environment()
    spec = find(algorithm)
    source = Path(dataset)
    named = [*(settings or {}).items(), *hyperparameters.items(), ("epochs", epochs), ("seed", seed)]
    given = {name: as_text(value) for name, value in named if value is not None}
    start = {"model": str(_archive(model))} if model is not None else {}
    if resume:
        asked = {"path": str(source.resolve()), "labels": labels, "validation": validation, **start}
        return _run(spec, _earlier(spec, out, given, asked), hooks, echo)
    options = ReadingOptions(labels, validation, _seed(spec, given))
    data = read(source, options, task=spec.task)
    CheckResult(data, data.problems).refuse(job=False)
    # With the share that was really held out: a resumed run, and a report, must split as this one does.
    options = options.settled(data)
    folder = Path(out) if out else _next_folder(source)
    _claim(folder)
    filled = spec.settings_for(given, data)
    checked = spec.parse(filled)
    # Last, since it opens every picture: a wrong setting is told at once.
    result = examine(data)
    result.refuse(job=False)
    channels = {"dataset": Channel("dataset", source, options.content_type)}
    channels |= {name: Channel(name, Path(path), MODEL_CONTENT_TYPE) for name, path in start.items()}
    job = JobDir.create(folder, filled, channels)
    # As it was read and looked at: half a second for 20,000 pictures that are not listed again, a minute to open them.
    job.dataset = data = result.dataset
    # Last: without it the folder is no run, so one that was killed before is not listed, nor resumed.
    write_json(folder / "config.json", {**_config(spec, source, data, options, checked), **start})
    return _run(spec, job, hooks, echo)


def _run(spec: AnySpec, job: JobDir, hooks: Sequence[Hook], echo: Sink | None) -> Run:
    # The tensor library is loaded only now: asking for a wrong setting costs nothing.
    from clary.vision.algorithms.run import run_job
    from clary.vision.artifact.archive import pack

    # Packed under the lock too: a run is going on until its model is whole.
    with held(job.root / "config.json"):
        try:
            run_job(spec, job, JobLog(job.root / "log.txt", echo), hooks)
        except InterruptedRun as stopped:
            raise InterruptedRun(stopped.what, hint=f"go on with --resume --out {job.root}") from stopped
        pack(job.model, job.root / "model.tar.gz")
    # Only now: pack leaves the whole archive or none, and until then these are the only weights.
    shutil.rmtree(job.model)
    return Run(job.root)


def _earlier(spec: AnySpec, out: str | Path | None, given: Mapping[str, str], options: Mapping[str, Any]) -> JobDir:
    """The job directory of a run to go on with, untouched. Raises UsageError for anything given that differs."""
    if out is None:
        raise UsageError("a run to resume is not named", hint="give its folder with --out")
    run = Run(out)
    if not run.is_run():
        raise UsageError("there is no run to resume", where=out, hint="start it without --resume")
    if run.finished:
        raise UsageError("this run has finished already", where=out, hint="train into a new folder with --out")
    job, config = JobDir(out), run.config
    then: dict[str, Any] = {"algorithm": config["algorithm"], "model": config.get("model", "none")}
    then |= {**spec.parse(job.hyperparameters), **config["dataset"]}
    asked = {name: value for name, value in options.items() if value is not None}
    # Parsed before they are compared: 0.10 is what 0.1 was.
    checked = spec.parse({**job.hyperparameters, **given})
    now = {"algorithm": spec.name, **{name: checked[name] for name in given}, **asked}
    differing = ", ".join(f"{name}: {then[name]} then, {now[name]} now" for name in now if then[name] != now[name])
    if differing:
        raise UsageError(
            f"was started with other settings ({differing})", where=out, hint="leave them out, or start anew"
        )
    return job


def _archive(model: str | Path) -> Path:
    """The archive to go on from. Raises UsageError when there is none, or its run has not finished."""
    run = Run(model)
    path = run.model if run.is_run() else run.path
    if not path.exists():
        raise UsageError("there is no such model", where=path, hint="name a run or a model.tar.gz")
    return path.resolve()


def _seed(spec: AnySpec, given: Mapping[str, str]) -> int:
    """The seed that also chooses what is held out; 0 for an algorithm without one."""
    known = [one for one in spec.hyperparameters if one.name == "seed"]
    return int(known[0].parse(given.get("seed", as_text(known[0].default)))) if known else 0


def _next_folder(source: Path) -> Path:
    name = source.resolve().name or "run"
    return next(p for n in range(1, 1_000_000) if not (p := Path("runs") / f"{name}-{n}").exists())


def _claim(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("already exists", where=folder, hint="give another --out, or --resume to go on with it")


def _config(
    spec: AnySpec, source: Path, data: Dataset, options: ReadingOptions, hyperparameters: Hyperparameters
) -> RunConfig:
    return {
        "clary": __version__,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "algorithm": spec.name,
        "dataset": DatasetConfig(
            path=str(source.resolve()),
            labels=options.labels,
            validation=options.validation,
            format=data.format,
            class_names=list(data.class_names),
            counts={name: data.counts(name) for name in data.splits},
            left_out=count_left_out(data.problems),
            notes=summed_up(data.problems),
        ),
        "hyperparameters": dict(hyperparameters),
        "seed": options.seed,
        "network": hyperparameters.network_name(),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processor": _processor(),
            "cores": os.cpu_count() or 1,
            "versions": {name: version(name) for name in VERSIONS if find_spec(name)},
        },
    }


def _processor() -> str:
    """The processor's name as the kernel gives it, where it does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return name or platform.processor() or platform.machine()
