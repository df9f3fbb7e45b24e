"""The colours of classes."""

from __future__ import annotations

import re

import numpy as np

from clary.vision.base.colours import MASK_PALETTE, colour, colours


def test_colours_differ():
    assert len(set(colours(21))) == 21
    assert all(re.fullmatch("#[0-9a-f]{6}", one) for one in colours(256))
    assert colours(3)[2] == "#{:02x}{:02x}{:02x}".format(*colour(2))


def test_the_palette_of_masks_is_that_of_voc():
    table = np.frombuffer(MASK_PALETTE, np.uint8).reshape(256, 3)
    assert table[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]
