"""What a training job runs, told from its AlgorithmSpecification; and in which words one that cannot run is refused.

Which program an image stands for is decided in ``control.images``, for jobs and endpoints alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clary.control.configuration import OURS, ImageRule
from clary.control.images import (
    Builtin,
    ImageCommand,
    Script,
    Unavailable,
    built_in_images,
    is_built_in,
    program_of,
    repository,
)
from clary.errors import CustomerError
from clary.toolkit.frameworks import FRAMEWORKS
from clary.vision.base.spec import AnySpec

__all__ = ["Builtin", "ImageCommand", "Rules", "Script", "resolve", "spec_of"]

Rules = Sequence[ImageRule]


def resolve(specification: Mapping[str, Any], rules: Rules = ()) -> Builtin | ImageCommand | Script:
    """The program of an AlgorithmSpecification. ``rules`` are those of clary.toml.

    Raises CustomerError naming the image when it cannot be run here.
    """
    image = specification.get("TrainingImage") or ""
    if specification.get("AlgorithmName"):
        name = specification["AlgorithmName"]
        what = f"the algorithm resource `{name}` cannot be used here: those of AWS Marketplace run on AWS only"
        raise CustomerError(what, hint="give TrainingImage")
    if not image:
        raise CustomerError("AlgorithmSpecification names no TrainingImage", hint=f"use {built_in_images()}")
    program = program_of(
        image,
        "training",
        entrypoint=specification.get("ContainerEntrypoint") or (),
        arguments=specification.get("ContainerArguments") or (),
        rules=rules,
    )
    match program:
        case Unavailable(reason, hint):
            raise CustomerError(reason, hint=f"{hint}; an image of your own needs a line in clary.toml: {_line(image)}")
        case ImageCommand(mapped=False) if is_built_in(image):
            what = f"ContainerEntrypoint and ContainerArguments are not for a built-in algorithm (image {image})"
            raise CustomerError(what, hint="leave them out")
        case ImageCommand(mapped=False):
            raise _unmapped(f"the image {image} is not mapped to anything that runs here", image)
        case Script(framework=framework, environment="") if framework not in FRAMEWORKS:
            raise _unmapped(f"there is no environment for {framework} here (image {image})", image)
    return program


def spec_of(specification: Mapping[str, Any], rules: Rules = ()) -> AnySpec | None:
    """The built-in algorithm an AlgorithmSpecification names, None for any other program. Raises CustomerError."""
    program = resolve(specification, rules)
    return program.spec if isinstance(program, Builtin) else None


def _unmapped(what: str, image: str) -> CustomerError:
    return CustomerError(
        what, hint=f"say in clary.toml what it stands for, and start the platform again: {_line(image)}"
    )


def _line(image: str) -> str:
    name = repository(image)[0] or "my-image"
    return f'[[images]] pattern = "{name}:*" environment = "{OURS}"'
