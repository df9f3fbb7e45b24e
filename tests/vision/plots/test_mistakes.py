"""The strip of mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from clary.errors import ImageError
from clary.vision.base.types import Blob, Mistake, Sample
from clary.vision.plots import mistakes
from clary.vision.plots.samples import grid


@pytest.fixture
def two(tmp_path, encoded):
    found = []
    for number, (true, predicted, score) in enumerate([("dog", "cat", 0.93), ("cat", "dog", 0.6)]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encoded("PNG", 120, 90, seed=number))
        found.append(Mistake(Sample(Blob(path)), true, predicted, score))
    return found


def test_each_is_shown_with_what_it_was_taken_for(two, image):
    shown = [(image(120, 90, seed=i), mistakes.caption(m)) for i, m in enumerate(two)]
    assert [text for _, text in shown] == ["dog taken for cat, 93%", "cat taken for dog, 60%"]
    assert np.array_equal(np.asarray(mistakes.draw(two, cell=80)), np.asarray(grid(shown, columns=4, cell=80)))


def test_columns_bound_the_width(two):
    wide, tall = mistakes.draw(two * 2, columns=4, cell=60), mistakes.draw(two * 2, columns=1, cell=60)
    assert wide.width > 3 * tall.width
    assert tall.height > 3 * wide.height


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"no picture")])
def test_a_picture_that_is_gone_is_named(two, damage):
    path = two[1].sample.image.path
    damage(path)
    with pytest.raises(ImageError, match=path.name):
        mistakes.draw(two)
