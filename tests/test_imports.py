"""Imports run one way, those inside functions too: a module can be read, tested and moved without what stands above."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "src"

Imports = Mapping[str, Mapping[str, int]]  # module to the modules it imports, and the line of each


def _modules(source: Path) -> dict[str, Path]:
    paths = {path.relative_to(source).with_suffix(""): path for path in sorted(source.rglob("*.py"))}
    return {".".join(p.parts).removesuffix(".__init__"): path for p, path in paths.items()}


def _statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports at any depth, but for those that only a type checker follows."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from _statements(other)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            yield from _statements(node)


def _imports(source: Path) -> Imports:
    modules = _modules(source)
    found: dict[str, dict[str, int]] = {}
    for name, path in modules.items():
        imported = found.setdefault(name, {})
        for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = [one.name for one in node.names]
            else:
                assert node.level == 0, f"{path}:{node.lineno}: a relative import"
                inside = [f"{node.module}.{one.name}" for one in node.names]
                named = [one if one in modules else str(node.module) for one in inside]
            imported |= {one: node.lineno for one in named if one in modules and one != name}
    return found


def _circle(imports: Imports) -> list[str]:
    """The modules of the first circle there is, the first of them again at the end; empty when there is none."""
    done: set[str] = set()

    def walk(name: str, chain: list[str]) -> list[str]:
        if name in chain:
            return [*chain[chain.index(name) :], name]
        if name in done:
            return []
        for imported in imports[name]:
            if circle := walk(imported, [*chain, name]):
                return circle
        done.add(name)
        return []

    return next((circle for name in imports if (circle := walk(name, []))), [])


def _upward(imports: Imports, containers: list[str], layers: list[str]) -> list[str]:
    """Imports from a layer into one that stands above it."""
    height = {
        f"{container}.{member.strip(' ()')}": -depth
        for container in containers
        for depth, layer in enumerate(layers)
        for member in layer.replace("|", ":").split(":")
    }

    def stands(module: str) -> int | None:
        parts = module.split(".")
        return next((height[p] for n in range(len(parts), 0, -1) if (p := ".".join(parts[:n])) in height), None)

    return [
        f"{importer}, line {line}, imports {imported}"
        for importer, those in imports.items()
        for imported, line in those.items()
        if (low := stands(importer)) is not None and (high := stands(imported)) is not None and low < high
    ]


def _contracts() -> list[dict[str, list[str]]]:
    found = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    return [one for one in found["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]


def test_the_contract_holds() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--config", str(REPOSITORY / "pyproject.toml"), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout


def test_there_is_no_circle() -> None:
    circle = _circle(_imports(SOURCE))
    assert not circle, " -> ".join(circle)


@pytest.mark.parametrize("contract", _contracts(), ids=lambda one: str(one["name"]))
def test_no_import_runs_upward(contract: dict[str, list[str]]) -> None:
    assert not _upward(_imports(SOURCE), contract["containers"], contract["layers"])


def test_nothing_needs_the_face_of_the_package() -> None:
    """``clary`` itself is for users: it names everything, so whoever imports it stands in a circle with it."""
    needing = [name for name, imported in _imports(SOURCE).items() if "clary" in imported]
    assert needing == []


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Three modules in a circle, which runs through a function; what only a type checker follows is none."""
    package = tmp_path / "p"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text("from p.b import one\n")
    (package / "b.py").write_text("def one():\n    from p import c\n    return c\n")
    (package / "c.py").write_text("import p.a\n")
    (package / "d.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.e import One\nelse:\n    import p.a\n"
    )
    (package / "e.py").write_text("import p.d\n")
    return tmp_path


def test_a_circle_through_a_function_is_seen(small: Path) -> None:
    assert _circle(_imports(small)) == ["p.a", "p.b", "p.c", "p.a"]
    (small / "p" / "c.py").write_text("")
    assert _circle(_imports(small)) == []


def test_an_import_upward_in_a_function_is_seen(small: Path) -> None:
    assert _upward(_imports(small), ["p"], ["(missing) : c", "b | a"]) == ["p.b, line 2, imports p.c"]
