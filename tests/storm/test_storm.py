"""A short part of `make storm`, each kind of weather for a round or two of fixed seeds; and that faults are found."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.storm import __main__ as program
from tests.storm import child
from tests.storm.weather import Tally, tracebacks

# Of requests one round without signatures, and one with them.
ROUNDS = {"requests": 2, "files": 2, "kills": 1, "disk": 1}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROUNDS)
def test_nothing_is_found(kind: str) -> None:
    words = ["--only", kind, "--rounds", str(ROUNDS[kind]), "--seed", "0"]
    command = [sys.executable, "-m", "tests.storm", *words]
    done = subprocess.run(command, cwd=child.REPOSITORY, capture_output=True, text=True, timeout=900, check=False)
    if "left out: " in done.stdout:
        pytest.skip(done.stdout.partition("left out: ")[2].splitlines()[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was found" in done.stdout


class Rain:
    """Finds the same in every round, and one thing more in that of seed 8."""

    name = "rain"

    def absent(self) -> str:
        return ""

    def round(self, seed: int, folder: Path, tally: Tally) -> None:
        (folder / "wet").touch()
        tally.try_("drops", 1000)
        tally.find("it is wet, request 17", "number 5")
        if seed == 8:
            raise ValueError("hail\nand thunder")


class Fog(Rain):
    name = "fog"

    def absent(self) -> str:
        return "nothing is to be seen"


class Snow(Rain):
    name = "snow"

    def round(self, seed: int, folder: Path, tally: Tally) -> None:
        tally.try_("flakes")
        if seed == 8:
            raise KeyboardInterrupt


@pytest.fixture
def weathers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(program, "WEATHERS", (Rain(), Fog(), Snow()))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("weathers")
class TestProgram:
    def test_a_find_is_one_line_with_the_command_that_repeats_it(self, tmp_path, capsys):
        assert program.main(["--only", "rain,fog", "--seed", "7", "--rounds", "2", "--keep", str(tmp_path)]) == 1
        _, _, table = capsys.readouterr().out.partition("\nkind ")
        assert "rain           2      0.0      2  2,000 drops\n" in table
        assert "fog            0      0.0      0  left out: nothing is to be seen\n" in table
        first, second = table.splitlines()[-2:]
        assert first.startswith("rain: it is wet, request 17: number 5  [")
        assert first.endswith("python -m tests.storm --only rain --seed 7 --rounds 1]")
        assert second.startswith("rain: a round of rain: ValueError: hail and thunder  [")
        assert "--seed 8 " in second
        assert len(list(tmp_path.glob("storm-rain-*/wet"))) == 2

    def test_ctrl_c_prints_the_table_so_far(self, capsys):
        assert program.main(["--only", "snow", "--seed", "7", "--minutes", "1"]) == 0
        assert "snow           2      0.0      0  2 flakes\n\nnothing was found" in capsys.readouterr().out

    def test_kinds_that_are_none_are_refused(self, capsys):
        with pytest.raises(SystemExit):
            program.main(["--only", "rain,sun"])
        assert "no kind is called sun; there are rain,fog,snow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "thing 3: the process died of SIGKILL"),
        ("raise KeyError('x')", "thing 3: the process ended with 1: KeyError: 'x' (died.py:3)"),
        ("import threading; threading.Event().wait()", "thing 3: no end after 2 s"),
        ("tell(found='odd', detail='left')", "odd: thing 3, left"),
        ("tell(tried='things', count=4)", ""),
    ],
)
def test_what_a_child_says_and_how_it_ends(script, found, tmp_path, monkeypatch):
    (tmp_path / "died.py").write_text(f"from tests.storm.child import tell\ntell(on='thing 3')\n{script}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tally = Tally()
    child.run("died", [], tally, errors=tmp_path / "errors.txt", silence=2.0 if "wait" in script else 60.0)
    assert tally.found == [found] * bool(found)
    assert tally.tried["things"] == (4 if "tried" in script else 0)


def test_tracebacks_of_a_log_with_others_in_groups():
    log = """up
Traceback (most recent call last):
  File "/x/src/clary/control/a.py", line 3, in f
    call()
ValueError: wrong

  + Exception Group Traceback (most recent call last):
  | ExceptionGroup: two
Traceback (most recent call last):
  File "/y/site-packages/z/b.py", line 9, in g
OSError
done
"""
    assert tracebacks(log) == ["ValueError: wrong (clary/control/a.py:3)", "OSError (site-packages/z/b.py:9)"]
