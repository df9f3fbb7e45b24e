"""``clary clean``: what a home can do without."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from clary.cli.platform_options import Home, Json, folder
from clary.errors import UsageError

if TYPE_CHECKING:
    from clary.control.cleaning import Item

COLUMNS = ("what", "count", "MB")
_UNITS = {"": 86_400.0, "h": 3_600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def register(app: typer.Typer) -> None:
    app.command("clean")(clean)


def clean(
    home: Home = None,
    older: Annotated[str, typer.Option(help="What was last used so long ago: 12h, 30d, 4w.", metavar="TIME")] = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    store: Annotated[
        str, typer.Option(help="Database of jobs, where `clary up` was given one.", show_default="SQLite")
    ] = "",
    json: Json = False,
) -> None:
    """Remove folders of jobs whose results are stored, old logs and unused environments; say what stays, and why.

    Never an object of a bucket, never what is in use, never the only copy of a model or a checkpoint. The platform may
    go on meanwhile.
    """
    from clary.cli.output import emit
    from clary.control.cleaning import clean as cleaned
    from clary.control.jobs.kinds import KINDS
    from clary.control.settings import Settings
    from clary.control.store.records import Store

    settings = Settings(home=folder(home), store_url=store)
    if not store and not (settings.home / "clary.db").is_file():
        raise UsageError(
            "there is no store of a platform, so nobody can say which jobs have ended",
            where=settings.home,
            hint="name the home with --home, or the database with --store",
        )
    before = time.time() - _age(older)
    opened = Store(settings.database)
    try:
        found = list(cleaned(settings, opened, {kind.name: kind for kind in KINDS}, before=before, dry_run=dry_run))
    finally:
        opened.close()
    if json:
        emit([_record(item) for item in found])
    else:
        _tell(found, older, dry_run)


def _record(item: Item) -> dict[str, object]:
    return {"kind": item.kind, "path": str(item.path), "size": item.size, "kept": item.kept}


def _tell(found: list[Item], older: str, dry_run: bool) -> None:
    from clary.cli.output import note, table

    gone = [item for item in found if not item.kept]
    rows = [
        [f"{kind}s", len(items), f"{sum(item.size for item in items) / 1e6:.1f}"]
        for kind in ("job", "log", "environment")
        if (items := [item for item in gone if item.kind == kind])
    ]
    if rows:
        table("would be removed" if dry_run else "removed", COLUMNS, rows)
    else:
        note(f"nothing to remove that is older than {older}")
    # One by one what stays for a reason of its own; how much is only too young is one number.
    for item in found:
        if item.kept and item.kept != "too young":
            typer.echo(f"kept {item.path}: {item.kept}")
    if young := sum(item.kept == "too young" for item in found):
        typer.echo(f"kept {young} that were used within the last {older}")


def _age(text: str) -> float:
    """In seconds. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([hdw]?)", text.strip())
    if not found:
        raise UsageError(f"`{text}` is no time", where="--older", hint="write 12h, 30d or 4w")
    return float(found[1]) * _UNITS[found[2]]
