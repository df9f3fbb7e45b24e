"""What every algorithm keeps: it trains a job directory, resumes exactly, leaves a model that opens, fails with a note.

A member subclasses ``AlgorithmContract`` and gives ``make_job``. An algorithm of another distribution may do the same.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from clary.errors import CustomerError, InterruptedRun
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.run import main, run_job
from clary.vision.base.events import BatchEnd, Hook
from clary.vision.base.jobdir import JobDir
from clary.vision.base.spec import AnySpec
from clary.vision.inference.predictor import load
from clary.vision.training.stopping import StopRequest


class StopAfter(Hook):
    """Asks for a stop at the end of step ``step``, counted from 1 over the run."""

    def __init__(self, stop: StopRequest, step: int) -> None:
        self._stop, self._step = stop, step

    def on_batch(self, event: BatchEnd) -> None:
        if event.global_step == self._step:
            self._stop()


class Finished:
    """A job that ran to its end, and what it printed."""

    def __init__(self, job: JobDir, lines: list[str]) -> None:
        self.job, self.lines = job, lines

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.job.metrics.read_text().splitlines()]

    @property
    def numbers(self) -> list[dict[str, Any]]:
        """The records without what a clock says."""
        clocks = ("seconds", "samples_per_second")
        return [{name: value for name, value in r.items() if name not in clocks} for r in self.records]

    @property
    def weights(self) -> bytes:
        return (self.job.model / "model.safetensors").read_bytes()


def run(spec: AnySpec, job: JobDir) -> Finished:
    lines: list[str] = []
    run_job(spec, job, JobLog(echo=lines.append))
    return Finished(job, lines)


@pytest.mark.usefixtures("one_thread")
class AlgorithmContract:
    """``spec`` and ``make_job`` are what a member gives; its job trains for four steps or so, within seconds."""

    spec: ClassVar[AnySpec]

    @classmethod
    def make_job(cls, root: Path) -> JobDir:
        """A job directory with all channels and settings that are needed, on a handful of pictures."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
        return run(cls.spec, cls.make_job(tmp_path_factory.mktemp("finished")))

    @pytest.fixture
    def job(self, tmp_path: Path) -> JobDir:
        return self.make_job(tmp_path / "job")

    # The description

    def test_description_is_whole(self) -> None:
        names = [h.name for h in self.spec.hyperparameters]
        assert len(names) == len(set(names))
        assert all(h.meaning and h.kind.expectation() and h.kind.allowed() for h in self.spec.hyperparameters)
        assert all(h.default is None for h in self.spec.hyperparameters if h.required)
        assert sum(metric.objective for metric in self.spec.metrics) == 1
        assert all(re.compile(metric.pattern).groups == 1 for metric in self.spec.metrics)
        assert all(channel.content_types for channel in self.spec.channels)

    def test_our_defaults_and_the_recommended_ranges_are_valid(self) -> None:
        for name, text in (self.spec.local_defaults or {}).items():
            self.spec[name].parse(text)
        for h in self.spec.hyperparameters:
            if h.tunable:
                for text in h.tunable.values or (f"{h.tunable.low:g}", f"{h.tunable.high:g}"):
                    h.parse(text)

    # Training

    def test_loss_is_finite_and_counted(self, finished: Finished) -> None:
        epochs = [record for record in finished.records if record["kind"] == "epoch"]
        assert len(epochs) >= 2
        assert [record["epoch"] for record in epochs] == list(range(len(epochs)))
        assert all(math.isfinite(record["train"]["loss"]) for record in epochs)
        assert all(math.isfinite(record["validation"]["loss"]) for record in epochs)
        assert finished.records[-1]["kind"] == "run"
        assert finished.records[-1]["reason"] == "completed"

    def test_same_job_gives_the_same_numbers(self, finished: Finished, job: JobDir) -> None:
        again = run(self.spec, job)
        assert again.numbers == finished.numbers
        assert again.weights == finished.weights

    @pytest.mark.parametrize("step", [1, 2])
    def test_stopped_and_resumed_job_equals_an_unbroken_one(self, step: int, finished: Finished, job: JobDir) -> None:
        stop, lines = StopRequest(), list[str]()
        with pytest.raises(InterruptedRun):
            run_job(self.spec, job, JobLog(echo=lines.append), [StopAfter(stop, step)], stop)
        assert "everything is saved" in lines[-1]
        assert not job.failure.exists()
        assert not (job.model / "manifest.json").exists()
        resumed = run(self.spec, job)
        assert any(f"Resuming from the checkpoint at step {step}" in line for line in resumed.lines)
        assert resumed.numbers == finished.numbers
        assert resumed.weights == finished.weights

    def test_declared_metrics_are_found_in_the_log(self, finished: Finished) -> None:
        text = "\n".join(finished.lines)
        epochs = [record for record in finished.records if record["kind"] == "epoch"]
        for metric in self.spec.metrics:
            found = [float(value) for value in re.findall(metric.pattern, text)]
            assert len(found) == len(epochs), metric.name
            split, _, name = metric.name.partition(":")
            if name in epochs[0].get(split, {}):
                assert found == pytest.approx([record[split][name] for record in epochs], abs=1e-6)

    def test_log_begins_with_the_configuration(self, finished: Finished) -> None:
        texts = [line.partition("] ")[2] for line in finished.lines[:3]]
        assert texts[0].startswith("Reading default configuration from ")
        assert texts[1].startswith("Merging with provided configuration from ")
        assert texts[2].startswith("Final configuration: {")

    # The model

    def test_model_opens_in_inference(self, finished: Finished) -> None:
        channels = [link.resolve() for link in sorted(finished.job.data.iterdir())]
        files = [path for channel in channels for path in sorted(channel.rglob("*"))]
        images = [path for path in files if path.suffix in (".png", ".jpg")][:3]
        assert images
        for engine in ("auto", "torch"):
            with load(finished.job.model, engine=engine) as model:
                predictions = model.predict(images)
                assert len(predictions) == len(images)
                assert model.manifest.algorithm

    def test_model_says_where_it_comes_from(self, finished: Finished) -> None:
        manifest = json.loads((finished.job.model / "manifest.json").read_text())
        assert (manifest["algorithm"], manifest["task"]) == (self.spec.name, self.spec.task)
        assert manifest["hyperparameters"].keys() == {h.name for h in self.spec.hyperparameters}
        assert manifest["provenance"]["counts"]["train"] > 0
        assert all(check["largest_difference"] < 0.02 for check in manifest["engines"].values())
        assert manifest["engines"]

    def test_nothing_is_left_beside_the_model(self, finished: Finished) -> None:
        names = sorted(path.name for path in finished.job.model.iterdir())
        assert names == ["manifest.json", "model.onnx", "model.safetensors"]
        assert not finished.job.failure.exists()
        assert [path.name for path in finished.job.root.rglob(".*")] == []

    # Mistakes

    def fails(self, job: JobDir) -> str:
        """Runs a job that must fail as the customer's mistake; returns the failure note."""
        lines: list[str] = []
        with pytest.raises(CustomerError) as caught:
            run_job(self.spec, job, JobLog(echo=lines.append))
        assert "\n" not in str(caught.value)
        assert lines[-1].split()[2] == "ERROR"
        assert lines[-1].endswith(f"] Customer Error: {caught.value}")
        note = job.failure.read_text()
        assert note == f"ClientError: {caught.value}, exit code: 2"[:1024]
        assert not any(job.model.iterdir())
        return note

    def change(self, job: JobDir, **texts: str | None) -> None:
        path = job.config / "hyperparameters.json"
        values = json.loads(path.read_text()) | texts
        path.write_text(json.dumps({name: text for name, text in values.items() if text is not None}))

    def test_wrong_settings_are_told_together(self, job: JobDir) -> None:
        required = next(h.name for h in self.spec.hyperparameters if h.required)
        self.change(job, typo="1", epochs="none", **{required: None})
        note = self.fails(job)
        assert "'typo' was unexpected" in note
        assert "The value 'none' is not valid for the 'epochs' hyperparameter" in note
        assert f"No value(s) were specified for '{required}'" in note

    def test_missing_channels_are_named(self, job: JobDir) -> None:
        for channel in [c.name for c in self.spec.channels if c.required]:
            path = job.config / "inputdataconfig.json"
            before = path.read_text()
            path.write_text(json.dumps({name: c for name, c in json.loads(before).items() if name != channel}))
            assert channel in self.fails(job)
            path.write_text(before)

    def test_damaged_configuration_is_named(self, job: JobDir) -> None:
        (job.config / "hyperparameters.json").write_text("{")
        assert "hyperparameters.json: is not JSON" in self.fails(job)

    def test_note_of_an_earlier_failure_goes_when_the_job_is_run_again(self, job: JobDir, finished: Finished) -> None:
        good = (job.config / "hyperparameters.json").read_text()
        self.change(job, typo="1")
        self.fails(job)
        (job.config / "hyperparameters.json").write_text(good)
        assert run(self.spec, job).weights == finished.weights
        assert not job.failure.exists()

    def test_checkpoint_of_other_settings_is_refused(self, job: JobDir) -> None:
        stop = StopRequest()
        with pytest.raises(InterruptedRun):
            run_job(self.spec, job, JobLog(echo=None), [StopAfter(stop, 1)], stop)
        self.change(job, epochs="7")
        assert "belongs to a run with other settings (epochs: " in self.fails(job)

    # The program a platform starts

    def test_exit_code_and_note_of_a_mistake(
        self, job: JobDir, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.change(job, typo="1")
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(job.root))
        assert main([self.spec.name]) == 2
        assert "Customer Error: Additional properties are not allowed ('typo' was unexpected" in capfd.readouterr().out
        assert job.failure.read_text().startswith("ClientError: Additional properties")

    def test_fault_of_ours_leaves_a_note_as_well(self, job: JobDir, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken(Hook):
            def on_batch(self, event: BatchEnd) -> None:
                raise RuntimeError("out of\nmemory")

        lines: list[str] = []
        with pytest.raises(RuntimeError):
            run_job(self.spec, job, JobLog(echo=lines.append), [Broken()])
        assert lines[-1].endswith("Algorithm Error: RuntimeError: out of memory")
        assert job.failure.read_text() == "AlgorithmError: RuntimeError: out of memory, exit code: 1"

    @pytest.mark.slow
    def test_program_trains_a_job(self, job: JobDir, finished: Finished) -> None:
        """With threads as they come: numbers may differ in the last place from those of one thread."""
        environment = os.environ | {"SAGEMAKER_BASE_DIR": str(job.root), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "clary.vision.algorithms.run", self.spec.name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (job.model / "manifest.json").exists()
        for metric in self.spec.metrics:
            assert re.search(metric.pattern, done.stdout), metric.name
