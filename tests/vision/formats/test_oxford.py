from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clary.errors import DataError, UsageError
from clary.vision import formats
from clary.vision.base.types import Blob, Box, Dataset, Sample, TaskName
from clary.vision.formats.oxford import Oxford, parse_row

LINES = [
    "Bengal_1 6 1 2",
    "Bengal_2 6 1 2",
    "american_bulldog_1 2 2 1",
    "american_bulldog_2 2 2 1",
    "Abyssinian_10 1 1 1",
    "Abyssinian_11 1 1 1",
]
TEST = ["Bengal_3 6 1 2", "american_bulldog_3 2 2 1", "Abyssinian_12 1 1 1"]
XML = """<annotation><filename>{name}.jpg</filename><size><width>64</width><height>48</height></size><object>
<name>{species}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>48</ymax></bndbox></object></annotation>"""


@pytest.fixture
def root(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    for seed, line in enumerate([*LINES, *TEST]):
        (tmp_path / "images" / f"{line.split()[0]}.jpg").write_bytes(jpeg(seed=seed))
    write(tmp_path, "list.txt", ["#Image CLASS-ID SPECIES BREED ID", *LINES, *TEST])
    write(tmp_path, "trainval.txt", LINES)
    write(tmp_path, "test.txt", TEST)
    return tmp_path


def write(root: Path, name: str, lines: Iterable[str]) -> None:
    (root / "annotations" / name).write_text("".join(f"{line}\n" for line in lines))


def errors(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems if problem.severity == "error"]


def notes(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems if problem.severity == "note"]


def add_boxes_and_trimaps(root: Path) -> None:
    """A box and a trimap for every picture."""
    for folder in ("xmls", "trimaps"):
        (root / "annotations" / folder).mkdir()
    for line in [*LINES, *TEST]:
        name, _, species, _ = line.split()
        text = XML.format(name=name, species="cat" if species == "1" else "dog")
        (root / "annotations/xmls" / f"{name}.xml").write_text(text)
        trimap = np.full((48, 64), 2, np.uint8)
        trimap[10:30, 10:40], trimap[12:28, 12:38] = 3, 1
        Image.fromarray(trimap).save(root / "annotations/trimaps" / f"{name}.png")


class TestReading:
    def test_classes_are_in_the_order_of_class_ids(self, root: Path) -> None:
        data = formats.read(root)
        assert data.class_names == ("Abyssinian", "american_bulldog", "Bengal")
        assert data.problems == ()
        assert [s.classes[0] for s in data.splits["train"]] == [2, 2, 1, 1, 0, 0]
        assert data.counts("test") == [1, 1, 1]

    def test_species(self, root: Path) -> None:
        data = formats.read(root, labels="species")
        assert data.class_names == ("cat", "dog")
        assert [s.classes[0] for s in data.splits["train"]] == [0, 0, 1, 1, 0, 0]

    def test_the_source_is_file_and_line(self, root: Path) -> None:
        write(root, "trainval.txt", ["# a comment", "", *LINES])
        assert formats.read(root).splits["train"][0].source == "annotations/trainval.txt:3"

    def test_windows_lines_and_a_byte_order_mark(self, root: Path) -> None:
        text = "\ufeff" + "\r\n".join(LINES) + "\r\n"
        (root / "annotations" / "trainval.txt").write_bytes(text.encode())
        data = formats.read(root)
        assert data.problems == ()
        assert len(data.splits["train"]) == 6

    def test_boxes_and_masks(self, root: Path, encoded: Callable[..., bytes]) -> None:
        for folder in ("xmls", "trimaps"):
            (root / "annotations" / folder).mkdir()
        (root / "annotations/xmls/Bengal_1.xml").write_text(XML.format(name="Bengal_1", species="cat"))
        (root / "annotations/xmls/american_bulldog_1.xml").write_text(XML.format(name="a", species="dog"))
        (root / "annotations/trimaps/Bengal_1.png").write_bytes(encoded("PNG"))
        (root / "annotations/trimaps/._Bengal_2.png").write_bytes(b"left by another system")
        bengal, other, dog, *_ = formats.read(root).splits["train"]
        assert bengal.boxes == (Box(0, 0, 1, 30, 48),)
        assert dog.boxes == (Box(1, 0, 1, 30, 48),)
        assert bengal.mask is not None
        assert bengal.mask.read() == encoded("PNG")
        assert other.mask is None

    def test_detection_keeps_pictures_with_boxes(self, root: Path) -> None:
        (root / "annotations/xmls").mkdir()
        (root / "annotations/xmls/Bengal_1.xml").write_text(XML.format(name="Bengal_1", species="cat"))
        (root / "annotations/xmls/american_bulldog_2.xml").write_text(XML.format(name="a", species="dog"))
        data = formats.read(root, task="detection")
        assert data.class_names == ("cat", "dog")
        assert [s.classes for s in data.splits["train"]] == [(0,), (1,)]
        assert "has no box for 4 listed pictures" in notes(data)[0]
        assert data.splits.keys() == {"train"}

    def test_pictures_in_no_list_are_counted_in_one_note(self, root: Path, jpeg: Callable[..., bytes]) -> None:
        for name in ("Bengal_34.jpg", "Bengal_82.jpg", "._Bengal_1.jpg", "Bengal_1.mat"):
            (root / "images" / name).write_bytes(jpeg())
        data = formats.read(root)
        assert errors(data) == []
        [note] = notes(data)
        assert note.startswith("images: has 2 pictures in no list, left out: Bengal_34.jpg, Bengal_82.jpg;")

    def test_without_list_txt(self, root: Path) -> None:
        (root / "annotations/list.txt").unlink()
        data = formats.read(root)
        assert data.class_names == ("Abyssinian", "american_bulldog", "Bengal")
        assert errors(data) == []
        assert notes(data) == ["annotations/list.txt: is missing; put it back from annotations.tar.gz"]

    def test_without_trainval_txt(self, root: Path) -> None:
        (root / "annotations/trainval.txt").unlink()
        assert errors(formats.read(root))[0].startswith("annotations/trainval.txt: is missing;")


class TestMistakes:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("Bengal_1 6 1", "has 3 columns, not 4"),
            ("Bengal_1\t6\t1\t2\t9", "has 5 columns, not 4"),
            ("Bengal 6 1 2", "`Bengal` is not named <class>_<number>"),
            ("../Bengal_1 6 1 2", "`../Bengal_1` is not named"),
            ("Bengal_1 six 1 2", "`six 1 2` are not three whole numbers"),
            ("Bengal_1 6 3 2", "has species 3; use 1 for cat, 2 for dog"),
            ("Bengal_9 6 1 2", "names Bengal_9, which is not in images/; put it back or remove the line"),
            ("Bengal_1 7 1 2", "says class 7, species 1, annotations/list.txt:2 says 6, 1; mend one"),
            ("Bengal_2 6 1 2", "lists Bengal_2 again after annotations/trainval.txt:1; remove one line"),
        ],
    )
    def test_a_bad_line_is_named_and_left_out(self, root: Path, line: str, said: str) -> None:
        write(root, "trainval.txt", [*LINES[1:3], line, *LINES[3:]])
        data = formats.read(root)
        [found] = [error for error in errors(data) if error.startswith("annotations/trainval.txt:3: ")]
        assert said in found
        assert len(data.splits["train"]) == 5

    def test_a_class_of_two_names(self, root: Path, jpeg: Callable[..., bytes]) -> None:
        (root / "images" / "Siamese_1.jpg").write_bytes(jpeg(seed=99))
        write(root, "trainval.txt", [*LINES, "Siamese_1 6 1 9"])
        data = formats.read(root)
        assert errors(data) == [
            "annotations/trainval.txt:7: makes Siamese class 6, annotations/list.txt:2 makes Bengal class 6; "
            "mend the class id"
        ]
        assert data.class_names == ("Abyssinian", "american_bulldog", "Bengal")

    def test_a_name_of_two_classes(self, root: Path, jpeg: Callable[..., bytes]) -> None:
        (root / "images" / "Bengal_77.jpg").write_bytes(jpeg(seed=99))
        write(root, "trainval.txt", [*LINES, "Bengal_77 9 1 9"])
        assert "makes Bengal class 9, annotations/list.txt:2 makes Bengal class 6" in errors(formats.read(root))[0]

    def test_a_picture_in_both_lists(self, root: Path) -> None:
        write(root, "test.txt", [*TEST, LINES[0]])
        data = formats.read(root)
        assert errors(data) == [
            "annotations/test.txt:4: lists Bengal_1, which annotations/trainval.txt:1 has as well; "
            "leave it in one of the two"
        ]
        assert len(data) == 9

    def test_pictures_only_list_txt_has(self, root: Path) -> None:
        write(root, "list.txt", [*LINES, *TEST, "Bengal_9 6 1 2"])
        write(root, "trainval.txt", LINES[1:])
        data = formats.read(root)
        assert errors(data)[0].startswith("annotations/list.txt:10: names Bengal_9, which is not in images/")
        assert "has 1 picture in no usable line of trainval.txt or test.txt: Bengal_1" in notes(data)[0]

    def test_one_class_only(self, root: Path) -> None:
        write(root, "trainval.txt", LINES[:2])
        write(root, "test.txt", TEST[:1])
        assert any("has one class only, `Bengal`" in error for error in errors(formats.read(root)))

    def test_a_class_only_test_has(self, root: Path) -> None:
        write(root, "trainval.txt", LINES[:4])
        [error] = errors(formats.read(root))
        assert error.startswith("annotations/test.txt: class `Abyssinian` has no picture in annotations/trainval.txt")

    def test_nothing_left_to_train_on(self, root: Path) -> None:
        write(root, "trainval.txt", [])
        data = formats.read(root)
        assert data.splits["train"] == ()
        assert "holds no usable picture to train on" in errors(data)[-1]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("<annotation><object>", ":1:20: is no well-formed XML (no element found)"),
            ("", ":1:0: is no well-formed XML"),
            (XML.format(name="a", species="mouse"), ": object 1 is called `mouse`, none of cat, dog"),
            (XML.format(name="a", species="cat").replace(">30<", ">99<"), "outside its picture of 64x48 pixels"),
            (XML.format(name="a", species="cat").replace(">30<", ">0<"), "has an empty box, xmin 1 ymin 2 xmax 0"),
            (XML.format(name="a", species="cat").replace(">30<", ">nan<"), "has no bndbox of four numbers"),
            (XML.format(name="a", species="cat").replace(">1<", ">-1<"), "has a box outside its picture of 64x48"),
            ('<?xml version="1.0" encoding="klingon"?><a/>', "is no"),
        ],
    )
    def test_a_bad_annotation_keeps_its_picture(self, root: Path, text: str, said: str) -> None:
        (root / "annotations/xmls").mkdir()
        (root / "annotations/xmls/Bengal_1.xml").write_text(text)
        data = formats.read(root)
        [error] = errors(data)
        assert error.startswith("annotations/xmls/Bengal_1.xml:")
        assert said in error
        assert "\n" not in error
        assert len(data.splits["train"]) == 6
        assert data.splits["train"][0].boxes == ()

    def test_an_entity_bomb_is_refused(self, root: Path) -> None:
        entities = "".join(f'<!ENTITY e{n} "{"&e%d;" % (n - 1) * 10}">' for n in range(1, 12))  # noqa: UP031
        bomb = f'<!DOCTYPE a [<!ENTITY e0 "boom">{entities}]><a>&e11;</a>'
        (root / "annotations/xmls").mkdir()
        (root / "annotations/xmls/Bengal_1.xml").write_text(bomb)
        [error] = errors(formats.read(root))
        assert "is no well-formed XML" in error

    def test_a_root_without_lists(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="it needs images/ and annotations"):
            Oxford().read(tmp_path)


class TestWriting:
    def test_species_and_multi_label(self, root: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        Oxford().write(formats.read(root, labels="species"), out)
        assert formats.read(out).class_names == ("cat", "dog")
        assert (out / "annotations/trainval.txt").read_text().splitlines()[2] == "dog_1 2 2 2"
        multi = Dataset(root, "memory", ("a", "b"), {"train": ()}, multi_label=True)
        with pytest.raises(UsageError, match="lst"):
            Oxford().write(multi, tmp_path / "multi")

    def test_boxes_are_those_of_the_upright_picture(self, root: Path, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        image = root / "images/Bengal_1.jpg"
        Image.open(image).save(image, exif=exif)  # 64 x 48 on disk, 48 x 64 upright
        first, *others = formats.read(root).splits["train"]
        tall = replace(first, boxes=(Box(0, 0, 0, 48, 64),))
        Oxford().write(formats.read(root).with_splits({"train": [tall, *others]}), tmp_path / "out")
        data = formats.read(tmp_path / "out")
        assert errors(data) == []
        assert data.splits["train"][0].boxes == tall.boxes

    @pytest.mark.parametrize("task", ["detection", "segmentation"])
    def test_pets_keep_their_names_for_every_task(self, root: Path, tmp_path: Path, task: TaskName) -> None:
        add_boxes_and_trimaps(root)
        data = formats.read(root, task=task)
        Oxford().write(data, tmp_path / "out")
        back = formats.read(tmp_path / "out", task=task)
        assert errors(back) == []
        assert back.class_names == data.class_names
        for split, samples in data.splits.items():
            assert [s.image.path.name for s in back.splits[split]] == [s.image.path.name for s in samples]
            assert [s.boxes for s in back.splits[split]] == [s.boxes for s in samples]
        for name in ("trainval.txt", "test.txt"):
            kept = [line.split()[0] for line in (tmp_path / "out/annotations" / name).read_text().splitlines()]
            assert kept == [line.split()[0] for line in (LINES if name == "trainval.txt" else TEST)]
        if task == "segmentation":
            original, written = (path / "annotations/trimaps/Bengal_1.png" for path in (root, tmp_path / "out"))
            assert original.read_bytes() == written.read_bytes()

    def test_regions_in_another_order(self, tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
        ids = np.array([[0, 1], [2, 255]], np.uint8).repeat(24, axis=0).repeat(32, axis=1)
        (tmp_path / "a.jpg").write_bytes(jpeg(seed=1))
        Image.fromarray(ids).save(tmp_path / "a.png")
        sample = Sample(Blob(tmp_path / "a.jpg"), mask=Blob(tmp_path / "a.png"))
        names = ("background", "border", "pet")
        Oxford().write(Dataset(tmp_path, "memory", names, {"train": (sample,)}, "segmentation"), tmp_path / "out")
        [mask] = (tmp_path / "out/annotations/trimaps").iterdir()
        assert np.asarray(Image.open(mask))[::24, ::32].tolist() == [[2, 3], [1, 255]]

    @pytest.mark.parametrize(
        ("task", "said"),
        [
            ("detection", "detection data of cat, dog only, not of `horse`"),
            ("segmentation", "of pet, background, border"),
        ],
    )
    def test_it_holds_pets_only(self, root: Path, tmp_path: Path, task: TaskName, said: str) -> None:
        data = replace(formats.read(root, task=task), class_names=("cat", "dog", "horse"))
        with pytest.raises(UsageError, match=said):
            Oxford().write(data, tmp_path / "out")

    def test_a_picture_whose_annotation_has_no_object_is_background(self, root: Path) -> None:
        add_boxes_and_trimaps(root)
        (root / "annotations/xmls/Bengal_1.xml").write_text("<annotation></annotation>")
        (root / "annotations/xmls/Bengal_2.xml").unlink()
        data = formats.read(root, task="detection")
        assert [(s.image.path.stem, len(s.boxes), s.classes) for s in data.splits["train"]][:2] == [
            ("Bengal_1", 0, ()),
            ("american_bulldog_1", 1, (1,)),
        ]

    def test_a_class_that_is_no_file_name(self, root: Path, tmp_path: Path) -> None:
        data = formats.read(root)
        bad = Dataset(root, "memory", ("a b", "../c", "d"), data.splits)
        with pytest.raises(UsageError, match="cannot be part of a file name"):
            Oxford().write(bad, tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.pets
class TestRealPets:
    def test_breeds(self, pets: Path) -> None:
        data = formats.read(pets)
        assert data.format == "oxford"
        assert data.class_names == ("Abyssinian", "american_bulldog", "Bengal")
        assert (data.counts("train"), data.counts("test")) == ([82, 74, 81], [78, 76, 81])
        assert [str(problem) for problem in data.problems] == [
            "images: has 2 pictures in no list, left out: Abyssinian_34.jpg, Abyssinian_82.jpg; "
            "list them if they are wanted"
        ]
        assert all(sample.mask for samples in data.splits.values() for sample in samples)
        assert sum(bool(sample.boxes) for sample in data.splits["train"]) == 233

    def test_species(self, pets: Path) -> None:
        assert formats.read(pets, labels="species").counts("test") == [159, 76]

    def test_round_trip(self, pets: Path, tmp_path: Path) -> None:
        data = formats.read(pets)
        Oxford().write(data, tmp_path / "out")
        back = formats.read(tmp_path / "out")
        assert back.problems == ()
        assert back.class_names == data.class_names
        for split in data.splits:
            assert [(s.image.path.name, s.classes, s.boxes) for s in back.splits[split]] == [
                (s.image.path.name, s.classes, s.boxes) for s in data.splits[split]
            ]


line = st.one_of(
    st.sampled_from([*LINES, *TEST, "# comment", "Bengal_1 6 1", "Bengal_9 6 1 2", "Bengal_1 1 1 1"]),
    st.text(max_size=30),
    st.builds(" ".join, st.lists(st.sampled_from(["Bengal_1", "1", "2", "-1", "9" * 30, "x", "١"]), max_size=6)),
)


class TestFuzz:
    @settings(max_examples=60, deadline=None)
    @given(listed=st.lists(line, max_size=8), trainval=st.lists(line, max_size=8), junk=st.binary(max_size=40))
    def test_any_list_reads_and_problems_are_lines(
        self, listed: list[str], trainval: list[str], junk: bytes, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        root = tmp_path_factory.mktemp("fuzz")
        (root / "images").mkdir()
        (root / "annotations").mkdir()
        for row in LINES:
            (root / "images" / f"{row.split()[0]}.jpg").touch()
        (root / "annotations/list.txt").write_bytes("\n".join(listed).encode())
        (root / "annotations/trainval.txt").write_bytes("\n".join(trainval).encode() + b"\n" + junk)
        data = Oxford().read(root)
        for problem in data.problems:
            assert len(str(problem).splitlines()) == 1
        names = {sample.image.path.stem for sample in data.splits["train"]}
        assert len(names) == len(data.splits["train"])
        assert all(0 <= sample.classes[0] < len(data.class_names) for sample in data.splits["train"])
        assert len(set(data.class_names)) == len(data.class_names)

    @given(st.text())
    def test_any_line_is_a_row_or_a_problem(self, text: str) -> None:
        row = parse_row(text, "list.txt:1")
        assert row.where == "list.txt:1"
