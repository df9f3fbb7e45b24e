"""The plan by which the toolkit runs a user's own program, in a job of any kind, in the environment of its image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clary.control.configuration import InstalledEnvironment, RequirementsEnvironment
from clary.control.images import Script, repository
from clary.control.settings import Settings
from clary.toolkit.opt_ml import OPT_ML, can_link, refusal
from clary.toolkit.plan import Plan

__all__ = ["check_view", "plan_of"]


def check_view(isolated: bool) -> None:
    """Raises UsageError where a script could have no /opt/ml: jobs have none of their own (``isolated``), and this user
    may not link them into the one."""
    if not isolated and not can_link():
        raise refusal()


def plan_of(
    program: Script,
    image: str,
    *,
    folder: Path,
    settings: Settings,
    isolated: bool,
    variables: Mapping[str, str],
    command: Sequence[str],
    entry_point: str = "",
    source: str = "",
    emptied: Sequence[str] = (),
) -> Plan:
    """How ``program``, which ``image`` stands for, is run; its own layer of packages lies in ``folder``, the host's.

    ``command`` is what runs, empty where ``entry_point`` does, of the ``source`` of that name. ``variables`` are the
    request's. ``emptied`` are folders below opt_ml that every attempt finds empty.
    """
    named = settings.configuration.environments.get(program.environment)
    return Plan(
        image=image,
        layer=folder / "environment",
        environments=settings.environments_root,
        program=entry_point,
        source=source,
        framework=program.framework,
        version=program.version,
        python_version=program.python,
        hugging_face=repository(image)[0].startswith("huggingface-"),
        command=tuple(command),
        variables=variables,
        interpreter=named.python if isinstance(named, InstalledEnvironment) else None,
        requirements=named.file if isinstance(named, RequirementsEnvironment) else None,
        complete=not program.environment,
        link=None if isolated else OPT_ML,
        emptied=tuple(emptied),
    )
