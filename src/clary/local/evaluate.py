"""How good a model is on the pictures of a data set.

Threads read and decode the next pictures while the engine works on the last ones. A picture that cannot be decoded is
left out of every number and named in ``Evaluation.skipped``.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np

from clary.errors import ImageError, UsageError
from clary.local.run import Run
from clary.vision.base import scores
from clary.vision.base.scores import ClassScores
from clary.vision.base.types import Dataset, Mistake, Problem, Sample, SplitName
from clary.vision.formats import read
from clary.vision.inference.predictor import BATCH_SIZE, Model, load

__all__ = ["Evaluation", "choose_split", "evaluate"]

AHEAD = 4  # batches being decoded or waiting for the engine

Advance: TypeAlias = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured on one split. All arrays are in the order of ``samples`` and of the model's class ids.

    ``scores`` are float32 (N, classes). ``true`` are class ids (N,), or, of a multi-label model, booleans (N, classes).
    ``confusion`` has counts (classes, classes), row true; a multi-label model has none. ``metrics`` lie in 0..1 but for
    ``log_loss``: accuracy, macro_f1, log_loss and, single-label, top_5_accuracy (of more than 5 classes) and
    expected_calibration_error; multi-label, mean_average_precision, and accuracy counts sample-class cells.
    """

    split: SplitName
    count: int
    metrics: Mapping[str, float]
    confusion: np.ndarray | None = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    scores: np.ndarray = field(repr=False)
    true: np.ndarray = field(repr=False)
    samples: tuple[Sample, ...] = field(repr=False)
    seconds: float
    skipped: tuple[Problem, ...] = field(repr=False)
    engine: str

    @property
    def multi_label(self) -> bool:
        return self.confusion is None

    @property
    def classes(self) -> ClassScores:
        """Precision, recall, F1 and support of every class; a multi-label score above 0.5 says yes."""
        if self.confusion is None:
            return scores.label_scores(self.true, self.scores)
        return scores.class_scores(self.confusion)

    def worst(self, k: int = 10) -> list[Mistake]:
        """The ``k`` most confident mistakes, most confident first."""
        doubt = self._cell_errors() if self.multi_label else self._class_errors()
        wrong = np.argsort(-doubt, kind="stable")[:k]
        return [self._mistake(int(i), float(doubt[i])) for i in wrong if doubt[i] > 0]

    def to_json(self) -> str:
        """Everything but the scores of single pictures; a number that could not be measured is null."""
        value = {
            "split": self.split,
            "count": self.count,
            "seconds": round(self.seconds, 3),
            "engine": self.engine,
            "metrics": {name: _finite(number) for name, number in self.metrics.items()},
            "classes": self.class_rows(),
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "mistakes": [
                {"image": str(m.sample.image), "true": m.true, "predicted": m.predicted, "score": round(m.score, 6)}
                for m in self.worst()
            ],
            "skipped": [{"image": p.where, "what": p.what} for p in self.skipped],
        }
        return json.dumps(value, indent=2, allow_nan=False)

    def class_rows(self) -> list[dict[str, Any]]:
        """One mapping a class, in id order: name, precision, recall, f1 (None: not measurable) and support."""
        numbers = self.classes
        return [
            {
                "name": name,
                "precision": _finite(numbers.precision[i]),
                "recall": _finite(numbers.recall[i]),
                "f1": _finite(numbers.f1[i]),
                "support": int(numbers.support[i]),
            }
            for i, name in enumerate(self.class_names)
        ]

    def _class_errors(self) -> np.ndarray:
        """The highest score where it is wrong, else 0: shape (N,)."""
        return np.where(self.scores.argmax(axis=1) == self.true, 0, self.scores.max(axis=1))

    def _cell_errors(self) -> np.ndarray:
        """The confidence in the worst label that is wrong, else 0: shape (N,)."""
        wrong = (self.scores > 0.5) != self.true
        doubt: np.ndarray = np.where(wrong, np.maximum(self.scores, 1 - self.scores), 0).max(axis=1)
        return doubt

    def _mistake(self, i: int, score: float) -> Mistake:
        if self.multi_label:
            true, predicted = self._labels(self.true[i]), self._labels(self.scores[i] > 0.5)
        else:
            true, predicted = self.class_names[self.true[i]], self.class_names[self.scores[i].argmax()]
        return Mistake(self.samples[i], true, predicted, score)

    def _labels(self, flags: np.ndarray) -> str:
        return ", ".join(self.class_names[c] for c in np.flatnonzero(flags)) or "(none)"


def evaluate(
    model: str | Path | Run | Model,
    dataset: str | Path | Dataset,
    *,
    split: str | None = None,
    labels: str | None = None,
    engine: str = "auto",
    advance: Advance | None = None,
) -> Evaluation:
    """Predict every picture of ``split`` (test, else validation, else train) and compare with its labels.

    ``model`` is an archive, a run directory or a loaded model, whose ``engine`` stays as it is. ``labels`` is the
    option of that name of the data set's format. Classes are matched by name; the model may know more than the data
    set has. ``advance`` is called with a number of pictures as they are done.

    Raises UsageError: no such split, classes the model does not know, no picture that can be decoded. And what
    ``formats.read`` and ``predictor.load`` raise.
    """
    data = dataset if isinstance(dataset, Dataset) else read(dataset, labels=labels)
    name = choose_split(data, split)
    if isinstance(model, Model):
        return _evaluate(model, data, name, advance)
    with load(_archive(model), engine=engine) as network:
        return _evaluate(network, data, name, advance)


def _evaluate(network: Model, data: Dataset, name: SplitName, advance: Advance | None) -> Evaluation:
    started = time.perf_counter()
    ids = _match(data, network)
    kept, table, skipped = _predict(network, data.splits[name], advance)
    if not kept:
        first = skipped[0]
        raise UsageError(
            f"not one picture of `{name}` can be decoded; {first.what}", where=first.where, mend=first.mend
        )
    true = _truth([tuple(ids[c] for c in sample.classes) for sample in kept], network, data)
    metrics, matrix = _judge(true, table)
    return Evaluation(
        split=name,
        count=len(kept),
        metrics=metrics,
        confusion=matrix,
        class_names=network.labels,
        scores=table,
        true=true,
        samples=tuple(kept),
        seconds=time.perf_counter() - started,
        skipped=tuple(skipped),
        engine=network.engine.name,
    )


def _archive(model: str | Path | Run) -> Path:
    """The archive of a run, or the path itself."""
    run = model if isinstance(model, Run) else Run(model)
    return run.model if run.is_run() else run.path


def choose_split(data: Dataset, split: str | None = None) -> SplitName:
    """``split``, or by default the first of test, validation and train that holds pictures. Raises UsageError."""
    there = [name for name in get_args(SplitName) if data.splits.get(name)]
    if not there:
        raise UsageError("holds no pictures", where=data.root, mend="see `clary data check`")
    if split is None:
        return next(name for name in ("test", "validation", "train") if name in there)
    if split not in there:
        names = " or ".join(f"`{name}`" for name in there)
        raise UsageError(f"has no pictures in split `{split}`", where=data.root, mend=f"choose {names}")
    return split  # type: ignore[return-value]  # one of SplitName's


def _match(data: Dataset, network: Model) -> dict[int, int]:
    """Class ids of the data set to those of the model, by name."""
    known = {name: i for i, name in enumerate(network.labels)}
    missing = [name for name in data.class_names if name not in known]
    if missing:
        raise UsageError(
            f"has classes the model does not know: {_some(missing)} (it knows {_some(list(known))})",
            where=data.root,
            mend="choose the labels it was trained on with `--labels`, or train on this data set",
        )
    return {i: known[name] for i, name in enumerate(data.class_names)}


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"`{name}`" for name in names[:5]) + rest


def _truth(classes: Sequence[tuple[int, ...]], network: Model, data: Dataset) -> np.ndarray:
    if network.manifest.multi_label:
        return scores.cells(classes, len(network.labels))
    if any(len(ids) != 1 for ids in classes):
        mend = "train with `multi_label=1`, or name a single-label data set"
        what = "has pictures with several labels or none, the model gives each exactly one"
        raise UsageError(what, where=data.root, mend=mend)
    return np.array([ids[0] for ids in classes], dtype=np.int64)


def _judge(true: np.ndarray, table: np.ndarray) -> tuple[dict[str, float], np.ndarray | None]:
    """Metrics, and the confusion matrix of single-label truth."""
    if true.ndim == 2:
        return {
            "accuracy": scores.cell_accuracy(true, table),
            "mean_average_precision": scores.mean_average_precision(true, table),
            "macro_f1": scores.macro_f1(scores.label_scores(true, table)),
            "log_loss": scores.cell_log_loss(true, table),
        }, None
    predicted, classes = table.argmax(axis=1), table.shape[1]
    matrix = scores.confusion(true, predicted, classes)
    metrics = {"accuracy": scores.accuracy(true, predicted)}
    if classes > 5:
        metrics["top_5_accuracy"] = scores.top_k_accuracy(true, table, 5)
    metrics["macro_f1"] = scores.macro_f1(scores.class_scores(matrix))
    metrics["log_loss"] = scores.log_loss(true, table)
    metrics["expected_calibration_error"] = scores.expected_calibration_error(true, table)
    return metrics, matrix


def _predict(
    network: Model, samples: Sequence[Sample], advance: Advance | None
) -> tuple[list[Sample], np.ndarray, list[Problem]]:
    """The samples that could be decoded, their scores (N, classes), and what was wrong with the others."""
    kept: list[Sample] = []
    tables = [np.zeros((0, len(network.labels)), dtype=np.float32)]
    skipped: list[Problem] = []
    for batch in _prepared(network, samples):
        good = [(sample, pixels) for sample, pixels in batch if not isinstance(pixels, Problem)]
        skipped += [problem for _, problem in batch if isinstance(problem, Problem)]
        if good:
            kept += [sample for sample, _ in good]
            tables.append(network.scores(np.stack([pixels for _, pixels in good])))
        if advance:
            advance(len(batch))
    return kept, np.concatenate(tables), skipped


def _prepared(network: Model, samples: Sequence[Sample]) -> Iterator[list[tuple[Sample, np.ndarray | Problem]]]:
    """Batches in order, each picture as network input or as what is wrong with it; AHEAD of them are under way."""
    left = iter(samples)
    waiting: deque[list[tuple[Sample, Future[np.ndarray | Problem]]]] = deque()
    with ThreadPoolExecutor(thread_name_prefix="prepare") as pool:
        while True:
            while len(waiting) < AHEAD and (batch := list(islice(left, BATCH_SIZE))):
                waiting.append([(sample, pool.submit(_input, network, sample)) for sample in batch])
            if not waiting:
                return
            yield [(sample, future.result()) for sample, future in waiting.popleft()]


def _input(network: Model, sample: Sample) -> np.ndarray | Problem:
    try:
        return network.prepare(sample.image.read())
    except OSError as error:
        return Problem(str(sample.image), f"cannot be read ({error.strerror})", "copy it again")
    except ImageError as error:
        return Problem(str(sample.image), error.what, error.mend)


def _finite(number: float) -> float | None:
    return round(float(number), 6) if math.isfinite(number) else None
