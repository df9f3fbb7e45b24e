"""What to do instead of an operation, or a service, that is not answered here: the end of the refusal."""

from __future__ import annotations

from clary.control import families
from clary.control.wire.operation import OPERATIONS
from clary.control.wire.services import Description
from clary.wording import similar_names

__all__ = ["of_operation", "of_service"]

_LIST = "docs/coverage.md lists what is answered"
_ELSEWHERE = "it is on AWS only: call it from a program outside of `clary run` and `clary env`"


def of_operation(description: Description, name: str) -> str:
    """The way around the operation ``name``, which nobody answers; the nearest names for one that there is not."""
    service = description.service
    if name not in description.operations:
        answered = [operation for known, operation in OPERATIONS if known == service]
        near = similar_names(name, [*answered, *description.operations])
        return f"is {near[0]} meant?" if near else _LIST
    family = families.of_operation(name) if service == "sagemaker" else families.of_service(service)
    return _way_around(family) if family else _LIST


def of_service(name: str) -> str:
    """The way around the service that signs as ``name``."""
    family = families.of_service(name)
    return _way_around(family) if family else _ELSEWHERE


def _way_around(family: families.Family) -> str:
    return f"{family.name}: {family.instead}"
