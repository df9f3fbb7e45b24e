"""What a training job runs, told from its AlgorithmSpecification; and in which words one that cannot run is refused.

Which program an image stands for is decided in ``control.images``, for jobs and endpoints alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clary.control.images import (
    Builtin,
    ImageCommand,
    Script,
    Unavailable,
    built_in_images,
    is_built_in,
    program_of,
)
from clary.control.jobs.programs import Rules, check_environment, way_to_map
from clary.errors import CustomerError
from clary.vision.base.spec import AnySpec

__all__ = ["Builtin", "ImageCommand", "Rules", "Script", "resolve", "spec_of"]


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
            raise CustomerError(reason, hint=f"{hint}; where it is an image of your own, {way_to_map(image)}")
        case ImageCommand(mapped=False) if is_built_in(image):
            what = f"ContainerEntrypoint and ContainerArguments are not for a built-in algorithm (image {image})"
            raise CustomerError(what, hint="leave them out")
        case ImageCommand() | Script():
            check_environment(program, image)
    return program


def spec_of(specification: Mapping[str, Any], rules: Rules = ()) -> AnySpec | None:
    """The built-in algorithm an AlgorithmSpecification names, None for any other program. Raises CustomerError."""
    program = resolve(specification, rules)
    return program.spec if isinstance(program, Builtin) else None
