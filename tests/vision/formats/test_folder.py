from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import DataError, UsageError
from clary.vision import formats
from clary.vision.base.types import Blob, Dataset, Sample
from clary.vision.formats.folder import Folder

Tree = Callable[..., Path]


def said(dataset: Dataset, severity: str = "error") -> list[str]:
    return [str(problem) for problem in dataset.problems if problem.severity == severity]


class TestReading:
    def test_one_tree(self, tmp_path: Path, class_folders: Tree) -> None:
        data = formats.read(class_folders(tmp_path, {"dog": 2, "cat": 3}))
        assert data.format == "folder"
        assert data.class_names == ("cat", "dog")
        assert data.splits.keys() == {"train"}
        assert data.counts("train") == [3, 2]
        assert data.problems == ()
        assert data.splits["train"][0].source == "cat/0.jpg"

    @pytest.mark.parametrize("validation", ["valid", "validation", "val", "Val"])
    def test_splits(self, tmp_path: Path, class_folders: Tree, validation: str) -> None:
        tree = {"train/cat": 2, "train/dog": 2, f"{validation}/dog": 1, "test/cat": 1}
        data = formats.read(class_folders(tmp_path, tree))
        assert {split: data.counts(split) for split in data.splits} == {
            "train": [2, 2],
            "validation": [0, 1],
            "test": [1, 0],
        }
        assert data.problems == ()

    def test_folders_below_a_class_belong_to_it(self, tmp_path: Path, class_folders: Tree) -> None:
        data = formats.read(class_folders(tmp_path, {"cat/in/out": 2, "cat": 1, "dog": 1}))
        assert data.counts("train") == [3, 1]
        assert [s.source for s in data.splits["train"]] == [
            "cat/0.jpg",
            "cat/in/out/0.jpg",
            "cat/in/out/1.jpg",
            "dog/0.jpg",
        ]

    def test_a_class_may_be_called_like_a_split(self, tmp_path: Path, class_folders: Tree) -> None:
        data = formats.read(class_folders(tmp_path, {"train": 2, "bus": 2}))
        assert data.class_names == ("bus", "train")
        assert data.splits.keys() == {"train"}

    def test_what_stands_beside_splits_is_noted(self, tmp_path: Path, class_folders: Tree) -> None:
        tree = {"train/cat": 1, "train/dog": 1, "test/cat": 1, "rejected": 3}
        data = formats.read(class_folders(tmp_path, tree))
        assert data.class_names == ("cat", "dog")
        assert said(data, "note") == [
            "rejected: is left out, since it stands beside the splits; move it into train/ if it is a class"
        ]

    def test_two_folders_for_one_split(self, tmp_path: Path, class_folders: Tree) -> None:
        tree = {"train/cat": 1, "train/dog": 1, "val/cat": 1, "valid/cat": 1}
        data = formats.read(class_folders(tmp_path, tree))
        assert said(data) == ["valid: is left out, val is the validation split already; put the two together"]

    def test_other_files_are_noted(self, tmp_path: Path, class_folders: Tree, jpeg: Callable[..., bytes]) -> None:
        class_folders(tmp_path, {"cat": 1, "dog": 1})
        for name in ("cat/Thumbs.db", "cat/._0.jpg", "dog/notes.txt", "README.md", ".DS_Store"):
            (tmp_path / name).write_bytes(b"x")
        (tmp_path / "loose.jpg").write_bytes(jpeg(seed=50))
        data = formats.read(tmp_path)
        assert said(data) == []
        beside, others = said(data, "note")
        assert "has 1 picture beside the class folders, left out: loose.jpg; move" in beside
        assert "has 5 files hidden or no picture, left out: .DS_Store, README.md, cat/._0.jpg and 2 more" in others
        assert len(data) == 2

    def test_links_to_folders_are_followed_at_the_class_only(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path / "far", {"cat": 2})
        class_folders(tmp_path / "near", {"dog": 1}, seed=9)
        os.symlink(tmp_path / "far" / "cat", tmp_path / "near" / "cat")
        os.symlink(tmp_path / "near", tmp_path / "near" / "dog" / "loop")
        assert formats.read(tmp_path / "near").counts("train") == [2, 1]


class TestMistakes:
    def test_an_empty_class(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"cat": 1, "dog": 1, "bird": 0})
        data = formats.read(tmp_path)
        assert said(data) == ["bird: is an empty class folder; add pictures or remove the folder"]
        assert data.class_names == ("cat", "dog")

    def test_a_class_empty_in_one_split(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/dog": 0})
        data = formats.read(tmp_path)
        assert said(data) == []
        assert said(data, "note") == ["test/dog: is an empty class folder; its class has none in this split"]

    def test_one_class_only(self, tmp_path: Path, class_folders: Tree) -> None:
        [error] = said(formats.read(class_folders(tmp_path / "pets", {"cat": 2})))
        assert error == "pets: has one class only, `cat`; add pictures of a second class"

    def test_pictures_without_labels(self, tmp_path: Path, class_folders: Tree) -> None:
        [error] = said(formats.read(class_folders(tmp_path / "pets", {"images": 2})))
        assert error.startswith(
            "pets: has pictures in `images` and nothing that says what they show; put labels, boxes"
        )

    def test_a_class_train_does_not_have(self, tmp_path: Path, class_folders: Tree) -> None:
        tree = {"train/cat": 1, "train/dog": 1, "test/bird": 1, "val/bird": 1}
        [error] = said(formats.read(class_folders(tmp_path, tree)))
        assert "class `bird` has no picture in train" in error

    def test_no_train_split(self, tmp_path: Path, class_folders: Tree) -> None:
        data = formats.read(class_folders(tmp_path, {"test/cat": 1, "test/dog": 1, "val/cat": 1}))
        assert data.splits["train"] == ()
        assert "train: holds no usable picture to train on" in said(data)[0]

    def test_pictures_without_classes(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"": 3})
        with pytest.raises(DataError, match=r"holds pictures but nothing that says what they show; put them into"):
            formats.read(tmp_path)

    def test_splits_without_classes(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"train": 3, "test": 3})
        with pytest.raises(DataError, match="is no data set of a layout known here"):
            formats.read(tmp_path)


class TestWriting:
    def dataset(self, root: Path, *classes: tuple[str, str], **options: object) -> Dataset:
        """One sample for each (file name, class name)."""
        names = tuple(dict.fromkeys(name for _, name in classes))
        root.mkdir()
        for number, (file, _) in enumerate(classes):
            (root / str(number)).mkdir()
            (root / str(number) / file).write_bytes(b"%d" % number)
        samples = [Sample(Blob(root / str(n) / file), (names.index(name),)) for n, (file, name) in enumerate(classes)]
        return Dataset(root, "memory", names, {"train": tuple(samples)}, **options)  # type: ignore[arg-type]

    def test_clashing_names_are_told_apart(self, tmp_path: Path) -> None:
        data = self.dataset(tmp_path / "in", ("a.jpg", "cat"), ("A.JPG", "cat"), ("a.jpg", "cat"), ("a.jpg", "dog"))
        Folder().write(data, tmp_path / "out")
        found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
        assert found == ["train/cat/A-2.JPG", "train/cat/a-3.jpg", "train/cat/a.jpg", "train/dog/a.jpg"]

    def test_a_part_of_a_file_is_copied(self, tmp_path: Path) -> None:
        (tmp_path / "records").write_bytes(b"headPICTUREtail")
        sample = Sample(Blob(tmp_path / "records", 4, 7), (0,))
        Folder().write(Dataset(tmp_path, "memory", ("cat",), {"train": (sample,)}), tmp_path / "out")
        assert (tmp_path / "out/train/cat/4.jpg").read_bytes() == b"PICTURE"

    def test_whole_files_are_linked(self, tmp_path: Path) -> None:
        data = self.dataset(tmp_path / "in", ("a.jpg", "cat"))
        Folder().write(data, tmp_path / "out")
        assert (tmp_path / "out/train/cat/a.jpg").samefile(tmp_path / "in/0/a.jpg")

    @pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "a\\b", "a\nb", "a\0b"])
    def test_a_class_that_is_no_folder_name(self, tmp_path: Path, name: str) -> None:
        data = self.dataset(tmp_path / "in", ("a.jpg", name))
        with pytest.raises(UsageError, match="cannot be the name of a folder"):
            Folder().write(data, tmp_path / "out")

    def test_multi_label(self, tmp_path: Path) -> None:
        data = self.dataset(tmp_path / "in", ("a.jpg", "cat"), multi_label=True)
        with pytest.raises(UsageError, match="lst"):
            Folder().write(data, tmp_path / "out")


name = st.sampled_from(
    ["cat", "dog", "train", "test", "valid", "a.jpg", "b.png", ".x.jpg", "c.txt", ".git", "annotations"]
)


class TestFuzz:
    @settings(max_examples=60, deadline=None)
    @given(paths=st.lists(st.lists(name, min_size=1, max_size=4).map("/".join), max_size=10))
    def test_any_tree_reads_or_is_refused(self, paths: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
        root = tmp_path_factory.mktemp("fuzz")
        for path in paths:
            if not any(parent.is_file() for parent in (root / path).parents) and not (root / path).exists():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(path.encode())
        if not Folder().sniff(root):
            return
        data = Folder().read(root)
        sources = [sample.source for samples in data.splits.values() for sample in samples]
        assert len(set(sources)) == len(sources)
        assert all((root / source).is_file() for source in sources)
        assert data.class_names == tuple(sorted(data.class_names))
        assert {c for s in data.splits.values() for x in s for c in x.classes} == set(range(len(data.class_names)))
