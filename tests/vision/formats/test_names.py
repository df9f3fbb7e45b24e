"""Names in any encoding and form: read, shown apart, and written so that they read back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from clary.errors import UsageError
from clary.vision import formats
from clary.vision.base.files import append_text, write_json, write_text
from clary.vision.base.types import Blob, Box, Dataset, Sample
from clary.vision.datasets import pack
from clary.vision.datasets.check import check
from clary.vision.formats._classes import names_up_to, readable
from clary.vision.formats._files import distinct_name
from clary.vision.formats._wording import apart, shown, typed

Jpeg = Callable[..., bytes]

RAW = os.fsdecode(b"caf\xe9")  # Latin-1 on the disk
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.fixture
def latin(tmp_path: Path, jpeg: Jpeg) -> Path:
    """Class folders, one of them and one of its pictures called in Latin-1."""
    for name in (RAW, "dog"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for number in range(6):
            (tmp_path / "in" / name / f"{number}.jpg").write_bytes(jpeg(64, 48, number + 9 * len(name)))
    (tmp_path / "in" / RAW / os.fsdecode(b"\xfc.jpg")).write_bytes(jpeg(64, 48, 99))
    return tmp_path / "in"


class TestNoUtf8:
    def test_the_class_has_a_name_that_can_be_written(self, latin: Path) -> None:
        found = check(latin)
        assert found.dataset.class_names == ("café", "dog")
        assert [str(note) for note in found.notes if "UTF-8" in note.what] == [
            r"caf\udce9: is no UTF-8 name, its class is called `café`; rename the folder if it is not"
        ]

    @pytest.mark.parametrize("task", ["classification", "detection", "segmentation"])
    @pytest.mark.parametrize("layout", formats.FORMATS.names())
    def test_every_layout_is_written_and_reads_back(self, layout: str, task: str, latin: Path, tmp_path: Path) -> None:
        target = formats.FORMATS.get(layout)
        names = formats.read(latin).class_names
        if task not in target.written_for or (layout == "oxford" and task != "classification"):
            pytest.skip("not written for it")
        samples = formats.read(latin).splits["train"]
        if task == "detection":
            samples = tuple(Sample(s.image, s.classes, (Box(s.classes[0], 1, 2, 30, 40),)) for s in samples)
        if task == "segmentation":
            samples = tuple(Sample(s.image, mask=_mask(tmp_path / f"{n}.png", n % 2)) for n, s in enumerate(samples))
        target.write(Dataset(latin, "folder", names, {"train": samples}, task), tmp_path / "out")
        read = formats.read(tmp_path / "out", task=task)
        assert [problem for problem in read.problems if problem.severity == "error"] == []
        assert len(read) == len(samples)
        assert read.class_names[-2:] == names or layout in ("recordio", "lst") or task == "segmentation"
        for path in (tmp_path / "out").rglob("*"):
            assert str(path).isprintable()

    def test_the_command_converts_and_prints(self, latin: Path, tmp_path: Path) -> None:
        for arguments in (["check", str(latin)], ["convert", str(latin), str(tmp_path / "out"), "--to", "recordio"]):
            command = [sys.executable, "-m", "clary", "data", *arguments]
            done = subprocess.run(command, capture_output=True, check=False, timeout=60)
            assert done.returncode == 0, done.stderr
            assert "café" in done.stdout.decode()

    def test_trees_and_lists(self, latin: Path, tmp_path: Path) -> None:
        found = pack.read_tree(latin)
        assert found.class_names == ("café", "dog")
        pack.pack(found, tmp_path / "packed", pack.Packing())
        assert (tmp_path / "packed" / "classes.txt").read_text("utf-8") == "café\ndog\n"
        with pytest.raises(UsageError, match=r"the path `'caf\\udce9/0\.jpg'` cannot be in a list, which is UTF-8"):
            pack.write_lists(found, tmp_path / "lists")
        assert not (tmp_path / "lists").exists()

    def test_files_of_text(self, tmp_path: Path) -> None:
        write_text(tmp_path / "a", f"<p>{RAW}</p>")
        append_text(tmp_path / "a", RAW)
        assert (tmp_path / "a").read_text("utf-8") == r"<p>caf\udce9</p>caf\udce9"
        write_json(tmp_path / "b", {"name": RAW})
        assert json.loads((tmp_path / "b").read_text("utf-8")) == {"name": RAW}

    @pytest.mark.parametrize(
        ("name", "known"),
        [
            (RAW, "café"),
            (os.fsdecode(b"\x80 5"), "€ 5"),  # Windows-1252
            (os.fsdecode(b"\x81\xe9"), "\ufffdé"),
            ("half \ud83d", "half \ufffd"),
            ("Łódź", "Łódź"),
        ],
    )
    def test_are_made_readable(self, name: str, known: str) -> None:
        assert readable(name) == known
        assert names_up_to(1, [name]) == (known,)

    def test_two_that_become_one_stay_two(self) -> None:
        assert names_up_to(2, [RAW, "café"]) == ("café", "1")


def _mask(path: Path, value: int) -> Blob:
    import numpy as np

    from clary.vision.formats._masks import mask_png

    path.write_bytes(mask_png(np.full((48, 64), value, np.uint8)))
    return Blob(path)


@pytest.mark.parametrize(("listed", "stored"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
class TestForms:
    """An accent belongs to its letter, or is a mark after it; macOS stores the latter, editors write the former."""

    @pytest.fixture
    def picture(self, tmp_path: Path, jpeg: Jpeg, stored: str) -> Callable[[str], Path]:
        def put(folder: str) -> Path:
            path = tmp_path / folder / f"{stored}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg())
            shutil.copy(path, path.with_name("b.jpg"))
            return tmp_path

        return put

    def only(self, root: Path, task: str) -> None:
        found = formats.read(root, task=task)
        names = [sample.image.path.name for sample in found.splits["train"]]
        assert [unicodedata.normalize("NFC", name) for name in sorted(names)] == ["b.jpg", f"{COMPOSED}.jpg"]
        assert all(sample.image.path.is_file() for sample in found.splits["train"])

    def test_lst(self, picture: Callable[[str], Path], listed: str) -> None:
        root = picture("x")
        (root / "train.lst").write_text(f"1\t0\tx/{listed}.jpg\n2\t1\tx/b.jpg\n", "utf-8")
        self.only(root, "classification")

    def test_manifest(self, picture: Callable[[str], Path], listed: str) -> None:
        root = picture("x")
        lines = [{"source-ref": f"s3://bucket/x/{name}.jpg", "class": 0} for name in (listed, "b")]
        (root / "train.manifest").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        self.only(root, "classification")

    def test_coco(self, picture: Callable[[str], Path], listed: str) -> None:
        root = picture("train")
        images = [{"id": n, "file_name": f"{name}.jpg"} for n, name in enumerate((listed, "b"))]
        boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 5, 5]} for n in range(2)]
        value = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
        (root / "annotations").mkdir()
        (root / "annotations" / "instances_train.json").write_text(json.dumps(value))
        self.only(root, "detection")

    def test_yolo(self, picture: Callable[[str], Path], listed: str) -> None:
        root = picture("images")
        (root / "labels").mkdir()
        for name in (listed, "b"):
            (root / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        self.only(root, "detection")
        assert all(sample.boxes for sample in formats.read(root).splits["train"])

    def test_voc(self, picture: Callable[[str], Path], listed: str) -> None:
        from clary.vision.formats._voc import annotation

        root = picture("JPEGImages")
        (root / "Annotations").mkdir()
        (root / "ImageSets" / "Main").mkdir(parents=True)
        for name in (listed, "b"):
            (root / "Annotations" / f"{name}.xml").write_bytes(annotation(name, 64, 48, [Box(0, 1, 1, 9, 9)], ["cat"]))
        (root / "ImageSets" / "Main" / "train.txt").write_text(f"{listed}\nb\n", "utf-8")
        self.only(root, "detection")


def test_names_that_differ_by_their_form_are_one_on_some_disks() -> None:
    taken: dict[str, int] = {}
    assert [distinct_name(f"{name}.jpg", taken) for name in (COMPOSED, DECOMPOSED)] == [
        f"{COMPOSED}.jpg",
        f"{DECOMPOSED}-2.jpg",
    ]


class TestShown:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("cat", "`cat`"),
            ("café", "`café`"),
            (DECOMPOSED, r"`'cafe\u0301'`"),
            ("a\\b.jpg", r"`'a\\b.jpg'`"),
            (" cat", "`' cat'`"),
            ("", "`''`"),
            ("zero\u200bwidth", r"`'zero\u200bwidth'`"),
            ("x" * 70, f"`{'x' * 60}...`"),
            ("1.5", "`1.5`"),
        ],
    )
    def test_text(self, text: str, said: str) -> None:
        assert shown(text) == said

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("0", "`'0'`"),
            (0, "`0`"),
            (0.0, "`0.0`"),
            ("0.0", "`'0.0'`"),
            (True, "`True`"),
            ("true", "`'true'`"),
            (None, "`None`"),
            ("cat", "`cat`"),
            (["0", 0], "`['0', 0]`"),
        ],
    )
    def test_values_of_json(self, value: object, said: str) -> None:
        assert typed(value) == said

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("0", 0),
            (0, 0.0),
            (1, True),
            (COMPOSED, DECOMPOSED),
            ("cafe", COMPOSED),
            ("apple", "\u0430pple"),  # a Cyrillic a
            ("cat", "cat "),
            ("cat", "c\u200bat"),
            ("x" * 100 + "1", "x" * 100 + "2"),
            ("x" * 100, "x" * 101),
        ],
    )
    def test_no_two_look_equal(self, first: object, second: object) -> None:
        one, other = apart(first, second)
        assert one != other
        assert (one + other).isascii()

    def test_what_looks_different_stays_as_it_is(self) -> None:
        assert apart("chat", "köttur") == ("`chat`", "`köttur`")
        assert apart("犬", "猫") == ("`犬`", "`猫`")
