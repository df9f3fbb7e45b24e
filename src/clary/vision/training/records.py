"""The numbers of a run as JSON lines: one object an epoch, one every few batches, one at the end.

Training writes ``metrics.jsonl`` and everything that lists, compares or draws runs reads it; both know it by the
classes here. A field that an older run did not write is None (or empty), one that a newer run added is kept in
``others``. No tensor library is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from clary.vision.base.events import BatchEnd, EpochEnd, Hook, RunEnd, RunStart
from clary.vision.base.files import append_text, write_text
from clary.vision.base.types import Problem

__all__ = [
    "BatchRecord",
    "EndRecord",
    "EpochRecord",
    "EvaluationRecord",
    "MetricsFile",
    "OtherRecord",
    "Record",
    "append_record",
    "read_records",
]

BATCHES_BETWEEN_RECORDS = 20  # at 60 batches/s three lines a second: enough for a curve, nothing for a disk

# What JSON writers make of a number: one that diverged is NaN, Infinity or null.
Number: TypeAlias = float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """How training stood after an optimizer step; of every ``BATCHES_BETWEEN_RECORDS`` batches the first is recorded.

    ``epoch`` and ``step`` (within it) are 0-based, ``global_step`` counts the steps done. ``loss`` is of this batch,
    ``samples_per_second`` from the epoch's start.
    """

    kind: ClassVar[str] = "batch"

    epoch: int | None = None
    step: int | None = None
    global_step: int | None = None
    loss: Number = None
    learning_rate: Number = None
    samples_per_second: Number = None
    others: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """A whole epoch. ``seconds`` are of training alone; ``best`` says that its weights were the best until then;
    ``image_size`` is the shorter side in pixels of what was trained on."""

    kind: ClassVar[str] = "epoch"

    epoch: int
    global_step: int | None = None
    train: Mapping[str, Number] = field(default_factory=dict)
    validation: Mapping[str, Number] = field(default_factory=dict)
    learning_rate: Number = None
    seconds: Number = None
    best: bool = False
    image_size: int | None = None
    others: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRecord:
    """The end of a run. ``reason`` is "completed" or "early_stopping"; ``seconds`` are of the whole run, validation and
    what was done before a resume too."""

    kind: ClassVar[str] = "run"

    global_step: int | None = None
    reason: str | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: Number = None
    precision: str | None = None
    precision_reason: str | None = None
    way: str | None = None
    others: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecord:
    """What the finished model gave on ``count`` pictures of ``split``. A run that goes on drops it."""

    kind: ClassVar[str] = "evaluation"

    split: str | None = None
    count: int | None = None
    metrics: Mapping[str, Number] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRecord:
    """A record of a kind that this version does not know; all its fields are ``others``."""

    kind: str
    others: Mapping[str, Any] = field(default_factory=dict)


Record: TypeAlias = BatchRecord | EpochRecord | EndRecord | EvaluationRecord | OtherRecord

_TEXTS = ("reason", "split", "precision", "precision_reason", "way")
_COUNTS = ("epoch", "step", "global_step", "epochs", "best_epoch", "count", "image_size")


def to_json(record: Record) -> dict[str, Any]:
    """The object that stands for a record, ``kind`` first, in the order of its fields."""
    own = {one.name: getattr(record, one.name) for one in fields(record) if one.name not in ("kind", "others")}
    return {"kind": record.kind, **own, **record.others}


def from_json(value: object) -> Record | None:
    """The record that an object stands for; None for what is none."""
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str) or not _is_number(value.get("seconds")):
        return None
    kind = {one.kind: one for one in (BatchRecord, EpochRecord, EndRecord, EvaluationRecord)}.get(value["kind"])
    if kind is None:
        return OtherRecord(kind=value["kind"], others={name: one for name, one in value.items() if name != "kind"})
    if kind is EpochRecord and not _is_epoch(value):
        return None
    if kind is EvaluationRecord and not _is_measured(value.get("metrics")):
        return None
    known = {one.name for one in fields(kind)} - {"others"}
    own = {name: _typed(name, one) for name, one in value.items() if name in known}
    return kind(**own, others={name: one for name, one in value.items() if name not in known and name != "kind"})


def read_records(path: Path) -> tuple[list[Record], list[Problem]]:
    """The records of a file in order, and lines that are none: torn when a run was killed, or edited by hand.

    A last line without its end is still being written, and neither. A file that is not there holds nothing.
    """
    # Whatever the bytes are: a file of a run that was killed is shown as far as it can be read.
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    records: list[Record] = []
    problems: list[Problem] = []
    # By \n alone, and without the last piece: a line without its end is still being written.
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        if not line.strip():
            continue
        record = _parsed(line)
        if record is None:
            problems.append(Problem(f"{path}:{number}", "is not a record of metrics", severity="note"))
        else:
            records.append(record)
    return records, problems


class MetricsFile(Hook):
    """Appends to ``path``. A resumed run first drops what was written after its checkpoint, so nothing stands twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._steps = 0
        self._precision = self._why = self._way = ""

    def on_start(self, event: RunStart) -> None:
        self._precision, self._why, self._way = event.precision, event.precision_reason, event.way
        self._steps = event.first_step
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        write_text(self._path, "".join(f"{line}\n" for line in lines if _precedes(_parsed(line), event)))

    def on_batch(self, event: BatchEnd) -> None:
        self._steps = event.global_step
        if event.step % BATCHES_BETWEEN_RECORDS == 0:
            speed = event.samples / max(event.seconds, 1e-9)
            self._append(
                BatchRecord(
                    epoch=event.epoch,
                    step=event.step,
                    global_step=event.global_step,
                    loss=event.loss,
                    learning_rate=event.learning_rate,
                    samples_per_second=round(speed, 3),
                )
            )

    def on_epoch(self, event: EpochEnd) -> None:
        self._append(
            EpochRecord(
                epoch=event.epoch,
                global_step=self._steps,
                train=dict(event.train),
                validation=dict(event.validation),
                learning_rate=event.learning_rate,
                seconds=round(event.seconds, 3),
                best=event.best,
                image_size=event.image_size or None,
            )
        )

    def on_end(self, event: RunEnd) -> None:
        self._append(
            EndRecord(
                global_step=self._steps,
                reason=event.reason,
                epochs=event.epochs,
                best_epoch=event.best_epoch,
                seconds=round(event.seconds, 3),
                precision=self._precision,
                precision_reason=self._why,
                way=self._way,
            )
        )

    def _append(self, record: Record) -> None:
        append_record(self._path, record)


def append_record(path: Path, record: Record) -> None:
    """Add a line to a file of records."""
    append_text(path, json.dumps(to_json(record)) + "\n")


def _precedes(record: Record | None, start: RunStart) -> bool:
    """Whether a record tells of what was done before ``start``. A line torn by a crash does not."""
    if isinstance(record, EpochRecord):
        # Not by its step: an epoch that ended at the step of the checkpoint may still have to be ended.
        return record.epoch < start.first_epoch
    return isinstance(record, BatchRecord) and record.global_step is not None and record.global_step <= start.first_step


def _parsed(line: str) -> Record | None:
    try:
        return from_json(json.loads(line))
    except (ValueError, RecursionError):
        return None


def _typed(name: str, value: Any) -> Any:
    """A field as its class promises it, None for what is not."""
    if name in ("train", "validation", "metrics"):
        return value or {}
    if name == "best":
        return bool(value)
    if name in _TEXTS:
        return value if isinstance(value, str) else None
    return value if isinstance(value, int if name in _COUNTS else (int, float)) else None


def _is_epoch(value: Mapping[str, Any]) -> bool:
    measured = all(_is_measured(value.get(split)) for split in ("train", "validation"))
    return measured and isinstance(value.get("epoch"), int) and _is_number(value.get("learning_rate"))


def _is_measured(value: object) -> bool:
    return not value or (isinstance(value, dict) and all(map(_is_number, value.values())))


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, (int, float))
