"""Layers of requirements: made once, shared, removed when there is too much; never half of one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clary.errors import UsageError
from clary.toolkit import environments, interpreter, layer
from clary.toolkit.environments import Environments, InstallationFailed
from clary.toolkit.requirements import Requirements, requirements_of


class Installed:
    """Takes pip's place: counts, and puts a module into the layer."""

    def __init__(self) -> None:
        self.count = 0
        self.fails = False
        self.seconds = 0.0

    def __call__(self, python: Path, wanted: Requirements, variables: Any, say: Any, **options: Any) -> None:
        self.count += 1
        time.sleep(self.seconds)
        (packages,) = python.parent.parent.glob("lib/python*/site-packages")
        (packages / "of_a_layer.py").write_text(f"lines = {wanted.lines!r}\n")
        if self.fails:
            raise InstallationFailed("no", where="r", hint="h", command="c", said="s", code=1)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Installed:
    found = Installed()
    monkeypatch.setattr(environments, "install", found)
    return found


OURS = interpreter.ours()
TIMM = requirements_of("timm==1.0", name="requirements.txt")


def ask(kept: Environments, wanted: Requirements = TIMM, **variables: str) -> Path:
    with kept.layer(OURS, wanted, {"PATH": os.environ["PATH"], **variables}, lambda line: None) as place:
        return place


def test_a_layer_is_made_once_and_seen_before_what_lies_below(tmp_path, pip):
    kept = Environments(tmp_path / "environments")
    place = ask(kept)
    assert ask(kept) == place
    assert pip.count == 1
    folder = tmp_path / "job"
    layer.make_layer(folder, layer.with_layer(OURS, place))
    code = "import of_a_layer, numpy, clary, sys; print(of_a_layer.lines, clary.__file__, sys.prefix)"
    command = [str(layer.python_of(folder)), "-c", code]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    import clary

    assert seen == f"('timm==1.0',) {clary.__file__} {folder}\n"


def test_what_a_layer_is_of_tells_it_from_others(tmp_path, pip):
    kept = Environments(tmp_path)
    places = {
        ask(kept),
        ask(kept, requirements_of("timm==1.1", name="requirements.txt")),
        # Another index has other packages under the same names.
        ask(kept, PIP_INDEX_URL="https://elsewhere"),
        ask(kept, MINE="1"),
    }
    assert pip.count == len(places) == 3


def test_environments_with_the_same_packages_share_a_layer(tmp_path, pip):
    """Clones, say: the layer lies over whichever asked for it last."""
    kept = Environments(tmp_path / "environments")
    elsewhere = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "of_below.py").write_text(f"name = {name!r}\n")
        elsewhere.append(replace(OURS, sites=(tmp_path / name, *OURS.sites)))
    with kept.layer(elsewhere[0], TIMM, {}, print) as place, kept.layer(elsewhere[1], TIMM, {}, print) as same:
        assert same == place
    assert pip.count == 1
    code = "import of_below, of_a_layer; print(of_below.name)"
    seen = subprocess.run([str(layer.python_of(place)), "-c", code], capture_output=True, text=True, check=True).stdout
    assert seen == "second\n"
    # And a job's own layer over it sees what it was laid over itself, and nothing of another's.
    folder = tmp_path / "job"
    layer.make_layer(folder, layer.with_layer(elsewhere[0], place))
    seen = subprocess.run([str(layer.python_of(folder)), "-c", code], capture_output=True, text=True, check=True).stdout
    assert seen == "first\n"


def test_without_what_a_package_says_it_needs_is_another_layer(tmp_path, pip):
    kept = Environments(tmp_path)
    alone = requirements_of("timm==1.0", name="requirements.txt", dependencies=False)
    assert ask(kept, alone) != ask(kept)


def test_nothing_half_made_is_taken_for_whole(tmp_path, pip):
    kept = Environments(tmp_path)
    pip.fails = True
    with pytest.raises(InstallationFailed):
        ask(kept)
    assert kept.kept() == []
    # Of one that was killed.
    (lock,) = tmp_path.glob("*.lock")
    left = tmp_path / f"{lock.stem}.build-x"
    left.mkdir()
    pip.fails = False
    assert ask(kept).is_symlink()
    assert not left.exists()


def test_who_asks_meanwhile_waits_for_the_same(tmp_path, pip):
    pip.seconds = 0.2
    kept = Environments(tmp_path)
    places: list[Path] = []
    said: list[str] = []

    def run() -> None:
        with kept.layer(OURS, TIMM, {}, said.append) as place:
            places.append(place)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pip.count == 1
    assert len(places) == 4
    assert len(set(places)) == 1
    others = [line for line in said if " MB in " not in line]
    assert len(said) - len(others) == 1
    assert set(others) <= {
        "Waiting for another job that installs the same requirements.txt",
        "Installed already, for an earlier job or endpoint",  # by a thread that began when the first had ended
    }


def test_what_was_not_used_for_longest_goes_and_what_is_in_use_stays(tmp_path, pip):
    kept = Environments(tmp_path, most=2)
    wanted = [requirements_of(f"a=={number}", name="requirements.txt") for number in range(4)]
    with kept.layer(OURS, wanted[0], {}, lambda line: None) as used:
        second = ask(kept, wanted[1])
        os.utime(second / "used", (1, 1))
        os.utime(used / "used", (0, 0))
        ask(kept, wanted[2])
        assert used.exists()
        assert not second.exists()
        with pytest.raises(UsageError, match="is in use; stop the job that uses it"):
            kept.remove(used.name)
    kept.remove(used.name)
    assert used.name not in {one.key for one in kept.kept()}
    with pytest.raises(UsageError, match="there is no environment"):
        kept.remove(used.name)


def test_too_many_bytes(tmp_path, pip):
    kept = Environments(tmp_path, most_bytes=1)
    ask(kept)
    ask(kept, requirements_of("other", name="requirements.txt"))
    (left,) = kept.kept()
    assert left.requirements == ("other",)
    assert (left.name, left.python) == ("requirements.txt", OURS.version)
    assert left.size > 0


def test_another_interpreter_tells_the_same_of_itself():
    found = interpreter.read_interpreter(Path(sys.executable))
    assert found == OURS
    assert found.fingerprint() == OURS.fingerprint()


def test_a_program_that_is_no_python(tmp_path):
    for program in ("/bin/false", "/bin/echo", str(tmp_path / "gone")):
        with pytest.raises(UsageError, match="is no Python that starts"):
            interpreter.read_interpreter(Path(program))
