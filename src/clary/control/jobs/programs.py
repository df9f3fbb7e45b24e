"""What a training job runs, told from its AlgorithmSpecification.

A built-in algorithm is recognised by the repository and tag of its image, in any account and region; a folder added to
``clary.vision.algorithms`` is found here without a change. SDK v3 sends an entrypoint only along with source code, so a
built-in algorithm is its image's default for v2, v3 and boto3 alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clary.control.images import repository
from clary.errors import CustomerError
from clary.vision.algorithms.catalog import SPECS
from clary.vision.base.spec import Spec

__all__ = ["Builtin", "Command", "Program", "resolve", "spec_of"]

TAGS = frozenset({"1", "latest"})  # of the built-in algorithms' images

# Repositories of AWS's framework images, all of which run the user's script.
_FRAMEWORK = re.compile(
    r"(huggingface-)?(pytorch|tensorflow|mxnet|chainer|autogluon)(-trcomp|-neuronx?|-smp)?-training(-neuronx?|-graviton)?"
    r"|sagemaker-(pytorch|tensorflow|mxnet|chainer|scikit-learn|xgboost|sparkml-serving|tensorflow-scriptmode|base-python)"
    r"|smdistributed-modelparallel|sagemaker-distribution-(cpu|gpu)|djl-inference"
)


@dataclass(frozen=True, slots=True)
class Builtin:
    """An algorithm of the catalog, by its name there."""

    name: str


@dataclass(frozen=True, slots=True)
class Command:
    """A program to execute: its path and its arguments."""

    argv: tuple[str, ...]


Program = Builtin | Command


def resolve(specification: Mapping[str, Any]) -> Program:
    """The program of an AlgorithmSpecification. Raises CustomerError naming the image when it cannot be run here."""
    image = specification.get("TrainingImage") or ""
    if specification.get("AlgorithmName"):
        name = specification["AlgorithmName"]
        raise CustomerError(f"the algorithm resource `{name}` cannot be used here", hint="give TrainingImage")
    if not image:
        raise CustomerError("AlgorithmSpecification names no TrainingImage", hint=f"use {_known()}")
    if specification.get("ContainerEntrypoint") or specification.get("ContainerArguments"):
        what = f"ContainerEntrypoint and ContainerArguments are not supported yet (image {image})"
        raise CustomerError(what, hint=f"leave them out and use {_known()}")
    name, tag = repository(image)
    spec = _builtin(name)
    if spec is None:
        raise _unknown(image, name)
    if tag not in TAGS:
        raise CustomerError(f"the image {image} has the tag `{tag}`, which does not exist", hint=f"use {name}:1")
    return Builtin(spec.name)


def spec_of(specification: Mapping[str, Any]) -> Spec | None:
    """The built-in algorithm an AlgorithmSpecification names, None for any other program. Raises CustomerError."""
    program = resolve(specification)
    return _builtin(program.name) if isinstance(program, Builtin) else None


def _builtin(name: str) -> Spec | None:
    return next((spec for spec in SPECS if name == spec.name or name in spec.aliases), None)


def _unknown(image: str, name: str) -> CustomerError:
    if _FRAMEWORK.fullmatch(name):
        what = f"the image {image} runs a script of your own (script mode), which is not supported yet"
        return CustomerError(what, hint=f"use {_known()}")
    return CustomerError(f"the image {image} is not known here", hint=f"use {_known()}")


def _known() -> str:
    return "the image of a built-in algorithm: " + ", ".join(f"{spec.name}:1" for spec in SPECS)
