"""Batches: a function of (seed, epoch) and nothing else, made ahead by threads, of pictures kept within a budget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import DataError
from clary.vision.base.types import Blob, Sample
from clary.vision.datasets.loader import PREFETCH, Batch, ImageCache, Loader, TargetCache, random_of

SIDE = 12


class Plain:
    """Pictures in memory in place of the cache; each is filled with its number."""

    decoded = 0

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        return np.full((2, 2, 3), index % 251, np.uint8)


def noisy(pixels: np.ndarray, target: int, random: np.random.Generator) -> tuple[np.ndarray, int]:
    noise: np.ndarray = random.integers(0, 256, (*pixels.shape[:2], 3), dtype=np.uint8)
    mixed: np.ndarray = noise ^ pixels
    return mixed, target


def make(count: int, batch_size: int, *, shuffle: bool = True, seed: int = 0, **options: Any) -> Loader:
    images: Any = Plain(count)
    transform = options.pop("transform", noisy)
    return Loader(
        images, np.arange(count) * 10, transform, batch_size=batch_size, seed=seed, shuffle=shuffle, **options
    )


def same(one: Batch, other: Batch) -> bool:
    return (
        np.array_equal(one.images, other.images)
        and np.array_equal(one.targets, other.targets)
        and np.array_equal(one.indices, other.indices)
    )


counts = st.integers(1, 40)
sizes = st.integers(1, 9)
seeds = st.integers(0, 2**40)


# Order


@given(counts, seeds, st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_order_is_a_permutation_that_depends_on_seed_and_epoch_only(count: int, seed: int, epoch: int) -> None:
    order = make(count, 1, seed=seed).order(epoch)
    assert sorted(order) == list(range(count))
    assert np.array_equal(order, make(count, min(3, count), seed=seed).order(epoch))


def test_other_epochs_and_seeds_have_other_orders() -> None:
    orders = {tuple(make(30, 5, seed=seed).order(epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_order_is_uniform() -> None:
    """Each sample comes first about as often as any other."""
    first = np.bincount([make(6, 1, seed=3).order(epoch)[0] for epoch in range(1200)], minlength=6)
    assert ((first - 200) ** 2 / 200).sum() < 20.5  # chi-square, 5 degrees, p = 0.001


def test_without_shuffle_the_order_is_that_of_the_samples() -> None:
    assert list(make(7, 2, shuffle=False).order(4)) == list(range(7))


# Batches


def test_an_epoch_may_have_a_transform_of_its_own_wherever_it_is_begun() -> None:
    def enlarged(times: int) -> Any:
        return lambda pixels, target, random: (noisy(np.repeat(pixels, times, axis=0), target, random)[0], target)

    of_epoch = {0: enlarged(1), 1: enlarged(1), 2: enlarged(3)}
    loader = make(10, 3, of_epoch=of_epoch.__getitem__)
    whole = [list(loader.epoch(epoch)) for epoch in range(3)]
    assert [[batch.images.shape[1] for batch in one] for one in whole] == [[2] * 3, [2] * 3, [6] * 3]
    assert same(whole[2][1], next(iter(make(10, 3, of_epoch=of_epoch.__getitem__).epoch(2, 1))))
    assert all(same(*pair) for pair in zip(whole[0], make(10, 3).epoch(0), strict=True))


@given(counts, sizes, st.booleans())
@settings(max_examples=60, deadline=None)
def test_samples_come_once_at_most_in_full_batches_or_once_exactly(count: int, size: int, shuffle: bool) -> None:
    loader = make(count, size, shuffle=shuffle)
    batches = list(loader.epoch(1))
    seen = [int(index) for batch in batches for index in batch.indices]
    assert len(seen) == len(set(seen))
    assert len(batches) == len(loader)
    if shuffle:
        assert {len(batch) for batch in batches} <= {size}
        assert len(batches) == count // size
        assert seen == list(loader.order(1))[: len(seen)]
    else:
        assert seen == list(range(count))


@given(st.integers(1, 24), st.integers(1, 5), st.integers(0, 25), st.integers(0, 3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_batches_from_the_kth_on_are_the_tail_of_the_epoch(
    count: int, size: int, first: int, epoch: int, shuffle: bool
) -> None:
    loader = make(count, size, shuffle=shuffle, seed=5)
    whole, tail = list(loader.epoch(epoch)), list(loader.epoch(epoch, first))
    assert len(tail) == max(0, len(whole) - first)
    assert all(same(one, other) for one, other in zip(whole[first:], tail, strict=True))


def test_targets_and_pictures_are_those_of_the_indices() -> None:
    def untouched(pixels: np.ndarray, target: int, random: np.random.Generator) -> tuple[np.ndarray, int]:
        return pixels, target

    for batch in make(20, 3, transform=untouched).epoch():
        assert np.array_equal(batch.targets, batch.indices * 10)
        assert np.array_equal(batch.images[:, 0, 0, 0], batch.indices)
        assert batch.images.shape == (3, 2, 2, 3)
        assert batch.images.dtype == np.uint8


def by_index(loader: Loader, epoch: int) -> dict[int, bytes]:
    return {int(i): image.tobytes() for b in loader.epoch(epoch) for i, image in zip(b.indices, b.images, strict=True)}


def test_draws_of_a_picture_depend_on_seed_epoch_and_picture_only() -> None:
    transformed = by_index(make(12, 3, seed=4), 2)
    assert transformed == by_index(make(12, 4, seed=4, workers=4), 2)
    assert transformed == by_index(make(12, 5, seed=4, shuffle=False, workers=1), 2)
    for others in (by_index(make(12, 3, seed=4), 3), by_index(make(12, 3, seed=5), 2)):
        assert not set(transformed.items()) & set(others.items())


@given(st.lists(st.integers(0, 2**31), min_size=2, max_size=3, unique=True))
@settings(max_examples=50, deadline=None)
def test_generators_differ_by_each_key_and_by_their_order(keys: list[int]) -> None:
    drawn = random_of(*keys).integers(0, 2**60)
    assert drawn == random_of(*keys).integers(0, 2**60)
    assert drawn != random_of(*reversed(keys)).integers(0, 2**60)
    assert drawn != random_of(keys[0] + 1, *keys[1:]).integers(0, 2**60)


def test_generators_are_the_same_on_every_platform() -> None:
    assert random_of(1, 2, 3).integers(0, 10**9, 3).tolist() == [964015576, 670472262, 872316657]


# Threads


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_threads_end_with_the_epoch() -> None:
    loader = make(40, 2, workers=3)
    epoch = loader.epoch()
    next(epoch)
    assert 0 < len(loader_threads()) <= 3
    assert len(list(epoch)) == 19
    assert loader_threads() == []


def test_threads_end_when_the_rest_is_not_wanted() -> None:
    def some() -> Iterator[Batch]:
        epoch = make(400, 2).epoch()
        yield next(epoch)
        epoch.close()  # type: ignore[attr-defined]

    assert len(list(some())) == 1
    assert loader_threads() == []


def test_only_a_few_batches_are_made_ahead() -> None:
    """While the first batch is on its way, the other worker makes the next ones, and no more than those."""
    too_far = threading.Event()
    seen = []

    def transform(pixels: np.ndarray, target: int, random: np.random.Generator) -> tuple[np.ndarray, int]:
        if pixels[0, 0, 0] == 0:
            seen.append(too_far.wait(0.3))
        if pixels[0, 0, 0] > PREFETCH:
            too_far.set()
        return pixels, target

    epoch = make(100, 1, transform=transform, shuffle=False).epoch()
    next(epoch)
    epoch.close()  # type: ignore[attr-defined]
    assert seen == [False]


def test_batches_are_made_at_the_same_time() -> None:
    """Each of two workers waits for the other: one alone would wait for ever."""
    meeting = threading.Barrier(2, timeout=20)

    def transform(pixels: np.ndarray, target: int, random: np.random.Generator) -> tuple[np.ndarray, int]:
        meeting.wait()
        return pixels, target

    assert len(list(make(8, 1, transform=transform, workers=2).epoch())) == 8


@pytest.mark.parametrize("error", [ValueError("of a view"), KeyboardInterrupt()], ids=["ValueError", "interrupt"])
def test_error_in_a_thread_reaches_the_loop(error: BaseException) -> None:
    def transform(pixels: np.ndarray, target: int, random: np.random.Generator) -> tuple[np.ndarray, int]:
        if pixels[0, 0, 0] == 7:
            raise error
        return pixels, target

    epoch = make(20, 2, transform=transform, shuffle=False).epoch()
    assert [list(next(epoch).indices) for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(type(error)):
        next(epoch)
    assert loader_threads() == []


# The cache


@dataclass(frozen=True, slots=True)
class CountedBlob(Blob):
    """Notes in ``reads`` that it was read."""

    reads: Any = None

    def read(self) -> bytes:
        self.reads.append(self.path.name)
        return Blob.read(self)


@pytest.fixture
def samples(tmp_path: Path, encoded: Callable[..., bytes]) -> Callable[[int], tuple[list[Sample], list[str]]]:
    def write(count: int) -> tuple[list[Sample], list[str]]:
        reads: list[str] = []
        for number in range(count):
            (tmp_path / f"{number}.png").write_bytes(encoded("PNG", width=SIDE, height=SIDE, seed=number))
        return [Sample(CountedBlob(tmp_path / f"{n}.png", reads=reads), (0,)) for n in range(count)], reads

    return write


Samples = Callable[[int], tuple[list[Sample], list[str]]]
BYTES = SIDE * SIDE * 3


@pytest.mark.parametrize("room", [0, 1, 3, 5, 8])
def test_pictures_are_kept_within_the_budget(room: int, samples: Samples) -> None:
    images, reads = samples(5)
    cache = ImageCache(images, SIDE, SIDE, budget=room * BYTES + BYTES // 2)
    first = [cache[i].copy() for i in range(5)]
    assert len(reads) == 5
    second = [cache[i] for i in range(5)]
    assert len(reads) == 5 + max(0, 5 - room)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_budget_holds_with_many_threads(samples: Samples) -> None:
    images, reads = samples(30)
    cache = ImageCache(images, SIDE, SIDE, budget=10 * BYTES)
    targets = np.zeros(30, np.int64)
    loader = Loader(
        cache, targets, lambda pixels, target, _: (pixels, target), batch_size=1, seed=0, shuffle=True, workers=8
    )
    for epoch in range(4):
        reads.clear()
        assert len(list(loader.epoch(epoch))) == 30
        assert len(reads) == (30 if epoch == 0 else 20)


def test_what_is_kept_is_not_changed_by_a_view(samples: Samples) -> None:
    from clary.vision.datasets.augment import AUGMENTATIONS, augment

    images, _ = samples(4)
    cache = ImageCache(images, SIDE, SIDE, budget=10**6)
    before = [cache[i].copy() for i in range(4)]
    for kind in AUGMENTATIONS:
        transform = lambda pixels, target, random, kind=kind: (augment(pixels, kind, SIDE, SIDE, random), target)  # noqa: E731
        list(Loader(cache, np.zeros(4), transform, batch_size=2, seed=0, shuffle=True).epoch())
    assert all(np.array_equal(cache[i], before[i]) for i in range(4))


@pytest.mark.parametrize(
    ("size", "resize", "expected"),  # width and height
    [((40, 20), 10, (20, 10)), ((20, 40), 10, (10, 20)), ((8, 8), 10, (10, 10)), ((9, 30), None, (9, 30))],
)
def test_shorter_side_becomes_resize(
    size: tuple[int, int], resize: int | None, expected: tuple[int, int], tmp_path: Path, encoded: Callable[..., bytes]
) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG", width=size[0], height=size[1]))
    found = ImageCache([Sample(Blob(tmp_path / "a.png"))], resize, 1, 0)[0]
    assert found.shape == (expected[1], expected[0], 3)


def test_large_jpeg_is_decoded_at_reduced_scale_but_not_below_what_is_asked_for(
    tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(width=400, height=200))
    sample = Sample(Blob(tmp_path / "a.jpg"))
    assert ImageCache([sample], None, 60, 0)[0].shape == (100, 200, 3)
    assert ImageCache([sample], None, 150, 0)[0].shape == (200, 400, 3)
    assert ImageCache([sample], 60, 150, 0)[0].shape == (60, 120, 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no picture", "is not a picture"), (b"", "is empty (0 bytes)"), (None, "cannot be read (No such file")],
    ids=["no picture", "empty", "missing"],
)
def test_bad_picture_is_named(content: bytes | None, sentence: str, tmp_path: Path, samples: Samples) -> None:
    images, _ = samples(6)
    bad = tmp_path / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    images[3] = Sample(Blob(bad), (0,), source="list.txt:4")
    loader = Loader(
        ImageCache(images, SIDE, SIDE, 10**6),
        np.zeros(6),
        lambda p, t, _: (p, t),
        batch_size=2,
        seed=0,
        shuffle=False,
    )
    with pytest.raises(DataError) as caught:
        list(loader.epoch())
    assert str(bad) in str(caught.value)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    if content is None:
        assert str(caught.value).startswith("list.txt:4: ")


def test_truncated_jpeg_is_used_as_far_as_it_goes(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    """As the original containers do: a warning on standard error there, `clary data check` here."""
    whole = jpeg(width=64, height=64)
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    assert ImageCache([Sample(Blob(tmp_path / "a.jpg"))], SIDE, SIDE, 0)[0].shape == (SIDE, SIDE, 3)


# Targets


class Lengths(TargetCache):
    """Of each picture the bytes of its file, noted in ``made`` when they are counted."""

    def __init__(self, samples: list[Sample]) -> None:
        super().__init__(samples)
        self.made: list[str] = []

    def _make(self, sample: Sample) -> np.ndarray:
        self.made.append(sample.image.path.name)
        try:
            return np.array([sample.image.path.stat().st_size])
        except OSError as error:
            raise DataError("cannot be read", where=sample.image) from error


def test_targets_are_made_at_their_first_use_and_kept(samples: Samples) -> None:
    images, _ = samples(3)
    cache = Lengths(images)
    assert (len(cache), cache.made) == (3, [])
    first = cache[1]
    assert first[0] == (images[1].image.path).stat().st_size
    assert cache[1] is first
    assert cache.made == ["1.png"]
    assert [int(one[0]) for one in (cache[0], cache[1], cache[2])] == [p.image.path.stat().st_size for p in images]
    assert cache.made == ["1.png", "0.png", "2.png"]


def test_target_that_cannot_be_made_is_named_each_time_and_mended_is_used(samples: Samples) -> None:
    images, _ = samples(2)
    cache, path = Lengths(images), images[0].image.path
    content = path.read_bytes()
    path.unlink()
    for _ in range(2):
        with pytest.raises(DataError, match=r"0\.png: cannot be read"):
            cache[0]
    path.write_bytes(content)
    assert cache[0][0] == len(content)


def test_targets_are_made_by_the_threads_of_the_loader_once_in_all_epochs(samples: Samples) -> None:
    images, _ = samples(5)
    cache = Lengths(images)
    loader = Loader(
        ImageCache(images, SIDE, SIDE, 0), cache, lambda p, t, _: (p, t), batch_size=2, seed=0, shuffle=False
    )
    for epoch in range(3):
        found = np.concatenate([batch.targets for batch in loader.epoch(epoch)])
        assert found[:, 0].tolist() == [sample.image.path.stat().st_size for sample in images]
    assert sorted(cache.made) == [f"{n}.png" for n in range(5)]


def test_the_first_batch_is_waited_for_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clary.vision.datasets.loader.TURN", 0.001)
    pictures, go = Plain(8), threading.Event()
    pictures.decoded = 0

    def transform(pixels: np.ndarray, target: int, random: np.random.Generator) -> tuple[np.ndarray, int]:
        pictures.decoded += 1
        if pictures.decoded == 3:
            assert go.wait(30)
        return pixels, target

    told: list[tuple[int, int]] = []

    def waiting(done: int, total: int) -> None:
        told.append((done, total))
        if done == 3:
            go.set()

    images: Any = pictures
    loader = Loader(images, np.arange(8), transform, batch_size=4, seed=0, shuffle=True, workers=1)
    assert len(list(loader.epoch(0, waiting=waiting))) == 2
    assert (3, 4) in told
    assert told[-1] == (4, 4)
    before = len(told)
    assert len(list(loader.epoch(1, waiting=waiting))) == 2
    assert len(told) == before
