"""What every algorithm says of itself."""

from __future__ import annotations

import re
from typing import Any

import pytest

from clary.vision.algorithms.catalog import SPECS
from clary.vision.base.hyperparameters import Choice, Hyperparameter, Integer
from clary.vision.base.spec import AnySpec
from clary.vision.tasks import TASKS


@pytest.mark.parametrize("spec", list(SPECS), ids=lambda spec: spec.name)
class TestEverySpec:
    def test_defaults_are_values_of_their_kind(self, spec: AnySpec) -> None:
        for one in spec.hyperparameters:
            if one.default is not None and not one.required:
                assert one.parse(_spelled(one)) == one.default, one.name

    def test_everything_is_said(self, spec: AnySpec) -> None:
        names = [one.name for one in spec.hyperparameters]
        assert len(set(names)) == len(names)
        for one in spec.hyperparameters:
            assert one.meaning
            assert one.kind.allowed()
            assert one.kind.expectation().startswith(("expects", "accepts"))
        assert {channel.name for channel in spec.channels if channel.required} == {"train", "validation"}
        assert sum(metric.objective for metric in spec.metrics) == 1

    def test_the_objective_is_the_tasks_metric(self, spec: AnySpec) -> None:
        assert [one.name for one in spec.metrics if one.objective] == [f"validation:{TASKS.get(spec.task).metric}"]

    def test_early_stopping_watches_the_objective(self, spec: AnySpec) -> None:
        (objective,) = [metric.name.replace(":", " ") for metric in spec.metrics if metric.objective]
        assert spec["early_stopping"].meaning == f"stop when {objective} no longer improves"

    def test_patterns_of_metrics_have_one_group(self, spec: AnySpec) -> None:
        assert all(re.compile(metric.pattern).groups == 1 for metric in spec.metrics)

    def test_local_defaults_are_valid(self, spec: AnySpec) -> None:
        known = {one.name: one for one in spec.hyperparameters}
        for name, text in (spec.local_defaults or {}).items():
            known[name].parse(text)

    def test_recommended_ranges_lie_in_what_is_allowed(self, spec: AnySpec) -> None:
        for one in spec.hyperparameters:
            if one.tunable and one.tunable.values:
                assert [one.parse(value) for value in one.tunable.values]
            elif one.tunable:
                assert one.tunable.low < one.tunable.high
                for bound in (one.tunable.low, one.tunable.high):
                    one.parse(str(int(bound)) if isinstance(one.kind, Integer) else repr(float(bound)))


def _spelled(one: Hyperparameter) -> str:
    """The default as a user would write it."""
    value: Any = one.default
    if isinstance(one.kind, Choice) and isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
