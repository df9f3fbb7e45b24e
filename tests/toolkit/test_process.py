"""Programs of processing jobs under the toolkit: what they find, and what becomes of their ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clary.toolkit.plan import Plan

TELLING = """
import json, os, sys
told = {"argv": sys.argv, "cwd": os.getcwd(), "environ": dict(os.environ), "prefix": sys.prefix, "path": sys.path}
json.dump(told, open(sys.argv[1], "w"))
"""


@dataclass(frozen=True)
class Ran:
    code: int
    log: str
    opt_ml: Path

    @property
    def failure(self) -> str:
        note = self.opt_ml / "output/failure"
        return note.read_text() if note.exists() else ""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """``run("python3", "SCRIPT", text=...)``: a command, ``SCRIPT`` in it the file of ``text``."""
    opt_ml = tmp_path / "opt_ml"
    code = opt_ml / "processing/input/code"
    code.mkdir(parents=True)
    (opt_ml / "output").mkdir()

    def start(*words: str, text: str = "", given: dict[str, str] | None = None, **plan: Any) -> Ran:
        script = code / "prep.py"
        script.write_text(text)
        command = tuple(word.replace("SCRIPT", str(script)) for word in words)
        file = tmp_path / "script.json"
        plan = {"image": "mine:1", "complete": False, "variables": given or {}, "command": command, **plan}
        Plan(layer=tmp_path / "environment", environments=tmp_path / "environments", **plan).write(file)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "clary.toolkit.process", str(file)],
            env={"PATH": os.environ["PATH"], "SAGEMAKER_BASE_DIR": str(opt_ml), "AWS_REGION": "eu-west-1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, opt_ml)

    return start


def test_what_a_script_finds(run, tmp_path):
    out = tmp_path / "told.json"
    given = {"MINE": "1", "SAGEMAKER_BASE_DIR": "/elsewhere"}
    ran = run(
        "python3", "SCRIPT", str(out), "--a", "b c", text=TELLING, given=given, framework="pytorch", version="2.1"
    )
    assert ran.code == 0, ran.log
    told = json.loads(out.read_text())
    script = str(ran.opt_ml / "processing/input/code/prep.py")
    assert told["argv"] == [script, str(out), "--a", "b c"]
    assert (told["cwd"], told["prefix"]) == (str(ran.opt_ml), str(tmp_path / "environment"))
    assert told["path"][0] == str(Path(script).parent)
    environ = told["environ"]
    assert (environ["MINE"], environ["AWS_REGION"]) == ("1", "eu-west-1")
    assert environ["SAGEMAKER_BASE_DIR"] == str(ran.opt_ml)
    assert environ["PATH"].startswith(f"{tmp_path}/environment/bin:")
    assert not [name for name in environ if name.startswith("SM_")]
    (line,) = ran.log.splitlines()
    assert line.startswith("pytorch 2.1 was asked for; this is torch ")


def test_tensorflow_s_programs_of_keras_2_get_it(run, tmp_path):
    for version, wanted in (("2.13", "1"), ("2.16", None)):
        out = tmp_path / version
        ran = run("python3", "SCRIPT", str(out), text=TELLING, framework="tensorflow", version=version)
        assert ran.code == 0, ran.log
        environ = json.loads(out.read_text())["environ"]
        assert (environ.get("TF_USE_LEGACY_KERAS"), environ["S3_REGION"]) == (wanted, "eu-west-1")
        assert not [name for name in environ if name.startswith("SM_")]


def test_a_shell_script_installs_and_runs_in_the_same_environment(run, tmp_path):
    """As FrameworkProcessor's runproc.sh does."""
    ran = run("/bin/sh", "-c", "pip uninstall --yes typing; python SCRIPT $1", "sh", str(tmp_path / "t"), text=TELLING)
    assert ran.code == 0, ran.log
    assert json.loads((tmp_path / "t").read_text())["prefix"] == str(tmp_path / "environment")


def test_what_an_attempt_before_left_is_gone(run):
    text = "import os, sys; print(sorted(os.listdir(sys.argv[1])))"
    first = run("python3", "SCRIPT", ".", text=text)
    out = first.opt_ml / "processing/out"
    (out / "deep").mkdir(parents=True)
    (out / "deep/old").write_text("old")
    (out / "link").symlink_to("/etc")
    ran = run("python3", "SCRIPT", str(out), text=text, emptied=("processing/out", "processing/none"))
    assert ran.log.splitlines()[-1] == "[]"
    assert Path("/etc").is_dir()


def test_where_jobs_have_no_opt_ml_of_their_own_it_is_linked_for_the_time(run, tmp_path):
    place = tmp_path / "ml"
    text = "import os; open('processing/made', 'w').write(os.getcwd())"
    ran = run("python3", str(place / "processing/input/code/prep.py"), text=text, link=place)
    assert ran.code == 0, ran.log
    assert (ran.opt_ml / "processing/made").read_text() == str(place)
    assert not (place / "processing").exists()


def test_a_link_in_the_place_of_an_output_is_not_followed(run, tmp_path):
    (tmp_path / "mine/out").mkdir(parents=True)
    (tmp_path / "mine/out/kept").touch()
    (tmp_path / "opt_ml/processing/deep").symlink_to(tmp_path / "mine")
    ran = run("python3", "SCRIPT", text="print('ran')", emptied=("processing/deep/out",))
    assert (ran.code, "ran" in ran.log.splitlines()) == (1, False)
    assert ran.failure.startswith("ClientError: /opt/ml/processing/deep: is a symbolic link")
    assert (tmp_path / "mine/out/kept").exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("import sys; sys.exit(5)", 5),
        ("import argparse; argparse.ArgumentParser().parse_args(['--unknown'])", 2),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", 137),
    ],
)
def test_its_exit_code_is_the_program_s(run, text, code):
    ran = run("python3", "SCRIPT", text=text)
    assert (ran.code, ran.failure) == (code, "")


def test_a_module_that_is_missing_is_told_with_its_package(run):
    ran = run("python3", "SCRIPT", text="import skimage_that_is_not_here")
    assert ran.code == 1
    assert "ModuleNotFoundError: No module named 'skimage_that_is_not_here'" in ran.log
    assert "add the line `skimage-that-is-not-here`" in ran.log.splitlines()[-1]
    assert ran.log.splitlines()[-1].endswith("at the root of source_dir (which FrameworkProcessor takes)")


def test_a_program_that_is_not_there(run):
    ran = run("no-such-program", "--a")
    assert ran.code == 1
    assert ran.failure == "ClientError: the program `no-such-program` cannot be started: No such file or directory"
    assert ran.log.splitlines()[-1] == ran.failure
