"""`clary train` as a user types it."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import clary
from clary.cli import training_progress
from clary.cli.training_progress import bar, lines
from clary.local import evaluate as local_evaluate
from clary.local.evaluate import Evaluation
from clary.vision.base.events import BatchEnd, EpochEnd, Preparation, RunEnd, RunStart, ValidationBatchEnd
from clary.vision.base.other_programs import OtherPrograms, Sharing

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = [
    word
    for setting in (
        "backbone=test_resnet",
        "use_pretrained_model=0",
        "image_shape=3,32,32",
        "mini_batch_size=4",
        "learning_rate=0.01",
        "optimizer=sgd",
        "precision=fp32",
    )
    for word in ("--set", setting)
]
Cli = Callable[..., tuple[int, str, str]]


def mistake(err: str) -> list[str]:
    """What is said beside the phases that were gone through until then."""
    return [line for line in err.splitlines() if not line.startswith(("reading pictures", "checking pictures"))]


@pytest.fixture
def images(tmp_path: Path, colours: Callable[..., Path]) -> Path:
    return colours(tmp_path / "colours", {"train": 5})


def test_folder_becomes_a_model(cli: Cli, images: Path, tmp_path: Path) -> None:
    code, out, _ = cli("train", "classification", images, "--out", tmp_path / "run", "--epochs", 2, *QUICK)
    assert code == 0
    first, *rest = out.splitlines()
    assert first.startswith("validation accuracy ")
    assert " of 2), " in first
    assert rest[0] == f"model:  {tmp_path / 'run' / 'model.tar.gz'}"
    assert rest[1] == f"report: {tmp_path / 'run' / 'report.html'}"
    assert (tmp_path / "run" / "report.html").is_file()
    assert f"clary predict {tmp_path / 'run'} PICTURE..." in rest[2]
    assert "Epoch[1] Validation-accuracy=" in clary.Run(tmp_path / "run").log


def test_options_are_settings(cli: Cli, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--seed", 5, "--validation", 0.4, "--set", "epochs=1", "--set", "lr_schedule=factor"]
    assert cli("train", "classification", "colours", *words, *QUICK)[0] == 0
    config = clary.Run("runs/colours-1").config
    assert config["seed"] == 5
    assert config["dataset"]["counts"]["validation"] == [2, 2, 2]
    assert (config["hyperparameters"]["epochs"], config["hyperparameters"]["lr_schedule"]) == (1, "factor")


def test_without_validation(cli: Cli, images: Path, tmp_path: Path) -> None:
    words = ["--out", tmp_path / "run", "--epochs", 1, "--validation", 0]
    code, out, _ = cli("train", "classification", images, *words, *QUICK)
    assert code == 0
    assert out.startswith("trained on all pictures (epoch 1 of 1), ")


def test_setting_given_twice_alike_is_no_mistake(cli: Cli, images: Path, tmp_path: Path) -> None:
    words = ["--out", tmp_path / "run", "--epochs", 1, "--set", "epochs=1"]
    assert cli("train", "classification", images, *words, *QUICK)[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "learning_rate"], "`--set learning_rate` is not NAME=VALUE; write it as --set learning_rate=0.01"),
        (["--set", "=3"], "`--set =3` is not NAME=VALUE"),
        (["--set", "learning_rte=1"], "there is no setting `learning_rte`, did you mean 'learning_rate'?"),
        (["--set", "lr=1"], "there is no setting `lr`, did you mean 'learning_rate'?"),
        (["--set", "learning_rate=2"], "learning_rate=2: expects a number between 0 and 1"),
        (["--set", "learning_rate="], "learning_rate=: expects a number between 0 and 1"),
        (["--set", "out=x"], "there is no setting `out`"),
        (["--set", "dataset=x"], "there is no setting `dataset`"),
        (["--set", "seed=x"], "seed=x: expects an integer between 0 and 4294967295"),
        (["--epochs", "3", "--set", "epochs=4"], "`epochs` is given twice; give it once, as an option or with --set"),
        (["--seed", "3", "--set", "seed=4"], "`seed` is given twice"),
        (["--epochs", "0"], "epochs=0: expects an integer greater than or equal to 1"),
        (["--validation", "1"], "use 0 <= fraction < 1"),
        (["--resume"], "there is no run to resume; start it without --resume"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_one_line_and_exit_code_2(
    words: list[str], sentence: str, cli: Cli, images: Path, tmp_path: Path
) -> None:
    code, out, err = cli("train", "classification", images, "--out", tmp_path / "run", *words)
    assert (code, out) == (2, "")
    (line,) = mistake(err)
    assert line.startswith("clary: ")
    assert sentence in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["recognition", "colours"], "unknown algorithm `recognition`"),
        (["classification", "nowhere"], "nowhere"),
        (["classification", "colours", "--out", "colours"], "colours: already exists; give another --out"),
    ],
    ids=["algorithm", "data set", "folder"],
)
def test_what_is_not_there_or_is_already(
    words: list[str], sentence: str, cli: Cli, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("train", *words)
    assert (code, out) == (2, "")
    (line,) = mistake(err)
    assert sentence in line
    assert not Path("runs").exists()


def test_loss_that_is_no_number_is_exit_code_1(cli: Cli, images: Path, tmp_path: Path) -> None:
    burst = [word for text in ("optimizer=rmsprop", "learning_rate=1", "eps=0", "gamma=1") for word in ("--set", text)]
    code, _, err = cli("train", "classification", images, "--out", tmp_path / "run", "--epochs", 3, *QUICK, *burst)
    assert code == 1
    assert err.splitlines()[-1].startswith("clary: epoch 0, ")
    assert err.splitlines()[-1].endswith("the loss is nan; lower `learning_rate`")


def start(images: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "clary", "train", "classification", str(images), "--out", str(out), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_saves_says_how_to_go_on_and_goes_on(
    number: signal.Signals, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with start(images, out, "--epochs", "60", *QUICK) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch  2/60: "):
                process.send_signal(number)
                break
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    last = rest.splitlines()[-1]
    assert last.startswith("clary: stopped at epoch ")
    assert f"everything is saved; go on with `clary train --resume {out}`" in last
    assert f"the best epoch so far predicts: `clary predict {out} PICTURE...`" in last
    assert not (out / "model.tar.gz").exists()
    with start(images, out, "--resume") as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "; resumed at step " in err
    assert clary.Run(out).metrics["epochs"] == 60
    assert clary.Run(out).model.is_file()


def test_run_goes_on_by_its_folder_alone(cli: Cli, images: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli("train", "classification", images, "--out", run, "--epochs", 1, *QUICK)[0] == 0
    code, _, err = cli("train", "--resume", run)
    assert (code, err.count("\n")) == (2, 1)
    assert err.endswith(f"this run has finished already; give it more with `clary train --resume {run} --epochs 2`\n")
    code, out, _ = cli("train", "--resume", run, "--epochs", 2)
    assert code == 0
    assert " of 2), " in out
    assert (run / "model.1-epochs.tar.gz").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give what to train and on which pictures; `clary train classification PICTURES`, or"),
        (["classification"], "give what to train and on which pictures; `clary train classification PICTURES`, or"),
        (["--resume"], "a run to resume is not named; write `clary train --resume RUN`"),
        (["--resume", "run", "--out", "other"], "a run to resume is not named; write `clary train --resume RUN`"),
        (
            ["--resume", "run", "--seed", "3"],
            "a run goes on with the settings it was started with; give --epochs alone",
        ),
        (["--resume", "run"], "run: there is no run to resume; start it without --resume"),
    ],
)
def test_what_is_not_named_is_asked_for(words: list[str], sentence: str, cli: Cli) -> None:
    code, out, err = cli("train", *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.1, 0.3, 1.0])
def test_ctrl_c_at_once_is_one_line(seconds: float, images: Path, tmp_path: Path) -> None:
    """While modules are loaded, whenever that is."""
    # By the kernel's clock: a thread would wait for the same lock as the imports.
    code = "import signal\nsignal.signal(signal.SIGALRM, signal.default_int_handler)\n"
    code += f"from clary.__main__ import main\nsignal.setitimer(signal.ITIMER_REAL, {seconds})\nmain()"
    words = ["train", "classification", str(images), "--out", str(tmp_path / "run"), *QUICK]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("clary: stopped")


# What a newcomer meets


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["clasification", "colours"], "unknown algorithm `clasification`; did you mean `classification`?"),
        (["objects", "colours"], "unknown algorithm `objects`; choose one of `classification`, "),
        (["colours"], "what to train comes before the pictures; `clary train classification colours`"),
        (["colours", "detection"], "what to train comes before the pictures; `clary train detection colours`"),
        (["classification"], "give what to train and on which pictures; `clary train classification PICTURES`, or "),
        (["classification", "colours", "--epoch", "2"], "no such option: --epoch; did you mean --epochs?"),
        (["classification", "colours", "--xyz"], "no such option: --xyz; `clary train --help` says what there is"),
    ],
    ids=["typo", "unknown", "pictures alone", "order", "no pictures", "option", "unknown option"],
)
def test_slip_is_one_line_with_what_was_meant(
    words: list[str], line: str, cli: Cli, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    code, out, err = cli("train", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"clary: {line}")


@pytest.mark.parametrize("out", [["--out", "/proc/none/run"], []], ids=["out", "runs"])
def test_folder_that_cannot_be_made(
    out: list[str], cli: Cli, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").write_text("a file")
    monkeypatch.chdir(tmp_path)
    code, _, err = cli("train", "classification", images, *out)
    (line,) = mistake(err)
    assert code == 2
    assert line.startswith(f"clary: {out[1] if out else 'runs'}: cannot be made (")
    assert line.endswith("; choose a folder you may write to with --out")


# What is shown


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with nothing else to do, and a terminal of 120 columns."""
    monkeypatch.setattr(OtherPrograms, "sharing", lambda self: None)
    monkeypatch.setenv("COLUMNS", "120")


def test_lines_go_to_standard_error(alone: None, capsys: pytest.CaptureFixture[str]) -> None:
    with lines() as (listener,):
        listener.on_preparation(Preparation("checking pictures", 0, 240))
        listener.on_start(RunStart(None, None, 2, 3, 0, "fp32"))
    assert capsys.readouterr() == ("", "checking pictures (240)\nstart: fp32\n")


def test_bar_tells_each_epoch(alone: None, capsys: pytest.CaptureFixture[str]) -> None:
    with bar() as (hook,):
        hook.on_start(RunStart(None, None, 2, 3, 0, "bf16", precision_reason="known", network_name="resnet18"))
        for step in range(3):
            hook.on_batch(BatchEnd(0, step, step + 1, 0.5, 0.1, 8 * (step + 1), 1.0, {"accuracy": 0.5}))
        hook.on_epoch(EpochEnd(0, {"accuracy": 0.5, "loss": 1.5}, {"accuracy": 0.625}, 1.25, 0.1, True))
        hook.on_epoch(EpochEnd(1, {"accuracy": 0.75, "loss": 0.5}, {"accuracy": 0.5}, 1.25, 0.1, False))
    out, err = capsys.readouterr()
    assert out == ""
    said = [line.rstrip() for line in err.splitlines()]
    assert "resnet18 · bf16" in said
    assert not any("known" in line for line in said)
    # Each below the other, whether best or not.
    assert "epoch 1/2   train accuracy 0.5000 loss 1.500   validation accuracy 0.6250  best   1.2 s" in said
    assert "epoch 2/2   train accuracy 0.7500 loss 0.500   validation accuracy 0.5000         1.2 s" in said


@pytest.mark.parametrize(
    ("train", "validation", "line"),
    [
        (
            {"loss": 1.5, "cross_entropy": 1.0},
            {"loss": 1.25, "mAP": 0.5},
            "train loss 1.500   validation mAP 0.5000 loss 1.250",
        ),
        ({"loss": 1.5}, {"loss": 1.25, "mIOU": 0.5}, "train loss 1.500   validation mIOU 0.5000 loss 1.250"),
    ],
    ids=["detection", "segmentation"],
)
def test_bar_tells_what_the_task_is_judged_by(
    train: dict[str, float],
    validation: dict[str, float],
    line: str,
    alone: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bar() as (hook,):
        hook.on_start(RunStart(None, None, 1, 3, 0, "fp32"))
        hook.on_epoch(EpochEnd(0, train, validation, 1.25, 0.1, False))
    assert f"epoch 1/1   {line}         1.2 s" in capsys.readouterr().err


def test_bar_shows_how_far_each_phase_is(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(
        training_progress, "Console", lambda stderr: Console(file=stream, force_terminal=True, width=100)
    )

    def shown() -> str:
        assert isinstance(hook, training_progress._Bar)
        hook._progress.refresh()
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
        stream.truncate(stream.seek(0))
        return " ".join(text.split())

    with bar() as (hook,):
        for event, text in (
            (Preparation("reading pictures"), "reading pictures"),
            (Preparation("checking pictures", 120, 2400), "120/2,400"),
            (Preparation("trying bf16 and fp32", 5), "trying bf16 and fp32"),
        ):
            hook.on_preparation(event)
            found = shown()
            assert event.what in found
            assert text in found
        monkeypatch.setattr(OtherPrograms, "sharing", lambda self: Sharing(2, 1.8, 2))
        hook.on_start(RunStart(None, None, 4, 9, 0, "fp32"))
        assert "2 other programs are busy on this machine (1.8 of 2 cores)" in shown()
        hook.on_batch(BatchEnd(1, 2, 12, 0.5, 0.1, 24, 1.0))
        found = shown()
        assert "epoch 2/4" in found
        assert "12/36 24 pictures/s loss 0.500" in found
        hook.on_validation_batch(ValidationBatchEnd(1, 0, 8, 1.0))
        assert "epoch 2/4 validation" in shown()
        hook.on_end(RunEnd("completed", 4, 3, 1.0))
        assert "writing the model" in shown()
    # Nothing of the bar stays.
    assert "writing" not in stream.getvalue().splitlines()[-1]


def test_what_the_test_split_says_is_told_as_evaluate_gives_it(
    cli: Cli, colours: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = colours(tmp_path / "colours", {"train": 4, "test": 2}), tmp_path / "run"
    measured: list[Evaluation] = []
    monkeypatch.setattr("clary.local.evaluate._evaluate", kept(local_evaluate._evaluate, measured))
    code, out, err = cli("train", "classification", data, "--out", run, "--epochs", 1, *QUICK)
    assert code == 0, err
    # For the line and for the report.
    assert len(measured) == 1
    line = next(line for line in out.splitlines() if line.startswith("test:   "))
    assert "testing: 6 of 6" in err.splitlines()
    # Nothing was validated: it is what the list of runs and a notebook show.
    accuracy = measured[0].metrics["accuracy"]
    assert clary.Run(run).main_metric == ("test:accuracy", accuracy)
    assert f"test:accuracy {accuracy:.4f}" in cli("runs", tmp_path)[1]
    assert f"test:accuracy={accuracy:.4f}" in repr(clary.Run(run))
    assert "end: last epoch 1 of 1" in err
    code, out, _ = cli("evaluate", run, data, "--split", "test")
    assert code == 0
    assert out.splitlines()[-1].startswith(line.removeprefix("test:   "))


def kept(function: Callable[..., Evaluation], found: list[Evaluation]) -> Callable[..., Evaluation]:
    def call(*arguments: Any) -> Evaluation:
        found.append(function(*arguments))
        return found[-1]

    return call


def test_without_a_terminal_there_are_lines_of_ours(cli: Cli, images: Path, tmp_path: Path, alone: None) -> None:
    code, out, err = cli("train", "classification", images, "--out", tmp_path / "run", "--epochs", 2, *QUICK)
    assert code == 0
    assert out.count("model:") == 1  # and none among the lines, which whoever reads both would see twice
    shapes = (
        "reading pictures",
        "loading PyTorch",
        "loading the network",
        r"start: pictures: 12 train, 3 validation; 3 classes; test_resnet; random weights; CPU, 1 thread; fp32",
        r"decoding pictures \(4 of 12\)",
        r"epoch 1/2: train accuracy 0\.\d{4} loss \d+\.\d{3}; validation accuracy 0\.\d{4} loss \S+ best; \S+ s; "
        r"\S+ pictures/s",
        r"epoch 2/2: train .*; validation .*",
        r"end: best epoch \d of 2, \S+ s",
        "writing the model",
    )
    assert "note: train: class `red` has only 4 pictures; give each class 5 or more" in err.splitlines()
    found = [line for line in err.splitlines() if not line.startswith(("checking pictures", "note: "))]
    assert len(found) == len(shapes), found
    for line, shape in zip(found, shapes, strict=True):
        assert re.fullmatch(shape, line)


def test_going_on_from_a_model(cli: Cli, images: Path, tmp_path: Path) -> None:
    assert cli("train", "classification", images, "--out", tmp_path / "first", "--epochs", 1, *QUICK)[0] == 0
    words = ["--model", tmp_path / "first", "--out", tmp_path / "second", "--epochs", 1]
    code, _, err = cli("train", "classification", images, *words, *QUICK)
    assert code == 0
    assert "Start training from the model in the model channel." in clary.Run(tmp_path / "second").log
    code, _, err = cli("train", "classification", images, "--model", tmp_path / "none", *QUICK)
    assert (code, err) == (2, f"clary: {tmp_path / 'none'}: there is no such model; name a run or a model.tar.gz\n")
