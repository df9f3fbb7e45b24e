from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clary.errors import UsageError
from clary.registry import Registry, declared

MEMBER = """
class Member:
    name = "{name}"

MEMBER = Member()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package ``family_under_test`` to put members into."""
    folder = tmp_path / "family_under_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("family_under_test")]:
        del sys.modules[name]


def registry(**options: str) -> Registry[Any]:
    return Registry("things", "family_under_test", "MEMBER", **options)


def test_members_are_found_in_name_order_of_their_files(package: Path) -> None:
    for file, name in (("b.py", "first"), ("a.py", "second"), ("_private.py", "hidden")):
        (package / file).write_text(MEMBER.format(name=name))
    (package / "c.py").write_text("# offers nothing\n")
    assert registry().names() == ["second", "first"]
    assert [member.name for member in registry()] == ["second", "first"]


def test_nothing_is_imported_before_the_first_question(package: Path) -> None:
    (package / "a.py").write_text("raise RuntimeError('imported')\n")
    lazy = registry()
    with pytest.raises(RuntimeError, match="imported"):
        lazy.names()


def test_an_unknown_name_is_met_with_the_closest(package: Path) -> None:
    for name in ("folder", "oxford"):
        (package / f"{name}.py").write_text(MEMBER.format(name=name))
    with pytest.raises(UsageError, match="unknown things `folders`; use `folder`"):
        registry().get("folders")
    with pytest.raises(UsageError, match="use `folder` or `oxford`"):
        registry().get("zzz")
    assert registry().get("oxford").name == "oxford"


def test_whoever_has_another_way_asks_without_an_error(package: Path) -> None:
    (package / "a.py").write_text(MEMBER.format(name="a"))
    members = registry()
    assert members.find("a") is members.get("a")
    assert members.find("b") is None


def test_two_members_of_one_name(package: Path) -> None:
    for file in ("a.py", "b.py"):
        (package / file).write_text(MEMBER.format(name="same"))
    with pytest.raises(UsageError, match="two members of things are called `same`"):
        registry().names()


def test_members_that_are_folders(package: Path) -> None:
    (package / "alone.py").write_text(MEMBER.format(name="alone"))
    (package / "whole").mkdir()
    (package / "whole/__init__.py").touch()
    (package / "whole/spec.py").write_text(MEMBER.format(name="whole"))
    assert registry(submodule="spec").names() == ["whole"]


def test_other_distributions_add_members(package: Path, tmp_path: Path) -> None:
    (package / "a.py").write_text(MEMBER.format(name="built-in"))
    (tmp_path / "stranger.py").write_text(MEMBER.format(name="strange"))
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clary.things]\nstrange = stranger:MEMBER\n")
    importlib.invalidate_caches()
    try:
        assert registry().names() == ["built-in", "strange"]
        assert declared("things", "family_under_test") == ["a", "strange"]
    finally:
        sys.modules.pop("stranger", None)


def test_declared_names_load_no_member(package: Path) -> None:
    for name in ("b", "a", "_private"):
        (package / f"{name}.py").write_text("raise RuntimeError('imported')\n")
    assert declared("things", "family_under_test") == ["a", "b"]
    assert "family_under_test" not in sys.modules
