"""``clary runs``: what was trained in a folder, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clary.cli.platform_options import Json
from clary.errors import UsageError
from clary.wording import duration, plural

COLUMNS = ("name", "algorithm", "network", "state", "metric", "epochs", "started", "duration")


def register(app: typer.Typer) -> None:
    app.command("runs")(runs)


def runs(
    folder: Annotated[Path, typer.Argument(help="A folder that holds runs.")] = Path("runs"), json: Json = False
) -> None:
    """List runs of `clary train`, the newest first: what each reached, and whether it goes on.

    A run is finished, running, failed (log.txt says why) or interrupted (--resume goes on).
    """
    from clary.cli.output import emit, note, table
    from clary.local.run import Run, damaged_runs, list_runs

    records = []
    for run in list_runs(folder):
        try:
            records.append(run.to_json())
            if problems := run.problems:
                note(f"{plural(len(problems), 'line')} left out: {problems[0]}")
        # One that is damaged does not hide the others.
        except UsageError as error:
            note(f"left out: {error}")
    if not Run(folder).is_run():
        for path in damaged_runs(folder):
            what = "is no file" if (path / "config.json").exists() else "there is no such file"
            note(f"left out: {path / 'config.json'}: {what}; train again into a new folder")
    if json:
        emit(records)
    else:
        table("", COLUMNS, [_row(record) for record in records])
        if not records:
            note(f"no runs in {folder}; `clary train` writes one")


def _row(record: dict[str, Any]) -> list[str]:
    value, seconds = record["value"], record["seconds"]
    metric = "" if value is None else f"{record['metric']} {value:.4f}"
    lasted = "" if seconds is None else duration(seconds)
    started = record["started"][:19].replace("T", " ")
    named = [record["algorithm"] or "", record["network"] or ""]
    return [record["name"], *named, record["state"], metric, str(record["epochs"]), started, lasted]
