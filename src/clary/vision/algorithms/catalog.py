"""The algorithms there are, found without importing a tensor library."""

from __future__ import annotations

from clary.errors import UsageError
from clary.registry import Registry
from clary.vision.base.spec import Spec

__all__ = ["SPECS", "find"]

SPECS: Registry[Spec] = Registry("algorithms", "clary.vision.algorithms", "SPEC", submodule="spec")


def find(name: str) -> Spec:
    """The spec called ``name`` or one of its aliases. Raises UsageError naming those that exist."""
    for spec in SPECS:
        if name == spec.name or name in spec.aliases:
            return spec
    known = ", ".join(f"`{spec.name}`" for spec in SPECS)
    raise UsageError(f"unknown algorithm `{name}`", hint=f"choose one of {known}")
