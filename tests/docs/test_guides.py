"""The guides and the README do what they say: their blocks are run in order, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.toolkit import tensorflow_environment

from clary.client import gateway
from clary.control import home

ROOT = Path(__file__).parents[2]
GUIDES = (
    *("data", "train", "detect", "segment", "serve", "platform", "scripts"),
    *("serve-code", "serve-tensorflow", "tensorflow", "processing"),
)
PAGES = ["README.md", *(f"docs/guides/{name}.md" for name in GUIDES)]
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)

# Not to be run here: they install, serve until stopped (tests/cli/test_serve.py does that), or change a shell.
LEFT_OUT = ("git clone", "make ", ". .venv", "clary serve", "clary lab", "eval ")

TENSORS = ("data", "train", "evaluate", "predict", "report")  # verbs that load them


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page: str, tmp_path: Path, forking: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if page.endswith("serve-tensorflow.md"):
        monkeypatch.setenv("CLARY_ENVIRONMENTS", str(tensorflow_environment.require()))
    run(tmp_path, ["clary", "data", "draw", "pets", "--pictures", "60"], forking)
    for name, image in zip(("cat.jpg", "dog.png"), sorted((tmp_path / "pets/images").glob("*.jpg")), strict=False):
        shutil.copy(image, tmp_path / name)
    if "data draw pets" in (ROOT / page).read_text():
        shutil.rmtree(tmp_path / "pets")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    blocks = BLOCK.findall((ROOT / page).read_text())
    assert blocks
    transcripts = transcripts_of((ROOT / page).read_text())
    try:
        for language, text in blocks:
            for command in [["python", "-c", text]] if language == "python" else commands(text):
                run(tmp_path, command, forking)
                compare(command, transcripts, (tmp_path / "output").read_text())
        assert not transcripts, "of commands that the page does not give"
    finally:
        if home.held(tmp_path / "home"):
            gateway.stop(tmp_path / "home")


def test_excerpts_are_what_the_examples_say() -> None:
    """A block of `py` is a part of a program that needs an environment of its own; tests/sdk runs the whole."""
    examples = [path.read_text() for path in (ROOT / "examples").rglob("*.py")]
    pages = [*PAGES, "docs/guides/around.md"]
    excerpts = [text for page in pages for text in re.findall(r"```py\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)]
    assert excerpts
    assert all(any(text in example for example in examples) for text in excerpts)


def transcripts_of(text: str) -> dict[tuple[str, ...], list[str]]:
    """What a page shows of the output of commands: blocks of ``text`` with one behind a ``$``.

    Those with several are a talk with a server, which tests of their own hold (tests/cli/test_serve.py, tests/sdk).
    """
    blocks = re.findall(r"```text\n\$ (.*?)\n(.*?)```", text, re.DOTALL)
    found = {tuple(shlex.split(command)): output.splitlines() for command, output in blocks}
    return {command: lines for command, lines in found.items() if not any(line.startswith("$ ") for line in lines)}


def compare(command: list[str], transcripts: dict[tuple[str, ...], list[str]], output: str) -> None:
    """Each line of the page's transcript is one that was printed, but for numbers, and none is left out."""
    if expected := transcripts.pop(tuple(command), None):
        shapes, printed = [shape(line) for line in expected], [shape(line) for line in output.splitlines()]
        # What libraries say of themselves when the process ends comes after.
        end = printed.index(shapes[-1]) + 1
        assert [one for one in printed[:end] if one] == shapes


def shape(line: str) -> str:
    """A line without what another machine, or another moment, prints otherwise; empty for one that may be missing."""
    if line.startswith("busy: "):
        return ""
    line = re.sub(r"; [^;]*; (bf16|fp32)\b.*|\bbest\b(?! epoch)", "", line)
    line = re.sub(r"\d[\d.,]*", "#", re.sub(r"\d+ min ", "", line))
    return " ".join(line.split()).replace(" ;", ";")


def commands(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(LEFT_OUT)]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture(scope="module")
def forking() -> Iterator[subprocess.Popen[str]]:
    """See forking.py."""
    command = [sys.executable, str(Path(__file__).with_name("forking.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.communicate()


def run(folder: Path, command: list[str], forking: subprocess.Popen[str]) -> None:
    """Run a command of a page in ``folder``; one that uses tensors in a fork of a process that has loaded them."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = os.environ | {"PATH": path, "CLARY_HOME": str(folder / "home"), "CLARY_PORT": "0"}
    output = folder / "output"
    if (command[0] == "clary" and command[1] in TENSORS) or command[:2] == ["python", "-c"]:
        argv = command if command[0] == "clary" else command[1:]
        request = {"argv": argv, "cwd": str(folder), "environment": environ, "output": str(output)}
        assert forking.stdin
        assert forking.stdout
        forking.stdin.write(json.dumps(request) + "\n")
        forking.stdin.flush()
        code = int(forking.stdout.readline())
    else:
        program = {"clary": [sys.executable, "-m", "clary"], "python": [sys.executable]}[command[0]]
        with output.open("w") as to:
            code = subprocess.run([*program, *command[1:]], cwd=folder, env=environ, stdout=to, stderr=to).returncode
    assert code == 0, f"{' '.join(command)}\n{output.read_text()}"
