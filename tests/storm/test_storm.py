"""A short part of `make storm`: each kind of weather for a round or two, of fixed seeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

# Of requests one round without signatures, and one with them.
ROUNDS = {"requests": 2, "files": 2, "kills": 1, "disk": 1}


def storm(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.storm", *map(str, words)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROUNDS)
def test_nothing_is_found(kind: str) -> None:
    done = storm("--only", kind, "--rounds", ROUNDS[kind], "--seed", 0)
    if "left out: " in done.stdout:
        pytest.skip(done.stdout.partition("left out: ")[2].splitlines()[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was found" in done.stdout
