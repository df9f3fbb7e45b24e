"""A script in a process that is no fresh interpreter finds what it would find in one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clary.toolkit import interpreter, layer, warm
from clary.toolkit.job_environment import JobEnvironment
from clary.toolkit.plan import Plan

LOOKING = """
import json, os, pathlib, sys
import helper, beside
def typed(number: int): ...
print(json.dumps({
    "file": __file__, "parents": len(pathlib.Path(__file__).parents), "argv": sys.argv, "path": sys.path[:2],
    "builtins": type(__builtins__).__name__, "annotation": str(typed.__annotations__["number"]),
    "loader": type(__loader__).__name__, "names": sorted(name for name in globals() if name.startswith("__")),
}))
"""
BECOME = """
import json, sys
from pathlib import Path
from clary.toolkit import interpreter, warm
from clary.toolkit.job_environment import JobEnvironment
program, folder, code, variables = sys.argv[1:]
environment = JobEnvironment(Path(folder), (), interpreter.ours())
warm.become(program, ["--lr", "1"], environment, json.loads(variables), Path(code))
"""


@pytest.fixture
def environment(tmp_path: Path) -> JobEnvironment:
    layer.make_layer(tmp_path / "environment", interpreter.ours())
    return JobEnvironment(tmp_path / "environment", (), interpreter.ours())


@pytest.fixture
def code(tmp_path: Path) -> Path:
    code = tmp_path / "code"
    (code / "own_steps").mkdir(parents=True)
    (code / "own_steps" / "train.py").write_text(LOOKING)
    (code / "own_steps" / "beside.py").write_text("")
    (code / "helper.py").write_text("")
    return code


def test_a_script_in_a_folder_finds_what_a_fresh_interpreter_gives_it(environment: JobEnvironment, code: Path) -> None:
    variables = environment.variables({"PATH": "/usr/bin:/bin", "PYTHONPATH": str(code)})
    program = "own_steps/train.py"

    def told(*words: str, cwd: Path) -> dict[str, Any]:
        done = subprocess.run(words, env=variables, cwd=cwd, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    cold = told(str(environment.python), "--", program, "--lr", "1", cwd=code)
    folder = str(environment.layer)
    as_it_is = (sys.executable, "-P", "-c", BECOME, program, folder, str(code), json.dumps(variables))
    assert told(*as_it_is, cwd=code.parent) == cold


def test_modules_beside_a_script_in_a_folder_are_its_own(environment: JobEnvironment, code: Path) -> None:
    plan = Plan(image="mine:1", layer=environment.layer, environments=code, program="own_steps/train.py")
    assert warm.obstacle(plan, environment, code, "own_steps/train.py") == ""
    (code / "own_steps" / "json.py").write_text("")
    assert "json" in warm.obstacle(plan, environment, code, "own_steps/train.py")


def test_lines_without_end_are_passed_on_piecewise(tmp_path: Path) -> None:
    from clary.toolkit.output import KEPT, Output

    said: list[str] = []
    output = Output(said.append)
    program = f"import sys; sys.stdout.write('x' * {20 * KEPT})"
    assert output.run([sys.executable, "-c", program], env={}, cwd=tmp_path) == 0
    assert max(map(len, said)) <= 2 * KEPT
    assert sum(map(len, said)) == 20 * KEPT
