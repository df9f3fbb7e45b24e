"""What a processing job runs, told from its AppSpecification; and in which words one that cannot run is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from clary.control.images import Builtin, ImageCommand, Script, Unavailable, program_of, repository
from clary.control.jobs.programs import Rules, check_environment, way_to_map
from clary.errors import CustomerError

__all__ = ["ImageCommand", "Script", "command", "resolve"]

# Applications of AWS's own, which are nowhere but in these images: what they are, and what there is instead.
_APPLICATIONS = {
    r"sagemaker-spark-processing": ("Spark", "prepare the data by a script of the image sagemaker-scikit-learn"),
    r"sagemaker-clarify-processing": ("Clarify", "`clary evaluate` and `clary report` show what a model gets wrong"),
    r"sagemaker-model-monitor-analyzer": ("Model Monitor", "`clary evaluate` measures a model on pictures of today"),
    r"sagemaker-data-wrangler-container": ("Data Wrangler", "`clary data` converts, splits and checks data sets"),
}
# The interpreter of an image, wherever that has it: /miniconda3/bin/python3, say.
_PYTHON = re.compile(r"python(3(\.\d+)?)?")


def resolve(application: Mapping[str, Any], rules: Rules = ()) -> ImageCommand | Script:
    """The program of an AppSpecification. ``rules`` are those of clary.toml.

    Raises CustomerError naming the image when it cannot be run here.
    """
    image = application["ImageUri"]
    program = program_of(
        image,
        "processing",
        entrypoint=application.get("ContainerEntrypoint") or (),
        arguments=application.get("ContainerArguments") or (),
        rules=rules,
    )
    frameworks = "name the image of a framework that processes data here (scikit-learn, PyTorch, TensorFlow, ...)"
    match program:
        case Builtin(spec):
            raise CustomerError(f"the image {image} trains by {spec.name} and processes nothing", hint=frameworks)
        case Unavailable() | ImageCommand(mapped=False):
            _refuse_application(image)
    match program:
        case Unavailable(reason):
            raise CustomerError(reason, hint=f"{frameworks}, or {way_to_map(image)}")
        case Script(entrypoint=()):
            what = f"the image {image} runs a script, and AppSpecification has no ContainerEntrypoint that names one"
            raise CustomerError(what, hint="give it, as ScriptProcessor and FrameworkProcessor do")
    check_environment(program, image)
    return program


def command(program: Script) -> tuple[str, ...]:
    """The words that start ``program``; an image's own interpreter is that of the job's environment."""
    first, *others = program.argv
    path = PurePosixPath(first)
    return (path.name if path.is_absolute() and _PYTHON.fullmatch(path.name) else first, *others)


def _refuse_application(image: str) -> None:
    name = repository(image)[0]
    for pattern, (application, instead) in _APPLICATIONS.items():
        if re.fullmatch(pattern, name):
            raise CustomerError(f"the image {image} is that of {application}, which is not here", hint=instead)
