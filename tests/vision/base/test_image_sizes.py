"""Sizes of training pictures by epoch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clary.vision.base.image_sizes import ImageSizes, rescaled, sizes_said

stages = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 12)), max_size=4).map(
    lambda found: tuple((number * 600 + size, epochs) for number, (size, epochs) in enumerate(found))
)


def test_the_first_epoch_of_the_full_size() -> None:
    assert ImageSizes().first_full == 0
    sizes = ImageSizes(64, ((32, 2), (48, 1)))
    assert (sizes.first_full, sizes.at(sizes.first_full - 1), sizes.at(sizes.first_full)) == (3, 48, 64)


@given(stages, st.integers(0, 20))
def test_each_stage_has_its_epochs_and_the_full_size_the_others(stages: tuple[tuple[int, int], ...], more: int) -> None:
    sizes = ImageSizes(10_000, stages)
    epochs = sum(count for _, count in stages) + more
    expected = [size for size, count in stages for _ in range(count)] + [10_000] * more
    assert [sizes.at(epoch) for epoch in range(epochs)] == expected
    assert sizes.all() == tuple(dict.fromkeys([*expected, 10_000]))


@given(stages, st.integers(1, 20), st.integers(1, 200))
def test_another_number_of_epochs_keeps_shares_and_leaves_some_for_the_full_size(
    stages: tuple[tuple[int, int], ...], left: int, epochs: int
) -> None:
    planned = sum(count for _, count in stages) + left
    found = dict(rescaled(stages, planned, epochs))
    assert list(found) == [size for size, _ in stages if size in found]
    assert sum(found.values()) < epochs
    for size, count in stages:
        assert abs(found.get(size, 0) - count * epochs / planned) < 1
    assert rescaled(stages, planned, planned) == stages


def test_what_few_epochs_leave_of_the_usual_stages() -> None:
    usual = ((128, 4), (160, 2))
    assert [rescaled(usual, 8, epochs) for epochs in (1, 2, 3, 4)] == [
        (),
        ((128, 1),),
        ((128, 1), (160, 1)),
        ((128, 2), (160, 1)),
    ]


def test_a_single_size_is_not_told() -> None:
    assert sizes_said((128, 160, 224)) == "128 -> 160 -> 224 pixels"
    assert sizes_said((224,)) == sizes_said(()) == ""
