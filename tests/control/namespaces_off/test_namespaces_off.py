"""Scripts where the kernel gives no namespaces: by links in /opt/ml, one at a time, or refused with the way out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clary.toolkit.opt_ml import OPT_ML, can_link, permitting_command

HERE = Path(__file__).parent

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")]


@pytest.fixture
def told(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """What program.py printed, with an /opt/ml of its own that can be written, or cannot."""
    from clary.control.jobs.launchers.local import namespace

    if not namespace.available() and can_link() is (request.param == "read-only"):
        pytest.skip(f"this kernel gives users no namespaces, so that {OPT_ML} is as it is: not {request.param}")
    folder = tmp_path / "opt-ml"
    folder.mkdir()
    program = [sys.executable, str(HERE / "program.py"), str(tmp_path / "home")]
    command = [sys.executable, str(HERE / "without_namespaces.py"), str(folder), request.param, *program]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert not os.listdir(folder) or request.param == "writable"
    return ended.stdout


@pytest.mark.parametrize("told", ["writable"], indirect=True)
def test_one_script_at_a_time_by_links(told: str) -> None:
    assert "available False\n" in told
    assert "status no mount namespaces here: one script at a time, by links\n" in told
    spans = re.findall(r"^(\w+): mine (\w+) from (\S+) to (\S+)$", told, re.MULTILINE)
    # Each has found its own, and neither has seen the other.
    assert [(job, mine) for job, mine, *_ in spans] == [("first", "first"), ("second", "second")]
    another = float(re.findall(r"^another (\S+)$", told, re.MULTILINE)[0])
    (first, ended), (began, _) = sorted((float(began), float(ended)) for *_, began, ended in spans)
    assert another <= first <= ended <= began
    assert "first Completed \n" in told
    assert "second Completed \n" in told
    assert "one script at a time has its links in /opt/ml" in told
    assert re.search(r"^first: .*Waiting for /opt/ml, which the script of another job has$", told, re.MULTILINE)


@pytest.mark.parametrize("told", ["read-only"], indirect=True)
def test_without_leave_to_write_there_they_are_refused_before_they_start(told: str) -> None:
    assert f"status no mount namespaces here, so that scripts cannot run; permit them: {permitting_command()}\n" in told
    assert told.count(f"permit links, for one script at a time: {permitting_command()}") >= 2
    assert "first Failed ClientError: /opt/ml: scripts need it" in told
    assert "second Failed ClientError: /opt/ml: scripts need it" in told
    assert "mine" not in told
