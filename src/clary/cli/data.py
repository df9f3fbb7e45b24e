"""``clary data``: look at data sets, mend them, make them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clary.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from clary.vision.base.types import Dataset, Problem, Sample
    from clary.vision.datasets.check import CheckResult

COLUMNS = 6  # of the sheet of samples
LEAST, MOST = 24, 60  # pictures on it
ALIKE, NOTES = 10, 100  # notes of one kind, and of all kinds, that are spelled out

Root = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of the data set.")]
Labels = Annotated[str | None, typer.Option(help="Which labels to use, where the layout offers several.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random choices.")]


def register(app: typer.Typer) -> None:
    """Add the verb and its sub-commands."""
    data = typer.Typer(help="Check, show, split, fetch and draw data sets.", no_args_is_help=True)
    data.command("check")(check)
    data.command("show")(show)
    data.command("split")(split)
    data.command("oxford-pets")(oxford_pets)
    data.command("draw")(draw)
    app.add_typer(data, name="data")


def check(
    dataset: Root,
    labels: Labels = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Look at every record; print what is wrong and how to mend it. Exit code 1 if anything must be mended."""
    from clary.cli.output import emit, progress
    from clary.vision import formats
    from clary.vision.datasets.check import examine

    found = formats.read(dataset, labels=labels)
    with progress("checking pictures", len(found)) as advance:
        result = examine(found, progress=advance)
    if json:
        emit(_as_json(result))
    else:
        _print(result)
    if result.errors:
        raise typer.Exit(1)


def show(
    dataset: Root,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("samples.png"),
    split: Annotated[str, typer.Option(help="Split to show: train, validation or test.")] = "train",
    labels: Labels = None,
    seed: Seed = 0,
) -> None:
    """Draw some pictures of each class with their labels, and how many there are of each."""
    from clary.cli.output import note
    from clary.vision import formats
    from clary.vision.base.files import atomic
    from clary.vision.plots import samples

    found = formats.read(dataset, labels=labels)
    chosen = next((samples for name, samples in found.splits.items() if name == split), None)
    if chosen is None:
        raise UsageError(f"has no split `{split}`", where=dataset, mend=f"use {' or '.join(found.splits)}")
    pictures, unreadable = _decoded(found, _chosen(chosen, len(found.class_names), seed))
    if unreadable:
        them = "it" if unreadable == 1 else "them"
        lost = f"left out {_plural(unreadable, 'picture')} that cannot be decoded"
        note(f"{lost}; `clary data check {dataset}` names {them}")
    counts: dict[str, list[int]] = {name: found.counts(name) for name in found.splits}
    subtitle = f"{len(found)} pictures, {len(found.class_names)} classes; {len(pictures)} of {split} shown"
    chart = samples.distribution(found.class_names, counts)
    page = samples.sheet(dataset.resolve().name, subtitle, samples.grid(pictures, columns=COLUMNS), chart)
    with atomic(out) as file:
        page.save(file, "PNG")
    print(out)


def split(
    dataset: Root,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; must be empty or absent.")],
    validation: Annotated[float, typer.Option(help="Fraction of train to hold out.")] = 0.2,
    seed: Seed = 0,
    labels: Labels = None,
    replace: Annotated[bool, typer.Option(help="Make a new validation split where there is one.")] = False,
) -> None:
    """Hold out a validation split, class by class, and write it all as class folders (lists if multi-label)."""
    from clary.cli.output import note
    from clary.vision import formats
    from clary.vision.datasets.split import split as carve

    found = formats.read(dataset, labels=labels)
    errors = [problem for problem in found.problems if problem.severity == "error"]
    if errors:
        more = f"`clary data check {dataset}` lists all {len(errors)}" if len(errors) > 1 else errors[0].mend
        raise UsageError(errors[0].what, where=errors[0].where, mend=more)
    if "validation" in found.splits and not replace:
        note("the validation split stays as it is; --replace makes a new one")
    carved = carve(found, validation=validation, seed=seed, replace=replace)
    formats.FORMATS.get("lst" if found.multi_label else "folder").write(carved, out)
    _print_counts(carved)


def oxford_pets(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to put it into.")],
    source: Annotated[str | None, typer.Option("--from", help="Folder or URL that has the two archives.")] = None,
) -> None:
    """Fetch the Oxford-IIIT Pet set (37 breeds, about 800 MB); an interrupted download goes on where it stopped."""
    from clary.cli.output import transfers
    from clary.vision.datasets.download import fetch_oxford_pets

    with transfers() as tell:
        folder = fetch_oxford_pets(directory, source, progress=tell)
    print(folder)


def draw(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; must be empty or absent.")],
    pictures: Annotated[int, typer.Option(min=1, help="Number of pictures.")] = 240,
    seed: Seed = 0,
) -> None:
    """Draw a set of cats and dogs of several breeds, in the layout of the Oxford-IIIT Pet set."""
    from clary.cli.output import progress
    from clary.vision.datasets.drawn import draw_pets

    with progress("drawing pictures", pictures) as advance:
        folder = draw_pets(directory, pictures=pictures, seed=seed, progress=advance)
    print(folder)


def _print(result: CheckResult) -> None:
    """Errors, then notes, then the counts and a line that sums up."""
    for problem in result.errors:
        print(f"error  {problem}")
    alike = Counter(problem.what for problem in result.notes)
    told: Counter[str] = Counter()
    for problem in result.notes[:NOTES]:
        told[problem.what] += 1
        if told[problem.what] <= ALIKE:
            print(f"note   {problem}")
        elif told[problem.what] == ALIKE + 1:
            print(f"note   ... and {alike[problem.what] - ALIKE} more: {problem.what} (--json lists all)")
    if len(result.notes) > NOTES:
        print(f"note   ... {len(result.notes)} notes in all (--json lists them)")
    if result.problems:
        print()
    _print_counts(result.dataset)
    errors, notes = len(result.errors), len(result.notes)
    print(f"\n{_plural(errors, 'error') if errors else 'no errors'}, {_plural(notes, 'note')}")


def _print_counts(dataset: Dataset) -> None:
    from clary.cli.output import table

    counts = [dataset.counts(split) for split in dataset.splits]
    rows: list[list[Any]] = [[name, *row] for name, *row in zip(dataset.class_names, *counts, strict=True)]
    rows.append(["all pictures", *(len(samples) for samples in dataset.splits.values())])
    table("", [f"class ({dataset.format})", *dataset.splits], rows)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _as_json(result: CheckResult) -> dict[str, Any]:
    dataset = result.dataset
    return {
        "dataset": str(dataset.root),
        "format": dataset.format,
        "multi_label": dataset.multi_label,
        "classes": list(dataset.class_names),
        "counts": {split: dataset.counts(split) for split in dataset.splits},
        "errors": [_record(problem) for problem in result.errors],
        "notes": [_record(problem) for problem in result.notes],
    }


def _record(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "what": problem.what, "mend": problem.mend}


def _chosen(samples: Sequence[Sample], classes: int, seed: int) -> list[Sample]:
    """Up to MOST samples, the classes taking turns, at random within a class."""
    import numpy as np

    random = np.random.Generator(np.random.PCG64(seed))
    order = np.argsort(random.random(len(samples)), kind="stable")
    by_class: dict[tuple[int, ...], list[Sample]] = {}
    for i in order:
        by_class.setdefault(samples[i].classes[:1], []).append(samples[i])
    turns = [by_class[key] for key in sorted(by_class)]
    wanted = min(max(LEAST, classes), MOST, len(samples))
    in_turn = [group[turn] for turn in range(len(samples)) for group in turns if turn < len(group)]
    return in_turn[:wanted]


def _decoded(dataset: Dataset, samples: Sequence[Sample]) -> tuple[list[tuple[np.ndarray, str]], int]:
    """Pixels and caption of each sample, and how many could not be decoded."""
    from clary.errors import ImageError
    from clary.vision.base import imaging

    pictures = []
    for sample in samples:
        caption = ", ".join(dataset.class_names[c] for c in sample.classes) or "none"
        try:
            pictures.append((imaging.decode(sample.image.read(), at_least=320), caption))
        except (ImageError, OSError):
            continue
    return pictures, len(samples) - len(pictures)
