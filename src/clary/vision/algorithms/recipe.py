"""What the recipes of all algorithms do alike."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from clary.errors import ClaryError, CustomerError, DataError, ImageError, InterruptedRun, UsageError
from clary.version import __version__
from clary.vision.algorithms.hyperparameters import TrainingHyperparameters
from clary.vision.algorithms.joblog import JobLog
from clary.vision.artifact.draft import Draft
from clary.vision.artifact.export import write_model
from clary.vision.artifact.manifest import NAME as MANIFEST
from clary.vision.artifact.manifest import Manifest, Provenance
from clary.vision.artifact.writer import sole_writer
from clary.vision.base import decoding, preprocessing
from clary.vision.base.events import EpochEnd, Hook, RunStart
from clary.vision.base.files import write_bytes
from clary.vision.base.jobdir import JobDir
from clary.vision.base.preprocessing import Preprocess
from clary.vision.base.types import Blob, Dataset, Sample
from clary.vision.datasets.check import examine
from clary.vision.datasets.decoded import CACHE_BYTES, DecodedPictures
from clary.vision.datasets.left_out import by_reason, count_left_out, say_left_out
from clary.vision.datasets.loader import Loader
from clary.vision.datasets.picture_store import PictureStore
from clary.vision.formats._classes import readable
from clary.vision.inference.engines import installed
from clary.vision.training.checkpoint import PICTURES, Checkpoints
from clary.vision.training.loop import Training, fit
from clary.vision.training.objectives.base import Objective
from clary.vision.training.precision import keep_large_blocks
from clary.vision.training.schedules import Schedule
from clary.vision.training.stopping import EarlyStopping, StopRequest
from clary.wording import plural

__all__ = [
    "BestWeights",
    "admit",
    "assemble",
    "cache_budgets",
    "check_batch",
    "early_stopping",
    "examples",
    "fingerprint",
    "log_problems",
    "precision",
    "provenance",
    "read",
    "train_and_export",
    "try_out",
]

# Lines of one kind that a log names one by one: a set of scans has a note for each of its gray pictures.
ERRORS_ALIKE, NOTES_ALIKE = 100, 3
FINISHING = 60.0  # seconds for somebody who finishes what the run left before; ResNet-101's export takes 20
EXAMPLES = 4  # pictures on which the engines are compared with eager torch

Made = TypeVar("Made")


def early_stopping(hp: TrainingHyperparameters) -> EarlyStopping | None:
    """The rule that the hyperparameters ask for, None without one."""
    if not hp.early_stopping:
        return None
    return EarlyStopping(hp.early_stopping_min_epochs, hp.early_stopping_patience, hp.early_stopping_tolerance)


def precision(hp: TrainingHyperparameters) -> str:
    """`precision_dtype=float16` asks for half precision; here that is bf16, which needs no loss scaling."""
    return "bf16" if hp.get("precision_dtype") == "float16" and "precision" not in hp.given else hp.precision


def fingerprint(hp: TrainingHyperparameters, dataset: Dataset) -> dict[str, Any]:
    """What a resumed run must share with the one it goes on from."""
    # Every hyperparameter: with any other the steps already made would not be those of this job (decisions/0002).
    # Apart from what else is in it: a hyperparameter may have any name.
    return {
        "hyperparameters": dict(hp),
        "class_names": dataset.class_names,
        "pictures": _counts(dataset),
        # Numbers alone would not tell a picture that was renamed, exchanged or put into another class.
        **{f"{PICTURES}{name}": _digest(samples) for name, samples in dataset.splits.items()},
    }


def _digest(samples: Sequence[Sample]) -> str:
    """What tells whether samples are those of before, without a picture being read."""
    blobs = [[blob for blob in (sample.image, sample.mask) if blob] for sample in samples]
    # From the folder that holds all: by which name it is reached may be another each time.
    whole = [os.path.dirname(blob.path) for both in blobs for blob in both if blob.length is None]
    root = os.path.commonpath(whole) if whole else ""
    digest = hashlib.sha256()
    for sample, both in zip(samples, blobs, strict=True):
        boxes = [(box.class_id, box.xmin, box.ymin, box.xmax, box.ymax) for box in sample.boxes]
        digest.update(repr(([_told(blob, root) for blob in both], sample.classes, boxes)).encode())
    return digest.hexdigest()[:12]


def _told(blob: Blob, root: str) -> tuple[object, ...]:
    """Name and size; of a part of a file its place: what came through a pipe is kept under another name each time."""
    place = os.path.relpath(blob.path, root) if blob.length is None else blob.offset
    try:
        return (place, blob.size)
    # The loader will say it, naming the file.
    except OSError:
        return (place,)


def provenance(hp: TrainingHyperparameters, dataset: Dataset, precision: str = "") -> Provenance:
    """Where a model comes from, for its manifest; ``precision`` is the arithmetic that the training took."""
    return Provenance(
        clary=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        torch=torch.__version__,
        seed=hp.seed,
        precision=precision,
        instead_of=hp.instead_of,
        dataset=readable(dataset.root.name),
        counts=_counts(dataset),
    )


def assemble(
    job: JobDir,
    hp: TrainingHyperparameters,
    dataset: Dataset,
    *,
    network: nn.Module,
    loaders: tuple[Loader, Loader | None],
    objective: Objective,
    optimizer: Optimizer,
    schedule: Schedule,
    hooks: Sequence[Hook],
    stop: StopRequest,
    architecture: str = "",
) -> Training:
    """The run, of the parts that differ from task to task; ``network`` is on its device already, its backbone is called
    ``architecture`` in the manifest."""
    if job.pictures:
        for loader in filter(None, loaders):
            loader.take(job.pictures)
        # What no loader takes is in nobody's budget.
        job.pictures = None
    return Training(
        network=network,
        objective=objective,
        optimizer=optimizer,
        schedule=schedule,
        train=loaders[0],
        validation=loaders[1],
        epochs=hp.epochs,
        seed=hp.seed,
        device=next(network.parameters()).device,
        checkpoints=Checkpoints(job.checkpoints, fingerprint(hp, dataset), may_grow=job.may_grow),
        precision=precision(hp),
        architecture=architecture,
        dataset=dataset,
        network_name=hp.network_name(),
        image_sizes=hp.image_sizes(),
        random_weights=not hp.pretrained_network() and "model" not in job.channels,
        early_stopping=early_stopping(hp),
        hooks=hooks,
        stop=stop,
    )


class BestWeights(Hook):
    """Keeps weights of the network as drafts of the model (``artifact.draft``), so that a run which is stopped or
    killed leaves one that can be finished.

    ``part`` is the attribute of ``network`` that is trained. ``manifest`` makes the model's manifest of the metrics of
    a validation and the precision of the run, ``how`` the pictures on which engines are compared. To come first of the
    hooks.
    """

    def __init__(
        self,
        network: nn.Module,
        part: str,
        manifest: Callable[[Mapping[str, float], str], Manifest],
        dataset: Dataset,
        how: Preprocess,
    ) -> None:
        self.network = network
        self.manifest = manifest
        self._part = part
        self._dataset, self._how = dataset, how
        self._metrics: Mapping[str, float] = {}
        self._precision = ""

    @cached_property
    def examples(self) -> np.ndarray:
        """The pictures, uint8 (count, H, W, 3)."""
        return examples(self._dataset, self._how)

    def on_start(self, event: RunStart) -> None:
        self._precision = event.precision

    def on_epoch(self, event: EpochEnd) -> None:
        self._metrics = event.validation

    def saver(self, path: Path) -> Callable[[], Path]:
        """What keeps the weights as they are then in ``path``, which it returns. The bytes are safetensors, whatever
        the original's name for the file says."""

        def keep() -> Path:
            state = getattr(self.network, self._part).state_dict()
            write_bytes(
                path, Draft.encode(state, self._part, self.manifest(self._metrics, self._precision), self.examples)
            )
            # Of an epoch before, from a run that was stopped and goes on: this one is better.
            (path.parent / MANIFEST).unlink(missing_ok=True)
            return path

        return keep


def train_and_export(
    run: Training, job: JobDir, log: JobLog, weights: BestWeights, drafts: Callable[[], Iterable[Path]]
) -> None:
    """Train, and leave the model in ``job.model``; the ``drafts`` then go, which hold the same weights.

    A run that is stopped leaves the model of its best epoch so far. Raises UsageError where the disk has no room for
    it, and what ``fit`` and ``write_model`` raise.
    """
    _check_room(run, job)
    run.say = log.info
    # Of a finished run that is given more epochs it is gone.
    job.model.mkdir(parents=True, exist_ok=True)
    # Who looks at the model meanwhile finishes a copy (``archive.open_unfinished``); who does it already is waited for.
    with sole_writer(job.model, FINISHING):
        try:
            with keep_large_blocks():
                fit(run)
        except InterruptedRun:
            _leave_best(run, job, log, weights, drafts)
            raise
        _export(run, job, weights, drafts)


def _check_room(run: Training, job: JobDir) -> None:
    """Before hours of training whose result nothing could hold."""
    weights = sum(value.numel() * value.element_size() for value in run.network.state_dict().values())
    trained = sum(one.numel() * one.element_size() for one in run.network.parameters() if one.requires_grad)
    # Draft, weights, graph and archive; and one checkpoint: weights, the best ones, one tensor of state.
    needed, free = 4 * weights + 2 * weights + trained, shutil.disk_usage(job.root).free
    if free < needed and not run.checkpoints.path.exists():
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        what = f"the disk is full: training writes {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free"
        raise UsageError(what, where=job.root, hint="free some space and run it again") from full


def _leave_best(
    run: Training, job: JobDir, log: JobLog, weights: BestWeights, drafts: Callable[[], Iterable[Path]]
) -> None:
    """SageMaker leaves two minutes between SIGTERM and SIGKILL. Where they do not suffice the drafts stay, and whoever
    looks at the model next finishes it."""
    progress = run.progress
    if not progress.best:
        log.info("Stopped before the first epoch ended: there is no model.")
        return
    run.network.load_state_dict(progress.best)
    try:
        _export(run, job, weights, drafts)
    # It must not stand in the way of the stop, and the weights are there.
    except ClaryError as error:
        log.warning(f"The model of the best epoch is not finished ({error}); who opens it next does that")
        return
    log.info(f"The model is that of epoch {progress.best_epoch}, the best of {len(progress.history)}")


def _export(run: Training, job: JobDir, weights: BestWeights, drafts: Callable[[], Iterable[Path]]) -> None:
    best = run.progress.history[run.progress.best_epoch]
    # On the processor, where the graph is checked against every engine that is installed.
    network = weights.network.to("cpu").eval()
    write_model(
        job.model, network, weights.examples, weights.manifest(best, run.progress.precision), engines=installed()
    )
    # Only now: a job that is killed before has at least these weights.
    for path in drafts():
        path.unlink(missing_ok=True)


def check_batch(dataset: Dataset, hp: TrainingHyperparameters) -> None:
    """Raises CustomerError for fewer training pictures than a step takes."""
    if len(dataset.splits["train"]) < hp.mini_batch_size:
        raise CustomerError("The number of input images must be bigger or equal to the mini_batch_size.")


def cache_budgets(dataset: Dataset) -> tuple[int, int]:
    """Bytes for decoded pictures of the train and of the validation split: CACHE_BYTES, shared by their sizes."""
    train, validation = (len(dataset.splits.get(name, ())) for name in ("train", "validation"))
    # Each image is used once an epoch, in either split.
    first = CACHE_BYTES * train // (train + validation)
    return first, CACHE_BYTES - first


def examples(dataset: Dataset, how: Preprocess) -> np.ndarray:
    """The first EXAMPLES training pictures as network input, uint8 (count, H, W, 3), on which engines are compared."""
    samples = dataset.splits["train"][:EXAMPLES]
    return np.stack([preprocessing.fit(decoding.decode(s.image.read(), strict=False), how) for s in samples])


def admit(job: JobDir, hp: TrainingHyperparameters, dataset: Dataset, log: JobLog) -> Dataset:
    """The job's data as it is trained on, each bad record named and counted in the log before the first step. What is
    decoded to see that goes to ``job.pictures``.

    Raises DataError for records that no run can use (``CheckResult.refuse``), after all of them are named.
    """
    # Looked at already, by who started the job in this process.
    if job.dataset is not None:
        log_problems(dataset, log)
        _log_taken(job.pictures, log)
        return dataset
    job.pictures = DecodedPictures(hp.decoded_sizes(), PictureStore.usual())
    result = examine(dataset, pictures=job.pictures)
    # Of the data set as it was read: records that are tolerated stay.
    dataset = replace(dataset, problems=result.problems)
    log_problems(dataset, log)
    _log_taken(job.pictures, log)
    result.refuse(job=True)
    return dataset


def _log_taken(pictures: DecodedPictures | None, log: JobLog) -> None:
    if pictures and pictures.taken:
        log.info(f"{plural(pictures.taken, 'decoded picture', ',')} taken from the cache")


def log_problems(dataset: Dataset, log: JobLog) -> None:
    """A line for each bad record, those of one kind up to a number, then how many there are by reason."""
    told: Counter[str] = Counter()
    for problem in dataset.problems:
        error = problem.severity == "error"
        kind = (problem.reason if error else "") or problem.what
        told[kind] += 1
        if told[kind] > (ERRORS_ALIKE if error else NOTES_ALIKE):
            continue
        if error:
            log.warning(f"{'used as it is' if problem.tolerated else 'left out'}: {problem}")
        else:
            log.info(f"note: {problem}")
    for kind, count in told.items():
        if count > NOTES_ALIKE:
            log.info(f"{count} in all: {kind}")
    if counts := count_left_out(problem for problem in dataset.problems if problem.tolerated):
        log.warning(f"used as they are: {plural(sum(counts.values()), 'record')} ({by_reason(counts)})")
    if counts := count_left_out(problem for problem in dataset.problems if not problem.tolerated):
        log.info(say_left_out(counts))
    if dataset.problems:
        sizes = ", ".join(f"{len(samples)} of {split}" for split, samples in dataset.splits.items())
        log.info(f"pictures used: {sizes}")


def read(blob: Blob, how: Callable[[bytes], Made]) -> Made:
    """What ``how`` makes of a file's bytes. Raises DataError naming the file that cannot be read or used."""
    try:
        return how(blob.read())
    except ImageError as error:
        raise DataError(error.what, where=blob, hint=error.hint) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=blob) from error


def try_out(network: nn.Module, name: str, height: int, width: int, setting: str) -> None:
    """Pass one picture through. Raises CustomerError: some backbones take one size only, others none so small."""
    try:
        with torch.inference_mode():
            # In eval: one image alone has no variance, and batch normalisation of a 1 x 1 map would refuse it.
            network.eval()(torch.zeros(1, height, width, 3, dtype=torch.uint8))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise CustomerError(
            f"The network {name} does not take pictures of {width} x {height} pixels ({' '.join(str(error).split())})",
            hint=f"set another {setting}",
        ) from error


def _counts(dataset: Dataset) -> Mapping[str, int]:
    return {name: len(samples) for name, samples in dataset.splits.items()}
