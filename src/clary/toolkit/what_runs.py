"""What really runs where a framework's image was asked for, in the words of the log."""

from __future__ import annotations

import importlib.metadata

from clary.toolkit.frameworks import Framework
from clary.toolkit.job_environment import JobEnvironment
from clary.toolkit.layer import site_of
from clary.toolkit.plan import Plan

__all__ = ["version_of", "what_runs"]


def what_runs(plan: Plan, framework: Framework, environment: JobEnvironment) -> str:
    """``pytorch 1.5 py3 was asked for; this is torch 2.9.1 on Python 3.11.2``."""
    asked = " ".join(filter(None, [plan.framework or plan.image, plan.version, plan.python_version]))
    version = version_of(framework.imported, environment) if framework.imported else ""
    runs = f"{framework.imported} {version} on " if version else ""
    return f"{asked} was asked for; this is {runs}Python {environment.interpreter.version}"


def version_of(package: str, environment: JobEnvironment) -> str:
    """The version of a package in the script's own environment; empty where it is not there."""
    names = {"sklearn": "scikit-learn"}
    folders = [str(site_of(environment.layer, environment.interpreter)), *map(str, environment.interpreter.sites)]
    for name in (names.get(package, package), f"{package}-cpu"):
        for found in importlib.metadata.distributions(name=name, path=folders):
            return found.version
    return ""
