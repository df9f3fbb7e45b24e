"""One small registry: a family is a folder, a member is a file, a duplicate name is an error."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from clary.errors import UsageError
from clary.wording import similar_names

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

__all__ = ["Registry", "declared", "own_members"]

T = TypeVar("T")


class Registry(Generic[T]):
    """The members of one family, found by scanning a package in name order.

    Each module of ``package`` (or, with ``submodule``, each ``<member>.<submodule>``) offers its object under the
    module attribute ``attribute``. Other distributions add members through entry points of the group
    ``clary.<family>``.
    """

    def __init__(self, family: str, package: str, attribute: str, submodule: str = "") -> None:
        self.family = family
        self._package = package
        self._attribute = attribute
        self._submodule = submodule
        self._members: dict[str, T] | None = None

    def get(self, name: str) -> T:
        """The member called ``name``. Raises UsageError naming the closest known names."""
        try:
            return self._found()[name]
        except KeyError:
            known = self.names()
            close = similar_names(name, known) or known
            choice = " or ".join(f"`{one}`" for one in close)
            raise UsageError(f"unknown {self.family} `{name}`", hint=f"use {choice}") from None

    def find(self, name: str) -> T | None:
        """The member called ``name``, None where there is none."""
        return self._found().get(name)

    def names(self) -> list[str]:
        return list(self._found())

    def __iter__(self) -> Iterator[T]:
        return iter(self._found().values())

    def _found(self) -> dict[str, T]:
        # At first use: a family imports all its members, and those their libraries.
        if self._members is None:
            members: dict[str, T] = {}
            for member in self._scan():
                name = str(getattr(member, "name"))  # noqa: B009 - T promises a name by convention of the family
                # An error, not the last one wins: which of two distributions comes last is chance.
                if name in members:
                    raise UsageError(f"two members of {self.family} are called `{name}`", hint="rename one of them")
                members[name] = member
            self._members = members
        return self._members

    def _scan(self) -> Iterator[T]:
        root = importlib.import_module(self._package)
        for module in sorted(pkgutil.iter_modules(root.__path__), key=lambda m: m.name):
            if module.name.startswith("_") or (self._submodule and not module.ispkg):
                continue
            path = f"{self._package}.{module.name}" + (f".{self._submodule}" if self._submodule else "")
            if importlib.util.find_spec(path) is None:  # a folder without the submodule is no member
                continue
            member = getattr(importlib.import_module(path), self._attribute, None)
            if member is not None:
                yield member
        # Own members first, so that of two with one name the error names what was added.
        for point in _entry_points(self.family):
            yield point.load()


def declared(family: str, package: str) -> list[str]:
    """The names of a family's members without loading one, where members are called like their files: those of the
    package in name order, then entry points'."""
    return list(dict.fromkeys([*own_members(package), *(point.name for point in _entry_points(family))]))


def own_members(package: str) -> list[str]:
    """Those of ``package`` alone, in name order; other distributions are not looked for."""
    spec = importlib.util.find_spec(package)
    folder = spec.submodule_search_locations if spec else None
    return sorted(module.name for module in pkgutil.iter_modules(folder) if not module.name.startswith("_"))


def _entry_points(family: str) -> EntryPoints:
    # Imported here: with all it brings (email, socket, ...) it takes 20 ms, which a call for help need not pay.
    from importlib.metadata import entry_points

    return entry_points(group=f"clary.{family}")
