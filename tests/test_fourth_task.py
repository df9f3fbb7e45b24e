"""A task of another distribution, without a touch of Clary: trained, interrupted and resumed, evaluated, predicted,
reported and served, by the command line in processes that have the distribution on their path."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

DISTRIBUTION = Path(__file__).parent / "fourth_task"
EPOCHS = 6

# Everything but serving, in one process, since most of each would be spent on loading libraries.
PROGRAM = """
import contextlib, io, json, signal, sys
import clary
from clary.cli.main import main
from clary.errors import InterruptedRun
from clary.vision.base.events import Hook

class Stop(Hook):
    def on_batch(self, event):
        if event.global_step == 5:
            signal.raise_signal(signal.SIGINT)

data, image, epochs = sys.argv[1:]
said = {"whole": clary.train("brightness", data, out="whole", epochs=int(epochs)).metrics}
try:
    clary.train("brightness", data, out="run", epochs=int(epochs), hooks=[Stop()])
except InterruptedRun as error:
    said["interrupted"] = str(error)

def cli(name, *words):
    sys.argv, out, err = ["clary", *words], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
        main()
    said[name], said[name + " error"] = out.getvalue(), err.getvalue()

cli("resumed", "train", "brightness", data, "--out", "run", "--resume")
cli("evaluated", "evaluate", "run", data, "--json")
cli("tables", "evaluate", "run", data)
cli("predicted", "predict", "run", image, "--json")
cli("undrawn", "predict", "run", image, "--output", "drawn")
cli("checked", "data", "check", data, "--task", "brightness")
cli("shown", "data", "show", data, "--out", "sheet.png")
cli("split", "data", "split", data, "again", "--replace")
cli("reported", "report", "run")
cli("refused", "train", "brightnes", data)
print(json.dumps(said))
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(DISTRIBUTION), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gray pictures from black to white, their brightness beside them."""
    folder = tmp_path_factory.mktemp("fourth")
    (folder / "lamps").mkdir()
    lines = []
    for number, level in enumerate(np.random.default_rng(0).permutation(20) * 12 + 10):
        name = f"lamp{number}.png"
        Image.fromarray(np.full((24, 32, 3), level, np.uint8)).save(folder / "lamps" / name)
        split = "test" if number % 5 == 4 else "validation" if number % 5 == 3 else "train"
        lines.append(f"{name},{level / 255:.4f},{split}\n")
    (folder / "lamps" / "brightness.csv").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, Any]:
    """What each command printed."""
    words = [sys.executable, "-c", PROGRAM, "lamps", "lamps/lamp4.png", str(EPOCHS)]
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def weights(archive: Path) -> bytes:
    import tarfile

    with tarfile.open(archive) as tar:
        file = tar.extractfile("model.safetensors")
        assert file
        return file.read()


def test_trained_and_resumed(said, folder):
    assert "stopped at epoch 1, step 2" in said["interrupted"]
    assert weights(folder / "run" / "model.tar.gz") == weights(folder / "whole" / "model.tar.gz")
    reached = said["whole"]["validation:mean_absolute_error"]
    assert f"validation mean_absolute_error {reached:.4f}" in said["resumed"]
    errors = [
        json.loads(line)["validation"]["mean_absolute_error"]
        for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()
        if json.loads(line)["kind"] == "epoch"
    ]
    assert reached == min(errors)  # less is better, and the best epoch was kept
    assert len(errors) == EPOCHS


def test_evaluated(said):
    found = json.loads(said["evaluated"])
    assert found["task"] == "brightness"
    assert found["metrics"].keys() == {"mean_absolute_error", "largest_error"}
    assert "Worst pictures" in said["tables"]
    assert f"off by {found['metrics']['mean_absolute_error']:.4f} on 4 test pictures" in said["tables"]


def test_predicted(said):
    [row] = json.loads(said["predicted"])
    assert row["image"] == "lamps/lamp4.png"
    assert 0 <= row["prediction"]["brightness"] <= 1.5
    assert "a model of this task has nothing to draw" in said["undrawn error"]


def test_its_data(said, folder):
    assert "no errors" in said["checked"]
    assert re.search(r"brightness +12 +4 +4", said["checked"])
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width > 100
    assert len((folder / "again" / "brightness.csv").read_text().splitlines()) == 20


def test_reported(said, folder):
    page = (folder / "run" / "report.html").read_text()
    assert "Mean absolute error on test" in page
    assert "\N{PLUS-MINUS SIGN}0." in page
    assert "Off by 0." in page  # of its own template, with our macros
    assert "Largest_error" in page
    assert "Pictures to train on" in page
    assert "weakest first" not in page
    assert "cannot be shown" not in page
    assert "was not evaluated" not in page


def test_a_name_that_is_wrong(said):
    assert "`brightness`" in said["refused error"]


@pytest.fixture(scope="module")
def address(said, folder) -> Iterator[str]:
    words = [sys.executable, "-m", "clary", "serve", "run", "--port", "0"]
    with subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            found = (re.search(r"serving at (\S+)", line) for line in server.stdout)
            yield next(match[1] for match in found if match)
        finally:
            server.terminate()


def test_served(address, folder):
    body = (folder / "lamps" / "lamp4.png").read_bytes()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert json.load(answer).keys() == {"brightness"}
    with urllib.request.urlopen(address, timeout=60) as page:
        assert 'TASK = "brightness"' in page.read().decode()
