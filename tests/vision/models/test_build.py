"""One function builds the network of any description."""

from __future__ import annotations

import pytest

from clary.errors import UsageError
from clary.vision.models import build
from clary.vision.models.anchors import ssd_levels
from clary.vision.models.classifier import Scores, describe
from clary.vision.models.detector import BoxScores, describe_detector, grids_of
from clary.vision.models.segmenter import PixelScores, describe_segmenter

TINY = "timm:test_resnet"


def test_a_classifier():
    description = describe(TINY, 3)
    assert isinstance(build(description), Scores)
    assert isinstance(build({**description, "task": "classification"}), Scores)


def test_a_segmenter():
    assert isinstance(build(describe_segmenter(TINY, "unet", 3, width=16)), PixelScores)


def test_a_detector():
    levels = ssd_levels(grids_of(TINY, (64, 64)), 64, 64)
    assert isinstance(build(describe_detector(TINY, 2, (64, 64), levels)), BoxScores)


def test_an_unknown_task():
    with pytest.raises(UsageError, match="no network does `poetry`; use classification, detection, segmentation"):
        build({"task": "poetry"})
