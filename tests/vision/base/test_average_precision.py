"""Average precision, against plain loops and against pycocotools and torchmetrics."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.vision.base.average_precision import COCO_OVERLAPS, AveragePrecision
from clary.vision.base.boxes import iou

Images = list[tuple[np.ndarray, np.ndarray]]
CLASSES = 3


def random_images(seed: int, *, images: int = 4, apart: bool = False) -> Images:
    """Some true boxes, and detections that are moved copies of them or anywhere; few different scores, so ties.

    ``apart`` puts true boxes where no two touch.
    """
    random = np.random.default_rng(seed)
    found = []
    for _ in range(images):
        count = int(random.integers(0, 5))
        corner = random.uniform(0, 0.7, (count, 2)) if not apart else np.column_stack([np.arange(count) * 0.2] * 2)
        sides = random.uniform(0.05, 0.3, (count, 2)) if not apart else random.uniform(0.1, 0.19, (count, 2))
        true = np.column_stack([random.integers(0, CLASSES, count), corner, corner + sides])
        copies = true[random.integers(0, count, int(random.integers(0, 9)))] if count else true
        moved = copies[:, 1:] + random.normal(0, 0.02, (len(copies), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 0.01)  # of inverted boxes pycocotools makes its own
        corner = random.uniform(0, 0.7, (3, 2))
        anywhere = np.column_stack([corner, corner + random.uniform(0.05, 0.3, (3, 2))])
        rows = np.concatenate([moved, anywhere])
        classes = np.concatenate([copies[:, 0], random.integers(0, CLASSES, 3)])
        scores = random.integers(1, 8, len(rows)) / 8 if random.random() < 0.5 else random.random(len(rows))
        found.append((true, np.column_stack([classes, scores, rows])))
    return found


def counted(images: Images) -> AveragePrecision:
    detections = AveragePrecision(CLASSES)
    for true, found in images:
        detections.add(true, found)
    return detections


def plain_average_precision(images: Images, class_id: int, overlap: float) -> float:
    """The original's rule in words: each detection, best first, against the true box that it overlaps most."""
    rows = [(-score, p, i) for p, (_, found) in enumerate(images) for i, score in enumerate(found[:, 1])]
    used: set[tuple[int, int]] = set()
    hits = []
    for _, image, i in sorted(rows, key=lambda row: row[0]):
        true, found = images[image]
        if found[i, 0] != class_id:
            continue
        best, nearest = 0.0, -1
        for t, truth in enumerate(true):
            if truth[0] == class_id and (shared := iou(found[[i], 2:], truth[None, 1:])[0, 0]) > best:
                best, nearest = shared, t
        hit = best > overlap and (image, nearest) not in used
        if hit:
            used.add((image, nearest))
        hits.append(hit)
    truths = sum(int((true[:, 0] == class_id).sum()) for true, _ in images)
    if not truths:
        return float("nan")
    area, right = 0.0, 0
    precisions = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
    for n, hit in enumerate(hits):
        if hit:
            right += 1
            area += max(precisions[n:]) / truths
    return area


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.5, 0.75]))
def test_average_precision_follows_the_rule(seed: int, overlap: float) -> None:
    images = random_images(seed)
    found = counted(images).average_precision(overlap)
    expected = [plain_average_precision(images, c, overlap) for c in range(CLASSES)]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert counted(images).mean_average_precision(overlap) == pytest.approx(
        np.nanmean(expected) if not np.isnan(expected).all() else 0.0
    )


def test_known_example() -> None:
    """Two true boxes; hit, miss, hit: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1; the area is 1/2 + 1/2 x 2/3."""
    true = np.array([[0, 0.0, 0, 0.2, 0.2], [0, 0.5, 0.5, 0.9, 0.9]])
    found = np.array([[0, 0.9, 0, 0, 0.2, 0.2], [0, 0.8, 0.3, 0, 0.4, 0.2], [0, 0.7, 0.5, 0.5, 0.9, 0.9]])
    detections = AveragePrecision(2)
    detections.add(true, found)
    curve = detections.curve(0)
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(curve.recall, [1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(curve.scores, [0.9, 0.8, 0.7])
    assert detections.average_precision()[0] == pytest.approx(5 / 6)
    assert np.isnan(detections.average_precision()[1])
    assert detections.mean_average_precision() == pytest.approx(5 / 6)  # a class without truth is left out


def test_second_detection_of_an_object_is_wrong() -> None:
    true = np.array([[0, 0.1, 0.1, 0.5, 0.5]])
    found = np.array([[0, 0.9, 0.1, 0.1, 0.5, 0.5], [0, 0.8, 0.1, 0.1, 0.5, 0.5]])
    detections = AveragePrecision(1)
    detections.add(true, found)
    assert detections.curve(0).precision.tolist() == [1, 0.5]


def test_overlap_of_exactly_the_threshold_is_no_hit() -> None:
    detections = AveragePrecision(1)
    detections.add(np.array([[0, 0, 0, 1, 1.0]]), np.array([[0, 0.9, 0, 0, 1, 0.5]]))
    assert detections.mean_average_precision(0.5) == 0
    assert detections.mean_average_precision(0.5 - 1e-9) == 1
    assert detections.coco()["AP50"] == 1  # COCO counts it


def test_padding_is_no_truth_and_order_of_rows_does_not_matter() -> None:
    (true, found), *_ = random_images(3)
    padded = np.concatenate([true, np.full((4, 5), -1.0)])
    one, other = AveragePrecision(CLASSES), AveragePrecision(CLASSES)
    one.add(true, found)
    other.add(padded, found[::-1] if len(np.unique(found[:, 1])) == len(found) else found)
    np.testing.assert_array_equal(one.truths, other.truths)
    np.testing.assert_allclose(one.average_precision(), other.average_precision())


def test_nothing_at_all_scores_zero() -> None:
    empty = AveragePrecision(2)
    assert (len(empty), empty.mean_average_precision(), empty.coco()["AP"]) == (0, 0.0, 0.0)
    empty.add(np.empty((0, 5)), np.empty((0, 6)))
    assert (len(empty), empty.mean_average_precision(), empty.coco()["AP"]) == (1, 0.0, 0.0)
    empty.add(np.array([[1, 0, 0, 1, 1.0]]), np.empty((0, 6)))
    assert empty.mean_average_precision() == 0


@pytest.mark.parametrize(
    ("true", "found"),
    [
        (np.zeros((1, 4)), np.empty((0, 6))),
        (np.zeros((1, 5)), np.empty((0, 5))),
        (np.array([[2, 0, 0, 1, 1.0]]), np.empty((0, 6))),
        (np.empty((0, 5)), np.array([[2, 0.5, 0, 0, 1, 1.0]])),
    ],
)
def test_rows_of_another_kind_are_refused(true: np.ndarray, found: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shapes|class beyond"):
        AveragePrecision(2).add(true, found)


# Against others


def coco_evaluation(images: Images) -> Any:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truths: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, (true, found) in enumerate(images):
        for row in true:
            box = [row[1], row[2], row[3] - row[1], row[4] - row[2]]
            truths.append(
                {"id": len(truths) + 1, "image_id": number, "category_id": int(row[0]), "bbox": box, "iscrowd": 0}
                | {"area": box[2] * box[3]}
            )
        for row in found:
            box = [row[2], row[3], row[4] - row[2], row[5] - row[3]]
            results.append({"image_id": number, "category_id": int(row[0]), "bbox": box, "score": row[1]})
    with contextlib.redirect_stdout(io.StringIO()):
        api = coco.COCO()
        api.dataset = {
            "info": {},
            "images": [{"id": n} for n in range(len(images))],
            "categories": [{"id": c} for c in range(CLASSES)],
            "annotations": truths,
        }
        api.createIndex()
        evaluation = cocoeval.COCOeval(api, api.loadRes(results), "bbox")
    return evaluation


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_coco_measure_agrees_with_pycocotools(seed: int) -> None:
    images = random_images(seed)
    evaluation = coco_evaluation(images)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # overlaps, recalls, classes
    expected = np.where((precision > -1).all(axis=1), precision.mean(axis=1), np.nan)
    np.testing.assert_allclose(counted(images).coco_average_precision(COCO_OVERLAPS), expected, atol=1e-6)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_original_measure_agrees_with_pycocotools_at_every_recall(seed: int) -> None:
    """Where true boxes do not touch both hold a detection against the same one, and the area under the curve is the
    mean of the precisions in the middle of the steps of recall."""
    images = random_images(seed, apart=True)
    found = counted(images)
    for class_id in np.flatnonzero(found.truths).tolist():
        evaluation = coco_evaluation(images)
        truths = int(found.truths[class_id])
        evaluation.params.catIds, evaluation.params.iouThrs = [class_id], np.array([0.5])
        evaluation.params.recThrs = (np.arange(truths) + 0.5) / truths
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.evaluate()
            evaluation.accumulate()
        expected = evaluation.eval["precision"][0, :, 0, 0, -1].mean()
        assert found.average_precision(0.5)[class_id] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
@pytest.mark.filterwarnings("ignore")
def test_coco_measure_agrees_with_torchmetrics(seed: int) -> None:
    torch = pytest.importorskip("torch")
    detection = pytest.importorskip("torchmetrics.detection")
    pytest.importorskip("pycocotools")
    images = random_images(seed)
    # Its own thresholds are rounded to float32, which moves a recall of exactly 1/5 below that of its table.
    recalls, overlaps = np.linspace(0, 1, 101).tolist(), list(COCO_OVERLAPS)
    metric = detection.MeanAveragePrecision(rec_thresholds=recalls, iou_thresholds=overlaps)
    for true, found in images:
        metric.update(
            [
                {
                    "boxes": torch.from_numpy(found[:, 2:]),
                    "scores": torch.from_numpy(found[:, 1]),
                    "labels": torch.from_numpy(found[:, 0]).long(),
                }
            ],
            [{"boxes": torch.from_numpy(true[:, 1:]), "labels": torch.from_numpy(true[:, 0]).long()}],
        )
    result = metric.compute()
    ours = counted(images).coco()
    for name, theirs in (("AP", "map"), ("AP50", "map_50"), ("AP75", "map_75")):
        assert ours[name] == pytest.approx(max(float(result[theirs]), 0.0), abs=1e-6)
