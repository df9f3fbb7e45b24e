"""examples/prepare.py, as one meets it first: told what is wrong in a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "examples" / "prepare.py"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", "out"], "nowhere is not a folder; name one with a folder of pictures for each class"),
        (["empty", "out"], "empty holds no pictures of known classes"),
        (["empty", "taken"], "taken holds channels already; name a new folder"),
        (["empty"], "usage: python prepare.py PICTURES FOLDER"),
    ],
    ids=["no folder", "no pictures", "twice", "one word"],
)
def test_mistakes(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken" / "train").mkdir(parents=True)
    ended = subprocess.run([sys.executable, PROGRAM, *words], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"{told}\n")
