"""What an engine may differ by, and what not."""

from __future__ import annotations

import numpy as np
import pytest

from clary.vision.artifact.agreement import TOLERANCE, difference
from clary.vision.artifact.agreements import agreement_of
from clary.vision.base.types import TaskName
from clary.vision.tasks import TASKS

rng = np.random.default_rng(0)


def softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    raised = np.exp(logits)
    scores: np.ndarray = (raised / raised.sum(axis=axis, keepdims=True)).astype(np.float32)
    return scores


def outputs(task: TaskName) -> tuple[np.ndarray, ...]:
    if task == "classification":
        return (softmax(rng.normal(size=(4, 5)) * 3, 1),)
    if task == "detection":
        boxes = np.sort(rng.random((2, 50, 2, 2)), axis=2).reshape(2, 50, 4).astype(np.float32)
        return boxes, softmax(rng.normal(size=(2, 50, 4)) * 3, 2)[..., 1:]
    return (softmax(rng.normal(size=(2, 3, 20, 30)) * 3, 1),)


@pytest.mark.parametrize("task", TASKS.names())
class TestEveryTask:
    def test_the_same_is_no_difference(self, task):
        exact = outputs(task)
        found = difference(task, [exact], [exact])
        assert found.largest == 0
        assert not found.fault(task, "fp32")
        assert not found.fault(task, "bf16")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_no_number(self, task, value):
        exact = outputs(task)
        for place in range(len(exact)):
            broken = tuple(one.copy() for one in exact)
            broken[place].flat[0] = value
            found = difference(task, [exact], [broken])
            assert found.largest == np.inf
            assert found.fault(task, "fp32")
            assert found.fault(task, "bf16")

    def test_other_shapes(self, task):
        exact = outputs(task)
        for broken in (tuple(one[:1] for one in exact), exact[:-1]):
            found = difference(task, [exact], [broken])
            assert found.fault(task, "bf16")
            assert found.fault(task, "fp32")

    def test_fp32_holds_every_number_to_account(self, task):
        exact = outputs(task)
        for place in range(len(exact)):
            off = tuple(one.copy() for one in exact)
            off[place].flat[7] += np.float32(2 * TOLERANCE["fp32"])
            assert difference(task, [exact], [off]).fault(task, "fp32").startswith("largest 0.002 above 0.001")

    def test_the_worst_call_counts(self, task):
        exact = outputs(task)
        off = tuple(np.roll(one, 1, axis=-1) for one in exact)
        assert difference(task, [exact, exact], [exact, off]).fault(task, "bf16")

    def test_bounds_are_of_measures_there_are(self, task):
        exact = outputs(task)
        assert set(agreement_of(task).bounds) <= set(difference(task, [exact], [exact]).measures)


class TestSegmentation:
    exact = (softmax(rng.normal(size=(2, 3, 20, 30)) * 3, 1),)

    def test_a_few_pixels_on_edges_may_change(self):
        off = (self.exact[0].copy(),)
        off[0][0, :, 3, 4:8] = np.roll(off[0][0, :, 3, 4:8], 1, axis=0)
        found = difference("segmentation", [self.exact], [off])
        assert found.largest > 0.2
        assert not found.fault("segmentation", "bf16")

    def test_a_part_of_a_picture_may_not(self):
        off = (self.exact[0].copy(),)
        off[0][0, :, :5] = np.roll(off[0][0, :, :5], 1, axis=0)
        assert "changed 0.1" in difference("segmentation", [self.exact], [off]).fault("segmentation", "bf16")

    def test_pixels_moved_by_one_are_found(self):
        off = (np.roll(self.exact[0], 1, axis=3),)
        assert difference("segmentation", [self.exact], [off]).fault("segmentation", "bf16")


class TestDetection:
    exact = outputs("detection")

    def test_anchors_that_show_nothing_may_move(self):
        boxes, scores = (one.copy() for one in self.exact)
        scores[:, ::2] = 0.001
        moved = boxes.copy()
        moved[:, ::2] += 0.2
        assert not difference("detection", [(boxes, scores)], [(moved, scores)]).fault("detection", "bf16")
        assert difference("detection", [(boxes, scores)], [(moved, scores)]).fault("detection", "fp32")

    def test_those_that_show_something_may_not(self):
        boxes, scores = self.exact
        assert "corner 0.02" in difference("detection", [self.exact], [(boxes + 0.02, scores)]).fault(
            "detection", "bf16"
        )
        assert "score 0.05" in difference("detection", [self.exact], [(boxes, scores + 0.05)]).fault(
            "detection", "bf16"
        )

    def test_scores_that_are_all_zero(self):
        boxes, scores = self.exact
        nothing = (boxes, np.zeros_like(scores))
        assert not difference("detection", [nothing], [nothing]).fault("detection", "bf16")
