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

from clary.errors import DataError, InterruptedRun, UsageError
from clary.local.config import DatasetConfig, RunConfig
from clary.local.run import Run
from clary.local.run_lock import held
from clary.version import __version__
from clary.vision import formats
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.joblog import JobLog, Sink
from clary.vision.base.events import Hook
from clary.vision.base.files import write_json
from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, JobDir
from clary.vision.base.spec import Spec, as_text
from clary.vision.base.torch_environment import set_torch_environment
from clary.vision.base.types import Dataset
from clary.vision.datasets.split import split

__all__ = ["train"]

MODEL_CONTENT_TYPE = "application/x-sagemaker-model"
BATCH = 32  # about; made to divide the set, since an incomplete last batch is left out
VERSIONS = ("torch", "timm", "openvino", "onnxruntime")
OWN_NETWORK = ("num_layers", "base_network")  # settings that name a network SageMaker has
VALIDATION = 0.2  # share of the training pictures held out where a data set brings nothing else to judge by


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
    set_torch_environment()
    spec = find(algorithm)
    source = Path(dataset)
    named = [*(settings or {}).items(), *hyperparameters.items(), ("epochs", epochs), ("seed", seed)]
    given = {name: as_text(value) for name, value in named if value is not None}
    options: dict[str, Any] = {"path": str(source.resolve()), "labels": labels, "validation": validation}
    start = {"model": str(_archive(model))} if model is not None else {}
    if resume:
        return _run(spec, _earlier(spec, out, given, {**options, **start}), hooks, echo)
    data = _read(spec, source, labels)
    if validation is None:
        options["validation"] = 0.0 if "test" in data.splits else VALIDATION
    data = split(data, validation=options["validation"], seed=spec["seed"].parse(given.get("seed", "0")))
    folder = Path(out) if out else _next_folder(source)
    _claim(folder)
    filled = _settings(spec, data, given)
    checked = spec.parse(filled)
    channels = {"dataset": _channel(source, options, checked["seed"])}
    channels |= {name: Channel(name, Path(path), MODEL_CONTENT_TYPE) for name, path in start.items()}
    job = JobDir.create(folder, filled, channels)
    write_json(folder / "config.json", {**_config(spec, data, options, dict(checked)), **start})
    return _run(spec, job, hooks, echo)


def _run(spec: Spec, job: JobDir, hooks: Sequence[Hook], echo: Sink | None) -> Run:
    # The tensor library is loaded only now: asking for a wrong setting costs nothing.
    from clary.vision.algorithms.run import run_job
    from clary.vision.artifact.archive import pack

    with held(job.root / "config.json"):
        try:
            run_job(spec, job, JobLog(job.root / "log.txt", echo), hooks)
        except InterruptedRun as stopped:
            raise InterruptedRun(stopped.what, hint=f"go on with --resume --out {job.root}") from stopped
        pack(job.model, job.root / "model.tar.gz")
    shutil.rmtree(job.model)
    return Run(job.root)


def _earlier(spec: Spec, out: str | Path | None, given: Mapping[str, str], options: Mapping[str, Any]) -> JobDir:
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
    checked = spec.parse({**job.hyperparameters, **given})
    now = {"algorithm": spec.name, **{name: checked[name] for name in given}, **asked}
    differing = ", ".join(f"{name}: {then[name]} then, {now[name]} now" for name in now if then[name] != now[name])
    if differing:
        raise UsageError(
            f"was started with other settings ({differing})", where=out, hint="leave them out, or start anew"
        )
    return job


def _channel(source: Path, options: Mapping[str, Any], seed: int) -> Channel:
    """Our own channel, whose content type says how the data set is to be read."""
    parameters = {"labels": options["labels"], "validation": options["validation"], "seed": seed}
    text = "".join(f"; {name}={value}" for name, value in parameters.items() if value is not None)
    return Channel("dataset", source, f"{DATASET_CONTENT_TYPE}{text}")


def _archive(model: str | Path) -> Path:
    """The archive to go on from. Raises UsageError when there is none, or its run has not finished."""
    run = Run(model)
    path = run.model if run.is_run() else run.path
    if not path.exists():
        raise UsageError("there is no such model", where=path, hint="name a run or a model.tar.gz")
    return path.resolve()


def _read(spec: Spec, source: Path, labels: str | None) -> Dataset:
    data = formats.read(source, task=spec.task, labels=labels)
    errors = [problem for problem in data.problems if problem.severity == "error"]
    if errors:
        more = f" ({len(errors) - 1} more: `clary data check {source}`)" if len(errors) > 1 else ""
        raise DataError(errors[0].what + more, where=errors[0].where, hint=errors[0].hint)
    return data


def _settings(spec: Spec, data: Dataset, given: Mapping[str, str]) -> dict[str, str]:
    """The user's values over our local defaults over what the data says."""
    count = len(data.splits["train"])
    counted = {"num_classes": str(len(data.class_names)), "num_training_samples": str(count)}
    counted |= {"multi_label": "1"} if data.multi_label else {}
    defaults = _defaults(spec, given)
    about = int(defaults.get("mini_batch_size", BATCH))
    counted["mini_batch_size"] = str(count // max(1, round(count / about)))
    return {**defaults, **counted, **given}


def _defaults(spec: Spec, given: Mapping[str, str]) -> dict[str, str]:
    """Our own defaults, but for those that do not go together with what is given."""
    defaults = dict(spec.local_defaults or {})
    unfit: list[str] = []
    if "backbone" not in given and not given.keys().isdisjoint(OWN_NETWORK):  # asks for SageMaker's own network
        unfit += ["backbone", "use_pretrained_model"]
        unfit += ["neck"] if given.get("base_network") == "vgg-16" else []
    if "image_shape" in given:  # it was chosen for the usual one
        unfit += ["resize"]
    fit = {name: value for name, value in defaults.items() if name not in unfit}
    if not _pretrained(spec, {**fit, **given}):  # random weights have to be trained, all of them
        fit = {name: value for name, value in fit.items() if name not in ("freeze", "head_rate_factor")}
    return fit


def _pretrained(spec: Spec, values: Mapping[str, str]) -> bool:
    parameter = spec["use_pretrained_model"]
    text = values.get(parameter.name)
    return bool(parameter.default if text is None else parameter.parse(text))


def _next_folder(source: Path) -> Path:
    name = source.resolve().name or "run"
    return next(p for n in range(1, 1_000_000) if not (p := Path("runs") / f"{name}-{n}").exists())


def _claim(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("already exists", where=folder, hint="give another --out, or --resume to go on with it")


def _config(spec: Spec, data: Dataset, options: Mapping[str, Any], hyperparameters: Mapping[str, Any]) -> RunConfig:
    return {
        "clary": __version__,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "algorithm": spec.name,
        "dataset": DatasetConfig(
            path=options["path"],
            labels=options["labels"],
            validation=options["validation"],
            format=data.format,
            class_names=list(data.class_names),
            counts={name: data.counts(name) for name in data.splits},
        ),
        "hyperparameters": hyperparameters,
        "seed": hyperparameters["seed"],
        "network": _network(hyperparameters),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processor": _processor(),
            "cores": os.cpu_count() or 1,
            "versions": {name: version(name) for name in VERSIONS if find_spec(name)},
        },
    }


def _network(hyperparameters: Mapping[str, Any]) -> str:
    named = hyperparameters.get("backbone") or hyperparameters.get("base_network")
    return str(named or f"resnet{hyperparameters.get('num_layers')}")


def _processor() -> str:
    """The processor's name as the kernel gives it, where it does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return name or platform.processor() or platform.machine()
