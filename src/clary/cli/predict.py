"""``clary predict MODEL IMAGE...``: classes of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clary.vision.base.types import Prediction
    from clary.vision.inference.predictor import Model

    Result = tuple[Path, Prediction | str]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


def register(app: typer.Typer) -> None:
    app.command("predict")(predict)


def predict(
    model: Annotated[str, typer.Argument(help="model.tar.gz, the folder of one, or a run.", metavar="MODEL")],
    images: Annotated[
        list[Path], typer.Argument(help="Pictures, or folders of them at any depth.", metavar="IMAGE...")
    ],
    top: Annotated[int, typer.Option(help="Classes to show of each picture.", min=1)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: image, predictions or error.")] = False,
    engine: Annotated[str, typer.Option(help="openvino, onnxruntime, torch, or auto.")] = "auto",
) -> None:
    """Predict the classes of pictures. One that cannot be used is named, the others go on, and the exit code is 1."""
    from clary.cli.output import emit
    from clary.vision.inference.predictor import load

    paths = [path for image in images for path in _pictures(image)]
    with load(model, engine) as loaded:
        results = list(_predicted(loaded, paths))
    if as_json:
        emit([_as_json(*result, top) for result in results])
    else:
        _print_table(results, top)
    if any(isinstance(result, str) for _, result in results):
        raise typer.Exit(1)


def _pictures(path: Path) -> list[Path]:
    """The path itself, or the pictures in a folder; hidden ones (``._cat.jpg``) are left out."""
    if not path.is_dir():
        return [path]
    found = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and not one.name.startswith("."))
    if not found:
        from clary.errors import UsageError

        raise UsageError("holds no pictures", where=path, mend="name pictures or a folder of them")
    return found


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


def _as_json(path: Path, result: Prediction | str, top: int) -> dict[str, object]:
    if isinstance(result, str):
        return {"image": str(path), "error": result}
    return {"image": str(path), "predictions": [{"label": label, "score": score} for label, score in result.top(top)]}


def _print_table(results: list[Result], top: int) -> None:
    from clary.cli.output import table

    rows = [
        (str(path) if place == 0 else "", label, f"{score:.4f}")
        for path, result in results
        if not isinstance(result, str)
        for place, (label, score) in enumerate(result.top(top))
    ]
    if rows:
        table("", ("image", "class", "score"), rows)
