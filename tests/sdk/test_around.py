"""What programs do around a job: runs, trackers, tables, the registry, with the real SDKs."""

from __future__ import annotations

import pytest

from .test_programs import nothing_left_this_machine

pytestmark = pytest.mark.slow


def test_v2_around_a_job(finished):
    assert finished.code == 0, finished.output
    lines = finished.output.splitlines()
    assert "runs ['first']" in lines
    config = "{'ExperimentName': 'pets-experiment', 'TrialName': 'Default-Run-Group-pets-experiment', "
    assert f"config {config}'RunName': 'pets-experiment-first'}} pool Terminated" in lines
    assert "table True" in lines
    (run,) = [line for line in lines if line.startswith("run row ")]
    for said in ("'optimizer': 'sgd'", "'seen': 'again'", "'val:loss - Count': ", "12", "0.08333"):
        assert said in run
    (job,) = [line for line in lines if line.startswith("job row ")]
    assert "ml.p3.2xlarge" in job
    assert "job metric True" in lines
    assert any(line.startswith("package arn:aws:sagemaker:us-east-1:") and line.endswith("/pets/1") for line in lines)
    assert any(line.endswith("approved Approved") for line in lines)  # behind the dashes of deploy()
    assert "scores 3" in lines
    assert "policies ['invocations']" in lines
    assert lines[-1] == "refused True"
    nothing_left_this_machine(finished.output)


def test_v3_runs(finished):
    assert finished.code == 0, finished.output
    lines = finished.output.splitlines()
    assert "runs ['run-0', 'run-1']" in lines
    assert "parameters {'StringValue': 'yes'} {'NumberValue': 0.0}" in lines
    assert "metrics [('loss', 4, 0.25)]" in lines
    assert "status Completed ['notes']" in lines
    assert "graphs ['ConfusionMatrix', 'PrecisionRecallCurve', 'ROCCurve']" in lines
    assert "matrix [[2, 0], [1, 2]]" in lines
    assert "typed Completed loss 3" in lines
    assert "group Completed by v3" in lines
    nothing_left_this_machine(finished.output)


def test_smexperiments(finished):
    assert finished.code == 0, finished.output
    lines = finished.output.splitlines()
    assert "trials ['cnn-training-job-2-hidden-channels', 'cnn-training-job-5-hidden-channels']" in lines
    assert "components ['Preprocessing']" in lines
    assert "parameters {'normalization_mean': 0.1307, 'normalization_std': 0.3081, 'kind': 'mnist'}" in lines
    assert "status Completed ['table']" in lines
    assert "found ['Preprocessing']" in lines
    assert lines[-2:] == ["left []", "gone True"]
    nothing_left_this_machine(finished.output)
