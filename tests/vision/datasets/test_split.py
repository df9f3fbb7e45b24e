from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import UsageError
from clary.vision import formats
from clary.vision.base.types import Blob, Dataset, Sample
from clary.vision.datasets.split import split


def dataset(classes: Sequence[tuple[int, ...]], **splits: Sequence[tuple[int, ...]]) -> Dataset:
    """A data set of samples with these classes in train, more splits by name; nothing lies on disk."""
    count = 1 + max((c for found in (classes, *splits.values()) for cs in found for c in cs), default=0)
    made: dict[Any, tuple[Sample, ...]] = {
        name: tuple(Sample(Blob(Path(f"{name}/{n}.jpg")), cs) for n, cs in enumerate(found))
        for name, found in {"train": classes, **splits}.items()
    }
    multi_label = any(len(cs) != 1 for cs in classes)
    return Dataset(Path("."), "memory", tuple(map(str, range(count))), made, multi_label=multi_label)


def test_a_fifth_of_each_class() -> None:
    data = split(dataset([(0,)] * 50 + [(1,)] * 10 + [(2,)] * 5))
    assert data.counts("validation") == [10, 2, 1]
    assert data.counts("train") == [40, 8, 4]


def test_small_classes_keep_one_in_train() -> None:
    data = split(dataset([(0,)] * 20 + [(1,)] + [(2,)] * 2), validation=0.9)
    assert data.counts("train") == [2, 1, 1]
    assert data.counts("validation") == [18, 0, 1]


def test_the_same_seed_is_the_same_split_for_ever() -> None:
    """Taken from the first version: must not change with numpy, Python or platform."""
    data = split(dataset([(0,)] * 10 + [(1,)] * 10), validation=0.3, seed=7)
    assert [sample.image.path.stem for sample in data.splits["validation"]] == ["3", "4", "6", "10", "11", "12"]


def test_another_seed_is_another_split() -> None:
    data = dataset([(0,)] * 40 + [(1,)] * 40)
    assert split(data, seed=1).splits["validation"] != split(data, seed=2).splits["validation"]


def test_a_validation_split_stays_unless_replaced() -> None:
    data = dataset([(0,)] * 10 + [(1,)] * 10, validation=[(0,), (1,)], test=[(1,)])
    assert split(data, validation=0.5) is data
    again = split(data, validation=0.5, replace=True)
    assert (again.counts("train"), again.counts("validation")) == ([5, 5], [6, 6])
    assert again.splits["test"] == data.splits["test"]
    merged = split(data, validation=0, replace=True)
    assert "validation" not in merged.splits
    assert merged.counts("train") == [11, 11]


def test_nothing_held_out() -> None:
    data = dataset([(0,)] * 4)
    assert split(data, validation=0).splits.keys() == {"train"}


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2, float("nan"), float("inf")])
def test_fractions_that_make_no_sense(fraction: float) -> None:
    with pytest.raises(UsageError, match="0 <= fraction < 1"):
        split(dataset([(0,)]), validation=fraction)


def test_the_input_stays_as_it_is() -> None:
    data = dataset([(0,)] * 9)
    before = dict(data.splits)
    split(data)
    assert dict(data.splits) == before


labels = st.lists(st.sets(st.integers(0, 3), max_size=3).map(lambda s: tuple(sorted(s))), max_size=40)


@settings(deadline=None)
@given(labels, st.floats(0, 0.99), st.integers(0, 2**32))
def test_properties(classes: list[tuple[int, ...]], fraction: float, seed: int) -> None:
    data = dataset(classes)
    done = split(data, validation=fraction, seed=seed)
    train, held = done.splits["train"], done.splits.get("validation", ())
    assert Counter(train) + Counter(held) == Counter(data.splits["train"])  # nothing lost, nothing twice
    assert {c for s in train for c in s.classes} == {c for cs in classes for c in cs}  # each class stays in train
    order = {sample: i for i, sample in enumerate(data.splits["train"])}
    for found in (train, held):
        assert [order[s] for s in found] == sorted(order[s] for s in found)
    assert split(data, validation=fraction, seed=seed).splits == done.splits


@settings(deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.floats(0.01, 0.99), st.integers(0, 99))
def test_each_class_of_two_gives_one(counts: list[int], fraction: float, seed: int) -> None:
    data = split(dataset([(c,) for c, n in enumerate(counts) for _ in range(n)]), validation=fraction, seed=seed)
    held = data.counts("validation") if "validation" in data.splits else [0] * len(counts)
    for count, kept in zip(counts, held, strict=True):
        assert kept == min(max(round(fraction * count), 1), count - 1)


@pytest.mark.pets
def test_real_pets(pets: Path) -> None:
    data = split(formats.read(pets))
    assert data.counts("train") == [66, 59, 65]
    assert data.counts("validation") == [16, 15, 16]
    assert len(data.splits["test"]) == 235
