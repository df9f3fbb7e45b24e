"""Metrics found in a log: counted once, whatever happens in between; hostile expressions."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.control.jobs import metrics
from clary.control.jobs.metrics import NAMESPACE, MetricScanner, final_metrics, search
from clary.control.logs.streams import LogStore
from clary.control.store.records import Store, StoreError

GROUP, STREAM = "/aws/sagemaker/TrainingJobs", "job/algo-1-1"
DIMENSIONS = {"TrainingJobName": "job"}


@pytest.fixture
def store(tmp_path):
    found = Store(f"sqlite:///{tmp_path / 'clary.db'}")
    yield found
    found.close()


@pytest.fixture
def logs(tmp_path):
    return LogStore(tmp_path / "logs")


def body(**regexes):
    definitions = [{"Name": name, "Regex": regex} for name, regex in regexes.items()]
    return {"TrainingJobName": "job", "AlgorithmSpecification": {"MetricDefinitions": definitions}}


def values(store, name):
    return [point.value for point in store.points(NAMESPACE, name, DIMENSIONS, 0.0, math.inf)]


def test_each_line_is_counted_once(store, logs):
    job = body(loss=r"loss=(\S+)", accuracy="accuracy: ([0-9.]+)")
    writer = logs.writer(GROUP, STREAM)
    writer.write("loss=0.5 accuracy: 0.25", "nothing", "loss=1e-3")
    MetricScanner(job, store, logs, GROUP, STREAM).scan()
    MetricScanner(job, store, logs, GROUP, STREAM).scan()  # of a gateway that came after
    writer.write("loss=nan", "loss=no number", "loss=0.125")
    before = time.time()
    MetricScanner(job, store, logs, GROUP, STREAM).scan()
    writer.close()
    assert values(store, "loss") == [0.5, 0.001, 0.125]
    assert values(store, "accuracy") == [0.25]
    final = final_metrics(job, store)
    assert [(one["MetricName"], one["Value"]) for one in final] == [("loss", 0.125), ("accuracy", 0.25)]
    assert abs(final[0]["Timestamp"] - before) < 10


def test_a_scan_that_could_not_store_its_points_is_made_again(store, logs, monkeypatch):
    logs.writer(GROUP, STREAM).write("loss=1", "loss=2")
    meter = MetricScanner(body(loss=r"loss=(\S+)"), store, logs, GROUP, STREAM)

    def full(*arguments):
        raise StoreError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(store, "add_points", full)
        with pytest.raises(StoreError):
            meter.scan()
    meter.scan()
    assert values(store, "loss") == [1.0, 2.0]


def test_a_job_without_log_or_definitions_has_no_metrics(store, logs):
    MetricScanner(body(loss="x"), store, logs, GROUP, STREAM).scan()
    MetricScanner({"TrainingJobName": "job", "AlgorithmSpecification": {}}, store, logs, GROUP, STREAM).scan()
    assert final_metrics(body(loss="x"), store) == []


def test_more_events_than_one_scan_reads(store, logs, monkeypatch):
    monkeypatch.setattr(metrics, "BATCH", 10)
    logs.writer(GROUP, STREAM).write(*(f"loss={n}" for n in range(95)))
    MetricScanner(body(loss=r"loss=(\S+)"), store, logs, GROUP, STREAM).scan()
    assert values(store, "loss") == [float(n) for n in range(95)]


@pytest.mark.parametrize("regex", [r"(a+)+$", r"(a|a)*b([0-9]+)", r"(a)\1*(\1*)*x"])
def test_an_expression_that_takes_for_ever_is_given_up(store, logs, monkeypatch, caplog, regex):
    monkeypatch.setattr(metrics, "SCAN_SECONDS", 1.0)
    logs.writer(GROUP, STREAM).write("a" * 900 + "!", "loss=1")
    meter = MetricScanner(body(bad=regex, loss=r"loss=(\S+)"), store, logs, GROUP, STREAM)
    meter.scan()
    assert values(store, "loss") == [1.0]
    assert "takes too long" in caplog.text


def test_a_risky_expression_that_is_quick_is_searched_all_the_same(store, logs):
    logs.writer(GROUP, STREAM).write("step 1 loss 0.5", "other")
    MetricScanner(body(loss=r"(?:step \d )+loss (\S+)"), store, logs, GROUP, STREAM).scan()
    assert values(store, "loss") == [0.5]


def test_an_expression_of_high_power_is_risky():
    assert metrics._is_risky(".*a.*b.*c.*d.*([0-9.]+)")
    assert not metrics._is_risky(r".*Validation-accuracy=([0-9\.]+).*")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_text_may_be_searched(messages):
    for index, value in search(r"([-+]?[0-9.einfa]+)", messages):
        assert math.isfinite(value)
        assert 0 <= index < len(messages)


def test_without_a_group_the_match_is_the_value():
    assert search(r"[0-9]+", ["step 12", "none"]) == [(0, 12.0)]
