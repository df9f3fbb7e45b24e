"""Reading a run: numbers, torn lines, what is not there yet."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import clary
from clary.errors import UsageError
from clary.local.run import Run, list_runs
from clary.local.run_lock import held
from clary.vision.training.records import OtherRecord


def write_lines(run, *records):
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def epoch(number, accuracy=0.5, **more):
    return {"kind": "epoch", "epoch": number, "train": {"accuracy": accuracy}, "validation": {}, **more}


def test_a_finished_run_in_numbers(colour_run):
    run = Run.open(colour_run)
    assert run.finished
    assert run.model == colour_run / "model.tar.gz"
    assert [record["epoch"] for record in run.history] == [0, 1, 2]
    assert run.metrics == {
        "epochs": 3,
        "best_epoch": 1,
        "seconds": 6.5,
        "reason": "completed",
        "precision": "bf16",
        "precision_reason": "asked for",
        "train:accuracy": pytest.approx(0.95),
        "train:loss": pytest.approx(0.1),
        "validation:accuracy": pytest.approx(0.9),
        "validation:loss": pytest.approx(0.2),
    }
    assert run.log.startswith("Epoch[0] Train-accuracy=")
    assert run.config["network"] == "strongest colour"
    assert run.problems == ()


def test_a_run_is_taken_wherever_a_path_is(colour_run):
    run = Run(colour_run)
    assert os.fspath(run) == str(colour_run)
    assert Run(run).path == Run.open(run).path == colour_run
    with clary.load(run, engine="onnxruntime") as model:
        assert model.manifest.task == "classification"


def test_without_its_end_the_best_epoch_is_the_last_marked(colour_run):
    text = (colour_run / "metrics.jsonl").read_text().splitlines()
    (colour_run / "metrics.jsonl").write_text("\n".join(text[:3]) + "\n")
    numbers = Run(colour_run).metrics
    assert (numbers["best_epoch"], numbers["seconds"], numbers["validation:accuracy"]) == (1, 6.0, 0.9)
    assert "reason" not in numbers


def test_a_torn_last_line_is_left_out(colour_run):
    path = colour_run / "metrics.jsonl"
    path.write_text(path.read_text() + '{"kind": "epoch", "epoch": 3, "tra')
    run = Run(colour_run)
    assert len(run.history) == 3
    assert run.problems == ()


def test_a_torn_line_within_is_named(colour_run):
    path = colour_run / "metrics.jsonl"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first, '{"kind": "epo', *rest]) + "\n")
    run = Run(colour_run)
    assert len(run.history) == 3
    assert [problem.where for problem in run.problems] == [f"{path}:2"]


def test_an_epoch_done_again_counts_once(tmp_path):
    write_lines(tmp_path, epoch(0, 0.1), epoch(1, 0.2), epoch(1, 0.3), epoch(2, 0.4))
    assert [record["train"]["accuracy"] for record in Run(tmp_path).history] == [0.1, 0.3, 0.4]


def test_a_diverged_loss_is_a_number_too(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"kind": "epoch", "epoch": 0, "train": {"loss": NaN}, "best": true}\n')
    assert math.isnan(Run(tmp_path).metrics["train:loss"])


def test_before_the_first_epoch_there_are_no_numbers(tmp_path):
    run = Run(tmp_path)
    assert run.metrics == {}
    assert run.history == []
    assert run.log == ""


def test_no_model_before_the_end(colour_run):
    (colour_run / "model.tar.gz").unlink()
    with pytest.raises(UsageError, match=r"has no model yet, no epoch has ended; go on with `clary train --resume "):
        _ = Run(colour_run).model


@pytest.mark.parametrize(("make", "complaint"), [(False, "no such folder"), (True, "is not a run")])
def test_what_is_no_run_is_refused(tmp_path, make, complaint):
    path = tmp_path / "somewhere"
    if make:
        path.mkdir()
    with pytest.raises(UsageError, match=complaint):
        Run.open(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"'])
def test_a_damaged_configuration_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=r"config\.json"):
        _ = Run(tmp_path).config


def test_shown_in_one_line_and_as_a_table(colour_run):
    run = Run(colour_run)
    assert repr(run) == (
        f"Run({str(colour_run)!r}, state=finished, epochs=3, train:accuracy=0.9500, "
        "validation:accuracy=0.9000, seconds=6.5)"
    )
    assert "<td>0.9000</td>" in run._repr_html_()


def test_the_name_of_a_run_is_escaped_in_a_notebook(tmp_path):
    assert "<script>" not in Run(tmp_path / "<script>")._repr_html_()


def test_what_is_no_run_can_still_be_shown(tmp_path):
    assert repr(Run(tmp_path / "nothing")).endswith("state=not a run)")


LINES = st.one_of(
    st.text(max_size=40),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["epoch", "batch", "run"])},
        optional={
            "epoch": st.one_of(st.integers(0, 5), st.none(), st.text(max_size=3)),
            "train": st.one_of(st.none(), st.integers(), st.dictionaries(st.text(max_size=3), st.floats() | st.text())),
            "best": st.booleans(),
            "seconds": st.one_of(st.none(), st.floats(0, 9), st.text(max_size=2)),
            "best_epoch": st.integers(0, 5),
        },
    ).map(json.dumps),
)


@settings(max_examples=100, deadline=None)
@example([json.dumps(epoch(0)), json.dumps({"kind": "run", "seconds": "x"}), ""])
@example([json.dumps(epoch(0, seconds="x")), ""])
@given(st.lists(LINES, max_size=6))
def test_any_lines_can_be_read(tmp_path_factory, lines):
    """Whatever stands in the file, reading gives records, and numbers when there is an epoch."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "config.json").write_text("{}")
    run = Run(folder)
    assert bool(run.metrics) == bool(run.history)
    assert repr(run)
    assert [record["epoch"] for record in run.history] == sorted({record["epoch"] for record in run.history})


# States, and lists of runs


def test_a_run_is_data(colour_run):
    """Looking at a run writes and measures nothing."""
    before = sorted(path.name for path in colour_run.iterdir())
    run = Run(colour_run)
    for name in (name for name in dir(Run) if isinstance(getattr(Run, name), property) and name != "report"):
        getattr(run, name)
    with pytest.raises(UsageError, match=r"has no report\.html yet; write it: `clary\.report\(run\)`"):
        _ = run.report
    assert not hasattr(run, "report")
    assert sorted(path.name for path in colour_run.iterdir()) == before


def test_the_state_of_a_run(colour_run):
    def state():
        return Run(colour_run).state

    assert state() == "finished"
    (colour_run / "model.tar.gz").unlink()
    assert state() == "interrupted"
    (colour_run / "output").mkdir(exist_ok=True)
    (colour_run / "output" / "failure").write_text("AlgorithmError: the loss is nan")
    assert state() == "failed"
    with held(colour_run / "config.json"):
        assert state() == "running"
        with pytest.raises(UsageError, match="another process is training this run"), held(colour_run / "config.json"):
            pass
    assert state() == "failed"


def test_the_killed_do_not_run(colour_run):
    """The kernel drops the lock with the process."""
    Run(colour_run).model.unlink()
    code = "import sys, time; from pathlib import Path; from clary.local.run_lock import held\n"
    code += "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(colour_run / "config.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert Run(colour_run).state == "running"
        process.kill()
        process.wait()
    assert Run(colour_run).state == "interrupted"


def test_runs_of_a_folder_the_newest_first(tmp_path):
    for name, started in (("a", "2026-01-02T00:00:00+00:00"), ("b", "2026-01-03T00:00:00+00:00"), ("c", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"started": started} if started else {}))
    os.utime(tmp_path / "c" / "config.json", (0, 0))  # of an older version, which did not write down when
    (tmp_path / "no run").mkdir()
    (tmp_path / "file").touch()
    assert [run.name for run in list_runs(tmp_path)] == ["b", "a", "c"]
    assert [run.name for run in list_runs(tmp_path / "a")] == ["a"]
    with pytest.raises(UsageError, match="no such folder"):
        list_runs(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not a folder"):
        list_runs(tmp_path / "file")


def test_the_metric_a_run_is_judged_by(tmp_path):
    assert Run(tmp_path).main_metric is None
    write_lines(tmp_path, epoch(0, 0.25))
    assert Run(tmp_path).main_metric == ("train:accuracy", 0.25)
    write_lines(tmp_path, epoch(0, 0.25) | {"validation": {"mAP": 0.5}})
    assert Run(tmp_path).main_metric == ("validation:mAP", 0.5)


def test_what_a_newer_version_wrote_is_kept(tmp_path):
    write_lines(tmp_path, epoch(0, energy=3.5), {"kind": "weather", "rain": True})
    run = Run(tmp_path)
    assert run.history[0]["energy"] == 3.5
    assert run.records[1] == OtherRecord(kind="weather", others={"rain": True})
    assert run.problems == ()
