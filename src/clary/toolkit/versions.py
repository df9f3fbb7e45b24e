"""What really runs a user's program, beside what was asked for."""

from __future__ import annotations

import importlib.metadata

from clary.toolkit.frameworks import FRAMEWORKS, Framework
from clary.toolkit.job_environment import JobEnvironment
from clary.toolkit.layer import site_of
from clary.toolkit.plan import Plan

__all__ = ["told", "version_of"]


def told(plan: Plan, environment: JobEnvironment) -> str:
    """A line of the log."""
    imported = FRAMEWORKS.get(plan.framework, Framework()).imported
    asked = " ".join(filter(None, [plan.framework or plan.image, plan.version, plan.python_version]))
    version = version_of(imported, environment) if imported else ""
    runs = f"{imported} {version} on " if version else ""
    return f"{asked} was asked for; this is {runs}Python {environment.interpreter.version}"


def version_of(package: str, environment: JobEnvironment) -> str:
    """The version of a package in the program's own environment; empty where it is not there."""
    names = {"sklearn": "scikit-learn"}
    folders = [str(site_of(environment.layer, environment.interpreter)), *map(str, environment.interpreter.sites)]
    for name in (names.get(package, package), f"{package}-cpu"):
        for found in importlib.metadata.distributions(name=name, path=folders):
            return found.version
    return ""
