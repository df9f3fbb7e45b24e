"""Numbers in words."""

from __future__ import annotations

import pytest

from clary.wording import clock, duration, plural, similar_names


@pytest.mark.parametrize(
    ("count", "noun", "spec", "expected"),
    [
        (0, "picture", "", "0 pictures"),
        (1, "picture", "", "1 picture"),
        (2, "class", "", "2 classes"),
        (1, "class", "", "1 class"),
        (1234, "picture", ",", "1,234 pictures"),
    ],
)
def test_plural(count, noun, spec, expected):
    assert plural(count, noun, spec) == expected


@pytest.mark.parametrize(
    ("seconds", "said", "shown"),
    [
        (0, "0.0 s", "0:00"),
        (34.12, "34.1 s", "0:34"),
        (125, "2 min 5 s", "2:05"),
        (3780, "1 h 3 min", "1:03:00"),
    ],
)
def test_durations(seconds, said, shown):
    assert duration(seconds) == said
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("trian", ["test", "train", "validation"], ["train"]),
        ("segment", ["classification", "segmentation"], ["segmentation"]),
        ("LEARNING-RATE", ["learning_rate", "learning_rate_decay"], ["learning_rate"]),
        ("test", ["train"], []),
        ("epoch", ["batches"], []),
    ],
)
def test_similar_names(name, known, expected):
    assert similar_names(name, iter(known)) == expected


def test_the_nearest_name_comes_first():
    assert similar_names("job-12", ["job-21x", "job-1", "job-13"], 2) == ["job-1", "job-13"]
