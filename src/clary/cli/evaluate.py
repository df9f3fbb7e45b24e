"""``clary evaluate``: how good a model is on the pictures of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clary.cli.engine_options import EngineName, PrecisionName

if TYPE_CHECKING:
    from clary.local.evaluate import Evaluation

MISTAKES_SHOWN = 3


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model.tar.gz, or the folder of a run.")],
    dataset: Annotated[Path, typer.Argument(help="A folder of pictures in any layout `clary data check` knows.")],
    split: Annotated[
        str | None, typer.Option(help="train, validation, test or all.  [default: test, else validation, else train]")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="What to tell apart, as breeds or species.")] = None,
    engine: EngineName = "auto",
    precision: PrecisionName = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Measure a model: accuracy, mAP or mIOU, numbers by class, and the pictures it does worst on."""
    from clary.cli.output import note, progress
    from clary.local.evaluate import choose_split, open_network, pictures_for, samples_of
    from clary.local.evaluate import evaluate as measure

    with open_network(model, engine, precision) as network:
        pictures = pictures_for(model, network, dataset, labels)
        data = pictures.data
        errors = [problem for problem in data.problems if problem.severity == "error"]
        if errors:
            # Not an end: what can be measured is, and which records were left out is said.
            note(f"bad records: {len(errors)}, the first: {errors[0]} (see all: clary data check {dataset})")
        name = choose_split(data, split)
        with progress(f"evaluating on {name}", len(samples_of(data, name))) as advance:
            found = measure(network, pictures, split=name, advance=advance)
    if as_json:
        typer.echo(found.to_json())
    else:
        print_evaluation(found)


def print_evaluation(found: Evaluation) -> None:
    """Tables by class and of mistakes, the headline last."""
    from clary.cli.output import note, table

    rows = [[_shown(row[key]) for key in found.columns] for row in found.class_rows()]
    table(f"Results on {found.split}", list(found.columns.values()), rows)
    mistakes = found.mistake_rows(MISTAKES_SHOWN)
    if mistakes:
        columns = ["picture" if key == "image" else key for key in mistakes[0]]
        table(found.worst_title, columns, [[_shown(value) for value in row.values()] for row in mistakes])
    for problem in found.skipped:
        note(f"left out: {problem}")
    if found.remark:
        typer.echo(f"pictures: {found.remark}")
    typer.echo(f"{found.summary()}, {found.seconds:.1f} s with {found.engine} in {found.precision}")


def _shown(value: Any) -> Any:
    """A number of a table: ratios with three digits."""
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else value
