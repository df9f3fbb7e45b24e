"""How good a model is on the pictures of a data set; what is measured is its task's (``local.evaluations``).

Threads read and decode the next pictures while the engine works on the last ones. A picture that cannot be decoded is
left out of every number and named in ``Evaluation.skipped``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, get_args

from clary.errors import DataError, UsageError
from clary.local import provenance
from clary.local.evaluations import EVALUATORS, Evaluation, Evaluator
from clary.local.run import Run
from clary.vision.base.types import Dataset, Problem, Sample, SplitName
from clary.vision.formats import read
from clary.vision.inference.predictor import BATCH_SIZE, Model, load
from clary.vision.inference.tasks import Prepared

__all__ = ["Evaluation", "Pictures", "choose_split", "evaluate", "open_network", "pictures_for", "samples_of"]

ALL = "all"  # every picture, whatever its split

# Batches of BATCH_SIZE: at most 32 decoded pictures are in memory.
AHEAD = 4  # batches being decoded or waiting for the engine

Advance: TypeAlias = Callable[[int], object]
Ready: TypeAlias = tuple[Prepared, Any]  # a picture and what is true of it


@dataclass(frozen=True, slots=True)
class Pictures:
    """A data set, and what is known of it in view of a model: whether it is split ``as_trained``, or why it may hold
    what that was trained on (``doubt``)."""

    data: Dataset
    as_trained: bool = False
    doubt: str = ""

    def remark(self, split: str, trained_on: int) -> str:
        """What the pictures of a split were to the model, empty for others; it was ``trained_on`` as many."""
        if not self.as_trained:
            likely = split in ("train", ALL) and trained_on == len(self.data)
            return self.doubt or ("it may have seen these: it was trained on just as many" if likely else "")
        if split == "validation":
            count = f"{len(samples_of(self.data, split))} of {len(self.data)} pictures"
            return f"the {count} that were held out of its training; --split all scores all of them"
        return "" if split == "test" else "it was trained on these: the score says how well it remembers them"


def evaluate(
    model: str | Path | Run | Model,
    dataset: str | Path | Dataset | Pictures,
    *,
    split: str | None = None,
    labels: str | None = None,
    engine: str = "auto",
    precision: str = "auto",
    advance: Advance | None = None,
) -> Evaluation:
    """Predict every picture of ``split`` (test, else validation, else train) and compare with what is known of it.

    ``model`` is an archive, a run directory or a loaded model, whose engine and precision stay. Of a run, or of the
    archive in one, on the very folder it was trained on, the splits are those of its training: what was held out then
    is the validation split. ``split`` "all" takes every picture. ``labels`` is the option of that name of the data
    set's format. Classes are matched by name; the model may know more than the data set has. ``advance`` is called with
    a number of pictures as they are done. ``Evaluation.remark`` says what the pictures were to the model.

    Raises UsageError: no such split, a data set of another task, classes the model does not know, no picture that can
    be decoded. And what ``formats.read`` and ``predictor.load`` raise.
    """
    if isinstance(model, Model):
        # A loaded model is its owner's: it is not closed here.
        return _evaluate(model, pictures_for(model, model, dataset, labels), split, advance)
    with open_network(model, engine, precision) as network:
        return _evaluate(network, pictures_for(model, network, dataset, labels), split, advance)


def open_network(model: str | Path | Run, engine: str = "auto", precision: str = "auto") -> Model:
    """The model of an archive or of a finished run, loaded. Raises what ``predictor.load`` raises."""
    run = model if isinstance(model, Run) else Run(model)
    return load(run.model if run.is_run() else run.path, engine=engine, precision=precision)


def pictures_for(
    model: str | Path | Run | Model, network: Model, dataset: str | Path | Dataset | Pictures, labels: str | None = None
) -> Pictures:
    """The data set for ``model``, of which ``network`` is: of a run on its own folder, split as it was for training.

    Raises UsageError for a data set of another task, and what ``formats.read`` raises.
    """
    if isinstance(dataset, Pictures):
        return dataset
    if isinstance(dataset, Dataset):
        return Pictures(_of_task(network, dataset))
    run = None if isinstance(model, Model) else _run_of(model)
    trained = run.config.get("dataset", {}) if run else {}
    if run and trained.get("path") == str(Path(dataset).resolve()) and labels in (None, trained.get("labels")):
        try:
            return Pictures(_of_task(network, provenance.dataset(run)), as_trained=True)
        # Pictures came or went: which were held out nobody can say any more.
        except UsageError as error:
            found = read(dataset, task=network.manifest.task, labels=trained.get("labels"))
            return Pictures(_of_task(network, found), doubt=f"it may have seen these: the folder {error.what}")
    return Pictures(_of_task(network, read(dataset, task=network.manifest.task, labels=labels)))


def _run_of(model: str | Path | Run) -> Run | None:
    """The run a model is of: its folder, or that of the archive in one."""
    run = model if isinstance(model, Run) else Run(model)
    return next((one for one in (run, Run(run.path.parent)) if one.is_run()), None)


def _of_task(network: Model, data: Dataset) -> Dataset:
    if data.task != network.manifest.task:
        what = f"is read for {data.task}, the model is for {network.manifest.task}"
        raise UsageError(what, where=data.root, hint=f"name a data set for {network.manifest.task}")
    return data


def _evaluate(network: Model, pictures: Pictures, split: str | None, advance: Advance | None) -> Evaluation:
    data = pictures.data
    started = time.perf_counter()
    # First: what is asked for in vain is told before a picture is read.
    name = choose_split(data, split)
    samples = samples_of(data, name)
    kind = EVALUATORS.find(data.task)
    if kind is None:
        known = ", ".join(EVALUATORS.names())
        raise UsageError(f"nothing says how to measure {data.task}", where=data.root, hint=f"known are {known}")
    evaluator = kind(network, data, _match(data, network), samples)
    kept, skipped = _predict(network, evaluator, samples, advance)
    if not kept:
        first = skipped[0]
        raise UsageError(
            f"not one picture of `{name}` can be decoded; {first.what}", where=first.where, hint=first.hint
        )
    context = {
        "split": name,
        "remark": pictures.remark(name, sum(network.manifest.provenance.counts.values())),
        "count": len(kept),
        "class_names": network.labels,
        "samples": tuple(kept),
        "seconds": time.perf_counter() - started,
        "skipped": tuple(skipped),
        "engine": network.engine.name,
        "precision": network.engine.precision,
    }
    return evaluator.evaluation(context)


def samples_of(data: Dataset, name: str) -> tuple[Sample, ...]:
    """The samples of a split, or of ``all`` of them."""
    return tuple(sample for split, found in data.splits.items() if name in (split, ALL) for sample in found)


def choose_split(data: Dataset, split: str | None = None) -> str:
    """``split``, or by default the first of test, validation and train that holds pictures. Raises UsageError."""
    there = [name for name in get_args(SplitName) if data.splits.get(name)]
    if not there:
        raise UsageError("holds no pictures", where=data.root, hint="see `clary data check`")
    if split is None:
        # The least seen in training first: numbers are to say how good the model is on others.
        return next(name for name in ("test", "validation", "train") if name in there)
    if split not in (*there, ALL):
        names = " or ".join(f"`{name}`" for name in (*there, ALL))
        raise UsageError(f"has no pictures in split `{split}`", where=data.root, hint=f"choose {names}")
    return split


def _match(data: Dataset, network: Model) -> dict[int, int]:
    """Class ids of the data set to those of the model, by name."""
    known = {name: i for i, name in enumerate(network.labels)}
    missing = [name for name in data.class_names if name not in known]
    if missing:
        raise UsageError(
            f"has classes the model does not know: {_some(missing)} (it knows {_some(list(known))})",
            where=data.root,
            hint="choose the labels it was trained on with `--labels`, or train on this data set",
        )
    # By name, not by id: ids follow the order in which a layout lists its classes, and two sets need not agree.
    return {i: known[name] for i, name in enumerate(data.class_names)}


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"`{name}`" for name in names[:5]) + rest


def _predict(
    network: Model, evaluator: Evaluator[Any], samples: Sequence[Sample], advance: Advance | None
) -> tuple[list[Sample], list[Problem]]:
    """The samples that could be decoded, judged, and what was wrong with the others."""
    kept: list[Sample] = []
    skipped: list[Problem] = []
    for batch in _prepared(network, evaluator, samples):
        good = [(sample, *ready) for sample, ready in batch if not isinstance(ready, Problem)]
        skipped += [problem for _, problem in batch if isinstance(problem, Problem)]
        # Without the scores of single pixels: megabytes for each picture, and nothing here looks at them.
        found = network.run([image for _, image, _ in good], scores=False)
        for (sample, _, truth), prediction in zip(good, found, strict=True):
            kept.append(sample)
            evaluator.add(sample, truth, prediction)
        if advance:
            advance(len(batch))
    return kept, skipped


def _prepared(
    network: Model, evaluator: Evaluator[Any], samples: Sequence[Sample]
) -> Iterator[list[tuple[Sample, Ready | Problem]]]:
    """Batches in order, each picture as network input or as what is wrong with it; AHEAD of them are under way."""
    left = iter(samples)
    waiting: deque[list[tuple[Sample, Future[Ready | Problem]]]] = deque()
    with ThreadPoolExecutor(thread_name_prefix="prepare") as pool:
        while True:
            while len(waiting) < AHEAD and (batch := list(islice(left, BATCH_SIZE))):
                waiting.append([(sample, pool.submit(_ready, network, evaluator, sample)) for sample in batch])
            if not waiting:
                return
            yield [(sample, future.result()) for sample, future in waiting.popleft()]


def _ready(network: Model, evaluator: Evaluator[Any], sample: Sample) -> Ready | Problem:
    try:
        image = network.prepare(sample.image.read())
        return image, evaluator.truth(sample, image)
    except OSError as error:
        where = str(error.filename or sample.image)
        return Problem(where, f"cannot be read ({error.strerror})", "copy it again")
    # One bad file is no reason to have no numbers; the evaluation names it.
    except DataError as error:
        return Problem(error.where or str(sample.image), error.what, error.hint)
