"""A training run on disk: its settings, its metrics, its model.

    RUN/                  a job directory (vision.base.jobdir) plus
    ├── config.json       what was trained, on what, with which settings and machine (local.config)
    ├── metrics.jsonl     one JSON object a line: epochs, batches, the end of the run (vision.training.records)
    ├── log.txt           what the algorithm printed
    ├── checkpoints/      to go on from
    ├── model/            the best epoch so far, while the run has not finished
    ├── model.tar.gz      there once the run has finished
    └── report.html       written by ``clary report``

A run is data: reading an attribute reads these files and writes nothing. Nothing is cached, so that a run that is still
going shows its newest numbers.
"""

from __future__ import annotations

import html
import json
import math
import os
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from clary.errors import UsageError
from clary.local.config import RunConfig
from clary.local.run_lock import is_held
from clary.vision.artifact.archive import model_within
from clary.vision.base.types import Problem
from clary.vision.tasks import TASKS
from clary.vision.training.records import (
    EndRecord,
    EpochRecord,
    EvaluationRecord,
    Record,
    append_record,
    read_records,
    to_json,
)

__all__ = ["NotThere", "Run", "State", "damaged_runs", "list_runs"]

JsonObject = dict[str, Any]
State = Literal["finished", "running", "failed", "interrupted"]


class NotThere(UsageError, AttributeError):
    """What a run does not have (yet). An AttributeError too, so that ``hasattr(run, "report")`` is False."""


class Run:
    """A run directory, and a path to it for whoever takes one (``os.PathLike``). ``Run.open`` checks that the path is
    one; the constructor takes it as given."""

    def __init__(self, path: os.PathLike[str] | str) -> None:
        self.path = Path(path)

    def __fspath__(self) -> str:
        return str(self.path)

    @classmethod
    def open(cls, path: os.PathLike[str] | str) -> Run:
        """The run at ``path``. Raises UsageError when there is none."""
        run = cls(path)
        if not run.path.is_dir():
            raise UsageError("there is no such folder", where=path, hint="name the folder given to `clary train --out`")
        if not run.is_run():
            hint = "name the folder given to `clary train --out`"
            raise UsageError("is not a run (it holds no config.json)", where=path, hint=hint)
        return run

    def is_run(self) -> bool:
        """Whether the folder holds the configuration of a run."""
        return (self.path / "config.json").is_file()

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name

    @property
    def config(self) -> RunConfig:
        """What was trained, on what, with which settings. Raises NotThere when it cannot be read."""
        path = self.path / "config.json"
        hint = "train again into a new folder"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise NotThere(f"cannot be read ({error.strerror})", where=path, hint=hint) from error
        except ValueError as error:
            raise NotThere(f"is not JSON ({error})", where=path, hint=hint) from error
        if not isinstance(value, dict):
            raise NotThere(f"holds a JSON {type(value).__name__}, not an object", where=path, hint=hint)
        return cast(RunConfig, value)

    @property
    def records(self) -> list[Record]:
        """What was measured, in the order it was written."""
        return read_records(self.path / "metrics.jsonl")[0]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Lines of metrics.jsonl that could not be used, but for a last one still being written."""
        return tuple(read_records(self.path / "metrics.jsonl")[1])

    @property
    def epochs(self) -> list[EpochRecord]:
        """One record an epoch, in order. An epoch that was done again after a resume is there once, as it was last
        measured."""
        return _epochs(self.records)

    @property
    def history(self) -> list[JsonObject]:
        """``epochs`` as plain objects: epoch, train, validation, learning_rate, seconds, best."""
        return [to_json(record) for record in self.epochs]

    @property
    def finished(self) -> bool:
        """Whether the model of its last epoch is there."""
        return (self.path / "model.tar.gz").is_file()

    @property
    def has_model(self) -> bool:
        """Whether there is a model: that of a finished run, or the best epoch of one that was stopped."""
        return model_within(self.path) != self.path

    @property
    def begun(self) -> bool:
        """Whether there is anything of a step: a checkpoint, a number, a model."""
        return (self.path / "checkpoints" / "last.safetensors").is_file() or bool(self.records) or self.has_model

    @property
    def came_to_nothing(self) -> bool:
        """Whether the folder holds what `clary train` writes before the first step and nothing else: nothing is lost
        with it, unless it is being trained."""
        ours = {"config.json", "input", "model", "output", "checkpoints", "log.txt", "metrics.jsonl"}
        found = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return bool(found) and found <= ours and not self.begun

    @property
    def resume_command(self) -> str:
        """The command that goes on with it."""
        return f"clary train --resume {shlex.quote(str(self.path))}"

    @property
    def state(self) -> State:
        """``finished`` with a model, ``running`` while a process trains it, ``failed`` when that said why it could not
        go on, else ``interrupted``: stopped or killed, to go on from the last checkpoint."""
        if self.finished:
            return "finished"
        # Before the failure note: a run that is resumed still has the one of its last attempt until it gets going.
        if is_held(self.path / "config.json"):
            return "running"
        return "failed" if (self.path / "output" / "failure").is_file() else "interrupted"

    @property
    def started(self) -> datetime:
        """When it was started; a run of an older version tells by the age of its configuration."""
        try:
            return datetime.fromisoformat(self.config["started"]).astimezone()
        except (UsageError, KeyError, TypeError, ValueError):
            # config.json is written once, at the start.
            return datetime.fromtimestamp((self.path / "config.json").stat().st_mtime).astimezone()

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The run in numbers: ``epochs``, ``best_epoch`` (0-based), ``seconds``, ``reason``, ``precision`` and why,
        ``way``, and each metric at the best epoch as ``train:accuracy``, ``validation:accuracy`` and so on; where the
        model was tested after training, ``test:accuracy`` as well. Empty before the first epoch.
        """
        records = self.records
        epochs = _epochs(records)
        if not epochs:
            return {}
        end = next((record for record in reversed(records) if isinstance(record, EndRecord)), EndRecord())
        # The epoch whose weights are in the model, which need not be that of the highest number (docs/benchmarks.md).
        best = _best(epochs, end)
        numbers: JsonObject = {"epochs": len(epochs), "best_epoch": best.epoch}
        numbers["seconds"] = end.seconds or sum(record.seconds or 0 for record in epochs)
        said = {"reason": end.reason, "precision": end.precision, "precision_reason": end.precision_reason}
        said |= {"way": end.way}
        numbers |= {name: value for name, value in said.items() if value is not None}
        numbers |= {f"train:{name}": value for name, value in best.train.items()}
        numbers |= {f"validation:{name}": value for name, value in best.validation.items()}
        tests = [record for record in records if isinstance(record, EvaluationRecord) and record.split == "test"]
        numbers |= {f"test:{name}": value for name, value in (tests[-1].metrics if tests else {}).items()}
        return numbers

    def record_test(self, metrics: Mapping[str, float], count: int) -> None:
        """Keep what the model gave on the ``count`` pictures of the test split among the run's numbers."""
        record = EvaluationRecord(split="test", count=count, metrics=dict(metrics))
        append_record(self.path / "metrics.jsonl", record)

    @property
    def main_metric(self) -> tuple[str, float] | None:
        """Name (``validation:accuracy``) and value of the number the run is judged by: of validation, else of the test,
        else of training; None while there is none."""
        return _main_metric(self.metrics)

    @property
    def model(self) -> Path:
        """model.tar.gz; of a run that was stopped the folder with the model of its best epoch so far. Raises NotThere
        when no epoch has ended."""
        if not self.has_model:
            hint = f"go on with `{self.resume_command}`, or train again"
            raise NotThere("has no model yet, no epoch has ended", where=self.path, hint=hint)
        return model_within(self.path)

    @property
    def report(self) -> Path:
        """report.html. Raises NotThere when it has not been written."""
        path = self.path / "report.html"
        if not path.is_file():
            raise NotThere("has no report.html yet", where=self.path, hint="write it: `clary.report(run)`")
        return path

    @property
    def log(self) -> str:
        """What the algorithm printed; empty when nothing was."""
        path = self.path / "log.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {', '.join(self._summary())})"

    def _repr_html_(self) -> str:
        rows = [part.partition("=") for part in self._summary()]
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, _, value in rows
        )
        return f"<table><caption>Run {html.escape(str(self.path))}</caption>{cells}</table>"

    def _summary(self) -> Iterator[str]:
        if not self.is_run():
            yield "state=not a run"
            return
        numbers = self.metrics
        yield f"state={'finished' if self.finished else 'not finished'}"
        yield f"epochs={numbers.get('epochs', 0)}"
        for name in (f"{split}:{task.metric}" for task in TASKS for split in ("train", "validation", "test")):
            if isinstance(numbers.get(name), float):
                yield f"{name}={numbers[name]:.4f}"
        if "seconds" in numbers:
            yield f"seconds={numbers['seconds']:.1f}"

    def to_json(self) -> JsonObject:
        """What a list of runs shows, for programs: numbers that were not measured are null."""
        config, numbers = self.config, self.metrics
        main = _main_metric(numbers)
        return {
            "name": self.name,
            "path": str(self.path),
            "algorithm": config.get("algorithm"),
            "network": config.get("network"),
            "state": self.state,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": numbers.get("seconds"),
            "epochs": numbers.get("epochs", 0),
            "metric": main[0] if main else None,
            "value": main[1] if main and math.isfinite(main[1]) else None,
        }


def list_runs(folder: Path | str) -> list[Run]:
    """The runs that lie in ``folder``, the newest first; of one that is a run itself, that one.

    Raises UsageError when there is no such folder. ``damaged_runs`` are those that are left out.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "there is no such folder"
        raise UsageError(what, where=folder, hint="name one that holds runs of `clary train` (`runs` unless said)")
    candidates = [Run(folder)] if Run(folder).is_run() else [Run(path) for path in folder.iterdir()]
    # By time and then by name: runs of one second have an order too.
    return sorted((run for run in candidates if run.is_run()), key=lambda run: (run.started, run.name), reverse=True)


def damaged_runs(folder: Path | str) -> list[Path]:
    """Folders in ``folder`` that hold what a run does, but no config.json that is a file: ``list_runs`` leaves them
    out. Raises OSError when ``folder`` cannot be read."""
    signs = ("config.json", "metrics.jsonl", "input/config/hyperparameters.json", "checkpoints/last.safetensors")
    candidates = [path for path in sorted(Path(folder).iterdir()) if path.is_dir() and not Run(path).is_run()]
    return [path for path in candidates if any((path / sign).exists() for sign in signs)]


def _main_metric(numbers: Mapping[str, Any]) -> tuple[str, float] | None:
    # Whatever the task: only its own metric is among a run's numbers.
    metrics = [task.metric for task in TASKS]
    named = [f"{split}:{name}" for split in ("validation", "test", "train") for name in metrics]
    return next(((name, numbers[name]) for name in named if isinstance(numbers.get(name), float)), None)


def _epochs(records: list[Record]) -> list[EpochRecord]:
    # The last record of an epoch counts: after a kill the epoch is done again, from the checkpoint.
    epochs = {record.epoch: record for record in records if isinstance(record, EpochRecord)}
    return [epochs[number] for number in sorted(epochs)]


def _best(epochs: list[EpochRecord], end: EndRecord) -> EpochRecord:
    """The epoch whose weights were kept: as the end says, else the last that was best when it was measured."""
    named = [record for record in epochs if record.epoch == end.best_epoch]
    marked = [record for record in epochs if record.best]
    return (named or marked or epochs)[-1]
