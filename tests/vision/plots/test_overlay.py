from __future__ import annotations

import numpy as np
import pytest

from clary.vision.base.types import Box
from clary.vision.plots.overlay import colour, colours, draw_boxes, draw_mask

GRAY = np.full((90, 120, 3), 128, np.uint8)


def test_colours_differ() -> None:
    assert len(set(colours(20))) == 20
    assert colours(1) == ["#e69f00"]


def test_boxes_are_drawn_where_they_are_whatever_the_scale() -> None:
    drawn = draw_boxes(GRAY, [Box(0, 400, 300, 800, 600)], ["cat"], (1200, 900), labels=False)
    assert GRAY.min() == 128
    changed = (drawn != GRAY).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows.min(), rows.max()) == (29, 60)
    assert (columns.min(), columns.max()) == (39, 80)
    assert (drawn[30, 50] == colour(0)).all()
    assert (drawn[45, 60] == 128).all()


def test_a_label_stands_above_or_inside() -> None:
    for top in (300, 0):
        plain, named = (
            draw_boxes(GRAY, [Box(1, 400, top, 800, 600)], ["cat", "dog"], (1200, 900), labels=labels)
            for labels in (False, True)
        )
        assert (plain != named).any()


def test_a_difficult_box_has_a_broken_line() -> None:
    solid, broken = (
        draw_boxes(GRAY, [Box(0, 10, 10, 100, 80, difficult=d)], ["cat"], (120, 90), labels=False)
        for d in (False, True)
    )
    assert (broken != GRAY).any(axis=2).sum() < (solid != GRAY).any(axis=2).sum()


def test_boxes_at_the_edge_and_of_no_size() -> None:
    boxes = [Box(0, 0, 0, 120, 90), Box(0, 119.9, 89.9, 120, 90), Box(0, -50, -50, 500, 500)]
    assert draw_boxes(GRAY, boxes, ["a name that is much longer than any picture " * 9], (120, 90)).shape == GRAY.shape


def test_masks_are_laid_over_by_class() -> None:
    ids = np.zeros((9, 12), np.uint8)
    ids[:, 6:] = 1
    ids[:4] = 255
    drawn = draw_mask(GRAY, ids)
    assert drawn.shape == GRAY.shape
    left, right = drawn[80, 5].astype(int), drawn[80, 110].astype(int)
    assert abs(left - (128 * 0.55 + np.array(colour(0)) * 0.45)).max() <= 1
    assert abs(right - (128 * 0.55 + np.array(colour(1)) * 0.45)).max() <= 1
    assert (drawn[80, 59] == 255).all()  # the line between two regions
    assert len(np.unique(drawn[5:30, 5:100].reshape(-1, 3), axis=0)) == 2  # hatched


LARGE_BOX = Box(0, 20, 40, 150, 120)
GRAY_IMAGE = np.full((150, 200, 3), 120, np.uint8)


def test_captions_replace_class_names():
    plain = draw_boxes(GRAY_IMAGE, [LARGE_BOX], ["cat"], (200, 150))
    said = draw_boxes(GRAY_IMAGE, [LARGE_BOX], ["cat"], (200, 150), captions=["cat 0.93"])
    assert (plain != said).any()
    np.testing.assert_array_equal(draw_boxes(GRAY_IMAGE, [LARGE_BOX], ["cat"], (200, 150), captions=["cat"]), plain)


def test_an_empty_caption_leaves_the_label_away():
    bare = draw_boxes(GRAY_IMAGE, [LARGE_BOX], ["cat"], (200, 150), labels=False)
    np.testing.assert_array_equal(draw_boxes(GRAY_IMAGE, [LARGE_BOX], ["cat"], (200, 150), captions=[""]), bare)


def test_a_caption_for_every_box():
    with pytest.raises(ValueError, match="shorter"):
        draw_boxes(GRAY_IMAGE, [LARGE_BOX, LARGE_BOX], ["cat"], (200, 150), captions=["cat"])


def test_boxes_may_have_colours_of_their_own():
    drawn = draw_boxes(GRAY_IMAGE, [LARGE_BOX], ["cat"], (200, 150), labels=False, inks=[(1, 2, 3)])
    assert drawn[40, 80].tolist() == [1, 2, 3]


def test_labels_do_not_cover_each_other():
    """Each label on a box of the same place stays as large as it is alone."""
    boxes = [LARGE_BOX] * 4
    inks = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    alone = [
        (draw_boxes(GRAY_IMAGE, [LARGE_BOX], ["cat"], (200, 150), inks=[ink]) == ink).all(axis=2).sum()
        - (draw_boxes(GRAY_IMAGE, [LARGE_BOX], ["cat"], (200, 150), inks=[ink], labels=False) == ink).all(axis=2).sum()
        for ink in inks
    ]
    together = draw_boxes(GRAY_IMAGE, boxes, ["cat"], (200, 150), inks=inks)
    for ink, area in zip(inks, alone, strict=True):
        assert (together == ink).all(axis=2).sum() > area * 0.6, ink


def test_letters_are_as_large_as_the_picture_needs():
    large = np.full((1500, 2000, 3), 120, np.uint8)
    box = Box(0, 200, 400, 1500, 1200)
    tall, short = (
        (draw_boxes(large, [box], ["cat"], (2000, 1500), letter=letter)[:395, 210] != 120).any(axis=1).sum()
        for letter in (None, 11)
    )
    assert tall > 3 * short


def test_a_mask_says_its_classes():
    ids = np.zeros((150, 200), np.uint8)
    ids[:, 100:] = 2
    bare, named = draw_mask(GRAY_IMAGE, ids), draw_mask(GRAY_IMAGE, ids, ["ground", "never", "cat"])
    rows = np.flatnonzero((bare != named).any(axis=(1, 2)))
    assert rows.min() > 100
    assert (named == colour(0)).all(axis=2).any()
    assert (named == colour(2)).all(axis=2).any()
    assert not (named == colour(1)).all(axis=2).any(), "it is not there"
