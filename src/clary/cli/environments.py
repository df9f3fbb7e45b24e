"""``clary environments``: the Python environments that scripts of jobs run in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clary.cli.platform_options import Config, Home, Json, folder
from clary.errors import UsageError

if TYPE_CHECKING:
    from clary.control.configuration import Configuration
    from clary.toolkit.environments import Environments
    from clary.toolkit.requirements import Requirements

COLUMNS = ("name", "of", "python", "MB", "last used")


def register(app: typer.Typer) -> None:
    environments = typer.Typer(help="List, make and remove environments of scripts.", invoke_without_command=True)
    environments.callback()(_default)
    environments.command("list")(list_environments)
    environments.command("make")(make)
    environments.command("remove")(remove)
    app.add_typer(environments, name="environments")


def _default(context: typer.Context, home: Home = None, config: Config = None, json: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_environments(home, config, json)


def list_environments(home: Home = None, config: Config = None, json: Json = False) -> None:
    """List the environments that clary.toml names, and those that jobs have made of requirements."""
    from clary.cli.jobs import moment
    from clary.cli.output import emit, table

    records = _records(_kept(home), _configuration(home, config))
    if json:
        emit(records)
        return
    rows = [
        [
            r["name"],
            r["of"],
            r["python"],
            f"{r['size'] / 1e6:.0f}" if r["made"] else "",
            moment(r["used"]) if r["used"] else "",
        ]
        for r in records
    ]
    table("", COLUMNS, rows)


def make(
    name: Annotated[str, typer.Argument(help="A name of clary.toml's, or a framework: tensorflow, scikit-learn, ...")],
    version: Annotated[str, typer.Argument(help="A framework_version that programs ask for: 2.8.")] = "",
    home: Home = None,
    config: Config = None,
) -> None:
    """Make an environment before a job does, which would wait for it."""
    from clary.cli.output import note
    from clary.toolkit import interpreter, layer

    wanted = _requirements(name, version, _configuration(home, config))
    if not wanted:
        note(f"{name}: everything is in Clary's own environment")
        return
    kept, below = _kept(home), interpreter.ours()
    for requirements in wanted:
        with kept.layer(below, requirements, os.environ, note) as place:
            typer.echo(place)
            below = layer.with_layer(below, place)


def remove(
    names: Annotated[list[str] | None, typer.Argument(help="Names as `clary environments` lists them.")] = None,
    all: Annotated[bool, typer.Option("--all", help="All that were made.")] = False,
    home: Home = None,
    config: Config = None,
) -> None:
    """Remove environments that were made of requirements; the next job that needs one makes it again."""
    kept, configuration = _kept(home), _configuration(home, config)
    if not names and not all:
        raise UsageError("names nothing to remove", where="clary environments remove", hint="give names, or --all")
    keys = [one.key for one in kept.kept()] if all else [_key(name, kept, configuration) for name in names or ()]
    for key in keys:
        kept.remove(key)
        typer.echo(key)


def _kept(home: Path | None) -> Environments:
    from clary.control.settings import Settings
    from clary.toolkit.environments import Environments

    return Environments(Settings(home=folder(home)).environments_root)


def _configuration(home: Path | None, config: Path | None) -> Configuration:
    from clary.control.configuration import configuration_of

    return configuration_of(folder(home), config.expanduser().absolute() if config else None)


def _requirements(name: str, version: str, configuration: Configuration) -> list[Requirements]:
    """Of the environment ``name`` of clary.toml's, or of a framework, a layer on the other. Raises UsageError."""
    from clary.control.configuration import InstalledEnvironment, RequirementsEnvironment
    from clary.toolkit.frameworks import FRAMEWORKS, layers_of_framework
    from clary.toolkit.requirements import read_requirements

    match configuration.environments.get(name):
        case RequirementsEnvironment(file):
            wanted = read_requirements(file)
            return [wanted] if wanted else []
        case InstalledEnvironment(python):
            raise UsageError(f"the environment `{name}` is there already", where=python, hint="nothing is to be made")
    if name in FRAMEWORKS:
        return layers_of_framework(name, version)
    known = ", ".join([*configuration.environments, *FRAMEWORKS])
    raise UsageError(f"there is no environment `{name}`", where="clary.toml", hint=f"there are {known}")


def _key(name: str, kept: Environments, configuration: Configuration) -> str:
    from clary.toolkit import interpreter

    if name in {one.key for one in kept.kept()}:
        return name
    wanted = _requirements(name, "", configuration)
    return kept.key(interpreter.ours(), wanted[0], os.environ) if wanted else name


def _records(kept: Environments, configuration: Configuration) -> list[dict[str, Any]]:
    from clary.control.configuration import OURS, RequirementsEnvironment
    from clary.toolkit import interpreter
    from clary.toolkit.requirements import read_requirements

    ours, made = interpreter.ours(), {one.key: one for one in kept.kept()}
    records = [{"name": OURS, "of": "Clary's own", "python": ours.version, "size": 0, "made": 0.0, "used": 0.0}]
    for name, named in configuration.environments.items():
        if isinstance(named, RequirementsEnvironment):
            found = made.pop(kept.key(ours, read_requirements(named.file), os.environ), None)
            of = str(named.file) if found else f"{named.file} (not made yet)"
        else:
            found, of = None, str(named.python)
        records.append(_record(name, of, found))
    return [*records, *(_record(one.key, " ".join(one.requirements), one) for one in made.values())]


def _record(name: str, of: str, found: Any) -> dict[str, Any]:
    told = {"python": "", "size": 0, "made": 0.0, "used": 0.0}
    if found is not None:
        told = {"python": found.python, "size": found.size, "made": found.made, "used": found.used}
    return {"name": name, "of": of, **told}
