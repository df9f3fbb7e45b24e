"""One way of reading a data set, whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clary.errors import UsageError
from clary.vision import formats
from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel
from clary.vision.datasets.reading import ReadingOptions, read
from clary.vision.datasets.split import split

Tree = Callable[..., Path]


def of(text: str) -> ReadingOptions:
    return ReadingOptions.of(Channel("dataset", Path(), DATASET_CONTENT_TYPE + text))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (ReadingOptions(), "; seed=0"),
        (ReadingOptions("species", 0.25, 7), "; labels=species; validation=0.25; seed=7"),
        (ReadingOptions(validation=0.0), "; validation=0.0; seed=0"),
    ],
)
def test_options_go_into_a_content_type_and_come_back(options: ReadingOptions, text: str) -> None:
    assert options.content_type == DATASET_CONTENT_TYPE + text
    assert of(text) == options


def test_jobs_of_earlier_versions_are_read() -> None:
    assert of("; validation=0; seed=0") == ReadingOptions(validation=0.0)
    assert of("") == ReadingOptions()


def test_a_fifth_is_held_out(tmp_path: Path, class_folders: Tree) -> None:
    root = class_folders(tmp_path / "pets", {"a": 10, "b": 5})
    found = read(root, ReadingOptions(seed=3), task="classification")
    assert found.counts("validation") == [2, 1]
    assert found.splits == split(formats.read(root), validation=0.2, seed=3).splits
    assert ReadingOptions().settled(found).validation == 0.2


def test_nothing_is_held_out_where_there_is_a_test_split(tmp_path: Path, class_folders: Tree) -> None:
    root = class_folders(tmp_path / "pets", {"train/a": 5, "train/b": 5, "test/a": 1})
    found = read(root, ReadingOptions(), task="classification")
    assert found.splits.keys() == {"train", "test"}
    assert ReadingOptions().settled(found) == ReadingOptions(validation=0.0)
    assert read(root, ReadingOptions(validation=0.2), task="classification").counts("validation") == [1, 1]


def test_a_validation_split_is_kept(tmp_path: Path, class_folders: Tree) -> None:
    root = class_folders(tmp_path / "pets", {"train/a": 5, "train/b": 5, "valid/a": 1})
    assert read(root, ReadingOptions(validation=0.5), task="classification").counts("validation") == [1, 0]


def test_a_share_that_leaves_nothing(tmp_path: Path, class_folders: Tree) -> None:
    with pytest.raises(UsageError, match="use 0 <= fraction < 1"):
        read(class_folders(tmp_path / "pets", {"a": 2}), ReadingOptions(validation=1.0), task="classification")


def test_each_layout_is_asked_once_whether_a_folder_is_of_it(
    tmp_path: Path, class_folders: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folders(tmp_path / "pets", {"a": 2, "b": 2})
    asked: list[str] = []

    def noting(name: str, sniff: Callable[[Path], bool]) -> Callable[[Path], bool]:
        def noted(path: Path) -> bool:
            asked.append(name)
            return sniff(path)

        return noted

    for format in formats.FORMATS:
        monkeypatch.setattr(format, "sniff", noting(format.name, format.sniff))
    read(root, ReadingOptions(), task="classification")
    assert sorted(asked) == sorted(formats.FORMATS.names())
