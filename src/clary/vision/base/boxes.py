"""Geometry of boxes as arrays: overlap, offsets from anchors, suppression of what overlaps; numpy only.

A box is (xmin, ymin, xmax, ymax), in any unit; what leaves a network is in fractions of the picture, 0..1. A centred
box is (x of the centre, y of the centre, width, height). Arrays are (..., 4) unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clary.vision.base.types import Box

__all__ = [
    "LABEL_HEADER",
    "LABEL_OBJECT",
    "MOST",
    "VARIANCES",
    "areas",
    "centred",
    "clip",
    "corners",
    "decode",
    "detect",
    "encode",
    "iou",
    "label_width",
    "suppress",
]

# Offsets are divided by these: of the centre, of the logarithm of the size (Liu 2016, *SSD*; its code).
VARIANCES = (0.1, 0.2)

# A logarithm of a size above it counts as this: exp would overflow, and the box covers the picture anyway.
LARGEST_GROWTH = float(np.log(1000))

LEAST_SCORE = 0.01  # what SageMaker's endpoint leaves out
MOST = 400  # boxes of a picture that are looked at, SageMaker's ``nms_topk``
LABEL_HEADER, LABEL_OBJECT = 2, 5  # numbers a label vector (``formats._vectors``) begins with, and numbers an object


def areas(boxes: np.ndarray) -> np.ndarray:
    """(...,) areas, 0 for a box whose corners are in the wrong order."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    found: np.ndarray = sides[..., 0] * sides[..., 1]
    return found


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of each of (N, 4) with each of (M, 4): (N, M) in 0..1, 0 for boxes without area."""
    # Transposed and contiguous: each coordinate is then one row in memory, which thousands of anchors are compared by.
    mine, other = np.ascontiguousarray(first.T)[:, :, None], np.ascontiguousarray(second.T)[:, None, :]
    width = np.minimum(mine[2], other[2]) - np.maximum(mine[0], other[0])
    height = np.minimum(mine[3], other[3]) - np.maximum(mine[1], other[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    union = areas(first)[:, None] + areas(second)[None, :] - shared
    overlap: np.ndarray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def clip(boxes: np.ndarray) -> np.ndarray:
    """Boxes in fractions, cut at the edges of the picture."""
    return boxes.clip(0, 1)


def centred(boxes: np.ndarray) -> np.ndarray:
    """Corners to centre and size."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1)


def corners(boxes: np.ndarray) -> np.ndarray:
    """Centre and size to corners."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def encode(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Offsets of boxes with an area from centred anchors of the same shape: what the network is to give."""
    own = centred(boxes)
    centre = (own[..., :2] - anchors[..., :2]) / anchors[..., 2:] / VARIANCES[0]
    return np.concatenate([centre, np.log(own[..., 2:] / anchors[..., 2:]) / VARIANCES[1]], axis=-1)


def decode(offsets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes out of offsets from centred anchors; they may reach beyond the picture."""
    centre = anchors[..., :2] + offsets[..., :2] * VARIANCES[0] * anchors[..., 2:]
    size = anchors[..., 2:] * np.exp(np.minimum(offsets[..., 2:] * VARIANCES[1], LARGEST_GROWTH))
    return corners(np.concatenate([centre, size], axis=-1))


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float, classes: np.ndarray | None = None) -> np.ndarray:
    """Non-maximum suppression: indices of what is kept of (N, 4), best score first; equal scores stay in order.

    A box goes when a better one that is kept overlaps it by ``overlap`` or more; with ``classes`` (N,) only when
    both are of one class.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = boxes[order]
    close = iou(ranked, ranked) >= overlap
    if classes is not None:
        close &= classes[order][:, None] == classes[order][None, :]
    # Each pair once, the better one first; the diagonal is a box's overlap with itself.
    close = np.triu(close, 1)
    kept = np.ones(len(order), bool)
    for better in np.flatnonzero(close.any(axis=1)):
        if kept[better]:
            kept &= ~close[better]
    return order[kept]


def detect(
    boxes: np.ndarray, scores: np.ndarray, *, overlap: float = 0.45, least: float = LEAST_SCORE, most: int = MOST
) -> np.ndarray:
    """What a picture's ``boxes`` (A, 4) and ``scores`` (A, classes) say: float32 (n, 6), best score first.

    A row is class id, score, xmin, ymin, xmax, ymax. Of the scores above ``least`` the best ``most`` go into the
    suppression within each class (thresholds: SageMaker's object detection).
    """
    flat = scores.ravel()
    found = np.flatnonzero(flat > least)
    if len(found) > most:
        # Before the suppression, as the original's nms_topk: the overlaps of 400 boxes are 160,000 numbers, those of
        # all 8,732 anchors 76 million.
        best = np.argpartition(-flat[found], most - 1)[:most]
        # argpartition gives them in no order, and the order of equal scores must not depend on it.
        found = found[np.sort(best)]
    anchors, classes = np.divmod(found, scores.shape[1])
    kept = suppress(boxes[anchors], flat[found], overlap, classes)
    rows = np.column_stack([classes[kept], flat[found][kept], boxes[anchors[kept]]])
    return rows.astype(np.float32).reshape(-1, 6)


def label_width(boxes: Sequence[Box]) -> int:
    """Numbers in the shortest label vector that holds the boxes: what ``label_width`` must not be below."""
    return LABEL_HEADER + len(boxes) * (LABEL_OBJECT + any(box.difficult for box in boxes))
