"""A training run on disk: what it was asked, what it measured, what it made.

    RUN/                  a job directory (vision.base.jobdir) plus
    ├── config.json       what was trained, on what, with which settings and machine
    ├── metrics.jsonl     one JSON object a line: epochs, batches, the end of the run
    ├── log.txt           what the algorithm printed
    ├── checkpoints/      to go on from
    ├── model.tar.gz      there once the run has finished
    └── report.html       written when first asked for

Nothing is kept in memory: a run that is still going shows its newest numbers.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clary.errors import UsageError
from clary.vision.base.types import Problem

__all__ = ["Run"]

JsonObject = dict[str, Any]


class Run:
    """A run directory. ``Run.open`` checks that the path is one; the constructor takes it as given."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def open(cls, path: Path | str) -> Run:
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
    def config(self) -> JsonObject:
        """What was trained, on what, with which settings. Raises UsageError when it cannot be read."""
        path = self.path / "config.json"
        hint = "train again into a new folder"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot be read ({error.strerror})", where=path, hint=hint) from error
        except ValueError as error:
            raise UsageError(f"is not JSON ({error})", where=path, hint=hint) from error
        if not isinstance(value, dict):
            raise UsageError(f"holds a JSON {type(value).__name__}, not an object", where=path, hint=hint)
        return value

    @property
    def history(self) -> list[JsonObject]:
        """One record an epoch, in order: epoch, train, validation, learning_rate, seconds, best.

        An epoch that was done again after a resume is there once, as it was last measured.
        """
        epochs = {record["epoch"]: record for record in self._records() if record["kind"] == "epoch"}
        return [epochs[number] for number in sorted(epochs)]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Lines of metrics.jsonl that could not be used, but for a last one still being written."""
        return tuple(line for line in self._lines() if isinstance(line, Problem))

    @property
    def finished(self) -> bool:
        """Whether the model is there."""
        return (self.path / "model.tar.gz").is_file()

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The run in numbers: ``epochs``, ``best_epoch`` (0-based), ``seconds``, ``reason``, ``precision``, and each
        metric at the best epoch as ``train:accuracy``, ``validation:accuracy`` and so on. Empty before the first epoch.
        """
        history = self.history
        if not history:
            return {}
        end = next((r for r in reversed(list(self._records())) if r["kind"] == "run"), {})
        best = self._best(history, end)
        numbers: JsonObject = {"epochs": len(history), "best_epoch": best["epoch"]}
        numbers["seconds"] = end.get("seconds") or sum(r.get("seconds") or 0 for r in history)
        numbers |= {name: end[name] for name in ("reason", "precision") if name in end}
        for split in ("train", "validation"):
            numbers |= {f"{split}:{name}": value for name, value in (best.get(split) or {}).items()}
        return numbers

    @property
    def model(self) -> Path:
        """model.tar.gz. Raises UsageError when the run has not finished."""
        if not self.finished:
            hint = "go on with `clary train ... --resume`, or train again"
            raise UsageError("has no model.tar.gz yet, the run has not finished", where=self.path, hint=hint)
        return self.path / "model.tar.gz"

    @property
    def report(self) -> Path:
        """report.html, written now if it is not there."""
        path = self.path / "report.html"
        if not path.is_file():
            from clary.local import report

            report.write(self)
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
        for name in ("train:accuracy", "validation:accuracy", "validation:mAP", "validation:mIOU"):
            if isinstance(numbers.get(name), float):
                yield f"{name}={numbers[name]:.4f}"
        if "seconds" in numbers:
            yield f"seconds={numbers['seconds']:.1f}"

    def _best(self, history: list[JsonObject], end: JsonObject) -> JsonObject:
        """The epoch whose weights were kept: as the end says, else the last that was best when it was measured."""
        named = [r for r in history if r["epoch"] == end.get("best_epoch")]
        marked = [r for r in history if r.get("best")]
        return (named or marked or history)[-1]

    def _records(self) -> Iterator[JsonObject]:
        return (line for line in self._lines() if not isinstance(line, Problem))

    def _lines(self) -> Iterator[JsonObject | Problem]:
        """Each line as a record, or as what is wrong with it. A last line without its end is still being written."""
        path = self.path / "metrics.jsonl"
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        whole, _, _ = text.rpartition("\n")
        for number, line in enumerate(whole.split("\n"), start=1):
            if line.strip():
                yield _record(line) or Problem(f"{path}:{number}", "is not a record of metrics", severity="note")


def _record(line: str) -> JsonObject | None:
    """The record a line holds. None for a line torn when a run was killed."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return None
    if not _is_number(value.get("seconds")) or (value["kind"] == "epoch" and not _is_epoch(value)):
        return None
    return value


def _is_epoch(value: JsonObject) -> bool:
    splits = [value.get("train") or {}, value.get("validation") or {}]
    if not isinstance(value.get("epoch"), int) or not all(isinstance(split, dict) for split in splits):
        return False
    numbers = [number for split in splits for number in split.values()]
    return all(_is_number(number) for number in (*numbers, value.get("learning_rate")))


def _is_number(value: object) -> bool:
    """What JSON writers make of a number: one that diverged is NaN, Infinity or null."""
    return value is None or isinstance(value, (int, float))
