"""The stages of the life cycle, as a kind with one status tells them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.jobs.kinds.training.status import PRIMARY
from clary.control.jobs.status import ENDINGS, WORDS, JobStatus, Stage

PROCESSING = JobStatus("ProcessingJobStatus", "ProcessingStartTime", "ProcessingEndTime")


def test_a_job_from_start_to_end():
    body: dict[str, Any] = {}
    for second, stage in enumerate([Stage.STARTING, Stage.PENDING, Stage.DOWNLOADING, Stage.RUNNING, Stage.COMPLETED]):
        body = PROCESSING.advance(body, stage, now=1000.0 + second)
    assert body == {
        "ProcessingJobStatus": "Completed",
        "ProcessingStartTime": 1002.0,
        "ProcessingEndTime": 1004.0,
        "LastModifiedTime": 1004.0,
    }


@pytest.mark.parametrize("stage", sorted(ENDINGS))
def test_an_end_is_an_end(stage):
    body = PROCESSING.advance({}, stage, now=5.0)
    assert PROCESSING.ended(body)
    assert PROCESSING.advance(body, Stage.RUNNING, now=6.0) == body
    assert "ProcessingStartTime" not in body
    assert WORDS[stage] not in PROCESSING.open


def test_who_is_to_stop_has_not_ended():
    body = PROCESSING.advance({}, Stage.STOPPING)
    assert PROCESSING.stopping(body)
    assert not PROCESSING.ended(body)
    assert PROCESSING.open == {"InProgress", "Stopping"}


def test_training_jobs_have_the_same_words():
    assert {stage: PRIMARY["Training" if stage is Stage.RUNNING else stage] for stage in Stage} == WORDS


@given(st.lists(st.tuples(st.sampled_from(sorted(Stage)), st.floats(0, 1e10)), max_size=8))
def test_times_run_forward(steps):
    body: dict[str, Any] = {}
    for stage, now in steps:
        after = PROCESSING.advance(body, stage, now=now)
        assert after["LastModifiedTime"] >= body.get("LastModifiedTime", 0.0)
        body = after
