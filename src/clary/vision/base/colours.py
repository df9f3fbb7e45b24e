"""The colours of classes: on drawn boxes and masks, on the page of an endpoint, in the palette of a mask's PNG."""

from __future__ import annotations

import numpy as np

__all__ = ["MASK_PALETTE", "colour", "colours"]

# Okabe and Ito's colours (Color Universal Design, 2008), brightest first, then the same darker and lighter.
_PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2", "#f0e442")


def colour(class_id: int) -> tuple[int, int, int]:
    """The RGB colour of a class: seven that anyone tells apart, then shades of them."""
    text = _PALETTE[class_id % len(_PALETTE)]
    rgb = [int(text[i : i + 2], 16) for i in (1, 3, 5)]
    shade = (class_id // len(_PALETTE)) % 3
    mixed = [round(v * 0.55) if shade == 1 else round(v + (255 - v) * 0.5) if shade == 2 else v for v in rgb]
    return mixed[0], mixed[1], mixed[2]


def colours(count: int) -> list[str]:
    """The colours of ``count`` classes as ``#rrggbb``."""
    return ["#{:02x}{:02x}{:02x}".format(*colour(class_id)) for class_id in range(count)]


def _voc_palette() -> bytes:
    """The colours of the VOC masks: the bits of an index, spread over three channels (VOC development kit)."""
    index = np.arange(256)
    # By the rule alone 255, the pixels without a class, gets the cream (224, 224, 192) of VOC's masks.
    table = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            table[:, channel] |= (((index >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return table.tobytes()


# 256 RGB triples; class 0 is black.
MASK_PALETTE = _voc_palette()
