"""One page about a run that stands alone: no script, no font, no picture from elsewhere.

It shows what was reached (measured now, on test or else validation), what was trained on, how training went, and how to
go on. Whatever cannot be shown, since the data set has moved or the run has not finished, is said at the top.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np

from clary import __version__
from clary.errors import CustomerError, MissingPackageError
from clary.local import gallery, provenance
from clary.local.evaluate import Evaluation, evaluate
from clary.local.headline import NONE, duration, tiles
from clary.local.run import Run
from clary.vision.base.files import write_bytes
from clary.vision.base.types import Dataset, SplitName
from clary.vision.plots import confusion, counts, curves
from clary.vision.plots.render import svg

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
except ModuleNotFoundError as missing:
    raise MissingPackageError("the report needs jinja2", mend='pip install "clary[report]"') from missing

__all__ = ["write"]

SAMPLES = 12  # pictures shown of the data
MISTAKES = 12
MOST_PAIRS = 5  # pairs of classes named as confused
MOST_CLASSES = 200  # with more, a confusion matrix shows nothing


@dataclass(frozen=True, slots=True)
class Material:
    """Everything the page is made of; None where it is not to be had, and then ``notes`` says why."""

    run: Run
    config: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    dataset: Dataset | None
    evaluation: Evaluation | None
    notes: tuple[str, ...]


def write(run: Run | Path | str, *, evaluation: Evaluation | None = None) -> Path:
    """Write RUN/report.html and return its path. An ``evaluation`` made already is shown instead of a new one.

    Raises UsageError: not a run, or the page cannot be written.
    """
    run = Run.open(run.path if isinstance(run, Run) else run)
    page = _template().render(_context(_gather(run, evaluation)))
    path = run.path / "report.html"
    write_bytes(path, page.encode("utf-8", "replace"))  # names of files need not be valid Unicode
    return path


def _template() -> Any:
    places = PackageLoader("clary.local", "templates")
    pages = Environment(loader=places, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template("report.html.j2")


def _gather(run: Run, evaluation: Evaluation | None) -> Material:
    config, notes = run.config, [f"{problem}." for problem in run.problems]
    if not run.finished:
        notes.append("The run has not finished: there is no model.tar.gz yet.")
    dataset = None
    try:
        dataset = provenance.dataset(run)
    except CustomerError as error:
        notes.append(f"The pictures cannot be shown: {error}.")
    if evaluation is None and dataset and run.finished:
        try:
            evaluation = evaluate(run, dataset)
        except CustomerError as error:
            notes.append(f"The model was not evaluated: {error}.")
    if evaluation and evaluation.skipped:
        notes.append(_skipped(evaluation))
    return Material(run, config, run.history, dataset, evaluation, tuple(notes))


def _skipped(evaluation: Evaluation) -> str:
    some = "; ".join(str(problem) for problem in evaluation.skipped[:3])
    return f"{_number(len(evaluation.skipped), 'picture')} of {evaluation.split} left out: {some}."


def _context(found: Material) -> dict[str, Any]:
    evaluation, origin = found.evaluation, found.config.get("dataset", {})
    names = found.dataset.class_names if found.dataset else tuple(origin.get("class_names", ()))
    settings = provenance.settings(found.config)
    return {
        "title": found.run.path.resolve().name,
        "subtitle": _subtitle(found.config),
        "notes": found.notes,
        "tiles": list(tiles(found.run, _sizes(found), names, evaluation)),
        "class_count": len(names),
        "evaluation": evaluation and _results(evaluation),
        **_matrix(evaluation),
        "mistakes": gallery.mistakes(evaluation, MISTAKES) if evaluation else [],
        "charts": list(_charts(found.history)),
        "data_line": _data_line(found),
        "samples": gallery.samples(found.dataset, SAMPLES) if found.dataset else [],
        "counts": _counts_chart(_counts(found), names),
        "usage": _usage(found.run) if found.run.finished else [],
        "command": provenance.command(found.run),
        "changed": [one for one in settings if one.changed],
        "unchanged": [one for one in settings if not one.changed],
        "machine": provenance.machine(found.config),
        "footer": f"Written by Clary {__version__} on {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.",
    }


def _subtitle(config: Mapping[str, Any]) -> str:
    parts = [config.get("algorithm", ""), config.get("network", ""), config.get("dataset", {}).get("path", "")]
    return " \N{MIDDLE DOT} ".join(str(part) for part in parts if part)


def _sizes(found: Material) -> dict[str, int]:
    """Pictures by split; those of a multi-label set that has moved are counted once for each label."""
    if found.dataset:
        splits = found.dataset.splits
        return {split: len(splits[split]) for split in get_args(SplitName) if split in splits}
    return {split: sum(numbers) for split, numbers in _counts(found).items()}


def _counts(found: Material) -> dict[str, Sequence[int]]:
    """Pictures by split and class, as trained; when that is not recorded, as they are now."""
    recorded = found.config.get("dataset", {}).get("counts", {})
    if not recorded and found.dataset:
        recorded = {split: found.dataset.counts(split) for split in found.dataset.splits}
    return {split: recorded[split] for split in get_args(SplitName) if split in recorded}


def _results(evaluation: Evaluation) -> dict[str, Any]:
    rows = sorted(evaluation.class_rows(), key=lambda row: (row["f1"] is None, row["f1"] or 0.0))
    return {
        "split": evaluation.split,
        "rows": [_class_row(row) for row in rows],
        "remark": _metrics_line(evaluation),
        "faultless": f"None: all {evaluation.count:,} pictures of {evaluation.split} were predicted rightly.",
    }


def _class_row(row: Mapping[str, Any]) -> dict[str, Any]:
    ratios = {name: NONE if row[name] is None else f"{row[name]:.3f}" for name in ("precision", "recall", "f1")}
    return {"name": row["name"], "support": f"{row['support']:,}", **ratios, "width": round(100 * (row["f1"] or 0), 1)}


def _metrics_line(evaluation: Evaluation) -> str:
    words = {
        "top_5_accuracy": "top-5 accuracy",
        "mean_average_precision": "mean average precision",
        "macro_f1": "macro F1",
        "log_loss": "log loss",
        "expected_calibration_error": "expected calibration error",
    }
    parts = [f"{word} {evaluation.metrics[name]:.3f}" for name, word in words.items() if name in evaluation.metrics]
    line = ", ".join(parts)
    return f"{line[:1].upper()}{line[1:]}; measured in {duration(evaluation.seconds)}."


def _matrix(evaluation: Evaluation | None) -> dict[str, Any]:
    """The confusion matrix as SVG, its width in CSS pixels, and the pairs most often confused."""
    matrix = evaluation.confusion if evaluation else None
    if evaluation is None or matrix is None or len(matrix) > MOST_CLASSES:
        return {"confusion": None, "matrix_width": 0, "confused": []}
    names = evaluation.class_names
    sheet = confusion.draw(matrix, names)
    picture = Markup(svg(sheet, f"Confusion matrix of {len(names)} classes"))
    return {
        "confusion": picture,
        "matrix_width": round(sheet.get_figwidth() * 96),
        "confused": _confused(matrix, names),
    }


def _confused(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    cells = [divmod(int(flat), len(names)) for flat in order]
    return [{"true": names[r], "predicted": names[c], "count": int(wrong[r, c])} for r, c in cells if wrong[r, c]]


def _charts(history: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    if history:
        for name, draw in (
            ("Accuracy", curves.accuracy),
            ("Loss", curves.loss),
            ("Learning rate", curves.learning_rate),
        ):
            yield Markup(svg(draw(history), f"{name} by epoch"))


def _counts_chart(table: Mapping[str, Sequence[int]], names: Sequence[str]) -> Markup | None:
    fits = table and all(len(numbers) == len(names) for numbers in table.values())
    return Markup(svg(counts.draw(names, table), "Pictures by class and split")) if fits else None


def _data_line(found: Material) -> str:
    origin = found.config.get("dataset", {})
    kind = origin.get("format") or (found.dataset.format if found.dataset else "")
    labels = f", labels {origin['labels']}" if origin.get("labels") else ""
    return f"{origin.get('path', 'Data set unknown')} ({kind}{labels})" if kind else str(origin.get("path", ""))


def _usage(run: Run) -> list[dict[str, str]]:
    quoted = shlex.quote(str(run.path))
    request = "curl --data-binary @picture.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8080/invocations"
    python = f"import clary\n\nmodel = clary.load({str(run.path)!r})\nprint(model.predict(['picture.jpg'])[0].top(3))"
    return [
        {"title": "On the command line", "code": f"clary predict {quoted} picture.jpg"},
        {"title": "As a service", "code": f"clary serve {quoted} --port 8080\n{request}"},
        {"title": "In Python", "code": python},
    ]


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
