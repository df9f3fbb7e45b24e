"""``clary predict MODEL IMAGE...``: classes of pictures, the boxes in them, or the class of every pixel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clary.cli.engine_options import EngineName, PrecisionName
from clary.wording import plural

if TYPE_CHECKING:
    from clary.local.predictions import PredictionView
    from clary.vision.inference.predictor import Model

    Result = tuple[Path, Any]  # a picture, and what was predicted of it or, as text, why nothing was


def register(app: typer.Typer) -> None:
    app.command("predict")(predict)


def predict(
    model: Annotated[str, typer.Argument(help="model.tar.gz, the folder of one, or a run.", metavar="MODEL")],
    images: Annotated[
        list[Path], typer.Argument(help="Pictures, or folders of them at any depth.", metavar="IMAGE...")
    ],
    top: Annotated[int, typer.Option(help="Classes to show of each picture.", min=1)] = 5,
    least: Annotated[float, typer.Option("--least", help="Score from which boxes are shown.", min=0, max=1)] = 0.3,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for pictures with their boxes or masks drawn.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: image, predictions or error.")] = False,
    engine: EngineName = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Predict what is in pictures. One that cannot be used is named, the others go on, and the exit code is 1.

    With --output a detector leaves each picture with its boxes drawn, a segmenter NAME.mask.png (class ids) and
    NAME.jpg (the mask drawn over the picture).
    """
    from clary.cli.output import emit, note, table
    from clary.local.predictions import view_of
    from clary.vision.inference.predictor import load

    paths = [path for image in images for path in _images(image)]
    others = sum(_count_others(image) for image in images)
    # After the paths: a folder without pictures is told at once, not after seconds of loading.
    with load(model, engine, precision=precision) as loaded:
        view = view_of(loaded.task, top=top, least=least)
        # Before the first picture: a folder that cannot be made would be found out after all the work.
        places = _places(output, paths, view) if output else {}
        rows: list[dict[str, Any]] = []
        lines: list[tuple[Any, ...]] = []
        for path, result in _predicted(loaded, paths):
            if isinstance(result, str):
                rows.append({"image": str(path), "error": result})
                continue
            if places:
                view.write(result, path, places[path])
            rows.append({"image": str(path), **view.as_json(result)})
            lines += [(str(path) if place == 0 else "", *line) for place, line in enumerate(view.lines(result))]
    if as_json:
        emit(rows)
    elif lines:
        table("", ("image", *view.columns), lines)
    if others:
        note(f"left out: {plural(others, 'file')} that {'is' if others == 1 else 'are'} hidden or no picture")
    if output:
        note(f"drawn in {output}")
    note(f"predicted with {loaded.engine}")
    # At the end: one bad picture costs the others nothing, but a script must see it.
    if any("error" in row for row in rows):
        raise typer.Exit(1)


def _images(path: Path) -> list[Path]:
    """The path itself, or the pictures in a folder; hidden ones (``._cat.jpg``) are left out."""
    if not path.is_dir():
        return [path]
    from clary.vision.base.image_formats import is_image

    found = sorted(one for one in path.rglob("*") if is_image(one) and not one.name.startswith("."))
    if not found:
        from clary.errors import UsageError

        raise UsageError("holds no pictures", where=path, hint="name pictures or a folder of them")
    return found


def _count_others(path: Path) -> int:
    """The files in a folder that ``_images`` leaves out."""
    if not path.is_dir():
        return 0
    return sum(one.is_file() for one in path.rglob("*")) - len(_images(path))


def _places(folder: Path, paths: list[Path], view: PredictionView) -> dict[Path, Path]:
    """Where what is drawn of each picture goes, without its suffix: names are made different by a number.

    Raises UsageError for a folder that cannot be had, or a task that draws nothing.
    """
    from clary.errors import UsageError

    if not view.draws:
        raise UsageError(view.undrawn, where="--output", hint="leave it out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made a folder ({error.strerror})", where=folder) from error
    places: dict[Path, Path] = {}
    taken: set[str] = set()
    last: Counter[str] = Counter()
    for path in paths:
        # From the number given last: a thousand pictures called `image.jpg` are not a million tries.
        last[path.stem.lower()] += 1
        name = path.stem if last[path.stem.lower()] == 1 else f"{path.stem}-{last[path.stem.lower()]}"
        # Without regard to case: on some file systems Cat.jpg and cat.jpg are one.
        while name.lower() in taken:
            last[path.stem.lower()] += 1
            name = f"{path.stem}-{last[path.stem.lower()]}"
        taken.add(name.lower())
        places[path] = folder / name
    return places


def _predicted(model: Model, paths: list[Path]) -> Iterator[Result]:
    """Each path with its prediction, or with what is wrong with it (said on standard error as well)."""
    from clary.cli.output import note
    from clary.errors import ImageError

    for path, result in zip(paths, model.predict_each(paths), strict=True):
        if isinstance(result, ImageError):
            note(f"clary: {result}")
            yield path, result.what
        else:
            yield path, result
