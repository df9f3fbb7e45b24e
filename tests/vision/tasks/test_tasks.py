"""What every task says of itself, and that all who ask are told the same."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import ClassVar

import pytest

from clary.local.evaluations import EVALUATORS
from clary.local.predictions import VIEWS
from clary.local.sections import SECTIONS, section_of
from clary.registry import declared
from clary.vision.algorithms.catalog import SPECS
from clary.vision.artifact.agreements import AGREEMENTS, agreement_of
from clary.vision.base.types import Dataset
from clary.vision.formats import FORMATS
from clary.vision.inference.tasks import MODEL_TASKS
from clary.vision.models import _BUILDERS
from clary.vision.plots.sample_views import SAMPLE_VIEWS, SampleView, view_of
from clary.vision.tasks import TASKS, Task, main_metric
from clary.vision.training.objectives.base import TaskObjective


@pytest.mark.parametrize("task", list(TASKS), ids=lambda task: task.name)
class TestEveryTask:
    def test_is_said_in_words(self, task):
        assert task.targets
        assert task.title
        assert task.outputs
        assert task.unit

    def test_has_an_algorithm_that_tunes_for_its_metric(self, task):
        specs = [spec for spec in SPECS if spec.task == task.name]
        assert specs
        for spec in specs:
            assert [metric.name for metric in spec.metrics if metric.objective] == [f"validation:{task.metric}"]

    def test_has_an_objective_that_watches_its_metric(self, task):
        module = import_module(f"clary.vision.training.objectives.{task.name}")
        [objective] = [
            one
            for one in vars(module).values()
            if isinstance(one, type) and issubclass(one, TaskObjective) and one is not TaskObjective
        ]
        assert objective.task is task

    def test_has_its_views(self, task):
        for registry in (MODEL_TASKS, EVALUATORS, SECTIONS, VIEWS, AGREEMENTS):
            assert task.name in registry.names()
        assert task.name in SAMPLE_VIEWS.names() or not task.localises
        assert task.name in _BUILDERS
        assert any(task.name in format.tasks for format in FORMATS)

    def test_data_sets_are_written_in_a_layout_that_holds_them(self, task):
        empty = Dataset(Path(), "none", (), {"train": ()}, task.name)
        assert task.name in FORMATS.get(task.layout(empty)).written_for


def test_names_are_those_of_the_files() -> None:
    assert declared("tasks", "clary.vision.tasks") == TASKS.names()


def test_views_are_of_tasks_that_exist() -> None:
    for registry in (MODEL_TASKS, EVALUATORS, SECTIONS, VIEWS, AGREEMENTS, SAMPLE_VIEWS):
        assert set(registry.names()) <= set(TASKS.names())


def test_the_main_metric_of_what_was_measured() -> None:
    assert main_metric({"loss": 1.0, "mIOU": 0.5, "pixel_accuracy": 0.9}) == "mIOU"
    assert main_metric({"loss": 1.0}) is None


def test_a_task_without_views_gets_plain_ones() -> None:
    assert section_of("counting").template == "results/plain.html.j2"
    assert type(view_of("counting")) is SampleView
    assert agreement_of("counting").bounds == {"largest": 0.02}


class Error(Task):
    name = "error"
    metric = "error"
    higher_is_better = False


class TestObjective:
    class Less(TaskObjective):
        task: ClassVar[Task] = Error()

    def test_less_may_be_better(self):
        objective = self.Less()
        assert objective.watched == "error"
        assert objective.gain({"error": 0.25}) == -0.25
        assert objective.keeps({"error": 0.2}, [{"error": 0.4}, {"error": 0.3}])
        assert not objective.keeps({"error": 0.3}, [{"error": 0.4}, {"error": 0.3}])

    def test_the_first_epoch_is_kept(self):
        assert self.Less().keeps({"error": 9.0}, [])
