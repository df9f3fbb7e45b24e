"""Metrics in files that a program leaves."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clary.control.jobs.kinds.training.metric_files import METRIC_FILES, store_metrics
from clary.control.jobs.trial_components import METRICS, STEP, dimensions_of
from clary.control.store.records import Store

OF = dimensions_of("Job-aws-training-job")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = Store(f"sqlite:///{tmp_path}/clary.db")
    yield store
    store.close()


@pytest.fixture
def job(tmp_path: Path, store: Store) -> Any:
    """Stands for a job; ``job.folder`` is where its program writes."""
    folder = tmp_path.joinpath("job", "opt_ml", *METRIC_FILES)
    folder.mkdir(parents=True)
    return SimpleNamespace(
        name="Job",
        record=SimpleNamespace(kind="training-job"),
        context=SimpleNamespace(store=store),
        host_folder=lambda host: tmp_path / "job",
        stream=lambda host: f"Job/{host}-1",
        folder=folder,
    )


def test_values_are_metrics_of_the_jobs_component_once(job: Any, store: Store) -> None:
    lines = [{"MetricName": "loss", "Value": 4.0 - at, "Timestamp": 100.0 + at, "IterationNumber": at} for at in (0, 1)]
    lines.append({"MetricName": "acc", "Value": 1, "Timestamp": 7})
    (job.folder / "17.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for _ in range(2):
        store_metrics(job, "algo-1")
    assert [(one.name, one.count, one.last) for one in store.summaries(METRICS, OF)] == [("acc", 1, 1), ("loss", 2, 3)]
    assert [point.value for point in store.points(METRICS, "loss", OF | STEP, 0, 1e9)] == [0.0, 1.0]


@pytest.mark.parametrize(
    "text",
    [
        "{'time':'2021', 'name': 'train', 'message': 'epoch 1'}",
        '{"MetricName": "loss"}',
        '{"MetricName": "", "Value": 1.0, "Timestamp": 1}',
        '{"MetricName": "loss", "Value": NaN, "Timestamp": 1}',
        '{"MetricName": "loss", "Value": 1.0, "Timestamp": Infinity}',
        '{"MetricName": "loss", "Value": "1.0", "Timestamp": 1}',
        "[1, 2]",
        "[" * 100_000,
        '{"MetricName": "loss", "Val',
        "",
    ],
)
def test_what_is_no_value_is_passed_over(job: Any, store: Store, text: str) -> None:
    good = json.dumps({"MetricName": "good", "Value": 1.0, "Timestamp": 1.0})
    (job.folder / "metrics.json").write_text(f"{text}\n{good}\n")
    store_metrics(job, "algo-1")
    assert [one.name for one in store.summaries(METRICS, OF)] == ["good"]


def test_no_link_is_followed_out_of_the_job(job: Any, store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1.json").write_text(json.dumps({"MetricName": "theirs", "Value": 1.0, "Timestamp": 1.0}))
    (job.folder / "1.json").symlink_to(outside / "1.json")
    store_metrics(job, "algo-1")
    (job.folder / "1.json").unlink()
    job.folder.rmdir()
    job.folder.symlink_to(outside)
    store_metrics(job, "algo-1")
    job.folder.unlink()
    store_metrics(job, "algo-1")
    assert store.summaries(METRICS, OF) == []
