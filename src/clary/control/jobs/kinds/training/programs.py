"""What a training job runs, told from its AlgorithmSpecification; and in which words one that cannot run is refused.

Which program an image stands for is decided in ``control.images``, for jobs and endpoints alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clary.control.images import Builtin, ImageCommand, Script, Unavailable, built_in_images, program_of
from clary.errors import CustomerError
from clary.vision.base.spec import AnySpec

__all__ = ["Builtin", "ImageCommand", "resolve", "spec_of"]


def resolve(specification: Mapping[str, Any]) -> Builtin | ImageCommand:
    """The program of an AlgorithmSpecification. Raises CustomerError naming the image when it cannot be run here."""
    image = specification.get("TrainingImage") or ""
    if specification.get("AlgorithmName"):
        name = specification["AlgorithmName"]
        raise CustomerError(f"the algorithm resource `{name}` cannot be used here", hint="give TrainingImage")
    if not image:
        raise CustomerError("AlgorithmSpecification names no TrainingImage", hint=f"use {built_in_images()}")
    program = program_of(
        image,
        "training",
        entrypoint=specification.get("ContainerEntrypoint") or (),
        arguments=specification.get("ContainerArguments") or (),
    )
    match program:
        case Unavailable(reason, hint):
            raise CustomerError(reason, hint=hint)
        case ImageCommand() | Script(entrypoint=(_, *_)) | Script(arguments=(_, *_)):
            what = f"ContainerEntrypoint and ContainerArguments are not supported yet (image {image})"
            raise CustomerError(what, hint=f"leave them out and use {built_in_images()}")
        case Script():
            what = f"the image {image} runs a script of your own (script mode), which is not supported yet"
            raise CustomerError(what, hint=f"use {built_in_images()}")
    return program


def spec_of(specification: Mapping[str, Any]) -> AnySpec | None:
    """The built-in algorithm an AlgorithmSpecification names, None for any other program. Raises CustomerError."""
    program = resolve(specification)
    return program.spec if isinstance(program, Builtin) else None
