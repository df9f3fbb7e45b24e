"""Metrics found in a log: counted once, whatever happens in between. Searching itself: test_metric_search.py."""

from __future__ import annotations

import math
import time

import pytest

from clary.control.jobs import metric_search, metrics
from clary.control.jobs.metric_search import search
from clary.control.jobs.metrics import NAMESPACE, MetricScanner, final_metrics
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


def test_an_expression_that_takes_for_ever_is_struck_off_and_the_log_says_so_once(store, logs, monkeypatch):
    searched = []

    def brief(given, lines):
        searched.append(sorted(given))
        return search(given, lines, 0.2)

    monkeypatch.setattr(metric_search, "search", brief)
    writer = logs.writer(GROUP, STREAM)
    writer.write("a" * 900 + "!", "loss=1")
    job = body(bad=r"(a+)+$", loss=r"loss=(\S+)")
    MetricScanner(job, store, logs, GROUP, STREAM).scan()
    writer.write("loss=2")
    MetricScanner(job, store, logs, GROUP, STREAM).scan()  # of a gateway that came after
    writer.close()
    assert values(store, "loss") == [1.0, 2.0]
    assert searched[0] == ["bad", "loss"]
    assert searched[1:]
    assert all(names == ["loss"] for names in searched[1:])
    said = [event.message for event in logs.events(GROUP, STREAM) if "not collected any more" in event.message]
    assert len(said) == 1
    assert said[0].startswith("The metric bad is")


def test_a_job_whose_only_expression_is_struck_off_is_not_read_on(store, logs, monkeypatch):
    monkeypatch.setattr(metric_search, "search", lambda given, lines: dict.fromkeys(given))
    logs.writer(GROUP, STREAM).write("loss=1")
    meter = MetricScanner(body(loss="x"), store, logs, GROUP, STREAM)
    meter.scan()
    meter.scan()
    assert len(list(logs.events(GROUP, STREAM))) == 2
