"""The life of a training job as its record tells it."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.control.jobs.kinds.training.status import ENDED, MESSAGES, PRIMARY, advance, ended

GOOD = ["Starting", "Pending", "Downloading", "Training", "Uploading", "Completed"]


def lived(*stages: str) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for second, stage in enumerate(stages):
        body = advance(body, stage, now=1000.0 + 10 * second)
    return body


def test_a_job_that_completes():
    assert lived(*GOOD) == {
        "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed",
        "LastModifiedTime": 1050.0,
        "TrainingStartTime": 1020.0,
        "TrainingEndTime": 1050.0,
        "TrainingTimeInSeconds": 30,
        "BillableTimeInSeconds": 30,
        "SecondaryStatusTransitions": [
            {"Status": stage, "StartTime": 1000.0 + 10 * n, "EndTime": 1000.0 + 10 * min(n + 1, 5), "StatusMessage": m}
            for n, (stage, m) in enumerate((stage, MESSAGES[stage]) for stage in GOOD)
        ],
    }


def test_the_stage_a_job_is_in_has_no_end():
    body = lived("Starting", "Downloading")
    assert "EndTime" not in body["SecondaryStatusTransitions"][-1]
    assert "TrainingEndTime" not in body
    assert body["TrainingJobStatus"] == "InProgress"


def test_every_stage_has_its_own_message():
    assert MESSAGES.keys() == PRIMARY.keys()
    assert len(set(MESSAGES.values())) == len(MESSAGES)


def test_a_job_that_never_got_its_data_is_not_billed():
    body = lived("Starting", "Stopping", "Stopped")
    assert body["TrainingJobStatus"] == "Stopped"
    assert body["TrainingEndTime"] == 1020.0
    assert "BillableTimeInSeconds" not in body


def test_the_same_stage_again_only_changes_the_message():
    body = advance(lived("Starting"), "Starting", "Preparing the instances for training", now=1005.0)
    assert [t["StatusMessage"] for t in body["SecondaryStatusTransitions"]] == ["Preparing the instances for training"]
    assert advance(body, "Starting", now=1006.0)["SecondaryStatusTransitions"] == body["SecondaryStatusTransitions"]


def test_a_status_that_does_not_exist():
    with pytest.raises(KeyError):
        advance({}, "Sleeping")


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(sorted(PRIMARY)), st.floats(0, 1e10)), max_size=12))
def test_whatever_happens_times_run_forward_and_an_end_is_an_end(steps):
    body: dict[str, Any] = {"TrainingJobName": "job"}
    for secondary, now in steps:
        before = copy.deepcopy(body)
        after = advance(body, secondary, now=now)
        assert body == before
        if ended(before):
            assert after == before
        body = after
    transitions = body.get("SecondaryStatusTransitions", [])
    for one, following in pairwise(transitions):
        assert one["StartTime"] <= one["EndTime"] == following["StartTime"]
        assert one["Status"] != following["Status"]
        assert one["Status"] not in ENDED
    if transitions:
        assert body["SecondaryStatus"] == transitions[-1]["Status"]
        assert ended(body) == ("EndTime" in transitions[-1]) == ("TrainingEndTime" in body)
    assert json.loads(json.dumps(body)) == body
