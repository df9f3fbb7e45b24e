from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clary.errors import DataError
from clary.vision.base.types import Blob, Box, Dataset, Sample, TaskName
from clary.vision.datasets import likeness
from clary.vision.datasets.check import CheckResult, check, examine
from clary.vision.datasets.likeness import Look
from clary.vision.formats import FORMATS, read
from clary.vision.formats._masks import mask_png

Tree = Callable[..., Path]
Encoded = Callable[..., bytes]


@pytest.fixture
def root(tmp_path: Path, class_folders: Tree) -> Path:
    """Two classes of five clean pictures."""
    return class_folders(tmp_path / "pets", {"cat": 5, "dog": 5})


def lines(result: CheckResult, severity: str) -> list[str]:
    return [str(problem) for problem in result.problems if problem.severity == severity]


def bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG of a few bytes whose header promises 7.5 GB of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def test_a_clean_set_yields_nothing(root: Path) -> None:
    result = check(root)
    assert result.problems == ()
    assert len(result.dataset) == 10


class TestErrors:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "is empty (0 bytes); remove it or copy it again"),
            (b"this is no picture", "is not a picture; remove it or export it as JPEG or PNG"),
            (bomb(), "is a picture above the limit of 89 million pixels; make it smaller"),
        ],
        ids=["zero bytes", "text", "bomb"],
    )
    def test_pictures_that_cannot_be_used(self, root: Path, data: bytes, said: str) -> None:
        (root / "cat/1.jpg").write_bytes(data)
        result = check(root)
        assert lines(result, "error") == [f"cat/1.jpg: {said}"]
        assert len(result.dataset) == 9

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
    def test_truncated(self, root: Path, encoded: Encoded, format: str) -> None:
        data = encoded(format, seed=77)
        (root / "cat/1.jpg").write_bytes(data[: len(data) * 2 // 3])
        [line] = lines(check(root), "error")
        assert line.startswith("cat/1.jpg: is damaged or truncated (")
        assert line.endswith("; remove it or export it again")

    def test_a_picture_that_has_gone(self, root: Path) -> None:
        (root / "cat/1.jpg").unlink()
        (root / "cat/1.jpg").symlink_to(root / "nowhere.jpg")
        assert lines(check(root), "error") == [
            "cat/1.jpg: cannot be read (No such file or directory); copy it again or mend its permissions"
        ]

    def test_the_same_picture_in_two_classes(self, root: Path) -> None:
        (root / "dog/3.jpg").write_bytes((root / "cat/1.jpg").read_bytes())
        result = check(root)
        assert lines(result, "error") == [
            "cat/1.jpg: is `cat` here, the same picture has another label at dog/3.jpg (`dog`); keep the right one"
        ]
        assert len(result.dataset) == 8  # nobody knows which is right

    def test_all_bad_records_at_once_in_their_order(self, root: Path) -> None:
        for name in ("dog/4", "cat/3", "cat/0"):
            (root / f"{name}.jpg").write_bytes(b"")
        (root / "bird").mkdir()
        found = [problem.where for problem in check(root).errors]
        assert found == ["bird", "cat/0.jpg", "cat/3.jpg", "dog/4.jpg"]

    def test_the_line_of_a_list_is_named(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"a": 5, "b": 5})
        rows = [f"{n}\t{n % 2}\t{'ab'[n % 2]}/{n // 2}.jpg\n" for n in range(10)]
        (tmp_path / "train.lst").write_text("".join(rows))
        (tmp_path / "b/1.jpg").write_bytes(b"")
        assert lines(check(tmp_path), "error")[0].startswith("b/1.jpg (train.lst:4): is empty")

    def test_no_data_set(self, tmp_path: Path) -> None:
        with pytest.raises(DataError):
            check(tmp_path)


class TestNotes:
    @pytest.mark.parametrize(
        ("name", "make", "said"),
        [
            ("gray.jpg", lambda im: (im.convert("L"), "JPEG", {}), "is grayscale; it is used as gray RGB"),
            ("cmyk.jpg", lambda im: (im.convert("CMYK"), "JPEG", {}), "is CMYK, meant for print; it is converted"),
            ("deep.png", lambda im: (Image.fromarray(np.full((48, 64), 999, np.uint16)), "PNG", {}), "has 16 bits"),
            ("film.gif", lambda im: (im, "GIF", {"save_all": True, "append_images": [im.rotate(90)]}), "has 2 frames"),
            ("side.jpg", lambda im: (im, "JPEG", {"exif": _exif(6)}), "is turned by its EXIF orientation; it is used"),
            ("really.jpg", lambda im: (im, "PNG", {}), "is a PNG file; rename it to .png if that matters"),
            ("tiny.jpg", lambda im: (im.resize((31, 80)), "JPEG", {}), "is only 31 x 80 pixels; use a larger picture"),
        ],
    )
    def test_what_is_unusual(
        self, root: Path, image: Callable[..., np.ndarray], name: str, make: Callable[[Any], Any], said: str
    ) -> None:
        changed, format, options = make(Image.fromarray(image(64, 48, 123)))
        changed.save(root / "cat" / name, format, **options)
        result = check(root)
        assert lines(result, "error") == []
        assert [line for line in lines(result, "note") if said in line and line.startswith(f"cat/{name}: ")]
        assert len(result.dataset) == 11

    def test_endings_in_any_case_and_spelling(self, root: Path, encoded: Encoded) -> None:
        for name, format in (("a.JPEG", "JPEG"), ("b.PNG", "PNG"), ("c.jfif", "JPEG"), ("d.tif", "TIFF")):
            (root / "cat" / name).write_bytes(encoded(format, seed=len(name) + ord(name[0])))
        assert check(root).problems == ()

    def test_few_pictures_of_a_class(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"cat": 5, "dog": 4, "eel": 1})
        assert lines(check(tmp_path), "note") == [
            "train: class `dog` has only 4 pictures; give each class 5 or more",
            "train: class `eel` has only 1 picture; give each class 5 or more",
        ]

    def test_the_same_picture_twice_in_a_class(self, root: Path) -> None:
        (root / "cat/7.jpg").write_bytes((root / "cat/1.jpg").read_bytes())
        (root / "cat/8.jpg").write_bytes((root / "cat/1.jpg").read_bytes())
        result = check(root)
        assert lines(result, "note") == ["cat/1.jpg: is the same picture as cat/7.jpg, cat/8.jpg; remove one of them"]
        assert len(result.dataset) == 12

    def test_the_same_picture_in_train_and_test(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"train/cat": 5, "train/dog": 5})
        class_folders(tmp_path, {"test/cat": 2}, seed=4)  # the first is the last of train/cat
        [line] = lines(check(tmp_path), "note")
        assert line.startswith("train/cat/4.jpg: is in train, and in test as test/cat/0.jpg; leave it in one split")

    def test_equal_size_is_not_equal(self, root: Path, encoded: Encoded) -> None:
        for number in range(2):  # a bitmap's size depends on its shape only
            (root / "cat" / f"{number}.bmp").write_bytes(encoded("BMP", seed=500 + number))
        assert check(root).problems == ()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_progress_is_told_once_a_picture(root: Path) -> None:
    told: list[int] = []
    check(root, progress=told.append)
    assert told == [1] * 10


def test_pictures_stay_closed_without_decode(root: Path) -> None:
    (root / "cat/1.jpg").write_bytes(b"no picture")
    result = check(root, decode=False)
    assert result.problems == ()
    assert len(result.dataset) == 10


def test_twice_the_same(root: Path) -> None:
    for number in range(4):
        (root / f"cat/{number}.jpg").write_bytes(b"%d" % number)
    assert check(root).problems == check(root).problems


@pytest.mark.pets
def test_real_pets(pets: Path) -> None:
    result = check(pets)
    assert lines(result, "error") == []
    assert [problem.where for problem in result.notes] == [
        "images",
        "images/Abyssinian_5.jpg (annotations/test.txt:45)",
        "test",  # Abyssinian_99 is Abyssinian_151 without its watermark
    ]
    assert "is a PNG file" in result.notes[1].what


class TestBoxes:
    def data(self, root: Path, *boxes: Box, task: TaskName = "detection") -> CheckResult:
        (root / "dog").rename(root.parent / "other")
        paths = sorted(root.rglob("*.jpg"))
        samples = (
            Sample(Blob(paths[0]), (0,), boxes),
            *(Sample(Blob(p), (0,), (Box(0, 0, 0, 9, 9),)) for p in paths[1:]),
        )
        return examine(Dataset(root, "memory", ("cat", "dog"), {"train": samples}, task))

    @pytest.mark.parametrize(
        ("box", "said"),
        [
            (Box(0, 10, 10, 80, 40), "has a box of cat outside its 64 x 48 pixels, xmin 10 ymin 10 xmax 80 ymax 40"),
            (Box(1, -5, 10, 30, 40), "has a box of dog outside its 64 x 48 pixels"),
            (Box(0, 30, 10, 10, 40), "has a box of cat that is inverted or has no area"),
            (Box(0, 30, 10, 40, 10), "has a box of cat that is inverted or has no area"),
        ],
    )
    def test_boxes_that_do_not_fit(self, root: Path, box: Box, said: str) -> None:
        result = self.data(root, Box(0, 0, 0, 64.6, 48), box)
        [line] = lines(result, "error")
        assert line.startswith("cat/0.jpg: ")
        assert said in line
        assert len(result.dataset) == 4

    def test_boxes_of_a_picture_as_stored(self, root: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        with Image.open(root / "cat/0.jpg") as image:
            image.load()
            image.save(root / "cat/0.jpg", exif=exif)
        [line] = lines(self.data(root, Box(0, 0, 0, 60, 40)), "error")
        assert "outside its 48 x 64 pixels" in line
        assert "it fits the picture as stored, not as shown" in line

    @pytest.mark.parametrize("boxes", [69, 70])
    def test_more_boxes_than_a_job_takes_by_default(self, root: Path, boxes: int) -> None:
        told = [
            line for line in lines(self.data(root, *[Box(0, 1, 1, 20, 20)] * boxes), "note") if "label_width" in line
        ]
        if boxes == 69:
            assert told == []
        else:
            [line] = told
            assert "cat/0.jpg" in line
            assert "has 70 boxes" in line
            assert "a training job needs label_width 352 or more, the default is 350" in line

    def test_pictures_without_boxes_are_noted(self, root: Path) -> None:
        assert "train: has 1 picture without a box; they teach what is background" in lines(self.data(root), "note")

    def test_the_same_box_twice_is_noted(self, root: Path) -> None:
        twice = [Box(0, 10, 10, 30, 30), Box(0, 10.2, 10, 30, 29.9), Box(1, 10, 10, 30, 30), Box(0, 11, 10, 30, 30)]
        result = self.data(root, *twice)
        assert [line for line in lines(result, "note") if "times" in line] == [
            "cat/0.jpg: has the same box of cat 2 times; remove one of them; a network cannot find both, and is judged "
            "by both"
        ]


class TestMasks:
    def data(self, root: Path, mask: bytes, names: int = 3) -> CheckResult:
        good = mask_png((np.arange(48 * 64).reshape(48, 64) % 3).astype(np.uint8))
        samples = []
        for number, path in enumerate(sorted(root.rglob("*.jpg"))):
            path.with_suffix(".png").write_bytes(mask if number == 0 else good)
            samples.append(Sample(Blob(path), mask=Blob(path.with_suffix(".png"))))
        classes = tuple(f"class {n}" for n in range(names))
        return examine(Dataset(root, "memory", classes, {"train": tuple(samples)}, "segmentation"))

    def test_pixels_are_counted(self, root: Path) -> None:
        result = self.data(root, mask_png(np.full((48, 64), 1, np.uint8)))
        assert result.problems == ()
        assert result.pixels == {"train": (9 * 1024, 9 * 1024 + 48 * 64, 9 * 1024)}

    @pytest.mark.parametrize(
        ("ids", "said"),
        [
            (np.zeros((64, 48), np.uint8), "is 48 x 64 pixels, its picture 64 x 48; make both of one size"),
            (np.full((48, 64), 7, np.uint8), "has the class id 7, with 3 classes they run from 0 to 2"),
            (np.arange(48 * 64).reshape(48, 64).astype(np.uint8) % 9, "has the class id 3, 4, 5 and 3 more, with 3 cl"),
        ],
    )
    def test_masks_that_do_not_fit(self, root: Path, ids: np.ndarray, said: str) -> None:
        result = self.data(root, mask_png(ids))
        [line] = lines(result, "error")
        assert line.startswith("cat/0.png: ")
        assert said in line
        assert len(result.dataset) == 9

    def test_an_rgb_mask(self, root: Path, encoded: Encoded) -> None:
        [line] = lines(self.data(root, encoded("PNG")), "error")
        assert line.startswith("cat/0.png: is RGB with 8 bits a channel, not a mask of one channel")

    def test_a_truncated_mask(self, root: Path) -> None:
        data = mask_png(np.random.default_rng(0).integers(0, 3, (48, 64)).astype(np.uint8))
        [line] = lines(self.data(root, data[: len(data) // 2]), "error")
        assert line.startswith("cat/0.png: is damaged or truncated")

    def test_a_mask_of_nothing(self, root: Path) -> None:
        result = self.data(root, mask_png(np.full((48, 64), 255, np.uint8)))
        assert lines(result, "note")[0] == "cat/0.png: has no pixel of any class; it teaches nothing"


def test_packed_pictures_are_named_by_record(tmp_path: Path, root: Path) -> None:
    FORMATS.get("recordio").write(read(root), tmp_path / "packed")
    path = tmp_path / "packed/train.rec"
    second = read(tmp_path / "packed").splits["train"][1]
    data = bytearray(path.read_bytes())
    data[second.image.offset + 300 : second.image.offset + second.image.size] = b"\0" * (second.image.size - 300)
    path.write_bytes(data)
    errors = lines(check(tmp_path / "packed"), "error")
    assert len(errors) <= 1
    assert all(line.startswith(second.source) for line in errors)
    (tmp_path / "packed/train.idx").write_text("0\t0\n")
    assert any(
        "train.idx:1: lists 1 records, train.rec holds 10" in line
        for line in lines(check(tmp_path / "packed"), "error")
    )


class TestRule:
    """What ends a training: one rule for ``clary train`` and for jobs."""

    def spoiled(self, root: Path, fault: str) -> CheckResult:
        if fault == "cut off":
            data = (root / "cat/1.jpg").read_bytes()
            (root / "cat/1.jpg").write_bytes(data[: len(data) * 2 // 3])
        elif fault == "two labels":
            (root / "cat/1.jpg").write_bytes((root / "dog/1.jpg").read_bytes())
        elif fault == "no picture":
            (root / "cat/1.jpg").write_bytes(b"no picture")
        elif fault == "left out by its layout":
            (root / "bird").mkdir()
        return check(root)

    @pytest.mark.parametrize("fault", ["cut off", "two labels", "no picture", "left out by its layout"])
    def test_clary_train_goes_on_with_no_error(self, root: Path, fault: str) -> None:
        result = self.spoiled(root, fault)
        with pytest.raises(DataError) as caught:
            result.refuse(job=False)
        assert str(caught.value) == str(result.errors[0])

    @pytest.mark.parametrize("fault", ["cut off", "two labels", "left out by its layout"])
    def test_a_job_goes_on_with_what_the_original_trains_on(self, root: Path, fault: str) -> None:
        self.spoiled(root, fault).refuse(job=True)

    def test_a_job_ends_by_what_nobody_could_use(self, root: Path) -> None:
        (root / "dog/1.jpg").write_bytes(b"")
        with pytest.raises(DataError, match=r"^cat/1.jpg: is not a picture \(1 more: the log names all\); remove it"):
            self.spoiled(root, "no picture").refuse(job=True)

    def test_a_clean_set_is_refused_by_nobody(self, root: Path) -> None:
        for job in (True, False):
            check(root).refuse(job=job)


class TestLeftOut:
    def test_every_file_is_counted_by_reason(self, root: Path) -> None:
        for name in ("cat/.DS_Store", "cat/notes.txt", "dog/README"):
            (root / name).write_bytes(b"")
        (root / "beside.jpg").write_bytes((root / "cat/0.jpg").read_bytes())
        (root / "cat/1.jpg").write_bytes(b"no picture")
        (root / "dog/0.jpg").write_bytes((root / "cat/2.jpg").read_bytes())
        assert check(root).left_out == {
            "hidden or no picture": 3,
            "one picture with several labels": 2,
            "beside the class folders": 1,
            "not a picture": 1,
        }

    def test_pictures_that_no_list_names(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"a": 6, "b": 5})
        rows = [f"{n}\t{n % 2}\t{'ab'[n % 2]}/{n // 2}.jpg\n" for n in range(10)]
        (tmp_path / "train.lst").write_text("".join(rows) + "11\t0\ta/gone.jpg\n")
        result = check(tmp_path)
        assert result.left_out == {"faulty": 1, "in no list": 1}
        assert any("has 1 picture in no list, left out: a/5.jpg" in note for note in lines(result, "note"))

    @pytest.mark.parametrize(
        ("name", "task"), [("coco", "detection"), ("voc", "detection"), ("augmented-manifest", None)]
    )
    def test_in_no_list_of_other_layouts(
        self, tmp_path: Path, encoded: Encoded, name: str, task: TaskName | None, pets: Path
    ) -> None:
        found = read(pets, task=task)
        few = found.with_splits({"train": found.splits["train"][:12]})
        FORMATS.get(name).write(few, tmp_path / name)
        [first, *_] = sorted(path for path in (tmp_path / name).rglob("*.jpg"))
        (first.parent / "extra.jpg").write_bytes(encoded(seed=9))
        assert check(tmp_path / name, task=task).left_out == {"in no list": 1}


class TestAlike:
    def saved_again(self, data: bytes, **options: Any) -> bytes:
        stream = io.BytesIO()
        image = Image.open(io.BytesIO(data))
        image.resize((image.width // 2, image.height // 2)).save(stream, "JPEG", quality=40, **options)
        return stream.getvalue()

    def test_across_splits(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"train/cat": 5, "train/dog": 5})
        class_folders(tmp_path, {"test/cat": 5, "test/dog": 5}, seed=100)
        for name in ("cat/0", "cat/1"):
            (tmp_path / f"test/{name}.jpg").write_bytes(self.saved_again((tmp_path / f"train/{name}.jpg").read_bytes()))
        assert [line for line in lines(check(tmp_path), "note") if "nearly" in line] == [
            "test: has 2 pictures nearly like one of train: train/cat/0.jpg and test/cat/0.jpg, train/cat/1.jpg and "
            "test/cat/1.jpg; leave those that show the same in one split, else scores come out too good"
        ]

    def test_within_a_split_and_of_one_colour_are_none(self, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path, {"train/cat": 5, "train/dog": 5})
        class_folders(tmp_path, {"test/cat": 5, "test/dog": 5}, seed=100)
        (tmp_path / "train/cat/9.jpg").write_bytes(self.saved_again((tmp_path / "train/cat/0.jpg").read_bytes()))
        for number, split in enumerate(("train", "test")):
            Image.new("RGB", (64, 48), (200, 30, 30 + number)).save(tmp_path / split / "cat/plain.jpg")
        assert [line for line in lines(check(tmp_path), "note") if "nearly" in line] == []

    def test_time_grows_with_the_number_of_pictures_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Thousands with the same signs and other contents, the worst there is: each is compared with a few."""
        compared: list[Look] = []

        def alike(one: Look, other: Look) -> bool:
            compared.append(one)
            return False

        monkeypatch.setattr(likeness, "_alike", alike)
        small = np.zeros((16, 16), np.uint8)
        samples = [Sample(Blob(Path(f"{n}.jpg"))) for n in range(2000)]
        looks = {id(sample): Look(12345, small) for sample in samples}
        data = Dataset(Path(), "folder", ("a",), {"train": tuple(samples[::2]), "test": tuple(samples[1::2])})
        assert list(likeness.alike_across_splits(data, looks, str)) == []
        assert 0 < len(compared) <= 4 * likeness.NEAR * len(samples)


class TestUneven:
    @pytest.mark.parametrize(("many", "noted"), [(98, False), (100, True)])
    def test_one_class_fifty_times_another(self, tmp_path: Path, class_folders: Tree, many: int, noted: bool) -> None:
        class_folders(tmp_path, {"cat": many, "dog": 2}, width=32, height=32)
        found = [line for line in lines(check(tmp_path), "note") if "times as many" in line]
        what = "train: class `cat` has 50 times as many pictures as `dog` (100 and 2)"
        assert found == [f"{what}; add pictures of the rare class, or judge by the numbers of each class"] * noted


def test_pictures_of_phones_are_read(root: Path, encoded: Encoded) -> None:
    """They were left out as no pictures."""
    heic = Path(__file__).parents[1] / "base" / "heic" / "plain.heic"
    (root / "cat" / "IMG_0001.HEIC").write_bytes(heic.read_bytes())
    (root / "dog" / "a.avif").write_bytes(encoded("AVIF", seed=4711))
    result = check(root)
    assert result.problems == ()
    assert result.dataset.counts("train") == [6, 6]


class TestBlackAndWhite:
    """Masks of 0 and 255, as image editors write them for two classes."""

    def data(self, root: Path, jpeg: Encoded, *values: int, split: str = "") -> Path:
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for number in range(6):
            ids = np.zeros((48, 64), np.uint8)
            for place, value in enumerate(values):
                ids[8 * place : 8 * place + 8] = value
            (root / "images" / split / f"{number}.jpg").write_bytes(jpeg(64, 48, number + len(split)))
            Image.fromarray(ids).save(root / "masks" / split / f"{number}.png")
        return root

    def test_are_two_classes_with_a_note(self, tmp_path: Path, jpeg: Encoded) -> None:
        result = check(self.data(tmp_path, jpeg, 0, 255))
        assert result.dataset.class_names == ("background", "foreground")
        assert lines(result, "error") == []
        note = "masks: has masks of 0 and 255 only; 255 is read as class 1 here; in a SageMaker job it is void"
        assert note in lines(result, "note")
        assert result.pixels == {"train": (6 * 40 * 64, 6 * 8 * 64)}
        assert result.ignored == {"train": 0}

    def test_of_two_named_classes_too(self, tmp_path: Path, jpeg: Encoded) -> None:
        root = self.data(tmp_path, jpeg, 0, 255)
        (root / "classes.txt").write_text("lawn\npath\n")
        assert check(root).pixels == {"train": (6 * 40 * 64, 6 * 8 * 64)}
        assert check(root).dataset.class_names == ("lawn", "path")

    @pytest.mark.parametrize("values", [(0, 1, 255), (0, 1)])
    def test_of_other_masks_255_stays_ignored(self, values: tuple[int, ...], tmp_path: Path, jpeg: Encoded) -> None:
        result = check(self.data(tmp_path, jpeg, *values))
        assert result.dataset.class_names == ("0", "1")
        assert result.ignored == {"train": 6 * 8 * 64 * (255 in values)}
        assert not any("255 is read as" in line for line in lines(result, "note"))

    def test_of_three_named_classes_are_an_error_with_the_remedy(self, tmp_path: Path, jpeg: Encoded) -> None:
        root = self.data(tmp_path, jpeg, 0, 255)
        (root / "classes.txt").write_text("lawn\npath\nwall\n")
        assert lines(check(root), "error") == [
            "train: shows one class in all its masks, `lawn`, all others are 255, which is ignored; write 1 in place "
            'of 255, or give a label map: {"map": {"0": 0, "1": 255}}'
        ]
        (root / "label_map.json").write_text('{"map": {"0": 0, "1": 255}}')
        assert lines(check(root), "error") == []
        assert check(root).pixels == {"train": (6 * 40 * 64, 6 * 8 * 64, 0)}

    def test_written_and_read_again(self, tmp_path: Path, jpeg: Encoded) -> None:
        found = read(self.data(tmp_path / "a", jpeg, 0, 255), task="segmentation")
        FORMATS.get("sagemaker-png").write(found, tmp_path / "b")
        assert check(tmp_path / "b").pixels == {"train": (6 * 40 * 64, 6 * 8 * 64)}


class TestMasksTogether:
    def test_how_much_is_ignored_is_said(self, tmp_path: Path, jpeg: Encoded, cli: Callable[..., Any]) -> None:
        root = TestBlackAndWhite().data(tmp_path, jpeg, 0, 1, 255)
        note = "train: 16.7 % of the pixels of its masks are 255, which is ignored"
        assert note in lines(check(root), "note")
        assert "train: 16.7 % of the pixels of the masks are ignored (255)" in cli("data", "check", root)[1]

    def test_a_class_without_a_pixel_is_named(self, tmp_path: Path, jpeg: Encoded) -> None:
        root = TestBlackAndWhite().data(tmp_path, jpeg, 0, 2)
        (root / "classes.txt").write_text("lawn\npath\nwall\n")
        assert lines(check(root), "note") == [
            "train: has no pixel of class `path` in any mask; a class without pixels is never learnt, and counts 0 in "
            "mIOU"
        ]

    def test_one_class_alone(self, tmp_path: Path, jpeg: Encoded) -> None:
        root = TestBlackAndWhite().data(tmp_path, jpeg, 0)
        (root / "classes.txt").write_text("lawn\npath\n")
        said = "train: shows one class in all its masks, `lawn`; add masks of a second class"
        assert lines(check(root), "error") == [said]

    def test_more_classes_than_a_mask_can_hold(self, tmp_path: Path, jpeg: Encoded, cli: Callable[..., Any]) -> None:
        root = TestBlackAndWhite().data(tmp_path, jpeg, 0, 1)
        (root / "classes.txt").write_text("".join(f"c{n}\n" for n in range(300)))
        said = "its classes are 300, a pixel has one of at most 255; leave some out, or put some together"
        assert lines(check(root), "error") == [f"images: {said}"]
        code, _, error = cli("train", "segmentation", root, "--out", tmp_path / "run")
        assert (code, error.strip().splitlines()[-1]) == (2, f"clary: images: {said}")
