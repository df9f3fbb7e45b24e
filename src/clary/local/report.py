"""One page about a run that stands alone: no script, no font, no picture from elsewhere.

It shows what was reached (measured now, on test or else validation), what was trained on, how training went, and how to
go on. Whatever cannot be shown, since the data set has moved or the run has not finished, is said at the top.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from clary.errors import CustomerError, MissingPackageError
from clary.local import gallery, provenance
from clary.local.config import RunConfig
from clary.local.evaluate import Evaluation, evaluate
from clary.local.headline import tiles
from clary.local.run import Run
from clary.local.sections import Section, section_of
from clary.version import __version__
from clary.vision.algorithms import catalog
from clary.vision.base.files import write_bytes
from clary.vision.base.types import Dataset, SplitName
from clary.vision.datasets.left_out import say_left_out
from clary.vision.plots import counts
from clary.vision.plots.render import svg
from clary.wording import duration, plural

try:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
except ModuleNotFoundError as missing:
    raise MissingPackageError("the report needs jinja2", hint='pip install "clary[report]"') from missing

__all__ = ["write"]

SAMPLES = 12  # pictures shown of the data
MISTAKES = 12


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the page is made of; None where it is not to be had, and then ``notes`` says why."""

    run: Run
    section: Section[Any]
    config: RunConfig
    history: Sequence[Mapping[str, Any]]
    dataset: Dataset | None
    evaluation: Evaluation | None
    notes: tuple[str, ...]


def write(run: Run | Path | str, *, evaluation: Evaluation | None = None) -> Path:
    """Write RUN/report.html and return its path. An ``evaluation`` made already is shown instead of a new one.

    Raises UsageError: not a run, or the page cannot be written.
    """
    run = Run.open(run.path if isinstance(run, Run) else run)
    material = _gather(run, evaluation)
    page = _template(material.section).render(_context(material))
    path = run.path / "report.html"
    # Names of files need not be valid Unicode.
    write_bytes(path, page.encode("utf-8", "replace"))
    return path


def _template(section: Section[Any]) -> Any:
    """The page; the section's part of it may come from another distribution, and then finds our macros."""
    packages = dict.fromkeys(("clary.local", section.package))
    places = ChoiceLoader([PackageLoader(package, "templates") for package in packages])
    # StrictUndefined: a name that a template has and the context lacks is an error, not an empty place on the page.
    pages = Environment(loader=places, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template("report.html.j2")


def _gather(run: Run, evaluation: Evaluation | None) -> ReportData:
    config, notes = run.config, [f"{problem}." for problem in run.problems]
    if counts := config.get("dataset", {}).get("left_out"):
        notes.append(f"Of the data set's folder {say_left_out(counts)}.")
    notes += [f"{note}." for note in config.get("dataset", {}).get("notes", ())]
    if not run.finished:
        notes.append("The run has not finished: there is no model.tar.gz yet.")
    dataset = None
    try:
        dataset = provenance.dataset(run)
    # A report of what is left is better than none: data sets move, runs stay.
    except CustomerError as error:
        notes.append(f"The pictures cannot be shown: {error}.")
    if evaluation is None and dataset and run.finished:
        try:
            evaluation = evaluate(run, dataset)
        except CustomerError as error:
            notes.append(f"The model was not evaluated: {error}.")
    if evaluation and evaluation.skipped:
        some = "; ".join(str(problem) for problem in evaluation.skipped[:3])
        notes.append(f"{plural(len(evaluation.skipped), 'picture', ',')} of {evaluation.split} left out: {some}.")
    section = section_of(catalog.find(config.get("algorithm", "image-classification")).task)
    return ReportData(run, section, config, run.history, dataset, evaluation, tuple(notes))


def _context(found: ReportData) -> dict[str, Any]:
    evaluation, origin, section = found.evaluation, found.config.get("dataset", {}), found.section
    names = found.dataset.class_names if found.dataset else tuple(origin.get("class_names", ()))
    first, settings = section.tile(evaluation, found.run.metrics), provenance.settings(found.config)
    return {
        "title": found.run.path.resolve().name,
        "subtitle": _subtitle(found.config),
        "notes": found.notes,
        "tiles": list(tiles(found.run, first, _sizes(found), names, evaluation)),
        "class_count": len(names),
        "section": section,
        "evaluation": evaluation and _results(section, evaluation),
        "charts": _charts(found),
        "data_line": _data_line(found),
        "samples": gallery.samples(found.dataset, SAMPLES) if found.dataset else [],
        "counts": _counts_chart(_counts(found), names),
        "usage": _usage(found.run, section) if found.run.finished else [],
        "command": provenance.command(found.run),
        "changed": [one for one in settings if one.changed],
        "unchanged": [one for one in settings if not one.changed],
        "machine": provenance.machine(found.config),
        "footer": f"Written by Clary {__version__} on {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.",
    }


def _subtitle(config: RunConfig) -> str:
    parts = [config.get("algorithm", ""), config.get("network", ""), config.get("dataset", {}).get("path", "")]
    return " \N{MIDDLE DOT} ".join(str(part) for part in parts if part)


def _sizes(found: ReportData) -> dict[str, int]:
    """Pictures by split; those of a multi-label set that has moved are counted once for each label."""
    if found.dataset:
        splits = found.dataset.splits
        return {split: len(splits[split]) for split in get_args(SplitName) if split in splits}
    return {split: sum(numbers) for split, numbers in _counts(found).items()}


def _counts(found: ReportData) -> dict[str, Sequence[int]]:
    """Pictures by split and class, as trained; when that is not recorded, as they are now."""
    recorded = found.config.get("dataset", {}).get("counts", {})
    if not recorded and found.dataset:
        recorded = {split: found.dataset.counts(split) for split in found.dataset.splits}
    return {split: recorded[split] for split in get_args(SplitName) if split in recorded}


def _results(section: Section[Any], evaluation: Evaluation) -> dict[str, Any]:
    remark = section.remark(evaluation)
    return {
        "split": evaluation.split,
        "count": evaluation.count,
        "table": section.table(evaluation),
        "remark": f"{remark[:1].upper()}{remark[1:]}; measured in {duration(evaluation.seconds)}.",
        "worst_title": evaluation.worst_title,
        "worst": section.worst(evaluation, MISTAKES),
        **section.results(evaluation),
    }


def _charts(found: ReportData) -> list[Markup]:
    drawn = found.section.charts(found.history) if found.history else ()
    return [Markup(svg(figure, f"{name} by epoch")) for name, figure in drawn]


def _counts_chart(table: Mapping[str, Sequence[int]], names: Sequence[str]) -> Markup | None:
    fits = any(map(sum, table.values())) and all(len(numbers) == len(names) for numbers in table.values())
    return Markup(svg(counts.draw(names, table), "Pictures by class and split")) if fits else None


def _data_line(found: ReportData) -> str:
    origin = found.config.get("dataset", {})
    kind = origin.get("format") or (found.dataset.format if found.dataset else "")
    labels = f", labels {origin['labels']}" if origin.get("labels") else ""
    return f"{origin.get('path', 'Data set unknown')} ({kind}{labels})" if kind else str(origin.get("path", ""))


def _usage(run: Run, section: Section[Any]) -> list[dict[str, str]]:
    quoted = shlex.quote(str(run.path))
    request = "curl --data-binary @picture.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8080/invocations"
    first = f"model.predict(['picture.jpg'])[0]{section.usage}"
    python = f"import clary\n\nmodel = clary.load({str(run.path)!r})\nprint({first})"
    return [
        {"title": "On the command line", "code": f"clary predict {quoted} picture.jpg"},
        {"title": "As a service", "code": f"clary serve {quoted} --port 8080\n{request}"},
        {"title": "In Python", "code": python},
    ]
