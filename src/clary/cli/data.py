"""``clary data``: look at data sets, mend them, make them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clary.cli.task_choice import Task
from clary.errors import UsageError
from clary.wording import plural

if TYPE_CHECKING:
    from clary.vision.base.types import Dataset, Problem
    from clary.vision.datasets.check import CheckResult
    from clary.vision.formats import Format


class EncodingName(StrEnum):
    """How packed pictures are encoded."""

    keep = "keep"
    jpg = "jpg"
    png = "png"


# Chosen for a terminal: thousands of records alike must not push the other errors out of it.
ALIKE, NOTES = 5, 100  # problems of one kind, and notes of all kinds, that are spelled out

_HELP = "Check, show, convert, pack, split, fetch and draw data sets; see how they lie on disk."

Root = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of the data set.")]
Labels = Annotated[str | None, typer.Option(help="Which labels to use, where the layout offers several.")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; must be empty or absent.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random choices.")]


def register(app: typer.Typer) -> None:
    """Add the verb and its sub-commands."""
    data = typer.Typer(help=_HELP, no_args_is_help=True)
    data.command("layouts")(layouts)
    data.command("check")(check)
    data.command("show")(show)
    data.command("convert")(convert)
    data.command("pack")(pack)
    data.command("split")(split)
    data.command("oxford-pets")(oxford_pets)
    data.command("draw")(draw)
    app.add_typer(data, name="data")


def layouts() -> None:
    """Draw how each kind of data set lies on disk."""
    from clary.vision.formats import FORMATS

    print("\n\n".join(f"{one.name}  ({', '.join(sorted(one.tasks))})\n\n{indent(one.tree, '  ')}" for one in FORMATS))


def check(
    dataset: Root,
    labels: Labels = None,
    task: Task = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Look at every record; print what is wrong and how to mend it. Exit code 1 if anything must be mended."""
    from clary.cli.output import emit, progress
    from clary.vision import formats
    from clary.vision.datasets.check import examine

    found = formats.read(dataset, task=task, labels=labels)
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
    task: Task = None,
    seed: Seed = 0,
) -> None:
    """Draw some pictures of each class with their labels, boxes or masks, and how much there is of each."""
    from clary.cli.output import note
    from clary.vision import formats
    from clary.vision.base.files import atomic
    from clary.vision.plots.dataset_sheet import page

    found = formats.read(dataset, task=task, labels=labels)
    # Looked up and not taken: the word is the user's, and may be none of the three.
    name = next((name for name in found.splits if name == split), None)
    if name is None:
        raise UsageError(f"has no split `{split}`", where=dataset, hint=f"use {' or '.join(found.splits)}")
    drawn, unreadable = page(found, name, seed=seed)
    if unreadable:
        them = "it" if unreadable == 1 else "them"
        lost = f"left out {plural(unreadable, 'picture')} that cannot be decoded"
        note(f"{lost}; `clary data check {dataset}` names {them}")
    # Whole or not at all: an earlier sheet stays until the new one is there.
    with atomic(out) as file:
        drawn.save(file, "PNG")
    print(out)


def convert(
    dataset: Root,
    out: Out,
    to: Annotated[str, typer.Option(help="Layout to write, such as recordio, coco, yolo, voc, masks.")],
    labels: Labels = None,
    task: Task = None,
) -> None:
    """Write a data set in another layout. What has to be left out is named; the rest is converted."""
    from clary.vision import formats

    target = formats.FORMATS.get(to)
    wanted = task or _common_task(formats.detect(dataset), target, dataset)
    found = formats.read(dataset, task=wanted, labels=labels)
    target.write(found, out)
    _tell_left_out(found.problems)
    _print_counts(found, target.name)


def pack(
    source: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of the data set, or a .lst file.")],
    out: Out,
    root: Annotated[Path | None, typer.Option(help="Folder the paths of a .lst start at; its own by default.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Take every folder of pictures as a class.")] = False,
    lists: Annotated[bool, typer.Option("--list", help="Write .lst files only.")] = False,
    train_ratio: Annotated[float, typer.Option(help="Fraction for train.")] = 1.0,
    test_ratio: Annotated[float, typer.Option(help="Fraction for test; what is left is validation.")] = 0.0,
    shuffle: Annotated[bool, typer.Option(help="Mix the order of records.")] = True,
    seed: Seed = 0,
    resize: Annotated[int | None, typer.Option(min=1, help="Pixels of the shorter side; as it is by default.")] = None,
    quality: Annotated[
        int | None, typer.Option(min=0, max=100, help="Of JPEG, 1-100 (95), or PNG, 0-9 (3); encodes all anew.")
    ] = None,
    encoding: Annotated[EncodingName, typer.Option(help="Encode all as this; keep packs files as they are.")] = (
        EncodingName.keep
    ),
    center_crop: Annotated[bool, typer.Option("--center-crop", help="Leave the square in the middle.")] = False,
    gray: Annotated[bool, typer.Option("--gray", help="Leave one channel, gray.")] = False,
    exts: Annotated[str | None, typer.Option(help="With --recursive, endings to take, as .jpg,.png.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Pictures encoded at the same time.")] = 1,
    labels: Labels = None,
    task: Task = None,
) -> None:
    """Pack pictures into RecordIO files with their index, as MXNet's im2rec does."""
    from clary.cli.output import progress
    from clary.vision import formats
    from clary.vision.datasets import pack as packing

    # im2rec's two ways in, a list and a tree; the third, any layout, is ours.
    if source.suffix == ".lst" and source.is_file():
        found = packing.read_list(source, root or source.parent)
    elif recursive:
        found = packing.read_tree(source, exts.replace(",", " ").split() if exts else ())
    else:
        found = formats.read(source, task=task, labels=labels)
    found = packing.partition(found, train_ratio, test_ratio, shuffle=shuffle, seed=seed)
    if lists:
        packing.write_lists(found, out)
        left_out = list(found.problems)
    else:
        how = packing.Packing(resize, quality, encoding.value, workers, center_crop, gray)
        with progress("packing pictures", len(found)) as advance:
            packed, lost = packing.pack(found, out, how, progress=advance)
        found, left_out = packed, [*found.problems, *lost]
    _tell_left_out(left_out)
    _print_counts(found, "lst" if lists else "recordio")


def split(
    dataset: Root,
    out: Out,
    validation: Annotated[float, typer.Option(help="Fraction of train to hold out.")] = 0.2,
    seed: Seed = 0,
    labels: Labels = None,
    task: Task = None,
    replace: Annotated[bool, typer.Option(help="Make a new validation split where there is one.")] = False,
) -> None:
    """Hold out a validation split, class by class, and write it all as class folders (lists if multi-label).

    Boxes and masks are written in the layout they came in, or in SageMaker's where that is only read.
    """
    from clary.cli.output import note
    from clary.vision import formats
    from clary.vision.datasets.split import split as carve

    found = formats.read(dataset, task=task, labels=labels)
    errors = [problem for problem in found.problems if problem.severity == "error"]
    if errors:
        more = f"`clary data check {dataset}` lists all {len(errors)}" if len(errors) > 1 else errors[0].hint
        raise UsageError(errors[0].what, where=errors[0].where, hint=more)
    # Told and not refused: in a script the split of the first run must not fail the second.
    if "validation" in found.splits and not replace:
        note("the validation split stays as it is; --replace makes a new one")
    carved = carve(found, validation=validation, seed=seed, replace=replace)
    formats.FORMATS.get(_layout_of(found)).write(carved, out)
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
    images: Annotated[int, typer.Option("--pictures", min=1, help="Number of pictures.")] = 240,
    seed: Seed = 0,
) -> None:
    """Draw a set of cats and dogs of several breeds, in the layout of the Oxford-IIIT Pet set."""
    from clary.cli.output import note, progress
    from clary.drawn import draw_pets

    with progress("drawing pictures", images) as advance:
        folder = draw_pets(directory, images=images, seed=seed, progress=advance)
    print(folder)
    place = shlex.quote(str(folder))
    note(f"next: clary data check {place}   clary train classification {place}   (or detection, segmentation)")


def _print(result: CheckResult) -> None:
    """Errors, then notes, then the counts and a line that sums up."""
    from clary.vision.datasets.left_out import say_left_out

    for line in _folded(result.errors):
        print(f"error  {line}")
    for line in _folded(result.notes[:NOTES]):
        print(f"note   {line}")
    if len(result.notes) > NOTES:
        print(f"note   ... {len(result.notes)} notes in all (--json lists them)")
    if result.problems:
        print()
    _print_counts(result.dataset, pixels=dict(result.pixels))
    for split, count in result.ignored.items():
        if count:
            share = 100 * count / (count + sum(result.pixels[split]))
            print(f"{split}: {share:.1f} % of the pixels of the masks are ignored (255)")
    if result.left_out:
        print(f"\n{say_left_out(result.left_out)}")
    errors, notes = len(result.errors), len(result.notes)
    print(f"\n{plural(errors, 'error') if errors else 'no errors'}, {plural(notes, 'note')}")


def _folded(problems: Sequence[Problem]) -> Iterator[str]:
    """A line for each problem; of more than ALIKE alike, one after the first of them says how many more there are."""
    alike = Counter(problem.what for problem in problems)
    told: Counter[str] = Counter()
    for problem in problems:
        told[problem.what] += 1
        if told[problem.what] <= ALIKE:
            yield str(problem)
        elif told[problem.what] == ALIKE + 1:
            yield f"... and {alike[problem.what] - ALIKE} more: {problem.what} (--json lists all)"


def _common_task(source: Format, target: Format, root: Path) -> str:
    """What a data set is read for to be written in another layout: what it is for, or the boxes or masks both hold."""
    from clary.vision.tasks import TASKS

    natural = source.task_of(root)
    if natural in target.written_for:
        return natural
    both = source.tasks & target.written_for
    return next((task.name for task in TASKS if task.localises and task.name in both), natural)


def _layout_of(dataset: Dataset) -> str:
    """The layout to write a data set in, where nobody says: boxes and masks stay in their own if that can be."""
    from clary.vision.formats import FORMATS
    from clary.vision.tasks import TASKS

    task, own = TASKS.get(dataset.task), FORMATS.get(dataset.format)
    if task.localises and task.name in own.written_for and "validation" in own.splits:
        return own.name
    return task.layout(dataset)


def _tell_left_out(problems: Sequence[Problem]) -> None:
    from clary.cli.output import note

    errors = [problem for problem in problems if problem.severity == "error"]
    for problem in errors[:NOTES]:
        note(f"left out  {problem}")
    if errors:
        note(f"{plural(len(errors), 'problem')}: what they name was left out")


def _print_counts(dataset: Dataset, layout: str = "", pixels: Mapping[Any, Sequence[int]] | None = None) -> None:
    """A table of what each split has of each class: pictures, boxes, or shares of all labelled pixels."""
    from clary.cli.output import table
    from clary.vision.tasks import TASKS

    splits, task, names = dataset.splits, TASKS.get(dataset.task), dataset.class_names
    counts = [task.counts(dataset, split, (pixels or {}).get(split, ())) for split in splits]
    known = any(counts)
    rows: list[list[Any]] = [[n, *(one[c] if one else "" for one in counts)] for c, n in enumerate(names) if known]
    rows.append(["all pictures", *(len(samples) for samples in splits.values())])
    # Masks that were not opened: nothing is known of classes, and the heading names none.
    table("", [f"{task.unit if rows[1:] else 'pictures'} ({layout or dataset.format})", *splits], rows)


def _as_json(result: CheckResult) -> dict[str, Any]:
    dataset = result.dataset
    return {
        "dataset": str(dataset.root),
        "format": dataset.format,
        "task": dataset.task,
        "multi_label": dataset.multi_label,
        "classes": list(dataset.class_names),
        "counts": {split: dataset.counts(split) for split in dataset.splits},
        "pictures": {split: len(samples) for split, samples in dataset.splits.items()},
        "boxes": {split: sum(len(s.boxes) for s in samples) for split, samples in dataset.splits.items()},
        "pixels": {split: list(counts) for split, counts in result.pixels.items()},
        "ignored_pixels": dict(result.ignored),
        "left_out": result.left_out,
        "errors": [_record(problem) for problem in result.errors],
        "notes": [_record(problem) for problem in result.notes],
    }


def _record(problem: Problem) -> dict[str, str]:
    # "mend" is older than the word hint, and stays: programs read it.
    return {"where": problem.where, "what": problem.what, "mend": problem.hint}
