"""Training on a folder, without a server: write the job directory, run the algorithm, pack the model."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from clary.errors import UsageError
from clary.local.config import DatasetConfig, RunConfig
from clary.local.execution import execute
from clary.local.progress import showing
from clary.local.resume import resume as run_on
from clary.local.run import Run
from clary.local.run_lock import held, is_held
from clary.version import __version__
from clary.vision.algorithms.catalog import find, load_ahead
from clary.vision.algorithms.joblog import Sink
from clary.vision.base.events import Hook
from clary.vision.base.files import write_json
from clary.vision.base.hyperparameters import Hyperparameters, as_text
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.base.spec import AnySpec
from clary.vision.base.torch_environment import set_torch_environment
from clary.vision.base.types import Dataset
from clary.vision.datasets.check import CheckResult, examine
from clary.vision.datasets.decoded import DecodedPictures
from clary.vision.datasets.left_out import count_left_out, summed_up
from clary.vision.datasets.picture_store import PictureStore
from clary.vision.datasets.reading import ReadingOptions, read
from clary.vision.training.listeners import counting, tell

__all__ = ["train"]

MODEL_CONTENT_TYPE = "application/x-sagemaker-model"
MOST_EPOCHS = 1_000_000  # chosen; SageMaker knows no bound
VERSIONS = ("torch", "timm", "openvino", "onnxruntime")


def train(
    algorithm: str,
    dataset: str | Path,
    /,
    *,
    out: str | Path | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    labels: str | None = None,
    validation: float | None = None,
    model: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    hooks: Sequence[Hook] = (),
    echo: Sink | None = None,
    settings: Mapping[str, object] | None = None,
    checked: CheckResult | None = None,
    **hyperparameters: object,
) -> Run:
    """Train ``algorithm`` on a data set in any layout Clary reads, and return the finished run.

    ``out`` is the run's folder, by default the next free ``runs/NAME-1``, ``runs/NAME-2``. ``labels`` chooses what
    to tell apart where a layout offers several ("breeds" or "species"). ``validation`` is the share of training
    pictures held out where there is no validation split: by default a fifth, or none where there is a test split
    to judge by, since of a few hundred pictures each one counts. ``model`` (a run or a model.tar.gz) is what to go
    on from: of one for another number of classes, what depends on that number starts afresh. Further keywords, and
    what is in ``settings``, are hyperparameters by their SageMaker names. ``progress`` shows how it goes: a display in
    a notebook, plain lines on standard error elsewhere. ``echo`` receives each line of the log that SageMaker would
    print. ``resume`` goes on from the checkpoint of ``out`` with the settings it was started with, as ``clary.resume``
    does, and refuses others; more ``epochs`` are no other setting. ``checked`` is what was found of the data set, read
    with the same options (``datasets.reading.read``, ``check.examine``), where it need not be looked at again.

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
        asked = {"path": str(source.resolve()), "labels": labels, "validation": validation, "algorithm": spec.name}
        if out is None:
            raise UsageError("a run to resume is not named", hint="give its folder with --out")
        more = spec["epochs"].parse(given.pop("epochs")) if "epochs" in given else None
        about = {**asked, **start}
        return run_on(out, epochs=more, asked=about, settings=given, progress=progress, hooks=hooks, echo=echo)
    options = ReadingOptions(labels, validation, _seed(spec, given))
    with showing(progress) as shown:
        return _start(spec, source, out, options, given, start, [*hooks, *shown], echo, checked)


def _start(
    spec: AnySpec,
    source: Path,
    out: str | Path | None,
    options: ReadingOptions,
    given: Mapping[str, str],
    start: Mapping[str, str],
    hooks: Sequence[Hook],
    echo: Sink | None,
    result: CheckResult | None,
) -> Run:
    """Read the pictures, write the run's folder and train."""
    if result is None:
        tell(hooks, "reading pictures")
    data = result.dataset if result else read(source, options, task=spec.task)
    CheckResult(data, data.problems).refuse(job=False)
    # With the share that was really held out: a resumed run, and a report, must split as this one does.
    options = options.settled(data)
    _refuse_taken(out)
    filled = spec.settings_for(given, data)
    checked = spec.parse(filled)
    if (epochs := checked.get("epochs") or 0) > MOST_EPOCHS:
        raise UsageError(f"{epochs:,} epochs never end", hint=f"ask for {MOST_EPOCHS:,} at the most")
    # Last, since both take their time: a wrong setting is told at once.
    checking = None if result else counting(hooks, "checking pictures", len(data))
    libraries = load_ahead(spec)
    pictures = DecodedPictures(checked.decoded_sizes(), PictureStore.usual())
    result = result or examine(data, progress=checking, pictures=pictures)
    result.refuse(job=False)
    channels = {"dataset": Channel("dataset", source, options.content_type)}
    channels |= {name: Channel(name, Path(path), MODEL_CONTENT_TYPE) for name, path in start.items()}
    job = JobDir.create(_claim(out, source), filled, channels)
    # As it was read and looked at: half a second for 20,000 pictures that are not listed again, a minute to open them.
    job.dataset, job.pictures = result.dataset, pictures
    data = result.dataset
    # Last: without it the folder is no run, so one that was killed before is not listed, nor resumed.
    write_json(
        job.root / "config.json", {**_config(spec, source, data, options, checked), "given": sorted(given), **start}
    )
    with held(job.root / "config.json"):
        return execute(spec, job, hooks, echo, libraries)


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


def _claim(out: str | Path | None, source: Path) -> Path:
    """The empty folder of a new run, made now: the next free one where none is named. Raises UsageError."""
    _refuse_taken(out)
    try:
        return _new_folder(None if out is None else Path(out), source.resolve().name or "run")
    except OSError as error:
        what, hint = f"cannot be made ({error.strerror})", "choose a folder you may write to with --out"
        raise UsageError(what, where=out or "runs", hint=hint) from error


def _new_folder(folder: Path | None, name: str) -> Path:
    if folder is not None:
        # One of ours that came to nothing.
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder
    Path("runs").mkdir(exist_ok=True)
    for number in range(1, 1_000_000):
        folder = Path("runs") / f"{name}-{number}"
        # Made, not looked for: of two that start at once each gets one of its own.
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise UsageError("has no free name left", where="runs", hint="give another --out")


def _refuse_taken(out: str | Path | None) -> None:
    """Raises UsageError where ``out`` is anything but an empty folder, or a run that came to nothing."""
    if out is None or not (folder := Path(out)).exists():
        return
    free = folder.is_dir() and (not any(folder.iterdir()) or Run(folder).came_to_nothing)
    if not free or is_held(folder / "config.json"):
        hint = "give another --out"
        if Run(folder).is_run():
            hint += f", or go on with it: `{Run(folder).resume_command}`"
        raise UsageError("already exists", where=folder, hint=hint)


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
            pictures={name: len(samples) for name, samples in data.splits.items()},
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
