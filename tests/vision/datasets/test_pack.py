from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clary.errors import UsageError
from clary.vision import formats
from clary.vision.base import decoding
from clary.vision.base.types import Blob, Box, Dataset, Sample
from clary.vision.datasets import pack as packing
from clary.vision.datasets.pack import Packing, pack, partition, read_list, read_tree, write_lists

Tree = Callable[..., Path]
Encoded = Callable[..., bytes]


@pytest.fixture
def root(tmp_path: Path, class_folders: Tree) -> Path:
    return class_folders(tmp_path / "pets", {"cat": 5, "dog": 5})


def images(dataset: Dataset) -> list[bytes]:
    return [sample.image.read() for samples in dataset.splits.values() for sample in samples]


class TestPack:
    def test_files_go_in_as_they_are(self, root: Path, tmp_path: Path) -> None:
        source = formats.read(root)
        assert pack(source, tmp_path / "out", Packing()) == (source, [])
        packed = formats.read(tmp_path / "out")
        assert (packed.format, packed.problems, packed.class_names) == ("recordio", (), ("cat", "dog"))
        assert images(packed) == images(source)
        assert [s.classes for s in packed.splits["train"]] == [s.classes for s in source.splits["train"]]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["classes.txt", "train.idx", "train.rec"]

    @pytest.mark.parametrize("workers", [1, 3])
    def test_resized(self, root: Path, tmp_path: Path, workers: int) -> None:
        calls: list[int] = []
        pack(formats.read(root), tmp_path / "out", Packing(resize=24, workers=workers), progress=calls.append)
        assert calls == [1] * 10
        packed = formats.read(tmp_path / "out")
        assert {decoding.inspect(data).upright for data in images(packed)} == {(32, 24)}
        assert packed.counts("train") == [5, 5]

    def test_boxes_stay_where_they_are_in_the_picture(self, root: Path, tmp_path: Path) -> None:
        path = root / "cat/0.jpg"
        sample = Sample(Blob(path), (0,), (Box(0, 16, 12, 48, 36),))
        source = Dataset(root, "memory", ("cat",), {"train": (sample,)}, "detection")
        pack(source, tmp_path / "out", Packing(resize=24))
        [packed] = formats.read(tmp_path / "out").splits["train"]
        assert packed.boxes == (Box(0, 8, 6, 24, 18),)

    def test_pictures_that_cannot_be_packed_are_named(self, root: Path, tmp_path: Path) -> None:
        (root / "cat/1.jpg").write_bytes(b"no picture")
        source = formats.read(root)
        (root / "dog/3.jpg").unlink()
        packed_of_it, problems = pack(source, tmp_path / "out", Packing())
        assert packed_of_it.counts("train") == [4, 4]
        assert [str(problem) for problem in problems] == [
            "cat/1.jpg: is not a picture; remove it or export it as JPEG or PNG",
            "dog/3.jpg: cannot be read (No such file or directory); copy it again or mend its permissions",
        ]
        packed = formats.read(tmp_path / "out")
        assert (len(packed), packed.problems) == (8, ())

    def test_masks_are_not_packed(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="masks are not packed into records"):
            pack(Dataset(root, "memory", ("a",), {"train": ()}, "segmentation"), tmp_path / "out", Packing())

    def test_a_crop_would_cut_boxes(self, root: Path, tmp_path: Path) -> None:
        source = Dataset(root, "memory", ("a",), {"train": ()}, "detection")
        with pytest.raises(UsageError, match="a crop would cut boxes"):
            pack(source, tmp_path / "out", Packing(center_crop=True))


class TestEncoding:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_a_crop_and_gray(self, encoded: Encoded, kind: str) -> None:
        square = decoding.inspect(packing.encoded(encoded(kind), Packing(center_crop=True)))
        assert (square.format, square.upright) == (kind, (48, 48))
        small = decoding.inspect(packing.encoded(encoded(kind), Packing(center_crop=True, resize=20, gray=True)))
        assert (small.format, small.upright, small.mode) == (kind, (20, 20), "L")
        assert not Packing(gray=True).as_it_is
        assert not Packing(center_crop=True).as_it_is

    def test_what_is_no_jpeg_or_png_becomes_one(self, encoded: Encoded) -> None:
        assert packing.encoded(encoded("PNG"), Packing()) == encoded("PNG")
        assert decoding.inspect(packing.encoded(encoded("GIF"), Packing())).format == "JPEG"

    @pytest.mark.parametrize(
        ("how", "jpeg", "png"),
        [
            (Packing(resize=20), "JPEG", "PNG"),
            (Packing(quality=50), "JPEG", "PNG"),
            (Packing(encoding="jpg"), "JPEG", "JPEG"),
            (Packing(encoding="png"), "PNG", "PNG"),
        ],
    )
    def test_formats(self, encoded: Encoded, how: Packing, jpeg: str, png: str) -> None:
        for format, wanted in (("JPEG", jpeg), ("PNG", png)):
            assert decoding.inspect(packing.encoded(encoded(format), how)).format == wanted

    def test_quality_makes_a_difference(self, encoded: Encoded) -> None:
        data = encoded("JPEG", 200, 160)
        assert len(packing.encoded(data, Packing(quality=30))) < len(packing.encoded(data, Packing(quality=95)))


class TestSources:
    def test_every_folder_is_a_class(self, tmp_path: Path, class_folders: Tree) -> None:
        data = read_tree(class_folders(tmp_path, {"a/deep": 2, "a": 1, "b": 3}))
        assert data.class_names == ("a", "a/deep", "b")
        assert data.counts("train") == [1, 2, 3]

    def test_endings(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path / "pets", {"cat": 2})
        (tmp_path / "pets/cat/0.jpg").rename(tmp_path / "pets/cat/0.JPEG")
        for endings, names in (
            ((".jpeg",), ["0.JPEG"]),
            (("jpg",), ["1.jpg"]),
            ((".jpg", ".jpeg"), ["0.JPEG", "1.jpg"]),
        ):
            found = read_tree(tmp_path / "pets", endings)
            assert [sample.image.path.name for sample in found.splits["train"]] == names
        with pytest.raises(UsageError, match=r"holds no pictures called \*\.png"):
            read_tree(tmp_path / "pets", (".png",))

    def test_no_pictures(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="holds no pictures"):
            read_tree(tmp_path)

    def test_lists_there_and_back(self, root: Path, tmp_path: Path) -> None:
        source = partition(formats.read(root), 0.6, 0.2, shuffle=True, seed=1)
        write_lists(source, tmp_path / "lists")
        back = read_list(tmp_path / "lists/validation.lst", root)
        assert back.problems == ()
        [(split, samples)] = back.splits.items()
        assert split == "validation"
        assert [s.image for s in samples] == [s.image for s in source.splits["validation"]]
        assert [s.classes for s in samples] == [s.classes for s in source.splits["validation"]]
        assert back.class_names == source.class_names

    def test_a_list_without_names(self, root: Path) -> None:
        (root / "all.lst").write_text("0\t2\tcat/0.jpg\n")
        assert read_list(root / "all.lst", root).class_names == ("0", "1", "2")
        (root / "classes.txt").write_text("cat\ndog\nfox\nowl\n")
        assert read_list(root / "all.lst", root).class_names == ("cat", "dog", "fox", "owl")

    def test_a_list_of_boxes(self, root: Path) -> None:
        (root / "all.lst").write_text("0\t2\t5\t1\t0.25\t0.25\t0.75\t0.75\tcat/0.jpg\n")
        data = read_list(root / "all.lst", root)
        assert (data.task, data.class_names) == ("detection", ("0", "1"))
        assert data.splits["train"][0].boxes == (Box(1, 16, 12, 48, 36),)


class TestPartition:
    def test_ratios(self, root: Path) -> None:
        data = partition(formats.read(root), 0.7, 0.1, shuffle=False, seed=0)
        assert {split: len(found) for split, found in data.splits.items()} == {"train": 7, "validation": 2, "test": 1}
        assert sorted(map(str, images(data))) == sorted(map(str, images(formats.read(root))))

    def test_the_seed_decides(self, root: Path) -> None:
        source = formats.read(root)
        one, two, three = (partition(source, 1, 0, shuffle=True, seed=seed) for seed in (1, 1, 2))
        assert one.splits == two.splits != three.splits

    @pytest.mark.parametrize(("train", "test"), [(0, 0.5), (0.9, 0.2), (-1, 0), (2, 0), (0.5, float("nan"))])
    def test_ratios_that_make_no_split(self, root: Path, train: float, test: float) -> None:
        with pytest.raises(UsageError, match="make no split"):
            partition(formats.read(root), train, test, shuffle=True, seed=0)

    def test_a_set_that_is_split_already(self, tmp_path: Path, class_folders: Tree) -> None:
        source = formats.read(class_folders(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 1}))
        with pytest.raises(UsageError, match="has the splits train, test already; leave the ratios out"):
            partition(source, 0.5, 0.5, shuffle=True, seed=0)
