"""``clary evaluate``: how good a model is on the pictures of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clary.local.evaluate import Evaluation

MISTAKES_SHOWN = 3


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model.tar.gz, or the folder of a run.")],
    dataset: Annotated[Path, typer.Argument(help="A folder of pictures in any layout `clary data check` knows.")],
    split: Annotated[
        str | None, typer.Option(help="train, validation or test.  [default: test, else validation, else train]")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="What to tell apart, as breeds or species.")] = None,
    engine: Annotated[str, typer.Option(help="openvino, onnxruntime, torch, or auto.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Measure a model: accuracy, precision and recall by class, and its most confident mistakes."""
    from clary.cli.output import note, progress
    from clary.local.evaluate import choose_split
    from clary.local.evaluate import evaluate as measure
    from clary.vision.formats import read

    data = read(dataset, labels=labels)
    errors = [problem for problem in data.problems if problem.severity == "error"]
    if errors:
        note(f"bad records: {len(errors)}, the first: {errors[0]} (see all: clary data check {dataset})")
    name = choose_split(data, split)
    with progress(f"evaluating on {name}", len(data.splits[name])) as advance:
        found = measure(model, data, split=name, engine=engine, advance=advance)
    if as_json:
        typer.echo(found.to_json())
    else:
        print_evaluation(found)


def print_evaluation(found: Evaluation) -> None:
    """Tables by class and of mistakes, the headline last."""
    from clary.cli.output import note, table

    columns = ["class", "pictures", "precision", "recall", "F1"]
    rows = [
        [row["name"], row["support"], *(_ratio(row[key]) for key in ("precision", "recall", "f1"))]
        for row in found.class_rows()
    ]
    table(f"Results on {found.split}", columns, rows)
    mistakes = [[str(m.sample.image), m.true, m.predicted, _ratio(m.score)] for m in found.worst(MISTAKES_SHOWN)]
    if mistakes:
        table("Most confident mistakes", ["picture", "true", "predicted", "score"], mistakes)
    for problem in found.skipped:
        note(f"left out: {problem}")
    typer.echo(_headline(found))


def _headline(found: Evaluation) -> str:
    accuracy = f"accuracy {found.metrics['accuracy']:.4f} on {found.count} {found.split} pictures"
    kind = " (share of labels right)" if found.multi_label else ""
    seconds = f"{found.seconds:.1f} s with {found.engine}"
    return f"{accuracy}{kind}, macro F1 {found.metrics['macro_f1']:.4f}, {seconds}"


def _ratio(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"
